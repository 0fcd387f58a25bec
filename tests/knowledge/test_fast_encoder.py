"""Questions without torch: made from a real, tiny sentence-transformers model that is built here."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from knowledge import embedding, fast_encoder
from knowledge.embedding import SentenceTransformerEncoder, TwoSpeedEncoder
from knowledge.fast_encoder import CannotExport

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "how",
    "long",
    "do",
    "refunds",
    "take",
    "?",
    "退",
    "款",
    "reset",
    "password",
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a BERT of two small layers, mean pooling and its tokenizer."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(7)
    folder = tmp_path_factory.mktemp("tiny")
    network, vocabulary = folder / "network", folder / "vocab.txt"
    vocabulary.write_text("\n".join(WORDS))
    BertTokenizerFast(vocab=str(vocabulary)).save_pretrained(network)
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    BertModel(BertConfig(vocab_size=len(WORDS), max_position_embeddings=64, **sizes)).save_pretrained(network)
    transformer = Transformer(str(network), max_seq_length=32)
    model = SentenceTransformer(modules=[transformer, Pooling(64), Normalize()], device="cpu")
    model.save(str(folder / "model"))
    return folder / "model"


@pytest.fixture
def chosen(tiny: Path, tmp_path: Path, settings: Any) -> Any:
    settings.ENCODER, settings.HOME = str(tiny), tmp_path
    embedding.encoder.cache_clear()
    yield settings
    embedding.encoder.cache_clear()


def test_a_question_comes_out_nearly_the_same_and_no_torch_is_loaded_for_it(chosen: Any, tiny: Path) -> None:
    own = SentenceTransformerEncoder(str(tiny))
    nearest = embedding.prepare()
    assert nearest is not None
    assert nearest >= fast_encoder.CLOSE_ENOUGH
    assert embedding.prepare() is None, "made once"

    fast = embedding.encoder()
    assert isinstance(fast, TwoSpeedEncoder)
    assert (fast.fingerprint, fast.size) == (own.fingerprint, own.size)
    for text in ("how long do refunds take?", "退款", "reset password", "words it does not know"):
        vector = fast.encode_question(text)
        assert vector.dtype == np.float32
        assert float(np.linalg.norm(vector)) == pytest.approx(1, abs=1e-3)
        assert float(vector @ own.encode([text])[0]) >= fast_encoder.CLOSE_ENOUGH
        assert fast.understood(text) == own.understood(text)
    assert fast._whole is None
    assert np.allclose(fast.encode(["refunds"]), own.encode(["refunds"]), atol=1e-6), (
        "documents go through the model itself"
    )


def test_the_table_of_words_is_held_in_8_bits_each_row_by_its_own_scale(chosen: Any, tiny: Path) -> None:
    import onnx
    from onnx import numpy_helper

    assert embedding.prepare()
    folder = embedding.fast_folder()
    assert folder
    held = {tensor.name: tensor for tensor in onnx.load(folder / fast_encoder.GRAPH).graph.initializer}
    network = SentenceTransformerEncoder(str(tiny)).model[0].auto_model
    words = network.embeddings.word_embeddings.weight.detach().numpy()
    rows, scales = (numpy_helper.to_array(held[name]) for name in ("words.rows", "words.scales"))
    assert rows.dtype == np.int8
    assert np.abs(rows * scales - words).max() <= scales.max() / 2 * 1.01
    assert [1] * len(words) == [len(scale) for scale in scales]
    assert not [name for name, tensor in held.items() if tensor.dims == list(words.shape) and name != "words.rows"]


def test_which_encoder_it_is_is_known_without_loading_it_once_the_fast_form_is_there(chosen: Any) -> None:
    assert embedding.fingerprint_at_hand() is None
    assert embedding.prepare()
    known = embedding.fingerprint_at_hand()
    assert embedding.encoder.cache_info().currsize == 0
    assert known == embedding.encoder().fingerprint


def test_without_the_fast_form_the_model_itself_serves_and_that_is_said(
    chosen: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert isinstance(embedding.encoder(), SentenceTransformerEncoder)
    assert "prepare_encoder" in caplog.text


def test_a_form_that_cannot_be_read_is_passed_over(chosen: Any, caplog: pytest.LogCaptureFixture) -> None:
    folder = embedding.fast_folder()
    assert folder
    folder.mkdir(parents=True)
    (folder / fast_encoder.ABOUT).write_text("{")
    assert isinstance(embedding.encoder(), SentenceTransformerEncoder)
    assert "cannot be read" in caplog.text


def test_other_weights_have_another_place(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "model.safetensors").write_bytes(b"one")
    first = fast_encoder.folder_for(tmp_path, "m", weights)
    (weights / "model.safetensors").write_bytes(b"other")
    assert fast_encoder.folder_for(tmp_path, "m", weights) != first


def test_what_an_older_release_made_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    now = fast_encoder.folder_for(tmp_path, "m", weights)
    monkeypatch.setattr(fast_encoder, "FORM", fast_encoder.FORM - 1)
    assert fast_encoder.folder_for(tmp_path, "m", weights) != now


def test_a_model_of_another_kind_has_no_fast_form_and_leaves_nothing_behind(tiny: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    mean = SentenceTransformer(str(tiny), device="cpu")
    first_token = SentenceTransformer(modules=[mean[0], Pooling(64, pooling_mode="cls")], device="cpu")
    with pytest.raises(CannotExport):
        fast_encoder.export(first_token, "x", tmp_path / "form")
    assert list(tmp_path.iterdir()) == []
