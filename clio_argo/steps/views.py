"""Cuts through the stack before and after alignment, as pictures for the report."""

import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels.features import area_mean, histogram, percentiles
from clio_argo.kernels.render import png
from clio_argo.kernels.window import spread, to_viewer
from clio_argo.model.volume import Box, zyx
from clio_argo.report.data import Picture
from clio_argo.steps.base import Run
from clio_argo.steps.reduce import facts_name, reduced_name
from clio_argo.store.reduced import read_arrays

VIEW_PX, TALL_PX = 1024, 240
Image = NDArray[np.uint8]


def make_views(run: Run) -> tuple[Picture, ...]:
    """Write views/*.png and say what they show; XZ and YZ have z downwards."""
    before, after = views_before(run), views_after(run)
    captions = {
        "XZ": "the middle row of every slice, z downwards: a jump shows as a step (thin stacks are stretched)",
        "YZ": "the middle column of every slice, z downwards (thin stacks are stretched)",
        "XY": "the middle slice",
    }
    return tuple(_picture(run, title, text, before[title], after[title]) for title, text in captions.items())


def _picture(run: Run, title: str, caption: str, before: Image, after: Image) -> Picture:
    names = [f"views/{title.lower()}_{when}.png" for when in ("before", "after")]
    for name, image in zip(names, (before, after), strict=True):
        run.store.write(name, png(np.ascontiguousarray(image)))
    return Picture(title=title, caption=caption, before=names[0], after=names[1])


def views_before(run: Run) -> dict[str, Image]:
    """Middle lines of the slices as they were recorded; a missing slice is black."""
    plan = run.plan
    rows: dict[int, Image] = {}
    columns: dict[int, Image] = {}
    for unit in range(plan.reduce.units):
        arrays = read_arrays(run.store, facts_name(unit))
        for s in run.slices(unit).slices:
            if f"row{s.z}" in arrays:
                rows[s.z], columns[s.z] = arrays[f"row{s.z}"], arrays[f"column{s.z}"]
    middle = min(rows, key=lambda z: abs(z - (plan.minz + plan.maxz) / 2))
    unit = next(u for u in range(plan.reduce.units) if any(s.z == middle for s in run.slices(u).slices))
    image = read_arrays(run.store, reduced_name(unit))[f"image{middle}"]
    return {"XZ": _stacked(run, rows), "YZ": _stacked(run, columns), "XY": _small(image)}


def _stacked(run: Run, lines: dict[int, Image]) -> Image:
    length = max(len(line) for line in lines.values())
    stack = np.zeros((run.plan.depth, length), np.uint8)
    for z, line in lines.items():
        stack[z - run.plan.minz, : len(line)] = line
    return _tall(_small(stack))


def views_after(run: Run) -> dict[str, Image]:
    """The middle planes of the lossless volume, at the finest scale that a picture can hold."""
    spec = run.volume
    scale = next(
        k for k, s in enumerate(spec.scales) if max(s.size) <= 2 * VIEW_PX or k == len(spec.scales) - 1
    )
    box = spec.scales[scale].box
    middle = [(b + e) // 2 for b, e in zip(box.begin, box.end, strict=True)]
    cuts = {}
    for title, axis in (("XY", 0), ("XZ", 1), ("YZ", 2)):
        begin = zyx(m if a == axis else b for a, (m, b) in enumerate(zip(middle, box.begin, strict=True)))
        end = zyx(m + 1 if a == axis else e for a, (m, e) in enumerate(zip(middle, box.end, strict=True)))
        plane = run.volumes.read(scale, Box(begin=begin, end=end)).squeeze(axis)
        cut = _small(_visible(to_viewer(plane, spec.window)))
        cuts[title] = cut if axis == 0 else _tall(cut)
    return cuts


def _visible(image: Image) -> Image:
    """Stretch a picture's own grey values, as slices before alignment are stretched."""
    low, high = percentiles(histogram(image), (0.0035, 0.9965))
    return np.asarray(spread(image, (low, max(high, low + 1)), np.uint8), np.uint8)


def _tall(image: Image) -> Image:
    """Thin stacks with every plane repeated, so that a cut can be seen."""
    return np.repeat(image, max(1, TALL_PX // len(image)), axis=0)


def _small(image: Image) -> Image:
    return np.asarray(area_mean(image, -(-max(image.shape) // VIEW_PX)), np.uint8)
