"""Gain and offset of each slice, which even out flicker: brightness and contrast that change from slice to slice."""

from collections.abc import Sequence

import numpy as np

from clio_argo.kernels.flicker import course
from clio_argo.model.alignment import SliceStatistics, Transforms

# a slice with a third of the usual contrast or less holds little else than noise, which more gain would show
MOST_GAIN = 3.0


def even_out(transforms: Transforms, statistics: Sequence[SliceStatistics], window: int) -> Transforms:
    """The same transforms with the gain and offset that bring each slice's mean and standard deviation to their course.

    window: slices on either side over which the course is taken; 0 changes nothing.
    """
    if not window:
        return transforms
    by_z = {f.z: f for f in statistics if f.std > 0}
    unknown = SliceStatistics(z=0, digest="", mean=np.nan, std=np.nan)
    per_plane = [by_z.get(s.z, unknown) for s in transforms.slices]
    # slices with a fault are corrected, but do not bend the course
    good = np.array([s.verdict == "good" for s in transforms.slices])
    means, stds = np.array([(f.mean, f.std) for f in per_plane]).T
    gains = np.clip(course(np.where(good, stds, np.nan), window) / stds, 1 / MOST_GAIN, MOST_GAIN)
    offsets = course(np.where(good, means, np.nan), window) - gains * means
    # six and three digits: what is left of a 16-bit value is below a tenth of a grey level
    slices = (
        s.model_copy(update={"grey": (round(float(g), 6), round(float(o), 3))}) if np.isfinite(g + o) else s
        for s, g, o in zip(transforms.slices, gains, offsets, strict=True)
    )
    return transforms.model_copy(update={"slices": tuple(slices)})
