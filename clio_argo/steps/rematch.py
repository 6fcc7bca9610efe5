"""Fits the pairs that `suspects` asked for, from what `reduce` kept: nothing is decoded again."""

from collections.abc import Sequence

from clio_argo.kernels.match import fit_pair
from clio_argo.model.alignment import Fits, RematchUnit
from clio_argo.model.layout import refits_name
from clio_argo.model.step import StepResult
from clio_argo.store.manifest import checksums
from clio_argo.workspace.reduced import ReducedSlices
from clio_argo.workspace.run import Run
from clio_argo.workspace.units import Done, Outcome, each_unit, once


def run(run: Run, units: Sequence[int]) -> StepResult:
    """Fit the pairs whose lower slices lie in some units."""
    requests = {r.unit: r for r in run.suspects.rematch_units}
    return each_unit(units, lambda unit: _unit(run, requests[unit]))


def _unit(run: Run, relinks: RematchUnit) -> Outcome:
    inputs = [relinks.pairs, checksums(run.records("reduce", relinks.units))]
    return once(run, relinks.unit, inputs, lambda: _relink(run, relinks))


def _relink(run: Run, relinks: RematchUnit) -> Done:
    slices, model = ReducedSlices(run, relinks.units), run.config.alignment.model
    fits = tuple(fit_pair(slices[z0], slices[z1], z0, z1, model) for z0, z1 in relinks.pairs)
    return Done([run.store.write(refits_name(relinks.unit), Fits(unit=relinks.unit, fits=fits).to_bytes())])
