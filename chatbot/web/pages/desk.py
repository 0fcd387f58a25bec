"""The agents' desk: who waits, what runs, the thread, and the four things an agent does with the line."""

import asyncio
import uuid
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from chatbot import handover
from chatbot.live.hub import hub
from chatbot.markdown import plain
from chatbot.provider_check import explain
from chatbot.runner import runner
from chatbot.web.access import member_page
from chatbot.web.errors import sentence
from chatbot.web.pages.names import intent_names, language_name, passage_names, source_name
from chatbot.web.pages.thread import event_context
from conversations import events, services
from conversations.models import Author, Conversation, Message, Status, Turn
from conversations.services import AlreadyTaken, ConversationError
from workspace.models import Membership
from workspace.roles import Action

ROWS = 100
VIEWS = ("waiting", "running", "resolved")
PREVIEW_CHARACTERS = 90
MOST_PASSAGES = 5  # of a turn, beside the thread


@require_GET
@member_page(Action.READ_CONVERSATIONS)
def desk(request: HttpRequest, member: Membership, conversation: str | None = None) -> HttpResponse:
    """The whole desk, with one conversation open or none."""
    found = _find(member, conversation) if conversation else None
    context = _list_context(request, member, found)
    if found:
        context |= _thread_context(found, member)
    return render(request, "desk/desk.html", context)


@require_GET
@member_page(Action.READ_CONVERSATIONS)
def rows(request: HttpRequest, member: Membership) -> HttpResponse:
    """The list alone, fetched when something changed."""
    chosen = request.GET.get("open", "")
    found = Conversation.objects.of(member.workspace).filter(public_id=chosen).first() if chosen else None
    return render(request, "desk/_list.html", _list_context(request, member, found))


@require_GET
@member_page(Action.READ_CONVERSATIONS)
def line(request: HttpRequest, member: Membership, conversation: str) -> HttpResponse:
    """Who holds the line, and what can be done about it."""
    return _line(request, member, _find(member, conversation))


@require_GET
@member_page(Action.READ_CONVERSATIONS)
def about(request: HttpRequest, member: Membership, conversation: str) -> HttpResponse:
    """The contact, and how the bot came by its last answers."""
    found = _find(member, conversation)
    return render(request, "desk/_about.html", _about_context(found) | {"conversation": found})


@require_POST
@member_page(Action.ANSWER)
def act(request: HttpRequest, member: Membership, conversation: str, action: str) -> HttpResponse:
    """Take over, reply, hand back, resolve."""
    found = _find(member, conversation)
    problem = ""
    try:
        _ACTIONS[action](request, member, found)
    except AlreadyTaken as taken:
        problem = sentence(taken.code, holder=taken.holder)
    except ConversationError as refused:
        problem = sentence(refused.code)
    except KeyError:
        raise Http404 from None
    if request.htmx:  # type: ignore[attr-defined]
        return _line(request, member, _find(member, conversation), problem, kept=request.POST.get("text", ""))
    if problem:
        messages.error(request, problem)
    return redirect("conversation", conversation=conversation)


def _take_over(request: HttpRequest, member: Membership, conversation: Conversation) -> None:
    handover.take_over(conversation, member.user)


def _reply(request: HttpRequest, member: Membership, conversation: Conversation) -> None:
    services.reply(
        conversation_id=conversation.pk,
        agent=member.user,
        text=request.POST.get("text", ""),
        client_id=request.POST.get("client_id", "")[:64] or uuid.uuid4().hex,
    )


def _hand_back(request: HttpRequest, member: Membership, conversation: Conversation) -> None:
    turn = services.hand_back(conversation_id=conversation.pk, agent=member.user)
    loop = hub().loop
    if turn and loop and conversation.inbox.kind == "widget":
        asyncio.run_coroutine_threadsafe(_start(turn, conversation.public_id), loop)


async def _start(turn: Turn, conversation: str) -> None:
    runner().start(turn, conversation=conversation)


def _resolve(request: HttpRequest, member: Membership, conversation: Conversation) -> None:
    handover.resolve(conversation, member.user)


_ACTIONS = {"take-over": _take_over, "reply": _reply, "hand-back": _hand_back, "resolve": _resolve}


def _find(member: Membership, public_id: str) -> Conversation:
    found = Conversation.objects.of(member.workspace).for_desk().filter(public_id=public_id).first()
    if found is None:
        raise Http404
    return found


def _list_context(request: HttpRequest, member: Membership, found: Conversation | None) -> dict[str, Any]:
    every = Conversation.objects.of(member.workspace).for_desk()
    lists: dict[str, QuerySet[Conversation]] = {
        "waiting": every.waiting(),
        "running": every.running(),
        "resolved": every.filter(status=Status.RESOLVED).order_by("-last_message_at"),
    }
    counts = {name: lists[name].count() for name in ("waiting", "running")}
    chosen = request.GET.get("view", "")
    if chosen not in VIEWS:
        chosen = "waiting" if counts["waiting"] else "running"
    shown = list(lists[chosen][:ROWS])
    return {
        "workspace": member.workspace,
        "view": chosen,
        "counts": counts,
        "rows": _with_previews(shown),
        "conversation": found,
        "open_id": found.public_id if found else "",
        "may_answer": member.may(Action.ANSWER),
    }


def _with_previews(conversations: list[Conversation]) -> list[dict[str, Any]]:
    """Each conversation with its last words and the intent of its last turn, in two queries."""
    ids = [conversation.pk for conversation in conversations]
    if not ids:
        return []
    workspace = conversations[0].workspace_id
    last: dict[int, Message] = {}
    for message in Message.objects.of(workspace).filter(conversation__in=ids).order_by("conversation_id", "-seq"):
        last.setdefault(message.conversation_id, message)
    intents = dict(
        Turn.objects.of(workspace)
        .filter(conversation__in=ids)
        .exclude(intent="")
        .order_by("pk")
        .values_list("conversation_id", "intent")
    )
    names = intent_names(workspace)
    return [
        {
            "conversation": conversation,
            "preview": _preview(last.get(conversation.pk)),
            "author": last[conversation.pk].author if conversation.pk in last else "",
            "intent": names.get(key, key) if (key := intents.get(conversation.pk, "")) else "",
        }
        for conversation in conversations
    ]


def _preview(message: Message | None) -> str:
    if message is None:
        return ""
    text = plain(message.text) if message.author == Author.BOT else message.text
    return " ".join(text.split())[:PREVIEW_CHARACTERS]


def _thread_context(conversation: Conversation, member: Membership) -> dict[str, Any]:
    log = events.read(conversation, after=0, limit=2_000)
    return {
        "events": [event_context(event) for event in log],
        "last_seq": log[-1].seq if log else 0,
        **_about_context(conversation),
        **_line_context(conversation, member),
    }


def _about_context(conversation: Conversation) -> dict[str, Any]:
    turns = (
        Turn.objects.of(conversation.workspace_id)
        .filter(conversation=conversation)
        .exclude(outcome=Turn.Outcome.RUNNING)
        .order_by("-pk")[:3]
    )
    names = intent_names(conversation.workspace_id)
    shown = [passage["id"] for turn in turns for passage in turn.passages[:MOST_PASSAGES]]
    titles = passage_names(conversation.workspace_id, shown)
    return {
        "turns": [
            {
                "row": turn,
                "intent": names.get(turn.intent, turn.intent),
                "source": source_name(turn.source),
                "passages": [
                    passage | {"name": titles.get(passage["id"], "")} for passage in turn.passages[:MOST_PASSAGES]
                ],
                "failures": {code: explain(code) for code in turn.flags.get("model_failures", ())},
            }
            for turn in turns
        ],
        "contact": conversation.contact,
        "language": language_name(conversation.language),
    }


def _line_context(conversation: Conversation, member: Membership) -> dict[str, Any]:
    return {
        "holds": conversation.status == Status.AGENT and conversation.holder_id == member.user_id,
        "may_answer": member.may(Action.ANSWER),
        "client_id": uuid.uuid4().hex,
    }


def _line(
    request: HttpRequest, member: Membership, conversation: Conversation, problem: str = "", kept: str = ""
) -> HttpResponse:
    context = {"conversation": conversation, "problem": problem, "kept": kept if problem else ""}
    return render(request, "desk/_line.html", context | _line_context(conversation, member))
