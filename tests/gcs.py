"""An emulator of Google Cloud Storage: gcp-storage-emulator, and what it lacks of what this project relies on.

That is: conditions on generations, ranges, sorted and paged listings, settings of new buckets, many requests at once,
and faults that a test asks for. `python tests/gcs.py PORT [HOST]`; objects lie in memory.

POST /_fault {"match": REGEX, "status": 503, "times": 2} refuses the next requests whose "METHOD PATH" matches, which
ends in " anonymous" for those without credentials;
GET /_log lists the latest requests as [time, method, path, range].
"""

import json
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from typing import Any

from gcp_storage_emulator import server as emulator
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import buckets, objects
from gcp_storage_emulator.storage import Storage

Handler = Callable[[emulator.Request, emulator.Response, Storage], None]
# settings of a bucket that are given when it is made
BUCKET = (
    "location", "storageClass", "cors", "lifecycle", "labels", "iamConfiguration", "versioning", "softDeletePolicy",
)  # fmt: skip
LONGEST_PAGE = 1000
# requests that are listed
LOGGED = 20_000


class Refused(Exception):
    """A condition does not hold."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status)
        self.status = status


def asked(request: emulator.Request, name: str) -> str | None:
    """The value of a query parameter."""
    return next(iter(request.query.get(name, [])), None)


def stored(storage: Storage, bucket: str, name: str | None) -> dict[str, Any] | None:
    """What is known of an object; None if there is none."""
    try:
        return dict(storage.get_file_obj(bucket, name))
    except NotFound:
        return None


def check(request: emulator.Request, known: Mapping[str, Any] | None, unchanged: HTTPStatus) -> None:
    """Compare the object's generations with the conditions of a request; `unchanged` answers a "not match"."""
    for field in ("generation", "metageneration"):
        value, word = str(known[field]) if known else "0", field.capitalize()
        if asked(request, f"if{word}Match") not in (None, value):
            raise Refused(HTTPStatus.PRECONDITION_FAILED)
        if asked(request, f"if{word}NotMatch") == value:
            raise Refused(unchanged)


def insert(request: emulator.Request, response: emulator.Response, storage: Storage) -> None:
    # metadata come beside the bytes, or alone before the pieces of a large object
    name = asked(request, "name") or request.data.get("meta", request.data)["name"]
    check(request, stored(storage, request.params["bucket_name"], name), HTTPStatus.PRECONDITION_FAILED)
    objects.insert(request, response, storage)


def delete(request: emulator.Request, response: emulator.Response, storage: Storage) -> None:
    known = stored(storage, request.params["bucket_name"], request.params["object_id"])
    if known is not None:
        check(request, known, HTTPStatus.PRECONDITION_FAILED)
    objects.delete(request, response, storage)


def get(request: emulator.Request, response: emulator.Response, storage: Storage) -> None:
    known = stored(storage, request.params["bucket_name"], request.params["object_id"])
    if known is None and asked(request, "ifGenerationMatch") not in (None, "0"):
        raise Refused(HTTPStatus.NOT_FOUND)
    if known is not None:
        if asked(request, "generation") not in (None, known["generation"]):
            raise Refused(HTTPStatus.NOT_FOUND)
        check(request, known, HTTPStatus.NOT_MODIFIED)
    media = asked(request, "alt") == "media" or request.path.startswith("/download/")
    if known is None or not media:
        objects.get(request, response, storage)
    else:
        download(request, response, known, storage)


def download(
    request: emulator.Request, response: emulator.Response, known: Mapping[str, Any], storage: Storage
) -> None:
    """The bytes that the range asks for, with their object's generation."""
    data = bytes(storage.get_file(known["bucket"], known["name"]))
    response["x-goog-generation"], response["x-goog-hash"] = known["generation"], f"crc32c={known['crc32c']}"
    span = re.fullmatch(r"bytes=(\d*)-(\d*)", request.get_header("range") or "")
    if span:
        begin = int(span[1]) if span[1] else max(0, len(data) - int(span[2]))
        end = min(int(span[2]) + 1, len(data)) if span[1] and span[2] else len(data)
        response["Content-Range"] = f"bytes {begin}-{end - 1}/{len(data)}"
        if begin >= end:
            raise Refused(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
        data, response.status = data[begin:end], HTTPStatus.PARTIAL_CONTENT
    response.write_file(data, content_type=known.get("contentType"))


def listing(request: emulator.Request, response: emulator.Response, storage: Storage) -> None:
    """One page of a listing, sorted by the bytes of names."""
    objects.ls(request, response, storage)
    if response.status != HTTPStatus.OK:
        return
    whole = json.loads(response._content)
    entries = [*((i["name"], i) for i in whole.get("items", [])), *((p, None) for p in whole.get("prefixes", []))]
    entries.sort(key=lambda e: e[0].encode())
    begin, end, after = (asked(request, n) for n in ("startOffset", "endOffset", "pageToken"))
    wanted = [e for e in entries if (begin or "") <= e[0] and not (end and e[0] >= end) and e[0] > (after or "")]
    page = wanted[: int(asked(request, "maxResults") or LONGEST_PAGE)]
    whole["items"], whole["prefixes"] = [i for _, i in page if i], [n for n, i in page if not i]
    response.json({**whole, **({"nextPageToken": page[-1][0]} if len(page) < len(wanted) else {})})


def make_bucket(request: emulator.Request, response: emulator.Response, storage: Storage) -> None:
    buckets.insert(request, response, storage)
    if response.status == HTTPStatus.OK:
        bucket = storage.get_bucket(request.data["name"])
        bucket.update({k: request.data[k] for k in BUCKET if k in request.data})
        bucket["location"] = bucket.get("location", "US").upper()
        response.json(bucket)


STRICT: dict[Any, Handler] = {
    objects.insert: insert,
    objects.delete: delete,
    objects.get: get,
    objects.download: get,
    objects.ls: listing,
    buckets.insert: make_bucket,
}


class Emulator(emulator.RequestHandler):
    """Answers one connection. Faults and log are the server's."""

    server: "Server"

    def answer(self) -> None:
        request, response = emulator.Request(self, self.command), emulator.Response(self)
        self.server.log.append((time.time(), self.command, self.path, self.headers.get("Range")))
        del self.server.log[:-LOGGED]
        if origin := self.headers.get("Origin"):
            # Google's JSON interface answers pages of any origin, whatever the bucket's rules say
            response["Access-Control-Allow-Origin"] = origin
        if self.headers.get("Expect") == "100-continue":
            # curl asks so before it sends more than 1 MiB, and waits a second for the answer
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        data = request.data  # read outside of the lock
        with self.server.lock:
            self._answer(request, response, data)
        response.close()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer  # noqa: N815, by http.server

    def _answer(self, request: emulator.Request, response: emulator.Response, data: Any) -> None:
        if request.path == "/_fault":
            self.server.faults.append(data)
            response.json({})
        elif request.path == "/_log":
            response.json(list(self.server.log))
        elif status := self.server.fault(f"{request.method} {self.path}{self._who()}"):
            refuse(response, status)
        else:
            try:
                self._handle(request, response)
            except Refused as refusal:
                refuse(response, refusal.status)

    def _who(self) -> str:
        return "" if self.headers.get("Authorization") else " anonymous"

    def _handle(self, request: emulator.Request, response: emulator.Response) -> None:
        for pattern, handlers in emulator.HANDLERS:
            if match := re.fullmatch(pattern, request.path):
                request.set_match(match)
                handler = handlers.get(request.method)
                if handler is not None:
                    STRICT.get(handler, handler)(request, response, self.storage)
                    return
        response.status = HTTPStatus.NOT_IMPLEMENTED


def refuse(response: emulator.Response, status: HTTPStatus) -> None:
    response.status = status
    if status != HTTPStatus.NOT_MODIFIED:  # which has no content
        response.json({"error": {"code": int(status), "message": status.phrase}})


class Memory(Storage):
    """Objects that lie in memory only."""

    def _write_config_to_file(self) -> None:
        """Nothing: what is known of all objects, written as JSON at each change, makes the thousandth one slow."""


class Server(ThreadingHTTPServer):
    """One emulator with its objects."""

    daemon_threads, request_queue_size = True, 256

    def __init__(self, host: str, port: int) -> None:
        self.lock, self.faults, self.log = threading.RLock(), list[dict[str, Any]](), list[Any]()
        super().__init__((host, port), partial(Emulator, Memory(use_memory_fs=True)))

    def fault(self, line: str) -> HTTPStatus | None:
        """The status that a request is refused with, if a test asked for that."""
        for fault in self.faults:
            if fault["times"] > 0 and re.search(fault["match"], line):
                fault["times"] -= 1
                return HTTPStatus(fault["status"])
        return None


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    Server(sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1", int(sys.argv[1])).serve_forever()
