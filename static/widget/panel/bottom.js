// Sticks to the newest message while the reader is there; else offers a way down.

const NEAR = 80;

export class Bottom {
  constructor() {
    this.box = /** @type {HTMLElement} */ (document.getElementById("scroll"));
    this.button = /** @type {HTMLElement} */ (document.getElementById("down"));
    this.stuck = true;
    this.own = 0;
    this.below = 0; // how much there was at the last look
    this.box.addEventListener("scroll", () => {
      if (Math.abs(this.box.scrollTop - this.own) < 2) return; // our own move
      this.below = this.#distance();
      this.stuck = this.below < NEAR;
      if (this.stuck) this.button.hidden = true;
    });
    this.button.querySelector("button")?.addEventListener("click", () => {
      this.go();
      this.box.focus({ preventScroll: true });
    });
    // whatever grows, it is looked at once a frame
    const watch = new ResizeObserver(() => {
      if (this.stuck) this.#move();
      else {
        const before = this.below;
        this.below = this.#distance();
        if (this.below < NEAR || this.below > before) this.button.hidden = this.below < NEAR;
      }
    });
    watch.observe(this.box);
    watch.observe(/** @type {Element} */ (this.box.firstElementChild));
  }

  /** Down, whatever the reader was reading. */
  go() {
    this.stuck = true;
    this.button.hidden = true;
    this.#move();
  }

  #move() {
    this.box.scrollTop = this.box.scrollHeight;
    this.own = this.box.scrollTop;
  }

  #distance() {
    return this.box.scrollHeight - this.box.clientHeight - this.box.scrollTop;
  }
}
