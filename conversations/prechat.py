"""The form before a chat: which fields an inbox asks for, and whether the answers will do.

A field is ``{"key": "email", "kind": "email", "required": true, "label": {"en": "E-mail", "zh": "邮箱"}}``; kinds are text,
email, tel and choice (with ``"choices": [{"en": "Order", "zh": "订单"}, …]``). The keys name, email and phone fill the contact.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext as _

from conversations.models import Contact
from workspace.wordings import pick

KINDS = ("text", "email", "tel", "choice")
AUTOCOMPLETE = {"name": "name", "email": "email", "phone": "tel"}
MOST_FIELDS = 8
LONGEST = 200
_KEY = re.compile(r"[a-z][a-z0-9_]{0,29}")
_PHONE = re.compile(r"[+\d][\d\s().-]{5,24}")


class BadForm(ValueError):
    """The setting cannot be used; the text says where, in the reader's language."""


@dataclass(frozen=True)
class Checked:
    """Answers that will do, or what is wrong by key: a code of ``required``, ``email``, ``phone`` or ``invalid``."""

    answers: Mapping[str, str]
    wrong: Mapping[str, str]


def fields_in(form: Sequence[Mapping[str, Any]], language: str) -> list[dict[str, Any]]:
    """The fields as the widget draws them, in one language. A setting that cannot be read asks for nothing."""
    try:
        check_form(form)
    except BadForm:
        return []
    return [
        {
            "key": field["key"],
            "kind": field.get("kind", "text"),
            "required": bool(field.get("required")),
            "label": _wording(field["label"], language),
            "autocomplete": AUTOCOMPLETE.get(field["key"], "off"),
            "choices": [
                {"value": _wording(choice, "en"), "label": _wording(choice, language)}
                for choice in field.get("choices", ())
            ],
        }
        for field in form
    ]


def check_answers(form: Sequence[Mapping[str, Any]], given: Mapping[str, Any]) -> Checked:
    answers: dict[str, str] = {}
    wrong: dict[str, str] = {}
    for field in fields_in(form, "en"):
        value = given.get(field["key"], "")
        text = value.strip().replace("\x00", "") if isinstance(value, str) else None
        if text is None or len(text) > LONGEST:
            wrong[field["key"]] = "invalid"
        elif not text:
            if field["required"]:
                wrong[field["key"]] = "required"
        elif problem := _problem(field, text):
            wrong[field["key"]] = problem
        else:
            answers[field["key"]] = text
    return Checked(answers, wrong)


def fill_contact(contact: Contact, answers: Mapping[str, str]) -> None:
    """Write answers into a contact: its own columns, and the rest beside them."""
    rest = dict(contact.details or {})
    for key, text in answers.items():
        if key in AUTOCOMPLETE:
            setattr(contact, key, text)
        else:
            rest[key] = text
    contact.details = rest or None
    contact.save(update_fields=["name", "email", "phone", "details"])


def check_form(form: Any) -> None:
    """Raises `BadForm` for what is not as described above."""
    if not isinstance(form, list) or len(form) > MOST_FIELDS:
        raise BadForm(_("Write a list of at most %(n)d fields: […].") % {"n": MOST_FIELDS})
    keys = [field.get("key") if isinstance(field, Mapping) else None for field in form]
    for at, field in enumerate(form, start=1):
        if not isinstance(field, Mapping) or not isinstance(field.get("key"), str) or not _KEY.fullmatch(field["key"]):
            raise BadForm(_('Field %(n)d needs a "key" of small letters.') % {"n": at})
        if keys.count(field["key"]) > 1:
            raise BadForm(_("The key %(key)s stands there twice.") % {"key": field["key"]})
        if not _is_wording(field.get("label")):
            raise BadForm(_('Field %(n)d needs a "label" such as {"en": "Name", "zh": "姓名"}.') % {"n": at})
        if field.get("kind", "text") not in KINDS:
            raise BadForm(_('"kind" is one of %(kinds)s.') % {"kinds": ", ".join(KINDS)})
        choices = field.get("choices", [])
        is_choice = field.get("kind") == "choice"
        if not isinstance(choices, list) or bool(choices) != is_choice or not all(map(_is_wording, choices)):
            raise BadForm(_('"choices" belong to the kind choice: [{"en": "Order", "zh": "订单"}].'))


def is_phone(text: str) -> bool:
    return _PHONE.fullmatch(text) is not None


def is_email(text: str) -> bool:
    try:
        validate_email(text)
    except ValidationError:
        return False
    return True


def _problem(field: Mapping[str, Any], text: str) -> str:
    if field["kind"] == "email" and not is_email(text):
        return "email"
    if field["kind"] == "tel" and not is_phone(text):
        return "phone"
    if field["kind"] == "choice" and text not in {choice["value"] for choice in field["choices"]}:
        return "invalid"
    return ""


def _is_wording(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value.get("en") or value.get("zh"))
        and all(isinstance(text, str) and len(text) <= LONGEST for text in value.values())
    )


def _wording(value: Mapping[str, str], language: str) -> str:
    return pick(value, language) or value.get("zh") or ""
