"""Whether recorded positions ever harm: random short and noisy stacks, placed with and without an anchor.

Tissue moves as fits of real, undistorted slices say; how the stage moves, and by how much fits err, is drawn from wide
priors. Nothing is rendered, so that 200 stacks take seconds; the fits of real slices are made once.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.drift import Stack, as_matched, placed
from benchmarks.figures import Figure
from benchmarks.sources import SHARED, real_volume
from clio_argo.kernels.features import reduce_slice
from clio_argo.kernels.match import fit_pair
from clio_argo.kernels.noise import noise_px
from clio_argo.kernels.solve import solve_stack
from clio_argo.kernels.trend import Rules
from clio_argo.model.alignment import Floats, PairFit, apply
from clio_argo.placement.verdicts import pairs_in_noise

STACKS, SIDE_PX = 200, 512
MEDIAN_LIMIT_PX, WORST_LIMIT_PX = 0.1, 0.5
SSTEM = SHARED / "sstem_fly_vnc_10" / "raw"
CENTRE = np.array([[(SIDE_PX - 1) / 2, (SIDE_PX - 1) / 2]])
Tissue = Mapping[tuple[int, int], PairFit]


@cache
def medulla() -> Tissue:
    """Fits of undistorted neighbours and second neighbours: FIB-SEM slices of 8 nm. The demo's slices were moved."""
    return _fitted(real_volume())


@cache
def sections() -> Tissue:
    """The same of ssTEM sections of 45 to 50 nm; where they are not at hand, every fifth slice of the medulla."""
    files = sorted(SSTEM.glob("*.tif"))
    read = [cv2.imread(str(f), cv2.IMREAD_GRAYSCALE) for f in files]
    return _fitted(np.stack([np.asarray(image, np.uint8) for image in read]) if files else real_volume()[::5])


def _fitted(volume: NDArray[np.uint8]) -> Tissue:
    seen = [reduce_slice(np.ascontiguousarray(image[:SIDE_PX, :SIDE_PX]), (SIDE_PX, SIDE_PX)) for image in volume]
    pairs = [(a, a + r) for r in (1, 2) for a in range(len(seen) - r)]
    fits = {(a, b): fit_pair(seen[a], seen[b], a, b, "translation") for a, b in pairs}
    return {pair: fit for pair, fit in fits.items() if fit.matched}


@dataclass(frozen=True)
class Draw:
    """What a random stack is made from; all in pixels of each axis.

    alike: factor that noise in the slices puts on their correlation. error_px: of a fit. found: part of the second
    neighbours that are matched.
    """

    slices: int
    walk_px: float
    jitter_px: float
    jumps: int
    alike: float
    error_px: float
    found: float


def drawn(random: np.random.Generator, slices: int) -> Draw:
    """Each way of moving is absent in a third of all stacks."""

    def some(low: float, high: float, share: float = 2 / 3) -> float:
        return float(np.exp(random.uniform(np.log(low), np.log(high)))) * (random.random() < share)

    alike = some(0.05, 1.0, 1.0)
    return Draw(
        slices=slices,
        walk_px=some(0.1, 4.0),
        jitter_px=some(0.1, 5.0),
        jumps=int(random.integers(1, 4)) if random.random() < 1 / 3 and slices > 12 else 0,
        alike=alike,
        error_px=0.02 + some(0.03, 1.0, 1.0) * float(np.sqrt(1 / alike - 1)),
        found=min(1.0, 1.5 * alike),
    )


def stage(random: np.random.Generator, draw: Draw) -> Floats:
    """Places [slices, 2]: a walk that half of the stages bound, white jitter, and jumps."""
    steps = random.uniform(-1, 1, (draw.slices, 2)) * np.sqrt(3) * draw.walk_px
    path, bound = np.zeros((draw.slices, 2)), 12 * draw.walk_px if random.random() < 1 / 2 else np.inf
    for z in range(1, draw.slices):
        path[z] = np.clip(path[z - 1] + steps[z], -bound, bound)
    path += random.normal(0, draw.jitter_px, path.shape)
    for z in random.choice(np.arange(4, max(draw.slices - 4, 5)), draw.jumps, replace=False) if draw.jumps else ():
        path[z:] += random.normal(0, 40, 2)
    return path


def stack(seed: int, tissue: Tissue, slices: int) -> Stack:
    """A stack of `slices` from a random depth of the tissue on, turned round in half of all cases."""
    random = np.random.default_rng(seed)
    draw = drawn(random, slices)
    places = stage(random, draw)
    first = int(random.integers(0, max(b for _, b in tissue) + 2 - slices))
    sign = random.choice([-1, 1])

    def matched(a: int, b: int) -> PairFit | None:
        real = tissue.get((first + a, first + b))
        if real is None or (b > a + 1 and random.random() > draw.found):
            return None
        shift = places[b] - places[a] + sign * _shift(real) + random.normal(0, draw.error_px, 2)
        matrix = ((1, 0, float(shift[0])), (0, 1, float(shift[1])))
        alike = draw.alike * real.correlation * float(np.clip(random.normal(1, 0.02), 0.9, 1.0))
        return PairFit(z0=a, z1=b, matrix=matrix, correlation=alike, noise_px=noise_px(alike))

    fits = [f for f in itertools.starmap(matched, as_matched(slices)) if f]
    tried = [*fits, *(PairFit(z0=a, z1=b) for a, b in as_matched(slices))]
    further = [f for f in itertools.starmap(matched, pairs_in_noise(range(slices), tried)) if f]
    return Stack(places, (), (*fits, *further))


def _shift(fit: PairFit) -> Floats:
    return (apply(np.array(fit.matrix), CENTRE) - CENTRE)[0]


def random_stacks(count: int) -> list[Stack]:
    """Half of medulla, 8 to 60 slices, half of ssTEM, 8 to 10."""
    lengths = np.random.default_rng(1)
    longest = [min(most, max(b for _, b in of()) + 1) for most, of in ((60, medulla), (10, sections))]
    return [
        stack(seed, (medulla, sections)[seed % 2](), int(lengths.integers(8, longest[seed % 2] + 1)))
        for seed in range(count)
    ]


def place_px(of: Stack, anchored: bool) -> float:
    """Median distance of slices from their true places; one shift of all slices is free."""
    solution = solve_stack(range(len(of.places)), of.fits, SIDE_PX, SIDE_PX, rules=Rules(anchored=anchored))
    error = placed(solution) - of.places[list(solution.placed)]
    return float(np.median(np.hypot(*(error - np.median(error, 0)).T)))


def measure(_: Path, quick: bool) -> list[Figure]:
    """How much worse than without an anchor the default places random stacks, and how much better."""
    stacks = random_stacks(20 if quick else STACKS)
    held, free = (np.array([place_px(s, anchored) for s in stacks]) for anchored in (True, False))
    worse, what = held - free, f"{len(stacks)} random stacks, by default against without an anchor"
    return [
        Figure(f"{what}: median place error, median", float(np.median(worse)), "px", MEDIAN_LIMIT_PX),
        Figure(f"{what}: median place error, worst stack", float(worse.max()), "px", WORST_LIMIT_PX,
               note=f"{(worse > MEDIAN_LIMIT_PX).sum()} stacks are worse by more than {MEDIAN_LIMIT_PX:g} px, "
                    f"{(worse < -MEDIAN_LIMIT_PX).sum()} better"),
        Figure(f"{what}: median place error, mean", float(worse.mean()), "px",
               note=f"with {held.mean():.2f}, without {free.mean():.2f} px"),
    ]  # fmt: skip
