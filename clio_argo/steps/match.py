"""Fits neighbouring slices onto each other, from the reduced slices.

Every usable slice is paired with the next one, and every fourth also with its second neighbour. The rule looks at
slices and not at units, so that borders of units cannot change a fit.
"""

from collections.abc import Iterator, Sequence

from clio_argo.kernels.orientation import fit_oriented
from clio_argo.model.alignment import Fits
from clio_argo.model.layout import fits_name
from clio_argo.model.step import StepResult
from clio_argo.store.manifest import checksums
from clio_argo.workspace.frame import pattern_checksum
from clio_argo.workspace.reduced import ReducedSlices, read_statistics
from clio_argo.workspace.run import Run
from clio_argo.workspace.units import Done, Outcome, each_unit, once

# Loops over second neighbours tell how noisy fits are, and every fourth slice is enough for that. With one for every
# slice the pair error stayed at 0.26 px, for 0.1 CPU s more per slice of 5000 x 5000 (docs/design.md).
REACH, LOOP_EVERY = 2, 4


def run(run: Run, units: Sequence[int]) -> StepResult:
    """Fit the slices of some units with their neighbours."""
    return each_unit(units, lambda unit: _unit(run, unit))


def _unit(run: Run, unit: int) -> Outcome:
    near = _units_within_reach(run, unit)
    inputs = [checksums(run.records("reduce", near)), pattern_checksum(run)]
    return once(run, unit, inputs, lambda: _match(run, unit, near))


def _units_within_reach(run: Run, unit: int) -> list[int]:
    """The unit and as many following ones as hold two usable slices."""
    near, usable = [unit], 0
    while usable < REACH and near[-1] + 1 < run.plan.reduce.units:
        near.append(near[-1] + 1)
        usable += _usable_slices(run, near[-1])
    return near


def _usable_slices(run: Run, unit: int) -> int:
    return sum(s.usable for s in read_statistics(run, unit))


def _match(run: Run, unit: int, near: Sequence[int]) -> Done:
    slices, model = ReducedSlices(run, near), run.settings.alignment.model
    chosen = pairs(slices.numbers, _usable_slices(run, unit))
    fits_and_checks = ((fit_oriented(slices[a], slices[b], a, b, model, check), check) for a, b, check in chosen)
    # A check uses features only, so that one without a fit counts as not tried: `rematch` tries all other methods.
    fits = tuple(fit for fit, check in fits_and_checks if fit.matched or not check)
    return Done([run.store.write(fits_name(unit), Fits(unit=unit, fits=fits).to_bytes())])


def pairs(numbers: Sequence[int], count: int) -> Iterator[tuple[int, int, bool]]:
    """Pairs (z0, z1) of the first `count` slices, and whether a pair only checks others."""
    for i, z in enumerate(numbers[:count]):
        # by number, not by index: the same slices are chosen however the stack is cut into units
        reach = 1 if z % LOOP_EVERY else REACH
        yield from ((z, other, k > 0) for k, other in enumerate(numbers[i + 1 : i + 1 + reach]))
