"""Ask a question as a visitor would, of what is live and of the draft beside it, and see how the answer comes about."""

from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from chatbot.markdown import render as render_markdown
from chatbot.trial_question import Tried, try_question
from chatbot.web.access import member_page
from chatbot.web.pages.collection import manages
from chatbot.web.pages.names import intent_names
from knowledge import services
from workspace.models import Membership
from workspace.roles import Action

LONGEST = 1_000
OUTCOMES = {
    "Answered": _("answered"),
    "AskedBack": _("asked back"),
    "NoAnswer": _("found no answer"),
    "Refused": _("refused"),
    "HandedOff": _("handed over"),
    "failed": _("failed"),
}


@require_safe
@member_page(Action.READ_CONVERSATIONS)
def trial(request: HttpRequest, member: Membership) -> HttpResponse:
    question = request.GET.get("question", "").strip()[:LONGEST]
    chosen = request.GET.get("collection", "")
    collections = services.collections_of(member.workspace)
    has_draft = any(each.draft for each in collections if chosen in ("", each.public_id))
    tries: list[tuple[str, Tried, str, str]] = []
    for name, draft in [(_("Live"), False), (_("Draft"), True)][: 1 + has_draft] if question else []:
        tried = async_to_sync(try_question)(
            workspace=member.workspace, question=question, collections=[chosen] if chosen else [], draft=draft
        )
        outcome = str(OUTCOMES.get(tried.outcome, tried.outcome))
        tries.append((str(name), tried, render_markdown(tried.text), outcome))
    context = {
        "question": question,
        "chosen": chosen,
        "collection": next((each for each in collections if each.public_id == chosen), None),
        "collections": collections,
        "tries": tries,
        "differ": len({tried.text for _, tried, *_ in tries}) > 1,
        "names": intent_names(member.workspace),
        "manages": manages(member),
    }
    return render(request, "knowledge/try.html", context)
