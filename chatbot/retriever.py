"""The door to knowledge for async code."""

import logging

from chatbot.crossing import cross
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
            found = await cross(
                search.search,
                workspace=self._inbox.workspace,
                question=query.text,
                collections=self._inbox.collections,
                limit=PASSAGES,
                draft=self._inbox.draft,
            )
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
            )
            for passage in found.passages
        )
        return Retrieved(passages, found.understood)


async def version_key(inbox: InboxView) -> str:
    """Names the state of the inbox's knowledge, for caches."""
    return await cross(search.version_key, inbox.workspace, inbox.collections, inbox.draft)
