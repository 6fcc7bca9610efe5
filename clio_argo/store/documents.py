"""The only door to bytes: objects by name under one root, in a folder or a bucket, behind the same few calls."""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeVar
from urllib.parse import unquote, urlsplit

import google_crc32c
import tensorstore as ts

from clio_argo.errors import BrokenVolume, MissingInput, NewerDocument, StoreError, UserError, printable
from clio_argo.model.base import Document
from clio_argo.model.run import ObjectRecord
from clio_argo.store.backends import backend_of
from clio_argo.store.backends.base import Listed, Verb
from clio_argo.store.faults import GOES_ON, REFUSALS, store_errors

D = TypeVar("D", bound=Document)
# tensorstore's generations: "no such object" as a condition, and "unknown" when a condition did not hold
ABSENT, REFUSED = b"\x02", b""
# small objects: a store answers each after tens of milliseconds, however many are requested
AT_ONCE = 64
# of an object that is read bit by bit
PIECE = 16 * 2**20
# another runner of the same request may write between a write and its reading back; a broken store fails each time
WRITES = 3


class Store:
    """All objects under `url`: a local path, or a URL of one of the kinds of stores in `backends`.

    elsewhere: folders at the top that lie under URLs of their own instead.
    local: the folder, if the root is local; otherwise None.

    Raises:
        UserError: the URL is of no kind of store, or names a bucket that cannot exist.
    """

    def __init__(self, url: str, elsewhere: Mapping[str, str] | None = None) -> None:
        self.url = absolute_url(url)
        self._backend = backend_of(self.url)
        _, self._bucket, self._path = split_url(self.url)
        self.local = Path(self._path) if self._backend.local else None
        self._elsewhere = {folder: Store(other) for folder, other in (elsewhere or {}).items()}

    def at(self, name: str) -> tuple["Store", str]:
        """The store in which an object or folder lies, and its name there."""
        folder, _, rest = name.partition("/")
        other = self._elsewhere.get(folder)
        return (other, rest) if other else (self, name)

    def url_of(self, name: str) -> str:
        """Where an object or folder lies."""
        store, key = self.at(name)
        return (store.url + key).rstrip("/")

    def spec(self, name: str = "") -> dict[str, Any]:
        """The tensorstore KvStore spec of the folder `name`."""
        store, name = self.at(name)
        with store_errors(store.url, name):
            return store._backend.spec(store._bucket, store._path + _folder(name))

    @property
    def limits(self) -> dict[str, Any]:
        """Resources of a tensorstore context that limit the requests under way."""
        stores = (self, *self._elsewhere.values())
        return {resource: limit for s in stores for resource, limit in s._backend.limits.items()}

    @cached_property
    def kv(self) -> ts.KvStore:
        """The root as tensorstore opens it."""
        spec = self.spec()
        # tensorstore's own limit is 32
        limits = {} if self.local else {resource: {"limit": AT_ONCE} for resource in self._backend.limits}
        with store_errors(self.url, ""):
            return ts.KvStore.open(spec, context=ts.Context(limits)).result()

    def parent(self) -> tuple["Store", str]:
        """The store that holds this one, and its name there; the name is empty at the top."""
        if self.local is not None:
            return Store(str(self.local.parent)), self.local.name
        folder, _, name = self._path.rstrip("/").rpartition("/")
        return Store(f"{self._backend.scheme}://{self._bucket}/{folder}"), name

    def web_address(self, name: str) -> str | None:
        """The URL under which a viewer in a browser reads an object of this root; None if the store has none."""
        return self._backend.web_address(self._bucket, self._path + name)

    def location(self) -> str | None:
        """Where the bucket is; None if the store does not tell."""
        with store_errors(self.url, ""):
            return self._backend.location(self._bucket)

    def read(self, name: str) -> bytes | None:
        """The object's bytes; None if there is no such object."""
        return next(self.read_all([name]))

    def read_all(self, names: Iterable[str], at_once: int = AT_ONCE) -> Iterator[bytes | None]:
        """The bytes of many objects, in their order; `at_once` requests are under way while the first is awaited."""
        for result in self._ask_all(names, "read", lambda kv, key: kv.read(key), at_once):
            yield bytes(result.value) if result.state == "value" else None

    def _ask_all(
        self, names: Iterable[str], verb: Verb, question: Callable[[ts.KvStore, str], Any], at_once: int
    ) -> Iterator[Any]:
        """The answers for many objects, in their order."""
        waiting = deque[tuple[Store, str, Any]]()
        for name in names:
            store, key = self.at(name)
            if verb == "delete" and store.local is not None:
                _refuse_links(store.local, key)
            waiting.append((store, key, question(store.kv, key)))
            if len(waiting) >= at_once:
                yield _answer(*waiting.popleft(), verb)
        yield from (_answer(*each, verb) for each in waiting)

    def read_range(self, name: str, begin: int, end: int) -> bytes:
        """Bytes `begin` to `end` of an object; raises `MissingInput` if it is gone."""
        return self._present(name, self._ask(name, "read", lambda kv, key: kv.read(key, byte_range=slice(begin, end))))

    async def fetch(self, name: str, begin: int, end: int) -> bytes:
        """As `read_range`, while others work; who stops to wait ends the request."""
        store, key = self.at(name)
        with store_errors(store.url, key):
            result = await store.kv.read(key, byte_range=slice(begin, end))
        return self._present(name, result)

    def _present(self, name: str, result: Any) -> bytes:
        """The bytes of an answer. Raises `MissingInput` if there is no such object."""
        if result.state != "value":
            raise MissingInput(f"{self.url_of(name)}: it is gone")
        return bytes(result.value)

    def _ask(self, name: str, verb: Verb, question: Callable[[ts.KvStore, str], Any], conditional: bool = False) -> Any:
        """The answer of the store in which an object lies."""
        store, key = self.at(name)
        writing = store._backend.writing if verb == "write" else lambda *_: nullcontext()
        if verb in ("write", "delete") and store.local is not None:
            _refuse_links(store.local, key)
        with store_errors(store.url, key, verb), writing(store._bucket, store._path + key, conditional):
            return question(store.kv, key).result()

    def need(self, name: str) -> bytes:
        """The bytes of an object that must be there. Raises `MissingInput`."""
        return next(self.need_all([name]))

    def need_all(self, names: Iterable[str]) -> Iterator[bytes]:
        """As `read_all`, of objects that must be there. Raises `MissingInput`, or `MissingBucket`."""
        names = list(names)
        for name, data in zip(names, self.read_all(names), strict=True):
            if data is None:
                store, key = self.at(name)
                if store.local is None:
                    # objects of a bucket that is gone read as missing; its listing says so
                    next(store.objects(key), None)
                raise MissingInput(f"{self.url_of(name)} does not exist; run the step that writes it first")
            yield data

    def write(self, name: str, data: bytes) -> ObjectRecord:
        """Write an object, whether or not it exists, and read it back; its size and checksum.

        Raises:
            StoreError: the store holds something else than was written, each time.
        """
        meant, stored = record_of(name, data), None
        for _ in range(WRITES):
            stamp = self._ask(name, "write", lambda kv, key: kv.write(key, data))
            if stamp.generation == REFUSED:
                raise StoreError(f"{self.url_of(name)}: {REFUSALS[412]}")
            held = self.read(name)
            stored = None if held is None else record_of(name, held)
            if stored == meant:
                return meant
        raise StoreError(f"{self.url_of(name)}: {_differs(meant, stored)}; {GOES_ON}")

    def write_all(self, contents: Iterable[tuple[str, bytes]]) -> list[ObjectRecord]:
        """As `write`, of many objects (name, bytes); a store that answers slowly gets many at a time."""
        if self.local is not None:
            return [self.write(name, data) for name, data in contents]
        with ThreadPoolExecutor(AT_ONCE) as threads:
            return list(threads.map(lambda each: self.write(*each), contents))

    def upload(self, name: str, file: IO[bytes], crc32c: str, replaced: Listed | None) -> bool:
        """Write a file's bytes unless the object exists, or is not the one to be `replaced`; whether it was written."""
        with store_errors(self.url, name, "write"):
            return self._backend.upload(self._bucket, self._path + name, file, crc32c, replaced)

    @property
    def largest_upload(self) -> int:
        """Size in bytes of the largest file that is uploaded to it; 0 if none is."""
        return self._backend.largest

    def crc32c(self, item: Listed) -> str:
        """CRC32C of an object that was listed. It is read if the store keeps none."""
        if item.crc32c:
            return item.crc32c
        with store_errors(self.url, item.name):
            if kept := self._backend.crc32c(self._bucket, self._path + item.name):
                return kept
        value = 0
        for begin in range(0, item.size, PIECE):
            value = google_crc32c.extend(value, self.read_range(item.name, begin, min(begin + PIECE, item.size)))
        return f"{value:08x}"

    def create(self, name: str, data: bytes) -> bool:
        """Write unless the object exists; whether it was written."""
        return self.replace(name, data, ABSENT)

    def generation(self, name: str) -> bytes:
        """A value that changes whenever the object is written; `ABSENT` if there is no object."""
        return bytes(self._ask(name, "read", lambda kv, key: kv.read(key, byte_range=slice(0, 0))).stamp.generation)

    def is_still(self, name: str, stamp: str) -> bool:
        """Whether an object of a bucket is surely the one that was listed with this stamp; False proves nothing.

        To list it once more takes its client six times the CPU time.
        """
        return self.local is None and self._backend.is_of(self.generation(name), stamp)

    def replace(self, name: str, data: bytes, generation: bytes) -> bool:
        """Write if the object is still of this generation; whether it was written."""
        stamp = self._ask(name, "write", lambda kv, key: kv.write(key, data, if_equal=generation), True)
        return bool(stamp.generation != REFUSED)

    def delete(self, name: str) -> None:
        """Remove the object, if there is one."""
        self._ask(name, "delete", lambda kv, key: kv.write(key, None))

    def delete_all(self, names: Iterable[str]) -> None:
        """Remove many objects; as many requests are under way as by `read_all`."""
        deque(self._ask_all(names, "delete", lambda kv, key: kv.write(key, None), AT_ONCE), maxlen=0)

    def remove_empty_folders(self, names: Iterable[str]) -> None:
        """Remove folders of this machine that held these objects and hold nothing now; buckets have no folders."""
        for name in names:
            store, key = self.at(name)
            folders = [store.local / f for f in PurePosixPath(key).parents[:-1]] if store.local else []
            for folder in folders:
                # the root of the run stays, and what holds something
                with suppress(OSError):
                    folder.rmdir()

    def record(self, name: str) -> ObjectRecord:
        """Size and checksum of an object as it stands in the store."""
        data = self.read(name)
        if data is None:
            raise BrokenVolume(f"{self.url_of(name)} was written and is not there")
        return record_of(name, data)

    def names(self, folder: str = "") -> list[str]:
        """Names of all objects under `folder`, sorted."""
        return sorted(o.name for o in self.listed(folder))

    def listed(self, folder: str = "") -> Iterator[Listed]:
        """All objects under `folder`, without reading them; checksums only where listings carry them."""
        store, key = self.at(folder)
        top = "" if store is self else f"{folder.partition('/')[0]}/"
        elsewhere = [] if folder else [(f"{name}/", other, "") for name, other in self._elsewhere.items()]
        for prefix, each, there in [(top, store, key), *elsewhere]:
            for item in each.objects(_folder(there)):
                yield replace(item, name=prefix + item.name) if prefix else item

    def objects(self, prefix: str = "", flat: bool = False) -> Iterator[Listed]:
        """Objects of this root alone whose names begin with `prefix`, ordered by name.

        flat: only those with no further slash behind the prefix.
        """
        with store_errors(self.url, prefix, "list"):
            for item in self._backend.objects(self._bucket, self._path + prefix, flat):
                # consoles make empty objects that look like folders
                if not item.name.endswith("/"):
                    yield replace(item, name=item.name.removeprefix(self._path))

    def leftovers(self, remove: bool = False) -> list[str]:
        """URLs of what writers left that were killed; none of it is an object. Removed on request."""
        found = list[str]()
        for store in (self, *self._elsewhere.values()):
            with store_errors(store.url, "", "delete" if remove else "list"):
                found += store._backend.leftovers(store._bucket, store._path, remove)
        return found

    def sizes(self, folder: str) -> dict[str, int]:
        """Size in bytes of every object under `folder`, by name."""
        return {o.name: o.size for o in self.listed(folder)}

    def document(self, kind: type[D], name: str) -> D:
        """A document that must be there. Raises `MissingInput`, or `UserError` if it is damaged."""
        return next(self.documents(kind, [name]))

    def documents(self, kind: type[D], names: Sequence[str]) -> Iterator[D]:
        """Documents of one kind, read many at a time."""
        for name, data in zip(names, self.need_all(names), strict=True):
            yield kind.from_bytes(data, self.url_of(name))

    def intact(self, kind: type[D], name: str) -> D | None:
        """A document; None if there is none, or if it is damaged, so that it has to be written anew."""
        return intact(kind, self.read(name), self.url_of(name))

    def find_document(self, kind: type[D], name: str) -> D | None:
        """A document; None if there is none. Raises `UserError` if it is damaged."""
        data = self.read(name)
        return None if data is None else kind.from_bytes(data, self.url_of(name))


def _refuse_links(root: Path, name: str) -> None:
    """Refuse to write or delete through a link that lies in a run's folder: it may lead to anybody's files."""
    for folder in (root / part for part in list(PurePosixPath(name).parents)[:-1]):
        if folder.is_symlink():
            raise StoreError(
                f"{folder}: is a link to {printable(str(folder.readlink()))}, through which nothing is "
                "written or deleted; put a folder there, or name the other place in the request (buckets)"
            )


def _answer(store: Store, name: str, future: Any, verb: Verb) -> Any:
    with store_errors(store.url, name, verb):
        return future.result()


def _folder(name: str) -> str:
    """A folder's name with one slash at its end; empty for the root."""
    return f"{name.strip('/')}/" if name.strip("/") else ""


def absolute_url(url: str) -> str:
    """A URL that ends in a slash; a path without a scheme becomes file://.

    Raises:
        UserError: the URL is of no kind of store, or names a bucket that cannot exist.
    """
    if "://" not in url:
        # tensorstore takes no path with `..`
        url = Path(url).expanduser().resolve().as_uri()
    backend, host = backend_of(url), urlsplit(url).netloc
    if backend.local and host:
        raise UserError(f"{url}: names the host {host!r}; for a local path write file:///{host}...")
    if not backend.local and not host:
        raise UserError(f"{url}: names no bucket")
    if problems := backend.bucket_problems(host):
        raise UserError.all(f"{url}: no bucket can have the name {host!r}:", problems)
    return f"{backend.scheme}://{url.partition('://')[2].rstrip('/')}/"


def split_url(url: str) -> tuple[str, str, str]:
    """(scheme, bucket, path) of a URL made by `absolute_url`."""
    scheme, _, rest = url.partition("://")
    if backend_of(url).local:
        return scheme, "", unquote(urlsplit(url).path)
    # names of objects may hold what has a meaning in other URLs: # and ?
    bucket, _, path = rest.partition("/")
    return scheme, bucket, path.lstrip("/")


def intact(kind: type[D], data: bytes | None, name: str) -> D | None:
    """The document of these bytes, unless they are damaged; one of a newer layout is refused."""
    return intact_or_why(kind, data, name)[0]


def intact_or_why(kind: type[D], data: bytes | None, name: str) -> tuple[D | None, str]:
    """The same, and what is wrong with damaged bytes, in a line."""
    try:
        return (None if data is None else kind.from_bytes(data, name)), ""
    except NewerDocument:
        raise
    except UserError as error:
        return None, str(error).removeprefix(f"{name}: ").partition("\n")[0]


def as_json(value: Any) -> bytes:
    """JSON as people read it."""
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"


def _differs(meant: ObjectRecord, stored: ObjectRecord | None) -> str:
    """How an object differs from what was written."""
    what, held = (f"{r.size} bytes with the CRC32C {r.crc32c}" if r else "nothing" for r in (meant, stored))
    return f"{what} were written, and it holds {held}: another process writes there, or the store is broken"


def record_of(name: str, data: bytes) -> ObjectRecord:
    """Size and checksum of an object with these bytes."""
    return ObjectRecord(name=name, size=len(data), crc32c=crc32c(data))


def crc32c(data: bytes) -> str:
    """The CRC-32C checksum as 8 hexadecimal digits."""
    return f"{google_crc32c.value(data):08x}"
