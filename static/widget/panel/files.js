// Files on their way, with how far they are, and files of the record; pictures open large.
import { icon, make } from "../../shared/safe.js";
import { megabytes, put, say } from "./words.js";

/** @typedef {{file: File, item: HTMLElement, request?: XMLHttpRequest}} Upload */

export class Files {
  /**
   * @param {any} config
   * @param {import("./session.js").Session} session
   * @param {{item(body: HTMLElement): HTMLElement, told(text: string): void, began(): void, refused(answer: any): void}} on
   */
  constructor(config, session, on) {
    this.config = config;
    this.session = session;
    this.on = on;
    /** @type {Map<string, Upload>} */
    this.running = new Map();
  }

  /** @param {File[]} files */
  add(files) {
    for (const file of files) {
      if (file.size > this.config.files.most) this.on.told(say(this.config, "file_too_large", { name: file.name, size: megabytes(this.config.files.most) }));
      else if (!file.size || !this.config.files.kinds.includes(file.type)) this.on.told(say(this.config, "file_type", { name: file.name }));
      else this.#begin(file);
    }
  }

  /** The server has it: our own sign of it goes. @param {string} id */
  arrived(id) {
    this.running.get(id)?.item.remove();
    return this.running.delete(id);
  }

  /**
   * A file of the record. @param {any} file
   * @returns {HTMLElement}
   */
  bubble(file) {
    const path = `files/${file.id}/`;
    if (!file.width) {
      const link = make("a", { class: "bubble file", href: this.config.home + path, download: file.name }, icon("file"), make("span", { class: "name", dir: "auto", text: file.name }), make("span", { class: "size", text: megabytes(file.size) }));
      if (this.session.token) {
        link.addEventListener("click", async (event) => {
          event.preventDefault();
          make("a", { href: await this.#blob(path), download: file.name }).click();
        });
      }
      return link;
    }
    const scale = Math.min(1, 240 / file.width, 200 / file.height);
    const picture = make("img", {
      alt: file.name,
      width: String(Math.max(44, Math.round(file.width * scale))),
      height: String(Math.max(44, Math.round(file.height * scale))),
      loading: "lazy",
    });
    this.#source(picture, path);
    const button = make("button", { class: "bubble picture", type: "button" }, picture);
    put(this.config, button, "enlarge", { name: file.name }, "aria-label");
    button.addEventListener("click", () => this.#enlarge(file, picture.src));
    return button;
  }

  /** @param {HTMLImageElement} picture @param {string} path */
  async #source(picture, path) {
    picture.src = this.session.token ? await this.#blob(path) : this.config.home + path;
  }

  /** Where there is no cookie, a picture's address alone opens nothing. @param {string} path */
  async #blob(path) {
    const answer = await this.session.fetch(path);
    return answer.ok ? URL.createObjectURL(await answer.blob()) : "";
  }

  /** @param {any} file @param {string} source */
  #enlarge(file, source) {
    const close = make("button", { class: "tool", type: "button" }, icon("close"));
    put(this.config, close, "close_picture", {}, "aria-label");
    const save = make("a", { class: "tool", href: source, download: file.name }, icon("download"));
    put(this.config, save, "save_picture", {}, "aria-label");
    const box = make("dialog", { class: "lightbox", "aria-label": file.name }, make("div", { class: "row" }, save, close), make("img", { src: source, alt: file.name }));
    close.addEventListener("click", () => box.close());
    box.addEventListener("click", (event) => event.target === box && box.close());
    box.addEventListener("keydown", (event) => event.stopPropagation()); // Escape closes the picture, not the chat
    box.addEventListener("close", () => box.remove());
    document.body.append(box);
    box.showModal();
    close.focus();
  }

  /** @param {File} file */
  #begin(file) {
    const id = crypto.randomUUID ? crypto.randomUUID() : String(Date.now()) + Math.random().toString(36).slice(2);
    const bar = make("progress", { max: "1", value: "0" });
    put(this.config, bar, "sending_file", { name: file.name }, "aria-label");
    const cancel = make("button", { class: "tool", type: "button" }, icon("close"));
    put(this.config, cancel, "cancel_file", { name: file.name }, "aria-label");
    const line = make("div", { class: "row" }, icon("file"), make("span", { class: "name", dir: "auto", text: file.name }), make("span", { class: "size", text: megabytes(file.size) }), cancel);
    const item = this.on.item(make("div", { class: "bubble file going" }, line, bar));
    this.running.set(id, { file, item });
    cancel.addEventListener("click", () => {
      this.running.get(id)?.request?.abort();
      this.arrived(id);
      document.querySelector("textarea")?.focus();
    });
    this.#go(id, bar);
  }

  /** @param {string} id @param {HTMLProgressElement} bar */
  async #go(id, bar) {
    const started = await this.session.start();
    const upload = this.running.get(id);
    if (!upload) return;
    if (!started.ok) {
      this.#failed(id, bar, started.text ?? say(this.config, "offline"));
      if (started.wrong) this.on.refused(started);
      return;
    }
    this.on.began();
    const request = (upload.request = new XMLHttpRequest());
    request.open("POST", `${this.config.home}files/?id=${encodeURIComponent(id)}`);
    request.setRequestHeader("X-Baton", "widget");
    request.setRequestHeader("X-File-Name", encodeURIComponent(upload.file.name));
    request.setRequestHeader("Content-Type", "application/octet-stream");
    if (this.session.token) request.setRequestHeader("Authorization", `Bearer ${this.session.token}`);
    request.upload.onprogress = (event) => event.lengthComputable && (bar.value = event.loaded / event.total);
    request.onerror = () => this.#failed(id, bar, say(this.config, "offline"));
    request.onload = () => {
      if (request.status < 300) return;
      let text = say(this.config, "file_failed");
      try {
        text = JSON.parse(request.responseText).text ?? text;
      } catch {
        // a proxy's page; our own sentence stands
      }
      this.#failed(id, bar, text);
    };
    request.send(upload.file);
  }

  /** @param {string} id @param {HTMLProgressElement} bar @param {string} why */
  #failed(id, bar, why) {
    const item = this.running.get(id)?.item;
    if (!item) return;
    const again = put(this.config, make("button", { class: "chip", type: "button" }), "retry");
    const line = make("div", { class: "under" }, make("span", { class: "wrong", text: why }), again);
    again.addEventListener("click", () => {
      line.remove();
      bar.value = 0;
      this.#go(id, bar);
    });
    item.querySelector(".under")?.remove();
    item.append(line);
    this.on.told(why);
  }
}
