"""Questions that ask the same, put together: by meaning where the encoder understands them, by words where it does not."""

import hashlib
from collections.abc import Sequence

import numpy as np

from knowledge.embedding import question_vector
from knowledge.merge import overlap
from knowledge.models import Chunk, SetAside
from knowledge.segment import fold
from workspace.models import Workspace

TOGETHER = 0.6  # mean likeness to the questions of a group
UNDERSTOOD_POWER = 2


def group(questions: Sequence[str]) -> list[list[int]]:
    """Numbers of `questions` by group, largest group first; each question joins the group it is most like on average."""
    vectors, trust = [], []
    for question in questions:
        vector, understood = question_vector(question)
        vectors.append(vector)
        trust.append(understood**UNDERSTOOD_POWER)
    groups: list[list[int]] = []
    for at in range(len(questions)):
        likeness = [
            float(np.mean([_likeness(questions, vectors, trust, at, member) for member in members]))
            for members in groups
        ]
        best = max(range(len(groups)), key=lambda each: likeness[each], default=None)
        if best is not None and likeness[best] >= TOGETHER:
            groups[best].append(at)
        else:
            groups.append([at])
    return sorted(groups, key=lambda members: -len(members))


def answered_since(workspace: Workspace, questions: Sequence[str]) -> set[str]:
    """Those of the folded `questions` that are now a FAQ's question or phrasing, or were set aside."""
    wanted = {fold(question): question for question in questions}
    asked = Chunk.objects.of(workspace).filter(
        kind=Chunk.Kind.QUESTION, current=True, entry__off=False, document__deleted_at__isnull=True
    )
    known = {fold(text) for text in asked.filter(text__in=list(questions)).values_list("text", flat=True)}
    hashes = {_hash(text): text for text in wanted}
    aside = SetAside.objects.of(workspace).filter(text_hash__in=list(hashes)).values_list("text_hash", flat=True)
    return (known & wanted.keys()) | {hashes[name] for name in aside}


def set_aside(*, workspace: Workspace, questions: Sequence[str]) -> None:
    """Nobody is going to write an answer for these."""
    for question in questions:
        SetAside.objects.of(workspace).get_or_create(text_hash=_hash(fold(question)))


def _likeness(
    questions: Sequence[str], vectors: Sequence[np.ndarray], trust: Sequence[float], one: int, other: int
) -> float:
    weight = min(trust[one], trust[other])
    shared = overlap(questions[one], questions[other])
    return weight * float(vectors[one] @ vectors[other]) + (1 - weight) * shared


def _hash(folded: str) -> str:
    return hashlib.sha256(folded.encode()).hexdigest()
