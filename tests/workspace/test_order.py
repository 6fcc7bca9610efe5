"""`order: name`: which file lies at which z, from every kind of source, what is refused, and where it is offered."""

import csv
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from clio_argo.cli.app import app
from clio_argo.errors import ClioError, GateStopped, UserError
from clio_argo.model.parse_request import build_request, parse_text
from clio_argo.model.step import StepResult
from clio_argo.pipeline import PIPELINE
from clio_argo.runner import run_step
from clio_argo.store.documents import Store
from clio_argo.workspace.first_look import first_look
from clio_argo.workspace.preflight import preflight
from clio_argo.workspace.survey import survey
from tests.stacks import (
    FIRST,
    NAME,
    completion,
    contents,
    demo_slices,
    encoded,
    plain,
    request,
    run_here,
    transforms,
    write_stack,
)
from tests.store.images.samples import texture, tiff
from tests.stores import Bucket

TIMES = ["scan_9h59.png", "scan_10h01.png", "scan_10h30.png"]
PIXELS = texture(height=20, width=24, seed=1)


def write(folder: Path, names: Sequence[str]) -> Path:
    """Slices of these names; all are the same picture."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(tiff(PIXELS) if name.lower().endswith("tif") else encoded(PIXELS))
    return folder


def files(source: Path | str, **settings: Any) -> dict[int, str]:
    """The file of each z."""
    _, units, _ = survey(request(source, order="name", **settings))
    return {s.z: s.name for unit in units for s in unit.slices}


def told(*arguments: object) -> tuple[int, str]:
    """Exit code and all that a command prints."""
    result = CliRunner().invoke(app, [*map(str, arguments)])
    if isinstance(result.exception, ClioError):
        return result.exception.exit_code, result.stdout + result.stderr + str(result.exception)
    return result.exit_code, result.stdout + result.stderr


# --- which file lies where ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ordered",
    [
        ["a.png", "aa.png", "b.png", "C.png"],
        TIMES,
        ["raw/a.png", "raw/b.png"],
        ["x/s_2.png", "y/s_10.png", "w/s_30.png"],
        ["day2/s1.tif", "day2/s2.tif", "day10/s1.tif"],
        ["sec_a/stitched.tif", "sec_b/stitched.tif", "sec_c/stitched.tif"],
    ],
)
def test_files_are_counted_in_the_order_of_their_names(tmp_path: Path, ordered: list[str]) -> None:
    write(tmp_path, ordered[::-1])
    assert files(tmp_path) == dict(enumerate(ordered))
    assert files(tmp_path, minz=-4) == dict(enumerate(ordered, -4))


def test_names_in_a_bucket_are_counted_alike(gcs: Bucket) -> None:
    for name in TIMES:
        Store(gcs.url).write(name, encoded(PIXELS))
    assert files(gcs.url, minz=5) == dict(enumerate(TIMES, 5))


def test_folders_in_a_bucket_are_counted_alike(s3: Bucket) -> None:
    ordered = ["day2/s1.png", "day2/s2.png", "day10/s1.png"]
    for name in ordered:
        Store(s3.url).write(name, encoded(PIXELS))
    assert files(s3.url) == dict(enumerate(ordered))


def test_pages_of_files_are_counted_in_the_order_of_the_files(tmp_path: Path) -> None:
    for name, pages in (("part_b.tif", 2), ("part_a.tif", 3)):
        (tmp_path / name).write_bytes(tiff(np.stack([PIXELS] * pages)))
    assert files(tmp_path, minz=1) == dict(enumerate(["part_a.tif"] * 3 + ["part_b.tif"] * 2, 1))


def test_a_single_file_is_counted_from_minz_whatever_number_it_has(tmp_path: Path) -> None:
    write(tmp_path, ["s17.png"])
    assert files(tmp_path) == {0: "s17.png"}
    assert files(tmp_path, minz=3) == {3: "s17.png"}


def test_a_regular_expression_chooses_the_files(tmp_path: Path) -> None:
    write(tmp_path, ["EM_a.png", "EM_b.png", "GFP_a.png", "preview.png"])
    assert files(tmp_path, image_regex=r"EM_.*\.png") == {0: "EM_a.png", 1: "EM_b.png"}
    assert files(tmp_path, image_regex=r"(EM|GFP).*") == {0: "EM_a.png", 1: "EM_b.png", 2: "GFP_a.png"}


def test_maxz_leaves_files_out_and_names_what_is_short_of_it(tmp_path: Path) -> None:
    write(tmp_path, TIMES)
    plan, _, _ = survey(request(tmp_path, order="name", minz=10, maxz=11))
    assert (plan.minz, plan.maxz, plan.usable) == (10, 11, 2)
    assert plan.warnings[-1] == "1 slice lies beyond minz and maxz: left out"
    plan, _, _ = survey(request(tmp_path, order="name", maxz=3))
    assert [(p.z, p.kind) for p in plan.problems] == [(3, "missing")]


def test_an_unusable_file_keeps_its_place(tmp_path: Path) -> None:
    write(tmp_path, TIMES)
    (tmp_path / TIMES[1]).write_bytes(b"")
    plan, _, _ = survey(request(tmp_path, order="name"))
    assert [(p.z, p.kind, p.file) for p in plan.problems] == [(1, "zero-byte", TIMES[1])]


# --- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["img1.png", "img01.png"], "img01.png and img1.png apart"),
        (["A1.png", "a1.png"], "A1.png and a1.png apart"),
        (["EM_1.png", "EM_2.png", "GFP_1.png"], "EM_1.png, GFP_1.png"),
        (["EM/1.tif", "EM/2.tif", "GFP/1.tif", "GFP/2.tif"], "EM/1.tif, GFP/1.tif"),
        ([], "found no slice"),
        (["a.png", "raw/b.png"], "both at its root (a.png) and in raw/ (raw/b.png)"),
    ],
)
def test_files_without_an_order_are_refused_with_their_names(tmp_path: Path, names: list[str], why: str) -> None:
    write(tmp_path, names)
    with pytest.raises(UserError, match=re.escape(why)):
        files(tmp_path)


def test_equal_names_of_stacks_in_several_files_are_refused(tmp_path: Path) -> None:
    for name in ("a1.tif", "a01.tif"):
        (tmp_path / name).write_bytes(tiff(np.stack([PIXELS] * 3)))
    with pytest.raises(UserError, match=r"a01\.tif and a1\.tif apart"):
        files(tmp_path)


@pytest.mark.parametrize("settings", [{"image": "s%d.png"}, {"image_regex": r"s(?P<z>\d+)\.png"}])
def test_a_number_in_the_name_contradicts_the_order_of_names(settings: dict[str, str]) -> None:
    with pytest.raises(UserError, match="order: name takes none"):
        request("x", order="name", **settings)


def test_planes_of_a_volume_have_no_names(aligned: Path) -> None:
    with pytest.raises(UserError, match="planes of a volume have no names"):
        files(aligned / "aligned")


# --- where it is told ------------------------------------------------------------------------------------


def test_plan_lists_the_file_of_each_z(tmp_path: Path) -> None:
    write(tmp_path, TIMES)
    (tmp_path / TIMES[1]).write_bytes(b"")
    arguments = ("plan", "--source", tmp_path, "--set", "order=name", "--minz", 7, "--allow-bad-slices", 1)
    _, text = told(*arguments)
    assert "places in the natural order of the names, from 7 (order: name)" in text
    assert re.search(r"z  file\n7  scan_9h59.png\n8  scan_10h01.png\n9  scan_10h30.png\n", text)
    listed = json.loads(told(*arguments, "-o", "json")[1])["slices"]
    assert listed == [{"z": 7 + i, "file": name, "page": 0} for i, name in enumerate(TIMES)]


def test_a_long_list_shows_its_ends(tmp_path: Path) -> None:
    write(tmp_path, [f"s{n}_.png" for n in range(0, 80, 2)])
    _, text = told("plan", "--source", tmp_path, "--set", "order=name")
    assert re.search(r"\n4    s8_.png\n\.\.\.  30 more, all in plan -o json\n35   s70_.png\n", text)
    assert "\n5    s10_.png" not in text


def test_numbers_of_which_most_are_missing_are_told_with_the_other_order(tmp_path: Path) -> None:
    write(tmp_path, ["s3.png", "s7.png", "s20.png"])
    hint = "count the files in the order of their names with `order: name`"
    with pytest.raises(GateStopped, match=hint):
        preflight(request(tmp_path)).refuse()
    _, text = told("init", tmp_path)
    assert f"all in the natural order of their names: clio-argo init {tmp_path} --set order=name" in text
    write(tmp_path, [f"s{n}.png" for n in range(3, 18)])
    with pytest.raises(GateStopped) as stopped:
        preflight(request(tmp_path)).refuse()
    assert hint not in str(stopped.value)


def test_numbers_that_go_in_steps_are_no_case_for_it(tmp_path: Path) -> None:
    write(tmp_path, ["s0.png", "s30.png", "s60.png"])
    assert not preflight(request(tmp_path)).stops


@pytest.mark.parametrize(
    "names", [["s1.png", "s999999.png"], ["a.png", "b.png"], ["1x1.png", "1x2.png", "2x1.png", "2x2.png"]]
)
def test_names_that_numbers_cannot_order_are_told_with_the_other_order(tmp_path: Path, names: list[str]) -> None:
    write(tmp_path, names)
    with pytest.raises(UserError, match="with `order: name`"):
        survey(request(tmp_path))


def test_init_writes_a_request_in_the_order_of_names(tmp_path: Path) -> None:
    write(tmp_path, ["c.png", "a.png", "b.png"])
    _, refused = told("init", tmp_path)
    assert f"all in the natural order of their names: clio-argo init {tmp_path} --set order=name" in refused
    look = first_look({"id": "x", "source": str(tmp_path), "order": "name"}, 8)
    written = build_request(parse_text(look.text, "x"))
    assert (written.order, written.image, written.minz, written.maxz) == ("name", None, 0, 2)
    assert not preflight(written).faults
    assert "z  file\n0  a.png\n1  b.png\n2  c.png\n" in told("init", tmp_path, "--set", "order=name")[1]


# --- runs ------------------------------------------------------------------------------------------------


@pytest.mark.properties
def test_files_that_arrive_later_shift_others_which_is_said(tmp_path: Path) -> None:
    slices = list(demo_slices(4, 64).values())
    for name, image in zip("acde", slices, strict=True):
        (tmp_path / f"s_{name}.png").parent.mkdir(exist_ok=True)
        (tmp_path / f"s_{name}.png").write_bytes(encoded(image))
    source = shutil.copytree(tmp_path, tmp_path / "source")
    results: dict[str, StepResult] = {}
    out = run_here(plain(source, order="name"), tmp_path / "out", "publish", results)
    assert "another z" not in results["plan"].note
    with (out / "transforms.csv").open() as table:
        assert [(r["z"], r["file"]) for r in csv.DictReader(table)] == list(
            zip("0123", ["s_a.png", "s_c.png", "s_d.png", "s_e.png"], strict=True)
        )
    (source / "s_b.png").write_bytes(encoded(slices[0]))
    run_step(PIPELINE["publish"], Store(str(out)).url, 0)
    assert completion(out).source_changes.new == ("s_b.png",)
    run_here(plain(source, order="name"), out, results=results)
    assert "order: name: 3 slices have another z than before, the first s_c.png (1, now 2)" in results["plan"].note
    assert [s.file for s in transforms(out).slices] == [f"s_{name}.png" for name in "abcde"]
    fresh = run_here(plain(source, order="name"), tmp_path / "fresh")
    assert contents(out) == contents(fresh)


@pytest.mark.properties
def test_slices_that_go_from_the_ends_of_a_stack_are_told(tmp_path: Path) -> None:
    source = write_stack(tmp_path / "source", demo_slices(6, 64))
    results: dict[str, StepResult] = {}
    out = run_here(plain(source), tmp_path / "out", "reduce", results)
    run_here(plain(source), out, "reduce", results)
    assert "before and is" not in results["plan"].note
    for z in (FIRST, FIRST + 4, FIRST + 5):
        (source / (NAME % z)).unlink()
    run_here(plain(source), out, "reduce", results)
    said = f"the stack was z {FIRST} to {FIRST + 5} before and is z {FIRST + 1} to {FIRST + 3} now: files of 3 slices"
    assert said in results["plan"].note
    write_stack(source, demo_slices(6, 64))
    run_here(plain(source), out, "reduce", results)
    assert "before and is" not in results["plan"].note
    run_here(plain(source, maxz=FIRST + 2, update=True), out, "reduce", results)
    assert "before and is" not in results["plan"].note, "a person who asks for less knows"
