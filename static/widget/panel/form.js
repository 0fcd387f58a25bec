// The form before the chat. What is wrong is said at the field, tied to it, and nothing that was typed is lost.
import { make } from "../../shared/safe.js";
import { put } from "./words.js";

export class Form {
  /**
   * @param {any} config
   * @param {(answers: Record<string, string>) => Promise<Record<string, string> | null>} send gives what is wrong, by key
   */
  constructor(config, send) {
    this.config = config;
    this.send = send;
    this.place = /** @type {HTMLElement} */ (document.getElementById("form"));
    this.composer = /** @type {HTMLElement} */ (document.getElementById("composer"));
  }

  /** Ask, if the inbox asks for anything. */
  open() {
    if (!this.config.form.length || !this.place.hidden) return;
    this.#draw();
    this.place.hidden = false;
    this.composer.hidden = true;
  }

  close() {
    if (this.place.hidden) return;
    this.place.hidden = true;
    this.composer.hidden = false;
  }

  /** In another language, with what was typed. */
  redraw() {
    if (this.place.hidden) return;
    const typed = this.#answers();
    this.#draw();
    for (const [key, value] of Object.entries(typed)) this.#field(key).value = value;
  }

  focus() {
    /** @type {HTMLElement | null} */ (this.place.querySelector("input, select"))?.focus();
  }

  #draw() {
    const form = make("form", { novalidate: "" }, put(this.config, make("p", { class: "lead" }), "form_lead"));
    for (const field of this.config.form) form.append(this.#row(field));
    form.append(put(this.config, make("button", { class: "primary", type: "submit" }), "form_go"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(form);
    });
    this.place.replaceChildren(form);
  }

  /** @param {any} field */
  #row(field) {
    const id = `field-${field.key}`;
    const shared = { id, name: field.key, autocomplete: field.autocomplete, "aria-required": String(field.required) };
    const input =
      field.kind === "choice"
        ? make("select", shared, make("option", { value: "", text: "–" }), ...field.choices.map((/** @type {any} */ choice) => make("option", { value: choice.value, text: choice.label })))
        : make("input", { ...shared, type: field.kind, maxlength: "200", dir: "auto" });
    const label = make("label", { for: id, text: field.label });
    if (!field.required) label.append(" ", put(this.config, make("span", { class: "muted" }), "optional"));
    return make("div", { class: "field" }, label, input, make("p", { class: "wrong", id: `${id}-wrong`, hidden: "" }));
  }

  /** @param {HTMLFormElement} form */
  async #submit(form) {
    const answers = this.#answers();
    const button = /** @type {HTMLButtonElement} */ (form.querySelector("button"));
    const wrong = this.#missing(answers);
    if (!Object.keys(wrong).length) {
      button.disabled = true;
      Object.assign(wrong, (await this.send(answers)) ?? {});
      button.disabled = false;
    }
    for (const field of this.config.form) this.#mark(field.key, wrong[field.key]);
    const first = this.config.form.find((/** @type {any} */ field) => wrong[field.key]);
    if (first) this.#field(first.key).focus();
  }

  /** @param {Record<string, string>} answers */
  #missing(answers) {
    /** @type {Record<string, string>} */
    const wrong = {};
    for (const field of this.config.form) if (field.required && !answers[field.key].trim()) wrong[field.key] = this.config.texts.form_required;
    return wrong;
  }

  /** @param {string} key @param {string | undefined} text */
  #mark(key, text) {
    const input = this.#field(key);
    const line = /** @type {HTMLElement} */ (document.getElementById(`field-${key}-wrong`));
    line.hidden = !text;
    line.textContent = text ?? "";
    input.toggleAttribute("aria-invalid", Boolean(text));
    if (text) {
      input.setAttribute("aria-invalid", "true");
      input.setAttribute("aria-describedby", line.id);
    } else input.removeAttribute("aria-describedby");
  }

  #answers() {
    return Object.fromEntries(this.config.form.map((/** @type {any} */ field) => [field.key, this.#field(field.key).value]));
  }

  /** @param {string} key */
  #field(key) {
    return /** @type {HTMLInputElement} */ (document.getElementById(`field-${key}`));
  }
}
