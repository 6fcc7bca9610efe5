"""Whether the magnification stays the same over a stack."""

import numpy as np

from clio_argo.model.alignment import Transforms

# microscopes keep their scale within a thousandth, and people measure in the volume
LIMIT_RANGE, LIMIT_STEP = 0.01, 0.005
# at the corner of the canvas: tissue in fields of 96 to 256 px moves it by 2.2 px in all, 1.0 px from slice to slice
LEAST_RANGE_PX, LEAST_STEP_PX = 3.0, 1.5


def magnification_notes(transforms: Transforms) -> tuple[str, ...]:
    """What is to be known of slices that are scaled differently to lie on each other; empty if they are not."""
    placed = [(s.z, s.matrix) for s in transforms.slices if s.matrix and s.source_slices == (s.z,)]
    scales = np.sqrt([abs(np.linalg.det(np.array(matrix)[:, :2])) for _, matrix in placed])
    if len(scales) < 2:
        return ()
    radius_px, steps = np.hypot(transforms.width, transforms.height) / 2, np.abs(np.diff(scales))
    at = int(steps.argmax())
    notes = []
    if np.ptp(scales) > max(LIMIT_RANGE, LEAST_RANGE_PX / radius_px):
        notes.append(f"slices are scaled by {scales.min():.4f} to {scales.max():.4f}: the magnification changes")
    if steps[at] > max(LIMIT_STEP, LEAST_STEP_PX / radius_px):
        below, above = placed[at][0], placed[at + 1][0]
        notes.append(f"the magnification steps by {steps[at]:.1%} from z {below} to z {above}, most of all")
    return tuple(notes)
