"""Steps that stay where a test wants them: the store does not take a unit's record until it is told to."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from tests.e2e.cluster import BUCKET, until

# more than a step tries before a test lets it go on
REFUSALS = 200
# other processes of tests use the same store
OURS = BUCKET.removeprefix("gs://")


@contextmanager
def held(record: str) -> Iterator[None]:
    """Until the store was asked to write the object `record`; it is refused (503) in here, and taken afterwards.

    What the step did before is done, and it goes on trying.
    """
    until(lambda: record in _asked(), f"the first try to write {record}")
    try:
        yield
    finally:
        while _status(_release(record)) == 503:
            pass


def hold(*records: str) -> None:
    """Let the store refuse to write these objects from now on. It counts refusals, so `held` uses up what is left."""
    for record in records:
        parts = "(/|%2F)".join(record.split("/"))
        match = f"^(POST|PUT) .*{OURS}.*{parts}|^GET {_release(record)}( anonymous)?$"
        fault = {"match": match, "status": 503, "times": REFUSALS}
        _answer("/_fault", json.dumps(fault).encode())


def _release(record: str) -> str:
    return f"/release/{OURS}/{record}"


def _asked() -> str:
    """All requests that change something in this session's bucket, as one text."""
    log: list[list[Any]] = json.loads(_answer("/_log"))
    return "\n".join(unquote(path) for _, method, path, *_ in log if method in ("POST", "PUT") and OURS in path)


def _status(path: str) -> int:
    try:
        _answer(path)
    except urllib.error.HTTPError as error:
        return error.code
    return 200


def _answer(path: str, body: bytes | None = None) -> bytes:
    asked = urllib.request.Request(os.environ["CLIO_GCS_ENDPOINT"] + path, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return bytes(answer.read())
