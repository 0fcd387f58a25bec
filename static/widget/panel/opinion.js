// Thumbs under an answer, with a reason if one likes.
import { icon, make } from "../../shared/safe.js";
import { put } from "./words.js";

/**
 * Thumbs for one answer.
 * @param {any} config
 * @param {(value: number, reason?: string) => void} send
 */
export function thumbs(config, send) {
  const buttons = [1, -1].map((value) => {
    const button = make("button", { class: `tool thumb${value < 0 ? " down-thumb" : ""}`, type: "button", "aria-pressed": "false", "data-value": String(value) }, icon("up"));
    put(config, button, value > 0 ? "helpful" : "not_helpful", {}, "aria-label");
    put(config, button, value > 0 ? "helpful" : "not_helpful", {}, "title");
    button.addEventListener("click", () => {
      if (button.getAttribute("aria-pressed") === "true") return;
      press(group, value);
      send(value);
      if (value > 0) reason.replaceChildren(thanks());
      else askWhy();
    });
    return button;
  });
  const thanks = () => put(config, make("span", { class: "muted" }), "thanks");
  const askWhy = async () => {
    const { why } = await import("./reason.js");
    reason.replaceChildren(why(config, (text) => {
      send(-1, text);
      reason.replaceChildren(thanks());
      buttons[1].focus();
    }));
    reason.querySelector("input")?.focus();
  };
  const reason = make("div", { class: "reason" });
  const group = make("span", { class: "thumbs", role: "group" }, ...buttons);
  put(config, group, "helpful_question", {}, "aria-label");
  return { group, reason };
}

/** @param {Element} group @param {number} [value] */
export function press(group, value) {
  for (const button of group.querySelectorAll("button")) button.setAttribute("aria-pressed", String(Number(button.dataset.value) === value));
}
