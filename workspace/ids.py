"""Opaque public ids such as ``cnv_3k9f…``: random, unguessable, safe in a URL, never reused."""

import base64
import secrets
from typing import TYPE_CHECKING, Any

from django.db import models
from django.utils.deconstruct import deconstructible

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u to misread
RANDOM_CHARACTERS = 20  # 100 bits
_RANDOM_BYTES = 13
_IN_OURS = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", ALPHABET.encode())


def new_id(prefix: str) -> str:
    """A fresh id, for example ``new_id("cnv") == "cnv_7m2p…"`` (prefix, underscore, 100 random bits)."""
    drawn = base64.b32encode(secrets.token_bytes(_RANDOM_BYTES))[:RANDOM_CHARACTERS]
    return f"{prefix}_{drawn.translate(_IN_OURS).decode()}"


if TYPE_CHECKING:
    _CharField = models.CharField[str, str]
else:
    _CharField = models.CharField


@deconstructible
class _NewId:
    """A default for a model field that migrations can write down."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def __call__(self) -> str:
        return new_id(self.prefix)


class PublicIdField(_CharField):
    """The id that leaves this system. Primary keys never do."""

    def __init__(self, prefix: str = "", **options: Any) -> None:
        self.prefix = prefix
        options.setdefault("max_length", 32)
        options.setdefault("unique", True)
        options.setdefault("editable", False)
        options.setdefault("default", _NewId(prefix))
        super().__init__(**options)

    def get_prep_value(self, value: Any) -> Any:
        """Ids come from outside; PostgreSQL fails on a zero byte, which no id of ours holds."""
        value = super().get_prep_value(value)
        return value.replace("\x00", "?") if isinstance(value, str) else value

    def deconstruct(self) -> Any:
        name, path, args, options = super().deconstruct()
        return name, path, args, {**options, "prefix": self.prefix}
