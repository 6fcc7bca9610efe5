"""The report of a run as far as it came: aligned, stopped by a gate, or with its volume."""

from importlib.metadata import version

from clio_argo.model.run import Attempt, StageTime
from clio_argo.model.volume import VolumeSpec
from clio_argo.report.data import ReportData
from clio_argo.report.html import report_html
from clio_argo.steps.base import REPORT, Run
from clio_argo.steps.gates import gates
from clio_argo.steps.reduce import read_all_facts
from clio_argo.steps.views import make_views
from clio_argo.store.documents import Store

LOGS = "process/logs"
ALIGNED = "aligned"


def write_report(run: Run, status: str, volume: VolumeSpec | None = None, link: str | None = None) -> None:
    """Write report.html and its pictures; without a volume, what `solve` decided from the reduced slices."""
    facts, _ = read_all_facts(run)
    data = ReportData(
        config=run.request,
        plan=run.plan,
        transforms=run.transforms,
        facts=tuple(facts),
        volume=volume,
        status=status,
        gates=gates(run.transforms, run.plan, run.request),
        stages=stage_times(run.store),
        pictures=make_views(run, volume),
        sizes_bytes=_sizes(run.store, volume) if volume else {},
        link=link,
        run=run.store.url,
        version=version("clio-argo"),
    )
    run.store.write(REPORT, report_html(data).encode())


def _sizes(store: Store, volume: VolumeSpec) -> dict[str, int]:
    return {f: sum(store.sizes(f).values()) for f in ("ng", volume.aligned, "thumbnails")}


def stage_times(store: Store) -> tuple[StageTime, ...]:
    """Time of all stages, summed over all attempts."""
    attempts = [store.document(Attempt, n) for n in store.names(LOGS)]
    stages = dict.fromkeys(a.step for a in sorted(attempts, key=lambda a: a.started))
    return tuple(_stage(step, [a for a in attempts if a.step == step]) for step in stages)


def _stage(step: str, attempts: list[Attempt]) -> StageTime:
    begin, end = min(a.started for a in attempts), max(a.started + a.wall_s for a in attempts)
    return StageTime(
        step=step,
        units=sum(a.done for a in attempts),
        wall_s=round(end - begin, 2),
        cpu_s=round(sum(a.cpu_s for a in attempts), 2),
        peak_mib=round(max(a.peak_mib for a in attempts)),
    )
