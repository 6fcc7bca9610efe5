"""From fits of pairs to one transform per slice: a chain over the links that were found.

A link that was not found is never composed. A slice that no link reaches is bad; two or more slices that
only reach each other are a part of their own, and the place between the parts is a break.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clio_argo.kernels.render import footprint
from clio_argo.model.alignment import IDENTITY, Break, Floats, Matrix, PairFit, homogeneous, to_matrix


@dataclass(frozen=True)
class Chain:
    """Slices placed in the frame of the first, which slices no link reached, and where the chain broke."""

    placed: Mapping[int, Floats]
    lonely: frozenset[int]
    breaks: tuple[Break, ...]


def chain(usable: Sequence[int], fits: Sequence[PairFit]) -> Chain:
    """Place slices (sorted z) by composing the links that were found, by the fewest links from the first."""
    links = _links(fits)
    placed: dict[int, Floats] = {}
    breaks: list[Break] = []
    lonely = {z for z in usable if len(usable) > 1 and not links.get(z)}
    for z in usable:
        if z in placed or z in lonely:
            continue
        below = max((w for w in placed if w < z), default=None)
        # nothing is known across a break but where the part below ended
        start = np.eye(3) if below is None else placed[below]
        breaks += [] if below is None else [Break(below=below, above=z)]
        placed.update(_spread(z, start, links))
    return Chain(placed, frozenset(lonely), tuple(breaks))


def _links(fits: Sequence[PairFit]) -> dict[int, dict[int, Floats]]:
    """links[z][w] maps slice w onto slice z, for both directions of every fit that was found."""
    links: dict[int, dict[int, Floats]] = {}
    for fit in (f for f in fits if f.matrix is not None):
        matrix = homogeneous(fit.matrix or IDENTITY)
        links.setdefault(fit.z0, {})[fit.z1] = matrix
        links.setdefault(fit.z1, {})[fit.z0] = np.asarray(np.linalg.inv(matrix), np.float64)
    return links


def _spread(first: int, start: Floats, links: Mapping[int, Mapping[int, Floats]]) -> dict[int, Floats]:
    """All slices that links connect with `first`, placed breadth first."""
    placed, queue = {first: start}, deque([first])
    while queue:
        z = queue.popleft()
        # not `keys() - placed.keys()`, which looks at all that are placed
        for w in sorted(w for w in links.get(z, {}) if w not in placed):
            placed[w] = placed[z] @ links[z][w]
            queue.append(w)
    return placed


def identities(usable: Sequence[int]) -> Chain:
    """The chain of a stack that is aligned already."""
    return Chain({z: homogeneous(IDENTITY) for z in usable}, frozenset(), ())


def on_canvas(
    placed: Mapping[int, Floats], width: int, height: int
) -> tuple[dict[int, Matrix], tuple[int, int]]:
    """Move all slices by whole pixels so that the canvas begins at (0, 0); returns its (width, height)."""
    if not placed:
        return {}, (width, height)
    rounded = {z: to_matrix(m) for z, m in placed.items()}
    boxes = np.array([footprint(m, width, height) for m in rounded.values()])
    left, top = (int(v) for v in boxes[:, :2].min(0))
    right, bottom = (int(v) for v in boxes[:, 2:].max(0))
    shift = np.array([[0, 0, left], [0, 0, top]], float)
    return {z: to_matrix(np.array(m) - shift) for z, m in rounded.items()}, (right - left, bottom - top)
