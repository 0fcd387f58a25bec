"""Colours that can be read: the contrast of WCAG 2.2, and the nearest accent that passes."""

import colorsys

ENOUGH = 4.5  # for text


def contrast(one: str, two: str) -> float:
    """The contrast ratio of two colours ``#rrggbb``, 1 to 21."""
    lighter, darker = sorted((_luminance(one), _luminance(two)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def readable_accent(accent: str, on: str = "#ffffff") -> str:
    """`accent`, darkened until `on` can be read on it."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*_parts(accent))
    while contrast(accent, on) < ENOUGH and lightness > 0:
        lightness = max(0.0, lightness - 0.01)
        accent = "#" + "".join(f"{round(part * 255):02x}" for part in colorsys.hls_to_rgb(hue, lightness, saturation))
    return accent


def _luminance(colour: str) -> float:
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in _parts(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _parts(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue
