// Times of the reader's own zone and language.

/**
 * Rewrite every <time datetime> below an element.
 * @param {ParentNode} root
 */
export function localise(root) {
  const language = document.documentElement.lang || undefined;
  for (const element of root.querySelectorAll("time[datetime]")) {
    show(/** @type {HTMLTimeElement} */ (element), language);
  }
}

/**
 * One <time datetime>.
 * @param {HTMLTimeElement} element
 * @param {string | undefined} language
 */
export function show(element, language) {
  const at = new Date(element.dateTime);
  if (Number.isNaN(at.getTime())) return;
  element.textContent = element.hasAttribute("data-since") ? since(at, language) : clock(at, language);
  element.title = format(language, { dateStyle: "medium", timeStyle: "short" }).format(at);
}

/** Making one costs more than a thousand uses. @type {Map<string, Intl.DateTimeFormat>} */
const formats = new Map();

/** @param {string | undefined} language @param {Intl.DateTimeFormatOptions} form */
function format(language, form) {
  const key = language + JSON.stringify(form);
  const made = formats.get(key) ?? new Intl.DateTimeFormat(language, form);
  formats.set(key, made);
  return made;
}

/**
 * @param {Date} at
 * @param {string | undefined} language
 */
export function clock(at, language) {
  const today = new Date().toDateString() === at.toDateString();
  /** @type {Intl.DateTimeFormatOptions} */
  const form = { hour: "2-digit", minute: "2-digit", ...(today ? {} : { month: "short", day: "numeric" }) };
  return format(language, form).format(at);
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
