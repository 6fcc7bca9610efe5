"""Report data of made-up stacks of any length."""

import math
import random
from itertools import pairwise

from clio_argo.model.alignment import Break, PairFit, PlacedSlice, SliceStatistics, Transforms
from clio_argo.model.appearance import Contrast
from clio_argo.model.grid import build_volume
from clio_argo.model.plan import FanOut, Plan, Problem
from clio_argo.model.quality import PairSimilarity, Quality
from clio_argo.model.request import Request
from clio_argo.model.run import Costs, Gate, StageTime
from clio_argo.model.sizes import SizeRun
from clio_argo.report.data import Picture, ReportData

WIDTH, HEIGHT = 5000, 4000
PICTURE = "views/slices/%d.png"


def example(slices: int, first: int = 3493, bad_every: int = 23, broken: bool = False) -> ReportData:
    """A stack with some drift, a jump, one bad or missing slice in `bad_every`, and pairs over them."""
    noise = random.Random(slices)
    numbers = range(first, first + slices)
    flagged = {z: ("bad", "missing")[i % 2] for i, z in enumerate(numbers[bad_every // 2 :: bad_every])}
    placed = tuple(_placed(z, flagged.get(z, "suspect" if noise.random() < 0.02 else "good")) for z in numbers)
    request = _request()
    return ReportData(
        request=request,
        plan=_plan(numbers, [z for z, verdict in flagged.items() if verdict == "missing"]),
        transforms=Transforms(
            width=WIDTH + 40,
            height=HEIGHT + 62,
            jumps=tuple(z for z in numbers if z % 997 == 500),
            breaks=(Break(below=numbers[slices // 2] - 1, above=numbers[slices // 2]),) if broken else (),
            fits=tuple(f for z in numbers[1:] for f in _fits(z, set(flagged), first, noise)),
            slices=placed,
        ),
        statistics=tuple(_facts(z, noise) for z in numbers if flagged.get(z) != "missing"),
        volume=build_volume(request, (first, 0, 0), (slices, HEIGHT + 62, WIDTH + 40), "uint8", None),
        status="complete_with_flags" if flagged else "complete",
        gates=(
            Gate(name="max_bad", value=len(flagged), limit=slices // 20, unit="slices"),
            Gate(name="max_breaks", value=int(broken), limit=0, unit="breaks"),
        ),
        quality=_quality([z for z in numbers if z not in flagged], noise),
        slice_pictures={z: PICTURE % z for z, verdict in flagged.items() if verdict == "bad"},
        costs=_costs(slices),
        pictures=_pictures(),
        sizes_bytes={"ng": 2_100_000 * slices, "aligned": 21_900_000 * slices, "manifest": 40_000},
        viewer_url="https://neuroglancer-demo.appspot.com/#!%7B%22layers%22:%5B%5D%7D",
        run="gs://bucket/runs/medulla",
        version="0.1.0",
    )


def _request() -> Request:
    contrast = Contrast(clip_limit=0.01)
    return Request(
        id="fly medulla", source="gs://bucket/medulla", image="iso.%05d.png", contrast=contrast, max_bad=0.05
    )


def _plan(numbers: range, missing: list[int]) -> Plan:
    return Plan(
        source="gs://bucket/medulla/raw",
        minz=numbers[0],
        maxz=numbers[-1],
        width=WIDTH,
        height=HEIGHT,
        sizes=(SizeRun(z=numbers[0], slices=len(numbers) - len(missing), width=WIDTH, height=HEIGHT),),
        dtype="uint8",
        usable=len(numbers) - len(missing),
        source_bytes=15_300_000 * len(numbers),
        digest="0123456789abcdef0123456789abcdef",
        problems=tuple(Problem(kind="missing", z=z) for z in missing),
        unit_slices=16,
        reduce=FanOut.of(len(numbers), 500),
        match=FanOut.of(len(numbers), 500),
    )


def _placed(z: int, verdict: str) -> PlacedSlice:
    reason = {"bad": f"no match with a neighbour (correlation {z % 7 / 100})", "missing": "no file", "suspect": "focus"}
    flagged = verdict in ("bad", "missing")
    return PlacedSlice.model_validate(
        {
            "z": z,
            "file": None if verdict == "missing" else f"iso.{z:05d}.png",
            "verdict": verdict,
            "reason": reason.get(verdict, ""),
            "matrix": None if flagged else ((1, 0, 3.5), (0, 1, 2)),
            "source_slices": (z - 1 if flagged else z,),
        }
    )


def _fits(z: int, flagged: set[int], first: int, noise: random.Random) -> list[PairFit]:
    if z in flagged:
        return [PairFit(z0=z - 1, z1=z, reason="11 inliers of 420 matches")]
    if z - 1 in flagged:
        longer = [_fit(z - 2, z, noise)] if z - 2 >= first else []
        return [PairFit(z0=z - 1, z1=z, reason="9 inliers of 388 matches"), *longer]
    return [_fit(z - 1, z, noise)] + ([_fit(z - 2, z, noise)] if z % 11 == 0 and z - 2 >= first else [])


def _fit(z0: int, z1: int, noise: random.Random) -> PairFit:
    jump = 180.0 if z1 % 997 == 500 else 0.0
    dx, dy = noise.gauss(2 * math.sin(z1 / 300), 3) + jump, noise.gauss(0, 2) - jump / 3
    return PairFit(
        z0=z0,
        z1=z1,
        matrix=((1.0, 0.0, dx), (0.0, 1.0, dy)),
        model="translation",
        inliers=300,
        correlation=0.86 - abs(noise.gauss(0, 0.03)) * (z1 - z0),
        residual_px=0.4 + abs(noise.gauss(0, 0.12)),
    )


def _facts(z: int, noise: random.Random) -> SliceStatistics:
    mean = 128 + 6 * math.sin(z / 40) + noise.gauss(0, 1.2)
    return SliceStatistics(z=z, digest="00000000", mean=mean, std=30, focus=0.31 + noise.gauss(0, 0.01), features=900)


def _quality(numbers: list[int], noise: random.Random) -> Quality:
    return Quality(pairs=tuple(_similarity(*pair, noise) for pair in pairwise(numbers)))


def _similarity(z0: int, z1: int, noise: random.Random) -> PairSimilarity:
    low = z1 % 400 == 30
    correlation = 0.3 if low else 0.78 + noise.gauss(0, 0.02)
    return PairSimilarity(z0=z0, z1=z1, correlation=correlation, local_median=0.78, outlier=low)


def _costs(slices: int) -> Costs:
    per_slice = {"plan": 0.001, "reduce": 0.31, "match": 0.12, "solve": 0.002, "render": 0.62, "write": 0.4}
    stages = tuple(
        StageTime(
            step=step, units=-(-slices // 16), wall_s=s * slices / 2, cpu_s=s * slices, busy_s=s * slices,
            peak_mib=1800, estimated_s=1.25 * s * slices if step != "plan" else None,
        ) for step, s in per_slice.items()
    )  # fmt: skip
    prices = {"spot": 0.01, "on demand": 0.04}
    return Costs(
        stages=stages, source_bytes=slices * WIDTH * HEIGHT, vcpu_h=1.45 * slices / 3600, prices=prices,
        priced="n2d-standard-8, 2026-11-29", left_s=90.0,
    )  # fmt: skip


def _pictures() -> tuple[Picture, ...]:
    captions = {"XY": "The middle slice.", "XZ": "A cut through the middle row, z downwards.", "YZ": "Middle column."}
    return tuple(
        Picture(title=t, caption=c, before=f"views/{t.lower()}_before.png", after=f"views/{t.lower()}_after.png")
        for t, c in captions.items()
    )
