"""FIB-SEM .dat and MRC files, byte by byte: no library that writes them is among the dependencies."""

import struct

import numpy as np

DETECTORS = ("InLens", "ESB", "Target", "Stage I")


def dat(
    pixels: np.ndarray, version: int = 8, nm: float = 0, stage_mm: tuple[float, float] = (0, 0), named: bool = True
) -> bytes:
    """A FIB-SEM file of [y, x] or [y, x, detector], uint8 or int16; `named`: with names of detectors."""
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    height, width, channels = pixels.shape
    head = bytearray(1024)
    struct.pack_into(">IHH10s", head, 0, 3555587570, version, 1, b"08/11/2020")
    struct.pack_into(">BB", head, 32, channels, pixels.dtype == np.uint8)
    struct.pack_into(">II", head, 100, width, height)
    # the first detector is off where there is room for it to be: names follow those that are on
    on = [i for i in range(4) if named and (channels == 4 or i > 0)][:channels]
    for i in on:
        head[151 + i] = 1
    for at, name in zip((380, 390, 700, 720) if version < 3 else (380, 390, 410, 430), DETECTORS, strict=True):
        struct.pack_into(">10s", head, at, name.encode())
    struct.pack_into(">d" if version < 3 else ">f", head, 416 if version < 3 else 464, nm)
    struct.pack_into(">2d" if version < 3 else ">2f", head, 512 if version < 3 else 534, *stage_mm)
    struct.pack_into(">q", head, 1000, 1024 + pixels.nbytes)
    return bytes(head) + pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()


def mrc(
    pixels: np.ndarray,
    order: str = "<",
    imod_flags: int | None = None,
    voxel_angstrom: tuple[float, float, float] = (1, 1, 1),
    extended: bytes = b"",
) -> bytes:
    """A stack of [z, y, x], the lowest row first; imod_flags: as of IMOD, None for other programs."""
    depth, height, width = pixels.shape
    modes = {"int8": 0, "uint8": 0, "int16": 1, "float32": 2, "float16": 12, "uint16": 6}
    head = bytearray(1024)
    struct.pack_into(f"{order}4i", head, 0, width, height, depth, modes[pixels.dtype.name])
    struct.pack_into(f"{order}3i", head, 28, width, height, depth)
    cell = [n * size for n, size in zip((width, height, depth), voxel_angstrom, strict=True)]
    struct.pack_into(f"{order}3f", head, 40, *cell)
    struct.pack_into(f"{order}3i", head, 64, 1, 2, 3)
    struct.pack_into(f"{order}3f2i", head, 76, pixels.min(), pixels.max(), pixels.mean(), 0, len(extended))
    if imod_flags is not None:
        struct.pack_into(f"{order}2i", head, 152, 1146047817, imod_flags)
    head[208:216] = b"MAP " + (b"\x44\x44\0\0" if order == "<" else b"\x11\x11\0\0")
    return bytes(head) + extended + pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
