"""What a person gives beside the slices: overrides, positions, transforms, a crop."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore as ts
from PIL import Image as Pillow

from clio_argo.errors import GateStopped, UserError
from clio_argo.model.alignment import Matrix, apply
from clio_argo.model.appearance import Viewer
from clio_argo.model.step import StepResult
from clio_argo.placement.residuals import disagreement_px
from tests.stacks import (
    Image,
    completion,
    contents,
    demo_slice,
    demo_slices,
    info,
    lossless,
    plain,
    request,
    run_here,
    transforms,
    viewer,
    write_stack,
    written_at,
)

FIRST, NOISE = 3510, 3513


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight slices, of which one is noise."""
    return write_stack(tmp_path_factory.mktemp("given"), demo_slices(8, 192, FIRST))


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_here(request(source, max_bad=1), tmp_path_factory.mktemp("whole"))


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def step_px(out: Path, below: int, above: int) -> Image:
    """(x, y) from the middle of one slice to that of another, on the canvas."""
    placed = {s.z: s.matrix for s in transforms(out).slices}
    a, b = (apply(placed[z], np.array([[96.0, 96.0]]))[0] for z in (below, above))
    return np.asarray(b - a)


# --- overrides -----------------------------------------------------------------------------------------


@pytest.mark.properties
def test_overrides_are_applied_to_a_finished_run_without_matching_again(source: Path, tmp_path: Path) -> None:
    out = run_here(request(source, max_bad=1), tmp_path / "out")
    before, wanted = written_at(out), contents(out)
    file = written(tmp_path / "overrides.yaml", f"""
slices:
- {{z: {NOISE}, verdict: suspect, reason: I can see it}}
- {{z: {FIRST + 6}, verdict: bad, reason: charging}}
pairs:
- {{z: [{FIRST}, {FIRST + 1}], matrix: [[1, 0, 5], [0, 1, -7]], reason: measured in Fiji}}
""")  # fmt: skip
    run_here(request(source, max_bad=1, overrides=file), out)
    again = {n for n, when in written_at(out).items() if before.get(n) != when}
    assert not [n for n in again if "/reduce/" in n or "/match/" in n]
    assert step_px(out, FIRST, FIRST + 1) == pytest.approx([5, -7], abs=0.05)
    by_z = {s.z: s for s in transforms(out).slices}
    assert (by_z[NOISE].verdict, by_z[NOISE].source_slices, by_z[NOISE].placed_by) == (
        "suspect",
        (NOISE,),
        "neighbours",
    )
    assert (by_z[FIRST + 6].verdict, by_z[FIRST + 6].source_slices) == ("bad", (FIRST + 5,))
    assert completion(out).flagged == (FIRST + 6,)
    report = (out / "report.html").read_text()
    assert all(f"manual: {why}" in report for why in ("I can see it", "charging", "measured in Fiji"))
    assert len(transforms(out).sources) == 1
    # without the file everything is as it was
    run_here(request(source, max_bad=1), out)
    assert contents(out) == wanted


@pytest.mark.properties
def test_an_excluded_pair_is_a_break_and_an_excluded_slice_is_never_shown(source: Path, tmp_path: Path) -> None:
    pairs = [(a, b) for a in range(FIRST, FIRST + 2) for b in range(FIRST + 2, FIRST + 6)]
    text = {"pairs": [{"z": p, "exclude": True, "reason": "no"} for p in pairs],
            "slices": [{"z": NOISE, "exclude": True, "reason": "nothing there"}]}  # fmt: skip
    file = written(tmp_path / "overrides.json", json.dumps(text))
    config = request(source, max_bad=1, overrides=file, bad_slices="keep")
    with pytest.raises(GateStopped, match=rf"no fit crosses from z {FIRST + 1} to z {FIRST + 2}"):
        run_here(config, tmp_path / "out")
    out = run_here(config.model_copy(update={"max_breaks": 1}), tmp_path / "out")
    excluded = transforms(out).slices[NOISE - FIRST]
    assert (excluded.verdict, excluded.source_slices) == ("missing", (NOISE - 1,))


def test_a_slice_that_does_not_decode_cannot_be_called_good(tmp_path: Path) -> None:
    slices = demo_slices(4, 64, FIRST)
    source = write_stack(tmp_path / "source", slices)
    data = bytearray((source / f"iso.{FIRST + 1:05d}.png").read_bytes())
    data[len(data) // 2] ^= 0x10
    (source / f"iso.{FIRST + 1:05d}.png").write_bytes(data)
    file = written(tmp_path / "o.yaml", f"slices: [{{z: {FIRST + 1}, verdict: good, reason: sure}}]")
    with pytest.raises(UserError, match=rf"do not decode(.|\n)*z {FIRST + 1}"):
        run_here(plain(source, max_bad=1, overrides=file), tmp_path / "out")


@pytest.mark.properties
def test_a_slice_that_is_called_good_is_placed_by_its_links_again(tmp_path: Path) -> None:
    slices = demo_slices(3, 192, FIRST)
    slices[FIRST + 2] = slices[FIRST + 1]
    slices[FIRST + 3] = demo_slice(FIRST + 2)
    source = write_stack(tmp_path / "source", slices)
    out = run_here(request(source, max_bad=1), tmp_path / "out", stop_before="render")
    assert [s.verdict for s in transforms(out).slices] == ["good", "good", "bad", "good"]
    over = step_px(out, FIRST + 1, FIRST + 3)
    file = written(tmp_path / "o.yaml", f"slices: [{{z: {FIRST + 2}, verdict: good, reason: twice indeed}}]")
    run_here(request(source, max_bad=1, overrides=file), out, stop_before="render")
    twice = transforms(out).slices[2]
    assert (twice.verdict, twice.placed_by) == ("good", "pairs")
    assert step_px(out, FIRST + 1, FIRST + 2) == pytest.approx([0, 0], abs=0.05)
    assert step_px(out, FIRST + 2, FIRST + 3) == pytest.approx(over, abs=0.05)


# --- positions -----------------------------------------------------------------------------------------


def positions_file(path: Path, place: Any) -> str:
    rows = "".join(f"{z},{place(z)[0]},{place(z)[1]}\n" for z in range(FIRST, FIRST + 8))
    return written(path, f"z,x_px,y_px\n{rows}")


@pytest.mark.properties
def test_parts_that_no_link_joins_lie_where_the_stage_stood_and_a_changed_file_is_noticed(tmp_path: Path) -> None:
    slices = {z + 8: im if z < FIRST - 4 else im[::-1] for z, im in demo_slices(8, 192, FIRST - 8).items()}
    source = write_stack(tmp_path / "source", slices)
    file = tmp_path / "positions.csv"
    config = request(source, max_breaks=1, positions=str(file))
    steps = []
    for far in (40, 25):
        positions_file(file, lambda z, far=far: (0, 0) if z < FIRST + 4 else (far, -10))
        out = run_here(config, tmp_path / "out", stop_before="render")
        assert [b.above for b in transforms(out).breaks] == [FIRST + 4]
        steps.append(np.mean([step_px(out, FIRST + i, FIRST + 4 + j) for i in range(4) for j in range(4)], axis=0))
    assert steps[0] - steps[1] == pytest.approx([15, 0], abs=0.01)
    assert steps[0] == pytest.approx([40, -10], abs=6)


@pytest.mark.properties
def test_without_an_anchor_slices_lie_where_links_put_them(tmp_path: Path) -> None:
    source = write_stack(tmp_path / "source", demo_slices(20, 128, FIRST + 4))
    configs = [request(source, alignment__anchor=a, alignment__model="translation") for a in (True, False)]
    outs = [run_here(c, tmp_path / str(i), "render") for i, c in enumerate(configs)]
    held, free = (max(e for *_, e in disagreement_px(transforms(out), 128, 128)) for out in outs)
    assert free < 0.8 * held


@pytest.mark.properties
def test_a_changed_trend_decodes_and_matches_nothing_again(tmp_path: Path) -> None:
    source, out = write_stack(tmp_path / "source", demo_slices(20, 128, FIRST + 4)), tmp_path / "out"
    run_here(request(source, alignment__trend="recorded"), out, stop_before="render")
    assert transforms(out).trends[0].follows == "recorded"
    before, results = transforms(out), dict[str, StepResult]()
    changed = request(source, alignment__trend="images", update=True)
    run_here(changed, out, stop_before="render", results=results)
    assert transforms(out).trends[0].follows == "images"
    assert [s.matrix for s in transforms(out).slices] != [s.matrix for s in before.slices]
    assert [results[s].counts.done for s in ("reduce", "match")] == [0, 0]


def test_a_stack_that_is_not_aligned_lies_where_the_stage_stood(source: Path, tmp_path: Path) -> None:
    file = positions_file(tmp_path / "p.csv", lambda z: (z - FIRST, 0.5 * (z - FIRST)))
    out = run_here(plain(source, positions=file), tmp_path / "out", stop_before="render")
    assert step_px(out, FIRST, FIRST + 7) == pytest.approx([7, 3.5])


# --- transforms, and a crop ----------------------------------------------------------------------------


@pytest.mark.properties
@pytest.mark.parametrize("suffix", ["json", "csv"])
def test_transforms_of_another_run_make_the_same_volume_without_matching(
    source: Path, whole: Path, tmp_path: Path, suffix: str
) -> None:
    out = run_here(request(source, max_bad=1, transforms=str(whole / f"transforms.{suffix}")), tmp_path)
    assert not (out / "fits").exists()
    assert (out / "tmp" / "reduced").exists() == (suffix == "csv")
    assert np.array_equal(lossless(out), lossless(whole))
    assert np.array_equal(viewer(out), viewer(whole))
    assert completion(out).flagged == completion(whole).flagged == (NOISE,)
    assert (out / "report.html").is_file()


@pytest.mark.properties
def test_another_contrast_a_crop_and_fewer_slices(source: Path, whole: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"max_bad": 1, "transforms": str(whole / "transforms.json"), "contrast__clip_limit": 0}
    everything = run_here(request(source, **given), tmp_path / "all")
    crop = {"crop__x": (20, 99), "crop__y": (10, 150), "crop__z": (FIRST + 1, FIRST + 4)}
    part = run_here(request(source, **given, **crop), tmp_path / "part")
    assert np.array_equal(lossless(part), lossless(everything)[1:5, 10:151, 20:100])
    assert info(part)["scales"][0]["voxel_offset"] == [20, 10, FIRST + 1]
    fewer = run_here(request(source, **given, minz=FIRST + 5), tmp_path / "fewer")
    assert np.array_equal(lossless(fewer), lossless(everything)[5:])
    assert not np.array_equal(lossless(everything), lossless(whole))


def test_coarser_scales_of_a_crop_lie_on_the_grid_of_the_canvas(tmp_path: Path) -> None:
    image = np.tile(demo_slice(FIRST, 320), (2, 3))
    source = write_stack(tmp_path / "source", {z: np.roll(image, z) for z in range(FIRST, FIRST + 3)})
    out = run_here(plain(source, crop__x=(7, 900), crop__y=(3, 600), crop__z=(FIRST + 1, FIRST + 2)), tmp_path / "out")
    fine = ts.array(lossless(out)).translate_to[FIRST + 1, 3, 7]
    coarse = ts.downsample(fine, [2, 2, 2], "mean")
    assert np.array_equal(lossless(out, 1), coarse.read().result())
    assert info(out)["scales"][1]["voxel_offset"] == list(coarse.origin[::-1])


def test_the_viewer_volume_of_another_run_with_other_scales(tmp_path: Path) -> None:
    source = write_stack(tmp_path / "source", {FIRST: np.tile(demo_slice(FIRST, 320), (2, 2))})
    whole = run_here(plain(source), tmp_path / "whole")
    config = plain(source, transforms=str(whole / "transforms.json"), viewer__scales=(1, 9))
    coarse = run_here(config, tmp_path / "coarse")
    assert info(coarse)["scales"] == info(whole)["scales"][1:]
    assert np.array_equal(viewer(coarse), viewer(whole, 1))
    assert np.array_equal(lossless(coarse), lossless(whole))
    assert [p.name for p in (coarse / "ng").iterdir() if p.is_dir()] == [info(coarse)["scales"][0]["key"]]
    assert not (coarse / "fits").exists()
    with pytest.raises(UserError, match=r"viewer.scales 2 to 9: the volume has scales 0 to 1"):
        run_here(config.model_copy(update={"viewer": Viewer(scales=(2, 9))}), tmp_path / "none")


@pytest.mark.parametrize(
    ("crop", "error"),
    [({"crop__z": (0, 5)}, "crop.z 0 to 5: the stack has z 3510 to 3517"),
     ({"source_crop__x": (0, 192), "source_crop__y": (200, 210)},
      r"source_crop.x 0 to 192: the files have 0 to 191\n.*source_crop.y 200 to 210"),
     ({"crop__x": (0, 192), "crop__y": (190, 200)}, r"crop.y 190 to 200: the canvas has 0 to 191\n.*crop.x 0 to 192")],
)  # fmt: skip
def test_a_crop_that_is_not_there_is_refused(source: Path, tmp_path: Path, crop: Any, error: str) -> None:
    with pytest.raises(UserError, match=error):
        run_here(plain(source, **crop), tmp_path / "out")


def predecessors(numbers: list[float], suffix: str) -> str:
    """A file as clio_ingest wrote it: columns of each matrix."""
    every = dict.fromkeys(range(FIRST, FIRST + 2), numbers)
    return json.dumps(every) if suffix == "json" else "".join(f"{z} , '{n}'\n" for z, n in every.items())


@pytest.mark.parametrize("suffix", ["json", "csv"])
def test_transforms_of_the_predecessor_mean_what_pillow_made_of_them(tmp_path: Path, suffix: str) -> None:
    slices = {z: im[:150] for z, im in demo_slices(2, 192, FIRST).items()}
    source = write_stack(tmp_path / "source", slices)
    numbers = [0.0, 1.0, -1.0, 0.0, 150.0, 0.0]  # a quarter turn, the hardest case for half pixels
    file = written(tmp_path / f"transforms.{suffix}", predecessors(numbers, suffix))
    out = run_here(plain(source, alignment__skip=False, transforms=file), tmp_path / "out")
    a, c, b, d, x, y = numbers
    inverse = np.linalg.inv([[a, b, x], [c, d, y], [0, 0, 1]]).ravel()[:6]
    for plane, image in zip(lossless(out), slices.values(), strict=True):
        theirs = Pillow.fromarray(image).transform(
            (150, 192), Pillow.Transform.AFFINE, tuple(inverse), Pillow.Resampling.BICUBIC
        )
        assert np.array_equal(plane, np.asarray(theirs))


def test_a_plain_csv_of_affines_may_begin_anywhere(tmp_path: Path) -> None:
    source = write_stack(tmp_path / "source", demo_slices(2, 64, FIRST))
    rows = f"z,a,b,tx,c,d,ty\n{FIRST},1,0,-30,0,1,4\n{FIRST + 1},1,0,-25.5,0,1,4\n"
    config = plain(source, alignment__skip=False, transforms=written(tmp_path / "t.csv", rows))
    out = run_here(config, tmp_path / "out", stop_before="render")
    expected: list[Matrix] = [((1, 0, 0), (0, 1, 0)), ((1, 0, 4.5), (0, 1, 0))]
    assert [s.matrix for s in transforms(out).slices] == expected
    assert {s.placed_by for s in transforms(out).slices} == {"imported"}


# --- all that can be wrong -------------------------------------------------------------------------------


def test_all_problems_of_all_files_are_told_at_once(source: Path, tmp_path: Path) -> None:
    positions = written(tmp_path / "p.csv", f"z,x_px,y_px\n{FIRST},1,2\n{FIRST},1,2\n9,0,0\n{FIRST + 1},far,nan\n")
    overrides = written(tmp_path / "o.yaml", f"""
slices: [{{z: 4, verdict: bad, reason: x}}, {{z: {FIRST}, verdict: fine, reason: x}}, {{z: {FIRST}, verdict: bad}}]
pairs:
- {{z: [{FIRST}, {FIRST + 1}], matrix: [[1, 0, 0], [1, 0, 0]], reason: x}}
- {{z: [2, 1], exclude: true, reason: x}}
""")  # fmt: skip
    rows = f"{FIRST},1,0,0,0,1,0\n{FIRST},1,0,0,0,-1,0\n{FIRST + 2},9,0,0,0,9,0\n{FIRST + 3},,,,,,\n"
    given = written(tmp_path / "t.csv", f"z,a,b,tx,c,d,ty\n{rows}")
    with pytest.raises(UserError) as refused:
        run_here(request(source, positions=positions, overrides=overrides, transforms=given), tmp_path / "out")
    for said in (
        "p.csv line 5: x_px", "p.csv line 5: y_px", f"p.csv: given more than once: slices {FIRST}",
        "p.csv: unknown slices 9 (the stack has z 3510 to 3517)", "p.csv: no position of slices 3511, 3512",
        "o.yaml: slices.1.verdict", "o.yaml: slices.2.reason", "o.yaml: pairs.0: matrix: is singular",
        "o.yaml: pairs.1: z: the lower slice comes first", f"t.csv: given more than once: slices {FIRST}",
        "t.csv: no transform of slices 3511, 3514", f"the matrix of slice {FIRST} mirrors the slice",
        f"the matrix of slice {FIRST + 2} scales by 9", f"nor a verdict of bad or missing: slices {FIRST + 3}",
    ):  # fmt: skip
        assert said in str(refused.value)
    assert not (tmp_path / "out").exists()


WRONG = {
    "": "expected transforms.json", "prose": "expected transforms.json", "{": "t.txt: ", "{}": "no transform of slices",
    '{"3510": [1, 2]}': "2 numbers instead of 6", "z,a,b,tx,c,d,ty\n3510,x,0,0,0,1,0": "line 2: not the numbers",
    '{"schema_version": 99, "slices": []}': "newer version", '{"3510": "x"}': "t.txt: ",
    '{"slices": 3}': "not a valid Transforms",
}  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_transforms_that_are_none_are_refused(source: Path, tmp_path: Path, text: str) -> None:
    file = written(tmp_path / "t.txt", text)
    with pytest.raises(UserError) as refused:
        run_here(request(source, transforms=file), tmp_path / "out")
    assert WRONG[text] in str(refused.value)


@pytest.mark.parametrize("key", ["positions", "overrides", "transforms"])
def test_a_file_that_is_not_there_is_named(source: Path, tmp_path: Path, key: str) -> None:
    with pytest.raises(UserError, match=rf"{key} .*nowhere.csv: there is no such file"):
        run_here(request(source, **{key: str(tmp_path / "nowhere.csv")}), tmp_path / "out")
