"""One view for every messaging platform: prove, read, remember, acknowledge. The answer is a job."""

import logging
import time
from collections.abc import Callable
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from chatbot.platforms.adapter import Adapter, Answer, Inbound, Malformed, Received, Reject
from chatbot.platforms.registry import UnknownPlatform, adapter_for
from chatbot.replies import OwnerReplies
from chatbot.store import view_inbox
from chatbot.web.errors import sentence
from conversations import services
from conversations.models import Inbox

logger = logging.getLogger(__name__)

MAX_BODY = 1024 * 1024
METHODS = ("GET", "POST")


@method_decorator(csrf_exempt, name="dispatch")
class Webhook(View):
    """``/webhooks/<inbox>/``. `clock` gives the time in epoch seconds."""

    clock: Callable[[], float] = staticmethod(time.time)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        inbox = Inbox.every.select_related("workspace").filter(public_id=kwargs["inbox"], active=True).first()
        try:
            adapter = adapter_for(inbox.kind, inbox.credentials) if inbox else None
        except UnknownPlatform:
            adapter = None
        if inbox is None or adapter is None:
            return _problem("not_found", 404)
        if request.method not in METHODS:
            return HttpResponseNotAllowed(METHODS)
        try:
            fits = len(request.body) <= MAX_BODY
        except RequestDataTooBig:  # Django's own bound, which may be lower
            fits = False
        if not fits:
            return _problem("too_large", 413)
        return self._receive(inbox, adapter, _received(request))

    def _receive(self, inbox: Inbox, adapter: Adapter, received: Received) -> HttpResponse:
        try:
            payload = adapter.verify(received, type(self).clock())
            if answer := adapter.handshake(received, payload):
                return _response(answer)
            messages = adapter.parse(payload)
        except Reject as refusal:
            logger.warning("webhook refused", extra={"inbox": inbox.public_id, "reason": str(refusal)})
            return _problem("refused", refusal.status)
        except Malformed as problem:
            logger.warning("webhook malformed", extra={"inbox": inbox.public_id, "reason": str(problem)})
            return _problem("malformed", 400)
        for message in messages:
            _take_in(inbox, message)
        return _response(adapter.acknowledge())


def _take_in(inbox: Inbox, message: Inbound) -> None:
    if message.is_group and not message.mentions_bot:
        return
    replies = OwnerReplies(view_inbox(inbox))
    fixed = ""
    text = (message.text or "").replace("\x00", "").strip()
    if message.event == "start":
        fixed = replies.say("greeting", inbox.language)
    elif not text:
        text, fixed = f"[{message.type}]", replies.say("text_only", inbox.language)
    try:
        services.receive_from_platform(
            inbox=inbox,
            dedupe_keys=message.dedupe_keys,
            user_id=message.user_id,
            thread_id=message.conversation_id,
            text=text[: services.MAX_TEXT],
            user_name=message.user_name or "",
            reply_context=message.reply_context,
            fixed_reply=fixed,
        )
    except services.ClientIdReused:
        logger.warning("webhook id reused", extra={"inbox": inbox.public_id})


def _received(request: HttpRequest) -> Received:
    return Received(
        method=request.method or "",
        headers={name.lower(): value for name, value in request.headers.items()},
        body=request.body,
        query={name: request.GET[name] for name in request.GET},
    )


def _response(answer: Answer) -> HttpResponse:
    return HttpResponse(answer.body, status=answer.status, content_type=answer.media_type)


def _problem(code: str, status: int) -> HttpResponse:
    return JsonResponse({"code": code, "text": sentence(code)}, status=status)
