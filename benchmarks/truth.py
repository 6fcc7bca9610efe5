"""What alignment found against what is known: errors of pairs, flags, jumps."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from clio_argo.model.alignment import Floats, Transforms, homogeneous

LEAST_JUMP_PX, FOLLOWED_PX = 15.0, 1.0
Score = dict[str, Any]
Pair = tuple[int, int]


def over_seeds(scores: Sequence[Score]) -> Score:
    """Medians over the stacks, and the maximum of maxima."""
    over = {"median": np.median, "p95": np.median, "max": max, "jitter": np.median}
    return {key: float(how([s[key] for s in scores])) for key, how in over.items()}


def flags(truth: Sequence[dict[str, Any]], found: Transforms) -> dict[str, int]:
    """Defects that are flagged (right) and not (missed), good slices that are flagged, and unseen empty ones."""
    verdict = {s.z: s.verdict for s in found.slices}
    wrong = [(s["defect"] is not None, verdict.get(s["k"], "missing") != "good") for s in truth]
    empty = [s["k"] for s in truth if not s["alignable"]]
    return {
        "right": wrong.count((True, True)),
        "missed": wrong.count((True, False)),
        "wrong": wrong.count((False, True)),
        "hidden": sum(verdict.get(z) not in ("bad", "missing", None) for z in empty),
    }


def errors(truth: Sequence[dict[str, Any]], found: Transforms, shape: Sequence[int]) -> dict[Pair, float]:
    """Errors of the pairs that the script scores: neighbours among slices with tissue of their own and one shape."""
    right = {
        s["k"]: homogeneous(np.array(s["out_to_ref"]))
        for s in truth
        if s["alignable"] and s["defect"] not in ("dup", "glitch")
    }
    ours = {e["k"]: homogeneous(e["out_to_ref"]) for e in estimated(found)}
    pairs = itertools.pairwise(sorted(right.keys() & ours.keys()))
    return {p: pair_error(right, ours, p, shape[0], shape[1]) for p in pairs}


def jumps(truth: Sequence[dict[str, Any]], found: Transforms) -> dict[str, int]:
    """Jumps of the stage between slices that show tissue, and those after which slices lie as they should."""
    right = {s["k"]: homogeneous(np.array(s["out_to_ref"])) for s in truth if s["alignable"]}
    ours = {s.z: homogeneous(np.array(s.matrix)) for s in found.slices if s.matrix}
    height, width = found.height, found.width
    steps = [
        (right[a][:2, 2] - right[b][:2, 2], pair_error(right, ours, (a, b), height, width))
        for a, b in itertools.pairwise(sorted(right.keys() & ours.keys()))
    ]
    seen = [error for step, error in steps if np.hypot(*step) >= LEAST_JUMP_PX]
    return {"jumps": len(seen), "followed": sum(e <= FOLLOWED_PX for e in seen)}


def estimated(found: Transforms) -> list[dict[str, Any]]:
    """Matrices of all slices that were placed, as the script wants them."""
    first = found.slices[0].z
    return [{"k": s.z - first, "out_to_ref": s.matrix} for s in found.slices if s.matrix is not None]


def as_if_tissue_stood(truth: Sequence[dict[str, Any]], still: Transforms) -> list[dict[str, Any]]:
    """The truth of moved slices with what tissue alone does to them put in: where they were placed unmoved."""
    places = {e["k"]: homogeneous(e["out_to_ref"]) for e in estimated(still)}
    return [
        {**s, "out_to_ref": (places[s["k"]] @ homogeneous(np.array(s["out_to_ref"])))[:2].tolist()}
        for s in truth
        if s["k"] in places
    ]


def own_errors_of_fits(truth: dict[str, Any], found: Transforms, still: Transforms) -> list[float]:
    """Errors of the fits of moved slices against those of the same slices unmoved."""
    moved = {s["k"] + found.slices[0].z: homogeneous(np.array(s["out_to_ref"])) for s in truth["slices"]}
    unmoved = {(f.z0, f.z1): homogeneous(f.matrix) for f in still.fits if f.matrix}
    height, width = truth["shape"][:2]
    return [
        pair_error({z0: moved[z0], z1: unmoved[z0, z1] @ moved[z1]}, {z0: np.eye(3), z1: homogeneous(f.matrix)},
                   (z0, z1), height, width)
        for f in found.fits if f.matrix and (z0 := f.z0, z1 := f.z1) in unmoved
    ]  # fmt: skip


def pair_error(
    right: Mapping[int, Floats], found: Mapping[int, Floats], pair: tuple[int, int], height: int, width: int
) -> float:
    """Mean distance over nine points of a slice, in pixels."""
    points = np.array([(x, y, 1.0) for x in (0, width / 2, width - 1) for y in (0, height / 2, height - 1)])
    i, j = pair
    wrong = np.linalg.inv(found[i]) @ found[j] - np.linalg.inv(right[i]) @ right[j]
    return float(np.hypot(*(points @ wrong[:2].T).T).mean())
