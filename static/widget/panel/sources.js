// Citations: numbered chips below an answer, the passage opens in place.
import { fill, icon, make, outward } from "../../shared/safe.js";
import { say } from "./words.js";

/**
 * @typedef {{chips: HTMLElement[], place: HTMLElement, show(n: number): void}} Sources
 */

/**
 * @param {any} config
 * @param {{n: number, passage: string, title: string, heading: string}[]} citations
 * @param {(id: string) => Promise<any>} fetchPassage
 * @param {() => void} grown called when the page got longer
 * @returns {Sources}
 */
export function sources(config, citations, fetchPassage, grown) {
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
    const found = await fetchPassage(citation.passage).catch(() => ({ text: say(config, "offline") }));
    if (shown !== n) return;
    place.replaceChildren(card(config, found, () => show(n)));
    grown();
  }

  function mark() {
    chips.forEach((chip, at) => chip.setAttribute("aria-expanded", String(citations[at]?.n === shown)));
  }

  const chips = citations.map((citation) => {
    const title = citation.heading || citation.title;
    const chip = make(
      "button",
      { class: "chip", type: "button", "aria-expanded": "false", "aria-label": say(config, "source", { n: citation.n, title }) },
      make("span", { class: "n", text: String(citation.n) }),
      make("span", { class: "title", text: title }),
    );
    chip.addEventListener("click", () => show(citation.n));
    return chip;
  });
  return { chips, place, show };
}

/**
 * Turn the marks `[1]` in an answer into buttons.
 * @param {HTMLElement} bubble
 * @param {{n: number, title: string}[]} citations
 * @param {Sources} list
 */
export function cite(bubble, citations, list) {
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
      button.addEventListener("click", () => list.show(n));
      return button;
    });
    text.replaceWith(...nodes);
  }
}

/** @param {any} config @param {any} found @param {() => void} close */
function card(config, found, close) {
  const button = make("button", { class: "tool", type: "button", "aria-label": say(config, "close_source") }, icon("close"));
  button.addEventListener("click", close);
  const body = make("div", { class: "prose", dir: "auto" });
  if (found.html) fill(body, found.html);
  else body.textContent = found.text ?? "";
  outward(body);
  const link = found.url ? make("a", { href: found.url, target: "_blank", rel: "noopener noreferrer", text: say(config, "open_source") }) : null;
  return make(
    "section",
    { class: "source" },
    make("header", {}, make("h2", { text: found.heading || found.title || "", dir: "auto" }), button),
    found.title ? make("p", { class: "path", text: found.title, dir: "auto" }) : null,
    body,
    link,
  );
}
