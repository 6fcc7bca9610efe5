"""What the report says in tables. Axes are written x, y, z, as neuroglancer does; the values inside are z, y, x."""

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from clio_argo.model.alignment import PlacedSlice
from clio_argo.model.config import IngestConfig
from clio_argo.model.request import field_paths
from clio_argo.model.run import StageTime
from clio_argo.model.sizes import described
from clio_argo.model.volume import ScaleSpec, VolumeSpec
from clio_argo.report.data import ReportData
from clio_argo.report.markup import (
    FOLD_ABOVE_ROWS,
    Html,
    count,
    duration,
    fold,
    join,
    long_table,
    pairs,
    plural,
    section,
    size,
    table,
    tag,
)

COMMON_REASONS = 12
BREAK_NOTE = (
    "The parts on the two sides of a break could not be placed against each other; their relative position "
    "means nothing."
)
SCALE_HEADINGS = (
    "scale",
    "voxel, nm",
    "voxels",
    "voxel offset",
    "shard of ng/",
    "shard of aligned/",
    "chunk of it",
    "type",
)


def flagged(data: ReportData) -> Html:
    """Every slice that is not good, with what stands in its place."""
    flags, suspects = data.transforms.flagged, data.transforms.suspect
    parts = [_counts(data)]
    if len(flags) > FOLD_ABOVE_ROWS:
        parts.append(_reasons(flags))
    if flags:
        parts.append(_slices("Flagged slices", flags))
    if suspects:
        parts += [tag("h3", "Suspect slices"), _slices("Suspect slices", suspects)]
    return section("flagged", "Flagged slices", *parts)


def _counts(data: ReportData) -> Html:
    tally = Counter(s.verdict for s in data.transforms.slices)
    words = ", ".join(f"{count(tally[v])} {v}" for v in ("good", "suspect", "bad", "missing"))
    rest = "Bad and missing slices are flagged; slices not listed here are good."
    return tag("p", f"{plural(len(data.transforms.slices), 'slice')}: {words}. {rest}")


def _reasons(slices: Sequence[PlacedSlice]) -> Html:
    tally = Counter((s.verdict, s.reason) for s in slices).most_common()
    rows = [(count(n), verdict, reason) for (verdict, reason), n in tally[:COMMON_REASONS]]
    left = len(tally) - len(rows)
    common = table(("slices", "verdict", "reason"), rows, (0,))
    rarer = tag("p", f"{plural(left, 'rarer reason')} in the whole table below.", class_="note")
    return join([common, rarer] if left else [common])


def _slices(title: str, slices: Sequence[PlacedSlice]) -> Html:
    rows = [(str(s.z), _file(s), s.verdict, s.reason, s.shown_as) for s in slices]
    return long_table(title, ("z", "file", "verdict", "reason", "shown"), rows, (0,))


def _file(placed: PlacedSlice) -> str:
    page = f" (page {placed.page})" if placed.page else ""
    return "–" if placed.file is None else placed.file + page


def low(data: ReportData) -> Html:
    """Pairs of the rendered volume that are far less alike than those around them."""
    if data.quality is None:
        return section("low", "Pairs in the volume", tag("p", "Nothing was rendered."))
    rows = [
        (str(p.z0), str(p.z1), f"{p.correlation or 0:.3f}", f"{p.usual or 0:.3f}") for p in data.quality.low
    ]
    told = f"{plural(len(data.quality.pairs), 'pair')} measured, {count(len(rows))} far less alike than those around."
    listed = [long_table("Pairs", ("z", "z", "correlation", "around it"), rows, range(4))] if rows else []
    return section("low", "Pairs in the volume", tag("p", told), *listed)


def jumps(data: ReportData) -> Html:
    """Where the stage moved, and how far."""
    placed = [s for s in data.transforms.slices if s.matrix is not None]
    steps = [(a, b) for a, b in pairwise(placed) if b.z in data.transforms.jumps]
    rows = [(str(a.z), str(b.z), *(f"{v:+,.1f}" for v in _step_px(a, b))) for a, b in steps]
    listed = long_table("Jumps", ("z below", "from z on", "x, px", "y, px"), rows, range(4))
    return section("jumps", "Jumps of the stage", listed if rows else tag("p", "None."))


def _step_px(a: PlacedSlice, b: PlacedSlice) -> Iterator[float]:
    for first, second in zip(a.matrix or (), b.matrix or (), strict=True):
        yield second[2] - first[2]


def ways(data: ReportData) -> Html:
    """Which way found the links, and which model they have."""
    groups: dict[tuple[str, str], list[float]] = {}
    for fit in data.transforms.fits:
        if fit.found:
            groups.setdefault((fit.way, fit.model), []).append(fit.correlation)
    ordered = sorted(groups.items(), key=lambda g: -len(g[1]))
    rows = [(*kind, count(len(found)), f"{statistics.median(found):.2f}") for kind, found in ordered]
    listed = table(("found by", "model", "links", "median correlation"), rows, (2, 3))
    return section("ways", "How links were found", listed if rows else tag("p", "No link was looked for."))


def breaks(data: ReportData) -> Html:
    """Places that no link crosses, and every link that was not found."""
    why = {(f.z0, f.z1): f.reason for f in data.transforms.fits if not f.found}
    rows = [(str(b.below), str(b.above), why.get((b.below, b.above), "")) for b in data.transforms.breaks]
    found = long_table("Breaks", ("below", "above", "reason"), rows, (0, 1))
    parts = [tag("p", BREAK_NOTE), found] if rows else [tag("p", "None.")]
    return section("breaks", "Breaks", *parts, *_lost(data))


def _lost(data: ReportData) -> Iterator[Html]:
    rows = [(str(f.z1), str(f.z0), f.reason) for f in data.transforms.fits if not f.found]
    if rows:
        yield tag("h3", f"Links not found: {count(len(rows))} of {count(len(data.transforms.fits))}")
        yield long_table("Links not found", ("z", "onto z", "reason"), rows, (0, 1))


def gates(data: ReportData) -> Html:
    """What could have stopped the run before rendering, and how far it was from it."""
    rows = [
        (g.name, f"{g.value:,g}", f"{g.limit:,g}", g.unit, "passed" if g.passed else "stopped")
        for g in data.gates
    ]
    shown = table(("gate", "value", "at most", "of", "result"), rows, (1, 2)) if rows else tag("p", "None.")
    return section("gates", "Gates", shown)


def problems(data: ReportData) -> Html:
    """All that is wrong with the source."""
    found = data.plan.problems
    if not found:
        return section("problems", "Problems of the source", tag("p", "None."))
    tally = Counter(p.kind for p in found).most_common()
    kinds = ", ".join(f"{count(n)} {kind}" for kind, n in tally)
    rows = [("–" if p.z is None else str(p.z), p.kind, p.file or "–", p.detail) for p in found]
    whole = long_table("Problems", ("z", "problem", "file", "detail"), rows, (0,))
    total = tag("p", f"{plural(len(found), 'problem')}: {kinds}.")
    return section("problems", "Problems of the source", total, whole)


def request(data: ReportData) -> Html:
    """Settings that differ from their defaults; the others folded."""
    rows = [(path, *_setting(data.config, path)) for path in field_paths() if path != "schema_version"]
    asked = [(path, value, default) for path, value, default in rows if value != default]
    others = [(path, value) for path, value, default in rows if value == default]
    return section(
        "request",
        "What was asked",
        table(("setting", "value", "default"), asked),
        fold(f"{plural(len(others), 'setting')} at the default", table(("setting", "value"), others)),
    )


def _setting(config: IngestConfig, path: str) -> tuple[str, str]:
    """Value and default of a setting as text; a required one has no default."""
    *sections, name = path.split(".")
    owner: Any = config
    for inner in sections:
        owner = getattr(owner, inner)
    info = type(owner).model_fields[name]
    return _plain(getattr(owner, name)), "required" if info.is_required() else _plain(info.get_default())


def _plain(value: Any) -> str:
    match value:
        case None | () | {}:
            return "–"
        case str():
            return value
        case tuple():
            return ", ".join(map(_plain, value))
        case dict():
            return ", ".join(f"{k}: {_plain(v)}" for k, v in value.items())
        case bool():
            return json.dumps(value)
        case _:
            return f"{value:g}" if isinstance(value, float) else f"{value:,}"


def found(data: ReportData) -> Html:
    plan = data.plan
    pixels_bytes = plan.pixels * (1 if plan.dtype == "uint8" else 2)
    rows = (
        ("source", tag("code", plan.source)),
        (
            "slice numbers",
            f"{plan.minz} to {plan.maxz}: {plural(plan.depth, 'slice')}, {count(plan.usable)} usable",
        ),
        ("slice size", f"{described(plan.sizes)}, {plan.dtype}"),
        ("files", f"{size(plan.source_bytes)} ({count(plan.source_bytes)} bytes)"),
        ("pixels", f"{size(pixels_bytes)} decoded"),
        ("digest of the source", tag("code", plan.digest)),
    )
    return section("found", "What was found", pairs(rows))


def volume(data: ReportData) -> Html:
    """Shapes of both volumes, scale by scale."""
    if data.volume is None:
        return section("volume", "Volume", tag("p", "None was written."))
    spec = data.volume
    window = "as they are" if spec.window is None else f"{spec.window[0]:g} to {spec.window[1]:g}"
    rows = (
        ("data type", f"{spec.dtype}, background {spec.background}"),
        ("viewer volume", f"ng/, chunks of {spec.chunk}³, JPEG quality {spec.jpeg_quality}"),
        ("lossless volume", f"{spec.aligned}/, zarr v3"),
        ("grey values shown", window),
    )
    return section("volume", "Volume", pairs(rows), _scales(spec))


def _scales(spec: VolumeSpec) -> Html:
    rows = [(str(k), *_scale(spec, k, s), spec.dtype) for k, s in enumerate(spec.scales)]
    return join([tag("p", "Lengths are x × y × z.", class_="note"), table(SCALE_HEADINGS, rows, range(7))])


def _scale(spec: VolumeSpec, k: int, scale: ScaleSpec) -> Iterator[str]:
    yield " × ".join(f"{v:g}" for v in reversed(scale.resolution))
    yield _xyz(scale.size)
    yield ", ".join(map(str, reversed(scale.begin)))
    yield _xyz(spec.ng_shard(k)) if k in spec.ng_scales else "–"
    yield from map(_xyz, (scale.shard, scale.inner))


def _xyz(zyx: Iterable[int]) -> str:
    return " × ".join(map(count, reversed(tuple(zyx))))


def stages(data: ReportData) -> Html:
    if not data.stages:
        return section("time", "Time", tag("p", "Nothing was timed."))
    headings = ("stage", "units", "time", "CPU time", "slices / s", "Mpx / s", "peak memory, MiB")
    rows = [_stage(data, s) for s in data.stages]
    cpu_s = sum(s.cpu_s for s in data.stages)
    pixels = data.plan.pixels
    note = f"All stages: {duration(sum(s.wall_s for s in data.stages))}, CPU {duration(cpu_s)}" + (
        f", which is {cpu_s / pixels * 1e9:,.1f} CPU s per gigapixel of input." if pixels else "."
    )
    return section("time", "Time", table(headings, rows, range(1, 7)), tag("p", note, class_="note"))


def _stage(data: ReportData, stage: StageTime) -> tuple[str, ...]:
    """Time and rate of a stage; rates count the slices of the whole stack."""
    plan, seconds = data.plan, max(stage.wall_s, 1e-3)
    megapixels = plan.pixels / 1e6
    rates = (f"{plan.depth / seconds:,.1f}", f"{megapixels / seconds:,.1f}")
    times = (duration(stage.wall_s), duration(stage.cpu_s))
    return stage.step, count(stage.units), *times, *rates, f"{stage.peak_mib:,.0f}"


def sizes(data: ReportData) -> Html:
    source = max(1, data.plan.source_bytes)
    named = [*data.sizes_bytes.items(), ("together", sum(data.sizes_bytes.values()))]
    rows = [(name, size(n), count(n), f"{n / source:.1%}") for name, n in named]
    if not data.sizes_bytes:
        return section("sizes", "Sizes", tag("p", "Nothing was written."))
    return section("sizes", "Sizes", table(("folder", "size", "bytes", "of the source"), rows, (1, 2, 3)))


def versions(data: ReportData) -> Html:
    rows = (
        ("clio-argo", data.version),
        ("run", tag("code", data.run)),
        ("every slice's transform", tag("code", "transforms.json, transforms.csv")),
        ("neuroglancer", tag("code", data.link) if data.link else "–"),
    )
    return section("versions", "Version and paths", pairs(rows))
