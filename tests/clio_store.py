"""A clio-store that keeps its datasets in memory, with the quirks of the real one. No mock: a server on a socket.

It answers as clio-store 91212a6 did with an in-memory Firestore; its oddities are deliberate.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

ADMIN, BLIND_ADMIN, READER, STRANGER = "admin-7Hq", "blind-admin-7Hq", "reader-7Hq", "stranger-7Hq"
TOKENS, ADMINS, READERS = {ADMIN, BLIND_ADMIN, READER, STRANGER}, {ADMIN, BLIND_ADMIN}, {ADMIN, READER}
FIELDS = {
    "description", "title", "tag", "uuid", "dvid", "mainLayer", "neuroglancer", "versions", "typing", "neuprintHTTP",
    "bodyAnnotationSchema", "orderedLayers", "public", "layers", "dimensions", "position", "crossSectionScale",
    "projectionScale", "location",
}  # fmt: skip


@dataclass
class State:
    """What the server knows, and what it was asked: (method, path, token).

    down: its auth back end does not answer. forgets: fields that it loses when it writes. says: instead of any answer,
    (status, headers, body).
    """

    url: str = ""
    datasets: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    down: bool = False
    forgets: set[str] = field(default_factory=set)
    says: tuple[int, dict[str, str], str] | None = None

    @property
    def posts(self) -> int:
        return sum(method == "POST" for method, _, _ in self.asked)


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"

    def answer(self) -> None:
        state = self.server.state
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
        state.asked.append((self.command, self.path, token))
        if state.says:
            self._send(*state.says)
        elif state.down:
            self._json(502, {"detail": "auth back end does not answer"})
        elif token not in TOKENS:
            self._json(401, {"detail": "not authenticated"}, {"WWW-Authenticate": "Bearer"})
        else:
            self._json(*self._result(token, body))

    do_GET = do_POST = do_DELETE = answer  # noqa: N815, by http.server

    def _result(self, token: str, body: Any) -> tuple[int, Any]:
        path = urlsplit(self.path).path.removeprefix("/test").rstrip("/")
        if path == "/v2/datasets" and self.command == "GET":
            return 200, self.server.state.datasets if token in READERS else {}
        if path.startswith("/v2/datasets/") and self.command == "GET":
            return self._one(unquote(path.removeprefix("/v2/datasets/")), token)
        if path == "/v2/datasets":
            change = {"POST": self._post, "DELETE": self._delete}[self.command]
            return change(body) if token in ADMINS else (401, {"detail": "only admins"})
        known = {("GET", "/v2/roles"): {"datasets": {}}, ("POST", "/v2/server/refresh-caches"): None}
        known |= {("POST", "/v2/server/token"): "long-lived"}
        asked = (self.command, path)
        return (200, known[asked]) if asked in known else (404, {"detail": "Not Found"})

    def _one(self, name: str, token: str) -> tuple[int, Any]:
        if name not in (datasets := self.server.state.datasets):
            return 400, {"detail": f"dataset {name} not found"}
        return 200, datasets[name] if token in READERS or datasets[name].get("public") else None

    def _delete(self, names: list[str]) -> tuple[int, Any]:
        for name in names:
            self.server.state.datasets.pop(name, None)
        return 200, None

    def _post(self, body: dict[str, dict[str, Any]]) -> tuple[int, Any]:
        state = self.server.state
        missing = [n for n, record in body.items() if "description" not in record]
        if missing:
            return 422, {"detail": [{"loc": ["body", missing[0], "description"], "msg": "Field required"}]}
        for name, record in body.items():  # one after the other: those before a refused one stay written
            if name not in state.datasets:
                return 400, {"detail": "error in POSTing datasets: {e}"}
            tag = state.datasets[name].get("tag")
            if tag and (record.get("tag") or "") < tag:
                return 400, {"detail": f"tag {record.get('tag')} is older than {tag}"}
            kept = {k: v for k, v in record.items() if k in FIELDS - state.forgets and v is not None}
            state.datasets[name] = kept
        return 200, None

    def _json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        self._send(status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(value))

    def _send(self, status: int, headers: dict[str, str], text: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(text.encode()))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None: ...


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    state: State


@contextmanager
def clio_store(**datasets: dict[str, Any]) -> Iterator[State]:
    """A running one that knows these datasets."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.state = State(f"http://127.0.0.1:{server.server_port}", datasets)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.state
        server.shutdown()
