// A long conversation: what came before its newest part is drawn in parts, as the reader goes up.
import { make } from "../../shared/safe.js";
import { put } from "./words.js";

const AHEAD = "600px 0px 0px"; // it is there before the reader is

/**
 * @param {any} config
 * @param {import("./view.js").View} view
 * @param {any[]} rest what happened and is not drawn yet
 * @param {(all: any[]) => number} newest where the newest part of it begins
 * @param {(happened: any) => void} draw
 * @param {() => Promise<any>} files loads what draws them
 */
export function earlier(config, view, rest, newest, draw, files) {
  const { box } = view.bottom;
  const greeting = /** @type {HTMLElement} */ (view.log.firstElementChild);
  const button = put(config, make("button", { class: "quick", type: "button" }), "past");
  const place = make("li", { class: "past" }, button);
  const watch = new IntersectionObserver(([seen]) => seen?.isIntersecting && !isHeld() && requestAnimationFrame(up), { root: box, rootMargin: AHEAD });
  greeting.hidden = true; // it comes before everything
  view.log.prepend(place);
  button.addEventListener("click", up);
  addEventListener("beforeprint", () => {
    while (rest.length && place.isConnected) add();
  });
  watch.observe(place);

  /** One part more; what the reader looks at stays where it is. */
  async function up() {
    if (rest.slice(newest(rest)).some(({ kind }) => kind === "file.added")) await files();
    if (!rest.length || !place.isConnected) return;
    const below = box.scrollHeight - box.scrollTop;
    const held = isHeld();
    add();
    await null; // files are put into their places
    if (!held) box.scrollTop = box.scrollHeight - below;
    watch.unobserve(place);
    if (rest.length) watch.observe(place); // it may be in sight still
  }

  /** Who pressed the button reads on below it; else it would have gone out of sight with the focus. */
  function isHeld() {
    return document.activeElement === button;
  }

  function add() {
    const from = newest(rest);
    const { log, stream, item, question, answer, replaying } = view;
    const part = document.createDocumentFragment();
    Object.assign(view, { log: part, stream: null, item: null, replaying: true });
    try {
      rest.slice(from).forEach(draw);
    } finally {
      Object.assign(view, { log, stream, item, question, answer });
    }
    place.after(part);
    if (!replaying) view.replayed();
    rest = rest.slice(0, from);
    if (from) return;
    if (document.activeElement === button) box.focus({ preventScroll: true });
    greeting.hidden = false;
    place.replaceWith(greeting);
  }
}
