"""Image formats: one module each. A format is chosen by the first bytes of a file, whatever its name says."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from clio_argo.errors import ClioError, UserError, first_words, short_of_memory
from clio_argo.model.values import READ
from clio_argo.store.images.base import Coloured, Format, Header, Page, Undecodable, Unreadable
from clio_argo.store.images.dat import DAT
from clio_argo.store.images.decoder_words import heard
from clio_argo.store.images.jpeg import JPEG
from clio_argo.store.images.mrc import MRC
from clio_argo.store.images.others import START_BYTES, other_by_content
from clio_argo.store.images.png import PNG
from clio_argo.store.images.tiff import TIFF

FORMATS = (PNG, TIFF, JPEG, DAT, MRC)
# an installed package adds a format by an entry point of this group; its value is a `Format`
PLUGINS = "clio_argo.formats"
# of a decoder's message, which may quote the file
DETAIL_CHARACTERS = 200
TYPES_READ = "only 8-, 16- and 32-bit integers and floating-point numbers are read as grey values; convert them"


@cache
def formats() -> tuple[Format, ...]:
    """All formats: those of `FORMATS`, then those of installed packages. Raises `UserError` if one of these fails."""
    return (*FORMATS, *map(_load, entry_points(group=PLUGINS)))


def _load(entry: EntryPoint) -> Format:
    try:
        return Format.model_validate(entry.load())
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"image format {entry.name} ({entry.value}): {error}") from error


def format_names() -> str:
    """Names of all formats for messages: "PNG, TIFF, JPEG, DAT or MRC"."""
    *names, last = (f.name for f in formats())
    return f"{', '.join(names)} or {last}"


def is_image(name: str, surely: bool = False) -> bool:
    """Whether a file name has the suffix of a format, in lower or upper case.

    surely: of one whose suffixes no other files have.
    """
    return name.lower().endswith(tuple(s for f in formats() for s in f.suffixes if not (surely and f.is_suffix_vague)))


def read_headers(file: BinaryIO, size_bytes: int, page: Page | None = None) -> list[Header]:
    """Headers of all pages of a file, or of one page only.

    Raises:
        Unreadable: the file has none of the formats, or a broken header.
    """
    with _failures_as(Unreadable, "broken header"):
        known = _format_of(file)
        return [h.model_copy(update={"format": known.name}) for h in known.headers(file, size_bytes, page)]


def decode(file: BinaryIO, page: Page) -> tuple[NDArray[Any], str]:
    """Grey pixels [y, x] of one page, as the file has them, and what its decoder said of damage.

    Raises:
        Undecodable: the page cannot be decoded.
        Coloured: it holds more than grey values.
    """
    pixels, words = _decode(file, page)
    return grey(pixels), words


def decode_all(file: BinaryIO, page: Page) -> tuple[NDArray[Any], str]:
    """All samples of one page, [y, x, channel]. As `decode`."""
    pixels, words = _decode(file, page)
    return np.atleast_3d(_native(pixels)), words


def _decode(file: BinaryIO, page: Page) -> tuple[NDArray[Any], str]:
    """Samples as the format has them, [y, x], [y, x, channel] or [channel, y, x], and what was said of damage."""
    with _failures_as(Undecodable, "does not decode"), heard() as words:
        pixels = _format_of(file).pixels(file, page)
    return pixels, "; ".join(dict.fromkeys(words))


def _format_of(file: BinaryIO) -> Format:
    """The format of a file, which is left at its first byte."""
    file.seek(0)
    start = file.read(max(START_BYTES, *(f.magic_at + len(m) for f in formats() for m in f.magic)))
    file.seek(0)
    for known in formats():
        if known.takes(start):
            return known
    other = other_by_content(start)
    raise Unreadable(other.refusal if other else f"not a {format_names()} file")


@contextmanager
def _failures_as(kind: type[Unreadable | Undecodable], what: str) -> Iterator[None]:
    try:
        yield
    # parsers of damaged bytes fail in many ways; all mean the same
    except Exception as error:
        # a library that cannot be loaded says nothing of the file
        if isinstance(error, kind | ClioError | ImportError) or short_of_memory(error):
            raise
        raise kind(f"{what}: {type(error).__name__}: {first_words(str(error), DETAIL_CHARACTERS)}") from error


def grey(pixels: NDArray[Any]) -> NDArray[Any]:
    """Grey pixels [y, x] of [y, x], [y, x, channel] or [channel, y, x].

    Equal colour channels and an opaque alpha channel hold nothing more, and are dropped.

    Raises:
        Undecodable: another data type, or more dimensions.
        Coloured: colour or transparency.
    """
    pixels = _native(pixels)
    if pixels.ndim == 3 and pixels.shape[2] <= 4:
        pixels = np.ascontiguousarray(_one_of(pixels))
    if pixels.ndim != 2:
        raise Undecodable(f"{pixels.dtype} {pixels.shape}: only grey slices can be aligned")
    return pixels


def _native(pixels: NDArray[Any]) -> NDArray[Any]:
    """Samples [y, x] or [y, x, channel] in the machine's byte order. Raises `Undecodable` for other types."""
    # TIFF with a plane per channel; an image 3 or 4 pixels wide is taken as [y, x, channel]
    if pixels.ndim == 3 and pixels.shape[0] in (3, 4) and pixels.shape[2] not in (3, 4):
        pixels = np.moveaxis(pixels, 0, 2)
    if pixels.dtype.name not in READ:
        raise Undecodable(f"{pixels.dtype} values: {TYPES_READ}")
    return pixels.astype(pixels.dtype.newbyteorder("="), copy=False)


def _one_of(pixels: NDArray[Any]) -> NDArray[Any]:
    """The first channel [y, x] of [y, x, channel] if the others hold nothing more. Raises `Coloured`."""
    first, others = pixels[..., 0], [pixels[..., c] for c in range(1, pixels.shape[2])]
    # the second of two and the fourth of four are opacity
    opacity = others.pop() if len(others) in (1, 3) else None
    if not all(np.array_equal(first, o, equal_nan=True) for o in others):
        raise Coloured("colour")
    opaque = 1 if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max
    if opacity is not None and not (opacity == opaque).all():
        raise Coloured("transparent")
    return first
