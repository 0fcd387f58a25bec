// Several answers to one question: a pager under each.
import { icon, make } from "../../shared/safe.js";
import { put } from "./words.js";

/** @param {any} config @param {HTMLElement[]} all the newest last; that one shows */
export function page(config, all) {
  all.forEach((each, at) => {
    each.querySelector(".variants")?.remove();
    const step = (/** @type {number} */ to, /** @type {string} */ key, /** @type {string} */ mark) => {
      const button = put(config, make("button", { class: `tool ${mark}`, type: "button" }, icon("down")), key, {}, "aria-label");
      button.disabled = to < 0 || to >= all.length;
      button.addEventListener("click", () => {
        for (const other of all) other.hidden = other !== all[to];
        /** @type {HTMLElement | null} */ (all[to].querySelector(`.variants .${mark}:enabled, .variants :enabled`))?.focus();
      });
      return button;
    };
    const pager = make("span", { class: "variants" }, step(at - 1, "earlier", "before"), make("span", { text: `${at + 1}/${all.length}` }), step(at + 1, "later", "after"));
    (each.querySelector(".acts") ?? each.appendChild(make("div", { class: "acts" }))).prepend(pager);
  });
}
