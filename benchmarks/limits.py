"""What no program of this kind can save: its codecs alone, on data in cache, for 10^12 pixels of mosaics."""

import io
from itertools import product
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from benchmarks.blocks import contrasted
from benchmarks.decoding import KINDS, least, pixel_chunks
from benchmarks.figures import Figure
from benchmarks.machine import memcpy_gb_s
from clio_argo.model.formats import ZSTD_LEVEL
from clio_argo.model.volume import Zyx
from clio_argo.store.images.base import opencv_pixels

PIXELS = 1e12
SIDE_PX, QUICK_PX = 5000, 1000
BLOCK: Zyx = (64, 512, 512)
QUALITY = 80
# all scales over the first: 1 + 1/8 + 1/64 ...
SCALES = 8 / 7
JPEG_CHUNK: Zyx = (64, 64, 64)
LOSSLESS_CHUNK: Zyx = (32, 128, 128)


def measure(_: Path, quick: bool) -> list[Figure]:
    """CPU seconds of each, of all, and of decoding the files once with OpenCV."""
    side = QUICK_PX if quick else SIDE_PX
    [file], block = KINDS["mosaic"].make(side), contrasted(BLOCK)
    packed = b"".join(pixel_chunks(file))
    images = [c.reshape(-1, c.shape[-1]) for c in _chunks(block, JPEG_CHUNK)]
    lossless = [c.tobytes() for c in _chunks(block, LOSSLESS_CHUNK)]
    stored = [_zstd(c) for c in lossless]
    inflating, opencv = least(
        lambda: imagecodecs.deflate_decode(packed, out=side * (side + 1)), lambda: opencv_pixels(io.BytesIO(file))
    )
    jpeg, there, back = least(
        lambda: [imagecodecs.jpeg8_encode(i, level=QUALITY) for i in images],
        lambda: [_zstd(c) for c in lossless],
        lambda: [imagecodecs.zstd_decode(s) for s in stored],
    )
    read, kept = len(packed) / side**2, sum(map(len, stored)) / block.size
    parts = {
        "inflating the files twice (libdeflate)": 2 * inflating / side**2,
        "zstd of all lossless scales": SCALES * there / block.size,
        "reading the first of them again (zstd)": back / block.size,
        "JPEG of all scales (libjpeg-turbo)": SCALES * jpeg / block.size,
        "moving what is read and written once": (2 * read + (1 + SCALES) * kept) / memcpy_gb_s() / 1e9,
    }
    found = [Figure(name, PIXELS * seconds, "CPU s") for name, seconds in parts.items()]
    whole = sum(parts.values())
    return [
        *found,
        Figure("all of these", PIXELS * whole, "CPU s"),
        Figure("times decoding the files once with OpenCV", whole / (opencv / side**2), "x"),
    ]


def _zstd(data: bytes) -> bytes:
    return imagecodecs.zstd_encode(data, level=ZSTD_LEVEL)


def _chunks(block: NDArray[np.uint8], shape: Zyx) -> list[NDArray[np.uint8]]:
    corners = product(*(range(0, n, s) for n, s in zip(block.shape, shape, strict=True)))
    return [
        np.ascontiguousarray(block[tuple(slice(c, c + s) for c, s in zip(corner, shape, strict=True))])
        for corner in corners
    ]
