"""What somebody sees of a conversation, put together from the frames exactly as the widget does it, and what is wrong with it.

`broken` holds a sentence for each promise that the frames broke: text that is missing, doubled or another, a number of the
record that is left out or sent twice, an answer that begins again when it is over.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Stream:
    """An answer being written: its text, and up to which character the finished blocks reach."""

    turn: str
    text: str = ""
    closed: int = 0
    blocks: list[tuple[int, int, str]] = field(default_factory=list)  # from, to, html


@dataclass
class Screen:
    after: int = 0
    stream: Stream | None = None
    over: set[str] = field(default_factory=set)
    messages: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    passed_over: int = 0  # characters that came again and were known

    def live(self) -> dict[str, Any] | None:
        """What to ask for after a reconnect."""
        return {"turn": self.stream.turn, "at": len(self.stream.text)} if self.stream else None

    def take(self, frame: dict[str, Any]) -> None:
        match frame["type"]:
            case "turn":
                self._begin(frame["turn"])
            case "delta":
                self._add(frame)
            case "event":
                self._event(frame)
            case "error":
                self.broken.append(f"an error frame: {frame['code']}")

    def _begin(self, turn: str) -> None:
        if turn in self.over:
            self.broken.append(f"an answer began again that was over: {turn}")
        elif self.stream is None or self.stream.turn != turn:
            self.stream = Stream(turn)

    def _add(self, frame: dict[str, Any]) -> None:
        if self.stream is None or self.stream.turn != frame["turn"]:
            self._begin(frame["turn"])
        stream, begin, text = self.stream, frame["from"], frame["text"]
        if stream is None or frame["turn"] in self.over:
            return
        at = len(stream.text)
        if begin > at:
            self.broken.append(f"{begin - at} characters lost at {at} of {stream.turn}")
            return
        known = stream.text[begin : begin + len(text)]
        if not text.startswith(known):
            self.broken.append(f"other characters at {begin} of {stream.turn}")
        self.passed_over += len(known)
        stream.text += text[at - begin :]
        for block in frame["blocks"]:
            if block["to"] > stream.closed:
                stream.blocks.append((stream.closed, block["to"], block["html"]))
                stream.closed = block["to"]
        if stream.closed > len(stream.text):
            self.broken.append(f"a block reaches beyond the text: {stream.turn}")

    def _event(self, frame: dict[str, Any]) -> None:
        seq = frame["seq"]
        if seq <= self.after:
            self.broken.append(f"event {seq} came again")
            return
        if seq != self.after + 1:
            self.broken.append(f"events {self.after + 1} to {seq - 1} were left out")
        self.after = seq
        self.events.append(frame)
        message = frame.get("message")
        turn = (message or frame["data"]).get("turn") if frame["kind"] in {"message.added", "turn.ended"} else None
        if message:
            self.messages.append(message)
        if turn:
            self.over.add(turn)
            if self.stream and self.stream.turn == turn:
                self.stream = None
