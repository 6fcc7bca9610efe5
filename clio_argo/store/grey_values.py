"""Grey values of slices, of whatever their files hold."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clio_argo.model.values import ValueMap
from clio_argo.store.documents import crc32c
from clio_argo.store.images.base import Pixels, Undecodable

# converted at once: the copies of floats take no memory that matters, and stay in a cache
BAND_PX = 2**18


class Decoded(NamedTuple):
    """A slice with its grey values.

    pixels: uint8 or uint16 [y, x].
    warning: what its decoder said of damage.
    nothing: bool [y, x], where the file holds NaN; `pixels` is 0 there. None: nowhere.
    clipped: fraction of the values that lie beyond the grey values.
    exact: whether all values follow from the grey values.
    """

    pixels: Pixels
    warning: str = ""
    nothing: NDArray[np.bool_] | None = None
    clipped: float = 0.0
    exact: bool = True

    @property
    def digest(self) -> str:
        """CRC32C of the pixels, and of where there are none."""
        places = b"" if self.nothing is None else np.packbits(self.nothing).tobytes()
        return crc32c(self.pixels.tobytes() + places)


def to_grey(samples: NDArray[Any], values: ValueMap | None, warning: str = "") -> Decoded:
    """Grey values of the samples [y, x] of a file. Raises `Undecodable` if all of them are NaN."""
    if values is None:
        return Decoded(samples, warning)
    if values.fits:
        # the sign bit: as fast as copying
        unsigned = samples.view(values.dtype)
        return Decoded(unsigned ^ unsigned.dtype.type(-values.low), warning)
    nan = np.isnan(samples) if samples.dtype.kind == "f" else None
    nothing = nan if nan is not None and nan.any() else None
    if nothing is not None and nothing.all():
        raise Undecodable("all its values are NaN")
    pixels, clipped, exact = np.empty(samples.shape, values.dtype), 0, True
    rows = max(1, BAND_PX // samples.shape[1])
    for band in (np.s_[y : y + rows] for y in range(0, len(samples), rows)):
        inside = True if nothing is None else ~nothing[band]
        beyond, same = _convert(samples[band], values, inside, pixels[band])
        clipped, exact = clipped + beyond, exact and same
    held = samples.size - (0 if nothing is None else np.count_nonzero(nothing))
    return Decoded(pixels, warning, nothing, float(f"{clipped / held:.4g}"), exact and nothing is None)


def luminance(colours: Sequence[Decoded]) -> Decoded:
    """Grey values of a picture from its red, green and blue (ITU-R BT.601), each uint8 or uint16 [y, x]."""
    red, green, blue = (c.pixels for c in colours)
    pixels = np.empty_like(red)
    rows = max(1, BAND_PX // red.shape[1])
    for band in (np.s_[y : y + rows] for y in range(0, len(red), rows)):
        r, g, b = (c[band].astype(np.uint32) for c in (red, green, blue))
        pixels[band] = (77 * r + 150 * g + 29 * b + 128) >> 8
    return colours[0]._replace(pixels=pixels)


def without(decoded: Decoded, clear: NDArray[np.bool_]) -> Decoded:
    """The slice without what is `clear`: bool [y, x]."""
    if not clear.any():
        return decoded
    nothing = clear if decoded.nothing is None else decoded.nothing | clear
    return decoded._replace(pixels=np.where(nothing, decoded.pixels.dtype.type(0), decoded.pixels), nothing=nothing)


def _convert(
    samples: NDArray[Any], values: ValueMap, inside: NDArray[np.bool_] | bool, pixels: Pixels
) -> tuple[int, bool]:
    """Fill `pixels` [y, x] with the grey values of samples [y, x], which count where they are `inside`.

    Returns how many of them are clipped, and whether all follow from the grey values.
    """
    # infinite values, and those of the largest floats, are beyond
    with np.errstate(over="ignore"):
        levels = np.rint((samples.astype(np.float64) - values.low) / values.step)
        grey = np.where(inside, np.clip(levels, 0, values.top), 0)
        back = values.low + values.step * grey
    pixels[:] = grey
    beyond = int(np.count_nonzero((grey != levels) & inside))
    kept = np.array_equal(samples, back)
    return beyond, kept and not beyond
