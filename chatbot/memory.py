"""The memory of one contact: exchanges that are older than the prompt's history, found again by what they are about.

What was said is searched like knowledge, words and meaning fused (`knowledge.traces`), but ranked by what would be lost
besides: a remark about oneself is nowhere else, a question can be looked up again (`chatbot.turn.remarks`).
"""

import logging
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chatbot.crossing import cross
from chatbot.turn.prompt import SAID_CHARACTERS
from chatbot.turn.remarks import Weight, heaviest, remarks
from chatbot.turn.sentences import split_sentences
from chatbot.turn.values import NOTHING, Earlier, Gist, Query, Question, Recalled
from conversations import memory
from conversations.memory import Exchange, Reach, Said
from conversations.models import Author, Conversation, Recollection, Summary
from knowledge.embedding import EncoderUnavailable, encoder, question_vector
from knowledge.traces import Trace, leave, scores
from workspace.chinese import simplified
from workspace.keys import CannotUnseal

logger = logging.getLogger(__name__)

CANDIDATES = 60
PARTS = 8  # of one exchange
PRIOR = {Weight.NOTHING: 0.0, Weight.QUESTION: 0.75, Weight.STATEMENT: 0.85, Weight.ABOUT_THEMSELVES: 1.0}
# A remark answers for sure when it scores so well, by an encoder that understands so much of the question.
TOLD, TOLD_UNDERSTOOD = 0.3, 0.9
_PERSONAL = re.compile(
    r"\b(?:I|my|mine|me|we|our|us)\b|\b(?:earlier|before|last\s+time|you\s+(?:said|told|promised)|promised|mentioned)\b"
    r"|我|咱|之前|刚才|上次|那次|说过|提过|答应",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class _Found:
    row: Recollection
    part: int
    weight: Weight
    score: float  # as `knowledge.traces` has it
    rank: float  # with what would be lost


class ContactMemory:
    """See `chatbot.turn.seams.Memory`."""

    async def recall(self, question: Question, query: Query) -> Earlier:
        return await cross(recall, question, query.text, *query.also)


def recall(question: Question, *queries: str) -> Earlier:
    """What goes with the question, or with a form of it. Without an encoder nothing is remembered, and the turn goes on."""
    reach = memory.reach_of(question.inbox.workspace, question.conversation)
    if reach is None:
        return NOTHING
    try:
        found = _search(reach, {question.text, *queries})
    except EncoderUnavailable:
        logger.warning("nothing is remembered: no encoder", extra={"conversation": question.conversation})
        return NOTHING
    words = memory.exchanges(reach, [each.row for each in found])
    recalled = [(each, _recalled(reach, each, words[each.row.pk])) for each in found if each.row.pk in words]
    gists = tuple(
        Gist(each.through_seq, each.conversation_id == reach.conversation, f"{each.updated_at:%Y-%m-%d}", each.text)
        for each in memory.summaries(reach)
        if each.source == Summary.Source.MODEL or each.conversation_id != reach.conversation
    )
    personal = bool(recalled) and _PERSONAL.search(simplified(question.text)) is not None
    told = _told(question.text, found[0], words) if personal else ""
    return Earlier(gists, tuple(exchange for _, exchange in recalled), personal, told)


def traces_of(exchange: Exchange) -> dict[str, Any] | None:
    """By what an exchange is found again: the visitor's words and an agent's, part by part. None: nothing in it says anything.

    What the bot said came from the knowledge, and is found there.
    """
    made = [(part, weight, leave(part)) for part, weight in _parts(exchange)]
    if not any(weight > Weight.NOTHING for _, weight, trace in made if not trace.empty):
        return None
    return {"parts": [trace.to_text() for _, _, trace in made], "weights": [int(weight) for _, weight, _ in made]}


def remember(conversation: Conversation) -> None:
    """Bring a conversation's recollections up to date. Raises `knowledge.embedding.EncoderUnavailable`."""
    through_seq = conversation.last_seq
    exchanges = memory.new_exchanges(conversation)
    made = [(exchange, traces) for exchange in exchanges if (traces := traces_of(exchange))]
    since_seq = exchanges[0].seq if exchanges else through_seq + 1
    memory.remember(conversation, made, made_by=encoder().fingerprint, since_seq=since_seq, through_seq=through_seq)


def _parts(exchange: Exchange) -> Iterator[tuple[str, Weight]]:
    """What is searched of an exchange, the visitor's words first; each part fits the line it is recalled in."""
    people = [said for said in exchange.said if said.author != Author.BOT]
    pieces = [
        piece for said in sorted(people, key=lambda said: said.author != Author.VISITOR) for piece in _pieces(said)
    ]
    for said, piece in pieces[:PARTS]:
        yield piece, heaviest(piece) if said.author == Author.VISITOR else Weight.ABOUT_THEMSELVES


def _pieces(said: Said) -> Iterator[tuple[Said, str]]:
    """Whole sentences, as many as fit."""
    piece = ""
    for sentence in split_sentences(said.text):
        if piece and len(piece) + len(sentence) > SAID_CHARACTERS:
            yield said, piece.strip()
            piece = ""
        piece += sentence
    if piece.strip():
        yield said, piece.strip()


def _search(reach: Reach, queries: Collection[str]) -> list[_Found]:
    """The best part of each exchange, the best exchange first, and among equals the newest.

    A question that leans on what was asked before is searched for on its own as well: what it leans on need not be there.
    """
    parts = list(_open(memory.recollections(reach)))
    here = encoder().fingerprint
    texts, alike = [trace for _, _, _, trace in parts], [row.made_by == here for row, _, _, _ in parts]
    held = np.max([scores(query, texts, alike) for query in queries], axis=0)
    best: dict[int, _Found] = {}
    for (row, at, weight, _), score in zip(parts, held.tolist(), strict=True):
        found = _Found(row, at, weight, score, score * PRIOR[weight])
        if weight > Weight.NOTHING and (row.pk not in best or found.rank > best[row.pk].rank):
            best[row.pk] = found
    ranked = sorted(
        best.values(), key=lambda found: (-found.rank, -found.weight, -found.row.conversation_id, -found.row.seq)
    )
    return ranked[:CANDIDATES]


def _open(rows: Sequence[Recollection]) -> Iterator[tuple[Recollection, int, Weight, Trace]]:
    for row in rows:
        try:
            held = row.trace
        except CannotUnseal:  # its key is gone: as if it were forgotten
            continue
        for at, (text, weight) in enumerate(zip(held["parts"], held["weights"], strict=True)):
            yield row, at, Weight(weight), Trace.from_text(text)


def _recalled(reach: Reach, found: _Found, exchange: Exchange) -> Recalled:
    said = "\n".join(said.text for said in exchange.words)
    if len(said) > SAID_CHARACTERS:
        parts = [part for part, _ in _parts(exchange)]
        said = parts[found.part] if found.part < len(parts) else said
    replies = [reply for reply in exchange.replies if reply.sourced]
    people = [reply for reply in replies if reply.author == Author.AGENT]
    asked = heaviest(said) < Weight.STATEMENT
    answer = people[-1] if people else replies[-1] if replies and asked else None
    return Recalled(
        seq=exchange.seq,
        own=exchange.conversation == reach.conversation,
        on=f"{exchange.said[0].at:%Y-%m-%d}",
        said=said,
        answered=answer.text if answer else "",
        speaker=answer.speaker or "an agent" if answer and answer.author == Author.AGENT else "",
        score=found.score,
    )


def _told(question: str, best: _Found, words: dict[int, Exchange]) -> str:
    """The visitor's own remark that answers a question about themselves; nothing where the best one is in doubt."""
    sure = best.weight >= Weight.STATEMENT and best.score >= TOLD and question_vector(question)[1] >= TOLD_UNDERSTOOD
    if not sure or best.row.pk not in words:
        return ""
    return " ".join(remarks("\n".join(said.text for said in words[best.row.pk].words)))[:SAID_CHARACTERS]
