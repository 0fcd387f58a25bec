// A button that copies each block of code of an answer.
import { icon, make } from "../../shared/safe.js";
import { put, say } from "./words.js";

/** @param {any} config @param {HTMLElement} bubble @param {{announce(text: string): void}} view */
export function copies(config, bubble, view) {
  if (!navigator.clipboard) return;
  for (const code of bubble.querySelectorAll("pre")) {
    const button = put(config, make("button", { class: "tool copy", type: "button" }, icon("copy")), "copy", {}, "aria-label");
    const text = code.textContent ?? "";
    button.addEventListener("click", () =>
      navigator.clipboard.writeText(text).then(
        () => {
          button.replaceChildren(icon("check"));
          view.announce(say(config, "copied"));
        },
        () => getSelection()?.selectAllChildren(code),
      ),
    );
    const frame = make("div", { class: "code" });
    code.replaceWith(frame);
    frame.append(code, button);
    code.setAttribute("tabindex", "0");
  }
}
