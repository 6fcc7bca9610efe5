"""Pictures, the report, and complete.json: the last object of a run."""

from importlib.metadata import version

from clio_argo.model.base import digest
from clio_argo.model.run import Attempt, Completion, StageTime, Verification
from clio_argo.report.data import ReportData
from clio_argo.report.html import report_html
from clio_argo.steps.base import COMPLETE, CONFIG, Outputs, Run
from clio_argo.steps.solve import read_all_facts
from clio_argo.steps.verify import VERIFY, recorded_objects
from clio_argo.steps.views import make_views
from clio_argo.store.documents import crc32c
from clio_argo.viewer.link import LOCAL_HOST, PUBLIC_HOST, VIEW_PORT, neuroglancer_link, neuroglancer_state

REPORT = "report.html"
LOGS = "process/logs"


def run(run: Run, part: int) -> Outputs:
    """Write the views, report.html and complete.json."""
    done = completion(run)
    facts, _ = read_all_facts(run)
    data = ReportData(
        config=run.request,
        plan=run.plan,
        transforms=run.transforms,
        facts=tuple(facts),
        volume=run.volume,
        status=done.status,
        stages=stage_times(run),
        pictures=make_views(run),
        sizes_bytes={f: sum(run.store.sizes(f).values()) for f in ("ng", run.volume.aligned, "thumbnails")},
        link=done.link,
        run=run.store.url,
        version=done.version,
    )
    run.store.write(REPORT, report_html(data).encode())
    run.store.write(COMPLETE, done.to_bytes())
    return {"link": done.link, "status": done.status, "flagged": len(done.flagged)}


def completion(run: Run) -> Completion:
    """How the run ended."""
    checked = run.store.document(Verification, VERIFY)
    flagged = tuple(s.z for s in run.transforms.flagged)
    flags = bool(flagged or run.transforms.breaks)
    return Completion(
        id=run.config.id,
        status="complete_with_flags" if flags else "complete",
        version=version("clio-argo"),
        config_digest=crc32c(run.store.need(CONFIG)),
        flagged=flagged,
        breaks=len(run.transforms.breaks),
        slices=run.plan.depth,
        ng=f"{run.store.url}ng",
        aligned=f"{run.store.url}{run.volume.aligned}" if run.config.lossless else None,
        link=viewer_link(run),
        labels=run.request.labels,
        objects=checked.objects,
        bytes=checked.bytes,
        manifest=digest([o.model_dump() for _, o in sorted(recorded_objects(run).items())]),
    )


def viewer_link(run: Run) -> str:
    """Neuroglancer at the volume's middle; a local run's link works while `clio-argo view` serves it."""
    local = run.store.local is not None
    source = f"http://127.0.0.1:{VIEW_PORT}/run/ng" if local else f"{run.store.url}ng"
    scale = run.volume.scales[0]
    z, y, x = (b + s / 2 for b, s in zip(scale.begin, scale.size, strict=True))
    state = neuroglancer_state(
        f"precomputed://{source}",
        name=run.config.id,
        position_vox=(x, y, z),
        resolution_nm=run.config.resolution,
        size=(scale.size[2], scale.size[1], scale.size[0]),
    )
    return neuroglancer_link(state, LOCAL_HOST if local else PUBLIC_HOST)


def stage_times(run: Run) -> tuple[StageTime, ...]:
    """Time of all stages, summed over all attempts."""
    attempts = [run.store.document(Attempt, n) for n in run.store.names(LOGS)]
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
