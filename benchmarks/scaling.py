"""What one more small slice costs, stage by stage: from 100 to 1,000 slices, and from 1,000 to 10,000.

One process does all parts, warmed up by a run: what it loads, a worker does once. A machine that is warm, or shared,
works slower for minutes on end, while short runs come and go. So short runs stand before, between and after the long
ones: what drifts meanwhile is about the same in all three medians. All lies in memory where that is a disk, too: to
make a small document sure on a disk takes the system more time than some stages take, and never twice the same.
"""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from shutil import rmtree

import cv2
import numpy as np

from benchmarks.figures import Figure
from benchmarks.measure import REPEATS, python
from benchmarks.memory import stage_peaks
from benchmarks.sources import real_volume, there_and_back
from benchmarks.whole import clio_argo, walk_here
from clio_argo.pipeline import PIPELINE
from clio_argo.store.documents import Store
from clio_argo.workspace.logs import read_attempts

COUNTS, QUICK_COUNTS = (100, 1_000, 10_000), (50, 200, 800)
# few sections: over sixty, tissue wanders by a third of so small a field, as no stage and no large field does
SIDE_PX, JITTER_PX, SECTIONS = 128, 12, 8
SHORT_RUNS = 2
TOLERANCE = 0.1
# below this a stage's marginal time cannot be told from noise: seconds per slice
LEAST_S = 1e-4
HEADERS, QUICK_HEADERS, HEADERS_LIMIT_S = 10_000, 500, 10
Times = dict[str, float]


def measure(work: Path, quick: bool) -> list[Figure]:
    """Marginal CPU time of every stage, how much it changes, and memory with the most slices."""
    counts = QUICK_COUNTS if quick else COUNTS
    runs = _runs(work, counts, 1 if quick else REPEATS)
    clio_argo(work / str(counts[-1]), 2)
    peaks = stage_peaks(work / str(counts[-1]) / "out")
    figures = [f for step in PIPELINE.steps for f in _stage(step.name, counts, runs, peaks[step.name])]
    whole = [{"all": sum(times.values())} for times in runs]
    return [*figures, *_stage("all", counts, whole, max(peaks.values()))]


def _runs(work: Path, counts: Sequence[int], repeats: int) -> list[Times]:
    """CPU seconds of every stage per number of slices, medians of whole runs."""
    for n in counts:
        write_small(work / str(n) / "source", n)
    low, middle, high = counts
    around = [low, middle] * SHORT_RUNS
    found: dict[int, list[Times]] = {n: [] for n in counts}
    _walked(work / str(middle))
    for n in [*around, *[high, *around] * repeats]:
        found[n].append(_walked(work / str(n)))
    return [{step: statistics.median(t[step] for t in found[n]) for step in found[n][0]} for n in counts]


def _walked(work: Path) -> Times:
    """CPU seconds of every stage of a run in this process."""
    rmtree(work / "out", ignore_errors=True)
    walk_here(work / "source", work / "out")
    return stage_times(work / "out")


def stage_times(out: Path) -> Times:
    """CPU seconds of every stage, summed over its parts."""
    attempts, _ = read_attempts(Store(str(out)))
    return {s.name: sum(a.cpu_s for a in attempts if a.step == s.name) for s in PIPELINE.steps}


def _stage(step: str, counts: Sequence[int], runs: Sequence[Times], peak_gib: float) -> list[Figure]:
    low, high = ((runs[i + 1][step] - runs[i][step]) / (counts[i + 1] - counts[i]) for i in range(len(counts) - 1))
    told = max(low, high) > LEAST_S
    change = high / low - 1 if low > 0 else 0.0
    note = f"{counts[0]:,} → {counts[1]:,}: {low * 1000:.2f} ms; {counts[1]:,} → {counts[2]:,}: {high * 1000:.2f} ms"
    return [
        Figure(f"{step}: one more slice", high * 1000, "ms", note=note),
        Figure(f"{step}: change of that", abs(change) * 100, "%", TOLERANCE * 100 if told else None,
               note=f"{change:+.1%}" if told else "below 0.1 ms"),
        Figure(f"{step}: peak memory", peak_gib, "GiB", note=f"{counts[2]:,} slices"),
    ]  # fmt: skip


def write_small(folder: Path, slices: int, suffix: str = "png") -> None:
    """Crops of 128 x 128 of eight real slices, there and back through them, moved by known whole pixels.

    Each has noise of a grey level of its own: two files with the same pixels are suspect, as they are in real stacks.
    """
    folder.mkdir(parents=True)
    volume, random = real_volume(), np.random.default_rng(0)
    middle = (volume.shape[1] - SIDE_PX) // 2
    for z, (x, y) in enumerate(random.integers(-JITTER_PX, JITTER_PX + 1, (slices, 2))):
        whole = volume[there_and_back(z, SECTIONS)]
        crop = whole[middle + y : middle + y + SIDE_PX, middle + x : middle + x + SIDE_PX]
        noise = random.integers(-1, 2, crop.shape)
        cv2.imwrite(str(folder / f"iso.{z:05d}.{suffix}"), (crop + noise).clip(0, 255).astype(np.uint8))


def headers(work: Path, quick: bool) -> list[Figure]:
    """Planning of 10,000 local slices by the clock."""
    count = QUICK_HEADERS if quick else HEADERS
    return [_headers(work / suffix, count, suffix) for suffix in ("png", "tif")]


PLAN = """
import json, sys, time
from clio_argo import Request, plan
begin = time.perf_counter()
found = plan(Request(id="benchmark", source=sys.argv[1], image=sys.argv[2]))
print(json.dumps([found.usable, time.perf_counter() - begin]))
"""


def _headers(folder: Path, count: int, suffix: str) -> Figure:
    write_small(folder, count, suffix)
    found = [json.loads(python("-c", PLAN, folder, f"iso.%05d.{suffix}")) for _ in range(REPEATS + 1)][1:]
    assert all(usable == count for usable, _ in found)
    wall = statistics.median(seconds for _, seconds in found)
    return Figure(f"plan of {count:,} slices, {suffix.upper()}", wall, "s by the clock", HEADERS_LIMIT_S)
