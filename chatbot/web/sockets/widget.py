"""The visitor's socket. The protocol is described in docs/protocol.md."""

import re
import time
from functools import partial
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from chatbot import handover, store
from chatbot.ahead import look_ahead
from chatbot.crossing import cross, cross_at_once
from chatbot.live.hub import hub
from chatbot.results import no_room
from chatbot.runner import runner
from chatbot.tokens import BadToken, Visitor, read_visitor_token
from chatbot.web.frames import event_frame, queue_frame
from chatbot.web.sockets.base import CLOSE_SESSION, BadFrame, Socket, last_ended, number_of, text_of
from chatbot.web.sockets.visit import VISIT
from chatbot.web.visitor_cookie import cookie_name
from conversations import services
from conversations.broadcast import Doorbell
from conversations.events import EventView
from conversations.models import Conversation, Status
from conversations.queue import QueuePlace, queue_place

PAGE = 200
TYPING_EVERY_S = 0.4
_PHONE = re.compile(r"[+\d][\d\s().-]{5,24}")


class WidgetSocket(Socket):
    """One visitor, one conversation. The first frame must be ``hello``."""

    conversation: Conversation | None = None
    after = 0
    typed_at = 0.0
    place: QueuePlace | None = None
    told = 0  # the last event that was announced
    news: tuple[EventView, ...] = ()  # of those, what came with its content and is not yet sent
    unsure = False  # the record may have more than was announced

    async def connect(self) -> None:
        self.inbox = self.scope["url_route"]["kwargs"]["inbox"]
        await self.accept()

    async def disconnect(self, code: int) -> None:
        if self.conversation:
            hub().unwatch(self.conversation.public_id, self)
            hub().unwatch_queue(self.conversation.workspace_id, self)

    async def hello(self, frame: dict[str, Any]) -> None:
        """Prove who it is, get what was missed, and follow what is being written."""
        if self.conversation:
            raise BadFrame
        self.language = text_of(frame, "language", 12) or "en"
        self.after = number_of(frame, "after")
        live = frame.get("live")
        held = live if isinstance(live, dict) else {}
        turn, at = text_of(held, "turn", 40), number_of(held, "at")
        try:
            visitor = read_visitor_token(self._token(frame), inbox=self.inbox)
            self.conversation = await cross(_conversation_of, visitor, runner().turns())
        except (BadToken, Conversation.DoesNotExist):
            await self.say_error("session")
            await self.close(CLOSE_SESSION)
            return
        await self.say(type="welcome", conversation=self.conversation.public_id, status=self.conversation.status)
        await self.catch_up()
        self._over.append(await cross(last_ended, self.conversation))
        hub().watch(self.conversation.public_id, self, turn=turn, at=at)
        hub().doubt(self.conversation.public_id)  # what was announced between reading and watching

    async def say_text(self, frame: dict[str, Any]) -> None:
        """The visitor speaks; the bot's turn begins if it holds the line."""
        conversation = self._joined()
        client_id = text_of(frame, "id", 64)
        if not client_id:
            raise BadFrame
        text = services.checked_text(text_of(frame, "text"))
        say = partial(
            services.add_visitor_message,
            conversation_id=conversation.pk,
            text=text,
            client_id=client_id,
            language=self.language,
        )
        if runner().admit(conversation.public_id):
            ahead = look_ahead(conversation.workspace_id, text) if conversation.status == Status.BOT else None
            added = await runner().ask(conversation.public_id, say, ahead)
        else:
            added = await cross_at_once(say, refusal=no_room)
        hub().visitor_typed(conversation.public_id)
        if added.duplicate:
            await self.say(type="known", id=client_id, seq=added.message.seq)

    async def typing(self, frame: dict[str, Any]) -> None:
        """A key was pressed. Too many of these are passed over in silence."""
        now = time.monotonic()
        if now - self.typed_at >= TYPING_EVERY_S:
            self.typed_at = now
            hub().visitor_types(self._joined().public_id)

    async def edit(self, frame: dict[str, Any]) -> None:
        """Other words for the last question; what is being answered ends."""
        conversation = self._joined()
        client_id = text_of(frame, "id", 64)
        if not client_id:
            raise BadFrame
        added = await cross(
            handover.edit_question,
            conversation,
            message=text_of(frame, "message", 40),
            text=text_of(frame, "text"),
            client_id=client_id,
        )
        hub().visitor_typed(conversation.public_id)
        if added.duplicate:
            await self.say(type="known", id=client_id, seq=added.message.seq)
        elif added.turn:
            runner().start(added.turn, conversation=conversation.public_id, instead=True)

    async def again(self, frame: dict[str, Any]) -> None:
        """Another answer to the last question."""
        conversation = self._joined()
        turn = await cross(services.repeat_turn, conversation_id=conversation.pk, turn=text_of(frame, "turn", 40))
        if turn:
            runner().start(turn, conversation=conversation.public_id)

    async def stop(self, frame: dict[str, Any]) -> None:
        await runner().stop_everywhere(self._joined().public_id)

    async def person(self, frame: dict[str, Any]) -> None:
        await cross(handover.request_person, self._joined())

    async def bot(self, frame: dict[str, Any]) -> None:
        conversation = self._joined()
        turn = await cross(services.back_to_bot, conversation_id=conversation.pk)
        if turn:
            runner().start(turn, conversation=conversation.public_id)

    async def details(self, frame: dict[str, Any]) -> None:
        """The visitor leaves a way to be reached."""
        email, phone = text_of(frame, "email", 200).strip(), text_of(frame, "phone", 40).strip()
        if not _reachable(email, phone):
            raise BadFrame("details")
        await cross(services.leave_details, conversation_id=self._joined().pk, email=email, phone=phone)

    async def ping(self, frame: dict[str, Any]) -> None:
        """The page is there, and would like to know what it may have missed."""
        await self.say(type="pong")
        if self.conversation:
            hub().doubt(self.conversation.public_id)

    handlers = {
        "hello": hello,
        "say": say_text,
        "typing": typing,
        "edit": edit,
        "again": again,
        "stop": stop,
        "person": person,
        "bot": bot,
        "details": details,
        "ping": ping,
        **VISIT,
    }
    unmetered = frozenset({"typing"})

    def rung(self, bell: Doorbell) -> None:
        conversation = self._joined()
        if bell.conversation != conversation.public_id:
            self.unsure = True  # somebody else in the queue moved
        elif bell.seq > self.told:
            self.told, self.news, conversation.status = bell.seq, (*self.news, *bell.news), bell.status
        self.ring()

    async def hear(self) -> None:
        """What was announced is sent as it came, unless something before it is missing: then all is read."""
        conversation = self._joined()
        async with self._reading:
            news, self.news = self.news, ()
            for event in news:
                if event.seq == self.after + 1:
                    await self._send_event(event)
            if self.unsure or self.after < self.told or conversation.status == Status.QUEUED or self.place:
                self.unsure = False
                try:
                    await self.read_news()
                except BaseException:
                    self.unsure = True
                    raise

    async def read_news(self) -> None:
        conversation = self._joined()
        while events := await store.read_events(conversation, self.after, PAGE):
            for event in events:
                await self._send_event(event)
            if len(events) < PAGE:
                break
        await cross(conversation.refresh_from_db, fields=["status", "waiting_since"])
        if conversation.status == Status.QUEUED:
            await self._tell_place(conversation)
        elif self.place:
            self.place = None
            hub().unwatch_queue(conversation.workspace_id, self)

    async def _send_event(self, event: EventView) -> None:
        self.after = event.seq
        self.note_end(event)
        await self.say(**event_frame(event))

    async def _tell_place(self, conversation: Conversation) -> None:
        """The place in the queue, whenever it is another than was told."""
        hub().watch_queue(conversation.workspace_id, self)
        place = await cross(queue_place, conversation)
        if place != self.place:
            self.place = place
            await self.say(**queue_frame(place))

    def _token(self, frame: dict[str, Any]) -> str:
        return text_of(frame, "token", 2_000) or self.scope.get("cookies", {}).get(cookie_name(self.inbox), "")

    def _joined(self) -> Conversation:
        if self.conversation is None:
            raise BadFrame("session")
        return self.conversation


def _conversation_of(visitor: Visitor, alive: frozenset[str]) -> Conversation:
    """The visitor's conversation. An answer whose process died is ended at once: whoever returns need not wait for a sweep."""
    conversation = Conversation.every.select_related("inbox", "contact").get(
        public_id=visitor.conversation, contact__public_id=visitor.contact, inbox__active=True
    )
    services.sweep_turns(conversation_id=conversation.pk, spare=alive)
    return conversation


def _reachable(email: str, phone: str) -> bool:
    try:
        if email:
            validate_email(email)
    except ValidationError:
        return False
    return bool(email or phone) and (not phone or _PHONE.fullmatch(phone) is not None)
