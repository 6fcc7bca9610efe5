"""How far a long stack drifts, where fits and recorded positions err by known amounts, and what solving it costs.

The best that can be made of the same fits is least squares by one who knows both errors and where the stage
jumped, but not how far: what was recorded before and after a jump has nothing to do with each other.
"""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure
from benchmarks.measure import peak_gib, python
from clio_argo.kernels.anchor import Anchor
from clio_argo.kernels.noise import PX_PER_DIFFERENCE
from clio_argo.kernels.solve import PairFits, Solution, least_squares, solve_stack
from clio_argo.kernels.trend import Rules
from clio_argo.model.alignment import Floats, PairFit
from clio_argo.placement.verdicts import pairs_at_jumps
from clio_argo.steps.match import LOOP_EVERY

SLICES, SEEDS, SIDE_PX = 5000, 8, 1001
FIT_PX, JITTER_PX, JUMPS, JUMP_PX = 0.2, 3.0, 10, 40.0
LIMIT_PX, PAIR_LIMIT_PX, NEAR_BEST = 1.5, 0.25, 1.1
COSTS, COST_LIMITS = (14_000, 100_000), (60.0, 2.0)
NO_WALK_PX, EXACT_PX = 1e-4, 0.02
Pairs = list[tuple[int, int]]


@dataclass(frozen=True)
class Stack:
    """Slices [n, 2] where they are, the first slice after each jump, and fits with their errors.

    Recorded, all slices lie at 0: raw image frames.
    """

    places: Floats
    jumps: tuple[int, ...]
    fits: tuple[PairFit, ...]


def as_matched(slices: int) -> Pairs:
    """Each with the next one, and every fourth with its second neighbour."""
    return next_ones(slices, 1) + [(z, z + 2) for z in range(0, slices - 2, LOOP_EVERY)]


def next_ones(slices: int, reach: int = 3) -> Pairs:
    return [(z, z + r) for z in range(slices) for r in range(1, reach + 1) if z + r < slices]


def simulated(seed: int, slices: int, jumps: int, pairs: Iterable[tuple[int, int]]) -> Stack:
    """A stage that stays within white jitter but for its jumps; errors are those of each axis."""
    random = np.random.default_rng(seed)
    stage = random.normal(0, JITTER_PX, (slices, 2))
    at = np.sort(random.choice(np.arange(50, slices - 50), jumps, replace=False))
    for z, angle in zip(at, random.uniform(0, 2 * np.pi, jumps), strict=True):
        stage[z:] += JUMP_PX * np.array([np.cos(angle), np.sin(angle)])
    return Stack(-stage, tuple(at.tolist()), noisy_fits(random, -stage, pairs))


def noisy_fits(
    random: np.random.Generator, places: Floats, pairs: Iterable[tuple[int, int]], error_px: float = FIT_PX
) -> tuple[PairFit, ...]:
    """What fits of these pairs would be, each with its own error."""
    low, high = np.array(list(pairs), np.intp).reshape(-1, 2).T
    shifts = places[high] - places[low] + random.normal(0, error_px, (len(low), 2))
    return tuple(
        PairFit(z0=a, z1=b, matrix=((1, 0, x), (0, 1, y)))
        for a, b, (x, y) in zip(low.tolist(), high.tolist(), shifts.tolist(), strict=True)
    )


def rematched(stack: Stack, seed: int) -> Stack:
    """The same stack with what `suspects` asks for, once it has seen these fits."""
    numbers = range(len(stack.places))
    further = pairs_at_jumps(numbers, stack.fits, solved(stack).jumps)
    return replace(stack, fits=stack.fits + noisy_fits(np.random.default_rng(~seed % 2**32), stack.places, further))


def first_fits(seed: int, slices: int) -> Stack:
    return simulated(seed, slices, JUMPS, as_matched(slices))


def all_fits(seed: int, slices: int) -> Stack:
    return rematched(first_fits(seed, slices), seed)


def three_fits(seed: int, slices: int) -> Stack:
    return simulated(seed, slices, JUMPS, next_ones(slices))


def moving_tissue(seed: int, slices: int) -> Stack:
    """Links that agree within 0.02 px, and all see what tissue adds up."""
    return on_tissue(simulated(seed, slices, JUMPS, ()), np.random.default_rng(~seed % 2**32))


def on_tissue(stack: Stack, random: np.random.Generator) -> Stack:
    """The same stack with such fits; slices are as alike as tissue is that moves so."""
    seen = stack.places + np.cumsum(random.normal(0, FIT_PX, stack.places.shape), 0)
    alike = 1 / (1 + (FIT_PX / PX_PER_DIFFERENCE) ** 2)
    fits = noisy_fits(random, seen, as_matched(len(seen)), EXACT_PX)
    return replace(stack, fits=tuple(f.model_copy(update={"correlation": alike ** (f.z1 - f.z0)}) for f in fits))


KINDS: dict[str, Callable[[int, int], Stack]] = {
    "fits of match alone": first_fits,
    "fits of match and, around jumps, of rematch": all_fits,
    "three fits a slice": three_fits,
}


def solved(stack: Stack, anchor: bool = True) -> Solution:
    return solve_stack(range(len(stack.places)), stack.fits, SIDE_PX, SIDE_PX, rules=Rules(anchored=anchor))


def placed(solution: Solution) -> Floats:
    """Where slices were put [n, 2]."""
    return np.array([m[:2, 2] for m in solution.placed.values()])


def best(stack: Stack) -> Floats:
    """Where one would put them who knows all errors, and where the stage jumped."""
    return held(stack, Anchor(JITTER_PX, NO_WALK_PX))


def held(stack: Stack, anchor: Anchor) -> Floats:
    """Least squares with this anchor."""
    ends = np.array([(f.z0, f.z1) for f in stack.fits])
    matrices = np.array([f.matrix for f in stack.fits], float)
    steps = 1.0 - np.isin(np.arange(1, len(stack.places)), stack.jumps)
    fits = PairFits(*ends.T, matrices, np.ones(len(ends)))
    ties = np.ones(len(stack.places))
    return least_squares(fits, matrices[:, :, 2], np.full(len(ends), 1 / FIT_PX), anchor, ties, steps)[0]


def rms_px(found: Floats, stack: Stack) -> float:
    """Root of the mean squared distance from the true places; one shift of all slices is free."""
    error = found - stack.places
    return float(np.sqrt(((error - error.mean(0)) ** 2).sum(1).mean()))


def pair_px(found: Floats, stack: Stack) -> float:
    """Median distance of a slice from where its neighbour has it."""
    return float(np.median(np.hypot(*np.diff(found - stack.places, axis=0).T)))


def measure(_: Path, quick: bool) -> list[Figure]:
    """Drift of 5,000 slices with ten jumps, several times; time and memory of 14,000 and 100,000 slices."""
    slices, seeds = (500, 2) if quick else (SLICES, SEEDS)
    figures = [f for name in KINDS for f in _drift(name, slices, seeds)] + [_tissue(slices, seeds)]
    return figures + _costs([n // 100 if quick else n for n in COSTS])


def _drift(name: str, slices: int, seeds: int) -> list[Figure]:
    stacks = [KINDS[name](seed, slices) for seed in range(seeds)]
    solutions = [solved(s) for s in stacks]
    found = [(rms_px(placed(a), s), rms_px(best(s), s)) for a, s in zip(solutions, stacks, strict=True)]
    pairs = max(pair_px(placed(a), s) for a, s in zip(solutions, stacks, strict=True))
    followed = sum(a.jumps == s.jumps for a, s in zip(solutions, stacks, strict=True))
    each = ", ".join(f"{rms:.2f} ({least:.2f})" for rms, least in found)
    fits = sum(len(s.fits) for s in stacks) / slices / seeds
    ratio = np.sqrt(sum(r**2 for r, _ in found) / sum(b**2 for _, b in found))
    return [
        Figure(f"{name}: drift, worst of {seeds} stacks", max(r for r, _ in found), "px rms", LIMIT_PX,
               note=f"{fits:.2f} fits a slice; each stack (the best possible): {each}"),
        Figure(f"{name}: drift over the best possible", float(ratio), "", NEAR_BEST, note="all stacks together"),
        Figure(f"{name}: pair error, median, worst stack", pairs, "px", PAIR_LIMIT_PX),
        Figure(f"{name}: stacks with all jumps found, and no other", followed, "", seeds, at_least=True),
    ]  # fmt: skip


def _tissue(slices: int, seeds: int) -> Figure:
    stacks = [moving_tissue(seed, slices) for seed in range(seeds)]
    held, free, least = (
        np.sqrt(np.mean([rms_px(of(s), s) ** 2 for s in stacks]))
        for of in (lambda s: placed(solved(s)), lambda s: placed(solved(s, anchor=False)), best)
    )
    return Figure(
        f"fits that agree, on tissue that moves by {FIT_PX:g} px a slice: drift", float(held), "px rms",
        note=f"all {seeds} stacks; the best possible {least:.2f}, without an anchor {free:.2f}",
    )  # fmt: skip


COST = "import json, sys; from benchmarks.drift import cost; print(json.dumps(cost(int(sys.argv[1]))))"


def cost(slices: int) -> tuple[float, float]:
    """CPU seconds of solving a stack with three fits a slice, and the peak memory of this process in GiB."""
    stack = simulated(0, slices, slices // 500, next_ones(slices))
    begin = time.process_time()
    solved(stack)
    return time.process_time() - begin, peak_gib()


def _costs(counts: list[int]) -> list[Figure]:
    found = {n: json.loads(python("-c", COST, str(n))) for n in counts}
    figures = []
    for n, (seconds, gib) in found.items():
        limits = COST_LIMITS if n == counts[0] else (None, None)
        figures += [
            Figure(f"solving {n:,} slices with three fits each", seconds, "s", limits[0]),
            Figure(f"solving {n:,} slices: peak memory", gib, "GiB", limits[1], note="fits and libraries included"),
        ]  # fmt: skip
    each = [seconds / n for n, (seconds, _) in found.items()]
    return [*figures, Figure("solving: a slice of the long stack over one of the short", each[-1] / each[0], "", 1.2)]
