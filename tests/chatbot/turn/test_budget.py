"""What a prompt may cost: rules and question are never cut, and the whole is never over the room there is."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatbot.moderation.masking import Masker
from chatbot.turn.budget import BEST_SOURCES, LAST_MESSAGES, TooLong, fit, tokens_of
from chatbot.turn.prompt import EARLIER_TOKENS, LINE, SEPARATOR, build_prompt
from chatbot.turn.tokens import estimate_tokens
from chatbot.turn.values import Earlier, Gist, Prompt, Recalled, Utterance
from tests.chatbot.turn.stages import passage, question

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=400)
WORDS = st.one_of(
    TEXT, st.sampled_from(["退款多久能到账？" * 30, "How long do refunds take? " * 40, "[1]", "#1 Visitor: a", "\n\n"])
)
AUTHORS = st.sampled_from(["visitor", "bot", "agent"])

HISTORIES = st.lists(st.builds(Utterance, AUTHORS, WORDS, seq=st.integers(1, 999)), max_size=30).map(tuple)
RECALLED = st.builds(
    Recalled, st.integers(1, 999), st.booleans(), st.just("2026-11-25"), WORDS, WORDS, st.sampled_from(["", "Mei"])
)
GISTS = st.builds(Gist, st.integers(1, 999), st.booleans(), st.just("2026-11-25"), WORDS)
EARLIER = st.builds(Earlier, st.lists(GISTS, max_size=4).map(tuple), st.lists(RECALLED, max_size=60).map(tuple))
PASSAGES = st.lists(st.builds(passage, WORDS, question=WORDS), max_size=6)


@st.composite
def prompts(draw: st.DrawFn) -> Prompt:
    asked = question(draw(WORDS), draw(HISTORIES), business=draw(st.text("ab 店", max_size=20)))
    return build_prompt(asked, draw(PASSAGES), draw(st.sampled_from(["en", "zh"])), Masker(), earlier=draw(EARLIER))


def question_part(prompt: Prompt) -> str:
    """From the language to the end: what may never be cut."""
    return prompt.request[prompt.request.rindex("Answer in: ") :]


@settings(deadline=None)
@given(prompts(), st.integers(0, 12_000))
def test_a_fitted_prompt_is_within_its_room_and_has_the_whole_of_rules_and_question(prompt: Prompt, room: int) -> None:
    try:
        fitted = fit(prompt, room)
    except TooLong:
        assert tokens_of(fit(prompt, 10**6)) > room
        least = Prompt(prompt.system, (), "", prompt.sources[0] if prompt.sources else "", (), "en", "")
        assert tokens_of(least) + estimate_tokens(question_part(prompt)) > room - 100, (
            "the envelopes are all that is added"
        )
        return
    assert tokens_of(fitted) <= room
    assert fitted.system == prompt.system
    assert question_part(fitted) == question_part(prompt)
    assert fitted.question == prompt.question


@settings(deadline=None)
@given(prompts(), st.integers(0, 12_000))
def test_what_is_left_is_the_best_of_each_as_it_was_and_stands_in_the_request(prompt: Prompt, room: int) -> None:
    try:
        fitted = fit(prompt, room)
    except TooLong:
        return
    assert fitted.sources == prompt.sources[: len(fitted.sources)]
    assert fitted.earlier == prompt.earlier[: len(fitted.earlier)]
    assert fitted.history == prompt.history[len(prompt.history) - len(fitted.history) :]
    assert SEPARATOR.join(fitted.sources) in fitted.request
    assert LINE.join(fitted.earlier) in fitted.request
    gone = len(prompt.request) - len(fitted.request)
    assert gone == sum(
        len(joint.join(before)) - len(joint.join(after))
        for joint, before, after in (
            (SEPARATOR, prompt.sources, fitted.sources),
            (LINE, prompt.earlier, fitted.earlier),
        )
    )


@settings(deadline=None)
@given(prompts(), st.lists(st.integers(0, 12_000), min_size=2, max_size=6))
def test_less_room_never_brings_back_what_more_room_had_to_leave_out(prompt: Prompt, rooms: list[int]) -> None:
    kept = []
    for room in sorted(rooms, reverse=True):
        try:
            fitted = fit(prompt, room)
        except TooLong:
            break
        kept.append((len(fitted.history), len(fitted.sources), len(fitted.earlier)))
    for more, less in pairwise(kept):
        assert all(b <= a for a, b in zip(more, less, strict=True))


@settings(deadline=None)
@given(prompts())
def test_what_is_remembered_keeps_to_its_share_a_line_each(prompt: Prompt) -> None:
    assert sum(estimate_tokens(line) for line in prompt.earlier) <= EARLIER_TOKENS
    assert not any("\n" in line for line in prompt.earlier)


def test_what_matters_least_goes_first() -> None:
    history = tuple(Utterance("visitor", f"message {n} " + "words " * 50) for n in range(10))
    earlier = Earlier(exchanges=tuple(Recalled(n, True, "", f"remark {n} " + "words " * 20) for n in range(1, 11)))
    sources = [passage(f"source {n} " + "words " * 100) for n in range(6)]
    prompt = build_prompt(question("How long?", history), sources, "en", Masker(), earlier=earlier)
    seen = [(10, 6, 10)]
    room = tokens_of(prompt)
    while True:
        try:
            fitted = fit(prompt, room)
        except TooLong:
            break
        state = len(fitted.history), len(fitted.sources), len(fitted.earlier)
        if state != seen[-1]:
            seen.append(state)
        room -= 20
    assert seen == [
        *((messages, 6, 10) for messages in range(10, LAST_MESSAGES, -1)),
        *((LAST_MESSAGES, number, 10) for number in range(6, BEST_SOURCES, -1)),
        *((LAST_MESSAGES, BEST_SOURCES, lines) for lines in range(10, 0, -1)),
        *((messages, BEST_SOURCES, 0) for messages in range(LAST_MESSAGES, 0, -1)),
        *((0, number, 0) for number in range(BEST_SOURCES, 0, -1)),
    ]


def test_a_model_that_cannot_take_the_question_is_not_asked() -> None:
    prompt = build_prompt(question("words " * 1000), [passage()], "en", Masker())
    with pytest.raises(TooLong) as refused:
        fit(prompt, 1000)
    assert refused.value.code == "context_too_long"


def test_what_the_history_shows_already_is_not_told_twice() -> None:
    history = (Utterance("visitor", "My order is NW-1.", seq=5),)
    earlier = Earlier(
        exchanges=(
            Recalled(5, True, "", "My order is NW-1."),
            Recalled(5, False, "2026-03-01", "I live in Bergen."),
            Recalled(2, True, "", "It is a gift.", "I can send it on Friday.", "Mei"),
        )
    )
    prompt = build_prompt(question("Well?", history), [passage()], "en", Masker(), earlier=earlier)
    assert prompt.earlier == (
        "[2026-03-01] Visitor: I live in Bergen.",
        "#2 Visitor: It is a gift. / Mei, a person of ours: I can send it on Friday.",
    )


def test_what_is_remembered_is_masked_like_everything_the_visitor_says() -> None:
    masker = Masker()
    earlier = Earlier((Gist(9, True, "", "Call 13812345678"),), (Recalled(1, True, "", "My number is 13812345678"),))
    prompt = build_prompt(question("What is my number?"), [passage()], "en", masker, earlier=earlier)
    assert prompt.earlier == ("#9 in short: Call [PHONE_1]", "#1 Visitor: My number is [PHONE_1]")
    assert "13812345678" not in prompt.request
    assert masker.unmask("It is [PHONE_1].") == "It is 13812345678."
