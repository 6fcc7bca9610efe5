"""Writes the report of a finished run, then complete.json, the last object of a run."""

from collections.abc import Sequence
from importlib.metadata import version
from platform import python_version
from shlex import quote

from clio_argo.model.layout import COMPLETE, CONFIG, COSTS, INFO, QUALITY, VERIFICATION, VIEWER
from clio_argo.model.quality import Quality, QualitySummary
from clio_argo.model.run import Completion, Verification
from clio_argo.model.step import StepResult
from clio_argo.placement.magnification import magnification_notes
from clio_argo.store.documents import crc32c, record_of
from clio_argo.store.web_pages import is_closed_to_pages
from clio_argo.viewer.channels import volume_layers
from clio_argo.viewer.url import PUBLIC_HOST, neuroglancer_state, viewer_url
from clio_argo.workspace.arrival import source_changes
from clio_argo.workspace.cleaning import allowed_bytes, clean
from clio_argo.workspace.registration import register_if_wanted
from clio_argo.workspace.report_page import Rendered, write_report
from clio_argo.workspace.run import Run
from clio_argo.workspace.similarity import read_quality
from clio_argo.workspace.units import record_whole

LIBRARIES = ("numpy", "opencv-python-headless", "scipy", "tensorstore")


def run(run: Run, units: Sequence[int]) -> StepResult:
    """Write quality.json, the pictures, report.html and complete.json."""
    quality = read_quality(run)
    quality_record = run.store.write(QUALITY, quality.to_bytes())
    done = completion(run, quality)
    registered = register_if_wanted(run.request.register, done, run.volume, run.store.url)
    done = done.model_copy(update={"registered": registered})
    pictures = write_report(run, done.status, Rendered(run.volume, quality, done))
    # report.html is not recorded: it shows times, and so differs between two runners of the same run
    last = done.to_bytes()
    record_whole(run, [quality_record, *map(run.store.record, pictures), record_of(COMPLETE, last)])
    clean(run, allowed_bytes(done.bytes))
    # last of all, after its own record: who finds complete.json finds a whole run
    run.store.write(COMPLETE, last)
    return StepResult(
        published={"link": done.link, "volume": done.ng, "flagged": len(done.flagged), "registered": registered}
    )


def completion(run: Run, quality: Quality) -> Completion:
    """The last document of the run: how it ended, from which request and source, made by which programs."""
    verified = run.store.document(Verification, VERIFICATION)
    changes = source_changes(run)
    scales = magnification_notes(run.transforms, run.plan.width, run.plan.height)
    notes = (*run.plan.faults, *run.transforms.grey_steps, *scales, *quality.notes)
    values = run.transforms.values
    flagged, suspect = (tuple(s.z for s in of) for of in (run.transforms.flagged, run.transforms.suspect))
    # a bar that nobody asked to cut
    cut = run.transforms.shown.data_bar_px
    odd = (flagged, suspect, run.transforms.breaks, quality.outliers, notes, cut, changes.line())
    flags = any(odd)
    return Completion(
        id=run.settings.id,
        status="complete_with_flags" if flags else "complete",
        version=version("clio-argo"),
        config_digest=crc32c(run.store.need(CONFIG)),
        flagged=flagged,
        suspect=suspect,
        bad_slices=run.settings.bad_slices,
        replaced=run.transforms.replaced,
        breaks=run.transforms.breaks,
        left_out=run.transforms.left_out,
        quality=QualitySummary.of(quality),
        # of itself no fault: slices that lost values are suspect
        notes=(*notes, *([values.note] if values else [])),
        slices=run.plan.depth,
        ng=run.store.url_of(VIEWER),
        aligned=run.store.url_of(run.volume.aligned) if run.settings.lossless else None,
        link=viewer_link(run),
        labels=run.request.labels,
        objects=verified.objects,
        bytes=verified.bytes,
        manifest=verified.manifest,
        software=verified.software,
        libraries={"python": python_version(), **{name: version(name) for name in LIBRARIES}},
        settings=run.request.model_dump(mode="json"),
        source=run.plan.source,
        source_digest=run.plan.digest,
        source_changes=changes,
        given=run.transforms.sources,
        costs=COSTS,
    )


def viewer_link(run: Run) -> str:
    """Neuroglancer at the volume's middle, or the command that opens what its pages cannot read.

    That is a local run, for which the command prints a link of its own, and one in a private bucket.
    """
    if run.store.at(VIEWER)[0].local is not None or is_closed_to_pages(run.store, f"{VIEWER}/{INFO}", PUBLIC_HOST):
        return f"clio-argo view {quote(str(run.store.local or run.store.url.rstrip('/')))}"
    scale = run.volume.scales[0]
    z, y, x = (b + s / 2 for b, s in zip(scale.begin, scale.size, strict=True))
    source = f"precomputed://{run.store.url_of(VIEWER)}"
    state = neuroglancer_state(
        source, name=run.settings.id, position_vox=(x, y, z), layers=volume_layers(run.volume, source, run.settings.id),
        resolution_nm=(scale.resolution[2], scale.resolution[1], scale.resolution[0]),
        size=(scale.size[2], scale.size[1], scale.size[0]),
    )  # fmt: skip
    return viewer_url(state, PUBLIC_HOST)
