"""URLs of neuroglancer pages, and the states in them: what a person sees first. Pure: no I/O.

Points and sizes are in x, y, z order and in voxels of the finest scale; the centre of voxel 0 is at 0.5. Zoom is in
canonical voxels, which are cubes of the smallest resolution, per pixel of a cross section or height of the 3-D panel.
"""

import json
from collections.abc import Sequence
from math import hypot
from typing import Any
from urllib.parse import quote

# where `clio-argo view` serves by default, so that a tunnel to this machine can be set up beforehand
VIEW_PORT = 8770
# neuroglancer's names of arrangements of panels
LAYOUTS = ("4panel", "4panel-alt", "xy", "xz", "yz", "xy-3d", "xz-3d", "yz-3d", "3d")
PUBLIC_HOST = "https://neuroglancer-demo.appspot.com"

Point = tuple[float, float, float]

# The panels of a 1280 x 720 window share 1280 x 674 CSS pixels with the side bars closed; less a margin.
_WINDOW_PX = (1200, 600)
_AXES_OF_VIEW = {"xy": (0, 1), "xz": (0, 2), "yz": (2, 1)}
# The 3-D view shows the diagonal at any rotation, with a tenth of it as margin.
_MARGIN_3D = 1.1

# What encodeURI leaves alone, except !'()*;, which mail programs and shells misread.
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
    layers: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """The state of a page that shows image layers at a zoom at which the whole canvas is visible.

    `source` is the volume's URL with its format in front (`precomputed://gs://bucket/run/ng`), `position_vox` the
    centre of the view. `resolution_nm` and `size` are those of the finest scale. `window` holds the grey values shown
    as black and white; None shows the whole range of the data type. `layout` is one of `LAYOUTS`.
    `layers` are those of the volume (`viewer.channels`); without them one shows `source` under `name`.
    """
    extent = [n * nm / min(resolution_nm) for n, nm in zip(size, resolution_nm, strict=True)]
    layer: dict[str, Any] = {"type": "image", "source": source, "name": name}
    if window is not None:
        # "normalized" is the control of neuroglancer's default shader, so the URL need not hold a shader.
        layer["shaderControls"] = {"normalized": {"range": list(window)}}
    return {
        "dimensions": {axis: [nm / 1e9, "m"] for axis, nm in zip("xyz", resolution_nm, strict=True)},
        "position": list(position_vox),
        "crossSectionScale": _short(_cross_section_scale(extent, layout)),
        "projectionScale": _short(_MARGIN_3D * hypot(*extent)),
        "layers": list(layers) or [layer],
        "selectedLayer": {"layer": layers[0]["name"] if layers else name},
        "layout": layout,
    }


def viewer_url(state: dict[str, Any], host: str = PUBLIC_HOST) -> str:
    """The URL at which the neuroglancer at `host` shows `state`.

    The fragment is neuroglancer's own form: the JSON of the state, escaped as by encodeURI and !'()*;, as well.
    """
    document = json.dumps(state, separators=(",", ":"), ensure_ascii=False)
    return f"{host.rstrip('/')}/#!{quote(document, safe=_SAFE)}"


def _cross_section_scale(extent: Sequence[float], layout: str) -> float:
    """Canonical voxels per CSS pixel at which every cross section of `layout` fits into its panel."""
    width, height = _panel_px(layout)
    return max(max(extent[across] / width, extent[down] / height) for across, down in _views(layout))


def _views(layout: str) -> Sequence[tuple[int, int]]:
    """The axes, across and down, of each cross section that `layout` shows."""
    plane = layout.removesuffix("-3d")
    return [_AXES_OF_VIEW[plane]] if plane in _AXES_OF_VIEW else list(_AXES_OF_VIEW.values())


def _panel_px(layout: str) -> tuple[float, float]:
    """Width and height of one panel of `layout` in CSS pixels."""
    width, height = _WINDOW_PX
    columns, rows = (1, 1) if layout in _AXES_OF_VIEW else (2, 1) if layout.endswith("-3d") else (2, 2)
    return width / columns, height / rows


def _short(value: float) -> float:
    """`value` with four digits: more than a screen resolves, and few enough for a readable URL."""
    return float(f"{value:.4g}")
