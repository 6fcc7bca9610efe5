"""Fits neighbouring slices onto each other, from what `reduce` kept.

Every slice is fitted with the next one that decodes; where that fit is not found, with the second and third
next, so that one bad slice does not end the chain; and every fourth with its second neighbour anyway, which
tells how noisy links are. The rule looks at slices, not at units: part borders cannot change a fit.
"""

import json
from collections.abc import Iterator, Sequence

import numpy as np

from clio_argo.kernels.features import Reduced
from clio_argo.kernels.match import fit_pair
from clio_argo.model.alignment import Fits, PairFit, SliceFacts
from clio_argo.steps.base import Done, Outputs, Run, each_unit, once
from clio_argo.steps.reduce import facts_name, reduced_name
from clio_argo.store.manifest import checksums
from clio_argo.store.reduced import read_arrays

REACH, LOOP_EVERY = 3, 4


def fits_name(unit: int) -> str:
    return f"fits/{unit:06d}.json"


def run(run: Run, part: int) -> Outputs:
    return each_unit(run.plan.match.part(part), lambda unit: _unit(run, unit))


def _unit(run: Run, unit: int) -> bool:
    near = _units_within_reach(run, unit)
    inputs = checksums(run.records("reduce", near))
    return once(run, unit, inputs, lambda: _match(run, unit, near))


def _units_within_reach(run: Run, unit: int) -> list[int]:
    """The unit and as many following ones as hold three slices that decode."""
    near, found = [unit], 0
    while found < REACH and near[-1] + 1 < run.plan.reduce.units:
        near.append(near[-1] + 1)
        found += len(_decoded(run, near[-1]))
    return near


def _decoded(run: Run, unit: int) -> list[int]:
    return [f.z for f in read_facts(run, unit) if f.error is None]


def read_facts(run: Run, unit: int) -> list[SliceFacts]:
    """What `reduce` saw of the slices of a unit."""
    raw = read_arrays(run.store, facts_name(unit))["facts"]
    return [SliceFacts.model_validate(f) for f in json.loads(raw.tobytes())]


def _match(run: Run, unit: int, near: Sequence[int]) -> Done:
    slices = Stack(run, near)
    own = len(_decoded(run, unit))
    fits = [fit for i in range(own) for fit in _fits_of(run, slices, i)]
    document = Fits(unit=unit, fits=tuple(fits))
    return Done([run.store.write(fits_name(unit), document.to_bytes())])


def _fits_of(run: Run, slices: "Stack", i: int) -> Iterator[PairFit]:
    """Fits of slice `i` with those above it, up to the first that is found, or the second neighbour."""
    for j in range(i + 1, min(i + 1 + REACH, len(slices.numbers))):
        z0, z1 = slices.numbers[i], slices.numbers[j]
        fit = fit_pair(slices.reduced(i), slices.reduced(j), z0, z1, run.config.alignment.model)
        yield fit
        enough = 1 if slices.numbers[i] % LOOP_EVERY else 2
        if fit.found and j - i >= enough:
            return


class Stack:
    """The reduced slices of some units, unpacked one at a time."""

    def __init__(self, run: Run, units: Sequence[int]) -> None:
        self._run = run
        self._of = [(z, unit) for unit in units for z in _decoded(run, unit)]
        self.numbers = [z for z, _ in self._of]
        self._arrays = {unit: read_arrays(run.store, reduced_name(unit)) for unit in units}
        self._last: dict[int, Reduced] = {}

    def reduced(self, index: int) -> Reduced:
        if index not in self._last:
            kept = {k: v for k, v in self._last.items() if k >= index - 1}
            self._last = {**kept, index: self._unpack(*self._of[index])}
        return self._last[index]

    def _unpack(self, z: int, unit: int) -> Reduced:
        arrays = self._arrays[unit]
        image = arrays[f"image{z}"]
        mask = np.unpackbits(arrays[f"mask{z}"], count=image.size).reshape(image.shape).astype(np.bool_)
        factor, feature_factor = (float(f) for f in arrays[f"factors{z}"])
        return Reduced(
            image, mask, arrays[f"points{z}"], arrays[f"descriptors{z}"], int(factor), feature_factor
        )
