"""Names of all objects under a run's root. No other module spells one.

A run's root holds documents at the top, one folder per kind of object, and two volumes. Folders that `buckets` moves
elsewhere keep their names here; the store resolves them.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # the command line spells names, and must start without numpy
    from clio_argo.model.volume import VolumeSpec, Zyx

# names are part of every run's layout: a change needs the former name beside it, as below
CONFIG, PLAN, TRANSFORMS, VOLUME, QUALITY, VERIFICATION, COMPLETE = (
    f"{name}.json" for name in ("config", "plan", "transforms", "volume", "quality", "verify", "complete")
)
TRANSFORMS_TABLE, REPORT = "transforms.csv", "report.html"
USER_INPUTS, IMPORTED_TRANSFORMS, SUSPECTS = ("user_inputs.json", "user_inputs/transforms.json", "suspects.json")
IGNORED = "user_inputs/ignored.npz"
# names of version 0.1, which are still read
FORMER_SUSPECTS, FORMER_STEPS = "inspection.json", {"suspects": "inspect", "rematch": "relink"}
# steps that runs of version 0.1 do not have
LATER_STEPS = ("frame",)
VIEWER, LOSSLESS, TEMPORARY, PROCESS = "ng", "aligned", "tmp", "process"
# below the viewer volume: the layers of channels beside the first, each with its number and so much of its name
CHANNELS, MOST_LETTERS = "channels", 60
MANIFEST, THUMBNAILS, PICTURES = "manifest", "thumbnails", "views"
PATTERN, PATTERN_PICTURE = f"{TEMPORARY}/frame/pattern.npz", f"{PICTURES}/pattern.png"
LOGS, TRACES = f"{PROCESS}/logs", f"{PROCESS}/traces"
# what tells of time, which two runs of one request never have in common
ESTIMATE, COSTS = f"{PROCESS}/estimate.json", f"{PROCESS}/costs.json"
# of a stack that is watched while it is recorded
FOLLOW_PAGE, FOLLOW_STATE, FOLLOW_LOG = "follow.html", f"{PROCESS}/follow.json", f"{PROCESS}/follow"
FOLLOWED = f"{TEMPORARY}/followed"
CLEANED = f"{TEMPORARY}/cleaned.json"
# what may be removed from a finished run, the dearest last: a slice is decoded faster than a plane is rendered
REMOVABLE = tuple(f"{TEMPORARY}/{folder}/" for folder in ("aligned", "reduced", "followed", "frame", "likeness"))
INFO, PROVENANCE, ZARR = "info", "provenance", "zarr.json"
# what remains of a run's volumes; the lossless one lies under tmp/ if the request does not keep it
VOLUME_FOLDERS = (VIEWER, LOSSLESS, THUMBNAILS)


def is_kept(name: str) -> bool:
    """Whether an object remains after the run."""
    return not name.startswith(f"{TEMPORARY}/")


def is_removable(name: str) -> bool:
    """Whether a finished run can do without an object."""
    return name.startswith(REMOVABLE) and name != PATTERN


def in_volumes(name: str) -> bool:
    """Whether an object belongs to the volumes that remain."""
    return name.startswith(tuple(f"{folder}/" for folder in VOLUME_FOLDERS))


def lossless_folder(kept: bool) -> str:
    """Folder of the lossless volume."""
    return LOSSLESS if kept else f"{TEMPORARY}/{LOSSLESS}"


def keeps_lossless(spec: "VolumeSpec") -> bool:
    """Whether the lossless volume remains after the run."""
    return is_kept(f"{spec.aligned}/")


def record_name(step: str, unit: int) -> str:
    """Record of a finished unit. Six digits: listings in order of names are in order of units."""
    return f"{MANIFEST}/{step}/{unit:06d}.json"


def log_name(step: str, part: int) -> str:
    """Latest attempts at a part."""
    return f"{LOGS}/{step}-{part:05d}.json"


def trace_name(step: str, part: int) -> str:
    """Stack trace of the latest attempt at a part that failed unexpectedly."""
    return f"{TRACES}/{step}-{part:05d}.txt"


def part_items_name(step: str) -> str:
    """Items of the parts that a step made for later ones: pods are told what their part covers, not its number."""
    return f"{TEMPORARY}/parts/{step}.json"


def began_name(workflow: str) -> str:
    """The request with which a workflow began, by its uid: another one may take over the run meanwhile."""
    return f"{TEMPORARY}/began/{workflow}.json"


def followed_name(z: int) -> str:
    """What was measured of slice z while the stack was recorded."""
    return f"{FOLLOWED}/{z}.npz"


def follow_log_name(number: int) -> str:
    """What was judged of some slices while the stack was recorded."""
    return f"{FOLLOW_LOG}/{number}.json"


def follow_picture_name(z: int) -> str:
    """Picture of slice z below its lower neighbours, as it was when it was judged."""
    return f"{PICTURES}/follow/{z}.png"


def slices_name(unit: int) -> str:
    """Files of the slices of one unit of `reduce`."""
    return f"plan/{unit:06d}.json"


def reduced_name(unit: int) -> str:
    """Reduced slices of one unit, with masks and features."""
    return f"{TEMPORARY}/reduced/{unit:06d}.npz"


def statistics_name(unit: int) -> str:
    """Statistics of the slices of one unit, with their middle lines and histogram."""
    return f"{TEMPORARY}/facts/{unit:06d}.npz"


def frame_name(unit: int) -> str:
    """Sums over the slices of one unit of their details, in coordinates of the frame."""
    return f"{TEMPORARY}/frame/{unit:06d}.npz"


def fits_name(unit: int) -> str:
    """Fits of `match` whose lower slices lie in a unit."""
    return f"fits/{unit:06d}.json"


def refits_name(unit: int) -> str:
    """Fits of `rematch` whose lower slices lie in a unit."""
    return f"refits/{unit:06d}.json"


def planes_name(unit: int) -> str:
    """Slices that one unit of `render` shows, with their places."""
    return f"planes/{unit:06d}.json"


def similarity_name(unit: int) -> str:
    """Similarity of neighbouring planes in one unit of `render`."""
    return f"{TEMPORARY}/likeness/{unit:06d}.npz"


def thumbnail_name(z: int) -> str:
    """Small picture of plane z."""
    return f"{THUMBNAILS}/{z:06d}.jpg"


def view_name(title: str, when: str) -> str:
    """Picture of a cut through the stack (XY, XZ or YZ), before or after alignment."""
    return f"{PICTURES}/{title.lower()}_{when}.png"


def slice_picture_name(z: int) -> str:
    """Small picture of the file of slice z, before alignment."""
    return f"{PICTURES}/slices/{z}.png"


def thumbnails(spec: "VolumeSpec") -> list[str]:
    """Small pictures of all planes of a volume."""
    planes = spec.scales[0].box
    return [thumbnail_name(z) for z in range(planes.begin[0], planes.end[0])]


def viewer_volume(spec: "VolumeSpec", layer: int) -> str:
    """Folder of a layer of the viewer volume. All lie below the first one, to be moved, listed and shared with it."""
    if not layer:
        return VIEWER
    # names of channels may hold anything, be long, or differ in letters that no folder has
    name = re.sub("[^A-Za-z0-9._-]", "_", spec.channels[spec.layers[layer][0]].name)[:MOST_LETTERS]
    return f"{VIEWER}/{CHANNELS}/{layer}-{name}"


def viewer_folder(spec: "VolumeSpec", scale: int, layer: int = 0) -> str:
    """Folder of one scale of a layer of the viewer volume."""
    return f"{viewer_volume(spec, layer)}/{spec.scales[scale].key}"


def viewer_shard_name(spec: "VolumeSpec", scale: int, corner: "Zyx", layer: int = 0) -> str:
    """Shard of a layer of the viewer volume with the chunk at `corner` (chunks from the scale's begin; z, y, x)."""
    # hexadecimal digits, as many as the largest number needs (neuroglancer's sharded format)
    bits = spec.scales[scale].shard_bits
    number = spec.morton(scale, corner) >> spec.scales[scale].preshift_bits
    return f"{viewer_folder(spec, scale, layer)}/{number:0{max(1, -(-bits // 4))}x}.shard"


def lossless_scale_folder(spec: "VolumeSpec", scale: int) -> str:
    """Folder of one scale of the lossless volume."""
    return f"{spec.aligned}/{scale}"


def lossless_shard_name(spec: "VolumeSpec", scale: int, corner: "Zyx", channel: int = 0) -> str:
    """Shard of the lossless volume at `corner` (shards; z, y, x), which holds one channel."""
    place = (channel, *corner) if spec.channels else corner
    return f"{lossless_scale_folder(spec, scale)}/c/{'/'.join(map(str, place))}"


def viewer_metadata(spec: "VolumeSpec") -> Iterator[str]:
    """Metadata of each layer of the viewer volume."""
    for layer in range(len(spec.layers)):
        folder = viewer_volume(spec, layer)
        yield from (f"{folder}/{INFO}", f"{folder}/{PROVENANCE}")


def lossless_metadata(spec: "VolumeSpec") -> Iterator[str]:
    """Metadata of the lossless volume: of the group, then of each scale."""
    yield f"{spec.aligned}/{ZARR}"
    yield from (f"{lossless_scale_folder(spec, k)}/{ZARR}" for k in range(len(spec.scales)))
