"""Which of our languages serves a reader, and the wording of a text in it."""

from collections.abc import Mapping

from workspace.chinese import traditional


def texts_in(language: str) -> str:
    """Which of our languages serves somebody whose language is `language` (a tag such as "zh", "zh-TW", "fr")."""
    first, *more = language.lower().replace("_", "-").split("-")
    if first != "zh":
        return "en"
    is_hant = "hant" in more or ("hans" not in more and not {"tw", "hk", "mo"}.isdisjoint(more))
    return "zh-hant" if is_hant else "zh-hans"


def pick(wordings: Mapping[str, str], language: str) -> str:
    """The wording in a language. English serves for those that have none; Chinese is put in the other script where only one
    was written."""
    own = wordings.get(language.lower())
    if not own and (ours := texts_in(language)) != "en":
        other = wordings.get(ours) or wordings.get("zh") or ""
        own = traditional(other) if ours == "zh-hant" else other
    return own or wordings.get("en") or ""
