// Citations: numbered chips below an answer, the passage opens in place.
import { make } from "../../shared/safe.js";
import { put, say } from "./words.js";

/**
 * @typedef {{chips: HTMLElement[], place: HTMLElement, show(n: number): void}} Sources
 */

/**
 * @param {any} config
 * @param {{n: number, passage: string, title: string, heading: string}[]} citations
 * @param {(id: string) => Promise<any>} fetchPassage
 * @returns {Sources}
 */
export function sources(config, citations, fetchPassage) {
  const place = make("div", { class: "place" });
  let shown = 0;

  /** @param {number} n */
  async function show(n) {
    const citation = citations.find((each) => each.n === n);
    if (!citation || shown === n) {
      shown = 0;
      place.replaceChildren();
      mark();
      return;
    }
    shown = n;
    mark();
    const { card } = await import("./card.js");
    const found = await fetchPassage(citation.passage).catch(() => ({ text: say(config, "offline") }));
    if (shown !== n) return;
    place.replaceChildren(card(config, found, () => show(n)));
  }

  function mark() {
    chips.forEach((chip, at) => chip.setAttribute("aria-expanded", String(citations[at]?.n === shown)));
  }

  const chips = citations.map((citation) => {
    const title = citation.heading || citation.title;
    const chip = make(
      "button",
      { class: "chip", type: "button", "aria-expanded": "false" },
      make("span", { class: "n", text: String(citation.n) }),
      make("span", { class: "title", text: title, dir: "auto" }),
    );
    put(config, chip, "source", { n: citation.n, title }, "aria-label");
    chip.addEventListener("click", () => show(citation.n));
    return chip;
  });
  return { chips, place, show };
}

/**
 * Turn the marks `[1]` in an answer into buttons.
 * @param {any} config
 * @param {HTMLElement} bubble
 * @param {{n: number, title: string}[]} citations
 * @param {Sources} list
 */
export function cite(config, bubble, citations, list) {
  const numbers = new Set(citations.map((citation) => citation.n));
  const walker = document.createTreeWalker(bubble, NodeFilter.SHOW_TEXT);
  const texts = /** @type {Text[]} */ ([]);
  while (walker.nextNode()) texts.push(/** @type {Text} */ (walker.currentNode));
  for (const text of texts) {
    const parts = text.data.split(/\s?\[(\d{1,3})\]/);
    if (parts.length < 2 || text.parentElement?.closest("code")) continue;
    const nodes = parts.map((part, at) => {
      const n = Number(part);
      if (at % 2 === 0 || !numbers.has(n)) return document.createTextNode(part);
      const button = make("button", { class: "cite", type: "button", text: part });
      put(config, button, "citation", { n }, "aria-label");
      button.addEventListener("click", () => list.show(n));
      return button;
    });
    text.replaceWith(...nodes);
  }
}
