"""What the steps that fit pairs read, and what they leave behind."""

from collections.abc import Sequence

import numpy as np

from clio_argo.kernels.features import Reduced
from clio_argo.model.alignment import Fits, Inspection, PairFit
from clio_argo.steps.base import INSPECTION, Run
from clio_argo.steps.reduce import read_facts, reduced_name
from clio_argo.store.reduced import read_arrays

KEPT = 4


def fits_name(unit: int) -> str:
    return f"fits/{unit:06d}.json"


def refits_name(unit: int) -> str:
    return f"refits/{unit:06d}.json"


def read_first_fits(run: Run) -> list[PairFit] | None:
    """Fits of `match`; None where alignment is skipped."""
    if not run.plan.match.units:
        return None
    return _fits(run, [fits_name(u) for u in range(run.plan.match.units)])


def read_fits(run: Run) -> list[PairFit] | None:
    """Fits of `match` and `relink`; None where alignment is skipped."""
    first = read_first_fits(run)
    if first is None:
        return None
    relinks = run.store.document(Inspection, INSPECTION).relinks
    return first + _fits(run, [refits_name(r.unit) for r in relinks])


def _fits(run: Run, names: Sequence[str]) -> list[PairFit]:
    return [f for fits in run.store.documents(Fits, names) for f in fits.fits]


class ReducedSlices:
    """The reduced slices of some units that show something, unpacked one at a time; the last four are kept."""

    def __init__(self, run: Run, units: Sequence[int]) -> None:
        self._unit_of = {f.z: unit for unit in units for f in read_facts(run, unit) if f.usable}
        self._arrays = {unit: read_arrays(run.store, reduced_name(unit)) for unit in units}
        self._last: dict[int, Reduced] = {}
        self.numbers = list(self._unit_of)

    def __getitem__(self, z: int) -> Reduced:
        """Slice number `z`."""
        reduced = self._last.pop(z, None) or self._unpack(z)
        self._last = {**dict(list(self._last.items())[1 - KEPT :]), z: reduced}
        return reduced

    def _unpack(self, z: int) -> Reduced:
        arrays = self._arrays[self._unit_of[z]]
        image = arrays[f"image{z}"]
        mask = np.unpackbits(arrays[f"mask{z}"], count=image.size).reshape(image.shape).astype(np.bool_)
        factor, feature_factor, *window = (float(f) for f in arrays[f"factors{z}"])
        points, descriptors = arrays[f"points{z}"], arrays[f"descriptors{z}"]
        return Reduced(image, mask, points, descriptors, int(factor), feature_factor, (window[0], window[1]))
