"""What limits of the support check stop: invented sentences, and, wrongly, true ones.

    python benchmarks/support.py [FOLDER...] [--sample N] [--joined]

A folder is one of two kinds; by itself it is mtrag_un of the test data:

- mtrag_un (conversations.jsonl, qrels.tsv, corpus.jsonl.gz), English: the answers that people wrote to answerable questions,
  on which nothing else is measured. Their sources are the passages they were written from and what was said before.
- the packages libreoffice-help-zh-cn and libreoffice-help-zh-tw, unpacked with ``dpkg-deb -x`` into one folder, Chinese: the
  same pages translated twice, by different people, paragraph by paragraph. A sentence of the Taiwanese one says what the
  passage with the same paragraph of the Mainland's says, in words of its own. Left out: what is the same in both, what is
  not translated, and paragraphs of unlike length or number of sentences (one of the two is older).

A true sentence is held against its own sources alone, the hardest case for it. The same sentence is invented where its
sources are six other passages, as many as an answer is given, and what the visitor said: passages near its question (in
Chinese the title of its page), passages near the sentence itself, and any of the same collection. Near is by shared words,
rare ones counting more. Conversations and pages are halved by a hash of their name. Each half gives a limit: the highest at
which at most `AIM` of its true sentences are marked. What it marks of the other half is shown; the lower of the two is taken.
"""

import argparse
import csv
import gzip
import hashlib
import html
import json
import math
import os
import random
import re
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import process_time

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatbot.settings")

from chatbot.turn import support  # noqa: E402
from chatbot.turn.sentences import finished_at  # noqa: E402
from knowledge.ingest.chunk import chunk  # noqa: E402
from workspace.chinese import in_mainland_words  # noqa: E402

DATA = Path(os.environ.get("BATON_DATA", ROOT.parent / "shared" / "data"))
AIM = 0.01  # of the true sentences may be marked, no more
CLAIMS = (4, 6, 8)
LIMITS = [n / 100 for n in range(61)]
SHOWN = [n / 100 for n in range(5, 61, 5)]
PASSAGES = 6
TRANSLATED, UNLIKE = 1 / 3, 3 / 2
HELP = "usr/share/libreoffice/help"
KINDS = ("true", "near its question", "near itself", "any")
WORDS = support.CLAIM_WORDS


@dataclass(frozen=True)
class Passage:
    text: str
    group: str  # those of other groups are not its neighbours
    document: str


@dataclass(frozen=True)
class Sentence:
    text: str
    document: str  # by which it falls into a half
    question: str
    sources: tuple[int, ...]
    said: tuple[str, ...] = ()  # by the visitor
    before: tuple[str, ...] = ()  # by anyone
    true_in: frozenset[str] = frozenset()  # other documents that say the same


@dataclass
class Corpus:
    name: str
    passages: list[Passage] = field(default_factory=list)
    sentences: list[Sentence] = field(default_factory=list)


@dataclass(frozen=True)
class Judged:
    half: int
    words: int
    shares: tuple[float, ...]  # by kind
    figures: tuple[bool, ...]  # whether a figure or an address gives it away, by kind


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", type=Path, nargs="*", default=[DATA / "mtrag_un"])
    parser.add_argument("--sample", type=int, default=6_000, help="sentences of a language at most")
    parser.add_argument("--joined", action="store_true", help="all sources as one, so that their words add up")
    options = parser.parse_args()
    for folder in options.folders:
        corpus = answers(folder) if (folder / "qrels.tsv").exists() else translations(folder)
        picked = random.Random(7).sample(corpus.sentences, min(options.sample, len(corpus.sentences)))
        print(f"\n{corpus.name}: {len(picked)} of {len(corpus.sentences)} sentences, {len(corpus.passages)} passages")
        report(list(judge(corpus, picked, joined=options.joined)))
        print(f"{microseconds(corpus, picked[:500]):.0f} microseconds a sentence")


def answers(folder: Path) -> Corpus:
    corpus, places = Corpus("English answers"), {}
    with gzip.open(folder / "corpus.jsonl.gz", "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            places[row["id"]] = len(corpus.passages)
            corpus.passages.append(Passage(f"{row['title']}\n{row['text']}", row["collection"], row["id"]))
    marked = defaultdict(list)
    for row in csv.DictReader((folder / "qrels.tsv").open(encoding="utf-8"), delimiter="\t"):
        marked[row["query-id"]].append(places[row["corpus-id"]])
    for line in (folder / "conversations.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["answerability"] != "ANSWERABLE":
            continue
        before = tuple(turn["text"] for turn in row["turns"])
        said = tuple(turn["text"] for turn in row["turns"] if turn["role"] == "user")
        for text in sentences(row["reference_answer"]):
            corpus.sentences.append(Sentence(text, row["id"], said[-1], tuple(marked[row["id"]]), said, before))
    return corpus


def translations(folder: Path) -> Corpus:
    corpus = Corpus("Chinese translations")
    mainland, taiwan = (
        next(path for path in (folder / f"libreoffice-help-{code.lower()}", folder) if (path / HELP / code).is_dir())
        / HELP
        / code
        / "text"
        for code in ("zh-CN", "zh-TW")
    )
    pages = {str(path.relative_to(mainland)): blocks(path) for path in sorted(mainland.rglob("*.html"))}
    others = {name: blocks(taiwan / name) for name in pages if (taiwan / name).exists()}
    said_in = defaultdict(set)
    for name, other in others.items():
        for _, text in other.values():
            for sentence in sentences(text):
                said_in[sentence].add(name)
    used = set()
    for name, page in pages.items():
        whole = chunk("\n\n".join(f"{'#' * level} {text}" if level else text for level, text in page.values()))
        pieces = [piece for piece in whole if is_translated(piece.text)]
        start = len(corpus.passages)
        corpus.passages += [Passage(f"{piece.heading}\n{piece.text}", "", name) for piece in pieces]
        title = next((text for level, text in page.values() if level), "")
        for key, (level, text) in others.get(name, {}).items():
            own = page.get(key, (1, ""))[1]
            if level or page.get(key, (1, ""))[0] or not are_translations(own, text):
                continue
            sources = tuple(start + n for n, piece in enumerate(pieces) if own in piece.text)
            for sentence in sentences(text):
                if sources and sentence not in used:
                    used.add(sentence)
                    true_in = frozenset(said_in[sentence])
                    corpus.sentences.append(Sentence(sentence, name, title, sources, true_in=true_in))
    return corpus


def blocks(page: Path) -> dict[str, tuple[int, str]]:
    """Paragraphs (0) and headings (their depth) of a help page by their id, which is the same in every language."""
    text = page.read_text(encoding="utf-8")
    text = text[text.find('id="DisplayArea"') : text.find('id="SearchFrame"')]
    found = {}
    for tag, key, inner in re.findall(r'<(p|h\d) id="([a-z]+_id\w+)"[^>]*>(.*?)</\1>', text, re.DOTALL):
        if plain := " ".join(html.unescape(re.sub(r"<[^>]+>", "", inner)).split()):
            found[key] = (0 if tag == "p" else int(tag[1]), plain)
    return found


def is_translated(text: str) -> bool:
    return len(re.findall(r"[\u3400-\u9fff]", text)) >= TRANSLATED * len(text)


def are_translations(one: str, other: str) -> bool:
    if not is_translated(one) or not is_translated(other):
        return False
    if re.sub(r"\W", "", in_mainland_words(other)) == re.sub(r"\W", "", one):
        return False
    alike = max(len(one), len(other)) <= UNLIKE * min(len(one), len(other))
    return alike and len(list(sentences(one))) == len(list(sentences(other)))


def sentences(text: str) -> Iterator[str]:
    start = 0
    for end in finished_at(text, whole=True):
        if text[start:end].strip():
            yield text[start:end]
        start = end


def judge(corpus: Corpus, picked: Sequence[Sentence], *, joined: bool) -> Iterator[Judged]:
    """Each sentence against its own sources, and against the three kinds of others."""
    near, draw = Neighbours(corpus.passages), random.Random(7)
    support.CLAIM_WORDS, support.SHARED, support.SHARED_UNSPACED = 1, 0.0, 0.0  # figures and addresses alone
    for sentence in picked:
        group = corpus.passages[sentence.sources[0]].group
        own = {corpus.passages[at].document for at in sentence.sources} | sentence.true_in
        kinds = (
            (sentence.sources, sentence.before),
            (near.of(sentence.question, group, own), sentence.said),
            (near.of(sentence.text, group, own), sentence.said),
            (near.any(draw, group, own), sentence.said),
        )
        texts = [[*(corpus.passages[at].text for at in places), *said] for places, said in kinds]
        read = [support.Sources(["\n".join(some)] if joined else some) for some in texts]
        yield Judged(
            half=hashlib.sha256(sentence.document.encode()).digest()[0] % 2,
            words=len(support._words(support._bare(sentence.text))),
            shares=tuple(sources.share(sentence.text) for sources in read),
            figures=tuple(not sources.support(sentence.text) for sources in read),
        )


class Neighbours:
    """Passages by the words they share with a text."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._passages = passages
        self._holding = defaultdict(list)
        self._groups = defaultdict(list)
        for at, passage in enumerate(passages):
            self._groups[passage.group].append(at)
            for word in support._words(support._bare(passage.text)):
                self._holding[word].append(at)

    def of(self, text: str, group: str, without: Collection[str]) -> list[int]:
        weights: defaultdict[int, float] = defaultdict(float)
        for word in support._words(support._bare(text)):
            holding = self._holding.get(word, [])
            for at in holding:
                weights[at] += math.log(len(self._passages) / len(holding))
        return self._first(sorted(weights, key=lambda at: (-round(weights[at], 6), at)), group, without)

    def any(self, draw: random.Random, group: str, without: Collection[str]) -> list[int]:
        return self._first(iter(lambda: draw.choice(self._groups[group]), None), group, without)

    def _first(self, places: Iterable[int], group: str, without: Collection[str]) -> list[int]:
        found: dict[int, None] = {}
        for at in places:
            if self._passages[at].group == group and self._passages[at].document not in without:
                found[at] = None
                if len(found) == PASSAGES:
                    break
        return list(found)


def report(judged: list[Judged]) -> None:
    """What limits mark, in %: for words alone, of true sentences by half; through the whole check; and the limits chosen."""
    halves = [[one for one in judged if one.half == half] for half in (0, 1)]
    heads = "".join(f" | {kind:>18} whole" for kind in KINDS[1:])
    print(f"{'limit':>8} | {'true: a half':>13}{'other':>8}{'whole':>8}{heads}")
    for limit in SHOWN:
        print(f"{limit:8.2f} | {line(judged, halves, WORDS, limit)}")
    for words in CLAIMS:
        first, second = (highest(half, words) for half in halves)
        print(f"from {words} words, by one half: {first:.2f}, of the other {marked(halves[1], 0, words, first):.2%};")
        print(f"by the other: {second:.2f}, of the one {marked(halves[0], 0, words, second):.2%}. The lower:")
        print(f"{min(first, second):8.2f} | {line(judged, halves, words, min(first, second))}")


def line(judged: list[Judged], halves: list[list[Judged]], words: int, limit: float) -> str:
    true, other = (marked(half, 0, words, limit) for half in halves)
    shown = f"{true:13.2%}{other:8.2%}{marked(judged, 0, words, limit, whole=True):8.2%}"
    for kind in range(1, len(KINDS)):
        shown += f" | {marked(judged, kind, words, limit):18.1%} {marked(judged, kind, words, limit, whole=True):5.1%}"
    return shown


def highest(half: list[Judged], words: int) -> float:
    """The highest limit that marks no more true sentences of a half than it may."""
    return max((limit for limit in LIMITS if marked(half, 0, words, limit) <= AIM), default=0.0)


def marked(judged: list[Judged], kind: int, words: int, limit: float, *, whole: bool = False) -> float:
    found = sum((one.words >= words and one.shares[kind] < limit) or (whole and one.figures[kind]) for one in judged)
    return found / len(judged)


def microseconds(corpus: Corpus, picked: Sequence[Sentence]) -> float:
    read = [support.Sources(corpus.passages[at].text for at in sentence.sources) for sentence in picked]
    for sources, sentence in zip(read, picked, strict=True):
        sources.support(sentence.text)
    start = process_time()
    for sources, sentence in zip(read, picked, strict=True):
        sources.support(sentence.text)
    return (process_time() - start) / len(picked) * 1e6


if __name__ == "__main__":
    main()
