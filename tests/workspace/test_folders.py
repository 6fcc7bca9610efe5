"""Which files of a folder are a stack, and in which order."""

import io
import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from clio_argo.errors import UserError
from clio_argo.pipeline import PIPELINE
from clio_argo.runner import run_step
from clio_argo.store.documents import Store
from clio_argo.store.slices import Source
from clio_argo.workspace.survey import survey
from tests.stacks import CLI, completion, lossless, plain, request, run_here
from tests.store.images.samples import texture, tiff
from tests.store.images.test_tiff_axes import read
from tests.stores import Bucket

STACK = np.stack([texture(height=20, width=24, seed=s) for s in range(12)])


def parts(folder: Path, names: tuple[str, ...], each: int) -> None:
    for n, name in enumerate(names):
        (folder / name).write_bytes(tiff(STACK[n * each : (n + 1) * each]))


@pytest.mark.parametrize(
    "names",
    [
        ("part1.tif", "part2.tif", "part10.tif"),
        ("a_0-3.tif", "a_4-7.tif", "a_8-11.TIF"),
        ("2026-11-02.tif", "2026-11-10.tif", "2026-12-01.tif"),
    ],
)
def test_pages_of_several_files_are_one_stack_in_natural_order(tmp_path: Path, names: tuple[str, ...]) -> None:
    parts(tmp_path, names, 4)
    assert np.array_equal(read(tmp_path), STACK)
    plan, units, _ = survey(request(tmp_path, minz=100, maxz=105))
    assert (plan.minz, plan.maxz, plan.problems) == (100, 105, ())
    assert [(s.z, s.name, s.page) for unit in units for s in unit.slices][-2:] == [
        (104, names[1], 0),
        (105, names[1], 1),
    ]


def test_a_pattern_chooses_among_several_stacks(tmp_path: Path) -> None:
    parts(tmp_path, ("part1.tif", "part2.tif"), 6)
    parts(tmp_path, ("other1.tif", "other2.tif"), 3)
    assert np.array_equal(read(tmp_path, image="part%d.tif"), STACK)
    with pytest.raises(UserError, match="several patterns"):
        read(tmp_path)


def test_the_last_of_several_files_may_hold_one_slice(tmp_path: Path) -> None:
    parts(tmp_path, ("1.tif", "2.tif"), 5)
    (tmp_path / "3.tif").write_bytes(tiff(STACK[10]))
    assert np.array_equal(read(tmp_path), STACK[:11])


def test_an_unreadable_one_of_several_files_is_named(tmp_path: Path) -> None:
    parts(tmp_path, ("1.tif", "2.tif", "3.tif"), 4)
    (tmp_path / "3.tif").write_bytes(b"II*\0")
    with pytest.raises(UserError, match=r"of a stack in several files:\n.*3.tif: unreadable"):
        read(tmp_path)


def test_one_stack_among_slices_is_named(tmp_path: Path) -> None:
    for z in range(4):
        (tmp_path / f"{z}.tif").write_bytes(tiff(STACK[z] if z else STACK[:3]))
    [problem] = survey(request(tmp_path))[0].problems
    assert (problem.z, problem.detail) == (0, "3 pages in a file that is one slice of many")


def test_suffixes_in_capitals_are_the_same_stack_and_hidden_files_are_none(tmp_path: Path) -> None:
    for z in range(4):
        (tmp_path / f"s_{z}.{'tif' if z % 2 else 'TIF'}").write_bytes(tiff(STACK[z]))
        (tmp_path / f"._s_{z}.tif").write_bytes(b"\0\5\x16\7")
        (tmp_path / f".old_{z}.tif").write_bytes(tiff(STACK[z]))
    plan, *_ = survey(request(tmp_path))
    assert (plan.usable, plan.problems) == (4, ())
    assert np.array_equal(read(tmp_path), STACK[:4])


def test_one_number_in_small_and_in_capitals_is_a_duplicate(tmp_path: Path) -> None:
    for name in ("1.tif", "2.tif", "2.TIF"):
        (tmp_path / name).write_bytes(tiff(STACK[0]))
    assert [(p.kind, p.z) for p in survey(request(tmp_path))[0].problems] == [("duplicate", 2)]


def numbered(folder: Path, *numbers: int) -> None:
    for k, n in enumerate(numbers):
        (folder / f"s_{n}.tif").write_bytes(tiff(STACK[k]))


@pytest.mark.parametrize(
    ("numbers", "step", "z"),
    [
        ((0, 30, 60), 30, (0, 1, 2)),
        ((5, 35, 65, 95), 30, (0, 1, 2, 3)),
        ((0, 30, 60, 120, 150), 30, (0, 1, 2, 4, 5)),
        ((7, 8, 9), 1, (7, 8, 9)),
        ((0, 30), 1, (0, 30)),
        ((0, 30, 61), 1, (0, 30, 61)),
        ((0, 10, 40, 70), 1, (0, 10, 40, 70)),
    ],
)
def test_numbers_in_steps_are_divided_by_the_step(
    tmp_path: Path, numbers: tuple[int, ...], step: int, z: tuple[int, ...]
) -> None:
    numbered(tmp_path, *numbers)
    plan, units, _ = survey(request(tmp_path))
    assert plan.z_step == step
    assert tuple(s.z for unit in units for s in unit.slices) == z
    assert {p.z for p in plan.problems} == {*range(z[0], z[-1] + 1)} - {*z}
    assert bool(plan.step_text) == (step > 1)


def test_minz_and_maxz_are_numbers_of_files(tmp_path: Path) -> None:
    numbered(tmp_path, 5, 35, 65, 95, 125)
    plan, units, _ = survey(request(tmp_path, minz=30, maxz=100))
    assert (plan.minz, plan.maxz, plan.z_step, plan.problems) == (1, 3, 30, ())
    assert [s.name for unit in units for s in unit.slices] == ["s_35.tif", "s_65.tif", "s_95.tif"]
    # a copy that has not ended is a problem here, too
    assert [p.z for p in survey(request(tmp_path, minz=5, maxz=200))[0].problems] == [5, 6]


@pytest.mark.properties
def test_the_step_is_said_by_plan(tmp_path: Path) -> None:
    numbered(tmp_path, 0, 30, 60, 90)
    shown = subprocess.run([CLI, "plan", "--source", tmp_path], capture_output=True, text=True, check=False)
    assert "steps of 30 (z_step)" in " ".join(shown.stdout.split())


def test_the_table_of_transforms_names_the_file_of_each_step(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    numbered(tmp_path / "source", 0, 30, 60)
    out = run_here(plain(tmp_path / "source"), tmp_path / "out", stop_before="render")
    lines = (out / "transforms.csv").read_text().splitlines()[1:]
    assert [line.split(",")[:2] for line in lines] == [["0", "s_0.tif"], ["1", "s_30.tif"], ["2", "s_60.tif"]]


def named(folder: Path, *names: str) -> Path:
    for k, name in enumerate(names):
        (folder / name).write_bytes(tiff(STACK[k]))
    return folder


@pytest.mark.parametrize(
    ("names", "settings", "step", "z"),
    [
        (("z0.00.tif", "z0.03.tif", "z0.06.tif", "z0.12.tif"), {}, 0.03, (0, 1, 2, 4)),
        (("0.tif", "12.5.tif", "25.tif", "37.5.tif"), {}, 12.5, (0, 1, 2, 3)),
        (("s_-60.tif", "s_-30.tif", "s_0.tif", "s_30.tif"), {}, 30, (-2, -1, 0, 1)),
        (("s_-55.tif", "s_-25.tif", "s_5.tif"), {}, 30, (-2, -1, 0)),
        (("s_-3.tif", "s_-2.tif", "s_-1.tif"), {"image": "s_%d.tif"}, 1, (-3, -2, -1)),
        (("a-0.50.tif", "a-0.25.tif", "a0.00.tif"), {"image_regex": r"a(-?[0-9.]+)\.tif"}, 0.25, (-2, -1, 0)),
        (("s_-2.tif", "s_-1.tif", "s_0.tif", "s_1.tif"), {"minz": -1}, 1, (-1, 0, 1)),
        (("s_-60.tif", "s_-30.tif", "s_0.tif", "s_30.tif"), {"minz": -40, "maxz": -1}, 30, (-1,)),
    ],
)
def test_numbers_with_sign_and_decimals(
    tmp_path: Path, names: tuple[str, ...], settings: dict[str, Any], step: float, z: tuple[int, ...]
) -> None:
    plan, units, _ = survey(request(named(tmp_path, *names), **settings))
    assert plan.z_step == step
    assert tuple(s.z for unit in units for s in unit.slices) == z
    assert (plan.minz, plan.maxz) == (z[0], z[-1])
    assert {p.z for p in plan.problems} == {*range(z[0], z[-1] + 1)} - {*z}


def test_decimals_without_a_step_are_refused_by_name(tmp_path: Path) -> None:
    named(tmp_path, "0.00.tif", "0.03.tif", "0.07.tif")
    with pytest.raises(UserError, match=r"0\.00\.tif and 0\.03\.tif: decimals that go in no constant step"):
        survey(request(tmp_path, image_regex=r"(.*)\.tif"))


def test_headers_of_no_file_are_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts(tmp_path, ("part1.tif", "part2.tif", "part10.tif"), 4)
    read, headers = list[str](), Source.headers
    monkeypatch.setattr(Source, "headers", lambda self, entry: read.append(entry.name) or headers(self, entry))
    survey(request(tmp_path))
    assert sorted(read) == ["part1.tif", "part10.tif", "part2.tif"]


BELOW = {
    "halves": {f"{'first' if k < 5 else 'second'}/s_{k:03d}.tif": k for k in range(12)},
    "a folder for each slice": {f"z{k:04d}/image.tif": k for k in range(12)},
    "both have numbers": {f"z{k:04d}/image_{k:04d}.tif": k for k in range(12)},
}


def below(names: dict[str, int], folder: Path) -> Path:
    for name, k in names.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(tiff(STACK[k]))
    return folder


@pytest.mark.parametrize("kind", BELOW)
def test_folders_that_together_hold_one_stack_are_taken_together(kind: str, tmp_path: Path) -> None:
    below(BELOW[kind], tmp_path)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "s_900.tif").write_bytes(tiff(STACK[0]))
    plan, units, _ = survey(request(tmp_path))
    found = [s for unit in units for s in unit.slices]
    assert {s.name: s.z for s in found} == BELOW[kind]
    assert plan.found["folders"].startswith(f"{2 if kind == 'halves' else 12} taken together (")
    assert np.array_equal([Source(str(tmp_path)).decode(s) for s in found], STACK)


def test_folders_of_pages_are_one_stack_in_natural_order(tmp_path: Path) -> None:
    for n, name in enumerate(("part2", "part9", "part10")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "stack.tif").write_bytes(tiff(STACK[n * 4 : n * 4 + 4]))
    _, units, _ = survey(request(tmp_path))
    source = Source(str(tmp_path))
    assert np.array_equal([source.decode(s) for unit in units for s in unit.slices], STACK)


def test_a_pattern_numbers_folders(tmp_path: Path) -> None:
    below(BELOW["a folder for each slice"], tmp_path)
    plan, *_ = survey(request(tmp_path, image="z%04d", minz=3, maxz=4))
    assert (plan.usable, plan.minz, plan.maxz) == (2, 3, 4)


@pytest.mark.parametrize(
    "names",
    [
        {"a/s_0.tif": 0, "a/s_1.tif": 1, "b/s_0.tif": 2, "b/s_1.tif": 3},
        {"a/s_0.tif": 0, "a/s_1.tif": 1, "b/t_0.tif": 2, "b/t_1.tif": 3},
        {"z0/image.tif": 0, "other/image.tif": 1},
    ],
)
def test_folders_that_hold_several_stacks_are_not_mixed(names: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"found no .* file"):
        survey(request(below(names, tmp_path)))


def test_a_bucket_with_a_folder_for_each_slice_is_read(bucket: Bucket) -> None:
    for name, k in BELOW["a folder for each slice"].items():
        Store(bucket.url).write(f"stack/{name}", tiff(STACK[k]))
    _, units, _ = survey(request(f"{bucket.url}/stack"))
    assert {s.name: s.z for unit in units for s in unit.slices} == BELOW["a folder for each slice"]


@pytest.mark.properties
@pytest.mark.parametrize("kind", ["halves", "a folder for each slice"])
def test_a_run_of_folders_notices_what_arrives(kind: str, tmp_path: Path) -> None:
    source = below(BELOW[kind], tmp_path / "source")
    config = plain(source, alignment__skip=True)
    run_here(config, tmp_path / "out", stop_before="publish")
    late = source / ("second" if kind == "halves" else "z0012")
    late.mkdir(exist_ok=True)
    (late / ("s_012.tif" if kind == "halves" else "image.tif")).write_bytes(tiff(STACK[0]))
    run_step(PIPELINE["publish"], Store(str(tmp_path / "out")).url, 0)
    done = completion(tmp_path / "out")
    assert done.status == "complete_with_flags"
    assert len(done.source_changes.new) == 1
    assert np.array_equal(lossless(tmp_path / "out"), STACK)


def test_channels_that_fiji_split_are_not_joined(tmp_path: Path) -> None:
    parts(tmp_path, ("C1-brain.tif", "C2-brain.tif"), 6)
    with pytest.raises(UserError, match=r"C1-brain\.tif, C2-brain\.tif look like channels .* give one of the files"):
        survey(request(tmp_path))
    assert survey(request(tmp_path / "C2-brain.tif"))[0].usable == 6


def test_slices_of_one_channel_are_a_stack(tmp_path: Path) -> None:
    named(tmp_path, "C1-s_001.tif", "C1-s_002.tif")
    assert survey(request(tmp_path))[0].usable == 2


def test_slices_beyond_the_range_are_said(tmp_path: Path) -> None:
    named(tmp_path, "s_1.tif", "s_2.tif", "s_3.tif", "s_4.tif")
    warned = survey(request(tmp_path, maxz=2, resolution=8))[0].warnings
    assert warned == ("2 slices lie beyond minz and maxz: left out",)


def written(**how: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, STACK, photometric="minisblack", **how)
    return file.getvalue()


@pytest.mark.parametrize("share", [0.99, 0.5, 0.2])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_stack_whose_last_pages_are_cut_off_is_named(share: float, compression: str | None, tmp_path: Path) -> None:
    data = written(compression=compression)
    (tmp_path / "stack.tif").write_bytes(data[: int(len(data) * share)])
    assert re.search("unreadable|truncated", told(tmp_path / "stack.tif"))


def told(file: Path) -> str:
    """What is said of slices that are lost."""
    try:
        plan = survey(request(file))[0]
    except UserError as error:
        return str(error)
    return plan.problems[-1].kind if plan.depth == len(STACK) else "too few"


def test_a_stack_of_tifffile_behind_one_header_is_read(tmp_path: Path) -> None:
    (tmp_path / "stack.tif").write_bytes(written(truncate=True))
    assert np.array_equal(read(tmp_path / "stack.tif"), STACK)
