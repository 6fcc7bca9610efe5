"""What decoding a TIFF costs, as a multiple of what its codec takes alone for the same strips."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from benchmarks.decoding import QUICK_PX, SIDE_PX, least
from benchmarks.figures import Figure
from benchmarks.sources import real_volume
from benchmarks.stacks import mosaic_slice
from clio_argo.store import images
from clio_argo.store.images.base import Page

STRIP_ROWS, MOST = 64, 1.3


class Codec(NamedTuple):
    """How tifffile calls a compression, whether differences of neighbours are compressed, and what undoes it."""

    name: str | None
    differences: bool
    decode: Callable[..., bytes | bytearray]


CODECS = {
    "uncompressed": Codec(None, False, lambda strip, **_: strip),
    "LZW": Codec("lzw", False, imagecodecs.lzw_decode),
    "LZW of differences": Codec("lzw", True, imagecodecs.lzw_decode),
    "deflate": Codec("zlib", False, imagecodecs.deflate_decode),
    "deflate of differences": Codec("zlib", True, imagecodecs.deflate_decode),
    "zstd": Codec("zstd", False, imagecodecs.zstd_decode),
    "zstd of differences": Codec("zstd", True, imagecodecs.zstd_decode),
}


def measure(_: Path, quick: bool) -> list[Figure]:
    """Each codec, for a slice of 8 bits and one of 16."""
    side = QUICK_PX if quick else SIDE_PX
    grey = mosaic_slice(real_volume(), side, 0)
    low = np.random.default_rng(0).integers(0, 200, (side, side), np.uint16)
    slices: dict[str, NDArray[np.generic]] = {"8 bits": grey, "16 bits": grey.astype(np.uint16) * 200 + low}
    return [_figure(name, bits, pixels, quick) for bits, pixels in slices.items() for name in CODECS]


def _figure(name: str, bits: str, pixels: NDArray[np.generic], quick: bool) -> Figure:
    codec = CODECS[name]
    file = _written(pixels, codec)
    strips = list(_strips(file))
    ours, alone = least(lambda: images.decode(io.BytesIO(file), Page()), lambda: _by_codec(codec, strips, pixels))
    note = f"{pixels.nbytes / 1e6 / ours:,.0f} MB/s, the codec alone {pixels.nbytes / 1e6 / alone:,.0f}"
    return Figure(f"{name}, {bits}", ours / alone, "x", None if quick else MOST, note=note)


def _written(pixels: NDArray[np.generic], codec: Codec) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, compression=codec.name, predictor=codec.differences, rowsperstrip=STRIP_ROWS)
    return buffer.getvalue()


def _strips(file: bytes) -> Iterator[bytes]:
    """The bytes of each strip as they are in the file."""
    with tifffile.TiffFile(io.BytesIO(file)) as tiff:
        page = tiff.pages.first
        for at, size in zip(page.dataoffsets, page.databytecounts, strict=True):
            yield file[at : at + size]


def _by_codec(codec: Codec, strips: list[bytes], pixels: NDArray[np.generic]) -> NDArray[np.generic]:
    """The pixels [y, x] by the codec alone, put together in memory that was not touched before."""
    found = np.empty_like(pixels)
    for strip, rows in zip(strips, range(0, len(found), STRIP_ROWS), strict=False):
        part = found[rows : rows + STRIP_ROWS]
        part.reshape(-1).view(np.uint8)[:] = np.frombuffer(codec.decode(strip, out=part.nbytes), np.uint8)
        if codec.differences:
            imagecodecs.delta_decode(part, out=part, axis=-1)
    return found
