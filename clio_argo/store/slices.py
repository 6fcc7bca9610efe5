"""The source of a stack: lists its objects, opens them, reads their headers and decodes their pixels."""

import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clio_argo.errors import MissingInput, StoreError, UserError, printable, short_of_memory
from clio_argo.model.base import Value, counted, few
from clio_argo.model.plan import SliceFile
from clio_argo.store import images, links
from clio_argo.store.backends.base import Listed
from clio_argo.store.backends.file import stamp_of
from clio_argo.store.documents import Store
from clio_argo.store.faults import store_errors
from clio_argo.store.grey_values import Decoded, luminance, to_grey, without
from clio_argo.store.images.base import Header, Page, Pixels, Undecodable, Unreadable
from clio_argo.store.images.others import other_by_name
from clio_argo.store.range_file import BUFFER_BYTES, RangeFile
from clio_argo.store.transfers import in_sight

# folder of a source in which slices may lie
RAW = "raw/"
# a file that is longer than two of its pages by this much, for its header, is taken for a stack
HEADER_BYTES = 2**20
# planes that a decoder may need besides its result: four channels of colour
SLACK = 4
# Room at which a lack of memory is the file's own fault: all that a decoder may hold at once of four channels (file,
# strips, result, copies), and its library with tables. A process with less is short of memory itself.
ROOM_PLANES, ROOM_BYTES = 16, 2**28
# objects up to this size are read while the one before is decoded: 10,000 x 10,000 px of tissue take 60 to 80 MB
AHEAD, AHEAD_BYTES = 2, 2**27
Decode = Callable[[BinaryIO, Page], tuple[NDArray[Any], str]]
GONE = "the file is gone since it was planned"
# in names: a backslash, which the store cannot address, and what stands for bytes that are not UTF-8
UNUSABLE = ("\\", "\N{REPLACEMENT CHARACTER}")


class Entry(Value):
    """One object of the source.

    stamp: changes when the content of the object changes.
    outside: why it is not read: it is a link that leaves the folder of the source, or no file; else empty.
    arrived_s: when it got there, in seconds since 1970; 0 if unknown.
    first_z: number of its first slice, if it tells that itself.
    label: the name that holds its number, if that is not its own.
    """

    name: str
    size_bytes: int
    stamp: str
    outside: str = ""
    arrived_s: float = 0.0
    first_z: int | None = None
    label: str = ""

    @property
    def numbered(self) -> str:
        """The name that holds its number."""
        return self.label or self.name.rpartition("/")[2]


class Together(NamedTuple):
    """Neighbouring slices that are read together, and the memory that they take."""

    slices: int
    size_bytes: int


class Source:
    """The objects at `url`: a folder, a bucket path, or one multi-page file."""

    def __init__(self, url: str) -> None:
        self.url, self._store, self._file = url, Store(url), ""
        # channels are asked for one after the other, and decoded together
        self._pictures: dict[object, tuple[NDArray[Any], str]] = {}
        self._held: tuple[object, int] = (None, 0)
        self._expected: tuple[deque[str], Iterator[bytes | None]] = (deque(), iter(()))
        parent, name = self._store.parent()
        if _is_file(self._store, parent, name):
            self._store, self._file = parent, name

    def entries(self, folder: str = "") -> list[Entry]:
        """Images and transfers under way directly in `folder`, ordered by name."""
        entries = (e for e in self._list(folder) if self._file in ("", e.name))
        return sorted(without_vague(entries), key=lambda e: e.name)

    def below(self) -> list[Entry]:
        """Images and transfers directly in all folders directly below, ordered by folder and name."""
        if self._store.local is None:
            return [_listed(o) for o in self._store.objects() if o.name.count("/") == 1 and in_sight(o.name)]
        names = [] if self._file else sorted(folders_in(self._store.local))
        return [e for name in names for e in self.entries(f"{name}/")]

    def unread(self) -> list[str]:
        """Of each format that is not read, a file at the source's root and what to do with it."""
        listed = [e.name for e in self._list("", lambda n: bool(other_by_name(n)) or _is_hidden_image(n))]
        names = sorted([self.url.rstrip("/").rpartition("/")[2], *listed], reverse=True)
        found = {other: name for name in names if (other := other_by_name(name))}
        hidden = [printable(name) for name in listed if _is_hidden_image(name)]
        text = f"{counted(len(hidden), 'hidden file')} ({few(hidden, 1)})"
        return [*(f"{printable(name)}: {other.refusal}" for other, name in found.items()), *([text] if hidden else [])]

    def _list(self, folder: str, wanted: Callable[[str], bool] = in_sight) -> Iterator[Entry]:
        if self._store.local is not None:
            # what a file is, its content tells: a name is needed to find slices among other files
            return _scan(self._store.local, folder, lambda name: name == self._file or wanted(name))
        objects = (o for o in self._store.objects(folder + self._file, flat=True) if wanted(o.name))
        return map(_listed, objects)

    def headers(self, entry: Entry) -> list[Header]:
        """Headers of all pages of a file. Raises `Unreadable`."""
        if entry.outside:
            raise Unreadable(entry.outside)
        if any(c in entry.name for c in UNUSABLE):
            raise Unreadable("its name holds a backslash or is not UTF-8; rename it")
        try:
            with self._open(entry) as file, _own_lack_of_memory(entry.name, 0, Unreadable):
                return images.read_headers(file, entry.size_bytes)
        except (MissingInput, StoreError) as error:
            # a bucket that refuses one object refuses them all
            if isinstance(error, StoreError) and self._store.local is None:
                raise
            raise Unreadable(str(error)) from error

    def _open(self, file: Entry | SliceFile) -> BinaryIO:
        if self._store.local is not None:
            with store_errors(self.url, file.name):
                return (self._store.local / file.name).open("rb")
        return io.BufferedReader(RangeFile(self._store, file), BUFFER_BYTES)

    def decode(self, slice_file: SliceFile) -> Pixels:
        """Grey pixels [y, x] of a slice, uint8 or uint16 as planned. Raises as `decode_heard`."""
        return self.decode_heard(slice_file).pixels

    def decode_heard(self, slice_file: SliceFile, channel: int | None = None) -> Decoded:
        """Grey values of a slice as planned, and what its decoder said of damage.

        channel: number of one of its channels; None: what is aligned.

        Raises:
            Undecodable: the file is gone, does not decode, holds NaN only, or differs from what was planned.
        """
        if not slice_file.channels:
            return self._grey(slice_file)
        numbers = slice_file.aligned if channel is None else (channel,)
        found = [self._channel(slice_file.at(number)) for number in numbers]
        return found[0] if len(found) == 1 else luminance(found)

    def _grey(self, at: SliceFile) -> Decoded:
        samples, warning = self.samples(at)
        return to_grey(samples, at.values, warning)

    def _channel(self, at: SliceFile) -> Decoded:
        """Grey values of the one channel of a slice. Raises `Undecodable`."""
        [place] = at.channels
        if place.fault:
            raise Undecodable(place.fault)
        decoded = self._grey(at)
        return without(decoded, self._all_samples(at)[0][..., -1] == 0) if place.alpha else decoded

    def _all_samples(self, at: SliceFile) -> tuple[NDArray[Any], str]:
        """All samples [y, x, channel] of a page, and what its decoder said."""
        key = (at.name, at.page, at.stamp)
        if key not in self._pictures:
            # before another one is decoded, and the last: who reads in order again finds the first ones
            if sum(samples.nbytes for samples, _ in self._pictures.values()) > self._held[1]:
                self._pictures.popitem()
            self._pictures[key] = self._decode_page(at, images.decode_all)
        return self._pictures[key]

    def expect(self, files: Iterable[SliceFile]) -> None:
        """Slices that are decoded next, in this order: of a bucket, one is read while that before it is decoded."""
        if self._store.local is not None:
            return
        names = [f.name for f in files if not f.channels and f.size_bytes <= AHEAD_BYTES and _is_read_whole(f)]
        self._expected = deque(names), self._store.read_all(names, AHEAD)

    def hold(self, what: object, room_bytes: int) -> None:
        """Keep pictures, besides the last one, for their other channels; those that were kept for something else go."""
        if what != self._held[0]:
            self._pictures.clear()
        self._held = (what, room_bytes)

    def samples(self, slice_file: SliceFile) -> tuple[NDArray[Any], str]:
        """Grey values [y, x] of a slice, or of its one channel, in the type of its file, and what its decoder said.

        Raises `Undecodable`: the file is gone, does not decode, or differs from what was planned.
        """
        sample = slice_file.channels[0].sample if len(slice_file.channels) == 1 else None
        if sample is None:
            pixels, warning = self._decode_page(slice_file, images.decode)
        else:
            picture, warning = self._all_samples(slice_file)
            if sample >= picture.shape[2]:
                raise Undecodable(f"decodes to {picture.shape[2]} samples a pixel, more were planned")
            pixels = np.ascontiguousarray(picture[..., sample])
        refuse_other(pixels, slice_file)
        return pixels, warning

    def _decode_page(self, slice_file: SliceFile, decode: Decode) -> tuple[NDArray[Any], str]:
        """Samples that a decoder makes of a page, [y, x] or [y, x, channel], and its words. Raises `Undecodable`."""
        plane_bytes = _plane_bytes(slice_file)
        with self._content(slice_file) as file, _own_lack_of_memory(slice_file.name, plane_bytes, Undecodable):
            _check_header(file, slice_file)
            try:
                return decode(file, _page(slice_file))
            except Undecodable:
                # decoders report a lack of memory alike: this fails with a MemoryError then
                np.empty(SLACK * plane_bytes, np.uint8)
                raise

    def together(self, memory_bytes: int, entries: Iterable[Entry]) -> Together:  # noqa: ARG002, other kinds ask for it
        """How many slices are best read together: one, since each has a place of its own; the next is read ahead."""
        largest = max((e.size_bytes for e in entries), default=0) if self._store.local is None else 0
        return Together(1, min(largest, AHEAD_BYTES))

    def refuse_changed(self, slice_file: SliceFile) -> None:
        """Raise `Undecodable` if the file is not the one that was planned."""
        name, planned = slice_file.name, slice_file.stamp
        now = planned if self._store.is_still(name, planned) else self._stamp_now(name)
        if now != planned:
            changed = "the file was changed since it was planned; run the same command again"
            raise Undecodable(GONE if now is None else changed)

    def _stamp_now(self, name: str) -> str | None:
        if self._store.local is not None:
            with suppress(OSError):
                return stamp_of((self._store.local / name).stat())
            return None
        return next((o.stamp for o in self._store.objects(name, flat=True) if o.name == name), None)

    def _content(self, slice_file: SliceFile) -> BinaryIO:
        """The whole file in one read, or a file that is read in pieces if it is large enough to hold many slices."""
        if self._store.local is not None and not (self._store.local / slice_file.name).is_file():
            raise Undecodable(GONE)
        try:
            return io.BytesIO(self._whole(slice_file.name)) if _is_read_whole(slice_file) else self._open(slice_file)
        except MissingInput as error:
            raise Undecodable(GONE) from error

    def _whole(self, name: str) -> bytes:
        """The bytes of a file. Raises `MissingInput`."""
        names, contents = self._expected
        data, expected = None, name in names
        # those before it turned out to be gone
        while expected:
            expected, data = names.popleft() != name, next(contents, None)
        return self._store.need(name) if data is None else data


def _is_hidden_image(name: str) -> bool:
    return name.startswith(".") and images.is_image(name)


def folders_in(root: Path) -> set[str]:
    """Names of the folders directly in another one, without hidden ones; none if it is no folder."""
    items = root.iterdir() if root.is_dir() else ()
    return {f.name for f in items if f.is_dir() and not f.name.startswith(".")}


def without_vague(entries: Iterable[Entry]) -> list[Entry]:
    """Entries without those whose suffix other files have, too (`.dat`), unless there are no others."""
    known = list(entries)
    sure = [e for e in known if images.is_image(e.name, surely=True) or not images.is_image(e.name)]
    return sure if any(images.is_image(e.name) for e in sure) else known


def refuse_other(samples: NDArray[Any], slice_file: SliceFile) -> None:
    """Raise `Undecodable` if samples [y, x] of a slice have another size or type than was planned."""
    expected = (slice_file.height, slice_file.width), np.dtype(slice_file.type_name)
    if (samples.shape, samples.dtype) != expected:
        raise Undecodable(f"decodes to {samples.dtype} {samples.shape}, its header promised {expected}")


@contextmanager
def _own_lack_of_memory(name: str, plane_bytes: int, kind: type[Unreadable | Undecodable]) -> Iterator[None]:
    """Make it the fault of file `name`, as `kind`, if reading it finds no memory where one of its size has room."""
    try:
        yield
    except Exception as error:
        if isinstance(error, ImportError) or not short_of_memory(error):
            raise
        try:
            np.empty(ROOM_PLANES * plane_bytes + ROOM_BYTES, np.uint8)
        except MemoryError:
            raise MemoryError(f"{name}: {error}") from error
        raise kind("asks for far more memory than its pixels need; save it anew") from error


def _is_file(store: Store, parent: Store, name: str) -> bool:
    if store.local is not None:
        return store.local.is_file()
    return images.is_image(name) and any(o.name == name for o in parent.objects(name, flat=True))


def _listed(item: Listed) -> Entry:
    return Entry(name=item.name, size_bytes=item.size, stamp=item.stamp, arrived_s=item.written_s)


def _scan(root: Path, folder: str, wanted: Callable[[str], bool]) -> Iterator[Entry]:
    base = os.path.realpath(root)
    outside = links.outside(root / folder, base)
    try:
        with suppress(FileNotFoundError), os.scandir(root / folder) as items:
            files = (e for e in items if wanted(e.name) and not _is_folder(e))
            yield from (_local_entry(e, folder, base, outside) for e in files)
    except OSError as error:
        raise UserError(f"source {root / folder}: cannot be listed: {error.strerror}") from error


def _is_folder(item: "os.DirEntry[str]") -> bool:
    # a link in a circle
    with suppress(OSError):
        return item.is_dir()
    return False


def followed(entry: Entry) -> Entry:
    """An entry that is read even if it is a link that leaves the folder of the source."""
    return entry.model_copy(update={"outside": ""}) if entry.outside == links.LEAVES else entry


def _local_entry(item: "os.DirEntry[str]", folder: str, base: str, outside: str) -> Entry:
    name = folder + os.fsencode(item.name).decode(errors="replace")
    outside = links.special_fault(item, base) or outside
    try:
        stat = item.stat()
    except OSError:
        return Entry(name=name, size_bytes=0, stamp="", outside=outside)
    # copies keep the time at which a file was modified; ctime is when it was renamed to this name
    return Entry(name=name, size_bytes=stat.st_size, stamp=stamp_of(stat), outside=outside, arrived_s=stat.st_ctime)


def _plane_bytes(planned: SliceFile) -> int:
    return planned.width * planned.height * np.dtype(planned.type_name).itemsize


def _is_read_whole(planned: SliceFile) -> bool:
    """Whether a file is read at once, since it cannot hold many slices."""
    return planned.size_bytes <= 2 * _plane_bytes(planned) + HEADER_BYTES


def _page(planned: SliceFile) -> Page:
    return Page(number=planned.page, offset=planned.offset)


def _check_header(file: BinaryIO, planned: SliceFile) -> None:
    """Refuse a file whose header has changed, before its pixels are allocated."""
    size = file.seek(0, io.SEEK_END)
    try:
        header = images.read_headers(file, size, _page(planned))[0]
    except Unreadable as error:
        raise Undecodable(str(error)) from error
    if (header.width, header.height) != (planned.width, planned.height):
        raise Undecodable(f"is {header.width} x {header.height} now, {planned.width} x {planned.height} was planned")
    if header.truncated:
        raise Undecodable(f"its last pixels are not among its {size} bytes")
