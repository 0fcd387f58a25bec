// An answer while it is written: finished Markdown blocks as HTML, the open one as text with its marks hidden.
import { fill, make, outward, ownDirection } from "./safe.js";

const MARKS = /(\*\*|__)(.+?)\1|`([^`]+)`|\[([^\]\n]+)\]\([^)\s]*\)|(\*\*|__|`)/g;
const HALF_CITATION = /\[\d*$/;
const HALF_LINK = /\[([^\]\n]*)(?:\](?:\([^)\s]*)?)?$/;

export class Stream {
  /**
   * @param {string} turn
   * @param {HTMLElement} body where the answer goes
   */
  constructor(turn, body) {
    this.turn = turn;
    this.body = body;
    this.text = /** @type {string[]} */ ([]); // by code point: offsets on the wire count those
    this.closed = 0;
    this.open = make("p", { dir: "auto" });
    this.caret = make("span", { class: "caret", "aria-hidden": "true" });
    body.replaceChildren(this.open);
  }

  get at() {
    return this.text.length;
  }

  /**
   * Take in a delta frame. What is known already is passed over.
   * @param {{from: number, text: string, blocks: {to: number, html: string}[]}} frame
   */
  add(frame) {
    const points = Array.from(frame.text);
    if (frame.from > this.at) return; // a gap: the finished message will bring the whole text
    this.text.push(...points.slice(this.at - frame.from));
    for (const block of frame.blocks) {
      if (block.to <= this.closed) continue;
      const part = make("div", { class: "block", dir: "auto" });
      fill(part, block.html);
      outward(part);
      ownDirection(part);
      this.open.before(part);
      this.closed = block.to;
    }
    this.#showOpen();
  }

  #showOpen() {
    const rest = this.text.slice(this.closed).join("").replace(/^\s+/, "").replace(HALF_CITATION, "").replace(HALF_LINK, "$1");
    const nodes = [];
    let last = 0;
    for (const mark of rest.matchAll(MARKS)) {
      nodes.push(document.createTextNode(rest.slice(last, mark.index)));
      if (mark[2]) nodes.push(make("strong", { text: mark[2] }));
      else if (mark[3]) nodes.push(make("code", { text: mark[3] }));
      else if (mark[4]) nodes.push(make("u", { text: mark[4].replace(/[*_`]{1,2}/g, "") }));
      last = mark.index + mark[0].length;
    }
    nodes.push(document.createTextNode(rest.slice(last)));
    this.open.replaceChildren(...nodes, this.caret);
    this.open.classList.toggle("pre", rest.includes("\n"));
  }
}
