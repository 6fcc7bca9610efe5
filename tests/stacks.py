"""Small real stacks, and runs of the whole pipeline in this process."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import pytest
import tensorstore as ts
from numpy.typing import NDArray

from clio_argo.model.alignment import Transforms
from clio_argo.model.parse_request import build_request
from clio_argo.model.request import REQUEST, Request
from clio_argo.model.run import Completion, UnitRecord
from clio_argo.model.step import Pipeline, StepResult, parts_of
from clio_argo.pipeline import PIPELINE
from clio_argo.runner import run_step
from clio_argo.store.documents import Store
from clio_argo.workspace.run import open_run

DEMO = Path(__file__).parent / "data" / "demo"
FIRST, LAST, NOISE = 3490, 3549, 3513
CLI = str(Path(sys.executable).with_name("clio-argo"))
# as a person types it here
SHORT = os.path.relpath(CLI) if Path(CLI).is_relative_to(Path.cwd()) else CLI
TYPED = "clio-argo" if shutil.which("clio-argo") == CLI else SHORT
NAME = "iso.%05d.png"
Image = NDArray[Any]
Root = TypeVar("Root", Path, str)


def demo_slice(z: int, size: int = 192) -> Image:
    """The middle of a slice of the demo stack."""
    image = cv2.imread(str(DEMO / (NAME % z)), cv2.IMREAD_UNCHANGED)
    top, left = ((s - size) // 2 for s in image.shape)
    return np.ascontiguousarray(image[top : top + size, left : left + size])


def demo_slices(count: int, size: int = 192, first: int = FIRST) -> dict[int, Image]:
    return {z: demo_slice(z, size) for z in range(first, first + count)}


def write_stack(folder: Path, slices: Mapping[int, Image], name: str = NAME) -> Path:
    """Save slices as files named by their z."""
    folder.mkdir(parents=True, exist_ok=True)
    for z, image in slices.items():
        (folder / (name % z)).write_bytes(encoded(image, name[name.rindex(".") :]))
    return folder


def encoded(image: Image, suffix: str = ".png") -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def flip_a_bit(file: Path) -> None:
    """Damage pixels in the middle of a file; its header and its end stay as they are."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x10
    file.write_bytes(data)


def request(source: Path | str, **settings: Any) -> Request:
    """A request; sections by double underscore (`contrast__clip_limit=0`)."""
    dotted = {name.replace("__", "."): value for name, value in settings.items()}
    return build_request({"id": "test", "source": str(source), "resolution": 10}, dotted)


def plain(source: Path | str, **settings: Any) -> Request:
    """A request that changes no pixel: no alignment, no contrast."""
    return request(source, **{"alignment__skip": True, "contrast__clip_limit": 0, **settings})


def run_here(
    config: Request,
    out: Root,
    stop_before: str | None = None,
    results: dict[str, StepResult] | None = None,
    pipeline: Pipeline = PIPELINE,
) -> Root:
    """Walk the pipeline in this process, one part after the other; `results` gets the last one of each step."""
    url, results = Store(str(out)).url, {} if results is None else results
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(REQUEST, config.model_dump_json())
        for step in pipeline.steps:
            if step.name == stop_before:
                break
            for part in parts_of(step, results):
                results[step.name] = run_step(step, url, part.part, pipeline)
    return out


def cli(*arguments: object, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line as a process of its own, without a terminal."""
    command = [CLI, *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, env={**os.environ, **variables}
    )


def completion(out: Path) -> Completion:
    return Store(str(out)).document(Completion, "complete.json")


def transforms(out: Path) -> Transforms:
    return Store(str(out)).document(Transforms, "transforms.json")


def lossless(out: Path, scale: int = 0, folder: str = "aligned") -> Image:
    """All voxels [z, y, x] of a scale of the lossless volume."""
    store = {"driver": "file", "path": str(out / folder / str(scale))}
    return np.asarray(ts.open({"driver": "zarr3", "kvstore": store}).result().read().result())


def viewer(out: Path, scale: int = 0) -> Image:
    """All voxels [z, y, x] of a scale of the viewer volume."""
    store = {"driver": "file", "path": str(out / "ng")}
    spec = {"driver": "neuroglancer_precomputed", "kvstore": store, "scale_index": scale}
    array = ts.open(spec).result()[ts.d["channel"][0]].transpose(["z", "y", "x"])
    return np.asarray(array.read().result())


def info(out: Path) -> dict[str, Any]:
    return dict(json.loads((out / "ng" / "info").read_text()))


def records(out: Path) -> dict[str, UnitRecord]:
    """All records of finished units, by name."""
    store = Store(str(out))
    return {n: store.document(UnitRecord, n) for n in store.names("manifest")}


def written_at(out: Path, folder: str = "manifest") -> dict[str, int]:
    """When each file was written, in ns."""
    files = (p for p in (out / folder).rglob("*") if p.is_file() and p.suffix != ".__lock")
    return {str(p.relative_to(out)): p.stat().st_mtime_ns for p in files}


def done_at(out: Path) -> dict[str, int]:
    """When each unit was recorded, in ns; `plan` has none, and its record follows every change of the request."""
    return {n: when for n, when in written_at(out).items() if not n.startswith("manifest/plan/")}


GROUPS = {
    "aligned": lambda n: n.startswith("aligned/") and not n.endswith(".json"),
    "ng": lambda n: n.endswith(".shard"),
    "info": lambda n: n == "ng/info" or (n.startswith("aligned/") and n.endswith(".json")),
    "transforms": lambda n: n.startswith("transforms."),
    "thumbnails": lambda n: n.startswith("thumbnails/"),
}


def contents(out: Path | str) -> dict[str, str]:
    """Digest of every object of the volumes and transforms, by name."""
    store = open_run(str(out))
    return {n: sha256(store.need(n)) for n in store.names() if any(own(n) for own in GROUPS.values())}


def digests(out: Path) -> dict[str, list[str]]:
    """What each group of outputs holds, whatever its files are called."""
    found = contents(out)
    return {group: sorted(d for n, d in found.items() if own(n)) for group, own in GROUPS.items()}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def truth_of(file: Path) -> dict[int, Image]:
    """True transforms of the slices that show tissue, from a truth.json."""
    slices = json.loads(file.read_text())["slices"]
    return {s["index"]: np.array(s["out_to_ref"]) for s in slices if s["alignable"]}


def pair_errors_px(found: Transforms, truth: Mapping[int, Image], size: tuple[int, int]) -> Image:
    """Mean distance of nine points of the field between the true and the found affine, per neighbouring pair."""
    width, height = size
    points = np.array([[x, y, 1] for x in (0, width / 2, width - 1) for y in (0, height / 2, height - 1)])
    ours = {s.z: np.array(s.matrix) for s in found.slices if s.matrix and s.z in truth}
    pairs = zip(sorted(ours), sorted(ours)[1:], strict=False)
    return np.array([_distance(points, _relative(ours, *p), _relative(truth, *p)) for p in pairs])


def _relative(placed: Mapping[int, Image], i: int, j: int) -> Image:
    """The affine from slice j to slice i."""
    first, second = (np.vstack([placed[z], [0, 0, 1]]) for z in (i, j))
    return np.asarray((np.linalg.inv(first) @ second)[:2])


def _distance(points: Image, a: Image, b: Image) -> float:
    return float(np.hypot(*(points @ (a - b).T).T).mean())


def shift_px(out: Path, size: tuple[int, int]) -> Image:
    """(x, y) by which the second of two slices moves at the middle of the field, against the first."""
    middle = np.array([size[0] / 2, size[1] / 2, 1])
    first, second = (np.array(s.matrix) for s in transforms(out).slices)
    return np.asarray(second @ middle - first @ middle)


def verdicts(out: Path) -> dict[int, str]:
    """Verdicts of all slices that are not good."""
    return {s.z: s.verdict for s in transforms(out).slices if s.verdict != "good"}


def names(values: Iterable[Path]) -> list[str]:
    return sorted(p.name for p in values)
