// A rating of the conversation at its end, 1 to 5; it can be put aside, and is asked for once.
import { make } from "../../shared/safe.js";
import { put } from "./words.js";

/**
 * Ask, in `place`. @param {any} config @param {HTMLElement} place
 * @param {(score: number | null, comment: string) => void} send no score: not now
 */
export function ask(config, place, send) {
  let score = 0;
  const legend = put(config, make("legend"), "rate");
  const scores = [1, 2, 3, 4, 5].map((each) => {
    const button = make("button", { class: "score", type: "button", "aria-pressed": "false", text: String(each) });
    put(config, button, "score", { n: each }, "aria-label");
    button.addEventListener("click", () => {
      score = each;
      scores.forEach((other, at) => other.setAttribute("aria-pressed", String(at + 1 === each)));
      more.hidden = false;
      done.disabled = false;
    });
    return button;
  });
  const ends = make("div", { class: "ends", "aria-hidden": "true" }, put(config, make("span"), "bad"), put(config, make("span"), "great"));
  const more = make("input", { type: "text", maxlength: "1000", dir: "auto", hidden: "" });
  put(config, more, "comment", {}, "aria-label");
  put(config, more, "comment", {}, "placeholder");
  const done = put(config, make("button", { class: "primary", type: "submit", disabled: "" }), "send_rating");
  const skip = put(config, make("button", { class: "plain", type: "button" }), "not_now");
  const form = make("form", {}, make("fieldset", {}, legend, make("div", { class: "scores" }, ...scores), ends), more, make("div", { class: "row" }, done, skip));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (score) send(score, more.value);
  });
  skip.addEventListener("click", () => send(null, ""));
  place.replaceChildren(form);
}
