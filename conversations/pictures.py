"""What a file really is, told by its first bytes; pictures are drawn anew, so that nothing else travels in them."""

import io
import warnings
from dataclasses import dataclass

from PIL import Image, ImageOps, UnidentifiedImageError

MOST_PIXELS = 40_000_000
LONGEST_SIDE = 4_096
PICTURES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
ACCEPTED = (*PICTURES.values(), "application/pdf", "text/plain")
_MAGIC = ((b"\xff\xd8\xff", "JPEG"), (b"\x89PNG\r\n\x1a\n", "PNG"))
_ENDINGS = {
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "application/pdf": ".pdf",
    "text/plain": ".txt",
}


class NotAccepted(Exception):
    """The bytes are none of the kinds of file that are taken."""


@dataclass(frozen=True)
class Examined:
    """A file that may be kept. `data` of a picture holds its pixels only: no place, no camera, nothing appended."""

    mime: str
    data: bytes
    width: int | None = None
    height: int | None = None

    @property
    def ending(self) -> str:
        return _ENDINGS[self.mime]


def examine(data: bytes) -> Examined:
    """Raises `NotAccepted`. Names and claimed types play no part."""
    if form := _picture(data):
        return _redrawn(data, form)
    if data.startswith(b"%PDF-"):
        return Examined("application/pdf", data)
    if _is_text(data):
        return Examined("text/plain", data)
    raise NotAccepted


def _picture(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return next((form for magic, form in _MAGIC if data.startswith(magic)), None)


def _redrawn(data: bytes, form: str) -> Examined:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=[form]) as picture:
                if picture.width * picture.height > MOST_PIXELS:
                    raise NotAccepted
                upright = ImageOps.exif_transpose(picture)
                upright.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
                fitting = upright.convert("RGB") if form == "JPEG" or upright.mode == "CMYK" else upright
                fitting.info = {}
                out = io.BytesIO()
                fitting.save(out, form, **({} if form == "PNG" else {"quality": 88}))
    except (UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise NotAccepted from None
    except (
        OSError,
        SyntaxError,
        ValueError,
    ):  # what Pillow raises for pictures that are cut off or lie about themselves
        raise NotAccepted from None
    return Examined(PICTURES[form], out.getvalue(), fitting.width, fitting.height)


def _is_text(data: bytes) -> bool:
    """UTF-8 without control characters; markup is refused, whatever it calls itself."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return False
    if not text.strip() or any(ord(character) < 32 and character not in "\t\r\n\f" for character in text):
        return False
    return not text.lstrip().startswith("<")
