"""The door to knowledge for async code."""

import logging
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache, partial

from chatbot.crossing import cross
from chatbot.turn.language import ByScript
from chatbot.turn.query import joins
from chatbot.turn.values import InboxView, KnowledgeFailed, Passage, Query, Retrieved
from knowledge import search
from knowledge.embedding import EncoderUnavailable
from knowledge.index import IndexUnavailable

logger = logging.getLogger(__name__)

PASSAGES = 6


class HybridRetriever:
    """Retrieves for one inbox (see `chatbot.turn.seams.Knowledge`)."""

    def __init__(self, inbox: InboxView) -> None:
        self._inbox = inbox

    async def retrieve(self, query: Query) -> Retrieved:
        try:
            found, written = await cross(_look_up, self._inbox, query)
        except (IndexUnavailable, EncoderUnavailable) as problem:
            raise KnowledgeFailed(str(problem)) from problem
        passages = tuple(
            Passage(
                id=passage.id,
                document=passage.document,
                title=passage.title,
                heading=passage.heading,
                question=passage.question,
                text=passage.text,
                url=passage.url,
                score=passage.score,
                cosine=passage.cosine,
                coverage=passage.coverage,
                alone=passage.alone,
                phrasing=passage.phrasing,
                reranked=passage.reranked,
            )
            for passage in found.passages
        )
        return Retrieved(passages, found.understood, found.strength, found.joined, written)


def look_up(inbox: InboxView, query: Query, *, limit: int = PASSAGES, leg: str = "") -> search.Found:
    """The search of a turn. `leg`: see `knowledge.search.search`, whose errors it raises."""
    return search.search(
        workspace=inbox.workspace,
        question=query.text,
        also=query.also,
        earlier=query.earlier,
        join=partial(joins, query.text),
        collections=inbox.collections,
        limit=limit,
        draft=inbox.draft,
        leg=leg,
    )


def _look_up(inbox: InboxView, query: Query) -> tuple[search.Found, Mapping[str, float]]:
    found = look_up(inbox, query)
    return found, written_in(found.versions)


@lru_cache(maxsize=256)
def written_in(versions: tuple[str, ...]) -> Mapping[str, float]:
    """Which share of these versions is in which language, by script: of a sample, taken once a process."""
    languages = Counter(ByScript().detect(text, "") for text in search.sample(versions))
    told = {language: count for language, count in languages.items() if language}
    return {language: count / sum(told.values()) for language, count in told.items()}


async def version_key(inbox: InboxView) -> str:
    """Names the state of the inbox's knowledge, for caches."""
    return await cross(search.version_key, inbox.workspace, inbox.collections, inbox.draft)
