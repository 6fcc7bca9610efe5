"""Cost of one slice of 5000 x 5000: aligning it (reduce, match) and moving it into the lossless volume (render)."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks.crafted import forget, planned, solved
from benchmarks.figures import Figure
from benchmarks.measure import Spent, repeated, spent
from benchmarks.sources import long_stack, real_slices
from benchmarks.stacks import shifts, write_stack
from clio_argo.model.alignment import Floats
from clio_argo.pipeline import PIPELINE
from clio_argo.runner import run_step
from tests.defects import DEFECTS, UNALIGNABLE

SIDE_PX, QUICK_PX = 5000, 1500
FILES = 16
# so long that slabs and units have the size they have in large stacks: 32 planes, 16 slices
SLICES, QUICK_SLICES = 256, 128
TURN, STRETCH = 0.002, 0.0005
RENDER_LIMIT_S, ALIGN_LIMIT_S, DEFECTS_LIMIT_S = 0.68, 0.5, 0.8
# one slice in twenty has a fault, each of another kind
FAULTS, FAULT_EVERY = (*DEFECTS.values(), *UNALIGNABLE.values()), 20


def stack(work: Path, quick: bool) -> Path:
    """Sixteen real mosaics under many names."""
    short = work / "short"
    write_stack(real_slices(), short, QUICK_PX if quick else SIDE_PX, FILES)
    return long_stack(short, work / "slices", QUICK_SLICES if quick else SLICES)


def render(work: Path, quick: bool) -> list[Figure]:
    """CPU time of render per slice, for affine transforms and for translations."""
    source = stack(work, quick)
    limit = None if quick else RENDER_LIMIT_S
    affine = _render(source, work / "affine", turned)
    moved = _render(source, work / "moved", shifted)
    text = "decode, warp (cubic), CLAHE, lossless store, thumbnail"
    return [
        Figure("render a slice, affine", affine.cpu_s, "CPU s", limit, note=text),
        Figure("render a slice, translation", moved.cpu_s, "CPU s", limit, note=text),
    ]


def _render(source: Path, url: Path, matrix: Callable[[int], Floats]) -> Spent:
    planned(source, url)
    slab = solved(url, matrix).slab
    step = PIPELINE["render"]
    return repeated(
        lambda: run_step(step, str(url), 0), lambda: forget(url, "render", ["aligned", "thumbnails"])
    ) / slab  # fmt: skip


def turned(z: int) -> Floats:
    """A small turn and stretch, different for every slice, and a shift."""
    angle, size = TURN * np.sin(z), 1 + STRETCH * np.cos(z)
    linear = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = shifted(z)
    matrix[:2, :2] = linear
    return matrix


def shifted(z: int) -> Floats:
    matrix = np.eye(3)
    matrix[:2, 2] = MOVES[z]
    return matrix


MOVES = shifts(SLICES)


def align(work: Path, quick: bool) -> list[Figure]:
    """CPU time of reduce and match per slice."""
    source, url = stack(work, quick), work / "align"
    plan = planned(source, url)
    for part in range(1, plan.reduce.parts):
        run_step(PIPELINE["reduce"], str(url), part)
    reduce = _again(url, "reduce") / plan.unit_slices
    run_step(PIPELINE["frame"], str(url), 0)
    match = _again(url, "match") / plan.unit_slices
    return [
        Figure("reduce a slice", reduce.cpu_s, "CPU s", note="decode, downsample, features, digest"),
        Figure("match a slice", match.cpu_s, "CPU s", note="with the next one"),
        Figure("reduce and match a slice", (reduce + match).cpu_s, "CPU s", None if quick else ALIGN_LIMIT_S),
        *with_defects(work, quick),
    ]


def with_defects(work: Path, quick: bool) -> list[Figure]:
    """CPU time of reduce, match, suspects and rematch per slice of a stack with 5 % defects."""
    url, slices = work / "defects", FAULT_EVERY * len(FAULTS)
    plan = planned(damaged(work / "short", work / "damaged", slices), url)
    reduce = spent(lambda: [run_step(PIPELINE["reduce"], str(url), p) for p in range(plan.reduce.parts)])
    run_step(PIPELINE["frame"], str(url), 0)
    matched: list[int] = []

    def pair() -> None:
        for part in range(plan.match.parts):
            run_step(PIPELINE["match"], str(url), part)
        again = [part.part for part in run_step(PIPELINE["suspects"], str(url), 0).parts["rematch_parts"]]
        matched[:] = [run_step(PIPELINE["rematch"], str(url), part).counts.done for part in again]

    def before() -> None:
        forget(url, "match")
        forget(url, "rematch")

    match = repeated(pair, before, warm=False)
    again = f"{sum(matched)} of {plan.match.units} units matched again"
    note = f"{slices} slices with {len(FAULTS)} kinds of fault, {again}"
    limit = None if quick else DEFECTS_LIMIT_S
    return [Figure("reduce, match, suspects and rematch a slice, 5 % defects",
                   ((reduce + match) / slices).cpu_s, "CPU s", limit, note=note)]  # fmt: skip


def damaged(short: Path, out: Path, slices: int) -> Path:
    """The stack with a fault in every twentieth slice."""
    long_stack(short, out, slices)
    for i, harm in enumerate(FAULTS):
        file = out / f"iso.{FAULT_EVERY * i + FAULT_EVERY // 2:05d}.png"
        image = np.asarray(cv2.imread(str(file), cv2.IMREAD_GRAYSCALE))
        file.unlink()
        cv2.imwrite(str(file), harm(image), [cv2.IMWRITE_PNG_COMPRESSION, 4])
    return out


def _again(url: Path, name: str) -> Spent:
    """Part 0 of a step, anew each time; other parts keep their records."""
    record = url / "manifest" / name / "000000.json"
    return repeated(lambda: run_step(PIPELINE[name], str(url), 0), lambda: record.unlink(missing_ok=True))
