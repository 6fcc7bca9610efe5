"""Fits neighbouring slices onto each other, from what `reduce` kept.

Every slice is fitted with the next one that shows something, and every fourth with its second neighbour as
well, which tells how noisy links are. The rule looks at slices, not at units: part borders cannot change a fit.
"""

from collections.abc import Iterator, Sequence

from clio_argo.kernels.match import fit_pair
from clio_argo.model.alignment import Fits
from clio_argo.model.layout import fits_name
from clio_argo.model.step import StepResult
from clio_argo.store.manifest import checksums
from clio_argo.workspace.reduced import ReducedSlices, read_statistics
from clio_argo.workspace.run import Run
from clio_argo.workspace.units import Done, Outcome, each_unit, once

REACH, LOOP_EVERY = 2, 4


def run(run: Run, units: Sequence[int]) -> StepResult:
    """Fit the slices of some units with their neighbours."""
    return each_unit(units, lambda unit: _unit(run, unit))


def _unit(run: Run, unit: int) -> Outcome:
    near = _units_within_reach(run, unit)
    inputs = checksums(run.records("reduce", near))
    return once(run, unit, inputs, lambda: _match(run, unit, near))


def _units_within_reach(run: Run, unit: int) -> list[int]:
    """The unit and as many following ones as hold two slices that show something."""
    near, found = [unit], 0
    while found < REACH and near[-1] + 1 < run.plan.reduce.units:
        near.append(near[-1] + 1)
        found += sum(f.usable for f in read_statistics(run, near[-1]))
    return near


def _match(run: Run, unit: int, near: Sequence[int]) -> Done:
    slices, model = ReducedSlices(run, near), run.config.alignment.model
    own = sum(f.usable for f in read_statistics(run, unit))
    pairs = _pairs(slices.numbers, own)
    fitted = ((fit_pair(slices[a], slices[b], a, b, model, check), check) for a, b, check in pairs)
    # what a check does not find counts as not tried: `relink` may find it in other ways
    fits = tuple(fit for fit, check in fitted if fit.matched or not check)
    return Done([run.store.write(fits_name(unit), Fits(unit=unit, fits=fits).to_bytes())])


def _pairs(numbers: Sequence[int], own: int) -> Iterator[tuple[int, int, bool]]:
    """Links from the first `own` slices to the next one, and from every fourth (by its number) to the one after.

    The third value tells whether a link only checks others.
    """
    for i, z in enumerate(numbers[:own]):
        reach = 1 if z % LOOP_EVERY else REACH
        yield from ((z, other, k > 0) for k, other in enumerate(numbers[i + 1 : i + 1 + reach]))
