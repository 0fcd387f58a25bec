"""Typed reading of environment variables; every error names the variable and what it should look like."""

import os
from pathlib import Path


class BadSetting(Exception):
    """An environment variable holds a value that cannot be used."""

    def __init__(self, name: str, value: str, expected: str) -> None:
        super().__init__(f"{name}={value!r} cannot be used: expected {expected}.")


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, default).strip()


def integer(name: str, default: int) -> int:
    value = text(name)
    if not value:
        return default
    try:
        return int(value)
    except ValueError:
        raise BadSetting(name, value, "a whole number") from None


def number(name: str, default: float) -> float:
    value = text(name)
    if not value:
        return default
    try:
        return float(value)
    except ValueError:
        raise BadSetting(name, value, "a number") from None


def flag(name: str, default: bool = False) -> bool:
    value = text(name).lower()
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    if not value:
        return default
    raise BadSetting(name, value, "on or off")


def words(name: str, default: tuple[str, ...] = ()) -> list[str]:
    """A comma-separated list."""
    value = text(name)
    return [word.strip() for word in value.split(",") if word.strip()] if value else list(default)


def folder(name: str, default: Path) -> Path:
    value = text(name)
    return Path(value).expanduser() if value else default
