"""What the model never learns: phones, ids, cards and addresses of visitors."""

import json
from pathlib import Path

import pytest

from chatbot.moderation.masking import Masker


def rows(folder: Path) -> list[dict]:
    path = folder / "security" / "pii" / "spans.jsonl"
    if not path.exists():
        pytest.skip("no masking data")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_of_the_public_set_at_most_one_value_passes_and_nothing_else_is_masked(data_folder: Path) -> None:
    passed, hidden, touched = [], 0, []
    for row in rows(data_folder):
        masked = Masker().mask(row["text"])
        if not row["spans"] and masked != row["text"]:
            touched.append(row["text"])
        for span in row["spans"]:
            if span["value"] in masked:
                passed.append(span["value"])
            else:
                hidden += 1
    assert hidden > 100
    assert len(passed) <= 1, passed
    assert not touched


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("call me on 13800138000 please", "13800138000"),
        ("我的手机是13800138000", "13800138000"),
        ("write to mei.lin@example.com", "mei.lin@example.com"),
        ("card 4111 1111 1111 1111", "4111 1111 1111 1111"),
        ("身份证11010519491231002X，帮我查", "11010519491231002X"),
    ],
)
def test_a_secret_is_hidden_and_comes_back_in_the_answer(text: str, secret: str) -> None:
    masker = Masker()
    masked = masker.mask(text)
    assert secret not in masked
    assert masker.unmask(masked) == text


@pytest.mark.parametrize("text", ["order 20261124", "¥1,480 for 2", "H3 Pro 24 clicks", "4111 grams", "第 3 页"])
def test_ordinary_numbers_stay(text: str) -> None:
    assert Masker().mask(text) == text


def test_the_same_value_has_the_same_mark_and_another_one_another() -> None:
    masker = Masker()
    first, again, other = (masker.mask(text) for text in ("a@example.com", "a@example.com", "b@example.com"))
    assert first == again != other
