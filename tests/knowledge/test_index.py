"""One contract for every engine: embedded, the client's own memory, and a server when ``QDRANT_URL`` names one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient

from knowledge.index import EmbeddedEngine, Engine, IndexUnavailable, Point
from knowledge.lexicon import Sparse
from knowledge.server_index import ServerEngine
from tests.environment import QDRANT_SERVER

SIZE = 8


def unit(at: int) -> list[float]:
    return [1.0 if place == at else 0.0 for place in range(SIZE)]


POINTS = [Point(n, unit(n), Sparse([n, 100], [1.0 + n, 0.5])) for n in range(SIZE)]


@pytest.fixture(params=["embedded", "memory", *(["server"] if QDRANT_SERVER else [])])
def engine(request, tmp_path: Path) -> Engine:
    if request.param == "embedded":
        return EmbeddedEngine(tmp_path)
    if request.param == "memory":
        return ServerEngine(QdrantClient(":memory:"))
    return ServerEngine(QdrantClient(url=QDRANT_SERVER), prefix="baton-test-")


@pytest.fixture
def index(engine: Engine):
    engine.build("col-1", SIZE, iter(POINTS))
    return engine.open("col-1")


def test_the_nearest_vectors_come_with_their_cosines(index) -> None:
    asked = np.array(unit(3), np.float32) * 0.8 + np.array(unit(5), np.float32) * 0.6
    found = index.nearest(asked, 2)
    assert list(found) == [3, 5]
    assert found[3] == pytest.approx(0.8, abs=1e-3)


def test_lexical_scores_are_dot_products(index) -> None:
    found = index.matching(Sparse([4, 100], [2.0, 1.0]), 3)
    assert found[4] == pytest.approx(2.0 * 5.0 + 0.5, rel=1e-3)
    assert len(found) == 3


def test_both_can_be_asked_about_given_points_only(index) -> None:
    assert set(index.nearest(np.array(unit(0), np.float32), 5, among={1, 2})) == {1, 2}
    assert set(index.matching(Sparse([100], [1.0]), 5, among={6, 7})) == {6, 7}


def test_a_question_without_tokens_matches_nothing(index) -> None:
    assert index.matching(Sparse([], []), 5) == {}


def test_the_best_come_first_and_no_more_than_are_asked_for(index) -> None:
    found = index.matching(Sparse([1, 6, 100], [1.0, 1.0, 1.0]), 2)
    assert list(found) == [6, 1]
    assert list(index.nearest(np.array(unit(4), np.float32), 1)) == [4]


def test_what_matches_no_token_is_not_found_by_words(index) -> None:
    assert index.matching(Sparse([4242], [1.0]), 5) == {}
    assert set(index.matching(Sparse([3], [1.0]), 5)) == {3}


def test_versions_are_apart(engine: Engine, index) -> None:
    engine.build("col-2", SIZE, iter(POINTS[:1]))
    assert set(index.matching(Sparse([100], [1.0]), 50)) == set(range(SIZE))
    assert set(engine.open("col-2").matching(Sparse([100], [1.0]), 50)) == {0}


def test_points_given_in_many_batches_are_all_there(engine: Engine) -> None:
    many = [Point(n, unit(n % SIZE), Sparse([n % 50], [1.0])) for n in range(700)]
    engine.build("col-3", SIZE, iter(many))
    found = engine.open("col-3").matching(Sparse([7], [1.0]), 100)
    assert set(found) == {n for n in range(700) if n % 50 == 7}


def test_building_again_replaces_and_dropping_removes(engine: Engine, index) -> None:
    engine.build("col-2", SIZE, iter(POINTS[:2]))
    assert len(engine.open("col-2").nearest(np.array(unit(0), np.float32), 10)) == 2
    engine.drop("col-2")
    with pytest.raises(IndexUnavailable):
        engine.open("col-2").nearest(np.array(unit(0), np.float32), 1)
    assert len(index.nearest(np.array(unit(0), np.float32), 10)) == SIZE


def test_an_embedded_index_is_open_in_another_process_at_the_same_time(tmp_path: Path) -> None:
    engine = EmbeddedEngine(tmp_path)
    engine.build("col-1", SIZE, iter(POINTS))
    held = engine.open("col-1")
    script = (
        "import sys, numpy as np\nfrom pathlib import Path\nimport django\ndjango.setup()\n"
        "from knowledge.index import EmbeddedEngine\n"
        f"print(list(EmbeddedEngine(Path({str(tmp_path)!r})).open('col-1').nearest(np.eye({SIZE}, dtype='f4')[2], 1)))"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "chatbot.settings", "PYTHONPATH": os.getcwd()}
    seen = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert seen.stdout.strip() == "[2]"
    assert list(held.nearest(np.array(unit(2), np.float32), 1)) == [2]


def test_who_searches_embedded_indexes_does_not_load_the_client_of_a_server() -> None:
    script = (
        "import sys, chatbot.asgi\nfrom knowledge.index import engine\nengine()\nprint('qdrant_client' in sys.modules)"
    )
    left_out = {"QDRANT_URL", "BATON_PRODUCTION"}
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    environment |= {"DJANGO_SETTINGS_MODULE": "chatbot.settings", "PYTHONPATH": os.getcwd()}
    seen = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert seen.stdout.strip() == "False"


def test_an_unfinished_build_is_not_an_index(tmp_path: Path) -> None:
    def cut_short():
        yield POINTS[0]
        raise KeyboardInterrupt

    engine = EmbeddedEngine(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        engine.build("col-1", SIZE, cut_short())
    with pytest.raises(IndexUnavailable):
        engine.open("col-1")
    engine.build("col-1", SIZE, iter(POINTS))
    assert engine.open("col-1").nearest(np.array(unit(0), np.float32), 1)
