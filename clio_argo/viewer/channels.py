"""Layers of neuroglancer that show a volume: one of grey values, or one of each channel, which add up as light does."""

from typing import Any

from clio_argo.model.layout import VIEWER, viewer_volume
from clio_argo.model.volume import VolumeSpec

_RGB = """void main() {
  emitRGB(vec3(toNormalized(getDataValue(0)), toNormalized(getDataValue(1)), toNormalized(getDataValue(2))));
}
"""
_ONE_COLOUR = """#uicontrol invlerp normalized
#uicontrol vec3 color color(default="#{colour}")
void main() {{
  emitRGB(color * normalized());
}}
"""


def volume_layers(spec: VolumeSpec | None, source: str, name: str) -> list[dict[str, Any]]:
    """The layers of a volume, in the order in which they lie above each other.

    spec: of the volume; None: one of grey values. source: URL of its ng/ with the format in front. name: of the volume,
    to which layers of single channels add theirs.
    """
    if spec is None or not spec.channels:
        return [{"type": "image", "source": source, "name": name}]
    return [_layer(spec, layer, source, name) for layer in range(len(spec.layers))]


def _layer(spec: VolumeSpec, layer: int, source: str, name: str) -> dict[str, Any]:
    channel, is_rgb = spec.channels[spec.layers[layer][0]], len(spec.layers[layer]) > 1
    return {
        "type": "image",
        "source": source + viewer_volume(spec, layer).removeprefix(VIEWER),
        "name": name if is_rgb else f"{name} {channel.name}",
        "shader": _RGB if is_rgb else _ONE_COLOUR.format(colour=channel.colour),
        # half transparent by default, which would halve its brightness
        "opacity": 1,
        "blend": "additive",
    }
