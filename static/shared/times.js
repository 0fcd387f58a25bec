// Times of the reader's own zone and language.

/**
 * Rewrite every <time datetime> below an element.
 * @param {ParentNode} root
 */
export function localise(root) {
  const language = document.documentElement.lang || undefined;
  for (const element of root.querySelectorAll("time[datetime]")) {
    const at = new Date(/** @type {HTMLTimeElement} */ (element).dateTime);
    if (Number.isNaN(at.getTime())) continue;
    element.textContent = element.hasAttribute("data-since") ? since(at, language) : clock(at, language);
    element.setAttribute("title", at.toLocaleString(language));
  }
}

/**
 * @param {Date} at
 * @param {string | undefined} language
 */
export function clock(at, language) {
  const today = new Date().toDateString() === at.toDateString();
  /** @type {Intl.DateTimeFormatOptions} */
  const form = { hour: "2-digit", minute: "2-digit", ...(today ? {} : { month: "short", day: "numeric" }) };
  return new Intl.DateTimeFormat(language, form).format(at);
}

/**
 * @param {Date} at
 * @param {string | undefined} language
 */
function since(at, language) {
  const seconds = Math.max(0, (Date.now() - at.getTime()) / 1000);
  const units = /** @type {[Intl.RelativeTimeFormatUnit, number][]} */ ([["day", 86400], ["hour", 3600], ["minute", 60]]);
  const form = new Intl.RelativeTimeFormat(language, { style: "narrow", numeric: "auto" });
  for (const [unit, length] of units) if (seconds >= length) return form.format(-Math.floor(seconds / length), unit);
  return form.format(0, "minute");
}
