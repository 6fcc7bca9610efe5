"""Fits the pairs that `suspects` listed, from the reduced slices: nothing is decoded again."""

from collections.abc import Sequence

from clio_argo.kernels.orientation import fit_oriented
from clio_argo.model.alignment import Fits, RematchUnit
from clio_argo.model.layout import refits_name
from clio_argo.model.step import StepResult
from clio_argo.store.manifest import checksums
from clio_argo.workspace.frame import pattern_checksum
from clio_argo.workspace.reduced import ReducedSlices
from clio_argo.workspace.run import Run
from clio_argo.workspace.units import Done, Outcome, each_unit, once


def run(run: Run, units: Sequence[int]) -> StepResult:
    """Fit the pairs whose lower slices lie in some units."""
    by_number = {r.unit: r for r in run.suspects.rematch_units}
    return each_unit(units, lambda unit: _unit(run, by_number[unit]))


def _unit(run: Run, rematch: RematchUnit) -> Outcome:
    inputs = [rematch.pairs, checksums(run.records("reduce", rematch.units)), pattern_checksum(run)]
    return once(run, rematch.unit, inputs, lambda: _rematch(run, rematch))


def _rematch(run: Run, rematch: RematchUnit) -> Done:
    slices, model = ReducedSlices(run, rematch.units), run.settings.alignment.model
    fits = tuple(fit_oriented(slices[z0], slices[z1], z0, z1, model) for z0, z1 in rematch.pairs)
    return Done([run.store.write(refits_name(rematch.unit), Fits(unit=rematch.unit, fits=fits).to_bytes())])
