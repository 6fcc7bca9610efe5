"""Objects by name under one root: a folder or a bucket, behind the same few calls."""

import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import google_crc32c
import tensorstore as ts

from clio_argo.errors import BrokenVolume, MissingInput, UserError
from clio_argo.model.base import Document
from clio_argo.model.run import ObjectRecord
from clio_argo.store.faults import store_errors

D = TypeVar("D", bound=Document)
DRIVERS = {"gs": "gcs", "s3": "s3"}
# tensorstore's generations: "no such object" as a condition, and "unknown" when a condition did not hold
ABSENT, REFUSED = b"\x02", b""
# tensorstore writes with conditions to Amazon's own servers only, unless it is told that others keep them, too
os.environ.setdefault("TENSORSTORE_S3_USE_CONDITIONAL_WRITE", "true")
# tensorstore's file driver writes NAME.__lock and renames it
UNFINISHED = ".__lock"
# small objects: a store answers each after tens of milliseconds, however many are asked for
AT_ONCE = 64


class Store:
    """All objects under `url` (file://, gs://, s3://, or a local path)."""

    def __init__(self, url: str) -> None:
        self.url = absolute_url(url)

    def spec(self, name: str = "") -> dict[str, Any]:
        """The tensorstore KvStore spec of the folder `name`."""
        scheme, host, path = split_url(self.url)
        folder = "".join(f"{p}/" for p in (path.strip("/"), name.strip("/")) if p)
        if scheme == "file":
            return {"driver": "file", "path": f"/{folder}"}
        found = {"driver": DRIVERS[scheme], "bucket": host, "path": folder}
        return found | s3_server() if scheme == "s3" else found

    @cached_property
    def _kv(self) -> ts.KvStore:
        with store_errors(self.url, ""):
            return ts.KvStore.open(self.spec()).result()

    @property
    def local(self) -> Path | None:
        """The folder, if the root is local."""
        scheme, _, path = split_url(self.url)
        return Path(path) if scheme == "file" else None

    def read(self, name: str) -> bytes | None:
        """The object's bytes; None if there is no such object."""
        return next(self.read_all([name]))

    def read_all(self, names: Iterable[str], at_once: int = AT_ONCE) -> Iterator[bytes | None]:
        """The bytes of many objects, in their order; `at_once` requests are under way while the first is awaited."""
        waiting = deque[tuple[str, Any]]()
        for name in names:
            waiting.append((name, self._kv.read(name)))
            if len(waiting) >= at_once:
                yield self._bytes(*waiting.popleft())
        while waiting:
            yield self._bytes(*waiting.popleft())

    def _bytes(self, name: str, future: Any) -> bytes | None:
        with store_errors(self.url, name):
            found = future.result()
        return bytes(found.value) if found.state == "value" else None

    def need(self, name: str) -> bytes:
        return next(self.need_all([name]))

    def need_all(self, names: Iterable[str]) -> Iterator[bytes]:
        """As `read_all`, of objects that must be there."""
        wanted = list(names)
        for name, data in zip(wanted, self.read_all(wanted), strict=True):
            if data is None:
                raise MissingInput(f"{self.url}{name} does not exist; run the step that writes it first")
            yield data

    def write(self, name: str, data: bytes) -> ObjectRecord:
        with store_errors(self.url, name):
            self._kv.write(name, data).result()
        return record_of(name, data)

    def create(self, name: str, data: bytes) -> bool:
        """Write unless the object exists; whether it was written."""
        with store_errors(self.url, name):
            stamp = self._kv.write(name, data, if_equal=ABSENT).result()
        return stamp.generation != REFUSED

    def delete(self, name: str) -> None:
        """Remove the object, if there is one."""
        with store_errors(self.url, name):
            self._kv.write(name, None).result()

    def record(self, name: str) -> ObjectRecord:
        """Size and checksum of an object as it stands in the store."""
        data = self.read(name)
        if data is None:
            raise BrokenVolume(f"{self.url}{name} was written and is not there")
        return record_of(name, data)

    def names(self, folder: str = "") -> list[str]:
        """Names of all objects under `folder`, sorted."""
        prefix = f"{folder.strip('/')}/" if folder else ""
        with store_errors(self.url, folder):
            listed = self._kv.list(ts.KvStore.KeyRange(prefix, prefix[:-1] + "0" if prefix else "")).result()
        names = (k.decode(errors="backslashreplace") for k in listed)
        return sorted(n for n in names if not n.endswith(UNFINISHED))

    def sizes(self, folder: str) -> dict[str, int]:
        """Size in bytes of every object under `folder`, by name."""
        if self.local is None:
            return {n: len(self.need(n)) for n in self.names(folder)}
        with store_errors(self.url, folder):
            return {n: (self.local / n).stat().st_size for n in self.names(folder)}

    def document(self, kind: type[D], name: str) -> D:
        return next(self.documents(kind, [name]))

    def documents(self, kind: type[D], names: Sequence[str]) -> Iterator[D]:
        """Documents of one kind, read many at a time."""
        for name, data in zip(names, self.need_all(names), strict=True):
            yield kind.from_bytes(data, self.url + name)

    def find_document(self, kind: type[D], name: str) -> D | None:
        data = self.read(name)
        return None if data is None else kind.from_bytes(data, self.url + name)

    def write_json(self, name: str, value: Any) -> ObjectRecord:
        return self.write(name, json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n")


def s3_server() -> dict[str, str]:
    """Where S3 is, from the variables that all AWS tools read: endpoint and region, if they are set."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if endpoint:
        return {"endpoint": endpoint, "aws_region": region or "us-east-1"}
    return {"aws_region": region} if region else {}


def absolute_url(url: str) -> str:
    """A URL that ends in a slash; a path without a scheme becomes file://."""
    if "://" not in url:
        # tensorstore takes no path with `..`
        url = Path(url).expanduser().resolve().as_uri()
    parts = urlsplit(url)
    if parts.scheme not in ("file", *DRIVERS):
        raise UserError(f"{url}: unknown kind of store {parts.scheme!r}; use a path, file://, gs:// or s3://")
    if parts.scheme == "file" and parts.netloc:
        raise UserError(
            f"{url}: names the host {parts.netloc!r}; for a local path write file:///{parts.netloc}..."
        )
    if parts.scheme != "file" and not parts.netloc:
        raise UserError(f"{url}: names no bucket")
    return f"{parts.scheme}://{url.partition('://')[2].rstrip('/')}/"


def split_url(url: str) -> tuple[str, str, str]:
    """(scheme, bucket, path) of a URL made by `absolute_url`."""
    parts = urlsplit(url)
    path = unquote(parts.path) if parts.scheme == "file" else parts.path.lstrip("/")
    return parts.scheme, parts.netloc, path


def record_of(name: str, data: bytes) -> ObjectRecord:
    return ObjectRecord(name=name, size=len(data), crc32c=crc32c(data))


def crc32c(data: bytes) -> str:
    return f"{google_crc32c.value(data):08x}"
