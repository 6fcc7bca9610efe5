"""What stays in the frame of the stack: sums of each unit of `reduce`, and the pattern that `frame` found in them."""

from functools import reduce
from operator import add

import numpy as np

from clio_argo.kernels.fill import Mask
from clio_argo.kernels.frame import NOTHING, FrameSums
from clio_argo.model.layout import PATTERN, frame_name
from clio_argo.model.run import ObjectRecord
from clio_argo.store.documents import Store, crc32c
from clio_argo.store.reduced import read_all_arrays, read_arrays, write_arrays
from clio_argo.workspace.run import Run

# a thousand slices tell tissue from what stays; of long stacks units are read that are spread evenly
MOST_UNITS = 64


def write_frame_sums(store: Store, unit: int, sums: FrameSums) -> ObjectRecord:
    """Write the sums of the slices of a unit."""
    # 16 slices of at most 255 grey values
    detail, count = sums.detail.astype(np.int16), sums.count.astype(np.uint8)
    return write_arrays(store, frame_name(unit), {"detail": detail, "count": count, "energy": np.array(sums.energy)})


def sampled_units(run: Run) -> list[int]:
    """Units of `reduce` whose slices tell what stays in the frame."""
    units = run.plan.reduce.units
    return sorted({i * units // MOST_UNITS for i in range(MOST_UNITS)}) if units > MOST_UNITS else list(range(units))


def read_frame_sums(run: Run) -> FrameSums:
    """Sums over the slices of the stack."""
    arrays = read_all_arrays(run.store, [frame_name(unit) for unit in sampled_units(run)])
    sums = (FrameSums(a["detail"].astype(np.int32), a["count"].astype(np.int32), int(a["energy"])) for a in arrays)
    return reduce(add, sums, NOTHING)


def write_pattern(store: Store, pattern: Mask) -> ObjectRecord:
    """Write what stays in the frame, [y, x] at half the size of reduced slices."""
    return write_arrays(store, PATTERN, {"pattern": np.packbits(pattern), "shape": np.array(pattern.shape)})


def read_pattern(run: Run) -> Mask:
    """What stays in the frame, [y, x] at half the size of reduced slices."""
    arrays = read_arrays(run.store, PATTERN)
    height, width = arrays["shape"]
    return np.unpackbits(arrays["pattern"], count=height * width).reshape(height, width).astype(np.bool_)


def pattern_checksum(run: Run) -> str:
    """CRC32C of the pattern, as an input of the fits that leave it out."""
    return crc32c(run.store.need(PATTERN))


def read_pattern_share(run: Run) -> float:
    """Fraction of the frame that stays while tissue moves."""
    pattern = read_pattern(run)
    return round(float(pattern.mean()), 4) if pattern.size else 0.0
