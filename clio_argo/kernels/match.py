"""Fits one slice onto another: SIFT and RANSAC give a start, grey values refine it to the last tenth of a pixel.

The matrix of a pair maps a pixel of the moving slice to the fixed slice, in full-size pixels.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from clio_argo.kernels.features import Reduced, area_mean
from clio_argo.kernels.magnification import log_scale
from clio_argo.kernels.noise import noise_px
from clio_argo.kernels.register import PIXELS, FitModel, NotFound, Plane, register, to_reduced
from clio_argo.kernels.worst_tiles import compare
from clio_argo.model.alignment import IDENTITY, Floats, PairFit, apply, corners, homogeneous, to_matrix

Model = Literal["auto", "translation", "rigid", "affine"]
# 7 % more inliers than at 0.8, Lowe's own; unrelated tissue has up to 7 at any ratio from 0.7 to 0.95
RATIO = 0.85
# more than unrelated tissue agrees on by chance (7 in 20 pairs); sections of 45 nm agree on 13 to 19
MIN_INLIERS = 8
# pixels of the feature image: 410 inliers (median of 30 pairs), 327 at 1.5 px, and 4 px give few more (437)
INLIER_PX = 2.5
# three matches a draw: 5,000 draws find the affine with 99.9 % where one match in nine is right
DRAWS, CONFIDENCE = 5000, 0.999
# chosen: no microscope stretches a section by a quarter, no stage turns it by 30 degrees
MAX_STRETCH, MAX_TURN = 1.25, 30.0
# matches by chance agree on any affine, those of tissue on one that hardly stretches
SURE_STRETCH = 1.1
# corner moves from which `auto` keeps a linear part: static stacks do, two of three undistorted tissue pairs do not
MOST_UNSEEN_PX, UNSEEN_SIGMAS = 0.5, 2.3
# chosen: a half of less than 128 px has too few pixels to converge on
SMALLEST_HALVED = 256
# pixels of reduced slices: starts 8 px away end within 0.0003 px (medulla, mosaics, noisy slices)
NEAR_PX = 4.0
# noise and unrelated tissue reach 7.5, neighbours 10 to 28 (64 px wide: 7)
LEAST_PEAK = 8.0
# of 208 fits of unrelated slices the best reaches 6.3 (and a correlation of 0.95 under uneven light); right ones 10
LEAST_SIGMAS = 7.0


@dataclass(frozen=True)
class Start:
    """A first estimate: [2, 3] in full-size pixels, and the inliers, (x, y) of each in both slices [inliers, 2]."""

    matrix: Floats
    inliers: int
    fixed: Floats
    moving: Floats


def fit_pair(fixed: Reduced, moving: Reduced, z0: int, z1: int, model: Model = "auto", check: bool = False) -> PairFit:
    """Fit `moving` (slice z1) onto `fixed` (slice z0); a fit without proof has no matrix and a reason.

    Methods are tried in the order of `METHODS` until one succeeds.
    check: the pair only checks others, so that it needs features: a wrong fit would do harm, none does not.
    """
    reasons = []
    for method in METHODS[:-1] if check else METHODS:
        try:
            fit = _fit(method, *method.prepare(fixed, moving), model)
            shown = invert(moving) if fit.method == "inverted" else moving
            return fit.model_copy(update={"z0": z0, "z1": z1, **_comparison(fit, fixed, shown)})
        except Turned as error:
            return PairFit(z0=z0, z1=z1, reason=str(error))
        except NotFound as error:
            reasons.append(str(error))
    return PairFit(z0=z0, z1=z1, reason=f"{reasons[0]}, and no other method finds more")


def _fit(method: "Method", fixed: Reduced, moving: Reduced, model: Model) -> PairFit:
    """Start, refine and check a fit of slices as `method` prepared them, images [y, x]; raises `NotFound`."""
    start = method.find(fixed, moving)
    check_sane(start.matrix)
    matrix, correlation, used = best_of(fixed, moving, starts(fixed, moving, start), model)
    check_sane(matrix)
    residual = np.hypot(*(apply(matrix, start.moving) - start.fixed).T) if start.inliers else np.zeros(1)
    scale = log_scale(start.fixed, start.moving)
    return PairFit(
        z0=0,
        z1=1,
        matrix=to_matrix(matrix),
        model=used,
        method=method.name,
        inliers=start.inliers,
        correlation=round(correlation, 4),
        residual_px=round(float(np.median(residual)), 4),
        coverage=round(coverage(start.fixed, fixed), 4),
        log_scale=scale and (round(scale[0], 6), round(scale[1], 6)),
    )


def starts(fixed: Reduced, moving: Reduced, start: Start) -> Iterator[Floats]:
    """Matrices [2, 3] to refine, `start` first; rivals follow where a pattern may have held features in the frame."""
    yield start.matrix
    if fixed.patterned and moving.patterned:
        yield np.eye(2, 3)
        with suppress(NotFound):
            yield phase_shift(*at_half_size(fixed, moving)).matrix


def best_of(
    fixed: Reduced, moving: Reduced, matrices: Iterable[Floats], model: Model
) -> tuple[Floats, float, FitModel]:
    """Of refined `matrices` [2, 3] the one with the highest correlation of tissue, as `refine` returns it.

    Those that begin where another one ended are not refined: they would end there, too.

    Raises:
        NotFound: none converges.
    """
    found, reason, near_px = list[tuple[Floats, float, FitModel]](), NotFound(""), NEAR_PX * moving.factor
    for matrix in matrices:
        if any(farthest(matrix, end, moving) <= near_px for end, _, _ in found):
            continue
        try:
            found.append(refine(fixed, moving, matrix, model))
        except NotFound as error:
            reason = error
    if not found:
        raise reason
    return max(found, key=itemgetter(1))


def _comparison(fit: PairFit, fixed: Reduced, moving: Reduced) -> dict[str, Any]:
    """Fields of `PairFit` that compare the registered slices [y, x] without any enhancement.

    Raises:
        NotFound: they are no more alike than by chance.
    """
    a, b = at_half_size(fixed, moving)
    compared = compare(a, b, to_reduced(homogeneous(fit.matrix or IDENTITY), a, b))
    tiles, (parts, windows) = compared.tiles, compared.disagreement
    parts_px = parts * a.factor
    if tiles.sigmas < LEAST_SIGMAS:
        raise NotFound(f"after alignment the slices are no more alike than by chance ({tiles.sigmas:.1f} sigma)")
    return {
        "noise_px": round(max(noise_px(fit.correlation), parts_px / max(windows, 1) ** 0.5), 4),
        "disagreement_px": round(parts_px, 4),
        "worst_tile_correlation": round(tiles.worst, 4),
        "occluded": tuple(round(fraction, 4) for fraction in compared.occluded),
    }


def coverage(points: Floats, fixed: Reduced) -> float:
    """Fraction (0 to 1) of the slice within the convex hull of points [n, 2], (x, y) in full-size pixels."""
    if not len(points):
        return 0.0
    hull = cv2.convexHull(points.astype(np.float32))
    return float(cv2.contourArea(hull)) / (fixed.image.size * fixed.factor**2)


def match_features(fixed: Reduced, moving: Reduced) -> Start:
    """The affine on which most feature matches agree (RANSAC: Fischler and Bolles, CACM 24(6), 1981; OpenCV).

    Raises:
        NotFound: fewer than 8 features match, or agree.
    """
    a, b = nearest_pairs(fixed.descriptors, moving.descriptors)
    if len(a) < MIN_INLIERS:
        raise NotFound(f"only {len(a)} features match")
    target, source = fixed.points[a].astype(np.float64), moving.points[b].astype(np.float64)
    tolerance = INLIER_PX * fixed.feature_factor
    matrix, agreeing = cv2.estimateAffine2D(
        source, target, None, cv2.RANSAC, tolerance, maxIters=DRAWS, confidence=CONFIDENCE
    )
    inliers = int(agreeing.sum()) if agreeing is not None else 0
    if matrix is None or inliers < MIN_INLIERS:
        raise NotFound(f"only {inliers} of {len(a)} feature matches agree on one transform")
    agreeing = agreeing.ravel().astype(bool)
    return Start(np.asarray(matrix, np.float64), inliers, target[agreeing], source[agreeing])


def nearest_pairs(fixed: NDArray[np.uint8], moving: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices [matches] into both descriptors [n, 128] that are nearest by a clear margin (Lowe's ratio test, 2004)."""
    if len(fixed) < 2 or not len(moving):
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    a, b = fixed.astype(np.float32), moving.astype(np.float32)
    square = (b * b).sum(1)[:, None] + (a * a).sum(1)[None] - 2 * (b @ a.T)
    each, best = np.arange(len(b)), square.argmin(1)
    distance = square[each, best]
    square[each, best] = np.inf
    clear = distance < RATIO**2 * square.min(1)
    return best[clear], np.nonzero(clear)[0]


def refine(fixed: Reduced, moving: Reduced, start: Floats, model: Model) -> tuple[Floats, float, FitModel]:
    """Refine `start` [2, 3] at half size until it converges, then on the whole reduced slices.

    Returns the matrix [2, 3] in full-size pixels, the correlation and the model that was used: `auto` is a
    translation if the linear part is within the noise of tissue, else an affine.
    """
    used: FitModel = "affine" if model == "auto" else model
    halved = at_half_size(fixed, moving)
    # at half size every second pixel is enough, since they only lead to the fit
    matrix, correlation = register(*halved, start, used, PIXELS if halved[0] is fixed else PIXELS // 4)
    unseen_px = min(MOST_UNSEEN_PX, UNSEEN_SIGMAS * noise_px(correlation))
    if model == "auto" and looks_like_translation(matrix, moving, unseen_px):
        used = "translation"
    elif halved[0] is fixed:
        # it has converged on all pixels
        return matrix, correlation, used
    return *register(fixed, moving, matrix, used), used


def at_half_size(fixed: Reduced, moving: Reduced) -> tuple[Reduced, Reduced]:
    """Both slices [y, x] at half size, or unchanged if one of them is small: both must show the same detail."""
    if min(max(r.image.shape) for r in (fixed, moving)) < SMALLEST_HALVED:
        return fixed, moving
    return halve(fixed), halve(moving)


def halve(reduced: Reduced) -> Reduced:
    """The slice with image and mask [y, x] at half size; points stay in full-size pixels."""
    # from 1 on, a mask of an odd side has as many pixels as the image of area means
    image, mask = area_mean(reduced.image, 2), reduced.mask[1::2, 1::2]
    return replace(reduced, image=np.asarray(image, np.uint8), mask=mask, factor=reduced.factor * 2)


def looks_like_translation(matrix: Floats, moving: Reduced, limit_px: float) -> bool:
    """Whether the linear part of `matrix` [2, 3] moves no corner of the slice by more than `limit_px`."""
    points = _corners(moving)
    shift = apply(matrix, points) - points
    return bool(np.hypot(*(shift - shift.mean(0)).T).max() <= limit_px)


def farthest(matrix: Floats, other: Floats, moving: Reduced) -> float:
    """How far apart two matrices [2, 3] move a corner of the slice at most, in full-size pixels."""
    points = _corners(moving)
    return float(np.hypot(*(apply(matrix, points) - apply(other, points)).T).max())


def _corners(reduced: Reduced) -> Floats:
    """Corners [4, 2] of the slice, (x, y) in full-size pixels."""
    height, width = (s * reduced.factor for s in reduced.image.shape)
    return corners(width, height)


class Turned(NotFound):
    """Tissue itself says that a slice was turned, by more than a stage does."""


def check_sane(matrix: Floats) -> None:
    """Raise `NotFound` for a matrix [2, 3] that mirrors, or stretches or turns beyond what a section can do.

    Raises:
        Turned: it turns, and is no fit of chance matches.
    """
    (a, b), (c, d) = matrix[:, :2]
    stretches = np.linalg.svd(matrix[:, :2], compute_uv=False)
    if a * d <= b * c or stretches[0] > MAX_STRETCH or stretches[1] < 1 / MAX_STRETCH:
        raise NotFound("the fit mirrors or stretches the slice by more than 25 %")
    # of the rotation nearest to the matrix
    degrees = np.degrees(np.arctan2(c - b, a + d))
    if abs(degrees) > MAX_TURN:
        sure = stretches[0] < SURE_STRETCH and stretches[1] > 1 / SURE_STRETCH
        raise (Turned if sure else NotFound)(f"the slices are turned against each other by {abs(degrees):.0f} degrees")


def invert(reduced: Reduced) -> Reduced:
    """The slice [y, x] with black and white swapped, and the descriptors that SIFT would find in it.

    SIFT rotates a feature so that its strongest gradient points to the right. Inversion turns that gradient round, so
    that the 4 x 4 cells of a descriptor rotate by 180 degrees and their histograms stay.
    """
    turned = reduced.descriptors.reshape(-1, 4, 4, 8)[:, ::-1, ::-1].reshape(-1, 128)
    return replace(reduced, image=255 - reduced.image, descriptors=turned)


def phase_shift(fixed: Reduced, moving: Reduced) -> Start:
    """The shift of highest cross-correlation of the windowed slices [y, x], to a part of a pixel: for weak texture.

    Nothing is whitened: noise has as many frequencies as tissue. Raises `NotFound` if no shift stands out.
    """
    shape = [min(a, b) for a, b in zip(fixed.image.shape, moving.image.shape, strict=True)]
    window = np.outer(*(np.hanning(n).astype(np.float32) for n in shape))
    surface = correlate(*(apply_window(r, window) for r in (fixed, moving)))
    if surface.max() <= surface.mean() + LEAST_PEAK * surface.std():
        raise NotFound("no shift stands out")
    y, x = _peak(surface) * fixed.factor
    return Start(np.array([[1.0, 0.0, x], [0.0, 1.0, y]]), 0, np.zeros((0, 2)), np.zeros((0, 2)))


def correlate(a: Plane, b: Plane) -> Plane:
    """Cross-correlation of two images [y, x] of one shape over all shifts of `b`, which turns at its ends: [y, x]."""
    size = [fft.next_fast_len(n, real=True) for n in a.shape]
    return np.asarray(fft.irfft2(fft.rfft2(a, size) * fft.rfft2(b, size).conj(), size), np.float32)


def _peak(surface: Plane) -> Floats:
    """The shift (y, x) at which a cross-correlation [y, x] is highest: the vertex of parabolas around its maximum."""
    place, sides = np.array(np.unravel_index(surface.argmax(), surface.shape)), np.array(surface.shape)
    around = surface[np.ix_(*((p + np.arange(-1, 2)) % n for p, n in zip(place, sides, strict=True)))]
    before, at, after = np.stack([around[:, 1], around[1]], 1).astype(np.float64)
    exact = place + (after - before) / np.maximum(2 * (2 * at - before - after), 1e-9)
    # a shift of more than half a side is one to the other side
    return np.asarray((exact + sides / 2) % sides - sides / 2)


def apply_window(reduced: Reduced, window: Plane) -> Plane:
    """Tissue less its mean, times `window` [y, x], which fades the borders: they correlate by themselves."""
    height, width = window.shape
    image, mask = reduced.image[:height, :width].astype(np.float32), reduced.mask[:height, :width]
    return np.asarray((image - image[mask].mean()) * window * mask if mask.any() else np.zeros_like(window))


@dataclass(frozen=True)
class Method:
    """A method to find a fit: what it does to both slices, and how it starts."""

    name: Literal["features", "enhanced", "coarse", "inverted", "phase"]
    prepare: Callable[[Reduced, Reduced], tuple[Reduced, Reduced]]
    find: Callable[[Reduced, Reduced], Start]


# tried in this order: later ones search harder; the last needs no features
METHODS = (
    Method("features", lambda fixed, moving: (fixed, moving), match_features),
    Method("enhanced", lambda fixed, moving: (fixed.enhanced, moving.enhanced), match_features),
    Method("coarse", lambda fixed, moving: (fixed.enhanced_coarse, moving.enhanced_coarse), match_features),
    Method("inverted", lambda fixed, moving: (fixed, invert(moving)), match_features),
    Method("phase", lambda fixed, moving: (fixed.enhanced, moving.enhanced), phase_shift),
)
