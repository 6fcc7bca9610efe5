"""A stack that begins below z 0 becomes the same volume as one above, at a negative offset."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from clio_argo.maintenance.verify import verify
from tests.stacks import demo_slices, lossless, request, run_here, transforms, viewer, write_stack

# longer pairs are chosen by z modulo 5
MOVED, NEAR = 3500, 3494


@pytest.mark.properties
def test_a_stack_below_0_lies_at_a_negative_offset(tmp_path: Path) -> None:
    slices = demo_slices(8, 160)
    above = write_stack(tmp_path / "above", slices)
    below = write_stack(tmp_path / "below", {z - MOVED: image for z, image in slices.items()}, "iso.%05d.png")
    settings = {"image": "iso.%05d.png", "resolution": (10, 10, 20)}
    at_3490, at_minus_10 = (run_here(request(s, **settings), tmp_path / f"of {s.name}") for s in (above, below))
    assert [s.z for s in transforms(at_minus_10).slices] == [*range(-10, -2)]
    assert [s.matrix for s in transforms(at_minus_10).slices] == [s.matrix for s in transforms(at_3490).slices]
    assert np.array_equal(lossless(at_minus_10), lossless(at_3490))
    assert np.array_equal(viewer(at_minus_10), viewer(at_3490))
    info = json.loads((at_minus_10 / "ng" / "info").read_text())
    assert [s["voxel_offset"] for s in info["scales"]] == [[0, 0, -10]]
    group = json.loads((at_minus_10 / "aligned" / "zarr.json").read_text())
    steps = group["attributes"]["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    assert steps[1]["translation"] == [-9.5 * 20, 5, 5]
    table = [*csv.DictReader((at_minus_10 / "transforms.csv").read_text().splitlines())]
    assert (table[0]["z"], table[0]["file"]) == ("-10", "iso.-0010.png")
    assert verify(at_minus_10, workers=1).faults == ()


@pytest.mark.properties
def test_crop_and_bad_slices_below_0(tmp_path: Path) -> None:
    slices = demo_slices(8, 160)
    source = write_stack(tmp_path / "s", {z - NEAR: i for z, i in slices.items() if z != 3493}, "s_%d.png")
    out = run_here(request(source, crop__z=[-3, 0], minz=-4, maxz=2, max_bad=1), tmp_path / "out")
    assert lossless(out).shape[0] == 4
    assert next(s for s in transforms(out).slices if s.z == -1).source_slices == (-2,)
