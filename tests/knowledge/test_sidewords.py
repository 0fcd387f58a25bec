"""What a question is asked with weighs little beside what it is about, and still tells passages about one thing apart."""

import pytest

from knowledge import services
from knowledge.lexicon import Lexicon
from knowledge.search import search
from knowledge.segment import legs
from knowledge.sidewords import HALF, SIDE, says
from knowledge.tasks import HANDLERS
from workspace import leases
from workspace.models import Workspace


@pytest.mark.parametrize("token", ["哪里", "多久", "什么时候", "是哪", "都是", "里", "怎么办", "有没有"])
def test_question_and_function_words_and_what_is_made_of_them_say_next_to_nothing(token: str) -> None:
    assert says(token) == SIDE


@pytest.mark.parametrize("token", ["退款", "快递", "优惠券", "磨豆机", "refund", "c40", "ギフト"])
def test_what_a_question_is_about_says_all(token: str) -> None:
    assert says(token) == 1.0


def test_the_more_common_a_word_is_in_the_language_the_less_it_says() -> None:
    assert SIDE == says("中国") < says("世界") < says("首都") < says("退款")


def test_a_pair_across_the_border_of_a_side_word_says_half() -> None:
    assert says("款多") == says("么退") == HALF


def test_a_question_is_covered_by_its_content_and_not_by_how_it_is_asked() -> None:
    lexicon = Lexicon.of([legs(text) for text in ("退款退到哪里？", "展厅在哪里？", "保修多久？")])
    held = lexicon.weigh_chunk(legs("退款退到哪里？"))
    weights = dict(zip(held.indices, held.values, strict=True))
    covered = {}
    for question in ("首都是哪里？", "退款要多久？"):
        asked = lexicon.weigh_question(legs(question))
        score = sum(w * weights.get(at, 0.0) for at, w in zip(asked.sparse.indices, asked.sparse.values, strict=True))
        covered[question] = score / asked.ceiling
    assert covered["首都是哪里？"] < 0.05
    assert covered["退款要多久？"] > 0.3


FAQ = "问题,答案\n维修点在哪里？,在南京西路。\n维修要多久？,七天。\n维修收多少钱？,免费。\n怎么开发票？,在账户里。\n".encode()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("question", "answer"), [("去哪里维修？", "在南京西路。"), ("维修多久能好？", "七天。"), ("维修多少钱？", "免费。")]
)
def test_of_two_entries_about_one_thing_the_question_word_says_which_is_meant(
    workspace: Workspace, question: str, answer: str
) -> None:
    collection = services.find_or_create_collection(workspace=workspace, name="shop")
    services.add_file(collection=collection, name="faq.csv", data=FAQ)
    while leases.run_next(HANDLERS):
        pass
    assert search(workspace=workspace, question=question).passages[0].text == answer
