"""The fit of one slice onto another: SIFT and RANSAC for a start, grey values for the last tenth of a pixel.

A pair's matrix maps a pixel of the moving slice to the fixed slice, in full-size pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels.agreement import compare
from clio_argo.kernels.anchor import noise_px
from clio_argo.kernels.features import Reduced, area_mean, find_features, to_full
from clio_argo.kernels.register import FitModel, NotFound, register, to_reduced
from clio_argo.model.alignment import IDENTITY, Floats, PairFit, apply, corners, homogeneous, to_matrix

Model = Literal["auto", "translation", "rigid", "affine"]
RATIO = 0.85
MIN_INLIERS = 8
ENHANCE_BLUR, WEAK_CONTRAST = 1.5, 0.01
INLIER_PX = 2.5
MAX_STRETCH, MAX_TURN = 1.25, 0.5
MOST_UNSEEN_PX, UNSEEN_SIGMAS = 0.5, 2.3
SMALLEST_HALVED = 256
# noise and unrelated tissue reach 7.5, neighbours 10 to 28 (64 px wide: 7)
LEAST_PEAK = 8.0


@dataclass(frozen=True)
class Start:
    """A first guess from features: 2x3 in full-size pixels, and the matched inliers."""

    matrix: Floats
    inliers: int
    fixed: Floats
    moving: Floats


def fit_pair(
    fixed: Reduced, moving: Reduced, z0: int, z1: int, model: Model = "auto", check: bool = False
) -> PairFit:
    """Fit `moving` (slice z1) onto `fixed` (slice z0); a fit without proof has no matrix and a reason.

    check: for a link that only checks others, which nothing but features may make.
    """
    reasons = []
    for way in WAYS[:-1] if check else WAYS:
        try:
            fit = _fit(way, *way.prepare(fixed, moving), model)
            seen = inverted(moving) if fit.way == "inverted" else moving
            return fit.model_copy(update={"z0": z0, "z1": z1, **_trust(fit, fixed, seen)})
        except NotFound as error:
            reasons.append(str(error))
    return PairFit(z0=z0, z1=z1, reason=f"{reasons[0]}, and no other way finds more")


def _fit(way: "Way", fixed: Reduced, moving: Reduced, model: Model) -> PairFit:
    start = way.find(fixed, moving)
    check_sane(start.matrix)
    matrix, correlation, used = refine(fixed, moving, start.matrix, model)
    check_sane(matrix)
    if correlation < way.least_correlation:
        raise NotFound(f"correlation {correlation:.2f} after alignment is too low")
    residual = np.hypot(*(apply(matrix, start.moving) - start.fixed).T) if start.inliers else np.zeros(1)
    return PairFit(
        z0=0,
        z1=1,
        matrix=to_matrix(matrix),
        model=used,
        way=way.name,
        inliers=start.inliers,
        correlation=round(correlation, 4),
        residual_px=round(float(np.median(residual)), 4),
        spread=round(spread(start.fixed, fixed), 4),
    )


def _trust(fit: PairFit, fixed: Reduced, moving: Reduced) -> dict[str, Any]:
    """What the slices as they are, in register, tell about the fit."""
    a, b = at_half_size(fixed, moving)
    agreement, hidden = compare(a, b, to_reduced(homogeneous(fit.matrix or IDENTITY), a, b))
    return {
        "noise_px": round(noise_px(fit.correlation), 4),
        "agreement": round(agreement, 4),
        "hidden": tuple(round(h, 4) for h in hidden),
    }


def spread(points: Floats, fixed: Reduced) -> float:
    """Fraction of the slice within the convex hull of points [n, 2] in full-size pixels."""
    if not len(points):
        return 0.0
    hull = cv2.convexHull(points.astype(np.float32))
    return float(cv2.contourArea(hull)) / (fixed.image.size * fixed.factor**2)


def match_features(fixed: Reduced, moving: Reduced) -> Start:
    """Affine that most feature matches agree on."""
    a, b = nearest_pairs(fixed.descriptors, moving.descriptors)
    if len(a) < MIN_INLIERS:
        raise NotFound(f"only {len(a)} features match")
    there, here = fixed.points[a].astype(np.float64), moving.points[b].astype(np.float64)
    tolerance = INLIER_PX * fixed.feature_factor
    matrix, kept = cv2.estimateAffine2D(
        here, there, method=cv2.RANSAC, ransacReprojThreshold=tolerance, maxIters=5000, confidence=0.999
    )
    inliers = int(kept.sum()) if kept is not None else 0
    if matrix is None or inliers < MIN_INLIERS:
        raise NotFound(f"only {inliers} of {len(a)} feature matches agree on one transform")
    keep = kept.ravel().astype(bool)
    return Start(np.asarray(matrix, np.float64), inliers, there[keep], here[keep])


def nearest_pairs(
    fixed: NDArray[np.uint8], moving: NDArray[np.uint8]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Indices (fixed, moving) of descriptors that are nearest with a clear margin (Lowe's ratio)."""
    if len(fixed) < 2 or not len(moving):
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    a, b = fixed.astype(np.float32), moving.astype(np.float32)
    square = (b * b).sum(1)[:, None] + (a * a).sum(1)[None] - 2 * (b @ a.T)
    best = np.argpartition(square, 1, axis=1)[:, :2]
    d = np.take_along_axis(square, best, 1)
    best = np.take_along_axis(best, np.argsort(d, axis=1), 1)
    d.sort(axis=1)
    clear = d[:, 0] < RATIO**2 * d[:, 1]
    return best[clear, 0], np.nonzero(clear)[0]


def refine(fixed: Reduced, moving: Reduced, start: Floats, model: Model) -> tuple[Floats, float, FitModel]:
    """Refine at half size until it converges, then on the whole reduced slices.

    `auto` ends as a translation where nothing more can be seen.
    """
    used: FitModel = "affine" if model == "auto" else model
    matrix, correlation = register(*at_half_size(fixed, moving), start, used)
    unseen_px = min(MOST_UNSEEN_PX, UNSEEN_SIGMAS * noise_px(correlation))
    if model == "auto" and looks_like_translation(matrix, moving, unseen_px):
        used = "translation"
    return *register(fixed, moving, matrix, used), used


def at_half_size(fixed: Reduced, moving: Reduced) -> tuple[Reduced, Reduced]:
    """Both slices at half size; where one of them is small, both as they are: they must show the same detail."""
    if min(max(r.image.shape) for r in (fixed, moving)) < SMALLEST_HALVED:
        return fixed, moving
    return halved(fixed), halved(moving)


def halved(reduced: Reduced) -> Reduced:
    image, mask = area_mean(reduced.image, 2), reduced.mask[1::2, 1::2]
    return replace(reduced, image=np.asarray(image, np.uint8), mask=mask, factor=reduced.factor * 2)


def looks_like_translation(matrix: Floats, moving: Reduced, limit_px: float) -> bool:
    """Whether the linear part moves no corner of the slice by more than `limit_px`, whatever its sign."""
    height, width = (s * moving.factor for s in moving.image.shape)
    points = corners(width, height)
    shift = apply(matrix, points) - points
    return bool(np.hypot(*(shift - shift.mean(0)).T).max() <= limit_px)


def check_sane(matrix: Floats) -> None:
    """Refuse mirrored, singular and absurdly stretched or turned matrices."""
    stretches = np.linalg.svd(matrix[:, :2], compute_uv=False)
    if np.linalg.det(matrix[:, :2]) <= 0 or stretches[0] > MAX_STRETCH or stretches[1] < 1 / MAX_STRETCH:
        raise NotFound("the fit mirrors or stretches the slice by more than 25 %")
    if np.hypot(matrix[0, 1], matrix[1, 0]) / np.sqrt(2) > MAX_TURN * stretches[0]:
        raise NotFound("the fit turns the slice by more than 30 degrees")


def enhanced(reduced: Reduced) -> Reduced:
    """Blurred, equalised, with weak features too: for noisy or flat slices."""
    smooth = cv2.GaussianBlur(reduced.image, (0, 0), ENHANCE_BLUR)
    image = np.asarray(cv2.createCLAHE(3.0, (4, 4)).apply(smooth), np.uint8)
    factor = reduced.feature_factor / reduced.factor
    points, descriptors = find_features(image, reduced.mask, factor, WEAK_CONTRAST)
    return replace(reduced, image=image, points=to_full(points, reduced.factor), descriptors=descriptors)


def coarse(reduced: Reduced) -> Reduced:
    """Enhanced, with features at half the size: for thick sections, which share only what is large."""
    return enhanced(replace(reduced, feature_factor=2 * reduced.feature_factor))


def inverted(reduced: Reduced) -> Reduced:
    """Black and white swapped.

    SIFT turns a feature so that its strongest gradient points to the right; this one now points the other way, so
    that the 4 x 4 cells of a descriptor are turned by 180 degrees and their histograms stay.
    """
    turned = reduced.descriptors.reshape(-1, 4, 4, 8)[:, ::-1, ::-1].reshape(-1, 128)
    return replace(reduced, image=255 - reduced.image, descriptors=turned)


def phase_shift(fixed: Reduced, moving: Reduced) -> Start:
    """The shift of highest phase correlation (Kuglin and Hines 1975; scikit-image): for slices poor in texture."""
    # loading it takes as long as matching six slices, and few stacks need it
    from skimage.registration import phase_cross_correlation

    shape = [min(a, b) for a, b in zip(fixed.image.shape, moving.image.shape, strict=True)]
    window = np.outer(*(np.hanning(n) for n in shape))
    a, b = (windowed(r, window) for r in (fixed, moving))
    if not (a.any() and b.any()) or peak(a, b) < LEAST_PEAK:
        raise NotFound("no shift stands out")
    shift, _, _ = phase_cross_correlation(a, b, upsample_factor=4, normalization=None)  # type: ignore[no-untyped-call]
    matrix = np.array([[1.0, 0.0, shift[1] * fixed.factor], [0.0, 1.0, shift[0] * fixed.factor]])
    return Start(matrix, 0, np.zeros((0, 2)), np.zeros((0, 2)))


def peak(a: Floats, b: Floats) -> float:
    """Highest cross-correlation of two images of one shape, in standard deviations over all shifts."""
    surface = np.fft.irfft2(np.fft.rfft2(a) * np.conj(np.fft.rfft2(b)), a.shape)
    return float((surface.max() - surface.mean()) / surface.std())


def windowed(reduced: Reduced, window: Floats) -> Floats:
    image = reduced.image[: window.shape[0], : window.shape[1]].astype(np.float64)
    return np.asarray((image - image.mean()) * window, np.float64)


@dataclass(frozen=True)
class Way:
    """A way to find a fit, what it does to both slices, and how much these must then agree for it to count."""

    name: Literal["features", "enhanced", "coarse", "inverted", "phase"]
    prepare: Callable[[Reduced, Reduced], tuple[Reduced, Reduced]]
    find: Callable[[Reduced, Reduced], Start]
    least_correlation: float


# in this order; the first that finds a fit is recorded with it. The last needs no features.
WAYS = (
    Way("features", lambda fixed, moving: (fixed, moving), match_features, 0.1),
    Way("enhanced", lambda fixed, moving: (enhanced(fixed), enhanced(moving)), match_features, 0.2),
    Way("coarse", lambda fixed, moving: (coarse(fixed), coarse(moving)), match_features, 0.2),
    Way("inverted", lambda fixed, moving: (fixed, inverted(moving)), match_features, 0.2),
    Way("phase", lambda fixed, moving: (enhanced(fixed), enhanced(moving)), phase_shift, 0.3),
)
