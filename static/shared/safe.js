// The only file that turns text into markup. The HTML comes from our server, which has cleaned it; where the browser
// has a sanitiser of its own, that is the second wall.

/** @type {{createHTML(html: string): any} | null} */
const policy = /** @type {any} */ (window).trustedTypes?.createPolicy("baton", { createHTML: (html) => html }) ?? null;

/**
 * Fill an element with an answer or a passage. Its HTML has no class, style or data; the sanitiser would drop them.
 * @param {Element} element
 * @param {string} html
 */
export function fill(element, html) {
  const target = /** @type {any} */ (element);
  if (typeof target.setHTML === "function") target.setHTML(html);
  else place(element, html);
}

/**
 * Fill an element with a part of our own pages, as a template of ours has made it.
 * @param {Element} element
 * @param {string} html
 */
export function place(element, html) {
  element.innerHTML = policy ? policy.createHTML(html) : html;
}

/**
 * Let the links of an answer open outside of this page.
 * @param {Element} element
 */
export function outward(element) {
  for (const link of element.querySelectorAll("a[href]")) {
    link.setAttribute("target", "_blank");
    link.setAttribute("rel", "noopener noreferrer nofollow");
  }
}

/**
 * Let each block of an answer run in the direction of its own words.
 * @param {Element} element
 */
export function ownDirection(element) {
  for (const block of element.querySelectorAll("p, li, h3, h4, h5, h6, td, th, blockquote")) block.setAttribute("dir", "auto");
  for (const code of element.querySelectorAll("pre")) code.setAttribute("dir", "ltr");
}

/**
 * Make an element.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, string | undefined>} [attributes] `text` is its text, undefined values are left out
 * @param {...(Node | null | undefined)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined) continue;
    if (name === "text") element.textContent = value;
    else element.setAttribute(name, value);
  }
  for (const child of children) if (child) element.append(child);
  return element;
}

/**
 * An icon of the page's sprite.
 * @param {string} name
 */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}
