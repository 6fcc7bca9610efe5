"""Cuts through the stack before and after alignment, as pictures for the report."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels import Image as AnyImage
from clio_argo.kernels.features import area_mean, histogram, percentiles
from clio_argo.kernels.render import Bounds, cut, png
from clio_argo.kernels.window import spread, to_viewer
from clio_argo.model.alignment import Matrix, PlacedSlice
from clio_argo.model.layout import reduced_name, slice_picture_name, statistics_name, view_name
from clio_argo.model.volume import Box, VolumeSpec, zyx
from clio_argo.placement.replacement import weights
from clio_argo.report.data import Picture
from clio_argo.store.reduced import read_arrays
from clio_argo.workspace.run import Run

VIEW_PX, TALL_PX, SLICE_PX = 1024, 240, 320
# reading the reduced slices of a long stack would take longer than solving it
MOST_REDUCED = 1024
Image = NDArray[np.uint8]
CAPTIONS = {
    "XZ": "the middle row of every slice, z downwards: a jump shows as a step (thin stacks are stretched)",
    "YZ": "the middle column of every slice, z downwards (thin stacks are stretched)",
    "XY": "the middle slice",
}


def make_views(run: Run, volume: VolumeSpec | None) -> tuple[Picture, ...]:
    """Write views/*.png and say what they show; XZ and YZ have z downwards.

    Without a volume the slices as `reduce` kept them are put where `solve` has them; of a long stack the middle.
    """
    numbers = range(run.plan.minz, run.plan.maxz + 1)
    if volume is None:
        spare = max(0, len(numbers) - MOST_REDUCED)
        numbers = numbers[spare // 2 : len(numbers) - (spare + 1) // 2]
    shown = f"; z {numbers[0]} to {numbers[-1]}" if len(numbers) < run.plan.depth else ""
    views = {"before": _recorded(run, numbers)}
    views["after"] = _of_reduced(run, numbers) if volume is None else _of_volume(run, volume)
    return tuple(_picture(run, t, text + shown, views) for t, text in CAPTIONS.items())


def make_slice_pictures(run: Run, slices: Iterable[PlacedSlice]) -> dict[int, str]:
    """Write small pictures of slices as they were recorded; those that do not decode have none."""
    reduced, names = _Reduced(run), {}
    for s in slices:
        if s.digest and run.plan.reduce.units:
            image = reduced.image(s.z)[0]
            names[s.z] = slice_picture_name(s.z)
            run.store.write(names[s.z], png(np.asarray(area_mean(image, -(-max(image.shape) // SLICE_PX)), np.uint8)))
    return names


def _picture(run: Run, title: str, caption: str, views: Mapping[str, Mapping[str, Image]]) -> Picture:
    names = {when: view_name(title, when) for when, images in views.items() if title in images}
    for when, name in names.items():
        run.store.write(name, png(np.ascontiguousarray(views[when][title])))
    return Picture(title=title, caption=caption, before=names.get("before"), after=names.get("after"))


def _recorded(run: Run, numbers: range) -> dict[str, Image]:
    """Middle lines of the slices as they were recorded; a slice without pixels is black."""
    rows, columns = dict[int, Image](), dict[int, Image]()
    if not run.plan.reduce.units:  # transforms were given, and with them all that is known of the slices
        return {}
    for unit in sorted({run.place_of(z)[0] for z in numbers if z not in run.plan.unusable}):
        arrays = read_arrays(run.store, statistics_name(unit))
        for z in (int(name[3:]) for name in arrays if name.startswith("row")):
            rows[z], columns[z] = arrays[f"row{z}"], arrays[f"column{z}"]
    if not rows:
        return {}
    middle = min(rows, key=lambda z: abs(z - (numbers[0] + numbers[-1]) / 2))
    return {
        "XZ": _stacked(rows.get(z) for z in numbers),
        "YZ": _stacked(columns.get(z) for z in numbers),
        "XY": _small(_Reduced(run).image(middle)[0]),
    }


def _stacked(lines: Iterable[Image | None]) -> Image:
    """Lines as the rows of one image; None is black."""
    every = list(lines)
    image = np.zeros((len(every), max(len(line) for line in every if line is not None)), np.uint8)
    for row, line in zip(image, every, strict=True):
        if line is not None:
            row[: len(line)] = line
    return _tall(_small(image))


class _Reduced:
    """Slices as `reduce` kept them; the last unit and the last slice stay unpacked."""

    def __init__(self, run: Run) -> None:
        self._unit = lru_cache(1)(lambda unit: read_arrays(run.store, reduced_name(unit)))
        self._place = run.place_of
        self.image = lru_cache(1)(self._image)

    def _image(self, z: int) -> tuple[Image, int]:
        """Slice `z`, and full-size pixels per pixel of it."""
        arrays = self._unit(self._place(z)[0])
        return arrays[f"image{z}"], int(arrays[f"factors{z}"][0])

    def cut(self, z: int, shown: Sequence[PlacedSlice], factor: int, box: Bounds) -> Image | None:
        """The part `box` of plane z of the canvas, reduced by `factor`; None if nothing stands in it."""
        cuts = [self._cut(s, s.matrix, factor, box) for s in shown if s.matrix is not None]
        if not cuts:
            return None
        mean = np.average(cuts, axis=0, weights=weights(z, [s.z for s in shown]))
        return np.asarray(mean.round(), np.uint8)

    def _cut(self, placed: PlacedSlice, matrix: Matrix, factor: int, box: Bounds) -> AnyImage:
        image, own_factor = self.image(placed.z)
        return cut(image, (own_factor, factor), matrix, box)


def _of_reduced(run: Run, numbers: range) -> dict[str, Image]:
    """The middle planes of the canvas as far as the reduced slices show them."""
    if not run.plan.reduce.units:
        return {}
    transforms, reduced = run.transforms, _Reduced(run)
    factor = -(-max(transforms.width, transforms.height) // VIEW_PX)
    width, height = -(-transforms.width // factor), -(-transforms.height // factor)

    def part(z: int, box: Bounds) -> Image | None:
        return reduced.cut(z, transforms.sources_of(z), factor, box)

    rows, columns = list[Image | None](), list[Image | None]()
    for z in numbers:
        rows.append(_line(part(z, (0, height // 2, width, height // 2 + 1))))
        columns.append(_line(part(z, (width // 2, 0, width // 2 + 1, height))))
    middle = part(numbers[len(numbers) // 2], (0, 0, width, height))
    if not any(row is not None for row in rows):
        return {}
    return {"XZ": _stacked(rows), "YZ": _stacked(columns), **({} if middle is None else {"XY": middle})}


def _line(image: Image | None) -> Image | None:
    return None if image is None else image.ravel()


def _of_volume(run: Run, spec: VolumeSpec) -> dict[str, Image]:
    """The middle planes of the lossless volume, at the finest scale that a picture can hold."""
    scale = next(k for k, s in enumerate(spec.scales) if max(s.size) <= 2 * VIEW_PX or k == len(spec.scales) - 1)
    box = spec.scales[scale].box
    middle = [(b + e) // 2 for b, e in zip(box.begin, box.end, strict=True)]
    cuts = {}
    for title, axis in (("XY", 0), ("XZ", 1), ("YZ", 2)):
        begin = zyx(m if a == axis else b for a, (m, b) in enumerate(zip(middle, box.begin, strict=True)))
        end = zyx(m + 1 if a == axis else e for a, (m, e) in enumerate(zip(middle, box.end, strict=True)))
        plane = run.volumes.read(scale, Box(begin=begin, end=end)).squeeze(axis)
        background = to_viewer(np.full((1, 1), spec.background, plane.dtype), spec.window)
        picture = _small(_visible(to_viewer(plane, spec.window), int(background[0, 0])))
        cuts[title] = picture if axis == 0 else _tall(picture)
    return cuts


def _visible(image: Image, background: int) -> Image:
    """Stretch the grey values of what slices reach, as slices before alignment are stretched."""
    counts = histogram(image)
    counts[background] = 0
    low, high = percentiles(counts, (0.0035, 0.9965))
    return np.asarray(spread(image, (low, max(high, low + 1)), np.uint8), np.uint8)


def _tall(image: Image) -> Image:
    """Thin stacks with every plane repeated, so that a cut can be seen."""
    return np.repeat(image, max(1, TALL_PX // len(image)), axis=0)


def _small(image: Image) -> Image:
    return np.asarray(area_mean(image, -(-max(image.shape) // VIEW_PX)), np.uint8)
