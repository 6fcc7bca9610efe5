"""What a plan took from the files of a stack: said by plan, kept by the run, and used by all later steps."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore as ts
import tifffile

from clio_argo.errors import UserError
from clio_argo.model.layout import CONFIG
from clio_argo.model.plan import Plan
from clio_argo.model.request import Request
from clio_argo.report.html import report_html
from clio_argo.store.documents import Store
from clio_argo.workspace.survey import survey
from tests.report.example import example
from tests.stacks import cli, completion, demo_slices, lossless, plain, run_here
from tests.store.images.samples import texture, tiff

STACK = np.stack([texture(height=20, width=24, seed=s) for s in range(12)])


def per_cm(nm: float) -> dict[str, Any]:
    return {"resolution": (1e7 / nm, 1e7 / nm), "resolutionunit": 3}


def stack(folder: Path, *nm: float) -> Path:
    """Slices that tell a voxel size each."""
    for z, size in enumerate(nm):
        (folder / f"s_{z}.tif").write_bytes(tiff(STACK[z], **per_cm(size)))
    return folder


def planned(folder: Path, **settings: Any) -> Plan:
    return survey(Request(id="a", source=str(folder), **settings))[0]


def test_the_voxel_size_of_the_files_reaches_every_scale_and_stays(tmp_path: Path) -> None:
    (tmp_path / "slices").mkdir()
    for z, image in demo_slices(3, 160).items():
        (tmp_path / "slices" / f"{z}.tif").write_bytes(tiff(image, **per_cm(12.5)))
    config = plain(tmp_path / "slices").model_copy(update={"resolution": None})
    out = run_here(config, tmp_path / "out")
    kept = Store(str(out)).document(Request, CONFIG)
    assert kept.resolution == (12.5, 12.5, 12.5)
    volume = ts.open({"driver": "neuroglancer_precomputed", "kvstore": f"file://{out}/ng/"}).result()
    assert [u.multiplier for u in volume.dimension_units[:3]] == [12.5] * 3
    # the same request joins the run, and so does one that gives what was found
    run_here(config, out)
    run_here(config.model_copy(update={"resolution": (12.5, 12.5, 12.5)}), out)
    with pytest.raises(UserError, match=r"resolution: \[12.5, 12.5, 12.5\] -> \[8.0, 8.0, 8.0\]"):
        run_here(config.model_copy(update={"resolution": (8.0, 8.0, 8.0)}), out)


@pytest.mark.parametrize("given", [None, (8, 8, 8)])
def test_files_of_another_voxel_size_are_named_and_flag_the_run(
    given: tuple[float, float, float] | None, demo: Path, tmp_path: Path
) -> None:
    ends = {}
    for name, nm in (("alike", 8.0), ("odd", 4.0)):
        (tmp_path / name).mkdir()
        for z, image in enumerate(lossless(demo)[:6, 100:220, 100:220]):
            (tmp_path / name / f"{z}.tif").write_bytes(tiff(image, **per_cm(8.0 if z < 4 else nm)))
        config = plain(tmp_path / name).model_copy(update={"resolution": given})
        done = completion(run_here(config, tmp_path / "out" / name))
        ends[name] = (done.status, done.notes)
    note = "2 of 6 files say another voxel size than 8 x 8 nm: 4.tif: 4 x 4 nm, 5.tif: 4 x 4 nm"
    assert ends == {"alike": ("complete", ()), "odd": ("complete_with_flags", (note,))}


def test_plan_says_where_the_voxel_size_is_from_and_what_contradicts_it(tmp_path: Path) -> None:
    source = stack(tmp_path, 4, 4, 5)
    plan = planned(source)
    assert (plan.voxel_nm, plan.found["voxel size"]) == (
        (4, 4, 4),
        "4 x 4 x 4 nm, by the files (TIFF resolution); z assumed to be as x, which `resolution` can say",
    )
    assert plan.warnings[:-1] == ("1 of 3 files says another voxel size than 4 x 4 nm: s_2.tif: 5 x 5 nm",)
    assert plan.warnings[-1] == f"voxel size {plan.found['voxel size']}"
    asked = planned(source, resolution=(5, 5, 30))
    assert asked.voxel_nm == (5, 5, 30)
    assert asked.warnings[1] == "resolution 5 x 5 x 30 nm is used, but the files say 4 x 4 nm (TIFF resolution)"


def test_a_printers_resolution_is_ignored_and_said(tmp_path: Path) -> None:
    plan = planned(stack(tmp_path, 352_778, 352_778))
    assert plan.voxel_nm == (8, 8, 8)
    assert plan.found["ignored"] == "TIFF resolution of 352778 x 352778 nm in 2 files: no size of a voxel"


def test_what_was_ignored_is_said(tmp_path: Path) -> None:
    source = stack(tmp_path, 8, 8, 8)
    (source / "overview.tif").write_bytes(tiff(STACK[0]))
    (source / "._s_0.tif").write_bytes(b"\0")
    (source / "raw.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    with tifffile.TiffWriter(source / "s_2.tif") as file:
        file.write(STACK[2], subfiletype=0)
        file.write(STACK[2][::4, ::4], subfiletype=1)
    said = planned(source, image="s_%d.tif", maxz=2).found
    assert said["ignored"].startswith("1 file beside the slices, or beyond minz and maxz (overview.tif); ")
    for text in ("1 hidden file (._s_0.tif)", "raw.h5: ", "1 page of previews or masks within 1 file"):
        assert text in said["ignored"]
    assert "s_2.tif" in planned(source, image="s_%d.tif", maxz=1).found["ignored"]


def test_format_values_pages_and_channels_are_said(tmp_path: Path) -> None:
    stacks = {
        "a.tif": ({"imagej": True, "metadata": {"axes": "ZCYX"}}, STACK.reshape(6, 2, 20, 24)),
        "b.tif": ({"compression": "lzw", "metadata": None}, STACK.astype(np.int16)),
    }
    for name, (options, pages) in stacks.items():
        tifffile.imwrite(tmp_path / name, pages, photometric="minisblack", **options)
    one, other = planned(tmp_path / "a.tif", channel=1), planned(tmp_path / "b.tif")
    assert (one.found["format"], one.found["samples"]) == ("TIFF", "uint8")
    assert one.found["pages"] == "6 in 1 file, channel 1, time 0"
    assert (other.found["format"], other.found["samples"]) == ("TIFF, LZW", "int16")
    assert other.found["values"] == "int16 + 32,768, nothing is lost"


@pytest.mark.properties
def test_report_and_json_show_what_plan_shows(tmp_path: Path) -> None:
    source = stack(tmp_path, 12, 12, 12)
    shown = cli("plan", "--source", source, "--resolution", "4")
    said = json.loads(cli("plan", "--source", source, "--resolution", "4", "-o", "json").stdout)["plan"]
    page = report_html(example(9).model_copy(update={"plan": planned(source, resolution=(4, 4, 4))}))
    for name, text in said["found"].items():
        assert name in page
        assert text in page
        assert "".join(text.split()) in "".join(shown.stdout.split())
    [warning] = said["warnings"]
    assert warning[1:] in page
    assert "".join(warning.split()) in "".join(shown.stdout.split())
