"""What an image format is, what a header holds, the errors of unusable files, and what formats share."""

import io
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from clio_argo.model.base import Value

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
# longer than the end marks (12 bytes in PNG, 2 in JPEG): where these come last, or nearly so, nothing else is read
TAIL_BYTES = 64
# Four channels of 16 bit are 8 bytes a pixel before compression, which adds less than as much again. Profiles and
# comments of microscopes have kilobytes.
MOST_BYTES_PER_PX, MOST_METADATA_BYTES = 16, 2**26

# of a stack, as many as a run may have slices
MOST_PAGES = 100_000


class Unreadable(Exception):
    """A file without a usable header; the message says why."""


class Undecodable(Exception):
    """A slice whose pixels cannot be decoded; the message says why."""


class Coloured(Undecodable):
    """A slice with more than grey values where these were asked for.

    shows: "colour", or "transparent" for grey values of which some are not there.
    """

    def __init__(self, shows: str) -> None:
        super().__init__(f"{shows}, where most slices hold grey values only; convert it to grey")
        self.shows = shows


class Page(Value):
    """One page of a file: its number, from 0, and the byte at which its header begins (0: found by its number)."""

    number: int = 0
    offset: int = 0


class Header(Value):
    """Header of one page: its size in pixels, its samples, and whether the file lacks its last pixels.

    bits: bits per sample of the decoded pixels; 0 if they are not unsigned integers.
    type_name: of samples that are not, as NumPy names it: "int16", "float32".
    channels: samples per decoded pixel.
    rgb: whether the first three of these are red, green and blue; alpha: whether the last is opacity.
    pages: of all channels of the slice, where these have pages of their own, and `names` of the channels.
    offset: byte at which the page's own header begins, if a later reader may start there.
    series, time, channel: which of several in its file the page belongs to, from 0.
    voxel_nm: voxel size (x, y, z) in nm by the file; 0 where it does not say.
    voxel_by: what in the file tells it, for messages: "ImageJ", "SmartSEM"; empty: its format does.
    stage_nm: position of the stage (x, y) in nm by the file; None if it does not say.
    compression: as messages name it; empty for none.
    previews: other pages of the file, which are left out.
    format: name of the file's format; whoever reads headers by `images.read_headers` need not set it.
    """

    width: int
    height: int
    bits: int
    type_name: str = ""
    channels: int
    rgb: bool = False
    alpha: bool = False
    pages: tuple[Page, ...] = ()
    names: tuple[str, ...] = ()
    truncated: bool = False
    offset: int = 0
    series: int = 0
    time: int = 0
    channel: int = 0
    channel_name: str = ""
    voxel_nm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    voxel_by: str = ""
    stage_nm: tuple[float, float] | None = None
    compression: str = ""
    previews: int = 0
    format: str = ""

    @property
    def sample_type(self) -> str:
        """Type of the samples: "uint8", "int16", "float32"."""
        return self.type_name or f"uint{self.bits}"


class Format(Value):
    """An image format: how its files are recognized, and how their headers and pixels are read.

    Both functions get a seekable file at its first byte. Any exception of theirs but `ClioError` and `MemoryError`
    means that the file is unusable.

    name: as in messages, for example "PNG".
    suffixes: lower-case endings of file names, for example (".png",).
    magic: byte strings; a file of this format has one of them at byte `magic_at`.
    headers: (file, size in bytes, page or None) -> headers of all pages, or of the one page. Reads no pixels.
    pixels: (file, page) -> samples of one page, [y, x], [y, x, channel] or [channel, y, x], as stored; small is dark.
    is_suffix_vague: whether other files have its suffixes, too: they are no slices beside files of other formats.
    """

    name: str
    suffixes: tuple[str, ...]
    magic: tuple[bytes, ...]
    headers: Callable[[BinaryIO, int, Page | None], list[Header]]
    pixels: Callable[[BinaryIO, Page], NDArray[Any]]
    magic_at: int = 0
    is_suffix_vague: bool = False

    def takes(self, start: bytes) -> bool:
        """Whether a file that begins with `start` has this format."""
        return start[self.magic_at :].startswith(self.magic)


def samples_of(dtype: np.dtype[Any]) -> dict[str, Any]:
    """The fields of a `Header` that tell the type of its samples."""
    return {"bits": dtype.itemsize * 8} if dtype.kind == "u" else {"bits": 0, "type_name": dtype.name}


def read_samples(file: BinaryIO, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Uncompressed samples, [y, x] or [y, x, channel], from the file's position on.

    Raises `Undecodable` if the file ends before.
    """
    samples = np.empty(shape, dtype)
    if file.readinto(samples.reshape(-1).view(np.uint8)) < samples.nbytes:  # type: ignore[attr-defined]
        raise Undecodable("truncated: its last pixels are missing")
    return samples


def has_end_mark(file: BinaryIO, size_bytes: int, mark: bytes) -> bool:
    """Whether a format's end mark is among the last 64 bytes of a file; the file's position changes."""
    file.seek(max(0, size_bytes - TAIL_BYTES), io.SEEK_SET)
    return mark in file.read(TAIL_BYTES)


def refuse_padded(width: int, height: int, size_bytes: int) -> None:
    """Raise `Unreadable` for a file, of a format that is read at once, that is much larger than its pixels can be."""
    if size_bytes > MOST_BYTES_PER_PX * width * height + MOST_METADATA_BYTES:
        raise Unreadable(f"{size_bytes} bytes for {width} x {height} pixels; save it without what else it holds")


def opencv_pixels(file: BinaryIO, reduced: bool = False) -> NDArray[Any]:
    """Samples of a single-page file, [y, x] or [y, x, channel], uint8 or uint16, decoded by OpenCV.

    reduced: an eighth of the rows and columns, grey: of a JPEG in half the time, with the same warnings.
    """
    # imported here: reading headers needs no OpenCV
    import cv2

    how = cv2.IMREAD_REDUCED_GRAYSCALE_8 if reduced else cv2.IMREAD_UNCHANGED
    pixels = cv2.imdecode(np.frombuffer(file.read(), np.uint8), how)
    if pixels is None:
        raise Undecodable("does not decode: its data are damaged")
    # OpenCV has blue first
    order = {3: cv2.COLOR_BGR2RGB, 4: cv2.COLOR_BGRA2RGBA}.get(pixels.shape[2]) if pixels.ndim == 3 else None
    return np.asarray(pixels if order is None else cv2.cvtColor(pixels, order))
