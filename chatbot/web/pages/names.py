"""Names of intents, languages and sources as a person reads them."""

from django.utils.translation import get_language, get_language_info, gettext_noop
from django.utils.translation import gettext as _

from chatbot.models import Intent
from workspace.models import Workspace

SOURCES = {
    "generated": gettext_noop("language model"),
    "extractive": gettext_noop("quoted documents"),
    "reply": gettext_noop("prepared reply"),
}


def intent_names(workspace: Workspace | int) -> dict[str, str]:
    """By key, in the reader's language."""
    chinese = (get_language() or "").startswith("zh")
    return {
        intent.key: (intent.name_zh if chinese and intent.name_zh else intent.name_en)
        for intent in Intent.objects.of(workspace)
    } | {"": _("out of scope")}


def language_name(code: str) -> str:
    """In the reader's language; a code nobody knows stays as it is."""
    try:
        return str(get_language_info(code)["name_translated"])
    except KeyError:
        return code


def source_name(source: str) -> str:
    """What an answer was made from; nothing when there was none."""
    return _(SOURCES[source]) if source in SOURCES else ""
