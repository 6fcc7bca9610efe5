"""Writes the report of a run that is aligned, stopped by a gate, or finished."""

from dataclasses import dataclass
from importlib.metadata import version

from clio_argo.model.costs import Estimate
from clio_argo.model.layout import COSTS, ESTIMATE, PATTERN_PICTURE, REPORT, THUMBNAILS, VIEWER
from clio_argo.model.quality import Quality
from clio_argo.model.run import Completion, SourceChanges
from clio_argo.model.volume import VolumeSpec
from clio_argo.placement.gates import gates
from clio_argo.report.data import ReportData
from clio_argo.report.html import report_html
from clio_argo.report.overview import notable
from clio_argo.store.documents import Store
from clio_argo.workspace.logs import read_attempts
from clio_argo.workspace.pictures import make_slice_pictures, make_views
from clio_argo.workspace.reconcile import reconcile, stage_times
from clio_argo.workspace.reduced import read_all_statistics
from clio_argo.workspace.run import Run

ALIGNED = "aligned"


@dataclass(frozen=True)
class Rendered:
    """What the report shows of a finished volume."""

    volume: VolumeSpec
    quality: Quality
    done: Completion


def write_report(run: Run, status: str, rendered: Rendered | None = None) -> list[str]:
    """Write report.html and its pictures. Before the volume is rendered they show what `solve` decided.

    Returns the names of the pictures.
    """
    statistics = read_all_statistics(run).slices
    attempts, unread = read_attempts(run.store)
    costs = reconcile(stage_times(attempts), run.store.intact(Estimate, ESTIMATE), run.plan)
    run.store.write(COSTS, costs.to_bytes())
    volume = rendered.volume if rendered else None
    data = ReportData(
        request=run.request,
        plan=run.plan,
        transforms=run.transforms,
        statistics=tuple(statistics),
        volume=volume,
        status=status,
        gates=gates(run.transforms, run.plan, run.request),
        costs=costs,
        unread_logs=unread,
        pictures=make_views(run, volume),
        slice_pictures=make_slice_pictures(run, notable(run.transforms)),
        pattern_picture=PATTERN_PICTURE if run.transforms.pattern else None,
        sizes_bytes=_sizes(run.store, volume) if volume else {},
        quality=rendered.quality if rendered else None,
        notes=rendered.done.notes if rendered else (),
        source_changes=rendered.done.source_changes if rendered else SourceChanges(),
        viewer_url=rendered.done.link if rendered else None,
        run=run.store.url,
        version=version("clio-argo"),
    )
    run.store.write(REPORT, report_html(data).encode())
    views = (name for p in data.pictures for name in (p.before, p.after) if name)
    return [*views, *data.slice_pictures.values()]


def _sizes(store: Store, volume: VolumeSpec) -> dict[str, int]:
    return {f: sum(store.sizes(f).values()) for f in (VIEWER, volume.aligned, THUMBNAILS)}
