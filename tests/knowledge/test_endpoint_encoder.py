"""An OpenAI-style embedding endpoint, against a real HTTP server on this machine."""

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from knowledge import embedding
from knowledge.embedding import EncoderUnavailable
from knowledge.endpoint_encoder import BATCH, QUESTION_TRIES, TRIES, EndpointEncoder

KEY = "sk-very-secret"


class Endpoint(ThreadingHTTPServer):
    """Answers with (length of the text, 1, 0); `script` holds statuses or bodies to give first."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[Any] = []
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server: Endpoint = self.server  # type: ignore[assignment]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.asked.append({"path": self.path, **body})
        server.keys.append(self.headers.get("Authorization", ""))
        status, answer = 200, None
        if server.script:
            given = server.script.pop(0)
            status, answer = (given, b"no") if isinstance(given, int) else (200, given)
        if answer is None:
            rows = [{"index": at, "embedding": [len(text), 1, 0]} for at, text in enumerate(body["input"])]
            answer = json.dumps({"data": rows[::-1]}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def remote(endpoint: Endpoint) -> EndpointEncoder:
    return EndpointEncoder(endpoint.url, "vendor/embed-small", KEY, pause_s=0.0)


def test_texts_go_in_batches_and_vectors_come_back_in_order_and_of_length_one(
    endpoint: Endpoint, remote: EndpointEncoder
) -> None:
    texts = ["x" * (1 + at % 7) for at in range(BATCH + 3)]
    done: list[int] = []
    vectors = remote.encode(texts, on_batch=done.append)
    assert [len(asked["input"]) for asked in endpoint.asked] == done == [BATCH, 3]
    assert endpoint.asked[0]["path"] == "/v1/embeddings"
    assert endpoint.asked[0]["model"] == "vendor/embed-small"
    assert set(endpoint.keys) == {f"Bearer {KEY}"}
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert np.allclose(vectors[:, 0] / vectors[:, 1], [len(text) for text in texts])


def test_a_question_is_asked_once_and_remembered(endpoint: Endpoint, remote: EndpointEncoder) -> None:
    assert np.array_equal(remote.encode_question("how long?"), remote.encode_question("how long?"))
    assert len(endpoint.asked) == 1


def test_its_fingerprint_names_model_size_and_address(remote: EndpointEncoder) -> None:
    other = EndpointEncoder("http://elsewhere.example/v1", remote.model)
    other.__dict__["size"] = 3
    assert remote.fingerprint.startswith("embed-small:3:")
    assert remote.fingerprint != other.fingerprint


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_tried_again(endpoint: Endpoint, remote: EndpointEncoder, status: int) -> None:
    endpoint.script = [status, status]
    assert remote.encode(["a"]).shape == (1, 3)
    assert len(endpoint.asked) == 3


def test_it_is_given_up_after_some_tries_and_sooner_where_somebody_waits(
    endpoint: Endpoint, remote: EndpointEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.script = [503] * 20
    with caplog.at_level(logging.DEBUG), pytest.raises(EncoderUnavailable, match="answered 503"):
        remote.encode(["a visitor's words"])
    assert len(endpoint.asked) == TRIES
    with pytest.raises(EncoderUnavailable):
        remote.encode_question("b")
    assert len(endpoint.asked) == TRIES + QUESTION_TRIES
    assert KEY not in caplog.text
    assert "visitor's words" not in caplog.text


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (401, "BATON_EMBEDDINGS_API_KEY"),
        (404, "BATON_EMBEDDINGS_MODEL"),
        (400, "answered 400"),
        (b"<html>", "not JSON"),
        (b'{"error": "x"}', "holds no vectors"),
        (b'{"data": []}', "0 usable vectors for 1"),
        (b'{"data": [{"index": 0, "embedding": [0, 0]}]}', "usable vectors"),
        (b'{"data": [{"index": 0, "embedding": ["a"]}]}', "holds no vectors"),
    ],
)
def test_what_cannot_work_is_said_at_once_in_words(
    endpoint: Endpoint, remote: EndpointEncoder, answer: Any, words: str
) -> None:
    endpoint.script = [answer]
    with pytest.raises(EncoderUnavailable, match=words) as problem:
        remote.encode(["a"])
    assert len(endpoint.asked) == 1
    assert KEY not in str(problem.value) + repr(remote)


def test_an_address_where_nobody_listens_is_named() -> None:
    with pytest.raises(EncoderUnavailable, match="BATON_EMBEDDINGS_URL"):
        EndpointEncoder("http://127.0.0.1:9/v1", "m", pause_s=0.0).encode(["a"])


def test_it_understands_the_languages_it_is_said_to(remote: EndpointEncoder) -> None:
    assert remote.understood("退款多久") == 1
    english = EndpointEncoder(remote.url, "m", languages=frozenset({"en"}))
    assert english.understood("退款多久") == 0
    assert english.understood("refund") == 1
    assert english.understood("退款 AB") == pytest.approx(0.5)


def test_the_settings_choose_it(endpoint: Endpoint, settings: Any) -> None:
    settings.EMBEDDINGS_URL, settings.EMBEDDINGS_MODEL = endpoint.url, "m"
    embedding.encoder.cache_clear()
    try:
        vector, understood = embedding.question_vector("how long?")
    finally:
        embedding.encoder.cache_clear()
    assert (vector.shape, understood) == ((3,), 1.0)
