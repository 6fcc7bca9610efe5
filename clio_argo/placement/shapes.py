"""The shapes of the volume that follow from the transforms."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from clio_argo.errors import UserError
from clio_argo.kernels.window import invert_window
from clio_argo.model.alignment import Planes, Transforms
from clio_argo.model.appearance import ChannelContrast
from clio_argo.model.grid import GREY, Channels, build_volume
from clio_argo.model.plan import Plan
from clio_argo.model.regions import Crop
from clio_argo.model.request import Request
from clio_argo.model.volume import RGB, VolumeChannel, VolumeSpec, Window, Zyx, zyx

# place among red, green and blue
GREEN = 1
# largest grey value of each data type, which inversion turns into 0
TOP = {"uint8": 255, "uint16": 65535}


def fix_shapes(request: Request, plan: Plan, transforms: Transforms) -> VolumeSpec:
    """All shapes of both volumes. Raises `UserError` if the crop is not on the canvas or memory does not suffice."""
    begin, size = crop_canvas(request.crop, plan, transforms)
    window = None if plan.channels else _viewer_window(request, plan, transforms)
    return build_volume(request, begin, size, plan.dtype, window, volume_channels(request, plan, transforms.windows))


def volume_channels(request: Request, plan: Plan, windows: Sequence[Window | None] = ()) -> Channels:
    """The channels of the volume.

    windows: of each channel in grey values of the files; none before they are known.
    """
    if not plan.channels:
        return GREY
    known = windows or [None] * len(plan.channels)
    channels = tuple(_volume_channel(request, plan, number, window) for number, window in enumerate(known))
    # of the luminance of a picture green makes up most
    main = GREEN if plan.align_channel is None else plan.align_channel
    picture = plan.width * plan.height * np.dtype(plan.type_name).itemsize * plan.samples
    return Channels(channels, plan.rgb, main, picture)


def _volume_channel(request: Request, plan: Plan, number: int, window: Window | None) -> VolumeChannel:
    """How a channel is stored: the contrast of what is aligned is that of the request, unless it would mix colours."""
    channel, aligned = plan.channels[number], plan.align_channel
    is_colour = plan.rgb and number < RGB
    # red, green and blue stay together
    leads = number == aligned or (is_colour and (aligned is None or aligned < RGB))
    contrast = request.contrast.channels.get(channel.name) or ChannelContrast(
        clip_limit=request.contrast.clip_limit if leads and not is_colour else 0,
        invert=request.contrast.invert and leads,
    )
    shown = invert_window(window, TOP[plan.dtype]) if window and contrast.invert else window
    return VolumeChannel(
        name=channel.name, number=number, colour=channel.colour, recorded=window,
        # CLAHE spreads the window over the whole range
        window=None if contrast.clip_limit else shown,
        # other channels are added to what is aligned
        background=request.background if leads or is_colour else 0,
        clip_limit=contrast.clip_limit, invert=contrast.invert, even=leads,
    )  # fmt: skip


def crop_canvas(crop: Crop, plan: Plan, transforms: Transforms) -> tuple[Zyx, Zyx]:
    """Begin and size (z, y, x) of the part of the canvas that is written.

    Raises:
        UserError: the crop is not on the canvas.
    """
    canvas = ((plan.minz, plan.maxz), (0, transforms.height - 1), (0, transforms.width - 1))
    spans = [span or whole for span, whole in zip((crop.z, crop.y, crop.x), canvas, strict=True)]
    outside = [f"crop.{axis} {a[0]} to {a[1]}: the canvas has {w[0]} to {w[1]}"
               for axis, a, w in zip("zyx", spans, canvas, strict=True) if a[0] < w[0] or a[1] > w[1]]  # fmt: skip
    if outside:
        raise UserError.all("the crop does not lie on the canvas:", outside)
    return zyx(low for low, _ in spans), zyx(high - low + 1 for low, high in spans)


def _viewer_window(request: Request, plan: Plan, transforms: Transforms) -> tuple[float, float] | None:
    """The window in stored values."""
    # CLAHE has spread the window over the whole range already
    if transforms.window is None or request.contrast.clip_limit:
        return None
    return invert_window(transforms.window, TOP[plan.dtype]) if request.contrast.invert else transforms.window


def planes(spec: VolumeSpec, transforms: Transforms, slab: int) -> Planes:
    """The slices that fill the planes of one slab."""
    box = spec.slab_box(slab * len(spec.all_channels))
    sources = tuple(transforms.sources_of(z) for z in range(box.begin[0], box.end[0]))
    return Planes(window=transforms.window, shown=transforms.shown, sources=sources)


def attributes(request: Request, transforms: Transforms) -> dict[str, Any]:
    """Attributes of both volumes: contrast, window, changed values, and flagged, suspect and replaced slices."""
    values = transforms.values
    return {
        **({"values": {**values.map.model_dump(), "exact": values.exact, "note": values.note}} if values else {}),
        # attributes of grey volumes are what they were before there were channels
        "contrast": request.contrast.model_dump(exclude=None if request.contrast.channels else {"channels"}),
        "window": transforms.window,
        **({"windows": transforms.windows} if transforms.windows else {}),
        "bad_slices": request.bad_slices,
        "flagged": [s.z for s in transforms.flagged],
        "suspect": [s.z for s in transforms.suspect],
        "replaced": transforms.replaced,
    }
