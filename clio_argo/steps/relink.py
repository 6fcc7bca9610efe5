"""Fits the pairs that `inspect` asked for, from what `reduce` kept: nothing is decoded again."""

from clio_argo.kernels.match import fit_pair
from clio_argo.model.alignment import Fits, Inspection, Relinks
from clio_argo.steps.base import INSPECTION, Done, Outputs, Run, each_unit, once
from clio_argo.steps.fits import ReducedSlices, refits_name
from clio_argo.store.manifest import checksums


def run(run: Run, part: int) -> Outputs:
    inspection = run.store.document(Inspection, INSPECTION)
    return each_unit(inspection.relink.part(part), lambda i: _unit(run, inspection.relinks[i]))


def _unit(run: Run, relinks: Relinks) -> str | None:
    inputs = [relinks.pairs, checksums(run.records("reduce", relinks.units))]
    return once(run, relinks.unit, inputs, lambda: _relink(run, relinks))


def _relink(run: Run, relinks: Relinks) -> Done:
    slices, model = ReducedSlices(run, relinks.units), run.config.alignment.model
    fits = tuple(fit_pair(slices[z0], slices[z1], z0, z1, model) for z0, z1 in relinks.pairs)
    return Done([run.store.write(refits_name(relinks.unit), Fits(unit=relinks.unit, fits=fits).to_bytes())])
