"""Collections, documents as uploaded, chunks as indexed, what people changed in them, and the versions that are published."""

from knowledge.models.documents import Collection, Document, SourceText
from knowledge.models.findings import Finding, SetAside
from knowledge.models.gold import GoldQuestion, GoldRun, GoldSet
from knowledge.models.pieces import Chunk, Edit, Entry, Layer
from knowledge.models.sources import Source, SourcePage
from knowledge.models.versions import Vector, Version

__all__ = [
    "Chunk",
    "Collection",
    "Document",
    "Edit",
    "Entry",
    "Finding",
    "GoldQuestion",
    "GoldRun",
    "GoldSet",
    "Layer",
    "SetAside",
    "Source",
    "SourcePage",
    "SourceText",
    "Vector",
    "Version",
]
