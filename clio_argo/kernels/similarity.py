"""How alike neighbouring planes of the rendered volume are, and how far windows of them are displaced.

Windows are spread over the canvas. One counts for a pair of planes if both slices cover it whole and show structure in
it, so that neither background nor borders nor fills count.
"""

from dataclasses import dataclass
from functools import cache, cached_property

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import median_filter

from clio_argo.kernels import Image, as_image
from clio_argo.model.alignment import Floats, Matrix, apply, invert

# 4 x 4 windows of 128 px of a plane that is reduced to the scale of alignment, where noise does not hide tissue
WINDOWS, WINDOW_PX, REDUCED_PX = 4, 128, 1250
# Behind the Gaussians below, half as many values along each axis tell the same at a quarter of the cost, if peaks are
# looked at by pixels: medulla is displaced by 0.34 px (nine of ten by less than 0.55 instead of 0.54), ssTEM by 4.79
# instead of 4.78.
STEP = 2
# pixels around the highest value that are looked at: the peak is at most one away, and a parabola needs one beyond it
NEAR = 2
# Gaussian, in reduced pixels: with noise of 40 grey levels neighbours correlate by 0.95 instead of 0.5
SMOOTH_PX = 2.0
# parts of a window along an axis, whose scatter tells how sure a difference of correlations is
PARTS = 4
# chosen: fills and their ringing vary by less than a fifth of what tissue does; a quarter of a window may be flat
FLAT, MOST_FLAT = 0.2, 0.25
# standard deviations by which a shift stands out: unrelated tissue reaches 6 (median 4.4), neighbours 15 to 30
FOUND = 7.0
# pixels of the Gaussian that limits the correlation to frequencies that tissue has
BAND_PX = 1.5
# chosen: the median follows changes over a few dozen sections; the scatter needs several times as many values
MEDIAN_PAIRS, SCATTER_PAIRS = 31, 201
# chosen: six standard deviations of the stack's own scatter; 0.05 is about what a step of two pixels costs
SIGMAS, LEAST_DROP = 6.0, 0.05
# 1 - correlation below which planes are the same: rounding alone
LEAST_DIFFERENCE = 1e-3
Windows = NDArray[np.float32]


@dataclass(frozen=True)
class Tiles:
    """What is kept of a plane.

    tiles: reduced grey values of the windows [n, y, x], uint8 or uint16.
    covered: bool [n], whether the slice covers the whole window.
    factor: pixels of the plane per reduced pixel.
    most_step: the most that `step` can be; it is less for windows that are smaller.
    """

    tiles: Image
    covered: NDArray[np.bool_]
    factor: int = 1
    most_step: int = STEP

    @property
    def step(self) -> int:
        """Reduced pixels, along each axis, per value that is compared."""
        return int(min(self.most_step, *self.tiles.shape[1:]))

    @cached_property
    def coarse(self) -> Windows:
        """Means [n, y, x] of step x step pixels of the windows; rows and columns that fill none are left out."""
        count, height, width = (len(self.tiles), *(s // self.step for s in self.tiles.shape[1:]))
        whole = self.tiles[:, : height * self.step, : width * self.step].astype(np.float32)
        # one call for all windows: one for each takes twice as long
        column = whole.reshape(-1, width * self.step)
        means = cv2.resize(column, (width, count * height), interpolation=cv2.INTER_AREA)
        return np.asarray(means.reshape(count, height, width), np.float32)

    @cached_property
    def smooth(self) -> Windows:
        """`coarse` [n, y, x] after a Gaussian blur, each window less its mean."""
        # taking means has blurred them, too: these are the variances in pixels
        sigma = (SMOOTH_PX**2 - (self.step**2 - 1) / 12) ** 0.5 / self.step
        blurred = np.stack([cv2.GaussianBlur(w, (0, 0), sigma) for w in self.coarse])
        return np.asarray(blurred - blurred.mean((1, 2), keepdims=True), np.float32)

    @cached_property
    def counted(self) -> NDArray[np.bool_]:
        """Which windows show structure and nothing but the slice: bool [n]."""
        scatter = _parts(self.smooth, self.smooth) ** 0.5
        usual = np.quantile(scatter[self.covered], 0.9) if self.covered.any() else 0.0
        flat = scatter <= FLAT * usual
        return np.asarray(self.covered & (flat.mean(1) <= MOST_FLAT), np.bool_)

    @cached_property
    def spectra(self) -> NDArray[np.complex64]:
        """Half-whitened Fourier transforms [n, y, x] of `coarse`."""
        centred = self.coarse - self.coarse.mean((1, 2), keepdims=True)
        transformed = fft.rfft2(centred * _taper(*centred.shape[1:]))
        # a product takes a third of the time of a quotient
        return np.asarray(transformed * (1 / (np.sqrt(np.abs(transformed)) + np.float32(1e-6))), np.complex64)


@dataclass(frozen=True)
class Comparison:
    """What two planes show of each other.

    parts: what each of 16 parts of each window adds to the correlation, [16 n]; NaN where it does not count.
    distances: how far each window is displaced, [n] in pixels of the plane; NaN where no shift stands out.
    gain: of correlation, if windows were moved back, over what the moved ones lack of 1; NaN without a shift.
    """

    parts: Windows
    distances: Windows
    gain: float

    @property
    def correlation(self) -> float:
        """Zero-mean normalised cross-correlation, -1 to 1; NaN if no window counts for both planes."""
        return float(np.nansum(self.parts)) if np.isfinite(self.parts).any() else np.nan

    @property
    def found(self) -> float:
        """The fraction of the windows that count in which a shift stands out."""
        return float(np.isfinite(self.distances).sum() / max(1, np.isfinite(self.parts).sum() // PARTS**2))


def compare(a: Tiles, b: Tiles, displaced: bool = True) -> Comparison:
    """Compare two planes; without `displaced` by their correlation only."""
    shifts = displacement(a, b) if displaced else np.full((len(a.covered), 2), np.nan)
    distances = np.hypot(*shifts.T) * a.factor
    # as they are stored: what a unit measured and what joins two units must not differ in a digit
    gain = float(np.float32(_gain(a, b, shifts)))
    return Comparison(similarity(a, b).astype(np.float32), distances.astype(np.float32), gain)


def sample(plane: Image, matrix: Matrix, size: tuple[int, int]) -> Tiles:
    """Windows of `plane` [y, x], on which `matrix` (2x3, pixels) has placed a slice of `size` (width, height)."""
    factor = max(1, round(max(plane.shape) / REDUCED_PX))
    (tops, height), (lefts, width) = (_spans(s, factor) for s in plane.shape)
    corners = np.array([(x, y) for y in tops for x in lefts])
    small = (max(1, width // factor), max(1, height // factor))
    tiles = [cv2.resize(plane[y : y + height, x : x + width], small, interpolation=cv2.INTER_AREA) for x, y in corners]
    ends = corners[:, None] + [(x, y) for x in (0, width - 1) for y in (0, height - 1)]
    covered = np.all(_inside(apply(invert(matrix), ends), size), 1)
    return Tiles(as_image(np.stack(tiles)), np.asarray(covered, np.bool_), factor)


def _spans(side: int, factor: int) -> tuple[list[int], int]:
    """Begins of the windows along an axis, away from the ends of the canvas, and their length in pixels."""
    length = max(1, min(WINDOW_PX * factor, side // 2))
    count = min(WINDOWS, round(side / length))
    return [(i + 1) * (side - length) // (count + 1) for i in range(count)], length


def _inside(points: Floats, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which points [..., 2] (x, y) lie on an image of `size` (width, height): bool [...]."""
    return np.asarray(((points >= 0) & (points <= np.array(size) - 1)).all(-1), np.bool_)


def similarity(a: Tiles, b: Tiles) -> Floats:
    """Correlation of two planes, -1 to 1, as the sum of what 16 parts of each window add to it: [16 n].

    It is the zero-mean normalised cross-correlation of smoothed planes, with a mean for each window instead of one for
    all. Parts of windows that do not count for both planes are NaN.
    """
    both = a.counted & b.counted
    parts = np.full((len(both), PARTS * PARTS), np.nan)
    one, other = a.smooth[both], b.smooth[both]
    energy = float(np.vdot(one, one)) * float(np.vdot(other, other))
    if energy > 0:
        parts[both] = _parts(one, other) * (one[0].size / PARTS**2 / energy**0.5)
    return parts.ravel()


def _parts(a: Windows, b: Windows) -> Floats:
    """Means of the products of windows [n, y, x] in 4 x 4 parts of each: [n, 16]."""
    size = (PARTS, PARTS)
    means = [cv2.resize(product, size, interpolation=cv2.INTER_AREA).ravel() for product in a * b]
    return np.array(means, np.float64).reshape(-1, PARTS * PARTS)


def displacement(a: Tiles, b: Tiles) -> Floats:
    """Shifts [n, 2] (x, y) of the windows of `b` against `a` in reduced pixels; NaN where none stands out."""
    both = np.flatnonzero(a.counted & b.counted)
    found = np.full((len(a.counted), 2), np.nan)
    if len(both):
        shape = a.coarse.shape[1:]
        products = a.spectra[both].conj() * b.spectra[both] * _band(a.step, *shape)
        shifts, stand_out = _shifts(products, shape, a.step)
        found[both[stand_out]] = shifts[stand_out]
    return found


def _shifts(products: NDArray[np.complex64], shape: tuple[int, ...], step: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Shifts [n, 2] (x, y) in reduced pixels at the peaks of cross-correlations, and which of them stand out.

    products: [n, y, x], Fourier transforms of the correlations of windows of a `shape` [y, x].
    """
    surfaces = fft.irfft2(products, s=shape).reshape(len(products), -1)
    places = step * np.stack(np.unravel_index(surfaces.argmax(1), shape))
    around = _around(products, places, shape, step)
    every, inner = np.arange(len(around)), around[:, 1:-1, 1:-1]
    tops = 1 + np.stack(np.unravel_index(inner.reshape(len(inner), -1).argmax(1), inner.shape[1:]))
    exact = np.stack([places[axis] - NEAR + _vertex(around, tops, axis) for axis in (1, 0)], 1)
    # a shift of more than half a window is one to the other side
    sides = step * np.array(shape[::-1])
    heights = around[every, *tops] - surfaces.mean(1)
    return (exact + sides / 2) % sides - sides / 2, np.asarray(heights > FOUND * surfaces.std(1), np.bool_)


def _around(products: NDArray[np.complex64], places: NDArray[np.int64], shape: tuple[int, ...], step: int) -> Windows:
    """Cross-correlations [n, 5, 5] at all reduced pixels around `places` [2, n]; others as of `_shifts`."""
    rows, columns = (
        _waves(s, step)[(p[:, None] + np.arange(-NEAR, NEAR + 1)) % (s * step)]
        for s, p in zip(shape, places, strict=True)
    )
    columns = columns[:, :, : products.shape[2]] * _weights(shape[1])
    return np.asarray((rows @ products @ columns.swapaxes(1, 2)).real / (shape[0] * shape[1]), np.float32)


def _vertex(surfaces: Windows, places: NDArray[np.int64], axis: int) -> Floats:
    """Where parabolas through the peaks of surfaces [n, y, x], at `places` [2, n], are highest along an axis: [n]."""
    step = np.zeros((2, 1), int)
    step[axis] = 1
    before, at, after = (surfaces[np.arange(len(surfaces)), *(places + k * step)] for k in (-1, 0, 1))
    bend = 2 * at - before - after
    return np.asarray(
        places[axis] + np.where(bend > 0, (after - before) / np.where(bend > 0, 2 * bend, 1), 0), np.float64
    )


@cache
def _waves(count: int, step: int) -> NDArray[np.complex64]:
    """Waves of a Fourier transform of `count` values, at `step` times as many places: [places, frequencies]."""
    return np.exp(2j * np.pi * np.outer(np.arange(count * step) / step, fft.fftfreq(count))).astype(np.complex64)


@cache
def _weights(count: int) -> Windows:
    """How often frequencies [n] of `rfft` of `count` values stand for two of `fft`: 2, at the ends 1."""
    frequencies = fft.rfftfreq(count)
    return np.where((frequencies == 0) | (frequencies == 0.5), 1, 2).astype(np.float32)


def _gain(a: Tiles, b: Tiles, shifts: Floats) -> float:
    """What moving windows back by whole pixels gains of correlation, over what the moved ones lack of 1.

    shifts: [n, 2], NaN for windows that do not count. The gain is NaN without any, and 0 if nothing is displaced.
    """
    found, whole = np.isfinite(shifts[:, 0]), np.rint(np.nan_to_num(shifts)).astype(int)
    still = found & ~whole.any(1)
    before = _products(a.smooth[still], b.smooth[still])
    after = before.copy()
    for i in np.flatnonzero(found & ~still):
        # pixels, since means of step x step of them cannot be moved by one
        one, other = (cv2.GaussianBlur(t.tiles[i].astype(np.float32), (0, 0), SMOOTH_PX) for t in (a, b))
        before += _overlap(one, other, 0 * whole[i], a.step)
        after += _overlap(one, other, whole[i], a.step)
    now, then = (float(ab / np.sqrt(aa * bb)) if aa else np.nan for ab, aa, bb in (before, after))
    return (then - now) / max(1 - then, LEAST_DIFFERENCE)


def _overlap(a: Windows, b: Windows, shift: NDArray[np.int64], step: int) -> Floats:
    """Products [3] of every `step`-th value of windows [y, x] where `b`, shifted back by (x, y), overlaps `a`."""
    x, y = (int(v) for v in shift)
    height, width = a.shape
    a = a[max(0, -y) : height - max(0, y) : step, max(0, -x) : width - max(0, x) : step]
    b = b[max(0, y) : height - max(0, -y) : step, max(0, x) : width - max(0, -x) : step]
    return _products(a - a.mean(), b - b.mean())


def _products(a: Windows, b: Windows) -> Floats:
    """Covariance and variances [3] of windows, times values."""
    return np.array([np.vdot(a, b), np.vdot(a, a), np.vdot(b, b)], np.float64)


@cache
def _taper(height: int, width: int) -> Windows:
    """Hann window [y, x] whose ends are not 0, so that a window of one pixel keeps it."""
    return np.outer(*(np.hanning(n + 2)[1:-1] for n in (height, width))).astype(np.float32)


@cache
def _band(step: int, height: int, width: int) -> Windows:
    """Gaussian [y, x] over the frequencies of `rfft2` of windows whose pixels are `step` reduced ones."""
    y, x = fft.fftfreq(height, step)[:, None], fft.rfftfreq(width, step)[None]
    return np.asarray(np.exp(-2 * (np.pi * BAND_PX) ** 2 * (x * x + y * y)), np.float32)


def median_and_outliers(values: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Running median of `values` [n], and which of them lie far below it: float64 and bool [n].

    Far is six standard deviations of the values around, and 0.05 at least. A standard deviation is 1.4826 median
    absolute deviations, as of normal values.
    """
    if not len(values):
        return values, np.zeros(0, np.bool_)
    local_median = median_filter(values, MEDIAN_PAIRS, mode="reflect")
    drop = local_median - values
    scatter = 1.4826 * median_filter(np.abs(drop), SCATTER_PAIRS, mode="reflect")
    return local_median, drop > np.maximum(SIGMAS * scatter, LEAST_DROP)
