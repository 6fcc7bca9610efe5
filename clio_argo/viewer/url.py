"""States and links of neuroglancer: what a person sees first. Pure: no I/O.

Points and sizes are in x, y, z order and in voxels of the finest scale; the centre of voxel 0 is at 0.5.
"""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

# what `clio-argo view` serves unless told otherwise, so that a local run's link can be known before
VIEW_PORT = 8770
LOCAL_HOST = f"http://127.0.0.1:{VIEW_PORT}/neuroglancer/v/run"
PUBLIC_HOST = "https://neuroglancer-demo.appspot.com"

Point = tuple[float, float, float]

# Width and height in CSS pixels which a panel has at least in a 1280 x 720 window, side bars closed, with a margin.
_WINDOW_PX = (1200, 600)
_AXES_OF_VIEW = {"xy": (0, 1), "xz": (0, 2), "yz": (2, 1)}

# What encodeURI leaves alone, without !'()*;, over which mail programs and shells stumble.
_SAFE = "/?:@&=+$#"


def neuroglancer_state(  # noqa: PLR0913, the parts of a view have nothing in common
    source: str,
    *,
    name: str,
    position_vox: Point,
    resolution_nm: Point,
    size: tuple[int, int, int],
    window: tuple[float, float] | None = None,
    layout: str = "4panel",
) -> dict[str, Any]:
    """A view of one image layer in which the whole canvas is visible.

    `source` is neuroglancer's URL with the format in front (`precomputed://gs://bucket/run/ng`), `position_vox` the
    centre of the view, `resolution_nm` and `size` belong to the finest scale, and `window` is the pair of values shown
    as black and white (absent: the whole range of the data type). `layout`: 4panel, xy, xz, yz, xy-3d and so on.
    """
    return {
        "dimensions": {axis: [nm / 1e9, "m"] for axis, nm in zip("xyz", resolution_nm, strict=True)},
        "position": list(position_vox),
        "crossSectionScale": _cross_section_scale(size, resolution_nm, layout),
        "projectionScale": _projection_scale(size, resolution_nm),
        "layers": [_image_layer(source, name, window)],
        "selectedLayer": {"layer": name},
        "layout": layout,
    }


def viewer_url(state: dict[str, Any], host: str = PUBLIC_HOST) -> str:
    """The URL at which the neuroglancer at `host` shows `state`: encodeURI(JSON) with !'()*;, escaped as well."""
    document = json.dumps(state, separators=(",", ":"), ensure_ascii=False)
    return f"{host.rstrip('/')}/#!{quote(document, safe=_SAFE)}"


def _image_layer(source: str, name: str, window: tuple[float, float] | None) -> dict[str, Any]:
    layer: dict[str, Any] = {"type": "image", "source": source, "name": name}
    if window is not None:
        # "normalized" is the control of neuroglancer's own default shader, which stays out of the link thereby.
        layer["shaderControls"] = {"normalized": {"range": list(window)}}
    return layer


def _extent(size: tuple[int, int, int], resolution_nm: Point) -> list[float]:
    """Sides of the volume in canonical voxels, neuroglancer's unit of zoom: cubes of the smallest resolution."""
    finest = min(resolution_nm)
    return [n * nm / finest for n, nm in zip(size, resolution_nm, strict=True)]


def _cross_section_scale(size: tuple[int, int, int], resolution_nm: Point, layout: str) -> float:
    """Canonical voxels per CSS pixel at which every cross section of `layout` fits into its panel."""
    extent = _extent(size, resolution_nm)
    width, height = _panel_px(layout)
    scales = [max(extent[across] / width, extent[down] / height) for across, down in _views(layout)]
    return _short(max(scales))


def _projection_scale(size: tuple[int, int, int], resolution_nm: Point) -> float:
    """Canonical voxels per height of the panel; the diagonal fits at any rotation."""
    return _short(1.1 * sum(side**2 for side in _extent(size, resolution_nm)) ** 0.5)


def _views(layout: str) -> Sequence[tuple[int, int]]:
    plane = layout.removesuffix("-3d")
    return [_AXES_OF_VIEW[plane]] if plane in _AXES_OF_VIEW else list(_AXES_OF_VIEW.values())


def _panel_px(layout: str) -> tuple[float, float]:
    width, height = _WINDOW_PX
    columns, rows = (1, 1) if layout in _AXES_OF_VIEW else (2, 1) if layout.endswith("-3d") else (2, 2)
    return width / columns, height / rows


def _short(value: float) -> float:
    """Four digits are more than a screen resolves, and keep the link readable."""
    return float(f"{value:.4g}")
