"""A volume as a source: each plane of z of an array that tensorstore opens is a slice."""

import hashlib
import math
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clio_argo.errors import UserError, last_words
from clio_argo.model.plan import SliceFile
from clio_argo.model.voxel_size import nanometres
from clio_argo.store import images
from clio_argo.store.documents import Store
from clio_argo.store.faults import store_errors
from clio_argo.store.images.base import MOST_PAGES, Header, Undecodable, samples_of
from clio_argo.store.slices import Entry, Source, Together, refuse_other
from clio_argo.store.sources.volume_metadata import NAMES, FoundVolume, find_volume

# what tensorstore says of chunks that are there and damaged; all else is said of the store
DAMAGED = re.compile(
    "(?s)^(FAILED_PRECONDITION|INVALID_ARGUMENT|DATA_LOSS|OUT_OF_RANGE|Error opening)(?!.*http_response_code)"
)
ABSENT = re.compile("NOT_FOUND: chunk .* is missing")
TORN = "some of its chunks are missing: they are read as the volume's fill value"
# chunks are decoded one at a time, each as a whole
MOST_CHUNK_PLANES, MOST_CHUNK_BYTES = 4, 2**28
SPACE = ("x", "y", "z")
NAMED = {"channel": "c", "time": "t"}
UNNAMED = {"n5": ("x", "y", "z")}


class _Block(NamedTuple):
    """Neighbouring planes [z, y, x] that were read together, from plane `first` on; `whole`: no chunk is missing."""

    time: int
    channel: int
    first: int
    planes: NDArray[Any]
    whole: bool


def open_volume(url: str, at_once: int) -> "VolumeSource | None":
    """The volume at `url`; None if there is none. Raises `UserError` if there is one that is not read."""
    store = Store(url)
    objects = dict(zip(NAMES, store.read_all(NAMES), strict=True))
    found = find_volume(url, objects)
    return None if found is None else VolumeSource(url, store, found, at_once)


class VolumeSource(Source):
    """Planes of z of the array of scale 0; of several channels and times, too."""

    def __init__(self, url: str, store: Store, found: FoundVolume, at_once: int) -> None:
        self.url, self._store, self._found, self._at_once = url, store, found, at_once
        self._file, self._block = "", _Block(0, 0, 0, np.empty((0, 0, 0)), True)

    @cached_property
    def _array(self) -> Any:
        return self._open_array(fill=False)

    def _open_array(self, fill: bool) -> Any:
        # imported here: folders of files need none
        import tensorstore as ts

        # what is decoded is kept here, plane by plane: a cache would keep whole chunks, with planes that nobody needs
        context = {"cache_pool": {"total_bytes_limit": 0}, "data_copy_concurrency": {"limit": 1}, **self._store.limits}
        spec = {
            "driver": self._found.driver, "kvstore": self._store.spec(self._found.folder),
            "fill_missing_data_reads": fill,
        }  # fmt: skip
        with store_errors(self.url, self._found.document):
            try:
                return ts.open(spec, read=True, open=True, context=ts.Context(context)).result()
            except ValueError as error:
                if DAMAGED.search(str(error)):
                    raise UserError(f"source {self.url}: its volume cannot be opened: {_cause(error)}") from error
                raise

    @cached_property
    def _axes(self) -> tuple[str, ...]:
        """Names of the array's axes: x, y, z, of several c and t; others are empty. Raises `UserError`."""
        labels, sizes = self._found.axes or self._array.domain.labels, self._array.domain.shape
        if not any(labels) and len(sizes) == 3:
            labels = UNNAMED.get(self._found.driver, ("z", "y", "x"))
        names = [NAMED.get(name.lower().removesuffix("s"), name.lower()) for name in labels]
        axes = [a if n > 1 or a in SPACE else "" for a, n in zip(names, sizes, strict=False)]
        known = sorted(a for a, n in zip(axes, sizes, strict=False) if n > 1 or a)
        allowed = ([*also, *SPACE] for also in ("", "c", "t", "ct"))
        if len(names) != len(sizes) or 0 in sizes or known not in allowed:
            have = ", ".join(f"{a or '?'} ({n})" for a, n in zip_longest(names, sizes))
            raise UserError(f"source {self.url}: its axes are {have}; x, y, z, and channels and times are read")
        return tuple(axes)

    def _size(self, axis: str) -> int:
        return int(self._array.domain.shape[self._axes.index(axis)]) if axis in self._axes else 1

    def _chunk(self, axis: str) -> int:
        return int(self._array.chunk_layout.read_chunk.shape[self._axes.index(axis)])

    @cached_property
    def _chunk_depth(self) -> int:
        """Planes that share chunks. Raises `UserError` if a chunk is too large to be decoded."""
        shape = self._array.chunk_layout.read_chunk.shape
        chunk, plane = math.prod(shape), self._size("x") * self._size("y")
        if chunk * self._array.dtype.numpy_dtype.itemsize > MOST_CHUNK_BYTES and chunk > MOST_CHUNK_PLANES * plane:
            raise UserError(f"source {self.url}: its chunks are {shape}; write it with smaller ones")
        return self._chunk("z")

    def together(self, memory_bytes: int, entries: Iterable[Entry]) -> Together:  # noqa: ARG002, there is one
        """Planes of a layer of chunks, in as few equal pieces as this memory allows."""
        plane = self._size("x") * self._size("y") * int(self._array.dtype.numpy_dtype.itemsize)
        depth = min(self._chunk_depth, self._size("z"))
        planes = math.ceil(depth / math.ceil(depth / max(1, memory_bytes // plane)))
        return Together(planes, planes * plane)

    def entries(self, folder: str = "") -> list[Entry]:
        """The array; its stamp is that of its metadata, and a digest over names, sizes and stamps of its chunks."""
        if folder:
            return []
        digest, size, arrived_s = hashlib.sha256(), 0, 0.0
        for item in self._store.objects(self._found.chunks):
            digest.update(f"{item.name} {item.size} {item.stamp}\n".encode())
            size, arrived_s = size + item.size, max(arrived_s, item.written_s)
        name = self._found.document
        stamp = f"{super()._stamp_now(name)} {digest.hexdigest()[:32]}"
        first = int(self._array.domain.inclusive_min[self._axes.index("z")])
        return [Entry(name=name, size_bytes=size, stamp=stamp, arrived_s=arrived_s, first_z=first)]

    def headers(self, entry: Entry) -> list[Header]:  # noqa: ARG002, there is one
        """Headers of all planes: by time, channel, z."""
        if (pages := self._size("t") * self._size("c") * self._size("z")) > MOST_PAGES:
            raise UserError(f"source {self.url}: {pages} planes; at most {MOST_PAGES} are read")
        header = Header(
            width=self._size("x"),
            height=self._size("y"),
            **samples_of(self._array.dtype.numpy_dtype),
            channels=1,
            voxel_nm=self._voxel_nm,
            format=self._found.format,
        )
        return [h for own in self._of_each_channel(header) for h in [own] * self._size("z")]

    def _of_each_channel(self, header: Header) -> Iterator[Header]:
        names = dict(enumerate(self._found.channels))
        for time in range(self._size("t")):
            for channel in range(self._size("c")):
                name = names.get(channel, "")
                yield header.model_copy(update={"time": time, "channel": channel, "channel_name": name})

    @property
    def _voxel_nm(self) -> tuple[float, float, float]:
        units = zip(self._axes, self._array.dimension_units, strict=True)
        nm = {axis: nanometres(unit.multiplier, unit.base_unit) for axis, unit in units if unit is not None}
        told = ({**nm, **self._found.nm}.get(axis, 0.0) for axis in SPACE)
        x, y, z = (size if math.isfinite(size) else 0.0 for size in told)
        return x, y, z

    def expect(self, files: Iterable[SliceFile]) -> None:
        """Reads nothing ahead: planes are read by layers of chunks."""

    def hold(self, what: object, room_bytes: int) -> None:
        """Keeps nothing: channels of a volume are planes of their own."""

    def samples(self, slice_file: SliceFile) -> tuple[NDArray[Any], str]:
        """Grey samples [y, x] of a plane, and whether chunks are missing. Raises `Undecodable`."""
        if slice_file.page >= (pages := self._size("t") * self._size("c") * self._size("z")):
            raise Undecodable(f"the volume has {pages} planes now; it was changed since it was planned")
        of_channel, z = divmod(slice_file.page, self._size("z"))
        time, channel = divmod(of_channel, self._size("c"))
        block = self._block
        if (time, channel) != (block.time, block.channel) or not 0 <= z - block.first < len(block.planes):
            block = self._block = self._read(time, channel, z)
        # a copy: callers may write into it
        plane = block.planes[z - block.first].copy()
        grey = images.grey(plane)
        refuse_other(grey, slice_file)
        if block.whole:
            return grey, ""
        if (plane == plane[0, 0]).all():
            raise Undecodable("its chunks are missing")
        fill = self._array.fill_value or 0
        filled = plane != fill if fill == fill else ~np.isnan(plane)  # noqa: PLR0124, NaN is not itself
        return grey, TORN if is_torn(filled, self._chunk("y"), self._chunk("x")) else ""

    def _read(self, time: int, channel: int, z: int) -> _Block:
        """The planes that are read together with plane z. Raises `Undecodable`."""
        depth, at_once = self._chunk_depth, self._at_once
        # pieces of a layer of chunks, which need not begin at the first plane
        origin = self._array.domain.inclusive_min[self._axes.index("z")]
        in_layer = (z + origin - self._array.chunk_layout.grid_origin[self._axes.index("z")]) % depth
        first = max(0, z - in_layer % at_once)
        end = min(z - in_layer % at_once + at_once, z - in_layer + depth, self._size("z"))
        index = {"t": time, "c": channel, "z": slice(first, end), "y": slice(None), "x": slice(None)}
        planes = self._planes(self._array, index)
        if planes is not None:
            return _Block(time, channel, first, planes, True)
        filled = self._planes(self._open_array(fill=True), index)
        return _Block(time, channel, first, np.empty((0, 0, 0)) if filled is None else filled, False)

    def _planes(self, array: Any, index: dict[str, Any]) -> NDArray[Any] | None:
        """Planes [z, y, x]; None if a chunk is missing. Raises `Undecodable` if one is damaged."""
        import tensorstore as ts

        order = [a for a in self._axes if a in SPACE]
        view = array[ts.d[:].translate_to[0]][tuple(index.get(a, 0) for a in self._axes)]
        with store_errors(self.url, self._found.folder):
            try:
                return np.asarray(view.transpose([order.index(a) for a in "zyx"]).read(order="C").result())
            except ValueError as error:
                if ABSENT.search(str(error)):
                    return None
                if DAMAGED.search(str(error)):
                    raise Undecodable(f"does not decode: {_cause(error)}") from error
                raise

    def refuse_changed(self, slice_file: SliceFile) -> None:
        """As of a file, by the object that describes the array; `entries` tells whether a chunk was changed."""
        of_document = slice_file.stamp.partition(" ")[0]
        super().refuse_changed(slice_file.model_copy(update={"stamp": of_document}))


def is_torn(filled: NDArray[np.bool_], height: int, width: int) -> bool:
    """Whether `filled`, bool [y, x], ends along the border of an empty chunk: the chunk was lost.

    One that was left out because it holds background has background beyond its border as well.
    height, width: of the chunks, the first of which begins at the first pixel.
    """
    return _ends_at_columns(filled, height, width) or _ends_at_columns(filled.T, width, height)


def _ends_at_columns(filled: NDArray[np.bool_], height: int, width: int) -> bool:
    """Whether more than half of a chunk's last or first column of bool [y, x] is filled, and the chunk beside empty."""
    rows, columns = np.arange(0, filled.shape[0], height), np.arange(0, filled.shape[1], width)
    holds = np.logical_or.reduceat(np.logical_or.reduceat(filled, rows, 0), columns, 1)
    beside = filled[:, columns[1:] - 1] | filled[:, columns[1:]]
    share = np.add.reduceat(beside, rows, 0, dtype=np.intp)
    heights = np.diff([*rows, filled.shape[0]])[:, None]
    return bool(((holds[:, 1:] != holds[:, :-1]) & (2 * share > heights)).any())


def _cause(error: ValueError) -> str:
    """What tensorstore says in the end, after where it happened and before what it was asked for."""
    return last_words(str(error).partition(" [tensorstore_spec=")[0], images.DETAIL_CHARACTERS)
