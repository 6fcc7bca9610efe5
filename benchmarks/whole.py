"""A whole run as a person starts it: 64 slices of 4096 x 4096 of two kinds, with one worker and with two."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree

import cv2

from benchmarks.figures import Figure
from benchmarks.measure import REPEATS, Spent, median, python, spent
from benchmarks.sources import real_slices
from benchmarks.stacks import write_noisy_stack, write_stack
from clio_argo.model.request import REQUEST, Request
from clio_argo.model.step import Step, StepResult, parts_of
from clio_argo.pipeline import PIPELINE
from clio_argo.runner import run_step

SIDE_PX, SLICES = 4096, 64
QUICK_PX, QUICK_SLICES = 1024, 32
# 41 CPU s, or 38,000 for 10^12 pixels, on a machine that decodes 131 MB/s
FASTER, MULTIPLE = 1.8, 5.0
COMMAND = "from clio_argo.cli import main; main()"


def measure(work: Path, quick: bool) -> list[Figure]:
    """CPU time of everything, and how much faster two workers are than one."""
    side, slices = (QUICK_PX, QUICK_SLICES) if quick else (SIDE_PX, SLICES)
    write_stack(real_slices(), work / "source", side, slices)
    repeats = 1 if quick else REPEATS
    clio_argo(work, 2)  # a warm-up: programs and slices are in the page cache
    one, two = ([clio_argo(work, n) for _ in range(repeats)] for n in (1, 2))
    figures = _figures(median(one), median(two), side * side * slices)
    figures += [_versus(median(one), median(two), quick), _multiple("mosaics", work, median(two), quick)]
    rmtree(work / "source")
    write_noisy_stack(real_slices(), work / "source", side, slices)
    return [*figures, _multiple("enlarged slices with noise", work, clio_argo(work, 2), quick)]


def _multiple(kind: str, work: Path, run: Spent, quick: bool) -> Figure:
    """A run as a multiple of decoding its files, which holds on any machine."""
    cv2.setNumThreads(1)
    once = spent(lambda: [cv2.imread(str(f), cv2.IMREAD_UNCHANGED) for f in sorted((work / "source").glob("*.png"))])
    limit, note = None if quick else MULTIPLE, f"{run.cpu_s:.1f} CPU s; {once.cpu_s:.1f} by OpenCV for the files alone"
    return Figure(f"{kind}: times decoding its files once, two workers", run.cpu_s / once.cpu_s, "x", limit, note=note)


def _figures(one: Spent, two: Spent, pixels: int) -> list[Figure]:
    return [
        Figure("whole run, one worker", one.cpu_s, "CPU s", note=f"{one.wall_s:.1f} s by the clock"),
        Figure("whole run, two workers", two.cpu_s, "CPU s", note=f"{two.wall_s:.1f} s by the clock"),
        Figure("per 10^12 pixels, two workers", two.cpu_s / pixels * 1e12, "CPU s"),
    ]


def _versus(one: Spent, two: Spent, quick: bool) -> Figure:
    limit = None if quick else FASTER
    return Figure("two workers are faster by", one.wall_s / two.wall_s, "x", limit, at_least=True)


def clio_argo(work: Path, workers: int, *more: str) -> Spent:
    """`clio-argo run` on the slices in `source`; what it made stays in `out` until the next."""
    rmtree(work / "out", ignore_errors=True)
    used = spent(lambda: python(
        "-c", COMMAND, "run", "--source", work / "source", "--out", work / "out", "--image", "iso.%05d.png",
        "--workers", str(workers), "--log", "quiet", *more,
    ))  # fmt: skip
    assert (work / "out" / "complete.json").exists(), sys.argv
    return used


def walk_here(source: Path, out: Path, do: Callable[[Step, str, int], StepResult] = run_step) -> None:
    """A run on the slices in `source` in this process, which `do` does part by part."""
    config = Request(id="benchmark", source=str(source), image="iso.%05d.png")
    os.environ[REQUEST] = config.model_dump_json()
    results: dict[str, StepResult] = {}
    for step in PIPELINE.steps:
        for part in parts_of(step, results):
            results[step.name] = do(step, str(out), part.part)
