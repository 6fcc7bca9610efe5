"""What decoding a PNG costs, as a multiple of the speed of OpenCV, which decodes the same files in turn."""

import io
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray

from benchmarks.figures import Figure
from benchmarks.measure import spent
from benchmarks.sources import real_slices, real_volume
from benchmarks.stacks import mosaic_slice, noisy_slice
from clio_argo.store import images
from clio_argo.store.images.base import Page, opencv_pixels

SIDE_PX, QUICK_PX, ENLARGED_PX = 5000, 1000, 4096
# the least of so many turns: others who use the machine make one longer, never shorter
TURNS = 9
Files = list[bytes]


class Kind(NamedTuple):
    """Files of one kind, for mosaics of so many pixels a side, and how much faster than OpenCV they are at least."""

    make: Callable[[int], Files]
    times_faster: float


def _by_opencv(pixels: NDArray[np.generic], *options: int) -> Files:
    return [bytes(cv2.imencode(".png", np.asarray(pixels), options)[1])]


def _mosaic(side: int) -> NDArray[np.uint8]:
    return mosaic_slice(real_volume(), side, 0)


def _by_pillow(side: int) -> Files:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(_mosaic(side)).save(buffer, "png")
    return [buffer.getvalue()]


def _noisy(side: int) -> Files:
    """A real slice, enlarged, with the noise of a detector."""
    return _by_opencv(noisy_slice(real_volume(), min(side, ENLARGED_PX), 0), cv2.IMWRITE_PNG_COMPRESSION, 4)


def _deep(side: int) -> Files:
    low = np.random.default_rng(0).integers(0, 200, (side, side), np.uint16)
    return _by_opencv(_mosaic(side).astype(np.uint16) * 200 + low)


def _unfiltered_deep(side: int) -> Files:
    return _by_opencv(_mosaic(side).astype(np.uint16) * 257, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE)


# The least multiples leave a tenth to other machines. Filters are the averages of neighbours in mosaics that OpenCV
# compresses by a level, differences where it chooses itself, Paeth's by Pillow, and none in the medulla slices.
KINDS = {
    "mosaic": Kind(lambda side: _by_opencv(_mosaic(side), cv2.IMWRITE_PNG_COMPRESSION, 4), 1.9),
    "mosaic, as OpenCV writes it by itself": Kind(lambda side: _by_opencv(_mosaic(side)), 1.9),
    "mosaic by Pillow": Kind(_by_pillow, 2.4),
    "enlarged slice with noise": Kind(_noisy, 2.0),
    "medulla, as it came": Kind(lambda _: [f.read_bytes() for f in sorted(real_slices().glob("*.png"))], 1.7),
    "mosaic of 16 bits": Kind(_deep, 1.6),
    "mosaic of 16 bits without filters": Kind(_unfiltered_deep, 1.5),
}


def measure(_: Path, quick: bool) -> list[Figure]:
    """Each kind of file; and inflating a mosaic alone, which is the least that any decoder takes."""
    side = QUICK_PX if quick else SIDE_PX
    found = [f for name, kind in KINDS.items() for f in _compared(name, kind, side, quick)]
    return [*found, _inflating(side)]


def _compared(name: str, kind: Kind, side: int, quick: bool) -> Iterator[Figure]:
    files = kind.make(side)
    size = sum(images.decode(io.BytesIO(f), Page())[0].nbytes for f in files)
    opencv, ours = least(
        lambda: [opencv_pixels(io.BytesIO(f)) for f in files],
        lambda: [images.decode(io.BytesIO(f), Page()) for f in files],
    )
    note = f"{size / 1e6 / ours:.0f} MB/s, OpenCV {size / 1e6 / opencv:.0f}"
    yield Figure(name, opencv / ours, "x", None if quick else kind.times_faster, at_least=True, note=note)


def _inflating(side: int) -> Figure:
    [file] = KINDS["mosaic"].make(side)
    packed = b"".join(pixel_chunks(file))
    opencv, alone = least(
        lambda: opencv_pixels(io.BytesIO(file)), lambda: imagecodecs.deflate_decode(packed, out=side * (side + 1))
    )
    return Figure("mosaic, inflated only", opencv / alone, "x", note="libdeflate")


def pixel_chunks(file: bytes) -> Iterator[bytes]:
    """Contents of the chunks IDAT of a PNG."""
    at = 8
    while at < len(file):
        length, kind = struct.unpack_from(">I4s", file, at)
        if kind == b"IDAT":
            yield file[at + 8 : at + 8 + length]
        at += 12 + length


def least(*actions: Callable[[], object]) -> list[float]:
    """CPU seconds of each action, in turns."""
    turns = [[spent(action).cpu_s for action in actions] for _ in range(TURNS)]
    return [min(column) for column in zip(*turns, strict=True)]
