"""Whether a provider works as it is set up: its models, its balance, one tiny real answer. And what a failure means."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from chatbot.llm import errors
from chatbot.llm.errors import ModelCallFailed
from chatbot.llm.profile import Dialect, Profile
from chatbot.llm.provider import Balance, Call, Provider
from chatbot.llm.request import USER, ChatMessage, Request
from chatbot.turn.values import Usage

PURPOSE = "test"
ASKED = Request((ChatMessage(USER, "Reply with the single word OK."),), purpose=PURPOSE, max_tokens=64)
FIRST_TEXT_S = 20.0  # somebody waits for the result; a provider that is slower than this is too slow for a visitor
TOTAL_S = 40.0

T = TypeVar("T")


@dataclass(frozen=True)
class Check:
    """What was found. A step that failed holds its code (see `explain`) instead of its result.

    `wanted` are the models that are set up; `balance` is None where the provider does not tell; `failure` is that of the
    answer, "" when it came. Times in milliseconds.
    """

    wanted: tuple[str, ...]
    models: list[str] | str
    balance: Balance | str | None
    first_ms: float | None = None
    total_ms: float = 0.0
    tries: int = 0
    usage: Usage | None = None
    failure: str = ""

    @property
    def missing(self) -> list[str]:
        """Models that are set up, but not among those that the account may use."""
        return [] if isinstance(self.models, str) else [name for name in self.wanted if name not in self.models]

    @property
    def passed(self) -> bool:
        """Whether questions will be answered: an answer came, and what is left of the account can pay for the next."""
        paid = not isinstance(self.balance, Balance) or self.balance.available
        return not self.failure and paid


async def check(profile: Profile, report: Callable[[Call], None]) -> Check:
    """Ask everything at once over a connection of its own. `report` hears of the answer's call, for the ledger."""
    hurried = replace(
        profile, first_token_s=min(profile.first_token_s, FIRST_TEXT_S), total_s=min(profile.total_s, TOTAL_S)
    )
    calls: list[Call] = []
    provider = Provider(hurried, report=calls.append)
    try:
        models, balance, answer = await asyncio.gather(
            _or_code(provider.models()), _or_code(provider.balance()), _or_code(provider.complete(ASKED))
        )
    finally:
        await provider.aclose()
        for call in calls:
            report(call)
    if models == errors.BAD_REQUEST.code and profile.dialect is not Dialect.OFFICIAL:
        models = errors.UNSUPPORTED.code  # many servers have no such list, and answer 404
    wanted = tuple(dict.fromkeys([profile.model, *profile.model_by_language.values()]))
    failure = answer if isinstance(answer, str) else ""
    if not calls:
        return Check(wanted, models, balance, failure=failure)
    call = calls[-1]
    return Check(wanted, models, balance, call.first_ms, call.total_ms, call.tries, call.usage, failure)


async def _or_code(step: Awaitable[T]) -> T | str:
    try:
        return await step
    except ModelCallFailed as problem:
        return problem.code


def explain(code: str) -> Promise:
    """What a failure code means and what to do, in words for the owner; never the provider's own."""
    return _MEANINGS.get(code, _UNKNOWN)


_UNKNOWN = _("The call failed for a reason that is not known here. Try again; if it stays, look into the server's log.")
_MEANINGS = {
    errors.AUTH.code: _(
        "The provider does not accept the key. Check that it was copied whole, belongs to this account and was not "
        "revoked; for a gateway, that client id and client secret belong together."
    ),
    errors.QUOTA.code: _("The account is out of money or over its quota. Top it up at the provider, then test again."),
    errors.RATE_LIMITED.code: _(
        "The provider limits how often it may be asked, and the limit is reached. Wait a minute; if it happens often, "
        "lower the number of answers at the same time or ask for a higher limit."
    ),
    errors.CONTENT_RISK.code: _(
        "The provider refused the content of the question. Visitors get quotations from your documents instead."
    ),
    errors.CONTEXT_TOO_LONG.code: _(
        "The prompt is longer than the model allows. Set the context window to what this model can hold."
    ),
    errors.BAD_REQUEST.code: _(
        "The provider does not understand the request. Check the address, the name of the model and the further fields."
    ),
    errors.SERVER.code: _("The provider has a fault or is overloaded. Try again in a few minutes."),
    errors.TRANSPORT.code: _(
        "The address cannot be reached, or its certificate is not trusted. Check the address, the network and, for a "
        "private server, the certificate authority."
    ),
    errors.TIMEOUT.code: _(
        "The provider did not answer in time. Try again; if it is always slow, allow more time or choose a faster model."
    ),
    errors.TRUNCATED.code: _(
        "The connection broke off in the middle of the answer. Try again; if it stays, look at proxies on the way."
    ),
    errors.EMPTY.code: _(
        "The provider answered without any text. Check the name of the model; for a gateway, also where the text is."
    ),
    errors.MALFORMED.code: _(
        "The provider's answer could not be read. Check that the dialect fits, and that the address leads to the API "
        "and not to a web page."
    ),
    errors.BUSY.code: _("All allowed answers at the same time are under way. Try again, or allow more of them."),
    errors.RESTING.code: _(
        "The provider failed several times in a row and is left alone for a short while. It is asked again by itself."
    ),
    errors.UNSUPPORTED.code: _("The provider does not offer this. Nothing has to be done."),
    "stopped": _(
        "The call was stopped before its end: the visitor left, or a person took over. Nothing has to be done."
    ),
}
