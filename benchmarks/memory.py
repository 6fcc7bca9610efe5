"""Peak memory of a worker with slices of 10,000 x 10,000."""

from pathlib import Path

from benchmarks.crafted import planned, solved
from benchmarks.figures import Figure
from benchmarks.measure import python
from benchmarks.slices import turned
from benchmarks.sources import long_stack, real_slices
from benchmarks.stacks import write_stack
from benchmarks.whole import clio_argo
from clio_argo.pipeline import PIPELINE
from clio_argo.store.documents import Store
from clio_argo.workspace.logs import read_attempts

SIDE_PX, QUICK_PX, SLICES = 10_000, 1500, 16
# so many that slabs are as deep as memory allows
DEEP_SLICES = 256
LIMIT_GIB = 3.5
STEP = "from clio_argo.container import main; main()"


def measure(work: Path, quick: bool) -> list[Figure]:
    """A whole run of 16 slices by one worker, which lives through all stages, and render with the deepest slab."""
    write_stack(real_slices(), work / "source", QUICK_PX if quick else SIDE_PX, SLICES)
    clio_argo(work, 1)
    peaks = stage_peaks(work / "out")
    limit = None if quick else LIMIT_GIB
    return [
        Figure("a worker's peak memory", max(peaks.values()), "GiB", limit, note="16 slices, memory_gib 4"),
        *(Figure(f"after {step}", gib, "GiB", note="so far in that worker") for step, gib in peaks.items()),
        Figure("render, deepest slab", deep_render(work), "GiB", limit, note="as in a stack of 256 slices"),
    ]


def stage_peaks(out: Path) -> dict[str, float]:
    """Largest peak of each stage in GiB, from the logs of all attempts."""
    store = Store(str(out))
    attempts, _ = read_attempts(store)
    return {
        step.name: max((a.peak_mib for a in attempts if a.step == step.name), default=0.0) / 1024
        for step in PIPELINE.steps
    }


def deep_render(work: Path) -> float:
    """Peak of one slab of a long stack, in a process of its own, in GiB."""
    url = work / "deep"
    planned(long_stack(work / "source", work / "long", DEEP_SLICES), url)
    solved(url, turned)
    python("-c", STEP, "render", "--run", url, "--part", "0")
    return stage_peaks(url)["render"]
