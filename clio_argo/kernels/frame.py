"""Finds what stays in the frame while tissue moves under it: dirt, hot lines, a grid, burnt-in text, seams of a scan.

Details of all slices are added up in coordinates of the frame. Tissue that moves averages out, and what stays is far
outside of the rest. Where tissue does not move it stays, too, but then all of it does, and nothing is outside.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels.features import Reduced, area_mean
from clio_argo.kernels.fill import Mask, dilate
from clio_argo.kernels.noise import robust_std
from clio_argo.model.alignment import Floats

# side of a window around whose mean a detail is taken, of reduced pixels at half size
DETAIL_PX = 31
# robust standard deviations of the mean over slices at which a pixel stays in the frame, and to which it reaches
SIGMAS, REACH = 5.0, 2.5
# the same for lines along x or y
LINE_SIGMAS = 6.0
# chosen: of the contrast of a slice; less drags no fit
LEAST, LEAST_LINE = 0.2, 0.05
# chosen: the mean of a line over less of its length shows structures instead of lines
LEAST_LENGTH = 0.3
# pixels at half size around a pattern: what the reduction mixed with it
MARGIN = 2
# chosen: fewer slices tell no pattern from tissue
LEAST_SLICES = 8
# chosen: a quarter of the sums and of the time; lines of one pixel lose half of their contrast
FACTOR = 2


@dataclass(frozen=True)
class FrameSums:
    """Sums over slices of their details, in integers, so that the order does not matter.

    detail: grey values less their local means, [y, x] at half the size of reduced slices. count: slices that show
    tissue there, [y, x]. energy: sum of all squared details.
    """

    detail: NDArray[np.int32]
    count: NDArray[np.int32]
    energy: int

    def __add__(self, other: "FrameSums") -> "FrameSums":
        # slices of a stack may differ in size; their frames begin at the same pixel
        size = np.maximum(self.detail.shape, other.detail.shape)
        detail = _pad(self.detail, size) + _pad(other.detail, size)
        return FrameSums(detail, _pad(self.count, size) + _pad(other.count, size), self.energy + other.energy)

    @property
    def mean(self) -> Floats:
        """Mean details [y, x]; 0 where too few slices show tissue."""
        return np.asarray(np.where(self.shown, self.detail / np.maximum(self.count, 1), 0), np.float64)

    @property
    def shown(self) -> Mask:
        """Where enough slices show tissue, [y, x]."""
        return np.asarray(self.count >= max(LEAST_SLICES, self.count.max(initial=0) / 4), np.bool_)

    @property
    def contrast(self) -> float:
        """Standard deviation of the details of one slice."""
        return float(np.sqrt(self.energy / max(int(self.count.sum()), 1)))


NOTHING = FrameSums(np.zeros((0, 0), np.int32), np.zeros((0, 0), np.int32), 0)


def _pad(plane: NDArray[np.int32], size: NDArray[np.int64]) -> NDArray[np.int32]:
    """A plane [y, x] with zeros below and to the right, up to `size` (height, width)."""
    height, width = size - plane.shape
    return np.pad(plane, ((0, height), (0, width)))


def details(reduced: Reduced) -> FrameSums:
    """The sums of one slice."""
    small = np.asarray(area_mean(reduced.image, FACTOR), np.uint8)
    shown = reduced.mask[1::FACTOR, 1::FACTOR][: small.shape[0], : small.shape[1]]
    # fills would decide what is detail around them
    even = np.where(shown, small, np.uint8(small[shown].mean() if shown.any() else 0))
    local = cv2.blur(even, (DETAIL_PX, DETAIL_PX), borderType=cv2.BORDER_REFLECT_101)
    detail = np.where(shown, small.astype(np.int32) - local, 0)
    return FrameSums(detail, shown.astype(np.int32), int(np.vdot(detail, detail)))


def fixed_pattern(sums: FrameSums) -> Mask:
    """What stays in the frame, [y, x] at half the size of reduced slices."""
    mean, shown = sums.mean, sums.shown
    if not shown.any():
        return shown
    far = np.abs(mean) / max(robust_std(mean[shown]), LEAST / SIGMAS * sums.contrast)
    found = _grow(far) | _lines(mean, shown, sums.contrast)
    return dilate(found, (2 * MARGIN + 1, 2 * MARGIN + 1))


def picture(sums: FrameSums, pattern: Mask) -> NDArray[np.uint8]:
    """The mean details [y, x], and `pattern` [y, x] with a white outline."""
    outline = pattern & (cv2.erode(pattern.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    grey = np.clip(128 + 60 * sums.mean / max(sums.contrast, 1e-6), 0, 230)
    return np.asarray(np.where(outline, 255, grey), np.uint8)


def _grow(far: Floats) -> Mask:
    """Connected pixels [y, x] that are farther than REACH around those that are farther than SIGMAS."""
    _, labels = cv2.connectedComponents((far > REACH).astype(np.uint8))
    seeds = np.unique(labels[far > SIGMAS])
    return np.asarray(np.isin(labels, seeds[seeds > 0]))


def _lines(mean: Floats, shown: Mask, contrast: float) -> Mask:
    """Rows and columns of `mean` [y, x] that stay in the frame along their whole length."""
    lines = []
    for axis in (0, 1):
        profile = (mean * shown).sum(axis) / np.maximum(shown.sum(axis), 1)
        kept = shown.mean(axis) > LEAST_LENGTH
        sigma = max(robust_std(profile[kept]), LEAST_LINE / LINE_SIGMAS * contrast) if kept.any() else np.inf
        lines.append(np.expand_dims(kept & (np.abs(profile) > LINE_SIGMAS * sigma), axis))
    return np.asarray((lines[0] | lines[1]) & shown)


def leave_out(reduced: Reduced, pattern: Mask) -> Reduced:
    """The slice without `pattern` [y, x] in its mask, and without features there."""
    height, width = reduced.mask.shape
    whole = cv2.resize(pattern.astype(np.uint8), None, fx=FACTOR, fy=FACTOR, interpolation=cv2.INTER_NEAREST) > 0
    whole = np.pad(whole, ((0, max(0, height - whole.shape[0])), (0, max(0, width - whole.shape[1]))))[:height, :width]
    at = np.rint((reduced.points - (reduced.factor - 1) / 2) / reduced.factor).astype(int)
    kept = ~whole[at[:, 1].clip(0, height - 1), at[:, 0].clip(0, width - 1)]
    points, descriptors = reduced.points[kept], reduced.descriptors[kept]
    return replace(reduced, mask=reduced.mask & ~whole, points=points, descriptors=descriptors, patterned=True)
