"""The REST API, version 1: ask a question, list conversations, read a conversation's record by cursor.

Authentication by ``Authorization: Bearer btn_…``; keys are made in the admin and belong to one workspace.
"""

import datetime as dt
import hashlib
from typing import Annotated, Any

from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from ninja import Field, NinjaAPI, Schema
from ninja.errors import AuthenticationError, ValidationError
from ninja.security import HttpBearer

from chatbot.trial_question import try_question
from chatbot.web.errors import sentence
from conversations import events as record
from conversations.models import Conversation, Status
from conversations.services import MAX_TEXT
from knowledge import services as knowledge
from workspace.models import ApiKey

PAGE = 200
Limit = Annotated[int, Field(ge=1, le=PAGE)]
After = Annotated[int, Field(ge=0)]


class ByKey(HttpBearer):
    """Finds the key's workspace; the request carries it as ``request.auth``."""

    def authenticate(self, request: HttpRequest, token: str) -> ApiKey | None:
        hashed = hashlib.sha256(token.encode()).hexdigest()
        key = ApiKey.every.select_related("workspace").filter(secret_hash=hashed, revoked_at__isnull=True).first()
        if key:
            ApiKey.every.filter(pk=key.pk).update(used_at=timezone.now())
        return key


api = NinjaAPI(title="Baton", version="1", urls_namespace="api-1", auth=ByKey(), docs_url="/docs")


class Problem(Schema):
    """What went wrong: `code` for machines, `text` for people."""

    code: str
    text: str


class Ask(Schema):
    question: str = Field(max_length=MAX_TEXT)
    collections: list[str] = Field(default=[], description="Names or public ids; empty: all")


class CitationOut(Schema):
    n: int
    passage: str
    title: str
    heading: str
    quote: str
    url: str


class AnswerOut(Schema):
    """`outcome` is Answered, AskedBack, NoAnswer, Refused, HandedOff or failed; `source` generated, extractive or reply."""

    outcome: str
    text: str
    source: str
    language: str
    intent: str
    confidence: float
    evidence: float
    citations: list[CitationOut]
    error: str


class ConversationOut(Schema):
    id: str
    inbox: str
    status: str
    language: str
    last_seq: int
    created_at: dt.datetime
    last_message_at: dt.datetime


class MessageOut(Schema):
    id: str
    author: str
    agent_name: str | None
    text: str
    state: str
    kind: str
    citations: list[dict[str, Any]]
    created_at: dt.datetime


class EventOut(Schema):
    seq: int
    type: str
    at: dt.datetime
    data: dict[str, Any]
    message: MessageOut | None


@api.post("/ask", response={200: AnswerOut, 404: Problem, 422: Problem})
def ask(request: HttpRequest, body: Ask) -> Any:
    """Answer one question from the knowledge, through the same turn as the chat, outside any conversation."""
    workspace = request.auth.workspace  # type: ignore[attr-defined]
    if not body.question.strip():
        return 422, Problem(code="empty", text=sentence("empty"))
    try:
        chosen = [knowledge.find_collection(workspace=workspace, name=name).public_id for name in body.collections]
    except knowledge.UnknownCollection:
        return 404, Problem(code="unknown_collection", text=sentence("unknown_collection"))
    tried = async_to_sync(try_question)(workspace=workspace, question=body.question, collections=chosen)
    return AnswerOut(
        outcome=tried.outcome,
        text=tried.text,
        source=tried.source,
        language=tried.language,
        intent=tried.intent,
        confidence=tried.confidence,
        evidence=tried.evidence,
        citations=[CitationOut.model_validate(citation.as_dict()) for citation in tried.citations],
        error=tried.error,
    )


@api.get("/conversations", response=list[ConversationOut])
def conversations(request: HttpRequest, status: Status | None = None, limit: Limit = 50) -> Any:
    """The conversations of the workspace, the latest first."""
    rows = Conversation.objects.of(request.auth.workspace).select_related("inbox")  # type: ignore[attr-defined]
    if status:
        rows = rows.filter(status=status)
    return [
        ConversationOut(
            id=row.public_id,
            inbox=row.inbox.public_id,
            status=row.status,
            language=row.language,
            last_seq=row.last_seq,
            created_at=row.created_at,
            last_message_at=row.last_message_at,
        )
        for row in rows.order_by("-last_message_at")[:limit]
    ]


@api.get("/conversations/{conversation}/events", response={200: list[EventOut], 404: Problem})
def events(request: HttpRequest, conversation: str, after: After = 0) -> Any:
    """The record of a conversation after event number `after`, oldest first, at most 200 at once."""
    rows = Conversation.objects.of(request.auth.workspace)  # type: ignore[attr-defined]
    found = rows.filter(public_id=conversation).first()
    if found is None:
        return 404, Problem(code="not_found", text=sentence("not_found"))
    return [
        EventOut(
            seq=event.seq,
            type=event.type,
            at=event.at,
            data=dict(event.data),
            message=_message(event.message) if event.message else None,
        )
        for event in record.read(found, after=after, limit=PAGE)
    ]


def _message(view: record.MessageView) -> MessageOut:
    return MessageOut.model_validate({name: getattr(view, name) for name in MessageOut.model_fields})


@api.exception_handler(AuthenticationError)
def _unauthorised(request: HttpRequest, problem: Exception) -> HttpResponse:
    return JsonResponse({"code": "unauthorised", "text": sentence("unauthorised")}, status=401)


@api.exception_handler(ValidationError)
def _invalid(request: HttpRequest, problem: Exception) -> HttpResponse:
    detail = [{"at": error.get("loc"), "what": error.get("msg")} for error in getattr(problem, "errors", [])]
    return JsonResponse({"code": "malformed", "text": sentence("malformed"), "detail": detail}, status=422)
