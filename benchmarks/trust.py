"""What it costs that a run can be proven whole: checksums and records while it is made, and verifying it afterwards."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import google_crc32c

from benchmarks.figures import Figure
from benchmarks.measure import REPEATS, peak_gib, python, repeated, spent
from benchmarks.sources import real_slices
from benchmarks.stacks import write_stack
from benchmarks.whole import walk_here
from clio_argo.maintenance.verify import verify
from clio_argo.model.grid import build_volume
from clio_argo.model.layout import VOLUME
from clio_argo.model.request import Request
from clio_argo.model.run import Mode, ObjectRecord, UnitRecord
from clio_argo.model.volume import VolumeSpec, Zyx
from clio_argo.pipeline import PIPELINE
from clio_argo.runner import run_step
from clio_argo.store.backends.base import Listed
from clio_argo.store.documents import Store
from clio_argo.store.manifest import write_record
from clio_argo.workspace import run as workspace_run
from clio_argo.workspace import units as workspace_units
from clio_argo.workspace.comparison import compare, volume_steps
from clio_argo.workspace.expected import expected_names
from clio_argo.workspace.run import Run

SIDE_PX, SLICES = 4096, 128
QUICK_PX, QUICK_SLICES = 1024, 32
MANY: Zyx = (8192, 22_000, 22_000)
QUICK_MANY: Zyx = (256, 4096, 4096)
SHARE_LIMIT, LISTED_LIMIT_S, LISTED_LIMIT_GIB, RATE_LIMIT_MB_S = 3, 60, 1, 500
OBJECT_BYTES = 2**20
# all that is done for the manifest alone
TRUST = [
    (google_crc32c, "value"),
    (Store, "record"),
    (workspace_units, "why_again"),
    (workspace_units, "read_record"),
    (workspace_run, "write_record"),
    (workspace_run, "read_records"),
]


def measure(work: Path, quick: bool) -> list[Figure]:
    """Share of checksums and manifest in a run; speed of verify on it; verify of a run of a million objects."""
    side, slices = (QUICK_PX, QUICK_SLICES) if quick else (SIDE_PX, SLICES)
    write_stack(real_slices(), work / "source", side, slices)
    share = 100 * share_of_trust(work / "source", work / "run")
    note = f"{slices} slices of {side} x {side}; checksums, reading back, records, and the step verify"
    limit = None if quick else SHARE_LIMIT
    return [
        Figure("checksums and manifest, of a run's CPU time", share, "%", limit, note=note),
        *(rate(work / "run", mode, quick) for mode in ("default", "deep")),
        *many_objects(work / "many", QUICK_MANY if quick else MANY),
    ]


def share_of_trust(source: Path, url: Path) -> float:
    """CPU time that is spent for the manifest alone over that of a whole run, in this process."""
    meter = _Meter()
    with ExitStack() as patched:
        for place, name in TRUST:
            patched.enter_context(patch.object(place, name, meter.measured(getattr(place, name))))
        metered = meter.measured(run_step)
        whole = spent(
            lambda: walk_here(
                source, url, lambda step, *at: (metered if step.name == "verify" else run_step)(step, *at)
            )
        )
    return meter.cpu_s / whole.cpu_s


class _Meter:
    """CPU time of some functions, what they call included."""

    def __init__(self) -> None:
        self.cpu_s, self._inside = 0.0, False

    def measured(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            if self._inside:
                return function(*args)
            self._inside, began = True, time.process_time()
            try:
                return function(*args)
            finally:
                self._inside = False
                self.cpu_s += time.process_time() - began

        return call


def rate(url: Path, mode: Mode, quick: bool) -> Figure:
    """MB/s by the clock with all cores, the start of the workers included."""
    used = repeated(lambda: verify(str(url), mode), repeats=1 if quick else REPEATS)
    found = verify(str(url), "quick")
    assert not found.faults
    size, what = (found.bytes, "stored") if mode == "default" else (decoded_bytes(url), "decoded")
    limit = None if quick else RATE_LIMIT_MB_S
    note = f"{size / 1e6:,.0f} MB in {used.wall_s:.2f} s by the clock, {used.cpu_s:.2f} CPU s; local files"
    return Figure(f"verify, {mode}: {what} bytes", size / 1e6 / used.wall_s, "MB/s", limit, True, note)


def decoded_bytes(url: Path) -> int:
    """Bytes of the voxels of all scales of both volumes."""
    spec = Store(str(url)).document(VolumeSpec, VOLUME)
    voxels = [z * y * x for z, y, x in (s.size for s in spec.scales)]
    return sum(voxels) * spec.itemsize + sum(voxels[spec.ng_scales.start :])


def many_objects(url: Path, size: Zyx) -> list[Figure]:
    """Quick verify of a run with real records of objects that only the listing has, in a process of its own."""
    config = Request(id="benchmark", source="none", memory_gib=8)
    spec = build_volume(config, (0, 0, 0), size, "uint8", None)
    run = Run(Store(str(url)), PIPELINE["verify"], PIPELINE)
    run.store.write(VOLUME, spec.to_bytes())
    for step, unit, names in expected(run):
        objects = tuple(ObjectRecord(name=n, size=OBJECT_BYTES, crc32c="0badcafe") for n in names)
        write_record(run.store, UnitRecord(step=step, unit=unit, inputs="", objects=objects))
    told = json.loads(python("-m", "benchmarks.trust", url))
    limits = (LISTED_LIMIT_S, LISTED_LIMIT_GIB) if size == MANY else (None, None)
    note = f"{told['objects']:,} objects in the manifest and in a simulated listing"
    return [
        Figure("verify, quick: a large run", told["wall_s"], "s by the clock", limits[0], note=note),
        Figure("verify, quick: memory of it", told["peak_gib"], "GiB", limits[1]),
    ]


def main() -> None:
    """Verify the run at argv[1] against a listing that is made up of what should be there."""
    run = Run(Store(sys.argv[1]), PIPELINE["verify"], PIPELINE)
    began = time.perf_counter()
    found = compare(run, simulated(run))
    assert not found.faults, found.faults[:3]
    told = {"objects": found.objects, "wall_s": time.perf_counter() - began, "peak_gib": peak_gib()}
    print(json.dumps(told))


def simulated(run: Run) -> Iterator[Listed]:
    return (Listed(n, OBJECT_BYTES, "0badcafe") for *_, names in expected(run) for n in names)


def expected(run: Run) -> Iterator[tuple[str, int, Iterator[str]]]:
    """Every unit with the names of its objects."""
    for step in volume_steps(run):
        yield from ((step.name, unit, expected_names(run, step, unit)) for unit in run.unit_numbers(step))


if __name__ == "__main__":
    main()
