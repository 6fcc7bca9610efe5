"""Cuts through the stack before and after alignment, as pictures for the report."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from clio_argo.kernels import Image as AnyImage
from clio_argo.kernels.features import Bounds, area_mean, histogram, percentiles
from clio_argo.kernels.render import cut, png
from clio_argo.kernels.window import spread, to_viewer
from clio_argo.model.alignment import Matrix, PlacedSlice
from clio_argo.model.layout import reduced_name, slice_picture_name, statistics_name, view_name
from clio_argo.model.volume import Box, VolumeSpec, zyx
from clio_argo.placement.replacement import weights
from clio_argo.report.data import Picture
from clio_argo.store.documents import Store
from clio_argo.store.reduced import read_arrays
from clio_argo.workspace.run import Run

VIEW_PX = 1024  # the report's page is 1180 px wide
TALL_PX = 240  # least height of a cut, a fifth of the page's width: one through ten slices would be a line
SLICE_PX = 320  # several of these share a row of the page
# Reading all reduced slices of 14,000 takes longer than solving them; these are 1.7 GB and 3 CPU s (docs/design.md).
MOST_REDUCED = 1024
Image = NDArray[np.uint8]
CAPTIONS = {
    "XZ": "the middle row of every slice, z downwards: a jump shows as a step (thin stacks are stretched)",
    "YZ": "the middle column of every slice, z downwards (thin stacks are stretched)",
    "XY": "the middle slice",
}


def make_views(run: Run, volume: VolumeSpec | None) -> tuple[Picture, ...]:
    """Write pictures of cuts through the stack before and after alignment: XY [y, x], XZ [z, x] and YZ [z, y].

    volume: of the run; None before it is rendered. Then reduced slices are warped to where `solve` put them, those in
        the middle of a long stack.
    """
    if run.is_cleaned:
        # what they are made from may be gone
        return tuple(_known_picture(run.store, title, text) for title, text in CAPTIONS.items())
    numbers = range(run.plan.minz, run.plan.maxz + 1)
    if volume is None:
        spare = max(0, len(numbers) - MOST_REDUCED)
        numbers = numbers[spare // 2 : len(numbers) - (spare + 1) // 2]
    range_shown = f"; z {numbers[0]} to {numbers[-1]}" if len(numbers) < run.plan.depth else ""
    views = {"before": _cut_files(run, numbers)}
    views["after"] = _cut_reduced(run, numbers) if volume is None else _cut_volume(run, volume)
    return tuple(_write_picture(run, title, text + range_shown, views) for title, text in CAPTIONS.items())


def make_slice_pictures(run: Run, slices: Iterable[PlacedSlice]) -> dict[int, str]:
    """Write small pictures of slices as they were recorded, and return their names by z.

    Slices that do not decode have none.
    """
    reduced, names = _Reduced(run), {}
    for s in slices:
        if s.digest and run.plan.reduce.units:
            names[s.z] = slice_picture_name(s.z)
            if run.is_cleaned:
                continue
            image = reduced.image(s.z)[0]
            run.store.write(names[s.z], png(shrink(image, SLICE_PX)))
    return names


def _known_picture(store: Store, title: str, caption: str) -> Picture:
    """What an earlier report shows of one title."""
    names = {when: view_name(title, when) for when in ("before", "after")}
    there = {when: name for when, name in names.items() if store.read(name) is not None}
    return Picture(title=title, caption=caption, before=there.get("before"), after=there.get("after"))


def _write_picture(run: Run, title: str, caption: str, views: Mapping[str, Mapping[str, Image]]) -> Picture:
    """Write the cuts [rows, columns] of one title from `views["before"]` and `views["after"]`, where there are any."""
    names = {when: view_name(title, when) for when, images in views.items() if title in images}
    for when, name in names.items():
        run.store.write(name, png(np.ascontiguousarray(views[when][title])))
    return Picture(title=title, caption=caption, before=names.get("before"), after=names.get("after"))


def _cut_files(run: Run, numbers: range) -> dict[str, Image]:
    """Cuts XZ [z, x], YZ [z, y] and XY [y, x] through the slices as they were recorded; one without pixels is black."""
    rows, columns = dict[int, Image](), dict[int, Image]()
    # where transforms were imported, nothing was reduced
    if not run.plan.reduce.units:
        return {}
    for unit in sorted({run.find_slice(z)[0] for z in numbers if z not in run.plan.unusable}):
        arrays = read_arrays(run.store, statistics_name(unit))
        for z in (int(name[3:]) for name in arrays if name.startswith("row")):
            rows[z], columns[z] = arrays[f"row{z}"], arrays[f"column{z}"]
    if not rows:
        return {}
    middle = min(rows, key=lambda z: abs(z - (numbers[0] + numbers[-1]) / 2))
    return {
        "XZ": _stack(rows.get(z) for z in numbers),
        "YZ": _stack(columns.get(z) for z in numbers),
        "XY": shrink(_Reduced(run).image(middle)[0]),
    }


def _stack(lines: Iterable[Image | None]) -> Image:
    """Lines, each of n pixels, as the rows of one picture [z, n]; None is black."""
    rows = [np.zeros(0, np.uint8) if line is None else line.ravel() for line in lines]
    image = np.zeros((len(rows), max(map(len, rows))), np.uint8)
    for row, line in zip(image, rows, strict=True):
        row[: len(line)] = line
    return _heighten(shrink(image))


class _Reduced:
    """Slices as `reduce` wrote them."""

    def __init__(self, run: Run) -> None:
        self._find_slice = run.find_slice
        # Planes are asked for in order of z, and those of one slice follow each other. More would fill the memory.
        self._unit = lru_cache(1)(lambda unit: read_arrays(run.store, reduced_name(unit)))
        self.image = lru_cache(1)(self._image)

    def _image(self, z: int) -> tuple[Image, int]:
        """Reduced slice `z` [y, x], and full-size pixels per pixel of it."""
        arrays = self._unit(self._find_slice(z)[0])
        return arrays[f"image{z}"], int(arrays[f"factors{z}"][0])

    def cut(self, z: int, sources: Sequence[PlacedSlice], factor: int, box: Bounds) -> Image | None:
        """The part `box` [y, x] of plane z of the canvas, reduced by `factor`; None if no slice fills it."""
        cuts = [self._cut(s.z, s.matrix, factor, box) for s in sources if s.matrix is not None]
        if not cuts:
            return None
        mean = np.average(cuts, axis=0, weights=weights(z, [s.z for s in sources]))
        return np.asarray(mean.round(), np.uint8)

    def _cut(self, z: int, matrix: Matrix, factor: int, box: Bounds) -> AnyImage:
        """The part `box` [y, x] of the canvas, reduced by `factor`, as slice z fills it."""
        image, slice_factor = self.image(z)
        return cut(image, (slice_factor, factor), matrix, box)


def _cut_reduced(run: Run, numbers: range) -> dict[str, Image]:
    """Cuts XZ [z, x], YZ [z, y] and XY [y, x] through the middle of the canvas, from reduced slices."""
    if not run.plan.reduce.units:
        return {}
    transforms, reduced = run.transforms, _Reduced(run)
    factor = -(-max(transforms.width, transforms.height) // VIEW_PX)
    width, height = -(-transforms.width // factor), -(-transforms.height // factor)

    def part(z: int, box: Bounds) -> Image | None:
        """The part `box` [y, x] of plane z."""
        return reduced.cut(z, transforms.sources_of(z), factor, box)

    row, column = (0, height // 2, width, height // 2 + 1), (width // 2, 0, width // 2 + 1, height)
    # both lines of a slice while it is in memory
    lines = [(part(z, row), part(z, column)) for z in numbers]
    middle = part(numbers[len(numbers) // 2], (0, 0, width, height))
    if all(line is None for line, _ in lines):
        return {}
    cuts = {"XZ": _stack(line for line, _ in lines), "YZ": _stack(line for _, line in lines)}
    return cuts if middle is None else {**cuts, "XY": middle}


def _cut_volume(run: Run, spec: VolumeSpec) -> dict[str, Image]:
    """Cuts XY [y, x], XZ [z, x] and YZ [z, y] through the middle of the lossless volume, of its main channel.

    They are of the finest scale that is at most twice as large as a picture.
    """
    channel = spec.all_channels[spec.main]
    scale = next(k for k, s in enumerate(spec.scales) if max(s.size) <= 2 * VIEW_PX or k == len(spec.scales) - 1)
    box = spec.scales[scale].box
    middle = [(b + e) // 2 for b, e in zip(box.begin, box.end, strict=True)]
    cuts = {}
    for title, axis in (("XY", 0), ("XZ", 1), ("YZ", 2)):
        begin = zyx(m if a == axis else b for a, (m, b) in enumerate(zip(middle, box.begin, strict=True)))
        end = zyx(m + 1 if a == axis else e for a, (m, e) in enumerate(zip(middle, box.end, strict=True)))
        plane = run.volumes.read(scale, Box(begin=begin, end=end), spec.main).squeeze(axis)
        background = to_viewer(np.full((1, 1), channel.background, plane.dtype), channel.window)
        picture = shrink(_stretch(to_viewer(plane, channel.window), int(background[0, 0])))
        cuts[title] = picture if axis == 0 else _heighten(picture)
    return cuts


def _stretch(image: Image, background: int) -> Image:
    """An image [y, x] with its grey values stretched, as those of reduced slices are."""
    counts = histogram(image)
    # canvas that no slice reaches would decide what is black
    counts[background] = 0
    low, high = percentiles(counts, (0.0035, 0.9965))
    return np.asarray(spread(image, (low, max(high, low + 1)), np.uint8), np.uint8)


def _heighten(image: Image) -> Image:
    """A cut [z, n] with every row repeated if the stack is thin, so that people can see it."""
    return np.repeat(image, max(1, TALL_PX // len(image)), axis=0)


def shrink(image: Image, most_px: int = VIEW_PX) -> Image:
    """An image [y, x] reduced by a whole factor to at most `most_px` a side."""
    return np.asarray(area_mean(image, -(-max(image.shape) // most_px)), np.uint8)
