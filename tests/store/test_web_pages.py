"""What pages in a browser can read: who is refused, what other sites may see, and answers that never come."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from clio_argo.errors import TransientError
from clio_argo.store import web_pages
from clio_argo.store.documents import Store
from clio_argo.store.web_pages import PRIVATE, is_closed_to_pages, refused_to_pages

ORIGIN = "https://viewer.example.org"


@contextmanager
def answering(status: int, allowed: str | None) -> Iterator[str]:
    """The address of a server that gives everybody one answer."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            if allowed:
                self.send_header("Access-Control-Allow-Origin", allowed)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "allowed", "reason"),
    [
        (206, "*", ""), (200, ORIGIN, ""), (404, "*", ""), (206, None, "does not let pages of"),
        (206, "https://other.example.org", "does not let pages of"), (401, "*", PRIVATE), (403, None, PRIVATE),
    ],
)  # fmt: skip
def test_why_pages_cannot_read(status: int, allowed: str | None, reason: str) -> None:
    with answering(status, allowed) as address:
        told = refused_to_pages(address, ORIGIN)
    assert reason in told
    assert bool(told) == bool(reason)


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_no_answer_decides_nothing_and_is_not_awaited(
    silent: str, monkeypatch: pytest.MonkeyPatch, s3_address: Store
) -> None:
    monkeypatch.setattr(web_pages, "PATIENCE_S", 0.2)
    for address in (silent, "http://127.0.0.1:9"):
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        began = time.monotonic()
        assert not is_closed_to_pages(s3_address, "ng/info", ORIGIN)
        assert time.monotonic() - began < 2


@pytest.fixture
def s3_address() -> Store:
    """A store whose objects have an address on whatever server the environment names."""
    return Store("s3://bucket/run")


def test_a_broken_server_decides_nothing(monkeypatch: pytest.MonkeyPatch, s3_address: Store) -> None:
    with answering(503, None) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        assert not is_closed_to_pages(s3_address, "ng/info", ORIGIN)
        with pytest.raises(TransientError):
            refused_to_pages(address, ORIGIN)


def test_what_has_no_address_is_closed(tmp_path: object) -> None:
    assert is_closed_to_pages(Store(str(tmp_path)), "ng/info", ORIGIN)


def test_the_place_of_the_volume_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(403, None) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        assert is_closed_to_pages(Store("gs://bucket/run", {"ng": "s3://other/fly"}), "ng/info", ORIGIN)
