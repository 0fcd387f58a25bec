// What the visitor sees: bubbles, notices, sources, the queue. Nothing here talks to the server.
import { fill, icon, make, outward } from "../../shared/safe.js";
import { Stream } from "../../shared/stream.js";
import { Bottom } from "./bottom.js";
import { cite, sources } from "./sources.js";
import { say } from "./words.js";

const OFFERS_PERSON = new Set(["no_source", "ask_back", "refused", "error"]);

export class View {
  /**
   * @param {any} config
   * @param {{person(): void, bot(): void, details(email: string, phone: string): void, again(id: string): void,
   *   passage(id: string): Promise<any>}} on
   */
  constructor(config, on) {
    this.config = config;
    this.on = on;
    this.log = /** @type {HTMLElement} */ (document.getElementById("log"));
    this.state = /** @type {HTMLElement} */ (document.getElementById("state"));
    this.region = /** @type {HTMLElement} */ (document.getElementById("live"));
    this.banner = /** @type {HTMLElement} */ (document.getElementById("banner"));
    this.card = /** @type {HTMLElement} */ (document.getElementById("queue"));
    this.bottom = new Bottom();
    /** @type {Stream | null} */
    this.stream = null;
    /** @type {HTMLElement | null} */
    this.item = null;
    /** @type {Map<string, HTMLElement>} */
    this.mine = new Map();
    this.status = "bot";
  }

  greet() {
    const bubble = make("div", { class: "bubble", dir: "auto", text: this.config.greeting });
    this.#put(this.#item("bot", say(this.config, "ai_label"), bubble));
  }

  /** @param {string} status @param {string} [name] */
  holder(status, name) {
    this.status = status;
    document.body.dataset.holder = status;
    this.card.hidden = status !== "queued";
    const words = { bot: "ai_label", agent: "", queued: "queued", resolved: "resolved" };
    if (status === "agent") this.state.textContent = name ?? this.name ?? "";
    else this.state.textContent = say(this.config, /** @type {any} */ (words)[status] ?? "ai_label");
    this.name = name ?? this.name;
    const person = document.getElementById("person");
    if (person) person.hidden = status === "queued" || status === "agent";
  }

  /** The visitor's own message, before the server has it. @param {string} id @param {string} text */
  own(id, text) {
    const item = this.#item("visitor", "", make("div", { class: "bubble", dir: "auto", text }));
    item.append(make("div", { class: "under", text: say(this.config, "sending") }));
    this.mine.set(id, item);
    this.#put(item, true);
  }

  /** @param {string} id */
  sent(id) {
    this.mine.get(id)?.querySelector(".under")?.remove();
  }

  /** @param {string} id */
  sending(id) {
    this.#under(id, document.createTextNode(say(this.config, "sending")));
  }

  /** @param {string} id @param {string} why */
  notSent(id, why) {
    const again = make("button", { class: "chip", type: "button", text: say(this.config, "retry") });
    again.addEventListener("click", () => this.on.again(id));
    this.#under(id, make("span", { class: "wrong", text: why }), again);
  }

  /** A message of the record. @param {any} message */
  message(message) {
    if (message.author === "visitor") {
      const own = message.client_id && this.mine.get(message.client_id);
      if (own) this.sent(message.client_id);
      else this.#put(this.#item("visitor", "", make("div", { class: "bubble", dir: "auto", text: message.text })));
      return;
    }
    if (message.author === "agent") {
      const bubble = make("div", { class: "bubble", dir: "auto", text: message.text });
      this.#put(this.#item("agent", message.name, bubble));
      this.announce(`${message.name}: ${message.text}`);
      return;
    }
    const bubble = make("div", { class: "bubble prose", dir: "auto" });
    fill(bubble, message.html);
    outward(bubble);
    const item = this.#item("bot", say(this.config, "ai_label"), bubble);
    this.#dress(item, bubble, message);
    if (this.item && this.stream?.turn === message.turn) this.item.replaceWith(item);
    else this.#put(item);
    this.#forget();
    this.bottom.keep();
    this.announce(bubble.textContent ?? "");
  }

  /** An answer begins. @param {string} turn */
  writing(turn) {
    if (this.stream?.turn === turn) return;
    this.item?.remove();
    const bubble = make("div", { class: "bubble prose", "aria-busy": "true" });
    this.stream = new Stream(turn, bubble);
    bubble.replaceChildren(make("span", { class: "dots", "aria-hidden": "true" }, make("i"), make("i"), make("i")));
    this.item = this.#item("bot", say(this.config, "ai_label"), bubble);
    this.item.setAttribute("aria-hidden", "true");
    this.#put(this.item);
    this.announce(say(this.config, "typing", { name: say(this.config, "assistant") }));
  }

  /** @param {any} frame */
  delta(frame) {
    if (this.stream?.turn !== frame.turn) this.writing(frame.turn);
    const stream = /** @type {Stream} */ (this.stream);
    if (!stream.at) stream.body.replaceChildren(stream.open);
    stream.add(frame);
    this.bottom.keep();
  }

  /** What to ask for after a reconnect. */
  live() {
    return this.stream ? { turn: this.stream.turn, at: this.stream.at } : undefined;
  }

  /** A turn ended without a message. @param {string} turn @param {string} problem */
  ended(turn, problem) {
    if (this.stream?.turn === turn) {
      this.item?.remove();
      this.#forget();
    }
    if (problem) this.notice(problem, "bad");
  }

  /** @param {string} text @param {string} [kind] */
  notice(text, kind = "") {
    this.#put(make("li", { class: `notice ${kind}`, text }));
    this.announce(text);
  }

  /** @param {{place: number, online: boolean, wait_s: number | null}} place */
  queue(place) {
    const words = [
      place.place > 1 ? say(this.config, "place", { n: place.place }) : say(this.config, "next"),
      place.online && place.wait_s ? say(this.config, "wait", { n: Math.max(1, Math.round(place.wait_s / 60)) }) : "",
      place.online ? "" : say(this.config, "nobody"),
    ];
    const back = make("button", { class: "quick bot", type: "button", text: say(this.config, "bot") });
    back.addEventListener("click", () => this.on.bot());
    const form = this.card.querySelector("form") ?? this.#detailsForm();
    this.card.replaceChildren(make("p", { text: words.filter(Boolean).join(" ") }), form, make("div", { class: "row" }, back));
    this.card.hidden = this.status !== "queued";
  }

  /** @param {"lost" | "open" | ""} state */
  connection(state) {
    const was = !this.banner.hidden;
    this.banner.hidden = state !== "lost";
    if (state === "lost") this.banner.textContent = say(this.config, "offline");
    if (state === "open" && was) this.announce(say(this.config, "online"));
  }

  /** Tell a screen reader, once. @param {string} text */
  announce(text) {
    this.region.textContent = text;
  }

  /** @param {HTMLElement} item @param {HTMLElement} bubble @param {any} message */
  #dress(item, bubble, message) {
    const under = make("div", { class: "under" });
    if (message.kind === "extractive") under.append(say(this.config, "quoted"));
    if (message.kind === "generated") under.append(say(this.config, "generated"));
    if (message.state !== "complete") under.append(make("span", { class: "cut", text: say(this.config, message.state) }));
    if (message.citations?.length) {
      const list = sources(this.config, message.citations, this.on.passage, () => this.bottom.keep());
      cite(bubble, message.citations, list);
      under.prepend(...list.chips);
      item.append(under, list.place);
    } else if (under.childNodes.length) item.append(under);
    if (OFFERS_PERSON.has(message.kind)) {
      const button = make("button", { class: "quick", type: "button" }, icon("person"));
      button.append(say(this.config, "person"));
      button.addEventListener("click", () => this.on.person());
      item.append(make("div", { class: "under" }, button));
    }
  }

  #forget() {
    this.stream = null;
    this.item = null;
  }

  /** @param {string} author @param {string} by @param {HTMLElement} bubble */
  #item(author, by, bubble) {
    const item = make("li", { class: `message ${author}` });
    if (by) item.append(make("span", { class: "by", text: by }));
    else item.append(make("span", { class: "only-read", text: say(this.config, "you") }));
    item.append(bubble);
    return item;
  }

  /** @param {string} id @param {...Node} nodes */
  #under(id, ...nodes) {
    const item = this.mine.get(id);
    if (!item) return;
    const under = item.querySelector(".under") ?? item.appendChild(make("div", { class: "under" }));
    under.replaceChildren(...nodes);
  }

  /** @param {HTMLElement} item @param {boolean} [mine] */
  #put(item, mine = false) {
    this.log.append(item);
    if (mine) this.bottom.go();
    else this.bottom.keep();
  }

  #detailsForm() {
    const email = make("input", { type: "email", name: "email", autocomplete: "email", maxlength: "200" });
    const phone = make("input", { type: "tel", name: "phone", autocomplete: "tel", maxlength: "40" });
    const leave = make("button", { class: "quick", type: "submit", text: say(this.config, "leave") });
    const label = (/** @type {string} */ key, /** @type {HTMLElement} */ field) =>
      make("label", {}, document.createTextNode(say(this.config, key)), field);
    const form = make("form", {}, label("email", email), label("phone", phone), leave);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!form.reportValidity()) return;
      this.on.details(email.value, phone.value);
    });
    return form;
  }
}
