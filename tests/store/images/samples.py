"""Image files of every kind that slices come in, each with the grey pixels that it means; how they are read."""

import io
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageOps

from clio_argo.model.plan import SliceFile
from clio_argo.store.images import read_headers
from clio_argo.store.images.base import Header, Undecodable
from clio_argo.store.slices import Entry, Source
from tests.store.images.writers import dat, mrc

HEIGHT, WIDTH = 37, 52


@dataclass(frozen=True)
class Sample:
    """A file, what its header says, and its grey pixels (None: a reader must refuse it)."""

    suffix: str
    data: bytes
    pixels: np.ndarray
    channels: int = 1
    tolerance: int = 0

    @property
    def bits(self) -> int:
        return self.pixels.dtype.itemsize * 8


def texture(dtype: Any = np.uint8, height: int = HEIGHT, width: int = WIDTH, seed: int = 1) -> np.ndarray:
    """Smooth noise that uses the whole range of `dtype`."""
    noise = np.random.default_rng(seed).normal(size=(height, width))
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return np.round(smooth * np.iinfo(dtype).max).astype(dtype)


def encoded(suffix: str, pixels: np.ndarray, *options: int) -> bytes:
    return bytes(cv2.imencode(suffix, pixels, options)[1])


def pillow(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(pixels: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    options = {"photometric": "minisblack", "metadata": None, **options}
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def png(pixels: np.ndarray, bits: int = 8, interlaced: bool = False, size: tuple[int, int] | None = None) -> bytes:
    """A grey PNG of any depth, by hand; `size` (width, height) is what its header claims."""
    passes = [pixels[y::dy, x::dx] for y, x, dy, dx in (ADAM7 if interlaced else ((0, 0, 1, 1),))]
    rows = b"".join(b"\0" + packed(row, bits) for part in passes if part.size for row in part)
    width, height = size or pixels.shape[::-1]
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, int(interlaced))
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(png_chunk, *zip(*chunks, strict=True)))


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def packed(row: np.ndarray, bits: int) -> bytes:
    if bits == 16:
        return row.astype(">u2").tobytes()
    digits = np.unpackbits(row[:, None].astype(np.uint8), axis=1)[:, 8 - bits :]
    return np.packbits(digits.ravel()).tobytes()


def palette_png() -> Sample:
    grey = texture()
    levels = np.random.default_rng(2).permutation(256).astype(np.uint8)
    image = Image.fromarray(np.argsort(levels).astype(np.uint8)[grey], "P")
    image.putpalette(np.repeat(levels, 3).tobytes())
    return Sample(".png", pillow(image, "png"), grey, channels=3)


def colour_jpeg() -> Sample:
    grey = texture()
    return Sample(".jpg", encoded(".jpg", np.dstack([grey] * 3), cv2.IMWRITE_JPEG_QUALITY, 95), grey, 3, tolerance=12)


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    return block


def turned(orientation: int, pixels: np.ndarray) -> np.ndarray:
    """How a picture is looked at that is stored as `pixels`: an independent reader's answer."""
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(image))


# index of each grey value in a palette
ORDER = np.random.default_rng(2).permutation(256)


def palette_tiff(colours: np.ndarray) -> bytes:
    """A TIFF whose palette [index, channel] holds 16-bit colours; grey value g has the index ORDER[g]."""
    return tiff(ORDER.astype(np.uint8)[GREY8], photometric="palette", colormap=colours[np.argsort(ORDER)].T)


GREYS = np.repeat(np.arange(256, dtype=np.uint16), 3).reshape(256, 3)


def with_alpha(grey: np.ndarray, alpha: int) -> np.ndarray:
    return np.dstack([grey, grey, grey, np.full_like(grey, alpha)])


GREY8, GREY16 = texture(), texture(np.uint16)
# Orientation: rows from the bottom
ORIENTED = (274, 3, 1, 4, True)
# a colour that no pixel has, as of overexposed ones
MARKED = GREYS * 257
MARKED[next(v for v in range(256) if v not in GREY8)] = 65535, 0, 0


def without_photometric(data: bytes) -> bytes:
    """A TIFF without the tag PhotometricInterpretation: a number that nobody uses stands instead."""
    return data.replace(struct.pack("<HH", 262, 3), struct.pack("<HH", 261, 3))


SAMPLES: dict[str, Callable[[], Sample]] = {
    "grey PNG": lambda: Sample(".png", encoded(".png", GREY8), GREY8),
    "16-bit PNG": lambda: Sample(".png", encoded(".png", GREY16), GREY16),
    "palette PNG": palette_png,
    "grey as RGB PNG": lambda: Sample(".png", encoded(".png", np.dstack([GREY8] * 3)), GREY8, 3),
    "grey as 16-bit RGB PNG": lambda: Sample(".png", encoded(".png", np.dstack([GREY16] * 3)), GREY16, 3),
    "opaque RGBA PNG": lambda: Sample(".png", encoded(".png", with_alpha(GREY8, 255)), GREY8, 4),
    "opaque grey and alpha PNG": lambda: Sample(
        ".png", pillow(Image.fromarray(np.dstack([GREY8, np.full_like(GREY8, 255)]), "LA"), "png"), GREY8, 2
    ),
    "interlaced PNG": lambda: Sample(".png", png(GREY8, interlaced=True), GREY8),
    "interlaced 16-bit PNG": lambda: Sample(".png", png(GREY16, 16, interlaced=True), GREY16),
    "1-bit PNG": lambda: Sample(".png", png(GREY8 >> 7, bits=1), (GREY8 >> 7) * np.uint8(255)),
    "4-bit PNG": lambda: Sample(".png", png(GREY8 >> 4, bits=4), (GREY8 >> 4) * np.uint8(17)),
    "grey TIFF": lambda: Sample(".tif", tiff(GREY8), GREY8),
    "16-bit TIFF": lambda: Sample(".tif", tiff(GREY16), GREY16),
    "big-endian 16-bit TIFF": lambda: Sample(".tif", tiff(GREY16, byteorder=">"), GREY16),
    "BigTIFF": lambda: Sample(".tiff", tiff(GREY8, bigtiff=True), GREY8),
    "TIFF of strips": lambda: Sample(".tif", tiff(GREY8, rowsperstrip=8), GREY8),
    "tiled TIFF": lambda: Sample(".tif", tiff(GREY8, tile=(16, 32)), GREY8),
    "tiled deflate TIFF": lambda: Sample(
        ".tif", tiff(GREY16, tile=(16, 16), compression="deflate", predictor=True), GREY16
    ),
    "LZW TIFF": lambda: Sample(".tif", tiff(GREY8, compression="lzw", predictor=True), GREY8),
    "zstd TIFF": lambda: Sample(".tif", tiff(GREY16, compression="zstd"), GREY16),
    "PackBits TIFF": lambda: Sample(".tif", tiff(GREY16, compression="packbits", rowsperstrip=10), GREY16),
    "JPEG TIFF of strips": lambda: Sample(
        ".tif", tiff(GREY8, compression="jpeg", compressionargs={"level": 95}, rowsperstrip=16), GREY8, tolerance=12
    ),
    "tiled JPEG TIFF": lambda: Sample(
        ".tif", tiff(GREY8, compression="jpeg", compressionargs={"level": 95}, tile=(64, 64)), GREY8, tolerance=12
    ),
    "grey as RGB JPEG TIFF": lambda: Sample(
        ".tif",
        tiff(np.dstack([GREY8] * 3), photometric="rgb", compression="jpeg", compressionargs={"level": 95}),
        GREY8,
        3,
        tolerance=12,
    ),
    "TIFF with its directory at the end": lambda: Sample(
        ".tif", pillow(Image.fromarray(GREY8), "tiff", compression="tiff_lzw"), GREY8
    ),
    "grey as RGB TIFF": lambda: Sample(".tif", tiff(np.dstack([GREY8] * 3), photometric="rgb"), GREY8, 3),
    "grey as RGB TIFF of planes": lambda: Sample(
        ".tif", tiff(np.stack([GREY8] * 3), photometric="rgb", planarconfig="separate"), GREY8, 3
    ),
    "white is zero TIFF": lambda: Sample(".tif", tiff(255 - GREY8, photometric="miniswhite"), GREY8),
    "white is zero 16-bit TIFF": lambda: Sample(
        ".tif", tiff(65535 - GREY16, photometric="miniswhite", compression="zstd"), GREY16
    ),
    "JPEG": lambda: Sample(".jpg", encoded(".jpg", GREY8, cv2.IMWRITE_JPEG_QUALITY, 95), GREY8, tolerance=12),
    "progressive JPEG": lambda: Sample(
        ".jpeg", encoded(".jpg", GREY8, cv2.IMWRITE_JPEG_PROGRESSIVE, 1), GREY8, tolerance=16
    ),
    "grey as colour JPEG": colour_jpeg,
    "JPEG that asks to be turned": lambda: Sample(
        ".jpg", pillow(Image.fromarray(GREY8[::-1, ::-1]), "jpeg", quality=95, exif=exif(3)), GREY8, tolerance=12
    ),
    "PNG that asks to be turned": lambda: Sample(
        ".png", pillow(Image.fromarray(GREY8[::-1]), "png", exif=exif(4)), GREY8
    ),
    "TIFF that asks to be turned": lambda: Sample(".tif", tiff(GREY16[::-1], extratags=[ORIENTED]), GREY16),
    "TIFF with a grey palette": lambda: Sample(".tif", palette_tiff(GREYS * 257), GREY8),
    "TIFF with a grey palette of 8 bits": lambda: Sample(".tif", palette_tiff(GREYS), GREY8),
    "TIFF with a grey palette and marks": lambda: Sample(".tif", palette_tiff(MARKED), GREY8, 3),
    "TIFF that does not say which end is dark": lambda: Sample(".tif", without_photometric(tiff(GREY8)), GREY8),
    "opaque grey and alpha TIFF": lambda: Sample(
        ".tif", tiff(np.dstack([GREY8, np.full_like(GREY8, 255)]), extrasamples=["unassalpha"]), GREY8, 2
    ),
    "opaque grey and alpha TIFF of planes, white is zero": lambda: Sample(
        ".tif",
        tiff(
            np.stack([65535 - GREY16, np.full_like(GREY16, 65535)]),
            photometric="miniswhite",
            planarconfig="separate",
            extrasamples=["unassalpha"],
        ),
        GREY16,
        2,
    ),
    "8-bit DAT": lambda: Sample(".dat", dat(GREY8, named=False), GREY8),
    "MRC": lambda: Sample(".mrc", mrc(GREY16[None, ::-1]), GREY16),
}
COLOUR = np.dstack([GREY8, GREY8[::-1], GREY8])
REFUSED: dict[str, tuple[str, Callable[[], bytes]]] = {
    "colour PNG": (".png", lambda: encoded(".png", COLOUR)),
    "colour palette PNG": (".png", lambda: pillow(Image.fromarray(COLOUR).quantize(64), "png")),
    "colour TIFF": (".tif", lambda: tiff(COLOUR, photometric="rgb")),
    "colour JPEG": (".jpg", lambda: encoded(".jpg", COLOUR)),
    "transparent PNG": (".png", lambda: encoded(".png", with_alpha(GREY8, 128))),
    "transparent grey TIFF": (".tif", lambda: tiff(np.dstack([GREY8, GREY8 // 2]), extrasamples=["unassalpha"])),
    "five-channel TIFF": (
        ".tif",
        lambda: tiff(np.dstack([GREY8 * 0] * 3 + [GREY8] * 2), photometric="minisblack", planarconfig="contig"),
    ),
    "64-bit TIFF": (".tif", lambda: tiff(GREY16.astype(np.int64))),
    "complex TIFF": (".tif", lambda: tiff(GREY8.astype(np.complex64))),
    "bilevel TIFF": (".tif", lambda: tiff(GREY8 > 127)),
    "palette TIFF": (
        ".tif",
        lambda: tiff(GREY8, photometric="palette", colormap=np.arange(768, dtype=np.uint16).reshape(3, 256) * 85),
    ),
}


# pixels on a side of files whose header claims more than any decoder takes
HUGE = 60_000


def huge_jpeg() -> bytes:
    data = encoded(".jpg", GREY8)
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", HUGE, HUGE) + data[place + 4 :]


def huge_tiff() -> bytes:
    buffer = io.BytesIO(tiff(GREY8))
    with tifffile.TiffFile(buffer, mode="r+b") as file:
        for tag in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            file.pages[0].tags[tag].overwrite(HUGE)
        file.pages[0].tags["StripByteCounts"].overwrite(HUGE * HUGE)
    return buffer.getvalue()


def huge_dat() -> bytes:
    data = dat(GREY8)
    return data[:100] + struct.pack(">II", HUGE, HUGE) + data[108:]


HUGE_FILES = {
    "PNG": lambda: png(GREY8, size=(HUGE, HUGE)), "JPEG": huge_jpeg, "TIFF": huge_tiff, "DAT": huge_dat,
    "MRC": lambda: struct.pack("<2i", HUGE, HUGE) + mrc(GREY16[None])[8:],
}  # fmt: skip


def headers(data: bytes) -> list[Header]:
    """Headers of all pages, wherever in the file they lie, and whatever it says of its voxels."""
    others = {"offset": 0, "format": "", "compression": "", "voxel_nm": (0.0, 0.0, 0.0), "voxel_by": "", "previews": 0}
    return [h.model_copy(update=others) for h in all_told(data)]


def all_told(data: bytes) -> list[Header]:
    """Headers of all pages as they are."""
    return read_headers(io.BytesIO(data), len(data))


def planned(entry: Entry, page: int = 0, dtype: str = "uint8", height: int = HEIGHT, width: int = WIDTH) -> SliceFile:
    return SliceFile(
        z=0, name=entry.name, page=page, width=width, height=height, dtype=dtype, size_bytes=entry.size_bytes, stamp=""
    )


def slices(source: Source) -> Iterator[np.ndarray]:
    """Pixels of all pages of a file, each read from the place that its header tells."""
    [entry] = source.entries()
    for page, h in enumerate(source.headers(entry)):
        at = planned(entry, page, f"uint{h.bits}", h.height, h.width)
        yield source.decode(at.model_copy(update={"offset": h.offset}))


def one(folder: Path, name: str, data: bytes) -> tuple[Source, Entry]:
    (folder / name).write_bytes(data)
    source = Source(str(folder))
    return source, next(e for e in source.entries() if e.name == name)


def decoded(folder: Path, name: str, data: bytes, dtype: str = "uint8") -> np.ndarray:
    source, entry = one(folder, name, data)
    return source.decode(planned(entry, dtype=dtype))


def decode_or_none(data: bytes, suffix: str, dtype: str) -> np.ndarray | None:
    """What a slice decodes to; None if it is refused. Any other exception is a fault of ours."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return decoded(Path(folder), f"slice{suffix}", data, dtype)
        except Undecodable:
            return None
