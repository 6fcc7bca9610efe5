"""One robust least-squares problem over all slices and links.

Slice z has the affine T_z(p) = p + u_z + G_z (p - c), with c the centre of the field. A link M from slice w to
slice z asks for T_w(p) = T_z(M p) everywhere, that is for

    G_w - G_z = (I + G_z)(M' - I)        with M' the linear part of M,
    u_w - u_z = (I + G_z)(M c - c).

The linear parts are solved first; G_z on the right is the one of the round before. So every unknown only
ever stands in differences, and all slices collapsing into a point, which would satisfy every link, is no
solution. G is counted in pixels at the border of the field.

A link that was not found is not part of it. A slice that no link reaches is lonely; slices that only reach
each other are a part of their own, and the place between two parts is a break.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import solveh_banded
from scipy.sparse.csgraph import connected_components

from clio_argo.kernels.anchor import (
    LEAST_JUMP_PX,
    Anchor,
    Indices,
    LinkNoise,
    estimate_anchor,
    find_jumps,
    guessed_noise,
    link_noise,
    loops,
    no_anchor,
)
from clio_argo.model.alignment import IDENTITY, Break, Floats, PairFit, homogeneous

LINEAR_ROUNDS, L1_ROUNDS, CUT_ROUNDS = 3, 12, 6
# stiffness, 1 / px^2, of what is as good as free
FREE = 1e-8
# how much more a person's link counts than one that was measured
FIRM = 100.0
# white jitter hardly goes that far (1 in 3,000 slices); what does was put elsewhere
RELEASED_SIGMAS = 4.0
Recorded = Mapping[int, tuple[float, float]]
UNRECORDED: Recorded = MappingProxyType({})
# A microscope's magnification, scan angle and shear stay; small fields see tissue change instead, which adds up.
STEADY_FRAME = 0.01
# Linear parts (a, b, c, d) as a turn, a dilation and two shears. Frames turn more than they stretch: two anchors.
MODES = np.array([[0, 1, -1, 0], [1, 0, 0, 1], [1, 0, 0, -1], [0, 1, 1, 0]]) / np.sqrt(2)
TURN_STRETCH = (slice(0, 1), slice(1, 4))
# from places that nothing holds, jumps between them [slices - 1], and the noise of links in pixels
AnchorOf = Callable[[Floats, NDArray[np.bool_], float], Anchor]


@dataclass(frozen=True)
class Solution:
    """Slices placed in one frame, which slices no link reached, where the stack broke, and what was estimated.

    anchor: of the positions; None where nothing was solved. outliers: links that were given no weight.
    """

    placed: Mapping[int, Floats]
    lonely: frozenset[int] = frozenset()
    breaks: tuple[Break, ...] = ()
    anchor: Anchor | None = None
    jumps: tuple[int, ...] = ()
    outliers: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Links:
    """Links between slices by index: `matrix` [n, 3, 3] maps slice `w` to slice `z`.

    noise: of each link, relative to a typical one. firm: those of a person.
    """

    z: Indices
    w: Indices
    matrix: Floats
    noise: Floats
    firm: NDArray[np.bool_] | np.bool_ = np.False_

    def across(self, values: Floats) -> Floats:
        """Differences [n, ...] of values per slice [slices, ...], as each link sees them."""
        return values[self.w] - values[self.z]


def identities(usable: Sequence[int], recorded: Recorded) -> Solution:
    """The solution for a stack that is aligned already: every slice at its recorded position."""
    return Solution({z: _at(recorded.get(z, (0.0, 0.0))) for z in usable})


def solve_stack(
    usable: Sequence[int],
    fits: Sequence[PairFit],
    width: int,
    height: int,
    recorded: Recorded = UNRECORDED,
    anchor: bool = True,
) -> Solution:
    """Place the usable slices (sorted z) so that all links that were found agree best.

    recorded: positions (x, y) of the image frames by z in pixels; without any, all frames lie at the same place.
    anchor: whether slices are held near to these.
    """
    known = set(usable)
    found = [f for f in fits if f.found and f.z0 in known and f.z1 in known]
    lonely = lonely_slices(usable, found)
    kept = [z for z in usable if z not in lonely]
    if len(kept) < 2:
        return Solution(identities(kept, recorded).placed, lonely)
    noise_px = np.array([f.noise_px for f in found])
    guess_px = guessed_noise(noise_px)
    # no link is surer than a typical one: a wrong one would win over several right ones
    links = _indexed(kept, found, np.maximum(noise_px / guess_px, 1.0))
    centre, radius = np.array([(width - 1) / 2, (height - 1) / 2]), float(np.hypot(width, height)) / 2
    correlation = np.array([f.correlation for f in found])
    noise = link_noise(loops(links.z, links.w), links.matrix, correlation, centre, radius, guess_px)
    # loops agree on the shape of tissue too, which no frame of a microscope follows
    noise = replace(noise, linear_px=max(noise.linear_px, float(np.median(noise_px))))
    positions = np.array([recorded.get(z, (0.0, 0.0)) for z in kept], np.float64)
    anchor_of: AnchorOf = estimate_anchor if anchor else lambda *_: no_anchor(noise.shift_px)
    u, g, held, jumps, weights = _solve(links, positions, centre, radius, noise, anchor_of)
    placed = {z: _affine(u[i], g[i], centre) for i, z in enumerate(kept)}
    return Solution(
        placed,
        lonely,
        find_breaks(kept, links),
        held,
        tuple(kept[i + 1] for i in np.flatnonzero(jumps).tolist()),
        tuple((f.z0, f.z1) for f, w in zip(found, weights, strict=True) if w < 0.1),
    )


def _at(position: tuple[float, float]) -> Floats:
    x, y = position
    return homogeneous(((1.0, 0.0, x), (0.0, 1.0, y)))


def lonely_slices(usable: Sequence[int], found: Sequence[PairFit]) -> frozenset[int]:
    reached = {z for f in found for z in (f.z0, f.z1)}
    return frozenset(z for z in usable if z not in reached) if len(usable) > 1 else frozenset()


def find_breaks(kept: Sequence[int], links: Links) -> tuple[Break, ...]:
    """Neighbours that belong to parts which no link connects, where a new part begins."""
    ones = np.ones(len(links.z))
    graph = sp.csr_matrix((ones, (links.z, links.w)), shape=(len(kept), len(kept)))
    _, part = connected_components(graph, directed=False)
    seen = np.maximum.accumulate(part)
    return tuple(Break(below=kept[i], above=kept[i + 1]) for i in np.flatnonzero(np.diff(seen) > 0).tolist())


def _indexed(kept: Sequence[int], found: Sequence[PairFit], noise: Floats) -> Links:
    index = {z: i for i, z in enumerate(kept)}
    return Links(
        np.array([index[f.z0] for f in found], np.intp),
        np.array([index[f.z1] for f in found], np.intp),
        np.stack([homogeneous(f.matrix or IDENTITY) for f in found]),
        noise,
        np.array([f.way == "person" for f in found], np.bool_),
    )


def _affine(u: Floats, g: Floats, centre: Floats) -> Floats:
    linear = np.eye(2) + g
    return homogeneous(np.hstack([linear, (centre + u - linear @ centre)[:, None]]))


def _solve(
    links: Links, recorded: Floats, centre: Floats, radius: float, noise: LinkNoise, anchor_of: AnchorOf
) -> tuple[Floats, Floats, Anchor, NDArray[np.bool_], Floats]:
    """Displacements [slices, 2], linear parts [slices, 2, 2], the anchor of positions, jumps, link weights.

    recorded: positions of the frames [slices, 2] in pixels.
    """
    linear, slices = links.matrix[:, :2, :2], len(recorded)
    g = np.zeros((slices, 2, 2))

    def steady(*learnt: Any) -> Anchor:
        return replace(estimate_anchor(*learnt), hold_px=STEADY_FRAME * radius)

    for _ in range(LINEAR_ROUNDS):
        wanted = ((np.eye(2) + g[links.z]) @ (linear - np.eye(2)) * radius).reshape(-1, 4) @ MODES.T
        found = [anchored(links, slices, wanted[:, own], noise.linear_px, steady)[0] for own in TURN_STRETCH]
        g = (np.hstack(found) @ MODES).reshape(-1, 2, 2) / radius
    moved = linear @ centre + links.matrix[:, :2, 2] - centre
    wanted = np.einsum("nrk,nk->nr", np.eye(2) + g[links.z], moved)
    # displacements against the recorded positions, which the anchor pulls to 0
    wanted -= links.across(recorded)
    u, anchor, jumps, weights = anchored(links, slices, wanted, noise.shift_px, anchor_of, noise.tissue_px)
    return u + recorded, g, anchor, jumps, weights


def anchored(
    links: Links,
    slices: int,
    wanted: Floats,
    link_px: float,
    anchor_of: AnchorOf,
    tissue_px: float = 0.0,
) -> tuple[Floats, Anchor, NDArray[np.bool_], Floats]:
    """Solve once without an anchor, learn from it how the recorded positions behave, and solve with it.

    tissue_px: by how much links that agree among themselves may still be wrong.
    """
    weights, each_px = np.ones(len(wanted)), link_px * links.noise
    loose, ties, steps = no_anchor(link_px), np.ones(slices), np.ones(slices - 1)
    for k in range(L1_ROUNDS + CUT_ROUNDS):
        x, _ = tied(links, wanted, weights / each_px, loose, ties, steps)
        weights = trusted(links, robust(wanted - links.across(x), each_px, cut=k >= L1_ROUNDS))
    jumps = find_jumps(x) & agreed(links, slices, weights)
    wrong_px = max(link_px, tissue_px)
    anchor, each_px = anchor_of(x, jumps, wrong_px), wrong_px * links.noise
    for _ in range(CUT_ROUNDS):
        x, q = tied(links, wanted, weights / each_px, anchor, ties, np.where(jumps, 0, steps))
        ties = let_go(x - q, anchor.jitter_px)
        # jumps that follow each other too closely to be told apart
        steps = let_go(np.diff(q, axis=0), max(anchor.walk_px, LEAST_JUMP_PX / RELEASED_SIGMAS))
    return x, anchor, jumps, weights


def trusted(links: Links, weights: Floats) -> Floats:
    """The same weights, but a person's links are followed whatever the others say."""
    return np.where(links.firm, FIRM, weights)


def agreed(links: Links, slices: int, weights: Floats) -> NDArray[np.bool_]:
    """Between which neighbours most crossing links agree [slices - 1]: a jump is what all of them see."""
    low, high = np.minimum(links.z, links.w), np.maximum(links.z, links.w)
    crossing, trusted = (
        np.cumsum(np.bincount(low, w, slices) - np.bincount(high, w, slices))[:-1]
        for w in (np.ones(len(weights)), (weights > 0.5).astype(float))
    )
    return np.asarray(trusted > 0.5 * crossing)


def robust(errors_px: Floats, link_px: Floats, cut: bool) -> Floats:
    """Weights of links by how far they are from the solution: absolute error, then one that lets go."""
    error = np.sqrt(((errors_px / link_px[:, None]) ** 2).mean(1))
    weights = 1 / (1 + (error / 3) ** 2) if cut else np.sqrt(1 / np.maximum(error, 1.0))
    return np.asarray(weights, np.float64)


def let_go(departures: Floats, sigma_px: float) -> Floats:
    """Stiffness of ties, of slices to their frames and of these to each other: those stretched too far are released."""
    sigmas = np.linalg.norm(departures / sigma_px, axis=1)
    return np.asarray((RELEASED_SIGMAS / np.maximum(sigmas, RELEASED_SIGMAS)) ** 4, np.float64)


def tied(
    links: Links,
    wanted: Floats,
    weights: Floats,
    anchor: Anchor,
    ties: Floats,
    steps: Floats,
) -> tuple[Floats, Floats]:
    """Least squares of links, x - q = 0 (jitter), q_i+1 - q_i = 0 (walk) and q = 0 (hold): x and q.

    ties, steps: how much there is of the stiffness of jitter, for each slice, and of walk, between each two.

    x and q of a slice stand side by side, so that the normal equations are a band as wide as links are long.
    """
    slices = len(ties)
    x, q = 2 * np.arange(slices), 2 * np.arange(slices) + 1
    ends = [
        (2 * links.z, 2 * links.w, weights**2),
        (x, q, ties * anchor.jitter_px**-2),
        (q[:-1], q[1:], np.maximum(steps * anchor.walk_px**-2, FREE)),
    ]
    band = np.zeros((2 * int(np.abs(links.w - links.z).max()) + 1, 2 * slices))
    for one, other, stiffness in ends:
        np.add.at(band[0], one, stiffness)
        np.add.at(band[0], other, stiffness)
        np.subtract.at(band, (np.abs(one - other), np.minimum(one, other)), stiffness)
    band[0, q] += anchor.hold_px**-2
    band[0, 1] += anchor.walk_px**-2  # the first q is the gauge
    pull = np.zeros((2 * slices, wanted.shape[1]))
    np.add.at(pull, 2 * links.w, wanted * weights[:, None] ** 2)
    np.subtract.at(pull, 2 * links.z, wanted * weights[:, None] ** 2)
    solved = np.asarray(solveh_banded(band, pull, lower=True), np.float64)
    return solved[::2], solved[1::2]
