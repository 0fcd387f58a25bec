"""Names of intents, languages, sources, and of what models are asked for, as a person reads them."""

from collections.abc import Sequence

from django.utils.translation import get_language, get_language_info, gettext_noop
from django.utils.translation import gettext as _

from chatbot.models import Intent
from knowledge.models import Chunk, Document, Entry
from workspace.models import Workspace

SOURCES = {
    "generated": gettext_noop("language model"),
    "extractive": gettext_noop("quoted documents"),
    "faq": gettext_noop("FAQ answer"),
    "reply": gettext_noop("prepared reply"),
}
PURPOSES = {
    "answer": gettext_noop("answers to visitors"),
    "rewrite": gettext_noop("questions put in other words for the search"),
    "summary": gettext_noop("summaries for the memory"),
    "test": gettext_noop("tests of a provider"),
}
FAILURES = {
    "auth": gettext_noop("key not accepted"),
    "quota": gettext_noop("account empty"),
    "rate_limited": gettext_noop("asked too often"),
    "content_risk": gettext_noop("content refused"),
    "context_too_long": gettext_noop("prompt too long"),
    "bad_request": gettext_noop("request not understood"),
    "server": gettext_noop("fault at the provider"),
    "transport": gettext_noop("not reachable"),
    "timeout": gettext_noop("no answer in time"),
    "truncated": gettext_noop("connection broke off"),
    "empty": gettext_noop("empty answer"),
    "malformed": gettext_noop("answer not readable"),
    "unsupported": gettext_noop("not offered"),
    "stopped": gettext_noop("stopped by us"),
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


def passage_names(workspace: Workspace | int, ids: Sequence[str]) -> dict[str, str]:
    """By public id: the question of a FAQ entry, or where a passage stands. What was deleted has none."""
    alive = Document.objects.of(workspace).filter(deleted_at__isnull=True)
    entries = Entry.objects.of(workspace).filter(public_id__in=ids, document__in=alive)
    chunks = Chunk.objects.of(workspace).filter(public_id__in=ids, document__in=alive)
    return dict(entries.values_list("public_id", "question")) | {
        chunk: heading if heading.startswith(title) else " · ".join(filter(None, (title, heading)))
        for chunk, title, heading in chunks.values_list("public_id", "document__title", "heading")
    }


def source_name(source: str) -> str:
    """What an answer was made from; nothing when there was none."""
    return _(SOURCES[source]) if source in SOURCES else ""


def purpose_name(purpose: str) -> str:
    """What a model was asked for; purposes of the owner's own stay as they are."""
    return _(PURPOSES[purpose]) if purpose in PURPOSES else purpose


def failure_name(code: str) -> str:
    """Why a call failed, in two or three words."""
    return _(FAILURES[code]) if code in FAILURES else code
