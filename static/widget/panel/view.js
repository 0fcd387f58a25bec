// What the visitor sees of the conversation: bubbles, notices, sources. Nothing here talks to the server.
import { fill, icon, make, outward, ownDirection } from "../../shared/safe.js";
import { Stream } from "../../shared/stream.js";
import { show } from "../../shared/times.js";
import { Bottom } from "./bottom.js";
import { press, thumbs } from "./opinion.js";
import { cite, sources } from "./sources.js";
import { put, say } from "./words.js";

const OFFERS_PERSON = new Set(["no_source", "ask_back", "refused", "error"]);
const STATES = /** @type {Record<string, string>} */ ({ bot: "ai_label", queued: "waiting", resolved: "closed" });

/**
 * @typedef {{person(): void, resend(id: string): void, passage(id: string): Promise<any>, ask(text: string): void,
 *   edit(message: string, text: string): void, again(turn: string): void,
 *   judge(message: string, value: number, reason?: string): void}} Wishes
 */

export class View {
  /** @param {any} config @param {Wishes} on */
  constructor(config, on) {
    this.config = config;
    this.on = on;
    this.log = /** @type {HTMLElement} */ (document.getElementById("log"));
    this.state = /** @type {HTMLElement} */ (document.getElementById("state"));
    this.region = /** @type {HTMLElement} */ (document.getElementById("live"));
    this.banner = /** @type {HTMLElement} */ (document.getElementById("banner"));
    this.bottom = new Bottom();
    this.status = "bot";
    /** What is told again after a reload is not read out again. */
    this.replaying = false;
    this.#begin();
  }

  #begin() {
    /** @type {Stream | null} */
    this.stream = null;
    /** @type {HTMLElement | null} */
    this.item = null;
    /** The visitor's own, by client id. @type {Map<string, HTMLElement>} */
    this.mine = new Map();
    /** The answers to one question. @type {Map<string, HTMLElement[]>} */
    this.variants = new Map();
    /** Thumbs, by message. @type {Map<string, number>} */
    this.verdicts = new Map();
    /** @type {HTMLElement | null} */
    this.question = null;
    /** @type {HTMLElement | null} */
    this.answer = null;
    /** Buttons of the last question and the last answer. @type {HTMLElement[]} */
    this.offered = [];
  }

  /** All that was missed has been told. */
  replayed() {
    this.replaying = false;
    this.#offer();
  }

  /** Another conversation, or none yet. */
  clear() {
    this.log.replaceChildren();
    this.#begin();
    this.greet();
  }

  greet() {
    const bubble = put(this.config, make("div", { class: "bubble", dir: "auto" }), "_greeting");
    this.#put(this.#item("bot", { key: "ai_label" }, bubble));
    this.suggest();
  }

  /** Questions to begin with; gone once anything is said. */
  suggest() {
    document.getElementById("suggestions")?.remove();
    if (this.log.querySelector(".visitor") || !this.config.suggestions.length) return;
    const buttons = this.config.suggestions.map((/** @type {string} */ text) => {
      const button = make("button", { class: "quick bot", type: "button", dir: "auto", text });
      button.addEventListener("click", () => this.on.ask(text));
      return button;
    });
    this.#put(make("li", { id: "suggestions", class: "suggestions" }, ...buttons));
  }

  /** @param {string} status @param {string} [name] */
  holder(status, name) {
    this.status = status;
    this.name = name ?? this.name;
    document.body.dataset.holder = status;
    if (status === "agent") {
      this.state.removeAttribute("data-words");
      this.state.textContent = this.name ?? "";
    } else put(this.config, this.state, STATES[status] ?? "ai_label");
    const person = /** @type {HTMLElement} */ (document.getElementById("person"));
    if (document.activeElement === person) document.querySelector("textarea")?.focus();
    person.hidden = status === "queued" || status === "agent";
    this.#offer();
  }

  // --- the visitor's own ---
  /** Before the server has it. @param {string} id @param {string} text */
  own(id, text) {
    this.mine.set(id, this.#visitor(make("div", { class: "bubble", dir: "auto", text }), true));
    this.sending(id);
  }

  /** A bubble of the visitor's that is no text. @param {HTMLElement} body */
  ownFile(body) {
    return this.#visitor(body, true);
  }

  /** A question gets other words. @param {string} id @param {string} message */
  editing(id, message) {
    const item = this.log.querySelector(`[data-id="${message}"]`);
    if (item) this.mine.set(id, /** @type {HTMLElement} */ (item));
    this.sending(id);
  }

  /** @param {string} id */
  sent(id) {
    this.mine.get(id)?.querySelector(".under")?.remove();
  }

  /** @param {string} id */
  sending(id) {
    this.#under(id, put(this.config, make("span"), "sending"));
  }

  /** @param {string} id @param {string} why */
  notSent(id, why) {
    const again = put(this.config, make("button", { class: "chip", type: "button" }), "retry");
    again.addEventListener("click", () => this.on.resend(id));
    this.#under(id, make("span", { class: "wrong", text: why }), again);
    this.announce(why);
  }

  // --- the record ---
  /** @param {any} message */
  message(message) {
    if (message.author === "visitor") this.#said(message);
    else if (message.author === "agent") {
      const bubble = make("div", { class: "bubble", dir: "auto", text: message.text });
      this.#put(this.#item("agent", { name: message.name, at: message.at }, bubble));
      this.question = this.answer = null;
      this.announce(`${message.name}: ${message.text}`);
    } else this.#answered(message);
    this.#offer();
  }

  /** A file of the record: the item its bubble goes into. @param {string} at */
  file(at) {
    const item = this.#visitor();
    this.#stamp(item, at);
    return item;
  }

  /** Other words for a question: what answered the old ones is folded away. @param {any} message */
  edited(message) {
    const item = /** @type {HTMLElement | null} */ (this.log.querySelector(`[data-id="${message.revises}"]`));
    for (const answer of this.log.querySelectorAll(`[data-of="${message.revises}"]`)) answer.remove();
    this.variants.delete(message.revises);
    this.answer = null;
    if (!item) return this.message(message);
    const bubble = /** @type {HTMLElement} */ (item.querySelector(".bubble"));
    bubble.textContent = message.text;
    item.dataset.id = message.id;
    item.querySelector(".under")?.remove();
    item.append(make("div", { class: "under" }, put(this.config, make("span"), "edited")));
    this.log.append(item);
    this.#offer();
  }

  /** An answer begins. @param {string} turn */
  writing(turn) {
    if (this.stream?.turn === turn) return;
    this.item?.remove();
    for (const offer of this.log.querySelectorAll(".go-on")) offer.remove();
    const bubble = make("div", { class: "bubble prose", dir: "auto" });
    this.stream = new Stream(turn, bubble);
    bubble.replaceChildren(make("span", { class: "dots", "aria-hidden": "true" }, make("i"), make("i"), make("i")));
    this.item = this.#item("bot", { key: "ai_label" }, bubble);
    this.item.setAttribute("aria-busy", "true");
    this.#put(this.item);
    this.#offer();
    this.announce(say(this.config, "typing", { name: say(this.config, "assistant") }));
  }

  /** @param {any} frame */
  delta(frame) {
    if (this.stream?.turn !== frame.turn) this.writing(frame.turn);
    const stream = /** @type {Stream} */ (this.stream);
    if (!stream.at) stream.body.replaceChildren(stream.open);
    stream.add(frame);
  }

  /** What to ask for after a reconnect. */
  live() {
    return this.stream ? { turn: this.stream.turn, at: this.stream.at } : undefined;
  }

  /** A turn ended without a message, or after one that was cut short. @param {{turn: string, outcome?: string, error?: string}} data */
  ended(data) {
    if (this.stream?.turn === data.turn) {
      this.item?.remove();
      this.#forget();
    }
    if (data.error) {
      const item = this.notice("turn_failed", {}, "bad");
      const go = put(this.config, make("button", { class: "quick bot", type: "button" }), data.outcome === "interrupted" ? "go_on" : "retry");
      go.addEventListener("click", () => {
        offer.remove();
        this.on.again(data.turn);
      });
      const offer = make("li", { class: "go-on" }, go);
      item.after(offer);
    }
    this.#offer();
  }

  /** @param {string} message @param {number} value */
  judged(message, value) {
    this.verdicts.set(message, value);
    const group = this.log.querySelector(`[data-id="${message}"] .thumbs`);
    if (group) press(group, value);
  }

  // --- words beside the conversation ---
  /** @param {string} key @param {Record<string, string | number>} [values] @param {string} [kind] */
  notice(key, values = {}, kind = "") {
    const item = put(this.config, make("li", { class: `notice ${kind}` }), key, values);
    this.#put(item);
    this.announce(item.textContent ?? "");
    return item;
  }

  /** A sentence of the server's. @param {string} text */
  problem(text) {
    this.#put(make("li", { class: "notice bad", text }));
    this.announce(text);
  }

  /** @param {"lost" | "open" | "refused" | ""} state */
  connection(state) {
    const was = !this.banner.hidden;
    this.banner.hidden = state !== "lost" && state !== "refused";
    if (!this.banner.hidden) {
      put(this.config, this.banner, state === "lost" ? "offline" : "refused");
      if (!was) this.region.textContent = this.banner.textContent; // while the past is told, too
    } else if (was) this.announce(say(this.config, "online"));
  }

  /** Tell a screen reader, once. @param {string} text */
  announce(text) {
    if (!this.replaying) this.region.textContent = text;
  }

  // --- below: the steps ---
  /** @param {any} message */
  #said(message) {
    const own = message.client_id && this.mine.get(message.client_id);
    if (own) this.sent(message.client_id);
    const item = own || this.#visitor(make("div", { class: "bubble", dir: "auto", text: message.text }));
    item.dataset.id = message.id;
    this.#stamp(item, message.at);
    this.question = item;
    this.answer = null;
  }

  /** @param {any} message */
  #answered(message) {
    const bubble = make("div", { class: "bubble prose", dir: "auto" });
    fill(bubble, message.html);
    outward(bubble);
    ownDirection(bubble);
    const heard = (bubble.textContent ?? "").replace(/\s?\[\d{1,3}\]/g, "");
    const item = this.#item("bot", { key: "ai_label", at: message.at }, bubble);
    Object.assign(item.dataset, { id: message.id, of: message.of ?? "", turn: message.turn ?? "" });
    this.#dress(item, bubble, message);
    if (this.item && this.stream?.turn === message.turn) this.item.replaceWith(item);
    else this.#put(item);
    this.#forget();
    this.answer = item;
    this.#among(item, message.of);
    this.announce(heard);
  }

  /** One of several answers to the same question: the newest shows, the others are a click away. @param {HTMLElement} item @param {string} [of] */
  #among(item, of) {
    if (!of) return;
    const all = [...(this.variants.get(of) ?? []), item];
    this.variants.set(of, all);
    if (all.length < 2) return;
    import("./variants.js").then(({ page }) => {
      for (const each of all) each.hidden = each !== item;
      page(this.config, all);
    });
  }

  /** @param {HTMLElement} item @param {HTMLElement} bubble @param {any} message */
  #dress(item, bubble, message) {
    const under = make("div", { class: "under" });
    if (message.state !== "complete") under.append(put(this.config, make("span", { class: "cut" }), message.state));
    if (message.kind === "extractive") under.append(put(this.config, make("span"), "quoted"));
    if (message.kind === "generated") under.append(put(this.config, make("span"), "generated"));
    if (message.citations?.length) {
      const list = sources(this.config, message.citations, this.on.passage);
      cite(this.config, bubble, message.citations, list);
      item.append(make("div", { class: "chips" }, ...list.chips), list.place);
    }
    if (under.childNodes.length) item.append(under);
    if (bubble.querySelector("pre")) import("./copies.js").then(({ copies }) => copies(this.config, bubble, this));
    if (OFFERS_PERSON.has(message.kind)) {
      const button = make("button", { class: "quick person", type: "button" }, icon("person"), put(this.config, make("span"), "person"));
      button.addEventListener("click", () => {
        button.parentElement?.remove();
        this.on.person();
      });
      item.append(make("div", { class: "chips" }, button));
    } else if (message.turn && message.state === "complete") {
      const { group, reason } = thumbs(this.config, (value, why) => this.on.judge(message.id, value, why));
      press(group, this.verdicts.get(message.id));
      item.append(make("div", { class: "acts" }, group), reason);
    }
  }

  /** What may be done with the last question and the last answer, while the bot holds the line. */
  #offer() {
    for (const button of this.offered.splice(0)) button.remove();
    if (this.status !== "bot" || this.stream || this.replaying) return;
    const { question, answer } = this;
    if (question?.dataset.id) {
      const button = make("button", { class: "tool edit", type: "button" }, icon("edit"));
      put(this.config, button, "edit", {}, "aria-label");
      put(this.config, button, "edit", {}, "title");
      button.addEventListener("click", () => this.on.edit(question.dataset.id ?? "", question.querySelector(".bubble")?.textContent ?? ""));
      question.append(button);
      this.offered.push(button);
    }
    if (question && answer?.dataset.turn && answer.dataset.of === question.dataset.id) {
      const button = make("button", { class: "tool again", type: "button" }, icon("again"));
      put(this.config, button, "again", {}, "aria-label");
      put(this.config, button, "again", {}, "title");
      button.addEventListener("click", () => {
        button.remove();
        this.on.again(answer.dataset.turn ?? "");
      });
      const acts = answer.querySelector(".acts") ?? answer.appendChild(make("div", { class: "acts" }));
      acts.append(button);
      this.offered.push(button);
    }
  }

  #forget() {
    this.stream = null;
    this.item = null;
  }

  /** @param {HTMLElement} [body] @param {boolean} [here] said on this very page: go down to it */
  #visitor(body, here = false) {
    document.getElementById("suggestions")?.remove();
    const item = make("li", { class: "message visitor" }, make("span", { class: "only-read" }, put(this.config, make("span"), "you")), body);
    this.#put(item, here);
    return item;
  }

  /** @param {string} author @param {{key?: string, name?: string, at?: string}} by @param {HTMLElement} bubble */
  #item(author, by, bubble) {
    const line = make("div", { class: "by" });
    if (by.name) line.append(make("span", { class: "avatar", "aria-hidden": "true", text: Array.from(by.name)[0].toUpperCase() }), make("span", { text: by.name, dir: "auto" }));
    else if (by.key) line.append(put(this.config, make("span"), by.key));
    const item = make("li", { class: `message ${author}` }, line, bubble);
    this.#stamp(item, by.at);
    return item;
  }

  /** @param {HTMLElement} item @param {string} [at] */
  #stamp(item, at) {
    if (!at) return;
    const time = make("time", { datetime: at, dir: "auto" });
    show(time, document.documentElement.lang);
    item.firstElementChild?.append(" ", time);
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
  }
}
