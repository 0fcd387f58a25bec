"""Questions embedded without torch: the encoder's own network as ONNX, its matrices and its table of words in 8 bits, made
once on this machine.

A question is short and comes alone, which is where torch is slowest: this is several times faster, starts at once and takes
a fraction of the memory (docs/decisions/0014). Documents are still embedded by the encoder itself, whose vectors these come
close enough to (`manage.py prepare_encoder` says how close).
"""

import hashlib
import json
import shutil
import tempfile
import threading
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

IDS, MASK = "input_ids", "attention_mask"
GRAPH, TOKENS, ABOUT = "question.onnx", "tokenizer.json", "about.json"
LONGEST_TEXT_TOKENS = 256
SAMPLES = (
    "How long do refunds take?",
    "Do you ship to Norway, and what does it cost?",
    "退款多久到账？",
    "reset password",
)
CLOSE_ENOUGH = 0.97
FORM = 2  # rises when `export` makes another file of the same encoder; what older code made is then made anew


class CannotExport(Exception):
    """The encoder has no such form. The text says why; questions go on being embedded by the encoder itself."""


class QuestionNetwork:
    """What `export` made. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        about = json.loads((folder / ABOUT).read_text())
        self.fingerprint, self.size = str(about["fingerprint"]), int(about["size"])
        self._unknown = about["unknown"]
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENS))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(int(about["longest"]))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # many short questions, each on one core
        self._session = onnxruntime.InferenceSession(str(folder / GRAPH), options, providers=["CPUExecutionProvider"])
        self._lock = threading.Lock()
        self.vector = lru_cache(maxsize=4096)(self._vector)

    def understood(self, text: str) -> float:
        """The share of `text`'s tokens that the encoder has in its vocabulary, 0 to 1."""
        with self._lock:
            tokens = self._tokenizer.encode(text, add_special_tokens=False).ids
        if not tokens or self._unknown is None:
            return 1.0
        return 1 - sum(1 for token in tokens if token == self._unknown) / len(tokens)

    def _vector(self, text: str) -> Vectors:
        with self._lock:
            ids = np.array([self._tokenizer.encode(text).ids], np.int64)
        (vectors,) = self._session.run(None, {IDS: ids, MASK: np.ones_like(ids)})
        return np.asarray(vectors[0], np.float32)


def folder_for(home: Path, name: str, weights: Path) -> Path:
    """Where the form of an encoder is kept; other weights, another `FORM`, have another place. `weights` is its own folder."""
    files = sorted(path for path in weights.rglob("*") if path.is_file())
    facts = [(path.relative_to(weights).as_posix(), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    digest = hashlib.sha256(repr((FORM, facts)).encode()).hexdigest()[:16]
    return home / "encoders" / f"{Path(name).name[:60]}-{digest}"


def load(folder: Path) -> QuestionNetwork | None:
    """What was made before; None where nothing was."""
    return QuestionNetwork(folder) if (folder / ABOUT).exists() else None


def fingerprint_of(folder: Path) -> str | None:
    """Of what was made before, without loading it; None where nothing was, or nothing that can be read."""
    try:
        return str(json.loads((folder / ABOUT).read_text())["fingerprint"])
    except (OSError, ValueError, KeyError):
        return None


def export(model: Any, fingerprint: str, folder: Path) -> float:
    """Make the form of a sentence-transformers `model`; returns the least cosine of sample questions to the model's own.

    Written beside and then moved, so that there is never half of it. Raises `CannotExport`.
    """
    kinds = [type(module).__name__ for module in model]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise CannotExport(f"It consists of {', '.join(kinds)}.")
    pooling = model[1].get_config_dict().get("pooling_mode")
    tokenizer = model.tokenizer
    if pooling != "mean" or not getattr(tokenizer, "is_fast", False):
        raise CannotExport("Only mean pooling over a fast tokenizer is known here.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's remarks about itself
            _write_graph(model[0].auto_model, beside)
        tokenizer.backend_tokenizer.save(str(beside / TOKENS))
        about = {
            "fingerprint": fingerprint,
            "size": int(model.get_embedding_dimension() or 0),
            "unknown": tokenizer.unk_token_id,
            "longest": min(int(model.max_seq_length or LONGEST_TEXT_TOKENS), LONGEST_TEXT_TOKENS),
        }
        (beside / ABOUT).write_text(json.dumps(about))
        nearest = _nearness(model, QuestionNetwork(beside))
        if nearest < CLOSE_ENOUGH:
            raise CannotExport(f"In 8 bits its vectors are too far from its own (cosine {nearest:.3f}).")
        shutil.rmtree(folder, ignore_errors=True)
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return nearest


def _write_graph(network: Any, folder: Path) -> None:
    import onnxruntime.quantization as quantization
    import torch

    class Question(torch.nn.Module):
        """Tokens in, one vector of length 1 out: the mean over the tokens that count."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            states = self.network(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            counts = attention_mask.unsqueeze(-1).to(states.dtype)
            mean = (states * counts).sum(1) / counts.sum(1).clamp(min=1e-9)
            return torch.nn.functional.normalize(mean, dim=1)

    ids, mask = torch.arange(14).reshape(2, 7), torch.ones((2, 7), dtype=torch.long)
    mask[1, 5:] = 0  # two different tensors, or the exporter takes them for one
    batch, length = torch.export.Dim("batch", min=1, max=64), torch.export.Dim("length", min=2, max=512)
    whole = folder / "whole.onnx"
    torch.onnx.export(
        Question().eval(),
        (ids, mask),
        str(whole),
        input_names=[IDS, MASK],
        output_names=["vector"],
        dynamic_shapes=({0: batch, 1: length}, {0: batch, 1: length}),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    quantization.quantize_dynamic(
        whole,
        folder / GRAPH,
        weight_type=quantization.QuantType.QInt8,
        op_types_to_quantize=["MatMul"],
        per_channel=True,
    )
    whole.unlink()
    _pack_words(folder / GRAPH)


def _pack_words(graph: Path) -> None:
    """Hold the table of words, half of the network, as int8 with a scale for each row: a quarter of the memory.

    onnxruntime's own quantiser would give the whole table one scale, which comes less near.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(graph)
    at, node = next((at, node) for at, node in enumerate(model.graph.node) if node.input[1:2] == [IDS])
    table = next(tensor for tensor in model.graph.initializer if tensor.name == node.input[0])
    rows = numpy_helper.to_array(table).astype(np.float32)
    scales = np.maximum(np.abs(rows).max(axis=1, keepdims=True), np.finfo(np.float32).tiny * 127) / np.float32(127)
    model.graph.initializer.remove(table)
    model.graph.initializer.append(numpy_helper.from_array(np.round(rows / scales).astype(np.int8), "words.rows"))
    model.graph.initializer.append(numpy_helper.from_array(scales, "words.scales"))
    model.graph.node.remove(node)
    looked_up = (
        helper.make_node("Gather", ["words.rows", IDS], ["words.packed"], axis=0),
        helper.make_node("Cast", ["words.packed"], ["words.wide"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Gather", ["words.scales", IDS], ["words.scale"], axis=0),
        helper.make_node("Mul", ["words.wide", "words.scale"], [node.output[0]]),
    )
    for place, made in enumerate(looked_up, at):
        model.graph.node.insert(place, made)
    onnx.checker.check_model(model)
    onnx.save(model, graph)


def _nearness(model: Any, made: QuestionNetwork) -> float:
    own = model.encode(list(SAMPLES), normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False)
    return min(float(vector @ made.vector(text)) for text, vector in zip(SAMPLES, own, strict=True))
