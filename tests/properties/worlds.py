"""Small stacks with a request each, from which one setting is changed."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from hypothesis import strategies as st

from clio_argo.model.request import FILES, Request
from clio_argo.store.documents import crc32c
from tests.properties.values import Values, values_of
from tests.stacks import DEMO, NAME, Image, encoded, request, write_stack

FIRST, DEPTH, MISSING = 3505, 7, 3508
NUMBERS = [z for z in range(FIRST, FIRST + DEPTH) if z != MISSING]


@dataclass(frozen=True)
class World:
    """A stack and the request that is changed."""

    name: str
    height: int
    width: int
    settings: Mapping[str, Any]
    dtype: type[np.uint8] | type[np.float32] = np.uint8
    colour: bool = False
    # of each setting, in one example
    values: int = 1

    def takes(self, setting: str) -> bool:
        """Whether a setting is tried here: in colour those of channels, and of what is shown."""
        if setting in OF_CHANNELS:
            return self.colour
        return not self.colour or setting.startswith(SHOWN)

    def write(self, folder: Path) -> None:
        """Save the stack, and others that may take its place."""
        slices = {z: self._slice(z) for z in NUMBERS}
        self._save(folder / "stack", slices)
        shutil.copytree(folder / "stack", folder / "copy")
        self._save(folder / "other", {z: image[::-1] for z, image in slices.items()})

    def _save(self, folder: Path, slices: Mapping[int, Image]) -> None:
        if self.dtype is np.uint8:
            write_stack(folder, slices)
            return
        folder.mkdir(parents=True)
        for z, image in slices.items():
            # names say nothing of a file's format
            tifffile.imwrite(folder / (NAME % z), image, photometric="minisblack", metadata=None)

    def _slice(self, z: int) -> Image:
        image = cv2.imread(str(DEMO / (NAME % z)), cv2.IMREAD_UNCHANGED)[40:280, 60:250]
        tiled = np.tile(image, (1, -(-self.width // 190)))[: self.height, : self.width]
        if self.colour:
            tiled = np.dstack([tiled, 255 - np.roll(tiled, 9, 0), np.roll(tiled, 7, 1)])
        return np.ascontiguousarray(tiled) if self.dtype is np.uint8 else tiled.astype(np.float32) / 100 - 1

    def request(self, folder: Path, changes: Mapping[str, Any]) -> Request:
        """The world's request with other settings (dotted names) changed."""
        named = {"source": "stack", **self.settings, **changes}
        return request(**{k.replace(".", "__"): usable(k, value, folder) for k, value in named.items()})


def usable(setting: str, value: Any, folder: Path) -> Any:
    """A value as requests take it: a stack by its path, and a text as a file."""
    if setting == "source":
        return str(folder / value)
    if setting not in FILES or value is None:
        return value
    file = folder / f"{setting}-{crc32c(value.encode())}.txt"
    file.write_bytes(value.encode("latin-1"))
    return str(file)


def table(header: str, row: str, step: int) -> str:
    """A CSV file with a line for each slice, moved by `step` more from slice to slice."""
    return "\n".join([header, *(row.format(z=z, d=(z - FIRST) * step) for z in NUMBERS), ""])


def positions(step: int) -> str:
    return table("z,x_px,y_px", "{z},{d},{d}", step)


def transforms(step: int) -> str:
    return table("z,a,b,tx,c,d,ty", "{z},1,0,{d},0,1,{d}", step)


def overrides(z: int, verdict: str) -> str:
    return f"slices: [{{z: {z}, verdict: {verdict}, reason: seen}}]"


def mask(world: World, left: int) -> str:
    """An image of the size of the slices that leaves columns out; a byte is a letter, as in the other files."""
    image = np.zeros((world.height, world.width), np.uint8)
    image[:, left : left + 20] = 1
    return encoded(image).decode("latin-1")


def contents_of(setting: str, world: World) -> tuple[str, str]:
    """Two contents of the file of a setting."""
    return (mask(world, 0), mask(world, 30)) if setting == "ignore_mask" else GIVEN[setting]


GIVEN = {
    "positions": (positions(1), positions(-1)),
    "transforms": (transforms(2), transforms(-1)),
    "overrides": (overrides(FIRST + 1, "suspect"), overrides(FIRST + 5, "bad")),
}
# red is the last one that OpenCV writes
COLOURS = st.sampled_from(["red", "green", "blue"])
OF_CHANNELS = ("channels", "alignment.channel", "contrast.channels", "viewer.windows")
SHOWN = ("contrast.", "viewer.", "crop.x", "bad_slices", "lossless")
COMMON = {"max_bad": 3, "viewer.chunk": 32}
WORLDS = {
    w.name: w
    for w in (
        World("aligned", 96, 120, COMMON, values=2),
        # two scales, of which a crop loses one
        World("wide", 40, 530, {**COMMON, "alignment.skip": True, "positions": positions(1)}, np.float32),
        World("given", 64, 64, {
            **COMMON, "transforms": transforms(1), "overrides": overrides(FIRST + 5, "bad"), "lossless": False,
            "bad_slices": "interpolate",
        }),
        World("colour", 80, 100, {**COMMON, "bad_slices": "interpolate"}, colour=True),
    )
}  # fmt: skip


def span(low: int, high: int) -> Values:
    return st.lists(st.integers(low, high), min_size=2, max_size=2).map(lambda v: tuple(sorted(v)))


VERDICTS = st.sampled_from(["bad", "suspect", "good"])
# Values that only the stack or a file beside it gives a meaning. Files are given as their text.
HINTS: dict[str, Values] = {
    "source": st.sampled_from(["copy", "other"]),
    "image": st.sampled_from(["iso.%05d.png", "iso.0350%d.png", "iso.035%d.png"]),
    "image_regex": st.sampled_from([r"iso\.0*(\d+)\.png", r"iso\.03(?P<z>\d+)\.png"]),
    "minz": st.integers(FIRST - 1, FIRST + 4),
    "maxz": st.integers(FIRST + 4, FIRST + DEPTH),
    "ignore": st.lists(st.fixed_dictionaries({"x": span(0, 115), "y": span(0, 35)}), max_size=2),
    # within the smallest slices: most others leave nothing to align
    "source_crop.x": st.tuples(st.integers(0, 16), st.integers(47, 63)),
    "source_crop.y": st.tuples(st.integers(0, 6), st.integers(33, 39)),
    "crop.x": span(0, 115) | st.none(),
    "crop.y": span(0, 35) | st.none(),
    "crop.z": span(FIRST, FIRST + DEPTH - 1) | st.none(),
    "viewer.scales": span(0, 1) | st.none(),
    "channels": st.permutations(["red", "green", "blue"]).map(tuple),
    "alignment.channel": COLOURS | st.integers(0, 2) | st.none(),
    "contrast.channels": st.dictionaries(
        COLOURS, st.fixed_dictionaries({"clip_limit": st.sampled_from([0, 0.02]), "invert": st.booleans()})
    ),
    "viewer.windows": st.dictionaries(COLOURS, st.sampled_from([(0, 200), (40, 255)])),
    # nobody listens there, which is a note
    "register.store": st.just("http://127.0.0.1:9"),
    "memory_gib": st.sampled_from([0.25, 0.5, 1, 8]),
    # of floating-point values; others refuse it
    "value_window": st.sampled_from([(-1, 1.5), (-1.5, 2), (0, 1)]),
    **dict.fromkeys(
        ("follow.every", "follow.until_idle", "follow.stalled_after", "follow.incomplete_after"),
        st.builds("{}{}".format, st.integers(1, 999), st.sampled_from("smhdw")),
    ),
    "positions": st.integers(-3, 3).map(positions) | st.none(),
    "overrides": st.builds(overrides, st.sampled_from(NUMBERS), VERDICTS) | st.none(),
    "transforms": st.integers(-3, 3).map(transforms) | st.none(),
}


def values_in(world: World, setting: str) -> Values:
    """Values of a setting that have a meaning in a world."""
    if setting == "ignore_mask":
        return st.integers(0, 30).map(lambda left: mask(world, left))
    return HINTS[setting] if setting in HINTS else values_of(setting)
