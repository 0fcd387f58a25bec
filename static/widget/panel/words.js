// The panel's texts. An element remembers its own, so that another language needs no reload.
import { localise } from "../../shared/times.js";

/** @typedef {{texts: Record<string, string>, language: string}} Worded */
/** @typedef {Record<string, string | number>} Values */

/**
 * @param {Worded} config
 * @param {string} key
 * @param {Values} [values] for `{name}` in the text
 */
export function say(config, key, values = {}) {
  return (config.texts[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

/**
 * Put a text into an element, or into one of its attributes, in a way that `relabel` finds again.
 * @template {Element} T
 * @param {Worded} config
 * @param {T} element
 * @param {string} key
 * @param {Values} [values]
 * @param {string} [attribute]
 * @returns {T}
 */
export function put(config, element, key, values = {}, attribute = "text") {
  const held = JSON.parse(element.getAttribute("data-words") || "{}");
  element.setAttribute("data-words", JSON.stringify({ ...held, [attribute]: [key, values] }));
  show(config, element, attribute, key, values);
  return element;
}

/** Say everything anew, in the language of `config`. @param {Worded} config @param {ParentNode} [root] */
export function relabel(config, root = document) {
  document.documentElement.lang = tag(config);
  for (const element of root.querySelectorAll("[data-words]")) {
    const held = JSON.parse(element.getAttribute("data-words") || "{}");
    for (const [attribute, [key, values]] of Object.entries(held)) show(config, element, attribute, key, values);
  }
  localise(document);
}

/** @param {Worded} config @param {Element} element @param {string} attribute @param {string} key @param {Values} values */
function show(config, element, attribute, key, values) {
  const text = say(config, key, values);
  if (attribute === "text") element.textContent = text;
  else element.setAttribute(attribute, text);
}

/** @param {Worded} config */
export const tag = (config) => config.language.replace("-h", "-H");

/** @param {number} bytes */
export function megabytes(bytes) {
  return bytes < 1_048_576 ? `${Math.max(1, Math.round(bytes / 1024))} KB` : `${Math.round(bytes / 104_857.6) / 10} MB`;
}
