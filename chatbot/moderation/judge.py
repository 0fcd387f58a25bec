"""The inbox's policy applied to words, in and out."""

from collections.abc import Mapping, Sequence

from chatbot.moderation.policy import DEFAULTS, MOODS, Policy, policy_of
from chatbot.moderation.rules import WordRules, shipped_terms
from chatbot.turn.values import Verdict


class WordModeration:
    """Moderation by word lists (see `chatbot.turn.seams.Moderation`), under one inbox's policy."""

    def __init__(self, chosen: Mapping[str, str]) -> None:
        self._policy = policy_of(chosen)

    async def judge(self, text: str, language: str) -> Verdict:
        return self.verdict(text)

    def verdict(self, text: str, also: Sequence[str] = ()) -> Verdict:
        """A blocked category refuses the question, except that a rude word is mood and never refuses.

        `also`: categories that somebody else found; those we do not know are noted.
        """
        hits = [*(hit.category for hit in _all_rules().find(text)), *also]
        found = dict.fromkeys(name for name in hits if self._policy.get(name) is not Policy.OFF)
        refused = next(
            (name for name in found if self._policy.get(name) is Policy.BLOCK and name not in MOODS),
            "",
        )
        return Verdict(refused=refused, noted=tuple(found), mood="upset" if MOODS & found.keys() else "")

    def offence(self, text: str, before: str) -> tuple[int, str] | None:
        for hit in _all_rules().find(text, before):
            if self._policy[hit.category] is Policy.BLOCK:
                return hit.start, hit.category
        return None

    def safe_length(self, text: str, before: str) -> int:
        return _all_rules().safe_length(text, before)


_rules: WordRules | None = None


def _all_rules() -> WordRules:
    global _rules
    if _rules is None:
        _rules = WordRules({name: terms for name, terms in shipped_terms().items() if name in DEFAULTS})
    return _rules
