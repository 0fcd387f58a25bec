// A passage behind a citation, opened in place.
import { fill, icon, make, outward, ownDirection } from "../../shared/safe.js";
import { put } from "./words.js";

/** @param {any} config @param {any} found @param {() => void} close */
export function card(config, found, close) {
  const button = make("button", { class: "tool", type: "button" }, icon("close"));
  put(config, button, "close_source", {}, "aria-label");
  button.addEventListener("click", close);
  const body = make("div", { class: "prose", dir: "auto" });
  if (found.html) fill(body, found.html);
  else body.textContent = found.text ?? "";
  outward(body);
  ownDirection(body);
  const link = found.url ? make("a", { href: found.url, target: "_blank", rel: "noopener noreferrer" }) : null;
  if (link) put(config, link, "open_source");
  return make(
    "section",
    { class: "source" },
    make("header", {}, make("h2", { text: found.heading || found.title || "", dir: "auto" }), button),
    found.title ? make("p", { class: "path", text: found.title, dir: "auto" }) : null,
    body,
    link,
  );
}
