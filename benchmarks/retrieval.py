"""What retrieval costs: hybrid search against one dense query, questions against torch, memory of a web process, ingest.

    python benchmarks/retrieval.py [--sizes 10000 100000] [--skip-ingest]

Everything is a ratio of two things measured here, one after the other, in the same process and on the same data; memory is
PSS (proportional set size) of a process of its own that has loaded all that a web worker loads. Chunks are made up: words
drawn as language draws them (Zipf), vectors in clusters, so that both legs have something to find.
"""

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot.settings")
os.environ.setdefault("OMP_NUM_THREADS", "1")
ENCODERS = Path(os.environ.get("BATON_HOME", ROOT / "var")).resolve() / "encoders"
os.environ["BATON_HOME"] = tempfile.mkdtemp(prefix="baton-retrieval-")
if ENCODERS.is_dir():
    (Path(os.environ["BATON_HOME"]) / "encoders").symlink_to(ENCODERS)

import django  # noqa: E402

django.setup()

import numpy as np  # noqa: E402
from django.conf import settings  # noqa: E402

from chatbot.intents.classifier import classifier_for  # noqa: E402
from chatbot.intents.examples import Example  # noqa: E402
from knowledge import ranking  # noqa: E402
from knowledge.embedding import SentenceTransformerEncoder, encoder, prepare  # noqa: E402
from knowledge.index import EmbeddedEngine, OpenIndex, Point  # noqa: E402
from knowledge.lexicon import Lexicon  # noqa: E402
from knowledge.ranking import Asked, Asking  # noqa: E402
from knowledge.segment import Legs  # noqa: E402

SIZE, CLUSTERS, VOCABULARY, WORDS_A_CHUNK, QUESTIONS, LIMIT = 384, 400, 30_000, 60, 200, 10
STARTER = ROOT / "chatbot" / "intents" / "starter"
HOW = ("how do I", "can I", "where do I find", "what happens with", "why is there no")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--skip-ingest", action="store_true")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)  # the process whose memory is measured
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(worker_memory_mib(options.worker)))
        return
    for size in options.sizes:
        folder = Path(tempfile.mkdtemp(prefix="baton-index-"))
        index, lexicon, vectors = build(folder, size)
        compare_searches(index, lexicon, vectors)
        if size == options.sizes[0]:
            print(f"a web worker with everything loaded, {size:,} chunks: {memory_of_a_worker(folder, lexicon, size)}")
    compare_encoders()
    if not options.skip_ingest:
        compare_ingest()


def words(draw: random.Random, count: int) -> list[str]:
    """Made-up words, the first ones far more often than the last."""
    return [f"w{int(VOCABULARY ** draw.random())}" for _ in range(count)]


def cuts_of(size: int) -> list[Legs]:
    draw = random.Random(7)
    texts = (words(draw, WORDS_A_CHUNK) for _ in range(size))
    return [Legs(text, text, text) for text in texts]


def build(folder: Path, size: int) -> tuple[OpenIndex, Lexicon, np.ndarray]:
    rng = np.random.default_rng(7)
    centres = rng.standard_normal((CLUSTERS, SIZE), np.float32)
    vectors = centres[rng.integers(0, CLUSTERS, size)] + 0.8 * rng.standard_normal((size, SIZE), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cuts = cuts_of(size)
    lexicon = Lexicon.of(cuts)
    engine = EmbeddedEngine(folder)
    engine.build("v", SIZE, (Point(at, vectors[at], lexicon.weigh_chunk(cut)) for at, cut in enumerate(cuts)))
    (folder / "lexicon").write_bytes(lexicon.to_bytes())
    return engine.open("v"), lexicon, vectors


def compare_searches(index: OpenIndex, lexicon: Lexicon, vectors: np.ndarray) -> None:
    draw, rng = random.Random(8), np.random.default_rng(8)
    noise = 0.03 * rng.standard_normal((QUESTIONS, SIZE), np.float32)
    asked = vectors[rng.integers(0, len(vectors), QUESTIONS)] + noise
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    cuts = [Legs(text, text, text) for text in (words(draw, 7) for _ in range(QUESTIONS))]
    questions = np.zeros(len(vectors), bool)
    forms = [Asked(vector, 1.0, cut) for vector, cut in zip(asked, cuts, strict=True)]

    def hybrid(at: int, earlier: tuple[Asked, ...] = ()) -> None:
        found = ranking.match(Asking((forms[at],), earlier), index, lexicon, questions, dense=True)
        ranking.joined([found], lambda related: related)

    dense, alone, after = p50s_ms(
        lambda at: index.nearest(asked[at], LIMIT), hybrid, lambda at: hybrid(at, tuple(forms[at - 2 : at]))
    )
    print(
        f"{len(vectors):,} chunks: hybrid search {alone / dense:.1f} x one dense query of the same engine "
        f"({alone:.2f} ms, {dense:.2f} ms); with earlier questions {after / dense:.1f} x ({after:.2f} ms)"
    )


def p50s_ms(*works: Callable[[int], object]) -> list[float]:
    """Of each, taken in turn, question by question: what else the machine does meets all of them alike."""
    took: list[list[float]] = [[] for _ in works]
    for at in (*range(2, 20), *range(2, QUESTIONS)):
        for work, times in zip(works, took, strict=True):
            began = time.perf_counter()
            work(at)
            times.append((time.perf_counter() - began) * 1000)
    return [median(times[18:]) for times in took]


def memory_of_a_worker(folder: Path, lexicon: Lexicon, size: int) -> str:
    child = [sys.executable, __file__, "--worker", str(folder)]
    environment = {**os.environ, "BATON_HOME": str(settings.HOME), "OMP_NUM_THREADS": "1"}
    for _ in range(2):  # the first one learns the intents, all others find them
        said = subprocess.run(child, capture_output=True, text=True, check=True, env=environment).stdout
    found = json.loads(said.splitlines()[-1])
    return f"{found['pss']:.0f} MiB PSS{' (torch is loaded)' if found['torch'] else ''}"


def worker_memory_mib(folder: Path) -> dict[str, float | bool]:
    """The application as the server loads it, a question answered from the index, both languages segmented."""
    import chatbot.asgi
    from chatbot.process import lay_aside

    assert chatbot.asgi.application
    lexicon = Lexicon.from_bytes((folder / "lexicon").read_bytes())
    index = EmbeddedEngine(folder).open("v")
    for text in ("How long do refunds take?", "退款多久到账？"):
        ranking.match(Asking.of(text), index, lexicon, np.zeros(lexicon.chunks, bool), dense=True)
    intents = classifier_for(starter_examples(), encoder(), folder / "intents")
    assert intents.predict("Where is my parcel?").intent
    lay_aside()
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    kib = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return {"pss": kib / 1024, "torch": "torch" in sys.modules}


def starter_examples() -> list[Example]:
    """Those that every workspace begins with."""
    found = []
    for path in sorted(STARTER.glob("examples.*.csv")) + sorted(STARTER.glob("out_of_scope.*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            found += [Example(row["text"], row.get("intent", "")) for row in csv.DictReader(file)]
    return found


def compare_encoders() -> None:
    prepare()
    encoder.cache_clear()
    fast, whole = encoder(), SentenceTransformerEncoder(settings.ENCODER)
    texts = [f"{HOW[at % len(HOW)]} order {at} and its refund" for at in range(QUESTIONS)]
    slow_ms, fast_ms = p50s_ms(
        lambda at: whole.encode([texts[at]]),
        lambda at: fast.encode_question(f"{texts[at]} {time.perf_counter_ns() % 97}"),
    )
    print(f"a question is embedded {slow_ms / fast_ms:.1f} x faster than by torch ({fast_ms:.2f} ms, {slow_ms:.2f} ms)")


def compare_ingest() -> None:
    """The same chunks: published by the product, and encoded by sentence-transformers alone."""
    from django.core.management import call_command

    from knowledge import services
    from knowledge.models import Chunk
    from workspace.models import Workspace

    call_command("migrate", verbosity=0)
    workspace = Workspace.objects.create(name="ingest")
    collection = services.find_or_create_collection(workspace=workspace, name="ingest")
    draw = random.Random(9)
    text = "\n\n".join(f"## Section {at}\n\n{sentences(draw)}" for at in range(300))
    services.add_file(collection=collection, name="manual.md", data=text.encode())
    SentenceTransformerEncoder(settings.ENCODER)  # loaded before either is timed
    encoder().encode(["warm"])
    from knowledge.tasks import HANDLERS
    from workspace import leases

    began = time.perf_counter()
    while leases.run_next(HANDLERS):
        pass
    ours = time.perf_counter() - began
    texts = [chunk.indexed_text for chunk in Chunk.objects.of(workspace)]
    plain = plain_encoding_s(texts)
    print(
        f"ingest of {len(texts)} chunks, read, cut, encoded, indexed and published: {len(texts) / ours:.1f} chunks/s, "
        f"{plain / ours:.2f} of sentence-transformers encoding them alone ({len(texts) / plain:.1f}/s)"
    )


def plain_encoding_s(texts: Sequence[str]) -> float:
    whole = SentenceTransformerEncoder(settings.ENCODER)
    began = time.perf_counter()
    whole.model.encode(list(texts), batch_size=32, show_progress_bar=False)
    return time.perf_counter() - began


def sentences(draw: random.Random) -> str:
    nouns = ("order", "refund", "grinder", "parcel", "invoice", "warranty", "kettle", "account", "coupon", "address")
    verbs = ("arrives with", "belongs to", "replaces", "is sent before", "costs less than", "comes after")
    return " ".join(
        f"The {draw.choice(nouns)} {draw.choice(verbs)} the {draw.choice(nouns)} of day {draw.randrange(400)}."
        for _ in range(18)
    )


if __name__ == "__main__":
    main()
