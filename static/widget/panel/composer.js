// The text box: Enter sends, Shift+Enter breaks the line, and Enter that ends an input method's word does neither.
import { say } from "./words.js";

const NEAR_LIMIT = 200;

export class Composer {
  /**
   * @param {any} config
   * @param {{send(text: string): void, stop(): void}} on
   */
  constructor(config, on) {
    this.config = config;
    this.on = on;
    this.form = /** @type {HTMLFormElement} */ (document.getElementById("composer"));
    this.box = /** @type {HTMLTextAreaElement} */ (this.form.querySelector("textarea"));
    this.button = /** @type {HTMLButtonElement} */ (document.getElementById("send"));
    this.stop = /** @type {HTMLButtonElement} */ (document.getElementById("stop"));
    this.counter = /** @type {HTMLElement} */ (document.getElementById("counter"));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.box.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      this.#send();
    });
    this.box.addEventListener("input", () => this.#measure());
    this.stop.addEventListener("click", () => this.on.stop());
    this.box.readOnly = false; // until now an Enter would have been lost
    this.#measure();
  }

  focus() {
    this.box.focus();
  }

  /** @param {boolean} busy an answer is being written */
  busy(busy) {
    this.stop.hidden = !busy;
    this.button.hidden = busy && !this.box.value.trim();
  }

  /** Put a text that could not be sent back, if nothing new was begun. @param {string} text */
  giveBack(text) {
    if (!this.box.value) this.box.value = text;
    this.#measure();
  }

  #send() {
    const text = this.box.value.trim();
    if (!text || this.#over()) return;
    this.box.value = "";
    this.#measure();
    this.on.send(text);
    this.box.focus();
  }

  #over() {
    return Array.from(this.box.value).length > this.config.longest;
  }

  #measure() {
    const left = this.config.longest - Array.from(this.box.value).length;
    this.counter.hidden = left > NEAR_LIMIT;
    this.counter.textContent = left < 0 ? say(this.config, "too_long", { n: this.config.longest }) : String(left);
    this.button.disabled = !this.box.value.trim() || left < 0;
    if (!this.stop.hidden) this.button.hidden = !this.box.value.trim();
    this.box.style.height = "auto";
    this.box.style.height = `${Math.min(160, this.box.scrollHeight + 2)}px`;
  }
}
