"""Looks at all statistics and first fits, and asks for further links around every slice that is in doubt."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from clio_argo.kernels.solve import solve_stack
from clio_argo.model.alignment import PairFit, RematchUnit, SliceStatistics, Suspects
from clio_argo.model.layout import SUSPECTS
from clio_argo.model.plan import FanOut, Plan, Remark
from clio_argo.model.step import StepResult
from clio_argo.placement.verdicts import alignable_slices, judge, pairs_at_jumps, pairs_in_doubt
from clio_argo.workspace.expected import remove_outgrown_units
from clio_argo.workspace.fits import read_first_fits
from clio_argo.workspace.outputs import rematch_parts
from clio_argo.workspace.reduced import read_all_statistics
from clio_argo.workspace.run import Run
from clio_argo.workspace.units import record_whole


def run(run: Run, units: Sequence[int]) -> StepResult:
    """Write suspects.json; the parts of `rematch` follow from it and may be none."""
    (statistics, _), fits = read_all_statistics(run), read_first_fits(run)
    remarks = judge(statistics, fits)
    pairs = further_links(run.plan, statistics, fits, remarks) if fits is not None else []
    relinks = tuple(_by_unit(run, statistics, pairs))
    parts = FanOut.of(len(relinks), run.plan.match.parts)
    inspection = Suspects(remarks=tuple(remarks.values()), rematch_units=relinks, rematch=parts)
    record_whole(run, [run.store.write(SUSPECTS, inspection.to_bytes())])
    remove_outgrown_units(run, "suspects")
    return StepResult(parts=rematch_parts(inspection))


def further_links(
    plan: Plan, statistics: Sequence[SliceStatistics], fits: Sequence[PairFit], remarks: Mapping[int, Remark]
) -> list[tuple[int, int]]:
    """Pairs (z0, z1) around slices in doubt and around jumps of the stage, in order."""
    numbers = alignable_slices(statistics, remarks)
    jumps = solve_stack(numbers, fits, plan.width, plan.height).jumps
    return sorted({*pairs_in_doubt(statistics, fits, remarks), *pairs_at_jumps(numbers, fits, jumps)})


def _by_unit(
    run: Run, statistics: Sequence[SliceStatistics], pairs: Sequence[tuple[int, int]]
) -> Iterator[RematchUnit]:
    """The pairs of each unit that holds lower slices, and the last unit that holds upper ones."""
    unit_of = {f.z: i // run.plan.unit_slices for i, f in enumerate(statistics)}
    for unit, group in groupby(pairs, lambda pair: unit_of[pair[0]]):
        own = tuple(group)
        yield RematchUnit(unit=unit, last=max(unit_of[z1] for _, z1 in own), pairs=own)
