"""A question in other words, by the first language model: asked shortly, in little time, and only where that may be paid."""

import asyncio
import logging

from django.conf import settings

from chatbot import providers
from chatbot.ledger import Account, Step
from chatbot.llm.errors import ModelCallFailed
from chatbot.llm.request import SYSTEM, USER, ChatMessage, Request
from chatbot.turn.language import ByScript
from chatbot.turn.rewriting import REWRITE_VERSION, RULES, Aim, aim_of, other_words, to_rewrite
from chatbot.turn.seams import Privacy
from chatbot.turn.values import Evidence, Query, Question, Retrieved

logger = logging.getLogger(__name__)

PURPOSE = "rewrite"
MAX_TOKENS = 96  # forty words, in any language
WHOLE = "stop"


class ByModel:
    """See `chatbot.turn.seams.Rewriter`. Without a model, with a strained budget or without an answer in time: none.

    A call is in the ledger like any other, also when it was given up.
    """

    def __init__(self, privacy: Privacy) -> None:
        self._privacy = privacy

    async def rewrite(
        self, question: Question, query: Query, retrieved: Retrieved, evidence: Evidence
    ) -> tuple[str, ...]:
        aim = aim_of(query, retrieved, evidence) if settings.REWRITE else None
        if aim is None:
            return ()
        accounts = (await providers.plan_of(question.inbox.workspace)).accounts
        if not accounts or await providers.step_for(question) is not Step.FULL:
            return ()
        return other_words(await self._ask(accounts[0], question, aim), query)

    async def _ask(self, account: Account, question: Question, aim: Aim) -> str:
        request = Request(
            (ChatMessage(SYSTEM, RULES), ChatMessage(USER, to_rewrite(question, aim, self._privacy))),
            purpose=PURPOSE,
            language=aim.language or ByScript().detect(question.text, question.inbox.language),
            max_tokens=MAX_TOKENS,
            temperature=0.0,
            user=providers.user_id(account.user_ids, question),
            prompt_version=REWRITE_VERSION,
            about=providers.about(question),
        )
        try:
            async with asyncio.timeout(settings.REWRITE_TIMEOUT_S):
                said = await providers.provider_for(question.inbox.workspace, account.profile).complete(request)
        except (ModelCallFailed, TimeoutError) as problem:
            code = problem.code if isinstance(problem, ModelCallFailed) else "too_slow"
            logger.warning("a question is searched for in its own words", extra={"code": code, "turn": question.turn})
            return ""
        return self._privacy.unmask(said.text) if said.finish == WHOLE else ""
