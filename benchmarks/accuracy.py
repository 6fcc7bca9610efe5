"""How exact alignment is and which slices it flags, on stacks with known transforms and defects.

Scored by the script that makes the stacks. Limits are those of tissue alone, as measured for an affine on undistorted
neighbours (0.26 px, 0.40 px), plus 0.05 px. Tissue alone changes more where slices between two are bad, so what the
same slices show undistorted, each pair fitted for itself, is measured, too. Own errors are free of tissue: where moved
slices are put, against where the same slices are put unmoved.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import copytree, rmtree
from typing import Any

import cv2
import numpy as np
import tifffile

from benchmarks import tissue
from benchmarks.figures import Figure
from benchmarks.measure import python
from benchmarks.sources import DEMO, MISALIGN, PLAIN_SIFT, SHARED, real_slices
from benchmarks.stacks import write_stack
from benchmarks.truth import (
    FOLLOWED_PX,
    LEAST_JUMP_PX,
    Score,
    as_if_tissue_stood,
    errors,
    estimated,
    flags,
    jumps,
    over_seeds,
    own_errors_of_fits,
    pair_error,
)
from benchmarks.whole import COMMAND
from clio_argo.model.alignment import Floats, Transforms, homogeneous
from clio_argo.store.documents import Store

LIMITS_PX = {"median": 0.31, "p95": 0.45, "max": 1.0}
STATIC_LIMIT_PX, F1_LIMIT = 0.02, 0.98
OWN_LIMITS_PX = {"median": 0.04, "jitter": 0.08}
STILL = ["--jitter", "0", "--drift", "0", "--rot", "0", "--scale", "0", "--shear", "0"]
JITTER_PX, DRIFT_PX = 2.0, 0.5
MOVING = ["--jitter", f"{JITTER_PX}", "--drift", f"{DRIFT_PX}", "--rot", "0.15"]
HARD = [*MOVING, "--noise", "5", "--gain", "0.12", "--offset", "6", "--defect-rate", "0.06",
        "--jump-rate", "0.02", "--jump-size", "40"]  # fmt: skip
DRIFTING = [*MOVING, "--noise", "5"]
STAYING = ["--jitter", "1", "--drift", "0", "--rot", "0.15", "--noise", "5"]
SEEDS = range(201, 207)
ABOVE_TISSUE_PX, ANCHOR_LIMIT_PX = 0.05, 0.02
SAME_PLACE_PX = 2.0
NO_ANCHOR = {"alignment.anchor": "false"}
MODELS = ("auto", "translation", "rigid", "affine")


def measure(work: Path, quick: bool) -> list[Figure]:
    """Pair errors: mean distance, over the slice, between where a pair is put and where it belongs."""
    if not MISALIGN.exists():
        return _pairs("demo stack, good slices", _demo(work))
    few = ["--nz", "12"] if quick else []
    figures = defects(work, few, SEEDS[:1] if quick else SEEDS, "uint8")
    figures += defects(work, few, SEEDS[:1], "uint16")
    figures += own(work, few, SEEDS[:1] if quick else SEEDS)
    figures += floor(work, few, SEEDS[:1] if quick else SEEDS)
    figures += anchor(work, few, SEEDS[:1] if quick else SEEDS[:3])
    static = _misaligned(work / "static", ["--static", *(few or ["--nz", "60"])])
    figures += _pairs("one slice again and again", static, {"max": STATIC_LIMIT_PX})
    for model in MODELS:
        still = _misaligned(work / model, [*STILL, *few], **{"alignment.model": model, **NO_ANCHOR})
        figures += _pairs(f"nothing moved, model {model}", still, note="without an anchor: tissue alone")
    figures += _pairs("nothing moved, with an anchor", _misaligned(work / "still", [*STILL, *few]))
    return figures + real(work, quick)


def defects(work: Path, few: Sequence[str], seeds: Sequence[int], dtype: str) -> list[Figure]:
    """Stacks with shifts, drift, jumps, flicker, noise and defects; medians over the seeds, maxima of maxima."""
    hard = [[*HARD, "--dtype", dtype, "--seed", str(s), *few] for s in seeds]
    scores = [_misaligned(work / "hard", options) for options in hard]
    repeats = [
        _misaligned(work / "repeats", [*options, *_copies(s, few)]) for s, options in zip(seeds, hard, strict=True)
    ]
    what, note = f"{len(scores)} stacks with defects, {dtype}", f"seeds {seeds[0]} to {seeds[-1]}"
    return [
        *_pairs(what, over_seeds(scores), {} if few else LIMITS_PX, note),
        *_above_tissue(what, scores),
        *_pairs(f"{what}, two slices repeated in each", over_seeds(repeats), note=note),
        *_above_tissue(f"{what}, two slices repeated in each", repeats),
        *_flags(what, [*scores, *repeats]),
    ]  # fmt: skip


def _flags(what: str, scores: Sequence[Score]) -> list[Figure]:
    """Over all stacks, those with repeated slices included."""
    count = {key: sum(s[key] for s in scores) for key in ("right", "missed", "wrong", "hidden", "jumps", "followed")}
    f1 = 2 * count["right"] / max(2 * count["right"] + count["missed"] + count["wrong"], 1)
    return [
        Figure(f"{what}: F1 of flags", f1, "", F1_LIMIT, at_least=True,
               note=f"{count['right']} right, {count['missed']} missed, {count['wrong']} wrong; "
                    f"{len(scores)} stacks, half of them with two slices repeated"),
        Figure(f"{what}: slices without content not called bad", count["hidden"], "", 0),
        Figure(f"{what}: jumps followed", count["followed"], "", count["jumps"], at_least=True,
               note=f"of {LEAST_JUMP_PX:g} px and more, within {FOLLOWED_PX:g} px"),
    ]  # fmt: skip


def _copies(seed: int, few: Sequence[str]) -> list[str]:
    """Options: slices that repeat the one before them."""
    second = [] if few else ["--defect", f"{30 + seed % 20}:dup"]
    return ["--defect", f"{5 + seed % 3}:dup", *second]


def _above_tissue(what: str, scores: Sequence[Score]) -> list[Figure]:
    """How much larger pair errors are than those of the same pairs undistorted and fitted alone; and neighbours'."""
    alone = tissue.alone({pair for s in scores for pair in s["pairs"]})
    floors = [[alone[pair] for pair in s["pairs"]] for s in scores]
    p95, floor95 = (float(np.median([np.percentile(e, 95) for e in of]))
                    for of in ([list(s["pairs"].values()) for s in scores], floors))  # fmt: skip
    worst, most = max(max(s["pairs"].values()) for s in scores), max(map(max, floors))
    near = max(e for s in scores for (a, b), e in s["pairs"].items() if b == a + 1)
    return [
        Figure(f"{what}: pair error, p95, above tissue alone", p95 - floor95, "px", ABOVE_TISSUE_PX,
               note=f"of the same pairs, {floor95:.3f} px"),
        Figure(f"{what}: pair error, max, above tissue alone", worst - most, "px", ABOVE_TISSUE_PX,
               note=f"of the same pairs, {most:.3f} px, over slices that are bad"),
        Figure(f"{what}: pair error, max of slices next to each other", near, "px", LIMITS_PX["max"]),
    ]  # fmt: skip


def own(work: Path, few: Sequence[str], seeds: Sequence[int]) -> list[Figure]:
    """What a result adds to tissue: moved stacks against the same slices unmoved, by one model without an anchor."""
    figures = list[Figure]()
    for noise in (0, 5):
        scores = [_own(work / "own", ["--noise", f"{noise}", "--seed", str(s), *few]) for s in seeds]
        what, over = f"own error, noise of {noise} grey levels", over_seeds(scores)
        fits = float(np.median([s["fits"] for s in scores]))
        figures += [
            Figure(f"{what}: fits alone", fits, "px", note="of pairs, before slices are placed"),
            *(Figure(f"{what}: {measure}", over[key], "px", None if few or noise else OWN_LIMITS_PX[key],
                     note=f"against the same slices unmoved, model affine, no anchor; {len(seeds)} stacks")
              for key, measure in (("median", "pair"), ("jitter", "detrended"))),
        ]  # fmt: skip
    return figures


def _own(work: Path, options: list[str]) -> Score:
    """The truth of a moved stack is where its slices are put when nothing moves them."""
    settings = {"alignment.model": "affine", **NO_ANCHOR}
    _made(work / "still", [*STILL, *options])
    still = _aligned(work / "still", **settings)
    source = _made(work, [*MOVING, *options])
    truth = json.loads((source / "truth.json").read_text(encoding="utf-8"))
    found = _aligned(work, **settings)
    fits = float(np.median(own_errors_of_fits(truth, found, still)))
    truth["slices"] = as_if_tissue_stood(truth["slices"], still)
    (source / "truth.json").write_text(json.dumps(truth), encoding="utf-8")
    (work / "found.json").write_text(json.dumps({"slices": estimated(found)}), encoding="utf-8")
    score = _scored(work)
    rmtree(work)
    return {**score, "fits": fits}


def floor(work: Path, few: Sequence[str], seeds: Sequence[int]) -> list[Figure]:
    """The same stacks by plain SIFT and a chain, and the least that tissue leaves of a stage that moves so."""
    scores = [_plain_sift(work / "plain", [*HARD, "--seed", str(s), *few]) for s in seeds]
    what, over = f"{len(scores)} stacks with defects, plain SIFT and chain", over_seeds(scores)
    chained, best = tissue.least_detrended(JITTER_PX, DRIFT_PX)
    return [
        *_pairs(what, over),
        Figure(f"{what}: detrended error", over["jitter"], "px"),
        Figure("the least that a stage which jitters and drifts so leaves: detrended error", best, "px",
               note="Gaussian regression that knows how stage and tissue move, from exact shifts: nothing turns or "
                    f"jumps, no slice is bad; without it {chained:.3f} px"),
    ]  # fmt: skip


def anchor(work: Path, few: Sequence[str], seeds: Sequence[int]) -> list[Figure]:
    """Stacks whose recorded positions drift, and whose do not, with and without an anchor to these."""
    held, free = _held_and_free(work, [*DRIFTING, *few], seeds)
    what = "positions that drift, with an anchor: pair error above that without"
    drifting = [
        Figure(f"{what}, {key}", held[key] - free[key], "px", ANCHOR_LIMIT_PX,
               note=f"with {held[key]:.4f}, without {free[key]:.4f} px; {len(seeds)} stacks")
        for key in ("median", "p95")
    ]  # fmt: skip
    held, free = _held_and_free(work, [*STAYING, *few], seeds)
    what = "positions that jitter by 1 px and do not drift, with an anchor"
    return drifting + [
        Figure(f"{what}: {measure}", held[key], "px", note=f"without {free[key]:.4f} px; {len(seeds)} stacks")
        for key, measure in (("median", "pair error, median"), ("jitter", "detrended error"))
    ]


def _held_and_free(work: Path, options: list[str], seeds: Sequence[int]) -> list[Score]:
    """Over the seeds, with and without an anchor."""
    each = [[*options, "--seed", str(s)] for s in seeds]
    return [over_seeds([_misaligned(work / "held", o, **settings) for o in each]) for settings in ({}, NO_ANCHOR)]


def real(work: Path, quick: bool) -> list[Figure]:
    """Stacks without a known truth: how many slices are placed, and how many are flagged."""
    figures, placed = list[Figure](), dict[str, Transforms]()
    for what, folder, factor in (
        ("raw, noisy FIB-SEM", "fibsem_raw_unaligned/fibsem.tif", 1),
        ("ssTEM", "sstem_fly_vnc_10/raw", 1),
        ("ssTEM, a quarter of the size", "sstem_fly_vnc_10/raw", 4),
    ):
        target = work / f"real-{len(figures)}"
        _as_stack(SHARED / folder, target / "source", factor)
        placed[what] = _aligned(target)
        figures += _placed(what, placed[what])
    figures += _same_place(placed["ssTEM"], placed["ssTEM, a quarter of the size"], 4)
    mosaic = work / "mosaic"
    side = 1200 if quick else 4160
    write_stack(real_slices(), mosaic / "source", side, 8)
    return figures + _placed(f"mosaic of {side} x {side}", _aligned(mosaic))


def _as_stack(source: Path, target: Path, factor: int) -> None:
    """Pages or files as numbered slices, reduced by `factor`."""
    target.mkdir(parents=True)
    pages = tifffile.imread(source if source.is_file() else sorted(source.glob("*.tif")))
    for z, page in enumerate(pages):
        small = cv2.resize(page, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(target / f"iso.{z:05d}.png"), small)


def _placed(what: str, found: Transforms) -> list[Figure]:
    slices = len(found.slices)
    placed, flagged = (sum(s.matrix is not None for s in found.slices), sum(s.verdict != "good" for s in found.slices))
    return [
        Figure(f"{what}: slices placed", placed, "", slices, at_least=True, note=f"of {slices}"),
        Figure(f"{what}: slices flagged", flagged, "", note=f"{len(found.breaks)} breaks"),
    ]


def _same_place(full: Transforms, small: Transforms, factor: int) -> list[Figure]:
    """Neighbours that both sizes place alike, or that are flagged in one of them, of all neighbours."""
    scale = np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2], [0, 0, 1.0]])
    a = good(full)
    b = {z: scale @ matrix @ np.linalg.inv(scale) for z, matrix in good(small).items()}
    every = len(full.slices) - 1
    errors = [pair_error(a, b, p, full.height, full.width) for p in itertools.pairwise(sorted(a.keys() & b.keys()))]
    how = f"or flagged; median {np.median(errors):.2f}, max {max(errors):.2f} px of the full size"
    alike = {px: sum(e <= SAME_PLACE_PX * px for e in errors) + every - len(errors) for px in (1, factor)}
    what = f"ssTEM: neighbours that both sizes place within {SAME_PLACE_PX:g} px of the"
    return [
        Figure(f"{what} {size}", 100 * alike[px] / every, "%", 95, at_least=True, note=how)
        for px, size in ((factor, "quarter"), (1, "full size"))
    ]


def good(found: Transforms) -> dict[int, Floats]:
    """3x3 matrices of the slices that are not flagged in any way, by z."""
    return {s.z: homogeneous(s.matrix) for s in found.slices if s.matrix and s.verdict == "good"}


def _pairs(what: str, score: Score, limits: Mapping[str, float] | None = None, note: str = "") -> list[Figure]:
    """Median, 95th percentile and maximum of the pair error."""
    return [
        Figure(f"{what}: pair error, {key}", score[key], "px", (limits or {}).get(key), note=note)
        for key in ("median", "p95", "max")
    ]


def _misaligned(work: Path, options: list[str], **settings: str) -> Score:
    source = _made(work, options)
    found = _aligned(work, **settings)
    (work / "found.json").write_text(json.dumps({"slices": estimated(found)}), encoding="utf-8")
    score = _scored(work)
    document = json.loads((source / "truth.json").read_text(encoding="utf-8"))
    truth = document["slices"]
    rmtree(work)
    pairs = errors(truth, found, document["shape"])
    return {**score, "pairs": pairs, **flags(truth, found), **jumps(truth, found)}


def _plain_sift(work: Path, options: list[str]) -> Score:
    python(PLAIN_SIFT, _made(work, options) / "truth.json", work / "found.json")
    score = _scored(work)
    rmtree(work)
    return score


def _made(work: Path, options: list[str]) -> Path:
    source = work / "source"
    python(MISALIGN, "make", "--in", real_slices(), "--out", source, *options)
    return source


def _scored(work: Path) -> Score:
    scored: Any = json.loads(python(MISALIGN, "score", work / "source" / "truth.json", work / "found.json"))
    pair = {key: scored["pair_px"][key] for key in ("median", "p95", "max")}
    return {**pair, "jitter": scored["jitter_px"]["median"]}


def _aligned(work: Path, **settings: str) -> Transforms:
    """`clio-argo align` with gates wide open."""
    more = [text for key, value in settings.items() for text in ("--set", f"{key}={value}")]
    python(
        "-c", COMMAND, "align", "--source", work / "source", "--out", work / "out", "--image", "iso.%05d.png",
        "--workers", "2", "--log", "quiet", "--set", "max_bad=50", "--set", "max_breaks=50", *more,
    )  # fmt: skip
    return Store(str(work / "out")).document(Transforms, "transforms.json")


def _demo(work: Path) -> Score:
    """The demo stack against its own truth, where the script is not at hand."""
    copytree(DEMO, work / "source")
    truth = json.loads((DEMO / "truth.json").read_text(encoding="utf-8"))
    found = list(errors(truth["slices"], _aligned(work), truth["shape"]).values())
    return {"median": float(np.median(found)), "p95": float(np.percentile(found, 95)), "max": max(found)}
