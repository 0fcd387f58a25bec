"""The keyring: the AES-256 keys by id, from the environment or, in the trial, from a generated file."""

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.core.exceptions import ImproperlyConfigured

KEY_BYTES = 32
NONCE_BYTES = 12


class CannotUnseal(Exception):
    """A sealed value was altered, moved to another row, or its key is missing from the keyring."""


@dataclass(frozen=True)
class Keyring:
    """The keys by id. The first one writes, all of them read. `index_key` makes `fingerprint` values and never rotates."""

    keys: dict[str, bytes]
    index_key: bytes

    @property
    def current_id(self) -> str:
        return next(iter(self.keys))

    def seal(self, text: str, place: bytes) -> str:
        nonce = os.urandom(NONCE_BYTES)
        sealed = nonce + AESGCM(self.keys[self.current_id]).encrypt(nonce, text.encode(), place)
        return f"{self.current_id}.{base64.urlsafe_b64encode(sealed).decode()}"

    def open(self, value: str, place: bytes) -> str:
        """Raises `CannotUnseal`."""
        key_id, _, body = value.partition(".")
        key = self.keys.get(key_id)
        if key is None:
            raise CannotUnseal(f"no key named {key_id!r} is configured")
        try:
            sealed = base64.urlsafe_b64decode(body)
            return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place).decode()
        except (InvalidTag, binascii.Error, ValueError):
            raise CannotUnseal("the value was altered or belongs to another row") from None

    def seal_bytes(self, data: bytes, place: bytes) -> bytes:
        """As `seal`, for files: ``k1.`` and then nonce, ciphertext and tag as they are."""
        nonce = os.urandom(NONCE_BYTES)
        return f"{self.current_id}.".encode() + nonce + AESGCM(self.keys[self.current_id]).encrypt(nonce, data, place)

    def open_bytes(self, sealed: bytes, place: bytes) -> bytes:
        """Raises `CannotUnseal`."""
        key_id, _, body = sealed.partition(b".")
        key = self.keys.get(key_id.decode("ascii", "replace"))
        if key is None:
            raise CannotUnseal("no key of that name is configured")
        try:
            return AESGCM(key).decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], place)
        except (InvalidTag, ValueError):
            raise CannotUnseal("the file was altered or belongs to another row") from None

    def fingerprint(self, text: str) -> str:
        return hmac.new(self.index_key, text.encode(), hashlib.sha256).hexdigest()


@lru_cache(maxsize=1)
def keyring() -> Keyring:
    """The keyring of this process, from ``BATON_KEYS`` or, in the trial, from a generated file."""
    from django.conf import settings  # which reads the trial's keys through this module

    return parse_keyring(settings.BATON_KEYS)


def parse_keyring(lines: str) -> Keyring:
    """Read ``k2:<base64>,k1:<base64>,index:<base64>``: the newest key first, each of 32 bytes."""
    if not lines.strip():
        raise ImproperlyConfigured("BATON_KEYS is not set (manage.py new_key prints a first setting).")
    keys: dict[str, bytes] = {}
    for entry in filter(None, (part.strip() for part in lines.replace("\n", ",").split(","))):
        key_id, _, encoded = entry.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        if len(key) != KEY_BYTES or not key_id.isidentifier():
            raise ImproperlyConfigured(
                f"BATON_KEYS: entry {key_id!r} is not a name and {KEY_BYTES} bytes in base64 "
                "(manage.py new_key prints a first setting)."
            )
        keys[key_id] = key
    index_key = keys.pop("index", None)
    if index_key is None or not keys:
        raise ImproperlyConfigured(
            "BATON_KEYS needs an 'index' key and at least one other (manage.py new_key prints a first setting)."
        )
    return Keyring(keys, index_key)


def new_key_line(key_id: str) -> str:
    return f"{key_id}:{base64.b64encode(os.urandom(KEY_BYTES)).decode()}"


def first_setting() -> str:
    """A value for ``BATON_KEYS`` with everything in it that a new installation needs."""
    return f"{new_key_line('k1')},{new_key_line('index')}"


def keys_from_file(path: Path) -> str:
    """Read the trial's key file, making it (mode 600) on the first run. It belongs in the backup, not in the repository."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{new_key_line('k1')}\n{new_key_line('index')}\n")
        with contextlib.suppress(FileExistsError):  # another process was first: its keys are the keys
            os.link(fresh, path)
        fresh.unlink()
    return path.read_text()
