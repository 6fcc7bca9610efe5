"""Objects by name under one root: a folder or a bucket, behind the same few calls."""

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import google_crc32c
import tensorstore as ts

from clio_argo.errors import BrokenVolume, MissingInput, NewerDocument, StoreFault, UserError
from clio_argo.model.base import Document
from clio_argo.model.buckets import name_problems
from clio_argo.model.run import ObjectRecord
from clio_argo.store.access import DRIVERS, bucket_spec, patient_context
from clio_argo.store.faults import store_errors
from clio_argo.store.listing import Listed, listed

D = TypeVar("D", bound=Document)
# tensorstore's generations: "no such object" as a condition, and "unknown" when a condition did not hold
ABSENT, REFUSED = b"\x02", b""
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
        with store_errors(self.url, name):
            return bucket_spec(scheme, host, folder)

    @cached_property
    def kv(self) -> ts.KvStore:
        """The root as tensorstore opens it."""
        spec = self.spec()
        with store_errors(self.url, ""):
            return ts.KvStore.open(spec, context=patient_context()).result()

    @property
    def local(self) -> Path | None:
        """The folder, if the root is local."""
        scheme, _, path = split_url(self.url)
        return Path(path) if scheme == "file" else None

    def parent(self) -> tuple["Store", str]:
        """The store that holds this one, and its name there; the name is empty at the top."""
        if self.local is not None:
            return Store(str(self.local.parent)), self.local.name
        scheme, bucket, path = split_url(self.url)
        folder, _, name = path.rstrip("/").rpartition("/")
        return Store(f"{scheme}://{bucket}/{folder}"), name

    def read(self, name: str) -> bytes | None:
        """The object's bytes; None if there is no such object."""
        return next(self.read_all([name]))

    def read_all(self, names: Iterable[str], at_once: int = AT_ONCE) -> Iterator[bytes | None]:
        """The bytes of many objects, in their order; `at_once` requests are under way while the first is awaited."""
        waiting = deque[tuple[str, Any]]()
        for name in names:
            waiting.append((name, self.kv.read(name)))
            if len(waiting) >= at_once:
                yield self._bytes(*waiting.popleft())
        while waiting:
            yield self._bytes(*waiting.popleft())

    def _bytes(self, name: str, future: Any) -> bytes | None:
        with store_errors(self.url, name):
            found = future.result()
        return bytes(found.value) if found.state == "value" else None

    def read_range(self, name: str, begin: int, end: int) -> bytes:
        """Bytes `begin` to `end` of an object; raises `MissingInput` if it is gone."""
        with store_errors(self.url, name):
            found = self.kv.read(name, byte_range=slice(begin, end)).result()
        if found.state != "value":
            raise MissingInput(f"{self.url}{name}: it is gone")
        return bytes(found.value)

    def need(self, name: str) -> bytes:
        return next(self.need_all([name]))

    def need_all(self, names: Iterable[str]) -> Iterator[bytes]:
        """As `read_all`, of objects that must be there."""
        wanted = list(names)
        for name, data in zip(wanted, self.read_all(wanted), strict=True):
            if data is None:
                if self.local is None:
                    # objects of a bucket that is gone read as missing; its listing says so
                    next(listed(self.url, name), None)
                raise MissingInput(f"{self.url}{name} does not exist; run the step that writes it first")
            yield data

    def write(self, name: str, data: bytes) -> ObjectRecord:
        with store_errors(self.url, name, "write"):
            stamp = self.kv.write(name, data).result()
        if stamp.generation == REFUSED:
            raise StoreFault(f"{self.url}{name}: the store refused to write it")
        return record_of(name, data)

    def create(self, name: str, data: bytes) -> bool:
        """Write unless the object exists; whether it was written."""
        return self.replace(name, data, ABSENT)

    def generation(self, name: str) -> bytes:
        """What changes when the object is written; that of no object if there is none."""
        with store_errors(self.url, name):
            return bytes(self.kv.read(name, byte_range=slice(0, 0)).result().stamp.generation)

    def replace(self, name: str, data: bytes, generation: bytes) -> bool:
        """Write if the object is still of this generation; whether it was written."""
        with store_errors(self.url, name, "write"):
            stamp = self.kv.write(name, data, if_equal=generation).result()
        return stamp.generation != REFUSED

    def delete(self, name: str) -> None:
        """Remove the object, if there is one."""
        with store_errors(self.url, name, "delete"):
            self.kv.write(name, None).result()

    def record(self, name: str) -> ObjectRecord:
        """Size and checksum of an object as it stands in the store."""
        data = self.read(name)
        if data is None:
            raise BrokenVolume(f"{self.url}{name} was written and is not there")
        return record_of(name, data)

    def names(self, folder: str = "") -> list[str]:
        """Names of all objects under `folder`, sorted."""
        if self.local is None:
            return sorted(o.name for o in self.listed(folder))
        prefix = _prefix(folder)
        with store_errors(self.url, folder, "list"):
            found = self.kv.list(ts.KvStore.KeyRange(prefix, prefix[:-1] + "0" if prefix else "")).result()
        names = (k.decode(errors="backslashreplace") for k in found)
        return sorted(n for n in names if not n.endswith(UNFINISHED))

    def listed(self, folder: str = "") -> Iterator[Listed]:
        """All objects under `folder`, without reading them; checksums only where listings carry them (gs://)."""
        if self.local is None:
            yield from listed(self.url, _prefix(folder))
            return
        for name in self.names(folder):
            with store_errors(self.url, name, "list"):
                yield Listed(name, (self.local / name).stat().st_size)

    def sizes(self, folder: str) -> dict[str, int]:
        """Size in bytes of every object under `folder`, by name."""
        return {o.name: o.size for o in self.listed(folder)}

    def document(self, kind: type[D], name: str) -> D:
        return next(self.documents(kind, [name]))

    def documents(self, kind: type[D], names: Sequence[str]) -> Iterator[D]:
        """Documents of one kind, read many at a time."""
        for name, data in zip(names, self.need_all(names), strict=True):
            yield kind.from_bytes(data, self.url + name)

    def intact(self, kind: type[D], name: str) -> D | None:
        """A document; None if there is none, or if it is damaged, so that it has to be written anew."""
        return intact(kind, self.read(name), self.url + name)

    def find_document(self, kind: type[D], name: str) -> D | None:
        data = self.read(name)
        return None if data is None else kind.from_bytes(data, self.url + name)


def _prefix(folder: str) -> str:
    return f"{folder.strip('/')}/" if folder else ""


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
    if parts.scheme != "file" and (problems := name_problems(parts.scheme, parts.netloc)):
        raise UserError.all(f"{url}: there can be no bucket of the name {parts.netloc!r}:", problems)
    return f"{parts.scheme}://{url.partition('://')[2].rstrip('/')}/"


def split_url(url: str) -> tuple[str, str, str]:
    """(scheme, bucket, path) of a URL made by `absolute_url`."""
    scheme, _, place = url.partition("://")
    if scheme == "file":
        return scheme, "", unquote(urlsplit(url).path)
    # names of objects may hold what has a meaning in other URLs: # and ?
    bucket, _, path = place.partition("/")
    return scheme, bucket, path.lstrip("/")


def intact(kind: type[D], data: bytes | None, name: str) -> D | None:
    """The document of these bytes, unless they are damaged; one of a newer layout is refused."""
    try:
        return None if data is None else kind.from_bytes(data, name)
    except NewerDocument:
        raise
    except UserError:
        return None


def as_json(value: Any) -> bytes:
    """JSON as people read it."""
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"


def record_of(name: str, data: bytes) -> ObjectRecord:
    return ObjectRecord(name=name, size=len(data), crc32c=crc32c(data))


def crc32c(data: bytes) -> str:
    return f"{google_crc32c.value(data):08x}"
