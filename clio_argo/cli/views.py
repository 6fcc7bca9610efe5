"""What commands on stacks and runs show to people."""

from collections.abc import Iterator, Mapping, Sequence
from shlex import quote
from typing import Any

import numpy as np
from rich.console import RenderableType
from rich.table import Table

from clio_argo.cli.console import NAME, as_typed, facts, literal, program, short_path, table, typed
from clio_argo.cli.costs import estimate_line
from clio_argo.model.alignment import Transforms, apply
from clio_argo.model.base import counted
from clio_argo.model.costs import UnitCosts
from clio_argo.model.layout import LOSSLESS, REPORT, TRANSFORMS, VIEWER
from clio_argo.model.plan import Plan, Problem
from clio_argo.model.problems import group_problems
from clio_argo.model.request import Request
from clio_argo.model.run import Completion
from clio_argo.model.sizes import describe_sizes
from clio_argo.model.volume import VolumeSpec
from clio_argo.pipeline import PIPELINE
from clio_argo.runner import cores
from clio_argo.store.documents import Store, split_url
from clio_argo.workspace.estimate import estimate

# lines that a terminal holds beside the rest; the report has all
LONG_LIST = 30
Row = tuple[str, str]


def plan_view(request: Request, plan: Plan, volume: VolumeSpec | None, warning: str) -> Iterator[RenderableType]:
    """The stack, what is wrong with it, and what a run will need.

    warning: what else a person should know; may be empty.
    """
    depth = {"uint8": "8 bit", "uint16": "16 bit"}.get(plan.type_name, plan.type_name)
    yield facts([
        ("source", plan.source),
        ("slices", f"{plan.usable} usable of {plan.depth}: z {plan.minz} to {plan.maxz}"),
        ("size", f"{describe_sizes(plan.sizes)}, {depth}, {human_size(plan.source_bytes)} in files"),
        *plan.found.items(),
    ])  # fmt: skip
    if plan.problems:
        yield _problems(plan.problems)
    if volume is not None:
        yield facts(_needs(request, plan, volume))
    allowed = request.allowed_bad(plan.depth)
    if 0 < (bad := len(plan.unusable)) <= allowed:
        yield f"{bad} of {counted(plan.depth, 'slice')} cannot be used; at most {allowed} may be (max_bad)."
    if warning:
        yield literal(f"warning: {warning}")


def _needs(request: Request, plan: Plan, volume: VolumeSpec) -> list[Row]:
    scales = [f"{'x'.join(map(str, s.size[::-1]))} @ {s.key.replace('_', 'x')} nm" for s in volume.scales]
    found = estimate(plan, volume, UnitCosts.reference(), PIPELINE)
    aligned, viewer = (found.sizes_bytes.get(folder, 0) for folder in (LOSSLESS, VIEWER))
    kept = "lossless" if plan.values is None or plan.values.fits else "in aligned/"
    memory = max(volume.memory_gib("render"), volume.memory_gib("write"))
    return [
        ("scales", ", ".join(scales)),
        ("memory per worker", f"about {memory:.1f} GiB"),
        ("output", f"about {human_size(aligned)} {kept} and {human_size(viewer)} for the viewer"),
        ("parts", ", ".join(f"{name} {work.parts}" for name, work in {**plan.work, **volume.work}.items())),
        ("estimate", estimate_line(request, plan, volume, found, cores())),
    ]


def _problems(problems: Sequence[Problem]) -> Table:
    rows = table("z", "file", "problem", "detail")
    rows.title, rows.title_justify = counted(len(problems), "problem"), "left"
    for z, p in group_problems(problems):
        rows.add_row(z, literal(p.file or ""), p.kind, literal(p.detail))
    return rows


def run_view(done: Completion, store: Store, again: Mapping[tuple[str, str], int]) -> Iterator[RenderableType]:
    """What a run found and made, where to look, and as the last line how it ended.

    again: units that were rerun, by step and reason.
    """
    transforms = store.document(Transforms, TRANSFORMS)
    for (step, why), units in again.items():
        yield f"rerun: {counted(units, 'unit')} of {step}: {why}"
    yield facts([("shifts", shifts(transforms)), *_quality(done), *_flagged(transforms), *_notes(done)])
    folder, kept = relative(store.url), relative(done.aligned) if done.aligned else "no aligned volume kept"
    yield facts([
        ("volume", f"{relative(done.ng)} (neuroglancer), {kept} (OME-Zarr)"),
        ("report", f"{folder}{REPORT}"),
        ("viewer", f"{program()} view {quote(folder)}" if done.link.startswith(NAME) else done.link),
        *([("register", done.registered)] if done.registered else []),
    ])  # fmt: skip
    changes = f"; {line}" if (line := done.source_changes.line()) else ""
    verified = f"{counted(done.objects, 'object')} verified ({human_size(done.bytes)})"
    yield literal(f"{done.status}: {_counts(transforms)}{_displacement(done)}, {verified}{changes}")


def aligned_view(transforms: Transforms, store: Store) -> Iterator[RenderableType]:
    """What alignment found, where to look, and as the last line what to do next."""
    yield facts([("shifts", shifts(transforms)), *_flagged(transforms)])
    yield facts([("report", f"{relative(store.url)}{REPORT}")])
    yield literal(f"aligned: {_counts(transforms)}; next: {typed('align', 'run')}")


def provenance(done: Completion) -> Iterator[RenderableType]:
    """How a run ended and where its volume comes from."""
    flagged = f", {len(done.flagged)} flagged" if done.flagged else ""
    files = ", ".join(f"{name} (CRC32C {checksum})" for name, checksum in sorted(done.given.items()))
    yield facts([
        ("id", done.id),
        ("status", f"{done.status}: {counted(done.slices, 'slice')}{flagged}"),
        ("volumes", ", ".join(v for v in (done.ng, done.aligned) if v)),
        ("viewer", as_typed(done.link)),
        ("objects", f"{done.objects} ({human_size(done.bytes)})"),
        ("made by", ", ".join(f"{name} ({counted(units, 'unit')})" for name, units in sorted(done.software.items()))),
        ("libraries", ", ".join(f"{name} {version}" for name, version in sorted(done.libraries.items()))),
        ("registered", done.registered or "nowhere"),
        ("source", done.source),
        ("user files", files or "none"),
        ("digests", f"source {done.source_digest}, request {done.config_digest}, manifest {done.manifest}"),
        *((key, str(value)) for key, value in _flat(done.settings) if value is not None),
    ])  # fmt: skip


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by dotted name."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _counts(transforms: Transforms) -> str:
    flagged, suspect, breaks = map(len, (transforms.flagged, transforms.suspect, transforms.breaks))
    odd = [f"{flagged} flagged"] if flagged else []
    odd += [f"{suspect} suspect (shown; to be looked at)"] if suspect else []
    odd += [counted(breaks, "break")] if breaks else []
    # that none is flagged would read as if there were nothing to look at
    return ", ".join([counted(len(transforms.slices), "slice"), *(odd or ["0 flagged"])])


def _quality(done: Completion) -> list[Row]:
    """Similarity of neighbours in the volume, and the pairs that are far less similar than those around them."""
    if done.quality is None or done.quality.median is None:
        return []
    median, lowest = done.quality.median, done.quality.lowest
    summary = f"correlation of neighbours in the volume {median:.2f} median, lowest {lowest}"
    return [("quality", summary), *_first([("low", str(pair)) for pair in done.quality.outliers])]


def _flagged(transforms: Transforms) -> list[Row]:
    """Slices that are not good, what a person decided, and what a person may want to decide."""
    odd = (*transforms.flagged, *transforms.suspect)
    lines = [(f"z {s.z}", f"{s.verdict}: {s.reason}; shown: {s.content}") for s in odd]
    manual = [("manual", counted(transforms.overrides, "correction"))] if transforms.overrides else []
    breaks = [("break", b.text) for b in transforms.breaks]
    left_out = [("left out", text) for text in transforms.left_out]
    trends = [("trend", t.text) for t in transforms.trends_to_tell]
    return [*_first(lines), *manual, *breaks, *left_out, *trends]


def _displacement(done: Completion) -> str:
    """How far windows of neighbours are displaced in the volume."""
    quality = done.quality
    if quality is None or quality.displaced_px is None:
        return ""
    return f", neighbours displaced by {quality.displaced_px:.2f} px (nine of ten below {quality.displaced_p90_px:.2f})"


def _notes(done: Completion) -> list[Row]:
    """What is to be known of the whole volume."""
    return [("note", note) for note in done.notes]


def _first(rows: list[Row]) -> list[Row]:
    """The first rows of a list, and how many more there are."""
    more = len(rows) - LONG_LIST
    return rows if more <= 0 else [*rows[:LONG_LIST], ("...", f"and {more} more, all in the report")]


def shifts(transforms: Transforms) -> str:
    """Steps between neighbouring slices at the middle of the field, in pixels."""
    placed = [(s.z, s.matrix) for s in transforms.slices if s.matrix]
    if len(placed) < 2:
        return "one slice, nothing to align"
    middle = np.array([[transforms.width / 2, transforms.height / 2]])
    positions = np.array([apply(m, middle)[0] for _, m in placed])
    steps = np.hypot(*np.diff(positions, axis=0).T)
    worst = int(steps.argmax())
    between = f"z {placed[worst][0]} to {placed[worst + 1][0]}"
    return (
        f"between neighbours {np.median(steps):.2f} px median, at most {steps[worst]:.1f} px ({between}); "
        f"canvas {transforms.width} x {transforms.height}"
    )


def human_size(size: float) -> str:
    """Bytes in the largest unit up to TB in which they are at least 1."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def relative(url: str) -> str:
    """A local run's URL as a short path."""
    if not url.startswith("file://"):
        return url
    return short_path(split_url(url)[2]).rstrip("/") + "/"
