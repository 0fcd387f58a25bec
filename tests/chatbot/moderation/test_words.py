"""Word lists under an inbox's policy, in and out."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opencc import OpenCC

from chatbot.moderation.judge import WordModeration
from chatbot.moderation.policy import DEFAULTS, MOODS, Policy
from chatbot.moderation.rules import WordRules, _fold_any, _fold_plain, shipped_terms
from workspace.chinese import traditional

OFFENCES = [
    (category, term)
    for category, terms in sorted(shipped_terms().items())
    if category in DEFAULTS
    for term in terms[:3]
]


def test_weapons_and_advertising_start_at_note() -> None:
    assert DEFAULTS["weapons"] is Policy.NOTE
    assert DEFAULTS["advertising"] is Policy.NOTE


@pytest.mark.parametrize(("category", "term"), OFFENCES)
def test_each_policy_does_what_it_says(category: str, term: str) -> None:
    text = f"{term}"
    off = WordModeration(dict.fromkeys(DEFAULTS, "off"))
    note = WordModeration(dict.fromkeys(DEFAULTS, "note"))
    block = WordModeration(dict.fromkeys(DEFAULTS, "off") | {category: "block"})
    assert off.verdict(text).noted == ()
    assert category in note.verdict(text).noted
    assert note.verdict(text).refused == ""
    assert block.verdict(text).refused == ("" if category in MOODS else category)
    offence = block.offence(text, "")
    assert offence
    assert offence[1] == category


CHINESE = [
    (category, term)
    for category, terms in sorted(shipped_terms().items())
    for term in terms
    if traditional(term) != term
]


def test_a_term_is_found_in_both_scripts() -> None:
    """Also where the list holds it in one only, and wherever the text is cut while it is written."""
    rules = WordRules(shipped_terms())
    assert len(CHINESE) > 20
    for _, term in CHINESE:
        text = f"啊{''.join(OpenCC('s2t').convert(each) for each in term)}啊"
        assert [(hit.start, hit.end) for hit in rules.find(text)], text
        assert rules.safe_length(text[:2]) == 1, text


@pytest.mark.parametrize(("category", "term"), [row for row in OFFENCES if row[0] in MOODS])
def test_a_rude_word_is_mood_and_never_refuses_a_visitor(category: str, term: str) -> None:
    verdict = WordModeration({category: "block"}).verdict(f"{term} where is my parcel")
    assert verdict.mood == "upset"
    assert verdict.refused == ""


@pytest.mark.parametrize(
    "text", ["Where is my parcel?", "刀具包装里少了一把", "I need a coupon", "怎么退款？", "The Scunthorpe branch"]
)
def test_what_customers_say_is_not_refused(text: str) -> None:
    assert WordModeration({}).verdict(text).refused == ""


@given(st.text(st.characters(max_codepoint=127), max_size=60))
@settings(max_examples=300, deadline=None)
def test_plain_text_is_folded_as_any_other(text: str) -> None:
    assert _fold_plain(text) == _fold_any(text)


@given(
    st.lists(
        st.sampled_from([*(term for _, term in OFFENCES if term.isascii()), "weather", "a", "fu", " ", ".", "x"]),
        max_size=6,
    )
)
@settings(max_examples=300, deadline=None)
def test_a_text_passed_over_at_a_glance_holds_no_term_and_cannot_come_to_hold_one(words: list[str]) -> None:
    text = " ".join(words)
    rules = WordRules({category: terms for category, terms in shipped_terms().items() if category in DEFAULTS})
    glance = rules._has_no_start(text)
    rules._starts = {word[:length].lower() for word in text.split() for length in (1, 2)}  # now every text is looked at
    if glance:
        assert (rules.find(text), rules.safe_length(text)) == ([], len(text))
