"""Decodes every slice again, adjusts its contrast, warps it and writes scale 0 of the lossless volume."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from clio_argo.errors import ClioError
from clio_argo.kernels import Image, as_image
from clio_argo.kernels.blend import blend
from clio_argo.kernels.contrast import adjust, apply_gain
from clio_argo.kernels.fill import Mask
from clio_argo.kernels.render import jpeg, place, thumbnail
from clio_argo.kernels.similarity import sample
from clio_argo.kernels.window import to_viewer
from clio_argo.model.alignment import PlacedSlice, Planes, Shown, compose
from clio_argo.model.layout import thumbnail_name
from clio_argo.model.step import StepResult
from clio_argo.model.volume import Box, VolumeChannel
from clio_argo.placement.replacement import weights
from clio_argo.store.grey_values import Decoded
from clio_argo.store.images.base import Undecodable
from clio_argo.workspace.measure_channels import BETWEEN
from clio_argo.workspace.run import Run
from clio_argo.workspace.similarity import Neighbours, write_similarity
from clio_argo.workspace.units import Done, Outcome, each_unit, once

# the fields of a slice that decide its voxels: a verdict or reason that changes renders nothing again
PIXELS = {"z", "file", "page", "matrix", "digest", "grey"}
WHOLE = 255  # coverage of a pixel of uint8; a slice counts where its own pixels make up more than half of one


class Adjusted(NamedTuple):
    """Pixels [y, x] of a slice as they are warped, and bool [y, x], where it shows nothing; None: nowhere."""

    pixels: Image
    nothing: Mask | None


Images = Mapping[int, Adjusted]


def run(run: Run, units: Sequence[int]) -> StepResult:
    """Render some slabs."""
    return each_unit(units, lambda unit: _unit(run, unit))


def _unit(run: Run, unit: int) -> Outcome:
    box, planes, channel = run.volume.slab_box(unit), run.planes(unit), _channel(run, unit)
    inputs = [
        run.volume.scales[0].model_dump(),
        run.volume.dtype,
        run.volume.aligned,
        run.volume.window,
        box.model_dump(),
        planes.window,
        planes.shown.model_dump(),
        [[s.model_dump(include=PIXELS) for s in sources] for sources in planes.sources],
        *([channel.model_dump(), run.volume.main] if run.volume.channels else []),
    ]
    return once(run, unit, inputs, lambda: _render(run, unit, box, planes))


def _channel(run: Run, unit: int) -> VolumeChannel:
    """The channel that a unit renders; a grey stack is one whose contrast the settings tell."""
    volume, contrast = run.volume, run.settings.contrast
    channel = volume.all_channels[volume.channel_and_slab(unit)[0]]
    if volume.channels:
        return channel
    settings = {"clip_limit": contrast.clip_limit, "invert": contrast.invert, "even": True}
    return channel.model_copy(update={**settings, "recorded": run.planes(unit).window})


def _render(run: Run, unit: int, box: Box, planes: Planes) -> Done:
    volume, channel = run.volume, _channel(run, unit)
    number, slab_number = volume.channel_and_slab(unit)
    run.source.hold(slab_number, volume.held_bytes)
    run.source.expect(run.slice_file(z) for z in dict.fromkeys(s.z for placed in planes.sources for s in placed))
    slab = np.full(box.shape, channel.background, volume.dtype)
    pictures: list[tuple[str, bytes]] = []
    images: dict[int, Adjusted] = {}
    compared = Neighbours({})
    is_main = not volume.channels or channel.number == volume.main
    for z, plane, placed in zip(range(box.begin[0], box.end[0]), slab, planes.sources, strict=True):
        sources = [_shift_to(box, s, planes.shown) for s in placed]
        # a slice that fills several planes in a row is decoded once, and only slices of this plane stay in memory
        images = {s.z: images[s.z] if s.z in images else _adjusted_image(run, s, planes, channel) for s in sources}
        _fill(plane, z, sources, images, channel.background)
        for s in sources if is_main else ():
            if s.z == z and s.matrix:
                compared.add(z, sample(plane, s.matrix, images[z].pixels.shape[::-1]))
        if is_main:
            pictures.append((thumbnail_name(z), jpeg(to_viewer(thumbnail(plane), channel.window))))
    objects = run.store.write_all(pictures)
    objects += [write_similarity(run.store, slab_number, compared)] if is_main else []
    return Done([*run.volumes.write_aligned(0, box, slab, number), *objects])


def render_plane(run: Run, unit: int, z: int) -> Image:
    """Plane z [y, x] of a unit, rendered from its slices; nothing is written."""
    box, planes, channel = run.volume.slab_box(unit), run.planes(unit), _channel(run, unit)
    plane = np.full(box.shape[1:], channel.background, run.volume.dtype)
    sources = [_shift_to(box, s, planes.shown) for s in planes.sources[z - box.begin[0]]]
    images = {s.z: _adjusted_image(run, s, planes, channel) for s in sources}
    _fill(plane, z, sources, images, channel.background)
    return plane


def _shift_to(box: Box, placed: PlacedSlice, shown: Shown) -> PlacedSlice:
    """The slice with a matrix from pixels of what is shown of it to those of `box`, instead of the file and canvas."""
    (_, y, x), (left, top) = box.begin, shown.origin
    matrix = placed.matrix and compose(((1, 0, -x), (0, 1, -y)), compose(placed.matrix, ((1, 0, left), (0, 1, top))))
    return placed.model_copy(update={"matrix": matrix})


def _fill(plane: Image, z: int, sources: Sequence[PlacedSlice], images: Images, background: int) -> None:
    """Warp the slices [y, x] that fill plane z into `plane` [y, x], which is background."""
    placed = [(images[s.z], s.matrix) for s in sources if s.matrix is not None]
    if len(placed) < 2:
        for image, matrix in placed:
            place(image.pixels, matrix, plane, background)
        return
    # where only one slice shows something it counts alone, so that no border fades into the background
    planes, coverages = [plane.copy() for _ in placed], [np.zeros(plane.shape, np.uint8) for _ in placed]
    for (image, matrix), warped, coverage in zip(placed, planes, coverages, strict=True):
        place(image.pixels, matrix, warped, background)
        shows = np.full(image.pixels.shape, WHOLE, np.uint8)
        if image.nothing is not None:
            shows[image.nothing] = 0
        place(shows, matrix, coverage, 0)
    plane[:] = blend(planes, [c > WHOLE // 2 for c in coverages], weights(z, [s.z for s in sources]))


def _adjusted_image(run: Run, placed: PlacedSlice, planes: Planes, channel: VolumeChannel) -> Adjusted:
    """What is shown of a slice, with its flicker evened out and its contrast adjusted."""
    left, top, right, bottom = planes.shown.box(*run.slice_file(placed.z).size)
    if channel.number is not None and not _digest(placed, channel.number):
        # this channel of it did not decode
        lost = np.ones((bottom - top, right - left), np.bool_)
        return Adjusted(as_image(np.full(lost.shape, channel.background, run.volume.dtype)), lost)
    # before warping, so that the background cannot leak into the histograms of the contrast
    decoded, shown = decode(run, placed, channel.number), np.s_[top:bottom, left:right]
    pixels, nothing = decoded.pixels[shown], None if decoded.nothing is None else decoded.nothing[shown]
    if placed.grey is not None and channel.even:
        pixels = apply_gain(pixels, *placed.grey)
    adjusted = adjust(pixels, channel.clip_limit, channel.invert, channel.recorded, nothing)
    if nothing is not None:
        adjusted[nothing] = channel.background
    return Adjusted(adjusted, nothing)


def _digest(placed: PlacedSlice, channel: int | None) -> str:
    """Digest of the pixels of a channel of a slice."""
    return placed.digest if channel is None else placed.digest.split(BETWEEN)[channel]


def decode(run: Run, placed: PlacedSlice, channel: int | None = None) -> Decoded:
    """Grey values of a slice's file, or of one of its channels.

    Raises:
        ClioError: they are not those that `reduce` decoded.
    """
    slice_file = run.slice_file(placed.z)
    name = slice_file.name if channel is None else slice_file.channels[channel].name
    try:
        decoded = run.source.decode_heard(slice_file, channel)
    except Undecodable as error:
        raise ClioError(f"slice {placed.z} ({name}): {error}; it was readable before") from error
    if decoded.digest != _digest(placed, channel):
        raise ClioError(
            f"slice {placed.z} ({name}) has other pixels than when it was aligned; "
            "run the same command again to align the changed stack"
        )
    return decoded
