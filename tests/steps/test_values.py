"""Whole runs of signed and floating-point stacks: what they share with plain ones of these values, what is said."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import tifffile

from clio_argo.kernels.contrast import adjust
from clio_argo.model.alignment import Floats, Transforms, apply, corners
from clio_argo.model.layout import reduced_name
from clio_argo.pipeline import PIPELINE
from clio_argo.store.documents import Store
from clio_argo.store.reduced import read_arrays
from clio_argo.workspace.reduced import read_all_statistics
from clio_argo.workspace.run import Run, open_run
from tests.stacks import FIRST, Image, completion, contents, demo_slices, lossless, plain, request, run_here, transforms

SIZE, COUNT = 192, 5
# of fractions: all values of the slices, but of one that is far brighter
WINDOW = (-1.5, 2.5)


def write(folder: Path, slices: Mapping[int, Image]) -> Path:
    folder.mkdir()
    for z, pixels in slices.items():
        tifffile.imwrite(folder / f"{z}.tif", pixels, photometric="minisblack", metadata=None)
    return folder


def tissue(scale: float = 1, offset: float = 0, count: int = COUNT, size: int = SIZE) -> dict[int, Floats]:
    return {z: image.astype(float) * scale + offset for z, image in demo_slices(count, size).items()}


def of_type(kind: str, slices: Mapping[int, Image]) -> dict[int, Image]:
    return {z: pixels.astype(kind) for z, pixels in slices.items()}


def attributes(out: Path) -> dict[str, object]:
    return dict(json.loads((out / "aligned" / "zarr.json").read_text())["attributes"]["clio_argo"])


def distance_px(one: Transforms, other: Transforms) -> float:
    """How far the corners of slices lie apart in two results."""
    points = corners(SIZE, SIZE)
    pairs = zip(one.slices, other.slices, strict=True)
    return max(
        np.abs(apply(a.matrix, points) - apply(b.matrix, points)).max() for a, b in pairs if a.matrix and b.matrix
    )


@pytest.fixture(scope="module")
def floats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of floating-point values with fractions, of which one slice is far brighter than any other."""
    slices = tissue(0.01, -1)
    slices[FIRST + 3] *= 9
    source = write(tmp_path_factory.mktemp("floats") / "source", of_type("float32", slices))
    return run_here(request(source, max_bad=1, value_window=WINDOW), source.parent / "out")


@pytest.mark.properties
def test_signed_values_give_the_volume_of_the_same_unsigned_ones(tmp_path: Path) -> None:
    slices = {"uint16": tissue(150, 3000), "int16": tissue(150, 3000 - 32768)}
    sources = [write(tmp_path / kind, of_type(kind, values)) for kind, values in slices.items()]
    unsigned, signed = (run_here(request(s), tmp_path / f"{s.name} out") for s in sources)
    found = transforms(signed)
    assert found.model_copy(update={"values": None}) == transforms(unsigned)
    assert voxels(signed) == voxels(unsigned)
    done = completion(signed)
    assert done.status == completion(unsigned).status == "complete"
    assert "grey values were made of int16 + 32,768: none was lost" in done.notes
    assert dict(attributes(signed)["values"])["exact"]  # type: ignore[call-overload]
    assert "lossless volume" in (signed / "report.html").read_text()
    assert "values" not in attributes(unsigned)


def voxels(out: Path) -> dict[str, str]:
    return {n: c for n, c in contents(out).items() if not n.startswith("transforms.") and not n.endswith(".json")}


@pytest.mark.properties
def test_floating_point_values_are_placed_as_their_8_bit_original(floats: Path, tmp_path: Path) -> None:
    whole = write(tmp_path / "source", of_type("uint8", tissue()))
    fractions = write(tmp_path / "fractions", of_type("float32", tissue(0.01, -1)))
    runs = [run_here(request(s), tmp_path / f"{s.name} out") for s in (whole, fractions)]
    assert distance_px(*map(transforms, runs)) < 0.05
    # of itself no fault
    done = completion(runs[1])
    assert done.status == completion(runs[0]).status == "complete"
    assert any("not lossless" in n for n in done.notes)


@pytest.mark.properties
def test_a_slice_that_lost_values_is_suspect_and_nothing_is_called_lossless(floats: Path) -> None:
    done, found = completion(floats), transforms(floats)
    assert found.values is not None
    assert set(found.values.clipped) == set(done.suspect) == {FIRST + 3}
    assert 0.01 < found.values.clipped[FIRST + 3] < 1
    [suspect] = found.suspect
    assert f"clipped: {found.values.clipped[FIRST + 3]:.2%} of its values" in suspect.reason
    assert (done.status, done.flagged) == ("complete_with_flags", ())
    assert any("rounded or clipped, so that aligned/ is not lossless" in n for n in done.notes)
    page = (floats / "report.html").read_text()
    assert "lossless volume" not in page
    assert "aligned/ is not lossless" in page
    assert dict(attributes(floats)["values"])["exact"] is False  # type: ignore[call-overload]
    assert (
        "float32 from "
        in json.loads((floats / "ng" / "provenance").read_text())["processing"][0]["method"]["values"]["note"]
    )


def test_what_is_nan_is_background(tmp_path: Path) -> None:
    slices = of_type("float32", tissue(150, 3000, count=2))
    holes = np.zeros((SIZE, SIZE), bool)
    holes[40:90, 60:130] = holes[:, :25] = holes[150, 100] = True
    marked = {z: np.where(holes, np.float32(np.nan), pixels) for z, pixels in slices.items()}
    with_holes = write(tmp_path / "source", marked)
    out = run_here(plain(with_holes, background=77), tmp_path / "out")
    assert np.array_equal(lossless(out), np.where(holes, 77, np.stack([*slices.values()])))
    # nothing of it is tissue: neither the window of the viewer nor the statistics count it
    window = transforms(out).window
    assert window is not None
    assert window[0] > 1000
    contrast = {"contrast__invert": True, "contrast__clip_limit": 0.1, "viewer__window": (3000, 40000)}
    changed = run_here(plain(with_holes, background=77, **contrast), tmp_path / "changed")
    right = adjust(slices[FIRST].astype(np.uint16), 0.1, True, (3000, 40000), holes)
    assert np.array_equal(lossless(changed)[0], np.where(holes, 77, right))


def test_nan_is_no_tissue_beside_what_a_person_leaves_out(tmp_path: Path) -> None:
    slices = of_type("float32", tissue(150, 3000, count=1))
    slices[FIRST][:, :60] = slices[FIRST][:, 60::16] = np.nan
    # a mask is what is not 0, below 0, too
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[:50] = -1
    tifffile.imwrite(tmp_path / "mask.tif", mask)
    source, out = write(tmp_path / "source", slices), tmp_path / "out"
    run_here(request(source, ignore_mask=str(tmp_path / "mask.tif")), out, "frame")
    run = Run(Store(str(out)), PIPELINE["solve"], PIPELINE)
    [[measured], counts, _] = read_all_statistics(run)
    assert measured.valid == pytest.approx((132 - 8) * (142 - 8) * 15 / 16 / SIZE**2, abs=0.01)
    assert (measured.low, counts[0]) == (0, 0)
    points = read_arrays(run.store, reduced_name(0))[f"points{FIRST}"]
    assert len(points) > 10
    assert points.min(0).tolist() >= [60, 50]


@pytest.mark.properties
def test_imported_transforms_come_with_what_became_of_the_values(floats: Path, tmp_path: Path) -> None:
    given = {"transforms": str(floats / "transforms.json"), "value_window": WINDOW, "viewer__window": (0, 65535)}
    out = run_here(request(floats.parent / "source", max_bad=1, **given), tmp_path / "out", "render")
    assert transforms(out).values == transforms(floats).values


def test_a_slice_of_nan_is_bad(tmp_path: Path) -> None:
    slices = of_type("float32", tissue(0.01, count=3, size=64))
    slices[FIRST + 2][:] = np.nan
    out = run_here(plain(write(tmp_path / "source", slices), max_bad=1), tmp_path / "out")
    [bad] = transforms(out).flagged
    assert (bad.z, bad.reason) == (FIRST + 2, "all its values are NaN")


@pytest.mark.properties
def test_another_value_window_reruns_the_run(floats: Path, tmp_path: Path) -> None:
    source, out = floats.parent / "source", tmp_path / "out"
    settings = {"max_bad": 1, "contrast__clip_limit": 0}
    run_here(request(source, value_window=(-1, 2), **settings), out)
    fresh = run_here(request(source, value_window=(-2, 3), **settings), tmp_path / "fresh")
    run_here(request(source, value_window=(-2, 3), update=True, **settings), out)
    assert contents(out) == contents(fresh)
    assert open_run(str(out)).names("manifest") == open_run(str(fresh)).names("manifest")
