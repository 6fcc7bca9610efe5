"""Similarity of neighbouring planes: `render` compares those within its units, `publish` those across units."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels.features import Bounds, scaling
from clio_argo.kernels.patches import look, strange_places
from clio_argo.kernels.render import read_picture, thumbnail_factor
from clio_argo.kernels.similarity import Comparison, Tiles, compare, sample
from clio_argo.model.alignment import IDENTITY, Matrix, homogeneous, to_matrix
from clio_argo.model.layout import QUALITY, similarity_name, thumbnail_name
from clio_argo.model.quality import Quality
from clio_argo.model.run import ObjectRecord
from clio_argo.model.sizes import Size
from clio_argo.placement.neighbours import Comparisons, judge
from clio_argo.store.documents import Store
from clio_argo.store.reduced import read_all_arrays, write_arrays
from clio_argo.workspace.run import Run

# neighbours and second neighbours: these tell whether the order is right
REACH = 2
# rows and columns of a thumbnail are read in half for the look at places
HALF = 2
PlaneTiles = tuple[int, Tiles]
"""z of a plane and its windows."""


class Neighbours:
    """Compares planes, given in order of z, each with the two before it.

    pairs: comparisons by the z of both planes, to which it adds; those that are there already are not made again.
    first, last: the first and last two planes, which pair with those of the units around.
    """

    def __init__(self, pairs: Comparisons) -> None:
        self.pairs = pairs
        self.first: list[PlaneTiles] = []
        self.last: list[PlaneTiles] = []

    def add(self, z: int, tiles: Tiles) -> None:
        """Compare plane `z`."""
        for lag, (below, earlier) in enumerate(reversed(self.last), 1):
            if (below, z) not in self.pairs:
                self.pairs[below, z] = compare(earlier, tiles, displaced=lag == 1)
        self.last = [*self.last, (z, tiles)][-REACH:]
        self.first = [*self.first, (z, tiles)][:REACH]


def write_similarity(store: Store, unit: int, compared: Neighbours) -> ObjectRecord:
    """Write the comparisons of a unit's planes, and the windows of its first and last planes."""
    pairs = list(compared.pairs.values())
    ends = dict([*compared.first, *compared.last])
    arrays: dict[str, NDArray[Any]] = {
        "pairs": np.array(list(compared.pairs), np.int64).reshape(-1, 2),
        "parts": np.array([p.parts for p in pairs], np.float32),
        "distances": np.array([p.distances for p in pairs], np.float32),
        "gains": np.array([p.gain for p in pairs], np.float32),
        "first": np.array([z for z, _ in compared.first], np.int64),
        "last": np.array([z for z, _ in compared.last], np.int64),
        **{f"tiles{z}": tiles.tiles for z, tiles in ends.items()},
        **{f"covered{z}": tiles.covered for z, tiles in ends.items()},
        "factor": np.array([tiles.factor for tiles in ends.values()][:1], np.int64),
    }
    return write_arrays(store, similarity_name(unit), arrays)


def read_quality(run: Run) -> Quality:
    """How alike the planes of the volume are; the result does not depend on how it was cut into units."""
    if run.is_cleaned:
        return run.store.document(Quality, QUALITY)
    pairs: Comparisons = {}
    last: Sequence[PlaneTiles] = ()
    for arrays in read_all_arrays(run.store, [similarity_name(u) for u in range(run.volume.slabs)]):
        pairs.update(_comparisons(arrays))
        joined = Neighbours(pairs)
        for z, tiles in (*last, *_planes(arrays, "first")):
            joined.add(z, tiles)
        last = [*last, *_planes(arrays, "last")][-REACH:]
    places = _strange_places(run, sorted({z for pair in pairs for z in pair}))
    return judge(pairs, lambda a, b: compare(_thumbnail(run, a), _thumbnail(run, b), displaced=False), places)


def _strange_places(run: Run, numbers: Sequence[int]) -> dict[int, Bounds]:
    """Where planes `numbers` are unlike both planes around them, by z: bounds in pixels of the canvas."""
    scale = run.volume.scales[0]
    factor, (_, top, left) = HALF * thumbnail_factor(scale.size[1:]), scale.begin
    pictures = zip(numbers, run.store.need_all(map(thumbnail_name, numbers)), strict=True)
    looks = ((z, look(read_picture(data, half=True), *_on_plane(run, z, factor))) for z, data in pictures)
    return {
        z: (left + factor * x0, top + factor * y0, left + factor * x1, top + factor * y1)
        for z, (x0, y0, x1, y1) in strange_places(looks).items()
    }


def _thumbnail(run: Run, z: int) -> Tiles:
    """Windows of the picture of plane `z`: blocks that were moved are compared with others anywhere in the stack."""
    factor = thumbnail_factor(run.volume.scales[0].size[1:])
    return sample(read_picture(run.store.need(thumbnail_name(z))), *_on_plane(run, z, factor))


def _on_plane(run: Run, z: int, factor: int) -> tuple[Matrix, Size]:
    """Where slice `z` lies on its plane, reduced by a factor, and its size."""
    scale, shown = run.volume.scales[0], run.transforms.shown
    left, top, right, bottom = shown.box(run.plan.width, run.plan.height)
    to_plane = homogeneous(run.transforms.sources_of(z)[0].matrix or IDENTITY) - [
        [0, 0, scale.begin[2]],
        [0, 0, scale.begin[1]],
        [0, 0, 0],
    ]
    matrix = np.linalg.inv(scaling(factor)) @ to_plane @ homogeneous(((1.0, 0.0, left), (0.0, 1.0, top)))
    return to_matrix(matrix), (right - left, bottom - top)


def _comparisons(arrays: Mapping[str, NDArray[Any]]) -> Comparisons:
    """Comparisons of the planes of a unit, from arrays [pairs, ...]."""
    rows = zip(*(arrays[name] for name in ("pairs", "parts", "distances", "gains")), strict=True)
    return {(int(a), int(b)): Comparison(parts, distances, float(gain)) for (a, b), parts, distances, gain in rows}


def _planes(arrays: Mapping[str, NDArray[Any]], which: str) -> Iterable[PlaneTiles]:
    """The `first` or `last` planes of a unit, with windows [n, y, x]."""
    for z in arrays[which].tolist():
        yield z, Tiles(arrays[f"tiles{z}"], arrays[f"covered{z}"], int(arrays["factor"][0]))
