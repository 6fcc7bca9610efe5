"""Finds slices in doubt from all statistics and first fits, and lists further pairs to fit around them."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from clio_argo.kernels.solve import solve_stack
from clio_argo.model.alignment import PairFit, RematchUnit, SliceStatistics, Suspects
from clio_argo.model.layout import SUSPECTS
from clio_argo.model.plan import Plan, Remark
from clio_argo.model.step import StepResult
from clio_argo.placement.verdicts import alignable_slices, judge, pairs_at_jumps, pairs_in_doubt, pairs_in_noise
from clio_argo.workspace.expected import remove_outgrown_units
from clio_argo.workspace.fits import read_first_fits
from clio_argo.workspace.outputs import rematch_parts
from clio_argo.workspace.parts import cut_pairs, cutting_here
from clio_argo.workspace.reduced import read_all_statistics
from clio_argo.workspace.run import Run
from clio_argo.workspace.units import record_whole


def run(run: Run, units: Sequence[int]) -> StepResult:
    """Write suspects.json, and return the parts of `rematch`, of which there may be none."""
    statistics, fits = read_all_statistics(run).slices, read_first_fits(run)
    remarks = judge(statistics, fits)
    # What is in doubt is known only after the first fits of the whole stack, so a clean stack pays one fit per slice.
    pairs = further_pairs(run.plan, statistics, fits, remarks) if fits is not None else []
    units_of_pairs = tuple(_by_unit(run, statistics, pairs))
    fan_out = cut_pairs(run.plan, units_of_pairs, cutting_here(run.request))
    suspects = Suspects(remarks=tuple(remarks.values()), rematch_units=units_of_pairs, rematch=fan_out)
    record_whole(run, [run.store.write(SUSPECTS, suspects.to_bytes())])
    remove_outgrown_units(run, "suspects")
    return StepResult(parts=rematch_parts(suspects))


def further_pairs(
    plan: Plan, statistics: Sequence[SliceStatistics], fits: Sequence[PairFit], remarks: Mapping[int, Remark]
) -> list[tuple[int, int]]:
    """Pairs (z0, z1) around slices in doubt and jumps of the stage, and where fits are few and noisy, in order."""
    numbers = alignable_slices(statistics, remarks)
    jumps = solve_stack(numbers, fits, plan.width, plan.height).jumps
    pairs = {*pairs_in_doubt(statistics, fits, remarks), *pairs_at_jumps(numbers, fits, jumps)}
    return sorted(pairs.union(pairs_in_noise(numbers, fits)))


def _by_unit(
    run: Run, statistics: Sequence[SliceStatistics], pairs: Sequence[tuple[int, int]]
) -> Iterator[RematchUnit]:
    """The pairs, by the unit that holds their lower slices."""
    unit_of = {s.z: i // run.plan.unit_slices for i, s in enumerate(statistics)}
    for unit, group in groupby(pairs, lambda pair: unit_of[pair[0]]):
        unit_pairs = tuple(group)
        yield RematchUnit(unit=unit, last=max(unit_of[z1] for _, z1 in unit_pairs), pairs=unit_pairs)
