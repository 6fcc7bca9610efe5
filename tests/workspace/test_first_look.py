"""A first look at files: the stack that is found, the request that fits it, and what is said of others."""

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from clio_argo.cli.options import default_id
from clio_argo.errors import GateStopped, UserError
from clio_argo.model.parse_request import build_request, parse_setting, parse_text
from clio_argo.model.request import Request
from clio_argo.store.documents import Store
from clio_argo.workspace.first_look import CHOSEN, FirstLook, first_look
from clio_argo.workspace.survey import survey
from tests.stacks import FIRST, demo_slice, demo_slices, encoded, write_stack
from tests.store.sources.volumes import ngff
from tests.stores import Bucket

SMALL = demo_slices(4, 48)


def look(source: Path | str, **settings: Any) -> FirstLook:
    return first_look({"id": "x", "source": str(source), **settings}, 24)


def read(text: str) -> Request:
    return build_request(parse_text(text, "request"))


def slices(request: Request) -> list[tuple[int, str, int]]:
    return [(s.z, s.name, s.page) for unit in survey(request)[1] for s in unit.slices]


def offered(error: UserError) -> list[dict[str, Any]]:
    """Settings of the commands that a message names."""
    commands = [shlex.split(line.partition("clio-argo init ")[2]) for line in str(error).splitlines()[1:]]
    return [
        {"source": source, **dict(_setting(*pair) for pair in zip(options[::2], options[1::2], strict=True))}
        for source, *options in commands
    ]


def _setting(option: str, value: str) -> tuple[str, Any]:
    return ("image", value) if option == "--image" else next(iter(parse_setting(value).items()))


def test_a_plain_stack_gives_a_request_with_all_that_was_found(tmp_path: Path) -> None:
    seen = look(write_stack(tmp_path, SMALL))
    request = read(seen.text)
    assert request == seen.request
    assert (request.source, request.image) == (str(tmp_path), "iso.%05d.png")
    assert (request.minz, request.maxz, request.resolution) == (FIRST, FIRST + 3, None)
    assert [*seen.notes] == ["resolution"]
    assert "\nresolution: null  # 8 x 8 x 8 nm is assumed: " in seen.text
    assert seen.text.startswith("# Slices: 4, 48 x 48 pixels; ")
    assert (seen.remarks, seen.checked.faults, seen.checked.stops) == ([], (), ())


def test_three_slices_are_shown_in_small_and_as_they_are(tmp_path: Path) -> None:
    seen = look(write_stack(tmp_path, demo_slices(7, 48)))
    assert [g.z for g in seen.glimpses] == [FIRST, FIRST + 3, FIRST + 6]
    for glimpse in seen.glimpses:
        assert glimpse.image is not None
        half = demo_slice(glimpse.z, 48).reshape(24, 2, 24, 2).mean((1, 3))
        assert glimpse.image.shape == (24, 24)
        assert np.corrcoef(half.ravel(), glimpse.image.ravel())[0, 1] > 0.98
        assert (glimpse.image.min(), glimpse.image.max()) == (0, 255)


def test_a_long_or_a_single_slice_is_shown_within_its_size(tmp_path: Path) -> None:
    (tmp_path / "a_3.png").write_bytes(encoded(np.tile(demo_slice(FIRST, 48)[:3], 20)))
    [glimpse] = look(tmp_path).glimpses
    assert glimpse.image is not None
    assert glimpse.image.shape == (3, 24)


def test_a_slice_that_does_not_decode_is_said(tmp_path: Path) -> None:
    source = write_stack(tmp_path, SMALL)
    file = source / f"iso.{FIRST:05d}.png"
    data = bytearray(file.read_bytes())
    data[60:200] = bytes(140)
    file.write_bytes(data)
    glimpse = look(source).glimpses[0]
    assert glimpse.image is None
    assert glimpse.reason.startswith(f"iso.{FIRST:05d}.png: ")


@pytest.mark.parametrize("folder", ["", "raw"])
def test_settings_that_are_given_are_kept(tmp_path: Path, folder: str) -> None:
    write_stack(tmp_path / folder, SMALL)
    seen = look(tmp_path, **{"resolution": [4, 4, 30], "minz": FIRST + 1, "contrast.invert": True})
    assert seen.request.resolution == (4, 4, 30)
    assert (seen.request.minz, seen.request.maxz) == (FIRST + 1, FIRST + 3)
    assert seen.notes["resolution"] == ""
    assert "\nresolution: [4, 4, 30]\n" in seen.text
    assert read(seen.text) == seen.request
    assert slices(seen.request)[0][1].endswith(f"iso.{FIRST + 1:05d}.png")


def test_pages_are_a_range(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", np.stack(list(SMALL.values())), photometric="minisblack")
    for source in (tmp_path, tmp_path / "stack.tif"):
        request = read(look(source).text)
        assert (request.image, request.minz, request.maxz) == (None, 0, 3)
        assert slices(request) == [(z, "stack.tif", z) for z in range(4)]


@pytest.mark.parametrize(
    "names", [("a_0-1.tif", "a_2-3.tif"), ("2026-11-02.tif", "2026-12-02.tif"), ("p1.tif", "p2.tif")]
)
def test_files_of_pages_that_follow_each_other_stay_one_stack(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        tifffile.imwrite(tmp_path / name, np.stack(list(SMALL.values())), photometric="minisblack")
    request = read(look(tmp_path).text)
    assert (request.minz, request.maxz) == (0, 7)
    assert slices(request)[-1] == (7, names[1], 3)


def test_numbers_in_steps_keep_the_range_of_the_files(tmp_path: Path) -> None:
    seen = look(write_stack(tmp_path, {30 * n + 7: image for n, image in enumerate(SMALL.values())}))
    assert (seen.request.minz, seen.request.maxz) == (7, 97)
    assert "steps of 30" in seen.notes["minz"]
    assert slices(read(seen.text)) == slices(seen.request.model_copy(update={"minz": None, "maxz": None}))


@pytest.mark.parametrize("name", ["z%d.png", "z_%d.5_nm.png"])
def test_negative_and_decimal_numbers_are_those_of_plan(tmp_path: Path, name: str) -> None:
    request = read(look(write_stack(tmp_path, dict(zip((-2, -1, 0, 1), SMALL.values(), strict=True)), name)).text)
    assert slices(request) == slices(build_request({"id": "x", "source": str(tmp_path)}))


def test_the_first_time_is_chosen_and_all_channels_are_read(tmp_path: Path) -> None:
    pages = np.stack([np.stack([np.stack(list(SMALL.values()))] * 2, axis=1)] * 2)
    tifffile.imwrite(tmp_path / "stack.tif", pages, imagej=True, metadata={"axes": "TZCYX"})
    seen = look(tmp_path)
    assert (seen.request.channel, seen.request.time) == (None, 0)
    assert seen.notes["time"] == "one of 0, 1"
    assert len(slices(read(seen.text))) == 4
    assert look(tmp_path, channel=1).request.channel == 1


def test_channels_of_files_that_follow_each_other_are_read(tmp_path: Path) -> None:
    for day in ("11-01", "11-02", "12-02"):
        pages = np.stack([np.stack(list(SMALL.values()))] * 2, axis=1)
        tifffile.imwrite(tmp_path / f"2026-{day}.tif", pages, imagej=True, metadata={"axes": "ZCYX"})
    request = read(look(tmp_path).text)
    assert (request.channel, request.image_regex, len(slices(request))) == (None, None, 12)


def test_voxel_size_and_positions_of_a_microscope_are_in_the_request(tmp_path: Path) -> None:
    for z, image in SMALL.items():
        values = {"IMAGE_PIXEL_SIZE": "5.0 nm", "STAGE_AT_X": f"{z}e-5 mm", "STAGE_AT_Y": "2 mm"}
        tag = "".join(f"AP_{name}\nName = {value}\n" for name, value in values.items()).encode()
        tifffile.imwrite(tmp_path / f"{z}.tif", image, extratags=[(34118, 7, len(tag), tag, True)])
    seen = look(tmp_path)
    assert read(seen.text) == seen.request
    assert re.search(r"^resolution: null  # .*\(SmartSEM\); z assumed", seen.text, re.MULTILINE)
    assert re.search(r"^positions: null  # .*`positions: from-files`", seen.text, re.MULTILINE)
    assert len(slices(read(look(tmp_path, positions="from-files").text))) == 4


def test_values_that_may_be_clipped_are_told_beside_the_setting_that_decides(tmp_path: Path) -> None:
    for z, image in SMALL.items():
        tifffile.imwrite(tmp_path / f"{z}.tif", image / np.float32(255))
    seen = look(tmp_path)
    assert "\nvalue_window: null  # float32 from " in seen.text
    assert read(seen.text) == seen.request


def test_too_many_missing_slices_are_told_with_what_accepts_them(tmp_path: Path) -> None:
    seen = look(write_stack(tmp_path, dict.fromkeys((1, 2, 5), SMALL[FIRST])))
    assert seen.notes["max_bad"] == "2 of 5 slices are missing or unusable; 2 accepts that"
    with pytest.raises(GateStopped, match="2 of 5 slices are missing or unusable"):
        seen.checked.refuse()
    look(tmp_path, max_bad=2).checked.refuse()


# --- several stacks, and none ------------------------------------------------------------------------------


def test_two_stacks_are_offered_each_by_a_command_that_works(tmp_path: Path) -> None:
    write_stack(tmp_path, SMALL)
    write_stack(tmp_path, dict.fromkeys((5, 6), SMALL[FIRST]), "it's %d.png")
    with pytest.raises(
        UserError, match=r"2 stacks; choose one:\n  - 4 files, 3490 to 3493: .*\n  - 2 files, 5 to 6: "
    ) as told:
        look(tmp_path)
    found = [look(**settings) for settings in offered(told.value)]
    assert [seen.request.image for seen in found] == ["iso.%05d.png", "it's %d.png"]
    assert [len(slices(read(seen.text))) for seen in found] == [4, 2]
    assert found[1].remarks == ["4 images are no slices of this stack: " + ", ".join(f"iso.{z:05d}.png" for z in SMALL)]


def test_plan_leads_to_the_offers_where_names_have_no_single_numbering(tmp_path: Path) -> None:
    write_stack(tmp_path / "a b", SMALL)
    write_stack(tmp_path / "a b", SMALL, "other%d.png")
    with pytest.raises(UserError, match=f"several patterns.*; clio-argo init '{tmp_path}/a b' names what there is"):
        survey(build_request({"id": "x", "source": str(tmp_path / "a b")}))


def test_stacks_at_the_root_and_in_raw_are_offered(tmp_path: Path) -> None:
    write_stack(tmp_path, SMALL, "small%d.jpg")
    write_stack(tmp_path / "raw", SMALL)
    with pytest.raises(UserError, match="2 stacks") as told:
        look(tmp_path)
    assert [len(slices(read(look(**s).text))) for s in offered(told.value)] == [4, 4]


def test_of_several_numbers_that_vary_the_counter_is_taken(tmp_path: Path) -> None:
    write_stack(tmp_path, SMALL, "t%d.png")
    for n, file in enumerate(sorted(tmp_path.iterdir())):
        file.rename(tmp_path / f"t{n * n + 100}_s{n}.png")
    seen = look(tmp_path)
    request = read(seen.text)
    assert seen.notes["image_regex"] == CHOSEN
    assert request.image_regex == r"t[0-9]+_s(?P<z>[0-9]+)\.png"
    assert [z for z, *_ in slices(request)] == [0, 1, 2, 3]


def test_single_files_are_offered_as_such(tmp_path: Path) -> None:
    for name in ("left.tif", "right side.tif"):
        tifffile.imwrite(tmp_path / name, np.stack(list(SMALL.values())), photometric="minisblack")
    with pytest.raises(UserError, match="2 files without a number") as told:
        look(tmp_path)
    # both in the order of their names, and each of them
    assert [look(**s).request.maxz for s in offered(told.value)] == [7, 3, 3]
    (tmp_path / "left.tif").rename(tmp_path / "a1.tif")
    (tmp_path / "right side.tif").rename(tmp_path / "b1.tif")
    with pytest.raises(UserError, match="1 file: ") as told:
        look(tmp_path)
    assert [look(**s).request.maxz for s in offered(told.value)] == [3, 3]


def test_more_stacks_than_a_screen_holds_are_counted(tmp_path: Path) -> None:
    for n in range(23):
        (tmp_path / f"{'x' * (n + 1)}{n}.png").write_bytes(encoded(SMALL[FIRST]))
    with pytest.raises(UserError, match=r"23 stacks(.*\n)*  - and 3 more$"):
        look(tmp_path)


def folders(root: Path) -> None:
    write_stack(root / "b 10", SMALL)
    write_stack(root / "b 9", {FIRST: SMALL[FIRST]})
    (root / "empty").mkdir()
    (root / "notes.txt").write_text("x")


def test_folders_that_hold_images_are_named_where_there_is_no_stack(tmp_path: Path) -> None:
    folders(tmp_path)
    with pytest.raises(
        UserError, match=r"no slice.* folders below it hold images:\n  - 1 image: .*b 9'\n  - 4 images: .*b 10'$"
    ) as told:
        look(tmp_path)
    assert [len(slices(read(look(**s).text))) for s in offered(told.value)] == [1, 4]


def test_of_many_folders_the_first_ones_are_looked_into(tmp_path: Path) -> None:
    for n in range(60):
        write_stack(tmp_path / f"f{n}", {1: SMALL[FIRST], 2: SMALL[FIRST]})
    with pytest.raises(UserError, match=r"/f0\n(.*\n)*.*/f19\n  - and 30 more$"):
        look(tmp_path)


def test_folders_below_a_single_picture_are_named(tmp_path: Path) -> None:
    folders(tmp_path)
    (tmp_path / "overview.png").write_bytes(encoded(SMALL[FIRST]))
    assert [line.partition(":")[0] for line in look(tmp_path).remarks] == ["1 image", "4 images"]


def test_the_folder_of_a_file_that_is_one_of_many_is_named(tmp_path: Path) -> None:
    write_stack(tmp_path, SMALL)
    assert look(tmp_path / f"iso.{FIRST:05d}.png").remarks == [f"4 images: clio-argo init {tmp_path}"]


@pytest.mark.parametrize("kind", ["empty", "missing", "text"])
def test_what_holds_no_images_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("x")
    with pytest.raises(UserError, match=kind):
        look(tmp_path / kind)


def test_channels_of_a_picture_are_named(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(
        encoded(np.dstack([demo_slice(FIRST, 48), demo_slice(FIRST + 9, 48), SMALL[FIRST]]))
    )
    seen = look(tmp_path)
    assert seen.checked.plan.found["channels"] == "red, green, blue; their luminance is aligned"
    assert all(g.image is not None for g in seen.glimpses)


# --- buckets, names -----------------------------------------------------------------------------------------


def test_a_volume_is_looked_at_and_named_where_its_folder_is_given(tmp_path: Path) -> None:
    ngff(tmp_path / "v.zarr", np.stack([*SMALL.values()])[None, None].repeat(2, axis=1), 2)
    with pytest.raises(UserError, match=f"1 image: clio-argo init {tmp_path}/v.zarr$") as told:
        look(tmp_path)
    [settings] = offered(told.value)
    seen = look(**settings)
    assert (seen.request.channel, seen.request.minz, seen.request.maxz) == (None, 0, 3)
    assert seen.checked.plan.found["channels"] == "detector 0, detector 1; detector 0 is aligned"
    assert [g.z for g in seen.glimpses if g.image is not None] == [0, 2, 3]
    assert seen.remarks == []
    assert len(slices(read(seen.text))) == 4


def test_a_bucket_is_looked_at_and_the_folders_in_it_are_named(gcs: Bucket) -> None:
    store = Store(f"{gcs.url}/fly")
    for z, image in demo_slices(6, 96).items():
        store.write(f"raw/iso.{z:05d}.png", encoded(image))
    with pytest.raises(UserError, match=f"6 images: clio-argo init {gcs.url}/fly$"):
        look(gcs.url)
    seen = look(f"{gcs.url}/fly")
    assert read(seen.text) == seen.request
    assert (seen.request.source, len(slices(seen.request))) == (f"{gcs.url}/fly", 6)
    assert all(g.image is not None for g in seen.glimpses)


def test_of_a_bucket_headers_and_three_slices_are_read(gcs: Bucket) -> None:
    for z, image in demo_slices(8, 256).items():
        Store(gcs.url).write(f"iso.{z:05d}.png", encoded(image))
    before = len(gcs.log())
    look(gcs.url)
    reads = [r for r in gcs.log()[before:] if r.startswith("GET") and "/o/iso" in r]
    assert len(reads) == 8 + 3


letters = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\\ufffd"), max_size=8)


@given(before=letters, after=letters, folder=letters, zs=st.sets(st.integers(0, 200), min_size=1, max_size=3))
@hypothesis_settings(max_examples=hypothesis_settings().max_examples // 4)
def test_any_name_gives_a_request_that_reads_as_it_is_and_finds_the_same_slices(
    tmp_path_factory: pytest.TempPathFactory, before: str, after: str, folder: str, zs: set[int]
) -> None:
    source = tmp_path_factory.mktemp("names") / f"f{folder}f"
    files = {z: source / f"a{before}{z}{after}.png" for z in zs}
    source.mkdir()
    for file in files.values():
        file.write_bytes(encoded(SMALL[FIRST]))
    try:
        seen = look(source, id=default_id(None, str(source)), max_bad=0.99)
    except UserError as error:
        # what cannot be planned at all
        with pytest.raises(UserError, match=re.escape(str(error).splitlines()[0][:40])):
            survey(build_request({"id": "x", "source": str(source), "max_bad": 0.99}))
        return
    assert read(seen.text) == seen.request
    assert slices(read(seen.text)) == slices(Request(id="x", source=str(source), max_bad=0.99))


def test_times_of_one_slice_each_are_not_cut_to_one(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "t.tif", np.stack([*SMALL.values()]), imagej=True, metadata={"axes": "TYX"})
    with pytest.raises(UserError, match=r"4 times .* \(--set time=0\); slices that are called times are"):
        look(tmp_path / "t.tif")


def test_tiles_that_no_setting_tells_apart_want_folders_of_their_own(tmp_path: Path) -> None:
    for minute in range(4):
        for tile in "01":
            (tmp_path / f"Merlin_20-11-08_1140{minute}0_0-0-{tile}.png").write_bytes(encoded(SMALL[FIRST]))
    with pytest.raises(UserError, match=r"2 stacks; choose one:(\n  - 4 files like .*: move them into a folder .*){2}"):
        look(tmp_path)
