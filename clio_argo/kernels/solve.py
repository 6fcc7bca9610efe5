"""From fits of pairs to one transform per slice: a chain over the links that were found.

A link that was not found is never composed. A slice that no link reaches is bad; two or more slices that
only reach each other are a part of their own, and the place between the parts is a break.
"""

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
    """Place slices (sorted z) by composing found links, always onto the nearest placed slice below."""
    links = _links(fits)
    parts = _parts(usable, links)
    lonely = frozenset(z for part in parts if len(part) == 1 and len(usable) > 1 for z in part)
    kept = [z for z in usable if z not in lonely]
    placed: dict[int, Floats] = {}
    breaks: list[Break] = []
    for z in kept:
        below = next((w for w in reversed(placed) if (w, z) in links), None)
        if below is not None:
            placed[z] = placed[below] @ homogeneous(links[below, z])
        else:
            last = next(reversed(placed), None)
            # nothing is known across a break but where the part below ended
            placed[z] = placed[last] if last is not None else np.eye(3)
            breaks += [Break(below=last, above=z)] if last is not None else []
    return Chain(placed, lonely, tuple(breaks))


def _links(fits: Sequence[PairFit]) -> dict[tuple[int, int], Matrix]:
    return {(f.z0, f.z1): f.matrix for f in fits if f.matrix is not None}


def _parts(usable: Sequence[int], links: Mapping[tuple[int, int], Matrix]) -> list[list[int]]:
    """Slices grouped by what links connect."""
    part: dict[int, list[int]] = {z: [z] for z in usable}
    for a, b in links:
        small, large = sorted((part[a], part[b]), key=len)
        if small is not large:
            large.extend(small)
            part.update({z: large for z in small})
    return [p for z, p in part.items() if p[0] == z]


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
