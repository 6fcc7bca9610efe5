"""PNG files: the header chunk is read here, pixels by OpenCV if they are not plain grey values."""

import struct
from collections.abc import Iterator
from io import BytesIO
from itertools import islice
from typing import Any, BinaryIO
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from clio_argo.model.voxel_size import nanometres
from clio_argo.store.images.base import Format, Header, Page, Undecodable, has_end_mark, opencv_pixels, refuse_padded
from clio_argo.store.images.orientation import exif_orientation, is_sideways, upright
from clio_argo.store.images.png_grey import CHECKSUM_BYTES, grey_samples

MAGIC = b"\x89PNG\r\n\x1a\n"
# channels that OpenCV decodes each colour type of the PNG specification to; 3 is a palette of RGB colours
CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
# those with red, green and blue, and those of which a chunk tRNS says what is transparent
COLOURED, OPAQUE, GREY = (2, 3, 6), (0, 2, 3), 0
# where the second chunk begins
END_OF_HEADER = 33
BITS_AND_COLOUR = slice(24, 26)
# more than programs write before the pixels; of pixels a gigabyte in the usual 8 kB; EXIF holds a thumbnail at most
MOST_BEFORE_PIXELS, MOST_CHUNKS, MOST_EXIF_BYTES = 1000, 2**17, 2**20


def headers(file: BinaryIO, size_bytes: int, _page: Page | None) -> list[Header]:
    """The header of the one page. Raises `ValueError` if there is none."""
    # Pillow would report 16-bit RGB as 8 bit, and refuses large slices (docs/design.md)
    _, length, kind, width, height, bits, colour = struct.unpack(">8sI4sIIBB", file.read(26))
    if kind != b"IHDR" or length != 13 or not width or not height:
        raise ValueError("no IHDR chunk")
    refuse_padded(width, height, size_bytes)
    said = _before_pixels(file)
    x, y = _pixel_nm(said.get(b"pHYs", b""))
    if is_sideways(exif_orientation(said.get(b"eXIf", b""))):
        width, height, x, y = height, width, y, x
    complete = has_end_mark(file, size_bytes, b"IEND") or _reaches_end(file)
    # OpenCV unpacks 1, 2 and 4 bits to 8
    depth, channels = max(8, bits), CHANNELS[colour] + (b"tRNS" in said and colour in OPAQUE)
    return [
        Header(
            width=width, height=height, bits=depth, channels=channels, rgb=colour in COLOURED, alpha=channels in (2, 4),
            truncated=not complete, voxel_nm=(x, y, 0.0), voxel_by="PNG resolution" if x else "",
        )
    ]  # fmt: skip


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Kind and length of each chunk behind the first, at whose content the file is then; the last is the end mark."""
    file.seek(END_OF_HEADER)
    kind = b""
    while kind != b"IEND" and len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        behind = file.tell() + length + CHECKSUM_BYTES
        yield kind, length
        file.seek(behind)


def _before_pixels(file: BinaryIO) -> dict[bytes, bytes]:
    """The chunks before the pixels that are used, by their kind."""
    found = dict[bytes, bytes]()
    for kind, length in islice(_chunks(file), MOST_BEFORE_PIXELS):
        if kind in (b"eXIf", b"pHYs", b"tRNS"):
            if length > MOST_EXIF_BYTES:
                raise ValueError(f"its chunk {kind!r} has {length} bytes")
            found[kind] = _content(file, kind, length)
        if kind == b"IDAT":
            break
    return found


def _pixel_nm(chunk: bytes) -> tuple[float, float]:
    """Sides of a pixel (x, y) by the content of a pHYs chunk: pixels along x and y in a unit, of which 1 is a metre."""
    x, y, unit = struct.unpack(">IIB", chunk) if len(chunk) == 9 else (0, 0, 0)
    return (nanometres(1 / x, "m"), nanometres(1 / y, "m")) if x and y and unit == 1 else (0.0, 0.0)


def _content(file: BinaryIO, kind: bytes, length: int) -> bytes:
    """Content of the chunk at whose content the file is. Raises `ValueError` if it is damaged."""
    content, checksum = file.read(length), file.read(CHECKSUM_BYTES)
    if crc32(kind + content) != int.from_bytes(checksum):
        raise ValueError(f"its chunk {kind!r} is damaged")
    return content


def _reaches_end(file: BinaryIO) -> bool:
    """Whether an end mark follows the pixels: programs append what they like behind it."""
    return any(kind == b"IEND" for kind, _ in islice(_chunks(file), MOST_CHUNKS))


def pixels(file: BinaryIO, _page: Page) -> NDArray[Any]:
    """Samples [y, x] or [y, x, channel], uint8 or uint16. Raises `Undecodable` or `ValueError` for damage."""
    said = _before_pixels(file)
    orientation = exif_orientation(said.get(b"eXIf", b""))
    kept = _decisive(file, orientation)
    bits, colour = kept[0][BITS_AND_COLOUR]
    plain = grey_samples(kept)
    if plain is not None:
        return upright(plain, orientation)
    whole = BytesIO(b"".join(kept))
    # interlaced pictures take their size once more while they are decoded
    del kept
    decoded = opencv_pixels(whole)
    if colour == GREY and (clear := said.get(b"tRNS")):
        decoded = _with_opacity(decoded, int.from_bytes(clear), bits)
    return upright(decoded, orientation)


def _decisive(file: BinaryIO, orientation: int) -> list[memoryview]:
    """Magic bytes with the header, and all further chunks that pixels cannot do without, up to the end mark.

    libpng unpacks kilobytes of text to gigabytes. Raises `Undecodable` or `ValueError` for damage.
    """
    file.seek(0)
    data, kind = memoryview(file.read()), b""
    kept = [data[:END_OF_HEADER]]
    for kind, length in islice(_chunks(file), MOST_CHUNKS):
        # OpenCV makes room for as many bytes as a chunk says, up to 4 GB, before it finds that they are not there
        begin, end = file.tell(), file.tell() + length
        if end > len(data):
            raise Undecodable("does not decode: one of its chunks ends behind the file")
        if not kind.isalpha():
            raise Undecodable(f"does not decode: no chunk is called {kind!r}")
        # those with a capital letter must be known to whoever decodes
        if kind[:1].isupper() or kind == b"tRNS":
            kept.append(data[begin - 8 : end + CHECKSUM_BYTES])
            continue
        content = _content(file, kind, length)
        # where the header was read for the plan, nobody looks
        if kind == b"eXIf" and exif_orientation(content) != orientation:
            raise Undecodable("an EXIF block behind its pixels asks to turn it; save it anew")
    if kind != b"IEND":
        raise Undecodable(f"does not decode: no end mark among its first {MOST_CHUNKS} chunks")
    return kept


def _with_opacity(grey: NDArray[Any], clear: int, bits: int) -> NDArray[Any]:
    """Grey samples [y, x] and their opacity, which is 0 where they are `clear`, a value of so many bits."""
    top = np.iinfo(grey.dtype).max
    value = clear * top // (2**bits - 1)
    return np.dstack([grey, np.where(grey == value, 0, top).astype(grey.dtype)])


PNG = Format(name="PNG", suffixes=(".png",), magic=(MAGIC,), headers=headers, pixels=pixels)
