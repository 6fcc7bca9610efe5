"""FIB-SEM files (`.dat`) as written at Janelia: one slice of one to four detectors behind a header of 1024 bytes.

All values are big-endian. The format has no description of its makers; offsets are those of
https://github.com/clbarnes/jeiss-specs (versions 1 to 9).
"""

import math
import struct
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clio_argo.store.images.base import Format, Header, Page, Unreadable, read_samples, samples_of

MAGIC = struct.pack(">I", 3555587570)
HEADER_BYTES, MOST_DETECTORS = 1024, 4  # of the format
NM_PER_MM = 1e6  # 10^-3 / 10^-9
# offsets and lengths of the detectors' names; offset and form of the pixel size in nm, and of the stage's x and y in mm
LAYOUT_1 = ((380, 10), (390, 18), (700, 20), (720, 20)), (416, ">d"), (512, ">2d")
LAYOUT_3 = ((380, 10), (390, 18), (410, 20), (430, 20)), (464, ">f"), (534, ">2f")


class _Slice(NamedTuple):
    """What the header tells; the samples of all detectors at a pixel lie beside each other."""

    width: int
    height: int
    detectors: tuple[str, ...]
    dtype: np.dtype[Any]
    pixel_nm: float
    stage_mm: tuple[float, float] | None

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.height, self.width, len(self.detectors)


def headers(file: BinaryIO, size_bytes: int, page: Page | None) -> list[Header]:
    """Headers of all detectors, or of one only. Raises `Unreadable`."""
    read = _read(file)
    ends = HEADER_BYTES + math.prod(read.shape) * read.dtype.itemsize
    found = [
        Header(
            width=read.width,
            height=read.height,
            **samples_of(read.dtype),
            channels=1,
            truncated=ends > size_bytes,
            channel=number,
            channel_name=name,
            voxel_nm=(read.pixel_nm, read.pixel_nm, 0.0),
            stage_nm=read.stage_mm and (read.stage_mm[0] * NM_PER_MM, read.stage_mm[1] * NM_PER_MM),
        )
        for number, name in enumerate(read.detectors)
    ]
    return found if page is None else [found[page.number]]


def _read(file: BinaryIO) -> _Slice:
    data = file.read(HEADER_BYTES)
    if len(data) < HEADER_BYTES:
        raise Unreadable(f"truncated: {len(data)} bytes, of which the header alone has {HEADER_BYTES}")
    (version,) = struct.unpack_from(">H", data, 4)
    channels, is_eight_bit = struct.unpack_from(">BB", data, 32)
    width, height = struct.unpack_from(">II", data, 100)
    if not (width and height and 1 <= channels <= MOST_DETECTORS):
        raise Unreadable(f"broken header: {width} x {height} pixels of {channels} detectors")
    names, (pixel_at, pixel_form), (stage_at, stage_form) = LAYOUT_1 if version < 3 else LAYOUT_3
    detectors = [_text(data[at : at + length]) for on, (at, length) in zip(data[151:155], names, strict=True) if on]
    (pixel_nm,) = struct.unpack_from(pixel_form, data, pixel_at)
    x, y = struct.unpack_from(stage_form, data, stage_at)
    return _Slice(
        width=width,
        height=height,
        detectors=tuple(detectors) if len(detectors) == channels else ("",) * channels,
        dtype=np.dtype(np.uint8 if is_eight_bit else ">i2"),
        pixel_nm=pixel_nm if math.isfinite(pixel_nm) else 0.0,
        stage_mm=(x, y) if math.isfinite(x + y) and (x or y) else None,
    )


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("ascii", "replace").strip()


def pixels(file: BinaryIO, page: Page) -> NDArray[Any]:
    """Samples [y, x] of one detector, uint8 or int16, as stored."""
    read = _read(file)
    samples = read_samples(file, read.shape, read.dtype)
    return np.asarray(samples[..., page.number]).astype(read.dtype.newbyteorder("="))


DAT = Format(name="DAT", suffixes=(".dat",), magic=(MAGIC,), headers=headers, pixels=pixels, is_suffix_vague=True)
