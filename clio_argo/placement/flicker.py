"""Gain and offset of each slice, which even out brightness and contrast that change from slice to slice."""

from collections.abc import Sequence

import numpy as np

from clio_argo.kernels.flicker import course
from clio_argo.model.alignment import SliceStatistics, Transforms

# a slice with a third of the usual contrast or less holds little else than noise, which more gain would show
MOST_GAIN = 3.0


def even_out(transforms: Transforms, statistics: Sequence[SliceStatistics], window: int) -> Transforms:
    """The same places with gain and offset of each slice, which bring its mean and standard deviation to their course.

    window: slices on either side over which the course is taken; 0 changes nothing.
    """
    if not window:
        return transforms
    by_z = {f.z: f for f in statistics if f.std > 0}
    unknown = SliceStatistics(z=0, digest="", mean=np.nan, std=np.nan)
    seen = [by_z.get(s.z, unknown) for s in transforms.slices]
    counts = np.array([s.verdict == "good" for s in transforms.slices])
    means, stds = np.array([(f.mean, f.std) for f in seen]).T
    gains = np.clip(course(np.where(counts, stds, np.nan), window) / stds, 1 / MOST_GAIN, MOST_GAIN)
    offsets = course(np.where(counts, means, np.nan), window) - gains * means
    slices = (
        s.model_copy(update={"grey": (round(float(g), 6), round(float(o), 3))}) if np.isfinite(g + o) else s
        for s, g, o in zip(transforms.slices, gains, offsets, strict=True)
    )
    return transforms.model_copy(update={"slices": tuple(slices)})
