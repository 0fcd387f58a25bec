// A site's own look, as far as it may go: an accent on which white can be read, a radius, a font, light or dark.

const ENOUGH = 4.5;

/** @param {{accent?: string, radius?: string, font?: string, colorScheme?: string}} theme @returns {string} the accent used */
export function dress(theme) {
  const style = document.documentElement.style;
  const accent = readable((theme.accent ?? "").trim());
  if (accent) style.setProperty("--accent", accent);
  const radius = parseFloat(theme.radius ?? "");
  if (radius >= 0 && radius <= 24) style.setProperty("--r-bubble", `${radius}px`);
  if (theme.font && /^[\w\s"',-]{1,120}$/.test(theme.font)) style.fontFamily = theme.font;
  if (theme.colorScheme) style.colorScheme = { light: "light", dark: "dark" }[theme.colorScheme] ?? "";
  return accent;
}

/**
 * A colour `#rgb` or `#rrggbb`, darkened until white can be read on it; "" for anything else.
 * @param {string} colour
 */
export function readable(colour) {
  const hex = /^#([\da-f]{3}|[\da-f]{6})$/i.exec(colour)?.[1];
  if (!hex) return "";
  const pairs = hex.length === 3 ? [...hex].map((digit) => digit + digit) : /** @type {string[]} */ (hex.match(/../g));
  let parts = pairs.map((pair) => parseInt(pair, 16));
  while (1.05 / (brightness(parts) + 0.05) < ENOUGH) parts = parts.map((part) => Math.floor(part * 0.97));
  return `#${parts.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}

/** @param {number[]} parts */
function brightness(parts) {
  const light = parts.map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2];
}
