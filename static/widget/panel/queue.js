// The card of those who wait for a person: place and honest wait, or that nobody is there and when somebody will be.
import { make } from "../../shared/safe.js";
import { put, say, tag } from "./words.js";

export class Queue {
  /** @param {any} config @param {{bot(): void, details(email: string, phone: string): void}} on */
  constructor(config, on) {
    this.config = config;
    this.on = on;
    this.place = /** @type {HTMLElement} */ (document.getElementById("queue"));
    this.left = false;
    /** @type {any} */
    this.last = null;
  }

  /** @param {{place: number, online: boolean, wait_s: number | null, open: boolean, opens_at: string | null}} place */
  draw(place) {
    this.last = place;
    const back = put(this.config, make("button", { class: "quick bot", type: "button" }), "bot");
    back.addEventListener("click", () => this.on.bot());
    const form = this.left ? null : (this.place.querySelector("form") ?? this.#form());
    const head = place.online ? null : put(this.config, make("h2"), place.open ? "nobody_now" : "closed_now");
    this.place.replaceChildren(...[head, make("p", { text: this.words(place) }), form, make("div", { class: "row" }, back)].filter((each) => each !== null));
  }

  /** What a person would say about the wait. @param {any} place @returns {string} */
  words(place) {
    const joined = this.config.language.startsWith("zh") ? "" : " ";
    const opens = place.opens_at && !place.open ? say(this.config, "opens", { when: moment(this.config, place.opens_at) }) : "";
    const stands = place.place > 1 ? say(this.config, "place", { n: place.place }) : say(this.config, "next");
    const wait = place.wait_s ? say(this.config, "wait", { n: Math.max(1, Math.round(place.wait_s / 60)) }) : "";
    const parts = place.online ? [stands, wait] : [opens, stands, say(this.config, this.left ? "left" : "nobody")];
    return parts.filter(Boolean).join(joined);
  }

  /** The visitor has left a way to be reached. */
  reachable() {
    this.left = true;
    if (this.last) this.draw(this.last);
  }

  relabel() {
    if (!this.last) return;
    this.place.querySelector("form")?.remove();
    this.draw(this.last);
  }

  #form() {
    const field = (/** @type {string} */ key, /** @type {Record<string, string>} */ more) => {
      const input = make("input", { name: key, id: `leave-${key}`, ...more });
      return { input, row: make("div", { class: "field" }, put(this.config, make("label", { for: input.id }), key), input) };
    };
    const email = field("email", { type: "email", autocomplete: "email", maxlength: "200" });
    const phone = field("phone", { type: "tel", autocomplete: "tel", maxlength: "40" });
    const form = make("form", {}, email.row, phone.row, put(this.config, make("button", { class: "quick", type: "submit" }), "leave"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!form.reportValidity()) return;
      this.on.details(email.input.value, phone.input.value);
    });
    return form;
  }
}

/** A moment as people say it. @param {any} config @param {string} at ISO 8601 */
function moment(config, at) {
  return new Intl.DateTimeFormat(tag(config), { weekday: "long", hour: "2-digit", minute: "2-digit" }).format(new Date(at));
}
