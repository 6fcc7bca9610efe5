"""Image files as a broken disk, a careless program or somebody who means harm would leave them."""

import io
import re
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from random import Random

import numpy as np
import tifffile

from tests.store.images.samples import REFUSED, SAMPLES, encoded, pillow, png_chunk, texture, tiff
from tests.store.images.test_tiff import zstd_tiff
from tests.store.images.test_tiff_axes import STACK
from tests.store.images.test_tiff_stacks import PREVIEWS, one_header, previewed

PLANES = np.stack([texture(height=20, width=24, seed=s) for s in range(5)])


def array_file(axes: str, **options: object) -> bytes:
    """A file of several channels, slices and times with its axes."""
    buffer = io.BytesIO()
    pixels = STACK if axes == "TZCYX" else STACK[0]
    tifffile.imwrite(buffer, pixels, photometric="minisblack", metadata={"axes": axes}, **options)
    return buffer.getvalue()


def commented_png() -> bytes:
    """A PNG with what programs write beside the pixels."""
    data = encoded(".png", texture())
    beside = ((b"gAMA", struct.pack(">I", 45455)), (b"pHYs", struct.pack(">IIB", 10**6, 10**6, 1)))
    text = ((b"tEXt", b"Title\0slice"), (b"zTXt", b"Comment\0\0" + zlib.compress(b"tissue " * 99)))
    return data[:33] + b"".join(png_chunk(*c) for c in (*beside, *text)) + data[33:]


def seeds() -> dict[str, bytes]:
    """A small file of each kind, by name."""
    return {
        **{name: make().data for name, make in SAMPLES.items()},
        **{name: make() for name, (_, make) in REFUSED.items()},
        "pages": previewed(*((p, {}) for p in PLANES)),
        "pages with their directories behind": tifffile_pages_by_pillow(),
        "pages of JPEG": previewed(*((p, {"compression": "jpeg"}) for p in PLANES)),
        "BigTIFF of tiles": tiff(texture("uint16"), bigtiff=True, byteorder=">", tile=(16, 16), compression="zstd"),
        "zstd with a checksum": zstd_tiff(texture()),
        "PackBits": tiff(texture() // 64, compression="packbits"),
        "one header": one_header(5, (20, 24), 8) + PLANES.tobytes(),
        "ImageJ": array_file("TZCYX", imagej=True),
        "OME": array_file("TZCYX", ome=True),
        "tifffile": array_file("ZCYX"),
        **{name: previewed(*pages) for name, pages in PREVIEWS.items()},
        "PNG with comments": commented_png(),
    }


def tifffile_pages_by_pillow() -> bytes:
    from PIL import Image

    first, *others = map(Image.fromarray, PLANES)
    return pillow(first, "tiff", save_all=True, append_images=others, compression="tiff_lzw")


# --- where numbers and pieces lie ---------------------------------------------------------------------------

Slot = tuple[int, str]
"""Where a number lies, and how `struct` packs it."""
Piece = tuple[int, int]
"""Begin and end of what a writer writes at once."""


def tiff_parts(data: bytes) -> tuple[list[Slot], list[Piece]]:
    """Fields and entries of the first directories."""
    order, big = "<" if data[:1] == b"I" else ">", 43 in data[2:4]
    offset, count, size = (order + "Q", order + "Q", 20) if big else (order + "I", order + "H", 12)
    slots, pieces, place = [(8 if big else 4, offset)], [], 8 if big else 4
    for _ in range(4):
        (at,) = struct.unpack_from(offset, data, place)
        (entries,) = struct.unpack_from(count, data, at)
        slots.append((at, count))
        begin = at + struct.calcsize(count)
        place = begin + min(entries, 40) * size
        for entry in range(begin, place, size):
            short = (entry, order + "H"), (entry + 2, order + "H"), (entry + (12 if big else 8), order + "H")
            slots += [*short, (entry + 4, offset), (entry + (12 if big else 8), offset)]
            pieces.append((entry, entry + size))
        slots.append((place, offset))
    return slots, pieces


def png_parts(data: bytes) -> tuple[list[Slot], list[Piece]]:
    """Lengths and chunks, and the fields of the header."""
    slots, pieces, at = [(16, ">I"), (20, ">I"), *((k, ">B") for k in range(24, 29))], [], 8
    while at + 8 <= len(data) and len(pieces) < 100:
        (length,) = struct.unpack_from(">I", data, at)
        slots.append((at, ">I"))
        pieces.append((at, at + 12 + length))
        at += 12 + length
    return slots, pieces


def jpeg_parts(data: bytes) -> tuple[list[Slot], list[Piece]]:
    """Markers, lengths and first fields of segments."""
    slots, pieces, at = list[Slot](), list[Piece](), 2
    while at + 4 <= len(data) and len(pieces) < 100 and data[at] == 0xFF:
        (length,) = struct.unpack_from(">H", data, at + 2)
        slots += [(at + 1, ">B"), (at + 2, ">H"), (at + 4, ">B"), (at + 5, ">H"), (at + 7, ">H"), (at + 9, ">B")]
        pieces.append((at, at + 2 + length))
        at += 2 + length
    return slots, pieces


def parts(data: bytes) -> tuple[list[Slot], list[Piece]]:
    """Numbers and pieces of a file of any format; what its damage hides is left out."""
    read = {b"II": tiff_parts, b"MM": tiff_parts, b"\x89P": png_parts, b"\xff\xd8": jpeg_parts}.get(data[:2])
    with suppress(struct.error, OverflowError):
        if read:
            return read(data)
    return [], []


def mended_checksums(data: bytes) -> bytes:
    """A PNG whose checksums are right, as one that was written so; other files as they are."""
    whole = bytearray(data)
    for begin, end in png_parts(data)[1] if data[:2] == b"\x89P" else []:
        if end <= len(data):
            whole[end - 4 : end] = struct.pack(">I", zlib.crc32(data[begin + 4 : end - 4]))
    return bytes(whole)


# --- what is done to them -----------------------------------------------------------------------------------

LIKELY = (0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 24, 37, 52, 127, 128, 255, 256, 1000, 2**15, 2**16 - 1, 2**16, 2**24)
EXTREME = (2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1)
# most of what a header says lies near the begin of a file
NEAR = 400


def place(rng: Random, data: bytes) -> int:
    return rng.randrange(min(len(data), NEAR) if rng.random() < 0.7 else len(data))


def flip(rng: Random, data: bytes, other: bytes) -> bytes:
    at = place(rng, data)
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def number(rng: Random, data: bytes, other: bytes) -> bytes:
    """Another number in one of the slots: a likely one, one of another slot, or nearly the same."""
    slots = parts(data)[0] or [(place(rng, data), rng.choice(("<", ">")) + rng.choice("BHIQ"))]
    at, form = rng.choice(slots)
    from_at, from_form = rng.choice(slots)
    with suppress(struct.error):
        (now,), (elsewhere,) = struct.unpack_from(form, data, at), struct.unpack_from(from_form, data, from_at)
        near = (now + 1, now - 1, now * 2, now // 2, now ^ 1 << rng.randrange(16))
        new = rng.choice((rng.choice(LIKELY), rng.choice(EXTREME), elsewhere, rng.choice(near), len(data)))
        size = struct.calcsize(form)
        return data[:at] + struct.pack(form, new % 2 ** (8 * size)) + data[at + size :]
    return flip(rng, data, other)


def words(rng: Random, data: bytes, other: bytes) -> bytes:
    """Another number in what a program wrote as text, as ImageJ and OME do."""
    found = [*re.finditer(rb"(?<=[=\" \[,])\d+", data)]
    if not found:
        return number(rng, data, other)
    begin, end = rng.choice(found).span()
    return data[:begin] + str(rng.choice((*LIKELY, *EXTREME, -1, 10**30, 0.5))).encode() + data[end:]


def pieces(rng: Random, data: bytes, other: bytes) -> bytes:
    """A piece is lost, comes twice or many times, or stands in the place of another."""
    found = parts(data)[1]
    if len(found) < 2:
        return number(rng, data, other)
    (begin, end), (from_begin, from_end) = rng.choice(found), rng.choice(found)
    piece = data[from_begin:from_end]
    match rng.randrange(4):
        case 0:
            return data[:begin] + data[end:]
        case 1:
            return data[:begin] + piece + data[begin:]
        case 2:
            return data[:begin] + piece * rng.choice((2, 50, 1000)) + data[begin:]
    return data[:begin] + piece + data[end:]


def cut(rng: Random, data: bytes, other: bytes) -> bytes:
    return data[: 1 + place(rng, data)]


def zeros(rng: Random, data: bytes, other: bytes) -> bytes:
    """Zeros where nothing arrived."""
    at = place(rng, data)
    size = rng.choice((1, 4, 64, len(data)))
    return (data[:at] + bytes(size) + data[at + size :])[: len(data)]


def longer(rng: Random, data: bytes, other: bytes) -> bytes:
    at = place(rng, data)
    return data[:at] + rng.randbytes(rng.choice((1, 2, 4, 100))) + data[at:]


def shorter(rng: Random, data: bytes, other: bytes) -> bytes:
    at = place(rng, data)
    return data[:at] + data[at + rng.choice((1, 2, 4, 100)) :]


def splice(rng: Random, data: bytes, other: bytes) -> bytes:
    """The begin of one file and the end of another."""
    at = place(rng, data)
    return rng.choice((data[:at] + other[at:], data[:at] + other, data + other, data[:at] + other[place(rng, other) :]))


Way = Callable[[Random, bytes, bytes], bytes]
WAYS: tuple[Way, ...] = (flip, number, number, number, words, pieces, cut, zeros, longer, shorter, splice)


def spoiled(rng: Random, data: bytes, other: bytes) -> bytes:
    """The file `data` with one to four faults; `other` is one that may be spliced into it."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        data = rng.choice(WAYS)(rng, data, other) or data[:1]
    return mended_checksums(data) if rng.random() < 0.5 else data
