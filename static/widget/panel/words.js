// The panel's texts, from the page's data.

/**
 * @param {{texts: Record<string, string>}} config
 * @param {string} key
 * @param {Record<string, string | number>} [values] for `{name}` in the text
 */
export function say(config, key, values = {}) {
  return (config.texts[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}
