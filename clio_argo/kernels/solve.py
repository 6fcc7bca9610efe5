"""Places all slices by one robust least-squares problem over all fits.

Slice z has the affine T_z(p) = p + u_z + G_z (p - c), with c the centre of the field. A fit M of slice w onto
slice z asks for T_w(p) = T_z(M p) everywhere, that is for

    G_w - G_z = (I + G_z)(M' - I)        with M' the linear part of M,
    u_w - u_z = (I + G_z)(M c - c).

The linear parts are solved first; G_z on the right is that of the round before. So unknowns occur in differences
only, and the collapse of all slices into a point, which would satisfy every fit, is no solution. G is counted in
pixels at the border of the field.

The weights of fits are found by iteratively reweighted least squares: first Huber's (1964), which are convex, then
Geman and McClure's (1987), which give outliers no weight. Slices and the walk of the stage (see `anchor`) are a
Gaussian Markov random field along z, and its mode is a banded system (Rue and Held, 2005).

A fit that was not found is not part of the problem. A slice that no fit reaches is isolated; slices that reach only
each other are a part of their own, and the place between two parts is a break.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import solveh_banded
from scipy.sparse.csgraph import connected_components

from clio_argo.kernels import anchor as anchoring
from clio_argo.kernels.anchor import LEAST_JUMP_PX, Anchor
from clio_argo.kernels.noise import Indices, PairNoise, loops, pair_noise, typical_noise
from clio_argo.kernels.short import Measured, expected_positions, with_large_steps
from clio_argo.kernels.trend import RULES, Rules, measured, speed_px, split
from clio_argo.model.alignment import IDENTITY, Break, Floats, PairFit, Part, Trend, homogeneous

# the third round moves linear parts by 0.01 px at the border where slices stretch by 3 %, a fourth by 0.0002 px
LINEAR_ROUNDS = 3
# 3 and 4 rounds find all of 10 % of fits that err by 6 to 12 px, 0 and 2 do not; chosen with a margin
HUBER_ROUNDS, CUT_ROUNDS = 12, 6
# 1 / px^2: 10,000 px are one standard deviation, and the system keeps its rank across jumps
FREE = 1e-8
# times the weight of a measured fit: three of them that disagree by 8 px move a manual one by less than 0.05 px
PINNED = 100.0
# white jitter hardly goes that far (1 in 3,000 slices); what does was put elsewhere
RELEASED_SIGMAS = 4.0
Recorded = Mapping[int, tuple[float, float]]
UNRECORDED: Recorded = MappingProxyType({})
# deviation of magnification, scan angle and shear over a stack: slices of 128 px end on 164 x 165, else on 443 x 488 px
STEADY_FRAME = 0.01
# turn, dilation, two shears of (a, b, c, d). Frames turn more than they stretch: two anchors err by 0.49 px, one by 1.1
MODES = np.array([[0, 1, -1, 0], [1, 0, 0, 1], [1, 0, 0, -1], [0, 1, 1, 0]]) / np.sqrt(2)
TURN_STRETCH = (slice(0, 1), slice(1, 4))
PARTS: tuple[Part, ...] = ("shift", "turn", "stretch")
# chosen: stacks of fewer slices are placed by all that may have moved them, in 0.1 s; 60 is a common test stack
FEW_SLICES = 64


@dataclass(frozen=True)
class Solution:
    """Slices placed in one frame, slices that no fit reaches, breaks of the stack, and what was estimated.

    placed: matrices [3, 3] by z, from pixels of the slice to the frame. anchor: of the positions; None if nothing was
    solved. jumps: z of the first slice after each. outliers: pairs (z0, z1) whose fits have no weight.
    """

    placed: Mapping[int, Floats]
    isolated: frozenset[int] = frozenset()
    breaks: tuple[Break, ...] = ()
    anchor: Anchor | None = None
    jumps: tuple[int, ...] = ()
    outliers: tuple[tuple[int, int], ...] = ()
    trends: tuple[Trend, ...] = ()
    slow: Mapping[int, Floats] = field(default_factory=dict)


@dataclass(frozen=True)
class Track:
    """One part of all transforms, solved: `x` [slices, columns].

    slow: part of the images' path, [slices, columns]; follows: whether x has it. jumps: bool [slices - 1].
    weights: of fits, [pairs]. All lengths in pixels.
    """

    x: Floats
    anchor: Anchor
    jumps: NDArray[np.bool_]
    weights: Floats
    slow: Floats
    follows: bool


@dataclass(frozen=True)
class PairFits:
    """Fits of pairs of slices by index: `matrix` [pairs, 3, 3] maps slice `w` [pairs] to slice `z` [pairs].

    noise: [pairs], relative to a typical fit. pinned: bool [pairs], manual fits, which no other outweighs.
    """

    z: Indices
    w: Indices
    matrix: Floats
    noise: Floats
    pinned: NDArray[np.bool_] | np.bool_ = np.False_

    def across(self, values: Floats) -> Floats:
        """Differences [pairs, ...] of values [slices, ...] between the slices of each pair."""
        return values[self.w] - values[self.z]


def identities(usable: Sequence[int], recorded: Recorded) -> Solution:
    """The solution for a stack that is aligned already: every slice at its recorded position."""
    return Solution({z: _translation(recorded.get(z, (0.0, 0.0))) for z in usable})


def solve_stack(
    usable: Sequence[int],
    fits: Sequence[PairFit],
    width: int,
    height: int,
    recorded: Recorded = UNRECORDED,
    rules: Rules = RULES,
) -> Solution:
    """Place the usable slices (sorted z) so that all fits agree best (see the module).

    width, height: of the field in pixels. recorded: positions (x, y) of the image frames by z in pixels; frames
    without one lie at (0, 0).
    """
    known = set(usable)
    used = [f for f in fits if f.matched and f.z0 in known and f.z1 in known]
    isolated = isolated_slices(usable, used)
    kept = [z for z in usable if z not in isolated]
    if len(kept) < 2:
        return Solution(identities(kept, recorded).placed, isolated)
    noise_px = np.array([f.noise_px for f in used])
    guess_px = typical_noise(noise_px)
    # no fit is surer than a typical one: a wrong one would win over several right ones
    pairs = _index_pairs(kept, used, np.maximum(noise_px / guess_px, 1.0))
    centre, radius = np.array([(width - 1) / 2, (height - 1) / 2]), float(np.hypot(width, height)) / 2
    correlation = np.array([f.correlation for f in used])
    noise = pair_noise(loops(pairs.z, pairs.w), pairs.matrix, correlation, centre, radius, guess_px)
    # loops agree on the shape of tissue too, which no frame of a microscope follows
    noise = replace(noise, linear_px=max(noise.linear_px, float(np.median(noise_px))))
    positions = np.array([recorded.get(z, (0.0, 0.0)) for z in kept], np.float64)
    track, g, trends = _solve(pairs, positions, centre, radius, noise, rules)
    placed = {z: _affine(track.x[i] + positions[i], g[i], centre) for i, z in enumerate(kept)}
    first_after = tuple(kept[i + 1] for i in np.flatnonzero(track.jumps).tolist())
    # weights below 0.1 are those of fits wrong by more than nine standard deviations
    outliers = tuple((f.z0, f.z1) for f, w in zip(used, track.weights, strict=True) if w < 0.1)
    slow = dict(zip(kept, track.slow, strict=True))
    return Solution(
        placed, isolated, find_breaks(kept, pairs), track.anchor, first_after, outliers, trends=trends, slow=slow
    )


def _translation(position: tuple[float, float]) -> Floats:
    """The matrix [3, 3] that moves a slice by `position` (x, y), pixels."""
    x, y = position
    return homogeneous(((1.0, 0.0, x), (0.0, 1.0, y)))


def isolated_slices(usable: Sequence[int], used: Sequence[PairFit]) -> frozenset[int]:
    """Slices that no fit reaches; a single slice needs none."""
    reached = {z for f in used for z in (f.z0, f.z1)}
    return frozenset(z for z in usable if z not in reached) if len(usable) > 1 else frozenset()


def find_breaks(kept: Sequence[int], pairs: PairFits) -> tuple[Break, ...]:
    """Neighbours that belong to parts that no fit connects (connected components), where a new part begins."""
    ones = np.ones(len(pairs.z))
    graph = sp.csr_matrix((ones, (pairs.z, pairs.w)), shape=(len(kept), len(kept)))
    _, part = connected_components(graph, directed=False)
    seen = np.maximum.accumulate(part)
    return tuple(Break(below=kept[i], above=kept[i + 1]) for i in np.flatnonzero(np.diff(seen) > 0).tolist())


def _index_pairs(kept: Sequence[int], used: Sequence[PairFit], noise: Floats) -> PairFits:
    """The pairs between indices of kept slices instead of z; noise: [pairs]."""
    index = {z: i for i, z in enumerate(kept)}
    return PairFits(
        np.array([index[f.z0] for f in used], np.intp),
        np.array([index[f.z1] for f in used], np.intp),
        np.stack([homogeneous(f.matrix or IDENTITY) for f in used]),
        noise,
        np.array([f.method == "manual" for f in used], np.bool_),
    )


def _affine(u: Floats, g: Floats, centre: Floats) -> Floats:
    """The matrix [3, 3] of p + u + g (p - centre), of u [2], g [2, 2] and centre [2] in pixels, (x, y)."""
    linear = np.eye(2) + g
    return homogeneous(np.hstack([linear, (centre + u - linear @ centre)[:, None]]))


def _solve(
    pairs: PairFits, recorded: Floats, centre: Floats, radius: float, noise: PairNoise, rules: Rules
) -> tuple[Track, Floats, tuple[Trend, ...]]:
    """Displacements [slices, 2] against the recorded positions, linear parts [slices, 2, 2], and the trends of all.

    recorded: positions of the frames [slices, 2]. centre: [2] of the field. radius: half its diagonal. All in pixels.
    """
    linear, slices = pairs.matrix[:, :2, :2], len(recorded)
    g = np.zeros((slices, 2, 2))
    steady = replace(rules, hold_px=STEADY_FRAME * radius, walk_is_stage=False)
    for _ in range(LINEAR_ROUNDS):
        modes_px = ((np.eye(2) + g[pairs.z]) @ (linear - np.eye(2)) * radius).reshape(-1, 4) @ MODES.T
        parts = [solve_anchored(pairs, slices, modes_px[:, m], noise.linear_px, steady) for m in TURN_STRETCH]
        g = (np.hstack([part.x for part in parts]) @ MODES).reshape(-1, 2, 2) / radius
    moved = linear @ centre + pairs.matrix[:, :2, 2] - centre
    shifts = np.einsum("nrk,nk->nr", np.eye(2) + g[pairs.z], moved)
    # displacements against the recorded positions, which the anchor pulls to 0
    shifts -= pairs.across(recorded)
    if rules.anchored and rules.trend == "auto" and slices < FEW_SLICES and not noise.sure:
        track = solve_short(pairs, slices, shifts, noise, rules)
    else:
        held = rules if noise.known else replace(rules, anchored=False)
        track = solve_anchored(pairs, slices, shifts, noise.shift_px, held, noise.tissue_px)
    trends = (measured(part, t.slow, t.follows) for part, t in zip(PARTS, (track, *parts), strict=True))
    return track, g, tuple(trends)


def solve_anchored(
    pairs: PairFits, slices: int, differences: Floats, fit_px: float, rules: Rules, tissue_px: float = 0.0
) -> Track:
    """Solve without an anchor, learn from the result how the recorded positions behave, and solve with an anchor.

    differences: what fits measure between their slices [pairs, columns], pixels. fit_px: noise of a typical fit.
    tissue_px: by how much fits that agree with each other may still be wrong.
    """
    x, weights = solve_loosely(pairs, slices, differences, fit_px)
    jumps = anchoring.find_jumps(x) & steps_agreed_on(pairs, slices, weights)
    wrong_px = max(fit_px, tissue_px)
    fast = split(x, jumps, rules.trend_slices)
    slow, speed = fast.slow, speed_px(fast.slow)
    drift = anchoring.estimate_anchor(fast.rest, jumps, wrong_px, rules.trend_slices)
    follows = rules.follows_images(drift, speed, wrong_px)
    if not rules.anchored:
        return Track(x if follows else x - slow, anchoring.no_anchor(fit_px), jumps, weights, slow, follows)
    # a short stack has few short waves; what is slow can only make its walk look looser
    whole = anchoring.estimate_anchor(split(x, jumps, np.inf).rest, jumps, wrong_px)
    stiffer = min(drift, whole, key=lambda a: a.walk_px)
    anchor = replace(stiffer, hold_px=rules.hold_px)
    aside = slow if rules.sets_aside(follows, speed, wrong_px) else 0 * slow
    each_px = wrong_px * pairs.noise
    steps = steps_as_usual(x - aside, anchor, wrong_px)
    x = solve_held(pairs, differences - pairs.across(aside), weights / each_px, anchor, jumps, steps)
    return Track(x + rules.bounded(slow, wrong_px) if follows else x, anchor, jumps, weights, slow, follows)


def solve_short(pairs: PairFits, slices: int, differences: Floats, noise: PairNoise, rules: Rules) -> Track:
    """Solve without an anchor, then expect positions from all that may have moved the slices (see `short`).

    differences: what fits measure between their slices [pairs, columns], pixels.
    """
    x, weights = solve_loosely(pairs, slices, differences, noise.shift_px)
    jumps = anchoring.find_jumps(x) & steps_agreed_on(pairs, slices, weights)
    # a fit without weight is as good as none
    each = pairs.noise / np.maximum(weights, 1e-2)
    fits = Measured(pairs.across(np.eye(slices)), differences, each, noise.most_px, noise.tissue_px)
    expected = expected_positions(fits, x, with_large_steps(x, jumps), rules.trend_slices / 2)
    expected = as_pinned(pairs, expected, differences)
    slow, kept = (split(path, jumps, rules.trend_slices).slow for path in (x, expected))
    follows = speed_px(kept) > 0.5 * speed_px(slow)
    return Track(expected, anchoring.no_anchor(noise.shift_px), jumps, weights, slow, follows)


def solve_loosely(pairs: PairFits, slices: int, differences: Floats, fit_px: float) -> tuple[Floats, Floats]:
    """Positions [slices, columns] by fits alone, and the weights of these [pairs].

    differences: [pairs, columns], pixels. fit_px: noise of a typical fit.
    """
    weights, each_px = np.ones(len(differences)), fit_px * pairs.noise
    loose, ties, steps = anchoring.no_anchor(fit_px), np.ones(slices), np.ones(slices - 1)
    for k in range(HUBER_ROUNDS + CUT_ROUNDS):
        x, _ = least_squares(pairs, differences, weights / each_px, loose, ties, steps)
        weights = pin(pairs, robust_weights(differences - pairs.across(x), each_px, cut=k >= HUBER_ROUNDS))
    return x, weights


def steps_as_usual(x: Floats, anchor: Anchor, wrong_px: float) -> Floats:
    """1 where `x` [slices, columns] steps no further than this anchor and fits that err by wrong_px allow, else 0.

    A jump that is not released from the first would be spread over all fits, none of which then errs by much.
    """
    most_px = RELEASED_SIGMAS * float(np.sqrt(2 * anchor.jitter_px**2 + anchor.walk_px**2 + wrong_px**2))
    return np.asarray(np.linalg.norm(np.diff(x, axis=0), axis=1) < max(most_px, LEAST_JUMP_PX), np.float64)


def solve_held(
    pairs: PairFits, differences: Floats, weights: Floats, anchor: Anchor, jumps: NDArray[np.bool_], steps: Floats
) -> Floats:
    """Positions [slices, columns] by fits and anchor; slices and steps that do not fit the anchor are released.

    differences: [pairs, columns], pixels. weights: [pairs], in 1 / px. jumps: bool [slices - 1].
    steps: [slices - 1], factors on the stiffness of the walk in the first round.
    """
    ties = np.ones(len(jumps) + 1)
    for _ in range(CUT_ROUNDS):
        x, q = least_squares(pairs, differences, weights, anchor, ties, np.where(jumps, 0, steps))
        ties = remaining_stiffness(x - q, anchor.jitter_px)
        steps = step_stiffness(np.diff(q, axis=0), anchor.walk_px)
    return x


def pin(pairs: PairFits, weights: Floats) -> Floats:
    """The same weights [pairs], but those of manual fits, which hold whatever the others measure."""
    return np.where(pairs.pinned, PINNED, weights)


def as_pinned(pairs: PairFits, x: Floats, differences: Floats) -> Floats:
    """The same positions [slices, columns] with slices moved, from the upper one of each manual fit on, to meet it.

    differences: what fits measure between their slices [pairs, columns], pixels.
    """
    for k in np.flatnonzero(np.broadcast_to(pairs.pinned, len(differences))):
        above = (np.arange(len(x)) >= max(pairs.z[k], pairs.w[k])).astype(np.float64)[:, None]
        x = x + above * pairs.across(above)[k] * (differences - pairs.across(x))[k]
    return x


def steps_agreed_on(pairs: PairFits, slices: int, weights: Floats) -> NDArray[np.bool_]:
    """Between which neighbours most crossing fits have weight, bool [slices - 1]: all of them see a jump.

    weights: [pairs]; those above 0.5 are of fits within three standard deviations.
    """
    low, high = np.minimum(pairs.z, pairs.w), np.maximum(pairs.z, pairs.w)
    crossing, trusted = (
        np.cumsum(np.bincount(low, w, slices) - np.bincount(high, w, slices))[:-1]
        for w in (np.ones(len(weights)), (weights > 0.5).astype(float))
    )
    return np.asarray(trusted > 0.5 * crossing)


def robust_weights(errors_px: Floats, fit_px: Floats, cut: bool) -> Floats:
    """Weights [pairs] of fits by their residuals `errors_px` [pairs, columns] and noise `fit_px` [pairs].

    Squared, as the system has them, they are Huber's with a limit of one standard deviation, or if `cut` is True Geman
    and McClure's with a scale of three.
    """
    error = np.sqrt(((errors_px / fit_px[:, None]) ** 2).mean(1))
    weights = 1 / (1 + (error / 3) ** 2) if cut else np.sqrt(1 / np.maximum(error, 1.0))
    return np.asarray(weights, np.float64)


def remaining_stiffness(departures: Floats, sigma_px: float) -> Floats:
    """Factors [n], 0 to 1, on the stiffness of ties that `departures` [n, columns] stretch, both in pixels.

    It is 1 up to four standard deviations and falls with the fourth power beyond, so that such ties are released.
    """
    sigmas = np.linalg.norm(departures / sigma_px, axis=1)
    return np.asarray((RELEASED_SIGMAS / np.maximum(sigmas, RELEASED_SIGMAS)) ** 4, np.float64)


def step_stiffness(departures: Floats, walk_px: float) -> Floats:
    """Factors [n] on the stiffness of a walk of `walk_px` that steps by `departures` [n, columns], pixels.

    Jumps too close to be told apart are released, however stiff the walk: what is left is that of a loose one.
    """
    loose_px = max(walk_px, LEAST_JUMP_PX / RELEASED_SIGMAS)
    left = remaining_stiffness(departures, loose_px)
    return np.where(left < 1, left * (walk_px / loose_px) ** 2, 1.0)


def least_squares(
    pairs: PairFits, differences: Floats, weights: Floats, anchor: Anchor, ties: Floats, steps: Floats
) -> tuple[Floats, Floats]:
    """Positions x and walk q, [slices, columns] each, by least squares.

    The equations are those of fits, x_w - x_z = `differences` [pairs, columns], and x - q = 0 (jitter),
    q_i+1 - q_i = 0 (walk), q = 0 (hold). weights: [pairs], in 1 / px.
    ties [slices], steps [slices - 1]: factors 0..1 on the stiffness of jitter and walk.
    """
    # x and q of a slice are neighbours, so that the normal equations are a band as wide as pairs span
    slices = len(ties)
    x, q = 2 * np.arange(slices), 2 * np.arange(slices) + 1
    ends = [
        (2 * pairs.z, 2 * pairs.w, weights**2),
        (x, q, ties * anchor.jitter_px**-2),
        (q[:-1], q[1:], np.maximum(steps * anchor.walk_px**-2, FREE)),
    ]
    band = np.zeros((2 * int(np.abs(pairs.w - pairs.z).max()) + 1, 2 * slices))
    for one, other, stiffness in ends:
        np.add.at(band[0], one, stiffness)
        np.add.at(band[0], other, stiffness)
        np.subtract.at(band, (np.abs(one - other), np.minimum(one, other)), stiffness)
    band[0, q] += anchor.hold_px**-2
    band[0, 1] += anchor.walk_px**-2  # the first q is the gauge
    pull = np.zeros((2 * slices, differences.shape[1]))
    np.add.at(pull, 2 * pairs.w, differences * weights[:, None] ** 2)
    np.subtract.at(pull, 2 * pairs.z, differences * weights[:, None] ** 2)
    # banded Cholesky takes a time in proportion to the slices, a general sparse one 2.5 times as long
    solved = np.asarray(solveh_banded(band, pull, lower=True), np.float64)
    return solved[::2], solved[1::2]
