"""`python -m benchmarks.rates`: rates of estimates (clio_argo/model/unit_costs.json) from what `estimate` measured."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from benchmarks.__main__ import RESULTS
from benchmarks.estimate import STACKS
from benchmarks.figures import Result, read_results
from clio_argo.model import costs
from clio_argo.model.costs import Amount, Density, Speed, StageRate, UnitCosts
from clio_argo.pipeline import PIPELINE, Step

FILE = Path(costs.__file__).with_name("unit_costs.json")
# The machine that rates are for. Others differ by 1.8 x, and what a cluster takes must not depend on who measured.
SPEED = Speed(copy_gb_s=11.97, decode_mb_s=154.5)
# the fields of a rate, and how many of their unit are a second
FIELDS = {"once_s": 1.0, "slice_ms": 1e3, "feature_ns": 1e9, "reduced_ns": 1e9, "byte_ns": 1e9}
# what grows with what: else noise of small stacks would be hours of large ones
ONCE, OF_PAIRS = {"once_s", "slice_ms"}, {"slice_ms", "feature_ns", "reduced_ns"}
OF_VOXELS, VOXELS = {"slice_ms", "feature_ns", "byte_ns"}, {"reduce", "render", "write"}
# objects for each slice, besides shards: documents of units of 16 slices are a sixteenth each
WRITES = {"plan": 1 / 16, "reduce": 3 / 16, "match": 1 / 16, "render": 1 + 1 / 16}
READS = {
    "plan": 1.0, "reduce": 2.0, "frame": 1 / 16, "match": 6 / 16, "suspects": 2 / 16, "solve": 3 / 16, "render": 1.0,
    "publish": 3 / 16,
}  # fmt: skip
# no stack of the benchmark has scales that `write` leaves to `coarsen`: they have a sixty-fourth of its voxels
COARSEN_NS = 0.1
# measured on the demo stack: JPEG of quality 80 per voxel, zstd per byte of a voxel
VIEWER, LOSSLESS = 0.13, 0.88


def main() -> None:
    FILE.write_bytes(derived(read_results(RESULTS)["estimate"]).to_bytes())


def derived(result: Result) -> UnitCosts:
    """Rates that are least wrong, in proportion, for the stacks of the benchmark, on the machine that they are for."""
    values = {f.what: f.value for f in result.figures}
    faster = Speed(values["calibration: copying memory"], values["calibration: decoding PNG"]).over(SPEED)
    starts = [faster * values[f"{name}: start of a process"] for name in STACKS]
    return UnitCosts(
        date=result.date,
        machine=f"{result.machine['processor']}, {result.machine['cores']} cores",
        **SPEED._asdict(),
        start_s=_rounded(float(np.median(starts))),
        stages={s.name: _rate(s, [faster * values[f"{name}: {s.name}"] for name in STACKS]) for s in PIPELINE.steps},
        lossless=Density(fine=LOSSLESS, coarse=LOSSLESS),
        viewer=Density(fine=VIEWER, coarse=VIEWER),
    )


def _rate(step: Step, seconds: Sequence[float]) -> StageRate:
    """Of one stage, from what it took for each stack."""
    if not any(seconds):
        return StageRate(byte_ns=COARSEN_NS if step.makes_volumes else 0.0)
    amounts = [Amount.of(s.slices, s.side, s.side, s.itemsize) for s in STACKS.values()]
    # columns of about one, which the solver needs
    columns = np.array([[1, *amount] for amount in amounts]) / list(FIELDS.values())
    columns *= [field in (OF_VOXELS if step.name in VOXELS else OF_PAIRS if step.units else ONCE) for field in FIELDS]
    weights = 1 / np.maximum(seconds, 0.05)
    rates, _ = nnls(columns * weights[:, None], np.array(seconds) * weights)
    times = {name: _rounded(rate) for name, rate in zip(FIELDS, rates, strict=True)}
    return StageRate(**times, slice_writes=WRITES.get(step.name, 0.0), slice_reads=READS.get(step.name, 0.0))


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


if __name__ == "__main__":
    main()
