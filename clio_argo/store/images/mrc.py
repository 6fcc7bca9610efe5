"""MRC files (`.mrc`, `.st`, `.rec`, `.map`) of IMOD and of microscopes: a stack of planes behind one header.

As https://www.ccpem.ac.uk/mrc_format/mrc2014.php and https://bio3d.colorado.edu/imod/doc/mrc_format.txt describe it.
The first row in the file is the lowest of the picture, as in IMOD and Bio-Formats; it comes last here.
"""

import struct
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clio_argo.store.images.base import MOST_PAGES, Format, Header, Page, Unreadable, read_samples, samples_of

HEADER_BYTES, MODE_AT, MAGIC_AT = 1024, 12, 208  # of the format
TYPES: dict[int, np.dtype[Any]] = {
    0: np.dtype(np.int8), 1: np.dtype(np.int16), 2: np.dtype(np.float32), 6: np.dtype(np.uint16),
    12: np.dtype(np.float16),
}  # fmt: skip
OTHER_TYPES = {
    3: "complex int16", 4: "complex float32", 16: "colour of 3 x 8 bit", 101: "two pixels a byte",
}  # fmt: skip
BIG_ENDIAN_STAMP = 0x11
# "IMOD", the program, and its flag that bytes are signed
IMOD, SIGNED_BYTES = 1146047817, 1
# a type of file that holds several volumes behind each other
VOLUME_STACKS = range(401, 631)
ANGSTROM_NM = 0.1  # 10^-10 / 10^-9


class _Stack(NamedTuple):
    """What the header tells; begin: byte of the first plane."""

    width: int
    height: int
    planes: int
    dtype: np.dtype[Any]
    begin: int
    voxel_nm: tuple[float, float, float]

    @property
    def plane_bytes(self) -> int:
        return self.width * self.height * self.dtype.itemsize


def headers(file: BinaryIO, size_bytes: int, page: Page | None) -> list[Header]:
    """Headers of all planes, or of one only. Raises `Unreadable`."""
    stack = _read(file)
    header = Header(
        width=stack.width, height=stack.height, **samples_of(stack.dtype), channels=1, voxel_nm=stack.voxel_nm
    )
    ended = header.model_copy(update={"truncated": True})
    whole = max(0, size_bytes - stack.begin) // stack.plane_bytes
    if whole > stack.planes:
        raise Unreadable(f"says that it has {stack.planes} planes, but holds {whole}; save it anew")
    # a header of nonsense may claim any number: the missing ones are listed one by one
    if 2 * (whole + 1) < stack.planes:
        raise Unreadable(f"truncated: it holds {whole} of {stack.planes} planes")
    return [header if n < whole else ended for n in (range(stack.planes) if page is None else (page.number,))]


def _read(file: BinaryIO) -> _Stack:
    data = file.read(HEADER_BYTES)
    if len(data) < HEADER_BYTES:
        raise Unreadable(f"truncated: {len(data)} bytes, of which the header alone has {HEADER_BYTES}")
    # programs before 2000 write no stamp; no mode is as large as a small one with its bytes turned round
    is_big = data[MAGIC_AT + 4] == BIG_ENDIAN_STAMP or int.from_bytes(data[MODE_AT : MODE_AT + 4], "little") >= 2**16
    order: Literal["<", ">"] = ">" if is_big else "<"
    width, height, planes, mode, *_, mx, my, mz = struct.unpack_from(f"{order}10i", data)
    cell, axes = struct.unpack_from(f"{order}3f", data, 40), struct.unpack_from(f"{order}3i", data, 64)
    _, largest, _, space_group, extended = struct.unpack_from(f"{order}3f2i", data, 76)
    if mode not in TYPES:
        raise Unreadable(f"values are of MRC's mode {mode} ({OTHER_TYPES.get(mode, 'unknown')}); convert them")
    if axes not in ((1, 2, 3), (0, 0, 0)) or space_group in VOLUME_STACKS:
        raise Unreadable("its axes are not x, y, z, or it holds several volumes; save it as one stack")
    if min(width, height, planes) < 1 or planes > MOST_PAGES or extended < 0:
        raise Unreadable(f"broken header: {width} x {height} pixels, {planes} planes, {extended} bytes beside them")
    return _Stack(
        width=width,
        height=height,
        planes=planes,
        dtype=_bytes_type(data, order, largest) if mode == 0 else TYPES[mode].newbyteorder(order),
        begin=HEADER_BYTES + extended,
        voxel_nm=_voxel_nm(cell, (mx, my, mz)),
    )


def _bytes_type(data: bytes, order: str, largest: float) -> np.dtype[Any]:
    """Type of bytes: the standard has them signed, IMOD and programs before 2000 do not."""
    stamp, flags = struct.unpack_from(f"{order}2i", data, 152)
    signed = flags & SIGNED_BYTES if stamp == IMOD else largest <= np.iinfo(np.int8).max
    return np.dtype(np.int8 if signed else np.uint8)


def _voxel_nm(cell: tuple[float, ...], grid: tuple[int, ...]) -> tuple[float, float, float]:
    """Voxel size; 0 where it is not told, or is the 1 Angstrom that stands for an unknown one."""
    x, y, z = (side / n if n > 0 else 0.0 for side, n in zip(cell, grid, strict=True))
    if not np.isfinite([x, y, z]).all() or (x, y, z) == (1, 1, 1):
        return 0.0, 0.0, 0.0
    # of 32 bits in the file
    return round(x * ANGSTROM_NM, 6), round(y * ANGSTROM_NM, 6), round(z * ANGSTROM_NM, 6)


def pixels(file: BinaryIO, page: Page) -> NDArray[Any]:
    """Samples [y, x] of one plane, in the file's data type; the highest row first."""
    stack = _read(file)
    file.seek(stack.begin + page.number * stack.plane_bytes)
    samples = read_samples(file, (stack.height, stack.width), stack.dtype)
    return np.ascontiguousarray(samples[::-1]).astype(stack.dtype.newbyteorder("="), copy=False)


MRC = Format(
    name="MRC", suffixes=(".mrc", ".st", ".rec", ".map"), magic=(b"MAP",), magic_at=MAGIC_AT, headers=headers,
    pixels=pixels, is_suffix_vague=True,
)  # fmt: skip
