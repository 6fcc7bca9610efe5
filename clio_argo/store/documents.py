"""Objects by name under one root: a folder or a bucket, behind the same few calls."""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
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
from clio_argo.store.faults import REFUSALS, Verb, store_errors
from clio_argo.store.listing import Listed, listed

D = TypeVar("D", bound=Document)
# tensorstore's generations: "no such object" as a condition, and "unknown" when a condition did not hold
ABSENT, REFUSED = b"\x02", b""
# tensorstore's file driver writes NAME.__lock and renames it
UNFINISHED = ".__lock"
# small objects: a store answers each after tens of milliseconds, however many are asked for
AT_ONCE = 64


class Store:
    """All objects under `url` (file://, gs://, s3://, or a local path).

    elsewhere: folders at the top that lie under URLs of their own instead.
    """

    def __init__(self, url: str, elsewhere: Mapping[str, str] | None = None) -> None:
        self.url = absolute_url(url)
        self._elsewhere = {folder: Store(place) for folder, place in (elsewhere or {}).items()}

    def at(self, name: str) -> tuple["Store", str]:
        """The store in which an object or folder lies, and its name there."""
        folder, _, rest = name.partition("/")
        other = self._elsewhere.get(folder)
        return (other, rest) if other else (self, name)

    def url_of(self, name: str) -> str:
        """Where an object or folder lies."""
        store, there = self.at(name)
        return (store.url + there).rstrip("/")

    def spec(self, name: str = "") -> dict[str, Any]:
        """The tensorstore KvStore spec of the folder `name`."""
        store, name = self.at(name)
        scheme, host, path = split_url(store.url)
        folder = "".join(f"{p}/" for p in (path.strip("/"), name.strip("/")) if p)
        if scheme == "file":
            return {"driver": "file", "path": f"/{folder}"}
        with store_errors(store.url, name):
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
        waiting = deque[tuple[Store, str, Any]]()
        for name in names:
            store, there = self.at(name)
            waiting.append((store, there, store.kv.read(there)))
            if len(waiting) >= at_once:
                yield _bytes(*waiting.popleft())
        while waiting:
            yield _bytes(*waiting.popleft())

    def read_range(self, name: str, begin: int, end: int) -> bytes:
        """Bytes `begin` to `end` of an object; raises `MissingInput` if it is gone."""
        found = self._asked(name, "read", lambda kv, key: kv.read(key, byte_range=slice(begin, end)))
        if found.state != "value":
            raise MissingInput(f"{self.url_of(name)}: it is gone")
        return bytes(found.value)

    def _asked(self, name: str, verb: Verb, question: Callable[[ts.KvStore, str], Any]) -> Any:
        """The answer of the store in which an object lies."""
        store, there = self.at(name)
        with store_errors(store.url, there, verb):
            return question(store.kv, there).result()

    def need(self, name: str) -> bytes:
        return next(self.need_all([name]))

    def need_all(self, names: Iterable[str]) -> Iterator[bytes]:
        """As `read_all`, of objects that must be there."""
        wanted = list(names)
        for name, data in zip(wanted, self.read_all(wanted), strict=True):
            if data is None:
                store, there = self.at(name)
                if store.local is None:
                    # objects of a bucket that is gone read as missing; its listing says so
                    next(listed(store.url, there), None)
                raise MissingInput(f"{self.url_of(name)} does not exist; run the step that writes it first")
            yield data

    def write(self, name: str, data: bytes) -> ObjectRecord:
        stamp = self._asked(name, "write", lambda kv, key: kv.write(key, data))
        if stamp.generation == REFUSED:
            raise StoreFault(f"{self.url_of(name)}: {REFUSALS[412]}")
        return record_of(name, data)

    def create(self, name: str, data: bytes) -> bool:
        """Write unless the object exists; whether it was written."""
        return self.replace(name, data, ABSENT)

    def generation(self, name: str) -> bytes:
        """What changes when the object is written; that of no object if there is none."""
        found = self._asked(name, "read", lambda kv, key: kv.read(key, byte_range=slice(0, 0)))
        return bytes(found.stamp.generation)

    def replace(self, name: str, data: bytes, generation: bytes) -> bool:
        """Write if the object is still of this generation; whether it was written."""
        stamp = self._asked(name, "write", lambda kv, key: kv.write(key, data, if_equal=generation))
        return bool(stamp.generation != REFUSED)

    def delete(self, name: str) -> None:
        """Remove the object, if there is one."""
        self._asked(name, "delete", lambda kv, key: kv.write(key, None))

    def record(self, name: str) -> ObjectRecord:
        """Size and checksum of an object as it stands in the store."""
        data = self.read(name)
        if data is None:
            raise BrokenVolume(f"{self.url_of(name)} was written and is not there")
        return record_of(name, data)

    def names(self, folder: str = "") -> list[str]:
        """Names of all objects under `folder`, sorted."""
        return sorted(
            top + name for store, top, there in self._under(folder) for name in store._own_names(there)
        )

    def listed(self, folder: str = "") -> Iterator[Listed]:
        """All objects under `folder`, without reading them; checksums only where listings carry them (gs://)."""
        for store, top, there in self._under(folder):
            for found in store._own(there):
                yield replace(found, name=top + found.name) if top else found

    def _under(self, folder: str) -> Iterator[tuple["Store", str, str]]:
        """The stores of a folder's objects, what their names here begin with, and the folder's name there."""
        top, _, rest = folder.partition("/")
        if other := self._elsewhere.get(top):
            yield other, f"{top}/", rest
            return
        yield self, "", folder
        if not folder:
            yield from ((other, f"{top}/", "") for top, other in self._elsewhere.items())

    def _own_names(self, folder: str) -> list[str]:
        if self.local is None:
            return [o.name for o in self._own(folder)]
        prefix = _prefix(folder)
        with store_errors(self.url, folder, "list"):
            found = self.kv.list(ts.KvStore.KeyRange(prefix, prefix[:-1] + "0" if prefix else "")).result()
        names = (k.decode(errors="backslashreplace") for k in found)
        return sorted(n for n in names if not n.endswith(UNFINISHED))

    def _own(self, folder: str) -> Iterator[Listed]:
        if self.local is None:
            yield from listed(self.url, _prefix(folder))
            return
        for name in self._own_names(folder):
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
            yield kind.from_bytes(data, self.url_of(name))

    def intact(self, kind: type[D], name: str) -> D | None:
        """A document; None if there is none, or if it is damaged, so that it has to be written anew."""
        return intact(kind, self.read(name), self.url_of(name))

    def find_document(self, kind: type[D], name: str) -> D | None:
        data = self.read(name)
        return None if data is None else kind.from_bytes(data, self.url_of(name))


def _bytes(store: Store, name: str, future: Any) -> bytes | None:
    with store_errors(store.url, name):
        found = future.result()
    return bytes(found.value) if found.state == "value" else None


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
