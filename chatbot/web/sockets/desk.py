"""The agent's socket: which conversations changed, and everything that happens in the one that is open."""

import logging
from typing import Any

from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.translation import override

from chatbot import store
from chatbot.crossing import cross
from chatbot.live.hub import hub
from chatbot.web.pages.thread import event_context
from chatbot.web.sockets.base import CLOSE_SESSION, BadFrame, Socket, last_ended, number_of, text_of
from conversations.broadcast import Doorbell
from conversations.models import Conversation
from workspace.models import Membership
from workspace.roles import Action

logger = logging.getLogger(__name__)

PAGE = 200


class DeskSocket(Socket):
    """Tells the page what changed; the page fetches lists as HTML. Events of the open thread come rendered."""

    watching: Conversation | None = None
    after = 0
    membership: Membership | None = None

    async def connect(self) -> None:
        user = self.scope.get("user")
        workspace = self.scope["url_route"]["kwargs"]["workspace"]
        self.membership = await cross(_membership, getattr(user, "pk", None), workspace)
        await self.accept()
        if self.membership is None:
            await self.say_error("session")
            await self.close(CLOSE_SESSION)
            return
        self.language = (user.language if user else "") or "en"
        hub().watch_workspace(self.membership.workspace_id, self)

    async def disconnect(self, code: int) -> None:
        if self.membership:
            hub().unwatch_workspace(self.membership.workspace_id, self)
        self._leave()

    async def hello(self, frame: dict[str, Any]) -> None:
        self.language = text_of(frame, "language", 12) or self.language
        await self.say(type="welcome")

    async def watch(self, frame: dict[str, Any]) -> None:
        """Follow a conversation from event ``after`` on, and what is being written in it."""
        conversation = await cross(_conversation, self._member().workspace_id, text_of(frame, "conversation", 40))
        if conversation is None:
            raise BadFrame("not_found")
        self._leave()
        self.watching, self.after = conversation, number_of(frame, "after")
        await self.catch_up()
        self._over.append(await cross(last_ended, conversation))
        hub().watch(conversation.public_id, self, sees_typing=True)
        self.ring()

    async def ping(self, frame: dict[str, Any]) -> None:
        """The agent is there; and still a member."""
        member = self._member()
        if not await cross(_seen, member.pk):
            await self.close(CLOSE_SESSION)
            return
        await self.say(type="pong")

    handlers = {"hello": hello, "watch": watch, "ping": ping}

    def rung(self, bell: Doorbell) -> None:
        self._changed.add(bell.conversation)
        self.ring()

    async def websocket_connect(self, message: dict[str, Any]) -> None:
        self._changed: set[str] = set()
        await super().websocket_connect(message)

    async def read_news(self) -> None:
        changed, self._changed = self._changed, set()
        if changed:
            await self.say(type="changed", conversations=sorted(changed))
        conversation = self.watching
        if conversation is None:
            return
        while events := await store.read_events(conversation, self.after, PAGE):
            for event in events:
                self.after = event.seq
                self.note_end(event)
                html = await cross(_render, event, self.language)
                await self.say(
                    type="event",
                    seq=event.seq,
                    kind=event.type,
                    turn=event.message.turn if event.message else event.data.get("turn"),
                    author=event.message.author if event.message else None,
                    html=html,
                )
            if len(events) < PAGE:
                break

    def _member(self) -> Membership:
        if self.membership is None:
            raise BadFrame("session")
        return self.membership

    def _leave(self) -> None:
        if self.watching:
            hub().unwatch(self.watching.public_id, self)
            self.watching = None


def _membership(user_pk: int | None, workspace: str) -> Membership | None:
    if user_pk is None:
        return None
    member = (
        Membership.every.filter(user_id=user_pk, user__is_active=True, workspace__public_id=workspace)
        .select_related("user")
        .first()
    )
    if member is None or not member.may(Action.READ_CONVERSATIONS):
        return None
    _seen(member.pk)
    return member


def _seen(pk: int) -> bool:
    return bool(Membership.every.filter(pk=pk, user__is_active=True).update(seen_at=timezone.now()))


def _conversation(workspace: int, public_id: str) -> Conversation | None:
    return Conversation.objects.of(workspace).filter(public_id=public_id).first()


def _render(event: Any, language: str) -> str:
    with override("zh-hans" if language.lower().startswith("zh") else "en"):
        return render_to_string("desk/_event.html", event_context(event))
