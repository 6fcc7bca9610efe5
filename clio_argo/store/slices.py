"""The source of a stack: which objects there are, their headers, and the one place that decodes pixels."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from clio_argo.errors import ClioError, MissingInput, StoreFault, UserError, short_of_memory
from clio_argo.model.base import Value
from clio_argo.model.plan import SliceFile
from clio_argo.store.documents import Store
from clio_argo.store.faults import store_errors
from clio_argo.store.headers import SUFFIXES, TIFF, Header, Unreadable, read_headers

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
RAW = "raw/"
# planes that a decoder needs besides its result, at most
SLACK = 4
# in names: what the store cannot address, and what stands for bytes that are not UTF-8
UNUSABLE = ("\\", "\N{REPLACEMENT CHARACTER}")


class Entry(Value):
    """One object of the source. `stamp` changes when its content does."""

    name: str
    size_bytes: int
    stamp: str
    outside: bool = False


class Undecodable(Exception):
    """A slice whose pixels cannot be had; the message says why."""


class Source:
    """The objects at `url`: a folder, a bucket path, or one multi-page file."""

    def __init__(self, url: str) -> None:
        self.url, self._store, self._file = url, Store(url), ""
        parent, name = self._store.parent()
        if _is_file(self._store, parent, name):
            self._store, self._file = parent, name

    def entries(self, folder: str = "") -> list[Entry]:
        """Objects directly in `folder`, ordered by name."""
        found = [e for e in self._list(folder) if not self._file or e.name == self._file]
        return sorted(found, key=lambda e: e.name)

    def _list(self, folder: str) -> Iterator[Entry]:
        if self._store.local is not None:
            return _scan(self._store.local, folder)
        objects = self._store.objects(folder + self._file, flat=True)
        return (Entry(name=o.name, size_bytes=o.size, stamp=o.stamp) for o in objects)

    def headers(self, entry: Entry) -> list[Header]:
        """Headers of all pages. Raises `Unreadable`."""
        if any(c in entry.name for c in UNUSABLE):
            raise Unreadable("its name holds a backslash or is not UTF-8; rename it")
        try:
            with self._open(entry) as file:
                return read_headers(file, entry.size_bytes)
        except MissingInput as error:
            raise Unreadable(str(error)) from error
        except StoreFault as error:
            # a bucket that refuses one object refuses them all
            if self._store.local is None:
                raise
            raise Unreadable(str(error)) from error

    def _open(self, file: Entry | SliceFile) -> BinaryIO:
        if self._store.local is not None:
            with store_errors(self.url, file.name):
                return (self._store.local / file.name).open("rb")
        return io.BufferedReader(RangeFile(self._store, file), 2**16)

    def decode(self, slice_file: SliceFile) -> Pixels:
        """Grey pixels [y, x] of a slice, in its own data type.

        Raises:
            Undecodable: the file is gone, does not decode, or is not what its header promised.
        """
        with self._content(slice_file) as file:
            _check_header(file, slice_file)
            with _room_for(slice_file):
                pixels = grey(_pixels(file, slice_file.page))
        expected = (slice_file.height, slice_file.width), np.dtype(slice_file.dtype)
        if (pixels.shape, pixels.dtype) != expected:
            raise Undecodable(f"decodes to {pixels.dtype} {pixels.shape}, its header promised {expected}")
        return pixels

    def refuse_changed(self, slice_file: SliceFile) -> None:
        """Raise `Undecodable` if the file is not the one that was planned."""
        stamp = self._stamp_now(slice_file.name)
        if stamp is None:
            raise Undecodable("the file is gone since it was planned")
        if stamp != slice_file.stamp:
            raise Undecodable("the file was changed since it was planned; run the same command again")

    def _stamp_now(self, name: str) -> str | None:
        if self._store.local is not None:
            with suppress(OSError):
                return _stamp((self._store.local / name).stat())
            return None
        return next((o.stamp for o in self._store.objects(name, flat=True) if o.name == name), None)

    def _content(self, slice_file: SliceFile) -> BinaryIO:
        """The whole file at once; piece by piece if it is so large that it must hold many slices."""
        page_bytes = slice_file.width * slice_file.height * np.dtype(slice_file.dtype).itemsize
        try:
            if slice_file.size_bytes > 2 * page_bytes + 2**20:
                return self._open(slice_file)
            return io.BytesIO(self._store.need(slice_file.name))
        except MissingInput as error:
            raise Undecodable("the file is gone since it was planned") from error


class RangeFile(io.RawIOBase):
    """A remote object as a file: every read is a ranged read."""

    def __init__(self, store: Store, entry: Entry | SliceFile) -> None:
        self._store, self._entry, self._at = store, entry, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._entry.size_bytes}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readall(self) -> bytes:
        return self.read(max(0, self._entry.size_bytes - self._at)) or b""

    def readinto(self, buffer: Any) -> int:
        end = min(self._at + len(buffer), self._entry.size_bytes)
        if end <= self._at:
            return 0
        data = self._store.read_range(self._entry.name, self._at, end)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def _is_file(store: Store, parent: Store, name: str) -> bool:
    if store.local is not None:
        return store.local.is_file()
    return is_image(name) and any(o.name == name for o in parent.objects(name, flat=True))


def find_source(source: str) -> str:
    """URL of a source: itself if it has a scheme, a local path if it exists, else gs://SOURCE."""
    if "://" in source:
        return source
    if Path(source).expanduser().exists():
        return str(Path(source).expanduser().absolute())
    if source.startswith((".", "/", "~")):
        raise UserError(f"source {source}: there is no such file or folder")
    return f"gs://{source}"


def is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _scan(root: Path, folder: str) -> Iterator[Entry]:
    base = os.path.realpath(root)
    outside = not _inside(root / folder, base)
    try:
        with os.scandir(root / folder) as found:
            yield from (_local_entry(e, folder, base, outside) for e in found if not _is_folder(e))
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"source {root / folder}: cannot be listed: {error.strerror}") from error


def _inside(path: Path | str, base: str) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(base)


def _is_folder(item: "os.DirEntry[str]") -> bool:
    try:
        return item.is_dir()
    # a link in a circle
    except OSError:
        return False


def _local_entry(item: "os.DirEntry[str]", folder: str, base: str, outside: bool) -> Entry:
    name = folder + os.fsencode(item.name).decode(errors="replace")
    outside = outside or (item.is_symlink() and not _inside(item.path, base))
    try:
        stat = item.stat()
    # a link that leads nowhere or in a circle
    except OSError:
        return Entry(name=name, size_bytes=0, stamp="", outside=True)
    return Entry(name=name, size_bytes=stat.st_size, stamp=_stamp(stat), outside=outside)


def _stamp(stat: os.stat_result) -> str:
    return f"{stat.st_mtime_ns // 1_000_000}-{stat.st_ino}"


def _check_header(file: BinaryIO, planned: SliceFile) -> None:
    """Refuse a file whose header changed before its pixels are allocated."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    try:
        found = read_headers(file, size, planned.page)[0]
    except Unreadable as error:
        raise Undecodable(str(error)) from error
    if (found.width, found.height) != (planned.width, planned.height):
        raise Undecodable(
            f"is {found.width} x {found.height} now, {planned.width} x {planned.height} was planned"
        )
    if found.truncated:
        raise Undecodable(f"ends after {size} bytes, before its last pixels")


def _pixels(file: BinaryIO, page: int) -> NDArray[Any]:
    file.seek(0)
    try:
        if file.read(2) in TIFF:
            from clio_argo.store import tiff

            return tiff.pixels(file, page)
        file.seek(0)
        pixels = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    except ClioError:
        raise
    # decoders of foreign bytes fail in many ways; all mean the same
    except Exception as error:
        if short_of_memory(error):
            raise
        raise Undecodable(f"does not decode: {type(error).__name__}: {str(error)[:200]}") from error
    if pixels is None:
        raise Undecodable("does not decode: its data are damaged")
    return np.asarray(pixels)


@contextmanager
def _room_for(planned: SliceFile) -> Iterator[None]:
    """Tell a slice that does not decode from one that there is no memory for: decoders say the same of both."""
    try:
        yield
    except Undecodable:
        # raises MemoryError
        np.empty((SLACK, planned.height, planned.width), planned.dtype)
        raise


def grey(pixels: NDArray[Any]) -> Pixels:
    """One grey channel: colour channels that are all equal, and alpha that is opaque, hold nothing more."""
    if pixels.ndim == 3 and pixels.shape[0] in (3, 4) and pixels.shape[2] not in (3, 4):
        pixels = np.moveaxis(pixels, 0, 2)
    if pixels.ndim == 3 and pixels.shape[2] <= 4:
        first, colours = pixels[..., 0], pixels[..., 1:3]
        opaque = pixels.shape[2] != 4 or bool((pixels[..., 3] == np.iinfo(pixels.dtype).max).all())
        if not opaque or not all(np.array_equal(first, colours[..., c]) for c in range(colours.shape[2])):
            raise Undecodable("colour or transparency: only grey slices can be aligned; convert it to grey")
        pixels = np.ascontiguousarray(first)
    if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16):
        raise Undecodable(f"{pixels.dtype} {pixels.shape}: only 8- and 16-bit grey slices can be aligned")
    return pixels
