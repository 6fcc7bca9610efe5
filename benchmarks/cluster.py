"""A run on a cluster, simulated: discrete events over the emitted workflow, with measured unit times.

It is checked against the rig (docs/testing.md), where KUBECONFIG names one: a real run there, three times. Without one
the times that results.json keeps of it are compared.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from itertools import product
from pathlib import Path

from benchmarks.cluster_bill import KINDS, Bill, bill, path_s
from benchmarks.cluster_costs import work_of
from benchmarks.cluster_graph import Graph, read_graph
from benchmarks.cluster_loop import Run, simulate
from benchmarks.cluster_rig import Measured, measured, simulated_s
from benchmarks.cluster_site import Delays, gke, rig
from benchmarks.cluster_stack import Stack, planned
from benchmarks.figures import Figure, Result, read_results
from benchmarks.measure import ROOT
from clio_argo.argo.manifests import manifests
from clio_argo.argo.settings import ClusterSettings, Image
from clio_argo.model.request import Request
from clio_argo.pipeline import PIPELINE

# the predecessor's real stack: 784 blocks of 1024^3, in 107.9 minutes with 256 times two vCPUs
SLICES, WIDTH, HEIGHT, PREDECESSOR_MIN, SUSPECT = 13_696, 8000, 7125, 107.9, 0.8
TERABYTES = SLICES * WIDTH * HEIGHT / 1e12
TIME_LIMIT_MIN, DOLLAR_LIMIT, OFF_LIMIT = 15, 0.5, 30
QUOTA = 512
# what `fanout` ran: slices of 5000 x 5000, pods that do nothing
FANOUT_SLICES, FANOUT_PX = 100_000, 5000
QUOTAS, VCPUS, MINUTES, CPUS = (64, 128, 256, QUOTA), (8, 32), (0.1, 0.5, 3, 6), (None, "500m")
SEEDS = range(5)
IMAGES = {n: Image(repository=n, digest=f"sha256:{'0' * 64}") for n in ("align", "write")}


@dataclass(frozen=True)
class Choice:
    """What a person can choose: CPU minutes of a part, size of spot nodes and vCPUs of all, CPU that a pod asks for."""

    part_minutes: float = 3
    vcpus: int = 8
    quota: int = QUOTA
    cpu: str | None = None
    parallelism: int = 500
    delays: Delays = field(default_factory=Delays)

    @property
    def words(self) -> str:
        pods = f"parts of {self.part_minutes:g} min, pods of {self.cpu or '800m'} CPU"
        return f"{self.quota} vCPU of n2d-standard-{self.vcpus}, {pods}"


@dataclass(frozen=True)
class Outcome:
    """What became of a choice."""

    choice: Choice
    run: Run
    bill: Bill

    @property
    def minutes(self) -> float:
        return self.run.ended_s / 60

    @property
    def dollars(self) -> float:
        """$ of spot compute per TB of grey values."""
        return self.bill.dollars / TERABYTES

    @property
    def paid(self) -> str:
        return f"${self.dollars:.2f} per TB, {self.bill.vcpu_h:.0f} vCPU h ({self.bill.after_h:.0f} idle after it)"


def measure(work: Path, quick: bool) -> list[Figure]:
    """Checks against real runs, then the predecessor's stack on clusters of all kinds."""
    slices = SLICES // 50 if quick else SLICES
    known = read_results(ROOT / "benchmarks" / "results.json")
    return [*_checks(work, known, quick), *_predecessor(slices, quick), *_assumed()]


def _checks(work: Path, known: Mapping[str, Result], quick: bool) -> Iterator[Figure]:
    if "fanout" in known and not quick:
        values = {f.what: f.value for f in known["fanout"].figures}
        yield _off("pods that do nothing, 100,000 slices: time is off by", fanout_s() / 60, values["time"], "min")
    found = measured(work, quick, known.get("cluster"))
    if found is not None:
        yield from _rig(found, quick)


def fanout_s() -> float:
    """Seconds that `fanout` takes: the whole default fan-out, by pods without work on one node of two cores."""
    stack = planned(Request(id="fly", source="gs://s/fly", resolution=(8, 8, 8)), FANOUT_SLICES, FANOUT_PX, FANOUT_PX)
    graph = read_graph(manifests(PIPELINE, ClusterSettings(cpu="10m"))["workflowtemplate.yaml"][0])
    site = rig(Delays().requeue_s)
    idle = replace(site, delays=replace(site.delays, process_cpu_s=0))
    return simulate(graph, stack, idle, {}, PIPELINE).ended_s


def _rig(found: Measured, quick: bool) -> Iterator[Figure]:
    told = simulated_s(found)
    yield Figure(found.what, found.seconds, "s", note=found.note)
    yield _off("the same, simulated: time is off by", told, found.seconds, "s", limited=not quick)


def _off(what: str, told: float, real: float, unit: str, limited: bool = True) -> Figure:
    note = f"simulated {told:.3g}, measured {real:.3g} {unit}"
    return Figure(what, abs(told / real - 1) * 100, "%", OFF_LIMIT if limited else None, note=note)


@cache
def _stack(part_minutes: float, slices: int, at_once: int) -> Stack:
    request = Request(id="fly", source="gs://s/fly", resolution=(8, 8, 8), part_minutes=part_minutes)
    return planned(request, slices, WIDTH, HEIGHT, SUSPECT, at_once)


@cache
def _graph(parallelism: int, cpu: str | None) -> Graph:
    cluster = ClusterSettings.gke(images=IMAGES, parallelism=parallelism, cpu=cpu)
    return read_graph(manifests(PIPELINE, cluster)["workflowtemplate.yaml"][0])


def outcome(choice: Choice, slices: int = SLICES, seed: int = 0) -> Outcome:
    """The predecessor's stack with this choice."""
    stack = _stack(choice.part_minutes, slices, choice.parallelism)
    graph = _graph(choice.parallelism, choice.cpu)
    work = work_of(stack, PIPELINE, choice.delays)
    run = simulate(graph, stack, gke(choice.vcpus, choice.quota, choice.delays), work, PIPELINE, seed)
    assert run.succeeded, choice.words
    return Outcome(choice, run, bill(run, choice.delays.idle_s))


def _predecessor(slices: int, quick: bool) -> Iterator[Figure]:
    stack = f"{slices:,} slices of 57 Mpx"
    yield Figure(f"{stack}, by the predecessor", PREDECESSOR_MIN, "min", note="its own report, on 512 vCPU")
    installed = outcome(Choice(vcpus=4, quota=100, parallelism=100), slices)
    whole = outcome(Choice(), slices)
    yield _told(f"{stack}, as manifests/gke/create.sh and the chart have it", installed)
    yield _told(f"{stack}, {whole.choice.words}", whole)
    yield from _bounds(whole)
    swept = [outcome(choice, slices) for choice in _choices(quick)]
    best = best_of(swept)
    yield _told("the cheapest within 5 % of the shortest time", best)
    yield from (_told(f"the best at {q} vCPU", best_of(s for s in swept if s.choice.quota == q)) for q in QUOTAS)
    cheap = [o for o in swept if o.dollars <= DOLLAR_LIMIT]
    if cheap:
        within = f"the shortest today for at most ${DOLLAR_LIMIT:.2f} per TB (goal: {TIME_LIMIT_MIN} min)"
        yield _told(within, min(cheap, key=lambda o: o.minutes))
    yield from _otherwise(best, slices)
    yield from _mended(best.choice, slices)
    yield from _one_by_one(slices, quick)


def _choices(quick: bool) -> list[Choice]:
    if quick:
        return [Choice(quota=q) for q in QUOTAS]
    return [Choice(p, v, q, c) for q, v, p, c in product(QUOTAS, VCPUS, MINUTES, CPUS)]


def best_of(outcomes: Iterable[Outcome]) -> Outcome:
    """The cheapest of those that take at most 5 % more than the shortest time."""
    every = list(outcomes)
    shortest = min(o.minutes for o in every)
    return min((o for o in every if o.minutes <= 1.05 * shortest), key=lambda o: o.dollars)


def _told(what: str, found: Outcome) -> Figure:
    return Figure(what, found.minutes, "min", note=f"{found.choice.words}: {found.paid}")


def _bounds(found: Outcome) -> Iterator[Figure]:
    """What the time consists of: the last pod of each stage, which the next one waits for."""
    path = path_s(found.run, found.choice.delays)
    kinds = {kind: sum(of[kind] for of in path.values()) for kind in KINDS}
    for kind, seconds in sorted(kinds.items(), key=lambda pair: -pair[1]):
        most = sorted(path, key=lambda name: -path[name][kind])[:3]
        note = ", ".join(f"{name} {path[name][kind]:.0f} s" for name in most)
        yield Figure(f"of that time, {kind}", seconds / 60, "min", note=note)
    stages = ", ".join(f"{name} {sum(of.values()) / 60:.1f}" for name, of in path.items())
    busy_h = sum(p.cpu_s for p in found.run.pods) / 3600
    yield Figure("CPU time of all its pods", busy_h, "h", note=f"stages in minutes: {stages}")


def _otherwise(best: Outcome, slices: int) -> Iterator[Figure]:
    """What becomes of the best choice where assumptions do not hold."""
    often = replace(best.choice, delays=replace(Delays(), preemptions_per_h=1.0))
    worst = max((outcome(often, slices, seed) for seed in SEEDS), key=lambda o: o.minutes)
    lost = sum(n.reclaimed for n in worst.run.nodes)
    yield _told(f"the cheapest, a spot node lasts an hour: worst of {len(SEEDS)} runs, {lost} nodes reclaimed", worst)
    quick = replace(best.choice, delays=replace(Delays(), request_s=0.02, store_mb_s=300))
    yield _told("the cheapest, a store of 20 ms and 300 MB/s", outcome(quick, slices))


def _one_by_one(slices: int, quick: bool) -> Iterator[Figure]:
    """One thing changed at a time."""
    base = Choice(quota=256)
    changes: dict[str, dict[str, Choice]] = {
        "minutes of a part": {f"{m:g}": replace(base, part_minutes=m) for m in MINUTES},
        "CPU of a pod": {c or "800m": replace(base, cpu=c) for c in ("1", None, "500m", "250m")},
        "vCPU of a node": {str(v): replace(base, vcpus=v) for v in (4, 8, 16, 32)},
        "pods at a time": {str(n): replace(base, parallelism=n) for n in (100, 200, 500)},
    }
    for what, choices in changes.items():
        found = {name: outcome(choice, slices) for name, choice in list(choices.items())[: 1 if quick else None]}
        told = "; ".join(f"{name}: {o.minutes:.1f} min, ${o.dollars:.2f}" for name, o in found.items())
        yield Figure(f"{base.words}, by {what}", min(o.minutes for o in found.values()), "min", note=told)


def _mended(best: Choice, slices: int) -> Iterator[Figure]:
    """What would shorten or cheapen it, one upon the other."""
    quick_look = replace(best.delays, requeue_s=2)
    short = replace(quick_look, idle_s=60)
    steps = {
        "DEFAULT_REQUEUE_TIME=2s": replace(best, delays=quick_look),
        "this, and idle nodes gone after a minute": replace(best, delays=short),
    }
    for what, choice in steps.items():
        yield _told(f"the cheapest with {what}", outcome(choice, slices))
    last = [outcome(replace(choice, vcpus=v, quota=q, part_minutes=m, cpu=c), slices)
            for v, q, m, c in product(VCPUS, (128, 256), MINUTES[:2], CPUS)]  # fmt: skip
    reached = min(last, key=lambda o: (o.minutes > TIME_LIMIT_MIN, o.dollars))
    yield Figure(
        "the goal, if all of these were so: time", reached.minutes, "min", TIME_LIMIT_MIN, note=reached.choice.words
    )
    yield Figure("the goal, if all of these were so: spot compute of a TB", reached.dollars, "$", DOLLAR_LIMIT,
                 note=reached.paid)  # fmt: skip


def _assumed() -> Iterator[Figure]:
    for each in fields(Delays):
        yield Figure(f"assumed: {each.name}", getattr(Delays(), each.name), each.metadata["unit"],
                     note=each.metadata["source"])  # fmt: skip
