"""Pods of a run on a cluster, and what each of them has to do, by the parts that the steps cut."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

from benchmarks.cluster_stack import Stack, planned
from benchmarks.figures import Figure
from benchmarks.measure import python
from clio_argo.argo.settings import ClusterSettings
from clio_argo.model.alignment import RematchUnit
from clio_argo.model.base import Document
from clio_argo.model.costs import StageEstimate
from clio_argo.model.cutting import WORTH, pod_s
from clio_argo.model.layout import CONFIG, PLAN, SUSPECTS, VOLUME
from clio_argo.model.plan import FanOut, Problem
from clio_argo.model.request import Request
from clio_argo.pipeline import PIPELINE
from clio_argo.store.documents import Store

SLICES, SIDES_PX = (500, 2000, 14_000), (500, 5000, 10_000)
START_S = 1.0
OPENED = """
import sys, time
import clio_argo.container
from clio_argo.model.reference import load
from clio_argo.pipeline import PIPELINE
from clio_argo.workspace.run import Run, open_run
step = PIPELINE[sys.argv[2]]
load(step.entry)
run = Run(open_run(sys.argv[1]), step, PIPELINE)
run.units_of(step, 0), run.plan, run.settings_digest, run.refuse_superseded()
print(time.process_time())
"""
AT_ONCE = ClusterSettings().parallelism


def measure(work: Path, quick: bool) -> list[Figure]:
    """The pods of stacks of several sizes, whose slices all match, and what a pod takes to begin."""
    stacks = list(product(SLICES[:1] if quick else SLICES, SIDES_PX))
    several = [(m, s) for slices, side in stacks for m, s in _several(_stack(slices, side, AT_ONCE))]
    mean, smallest = (min(column) / pod_s() for column in zip(*several, strict=True))
    note = f"a pod takes {pod_s():.1f} s; blocks at the rim are smaller: the smallest part is {smallest:.1f}"
    worth = Figure(
        "work of a part of a stage of several, in starts of a pod", mean, "", WORTH, at_least=True, note=note
    )
    return [*(_pods(slices, side) for slices, side in stacks), worth, _start(work, quick)]


def _start(work: Path, quick: bool) -> Figure:
    """What a pod takes besides its units: libraries, and the documents that tell which units are its own."""
    slices = SLICES[0 if quick else -1]
    store, stack = Store(str(work / "run")), _stack(slices, SIDES_PX[-1], AT_ONCE)
    bad = tuple(Problem(kind="truncated", z=z, file=f"iso.{z:05d}.png") for z in range(0, slices, 20))
    again = tuple(RematchUnit(unit=u.unit, last=u.unit, pairs=((0, 1),) * 20) for u in stack.units)
    suspects = stack.suspects.model_copy(
        update={"rematch_units": again, "rematch": FanOut(units=len(again), parts=AT_ONCE)}
    )
    documents: dict[str, Document] = {
        CONFIG: Request(id="fly", source="gs://s/fly"), PLAN: stack.plan.model_copy(update={"problems": bad}),
        SUSPECTS: suspects, VOLUME: stack.volume,
    }  # fmt: skip
    store.write_all((name, document.to_bytes()) for name, document in documents.items())
    steps = [s.name for s in PIPELINE.steps if s.fan_out][: 1 if quick else None]
    took = {s: float(python("-c", OPENED, store.url, s).split()[-1]) for s in steps}
    note = f"{slices:,} slices, of which one in twenty is bad: " + ", ".join(f"{s} {t:.2f}" for s, t in took.items())
    return Figure("CPU time of a pod outside of its units", max(took.values()), "s", START_S, note=note)


def _stack(slices: int, side: int, at_once: int) -> Stack:
    return planned(Request(id="fly", source="gs://s/fly"), slices, side, side, at_once=at_once)


def _pods(slices: int, side: int) -> Figure:
    stack, by_units = _stack(slices, side, AT_ONCE), _stack(slices, side, 0)
    told = ", ".join(f"{s.step} {s.parts} x {s.cpu_s / s.parts:.0f} s" for s in _stages(stack))
    note = f"{told}; if each unit were a part: {pods_of(by_units, single=False):,}"
    return Figure(f"{slices:,} slices of {side:,} px", pods_of(stack, stack.single), "pods", note=note)


def pods_of(stack: Stack, single: bool) -> int:
    """Pods of a run, with the one that notifies."""
    return 3 if single else sum(s.parts for s in stack.expected.stages) + 1


def _stages(stack: Stack) -> list[StageEstimate]:
    """The stages that have parts; all behind `plan` together where one pod does them."""
    if stack.single:
        return list(stack.expected.in_one_pod.stages[1:])
    return [s for s in stack.expected.stages if s.parts and PIPELINE[s.step].fan_out]


def _several(stack: Stack) -> Iterator[tuple[float, float]]:
    """Seconds of work of the average and of the smallest part of each stage that has several."""
    for stage in _stages(stack):
        if stage.parts > 1:
            smallest = min(map(sum, stack.shares(PIPELINE[stage.step])))
            yield stage.cpu_s / stage.parts, stage.cpu_s * smallest
