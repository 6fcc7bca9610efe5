"""What commands print."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from clio_argo.cli.text import literal
from clio_argo.model.alignment import Transforms, apply
from clio_argo.model.plan import Plan, Problem
from clio_argo.model.problems import with_ranges
from clio_argo.model.run import Completion
from clio_argo.model.sizes import described
from clio_argo.model.volume import VolumeSpec
from clio_argo.store.documents import Store

LONG_LIST = 30
JPEG_BYTES_PER_VOXEL, ZSTD_RATIO = 0.13, 0.88
Row = tuple[str, ...]


def show_plan(console: Console, plan: Plan, volume: VolumeSpec | None, allowed: int) -> None:
    """What was found, what is wrong with it, and what a run will need."""
    console.print(_facts(_found(plan)))
    if plan.problems:
        console.print(_problems(plan.problems))
    if volume is not None:
        console.print(_facts(_needs(plan, volume)))
    bad = len(plan.unusable)
    if bad:
        console.print(f"{bad} of {plan.depth} slices cannot be used; at most {allowed} may be (max_bad).")


def _found(plan: Plan) -> list[Row]:
    bits = 8 if plan.dtype == "uint8" else 16
    return [
        ("source", plan.source),
        ("slices", f"{plan.usable} usable of {plan.depth}: z {plan.minz} to {plan.maxz}"),
        ("size", f"{described(plan.sizes)}, {bits} bit, {gigabytes(plan.source_bytes)} in files"),
    ]


def _needs(plan: Plan, volume: VolumeSpec) -> list[Row]:
    scales = [f"{'x'.join(map(str, s.size[::-1]))} @ {s.key.replace('_', 'x')} nm" for s in volume.scales]
    voxels = plan.depth * plan.width * plan.height
    lossless, viewer = voxels * volume.itemsize * ZSTD_RATIO * 8 / 7, voxels * JPEG_BYTES_PER_VOXEL * 8 / 7
    memory = max(volume.memory_gib("render"), volume.memory_gib("write"))
    return [
        ("scales", ", ".join(scales)),
        ("memory per worker", f"about {memory:.1f} GiB"),
        ("output", f"about {gigabytes(lossless)} lossless and {gigabytes(viewer)} for the viewer"),
        ("parts", f"reduce {plan.reduce.parts}, match {plan.match.parts}, render {volume.render.parts}, "
                  f"write {volume.write.parts}, coarsen {volume.coarsen.parts}"),
    ]  # fmt: skip


def _facts(rows: Sequence[Row]) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*(literal(v) for v in row))
    return table


def _problems(problems: Sequence[Problem]) -> Table:
    table = Table(title=f"{len(problems)} problems", title_justify="left")
    for name in ("z", "file", "problem", "detail"):
        table.add_column(name, overflow="fold")
    for z, p in with_ranges(problems):
        table.add_row(z, literal(p.file or ""), p.kind, literal(p.detail))
    return table


def show_end(console: Console, done: Completion, transforms: Transforms, store: Store) -> None:
    """What a run found and made, where to look, and as the last line how it ended."""
    where, kept = relative(store.url), relative(done.aligned) if done.aligned else "no lossless volume kept"
    console.print(_facts([("shifts", shifts(transforms)), *_quality(done), *_flagged(transforms)]))
    console.print(_facts([
        ("volume", f"{relative(done.ng)} (neuroglancer), {kept} (OME-Zarr)"),
        ("report", f"{where}report.html"),
        ("viewer", f"clio-argo view {where}" if Store(done.ng).local else done.link),
    ]))  # fmt: skip
    console.print(
        f"{done.status}: {_counts(transforms)}, {done.objects} objects verified ({gigabytes(done.bytes)})"
    )


def provenance(done: Completion) -> Table:
    """How a run ended and where its volume comes from."""
    flagged = f", {len(done.flagged)} flagged" if done.flagged else ""
    return _facts([
        ("id", done.id),
        ("status", f"{done.status}: {done.slices} slices{flagged}"),
        ("volumes", ", ".join(v for v in (done.ng, done.aligned) if v)),
        ("objects", f"{done.objects} ({gigabytes(done.bytes)})"),
        ("made by", ", ".join(f"{name} ({units} units)" for name, units in sorted(done.software.items()))),
        ("libraries", ", ".join(f"{name} {version}" for name, version in sorted(done.libraries.items()))),
        ("source", done.source),
        ("given", ", ".join(f"{name} (CRC32C {sum_})" for name, sum_ in sorted(done.given.items())) or "nothing"),
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


def show_again(console: Console, again: Mapping[tuple[str, str], int]) -> None:
    """Which units were done a second time, and why."""
    for (step, why), units in again.items():
        console.print(f"again: {units} units of {step}: {why}")


def show_aligned(console: Console, transforms: Transforms, store: Store) -> None:
    """What alignment found, where to look, and as the last line what to do next."""
    console.print(_facts([("shifts", shifts(transforms)), *_flagged(transforms)]))
    console.print(_facts([("report", f"{relative(store.url)}report.html")]))
    console.print(f"aligned: {_counts(transforms)}; clio-argo run goes on from here")


def _counts(transforms: Transforms) -> str:
    breaks = f", {len(transforms.breaks)} breaks" if transforms.breaks else ""
    suspect = f", {len(transforms.suspect)} suspect" if transforms.suspect else ""
    return f"{len(transforms.slices)} slices, {len(transforms.flagged)} flagged{suspect}{breaks}"


def _quality(done: Completion) -> list[Row]:
    """Likeness of neighbours in the volume, and the pairs that are far less alike than those around them."""
    if done.quality is None or done.quality.median is None:
        return []
    low = [("low", str(pair)) for pair in done.quality.low]
    more = [("...", f"and {len(low) - LONG_LIST} more, all in the report")] if len(low) > LONG_LIST else []
    told = f"correlation of neighbours in the volume {done.quality.median:.2f} median, lowest {done.quality.lowest}"
    return [("quality", told), *low[:LONG_LIST], *more]


def _flagged(transforms: Transforms) -> list[Row]:
    odd = (*transforms.flagged, *transforms.suspect)
    lines = [(f"z {s.z}", f"{s.verdict}: {s.reason}; shown: {s.shown_as}") for s in odd]
    more = (
        [("...", f"and {len(lines) - LONG_LIST} more, all in the report")] if len(lines) > LONG_LIST else []
    )
    own = [("by hand", f"{transforms.overrides} corrections")] if transforms.overrides else []
    breaks = [("break", f"no link crosses from z {b.below} to z {b.above}") for b in transforms.breaks]
    return [*lines[:LONG_LIST], *more, *own, *breaks]


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


def gigabytes(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def relative(url: str) -> str:
    """A local run's URL as a short path."""
    if not url.startswith("file://"):
        return url
    from clio_argo.store.documents import split_url

    path = split_url(url)[2]
    short = os.path.relpath(path)
    return (path if short.startswith("..") else short).rstrip("/") + "/"
