// What was wrong with an answer, in the visitor's words, if they like.
import { make } from "../../shared/safe.js";
import { put } from "./words.js";

/** @param {any} config @param {(text: string) => void} send */
export function why(config, send) {
  const input = make("input", { type: "text", maxlength: "1000", dir: "auto" });
  put(config, input, "why", {}, "aria-label");
  put(config, input, "why", {}, "placeholder");
  const form = make("form", {}, input, put(config, make("button", { class: "quick bot", type: "submit" }), "send"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value.trim()) send(input.value.trim());
  });
  return form;
}
