// The text box: Enter sends, Shift+Enter breaks the line, and Enter that ends an input method's word does neither.
import { put, say } from "./words.js";

const NEAR_LIMIT = 200;
const TYPING_MS = 1_000;

export class Composer {
  /**
   * @param {any} config
   * @param {{send(text: string): void, edit(message: string, text: string): void, stop(): void, typing(): void}} on
   */
  constructor(config, on) {
    this.config = config;
    this.on = on;
    this.form = /** @type {HTMLFormElement} */ (document.getElementById("composer"));
    this.box = /** @type {HTMLTextAreaElement} */ (this.form.querySelector("textarea"));
    this.button = /** @type {HTMLButtonElement} */ (document.getElementById("send"));
    this.stop = /** @type {HTMLButtonElement} */ (document.getElementById("stop"));
    this.counter = /** @type {HTMLElement} */ (document.getElementById("counter"));
    this.editing = /** @type {HTMLElement} */ (document.getElementById("editing"));
    /** The message that gets new words. @type {string | null} */
    this.edited = null;
    this.typedAt = 0;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.box.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.edited) {
        event.stopPropagation();
        this.endEdit();
      }
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      this.form.requestSubmit();
    });
    this.box.addEventListener("input", () => {
      this.#measure();
      if (!this.box.value || Date.now() - this.typedAt < TYPING_MS) return;
      this.typedAt = Date.now();
      this.on.typing();
    });
    this.stop.addEventListener("click", () => this.on.stop());
    this.editing.querySelector("button")?.addEventListener("click", () => this.endEdit());
    this.box.readOnly = false; // until now an Enter would have been lost
    this.#measure();
  }

  focus() {
    this.box.focus();
  }

  /** @param {boolean} busy an answer is being written */
  busy(busy) {
    const held = document.activeElement === this.stop;
    this.stop.hidden = !busy;
    this.button.hidden = busy && !this.box.value.trim();
    if (held && !busy) this.box.focus();
  }

  /** Nothing can be sent from here any more. */
  lock() {
    this.box.disabled = true;
    this.button.disabled = true;
  }

  /** Put a text that could not be sent back, if nothing new was begun. @param {string} text */
  giveBack(text) {
    if (!this.box.value) this.box.value = text;
    this.#measure();
  }

  /** Other words for a question. @param {string} message @param {string} text */
  edit(message, text) {
    this.edited = message;
    this.editing.hidden = false;
    this.box.value = text;
    this.#measure();
    this.box.focus();
  }

  endEdit() {
    if (!this.edited) return;
    this.edited = null;
    this.editing.hidden = true;
    this.box.value = "";
    this.#measure();
    this.box.focus();
  }

  #send() {
    const text = this.box.value.trim();
    if (!text || this.#over() || this.box.disabled) return;
    const message = this.edited;
    this.edited = null;
    this.editing.hidden = true;
    this.box.value = "";
    this.typedAt = 0;
    this.#measure();
    if (message) this.on.edit(message, text);
    else this.on.send(text);
    this.box.focus();
  }

  #over() {
    return Array.from(this.box.value).length > this.config.longest;
  }

  #measure() {
    const left = this.config.longest - Array.from(this.box.value).length;
    this.counter.hidden = left > NEAR_LIMIT;
    if (left < 0) put(this.config, this.counter, "too_long", { n: this.config.longest });
    else {
      this.counter.removeAttribute("data-words");
      this.counter.textContent = say(this.config, "left_characters", { n: left });
    }
    this.box.toggleAttribute("aria-invalid", left < 0);
    if (left < 0) this.box.setAttribute("aria-invalid", "true");
    this.button.disabled = !this.box.value.trim() || left < 0;
    if (!this.stop.hidden) this.button.hidden = !this.box.value.trim();
    this.box.style.height = "auto";
    this.box.style.height = `${Math.min(160, this.box.scrollHeight + 2)}px`;
  }
}
