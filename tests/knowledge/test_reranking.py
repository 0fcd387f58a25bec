"""A second look at close passages, by a real, tiny cross-encoder that is built and trained here."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from chatbot.wiring import warm_up
from knowledge import reranking, services
from knowledge.search import Found, search
from knowledge.tasks import HANDLERS
from tests.conftest import person
from workspace import leases
from workspace.models import Workspace
from workspace.roles import Role

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = (
    ("grinder", "How do I return a grinder?", "Grinders go back within thirty days."),
    ("kettle", "How do I return a kettle?", "Kettles go back to the workshop."),
    ("norway", "Do you ship to Norway?", "Yes, in ten days."),
)
CLOSE = "How do I return a grinder, or the kettle?"
FAR = "Do you ship to Norway?"
WORDS = sorted(
    {word for row in ROWS for word in " ".join(row[1:]).lower().replace("?", " ?").replace(".", " .").split()}
)


def build(folder: Path, labels: int = 1) -> Path:
    """A BERT of one small layer that has learned one thing: the right passage speaks of thirty days."""
    import torch
    from sentence_transformers import CrossEncoder
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    torch.manual_seed(7)
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]))
    tokenizer = BertTokenizerFast(vocab=str(vocabulary))
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(WORDS) + 4, max_position_embeddings=64, num_labels=labels, **sizes)
    network = BertForSequenceClassification(config)
    if labels == 1:
        texts = [f"{asked} {told}" for _, asked, told in ROWS]
        rows = tokenizer([CLOSE] * len(texts), texts, padding=True, return_tensors="pt")
        wanted = torch.tensor([[1.0 if "thirty" in text else 0.0] for text in texts])
        optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
        for _ in range(60):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(network(**rows).logits, wanted)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    network.save_pretrained(folder / "network")
    tokenizer.save_pretrained(folder / "network")
    CrossEncoder(str(folder / "network"), max_length=64).save_pretrained(str(folder / "model"))
    return folder / "model"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("reranker"))


@pytest.fixture(autouse=True)
def _chosen_anew() -> Iterator[None]:
    reranking.reranker.cache_clear()
    yield
    reranking.reranker.cache_clear()


@pytest.fixture
def shop(workspace: Workspace) -> Workspace:
    collection = services.find_or_create_collection(workspace=workspace, name="shop")
    lines = ["question,answer", *(f'"{asked}","{told}"' for _, asked, told in ROWS)]
    services.add_file(collection=collection, name="faq.csv", data="\n".join(lines).encode())
    while leases.run_next(HANDLERS):
        pass
    return workspace


def choose(settings: Any, model: Path | str, within_s: float = 30.0) -> None:
    settings.RERANKER, settings.RERANKER_TIMEOUT_S = str(model), within_s
    reranking.reranker.cache_clear()


def asked(found: Found) -> list[str]:
    return [passage.question for passage in found.passages]


def test_none_is_set_so_nothing_is_loaded_and_nothing_looked_at_again(shop: Workspace) -> None:
    found = search(workspace=shop, question=CLOSE)
    assert asked(found)[0] == "How do I return a kettle?"
    assert reranking.how_many([passage.score for passage in found.passages]) == 2
    assert {passage.reranked for passage in found.passages} == {None}
    look = "from knowledge import reranking, search; reranking.reranker()"
    code = f"import sys, django; django.setup(); {look}; from chatbot import wiring; print('torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=None, check=True)
    assert said.stdout.strip() == "False"


def test_close_passages_are_put_into_the_order_that_the_reranker_sees(
    shop: Workspace, tiny: Path, settings: Any
) -> None:
    before = search(workspace=shop, question=CLOSE)
    choose(settings, tiny)
    after = search(workspace=shop, question=CLOSE)
    assert asked(before)[:2] == ["How do I return a kettle?", "How do I return a grinder?"]
    assert asked(after)[:2] == ["How do I return a grinder?", "How do I return a kettle?"]
    assert asked(after)[2:] == asked(before)[2:], "what is far behind stays there"
    assert after.passages[0].reranked > 0.5 > after.passages[1].reranked
    assert {each.id: each.score for each in after.passages} == {each.id: each.score for each in before.passages}
    assert after.strength == before.strength


def test_passages_that_are_not_close_are_left_as_they_are(shop: Workspace, tiny: Path, settings: Any) -> None:
    before = search(workspace=shop, question=FAR)
    choose(settings, tiny)
    assert search(workspace=shop, question=FAR) == before


def test_a_leg_by_itself_and_words_that_lean_on_others_are_not_looked_at_again(
    shop: Workspace, tiny: Path, settings: Any
) -> None:
    choose(settings, tiny)
    alone = search(workspace=shop, question=CLOSE, leg="lexical")
    leaning = search(workspace=shop, question=CLOSE, earlier=["Return a grinder"], join=lambda related: 1.0)
    put_plainly = search(workspace=shop, question="and?", also=[CLOSE], earlier=["Return it"], join=lambda related: 1.0)
    assert {passage.reranked for passage in (*alone.passages, *leaning.passages)} == {None}
    assert put_plainly.passages[0].reranked is not None


def test_more_passages_are_looked_at_than_are_wanted(shop: Workspace, tiny: Path, settings: Any) -> None:
    choose(settings, tiny)
    assert asked(search(workspace=shop, question=CLOSE, limit=1)) == ["How do I return a grinder?"]


@pytest.mark.parametrize(
    ("fault", "said"),
    [("missing", "could not be loaded"), ("classifier", "failed"), ("slow", "took longer than 0 s")],
)
def test_a_reranker_that_cannot_help_costs_its_opinion_only_and_is_left_in_peace(
    shop: Workspace, tiny: Path, tmp_path: Path, settings: Any, caplog: pytest.LogCaptureFixture, fault: str, said: str
) -> None:
    before = search(workspace=shop, question=CLOSE)
    model = {"missing": tmp_path / "nothing", "classifier": tmp_path / "model", "slow": tiny}[fault]
    if fault == "classifier":
        build(tmp_path, labels=3)
    choose(settings, model, 0 if fault == "slow" else 30)
    assert search(workspace=shop, question=CLOSE) == before
    assert search(workspace=shop, question=CLOSE) == before
    (line,) = [record for record in caplog.records if record.name == "knowledge.reranking"]
    assert said in line.problem
    assert CLOSE not in str(vars(line)), "no visitor's text in a log line"


def test_a_server_loads_it_before_the_first_question_and_starts_without_it_all_the_same(
    tiny: Path, tmp_path: Path, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    choose(settings, tiny)
    asyncio.run(warm_up([]))
    chosen = reranking.reranker()
    assert chosen
    assert chosen._model is not None
    choose(settings, tmp_path / "nothing")
    asyncio.run(warm_up([]))
    assert "passages stay in the order of their scores" in caplog.text


def test_after_a_rest_it_is_asked_again(
    shop: Workspace, tiny: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(settings, tiny, 0)
    monkeypatch.setattr(reranking, "RESTS_S", -1.0)
    assert asked(search(workspace=shop, question=CLOSE))[0] == "How do I return a kettle?"
    chosen = reranking.reranker()
    assert chosen
    chosen._within_s = 30.0
    assert asked(search(workspace=shop, question=CLOSE))[0] == "How do I return a grinder?"


def test_a_turn_answers_from_the_new_order_and_the_test_page_shows_what_the_reranker_made_of_it(
    shop: Workspace, tiny: Path, settings: Any
) -> None:
    client = Client()
    client.force_login(person(shop, "ann", "Ann", Role.ADMIN))

    def page() -> str:
        return client.get("/knowledge/try/", {"question": CLOSE}).content.decode()

    assert "Kettles go back to the workshop. [1]" in page()
    assert "second look" not in page()
    choose(settings, tiny)
    seen = page()
    assert "Grinders go back within thirty days. [1]" in seen, "and no cached answer of the old order"
    assert "second look" in seen
    opinion = search(workspace=shop, question=CLOSE).passages[0].reranked
    assert f"<td>{opinion:.2f}</td>" in seen


def test_an_evaluation_looks_again_as_the_chat_does(tmp_path: Path, tiny: Path, settings: Any) -> None:
    rows = [json.dumps({"id": name, "question": question, "answers": [told]}) for name, question, told in ROWS]
    (tmp_path / "corpus.jsonl").write_text("\n".join(rows))
    (tmp_path / "queries.jsonl").write_text(json.dumps({"id": "q", "text": CLOSE}))
    (tmp_path / "qrels.tsv").write_text("q\tgrinder\t1\n")

    def recall() -> float:
        out = StringIO()
        call_command("evaluate_retrieval", tmp_path, "--json", "--no-progress", stdout=out)
        return float(json.loads(out.getvalue())["recall@1"])

    assert recall() == 0.0
    choose(settings, tiny)
    assert recall() == 1.0
