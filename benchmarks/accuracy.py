"""How exact alignment is, on stacks with known transforms; scored by the script that makes them."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures import Figure
from benchmarks.measure import python
from benchmarks.sources import DEMO, MISALIGN, real_slices
from benchmarks.whole import clio_argo
from clio_argo.model.alignment import Floats, Transforms, homogeneous
from clio_argo.store.documents import Store

LIMITS_PX = {"median": 0.33, "p95": 0.6}
STATIC_LIMIT_PX = 0.05
STILL = ["--jitter", "0", "--drift", "0", "--rot", "0", "--scale", "0", "--shear", "0"]
MODELS = ("auto", "translation", "rigid", "affine")
Score = dict[str, float]


def measure(work: Path, quick: bool) -> list[Figure]:
    """Pair errors: mean distance, over the slice, between where a pair is put and where it belongs."""
    if not MISALIGN.exists():
        return _figures("demo stack, good slices", _demo(work))
    few = ["--nz", "12"] if quick else []
    moved = _misaligned(work / "moved", few, "auto")
    figures = _figures("60 medulla slices", moved, {} if quick else LIMITS_PX)
    static = _misaligned(work / "static", ["--static", "--nz", "12" if quick else "60"], "auto")
    figures += _figures("one slice again and again", static, {"max": STATIC_LIMIT_PX})
    for model in MODELS:
        still = _misaligned(work / model, [*STILL, *few], model)
        figures += _figures(f"nothing moved, model {model}", still, note="what tissue alone looks like")
    return figures


def _figures(what: str, score: Score, limits: dict[str, float] | None = None, note: str = "") -> list[Figure]:
    """Median, 95th percentile and maximum of the pair error."""
    limits = limits or {}
    return [
        Figure(f"{what}: pair error, {key}", value, "px", limits.get(key), note=note)
        for key, value in score.items()
    ]


def _misaligned(work: Path, options: list[str], model: str) -> Score:
    source = work / "source"
    python(MISALIGN, "make", "--in", real_slices(), "--out", source, *options)
    clio_argo(work, 2, "--set", f"alignment.model={model}")
    (work / "found.json").write_text(json.dumps({"slices": estimated(work / "out")}), encoding="utf-8")
    scored: Any = json.loads(python(MISALIGN, "score", source / "truth.json", work / "found.json"))
    return {key: scored["pair_px"][key] for key in ("median", "p95", "max")}


def estimated(out: Path) -> list[dict[str, Any]]:
    """Matrices of all slices that were placed, as the script wants them."""
    slices = Store(str(out)).document(Transforms, "transforms.json").slices
    first = slices[0].z
    return [{"k": s.z - first, "out_to_ref": s.matrix} for s in slices if s.matrix is not None]


def _demo(work: Path) -> Score:
    """The demo stack against its own truth, where the script is not at hand."""
    work.joinpath("source").symlink_to(DEMO, target_is_directory=True)
    clio_argo(work, 2, "--allow-bad-slices", "1")
    truth = json.loads((DEMO / "truth.json").read_text(encoding="utf-8"))
    right = {s["k"]: homogeneous(np.array(s["out_to_ref"])) for s in truth["slices"] if s["alignable"]}
    found = {s["k"]: homogeneous(np.array(s["out_to_ref"])) for s in estimated(work / "out")}
    errors = pair_errors(right, found, *truth["shape"])
    return {"median": float(np.median(errors)), "p95": float(np.percentile(errors, 95)), "max": max(errors)}


def pair_errors(right: dict[int, Floats], found: dict[int, Floats], height: int, width: int) -> list[float]:
    """Mean distance over nine points of a slice, for every pair of neighbours, in pixels."""
    points = np.array([(x, y, 1.0) for x in (0, width / 2, width - 1) for y in (0, height / 2, height - 1)])
    placed = sorted(right.keys() & found.keys())
    differences = [
        np.linalg.inv(found[i]) @ found[j] - np.linalg.inv(right[i]) @ right[j]
        for i, j in itertools.pairwise(placed)
    ]
    return [float(np.hypot(*(points @ d[:2].T).T).mean()) for d in differences]
