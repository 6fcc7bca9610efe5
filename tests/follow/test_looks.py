"""What is judged of slices as they arrive, and what a run then takes of it."""

import os
import shutil
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorstore as ts
from hypothesis import given, settings
from hypothesis import strategies as st

from clio_argo.errors import SupersededError, UserError
from clio_argo.follow.watch import AROUND
from clio_argo.steps import reduce
from clio_argo.store.documents import Store
from tests.defects import DEFECTS, UNALIGNABLE
from tests.follow.desk import Desk, settled
from tests.stacks import FIRST, NAME, contents, demo_slice, demo_slices, encoded, request, run_here, write_stack
from tests.stores import Bucket

SIZE = 128


@pytest.fixture(autouse=True)
def _at_once() -> object:
    with settled():
        yield


@pytest.mark.properties
def test_a_run_takes_what_was_measured_and_is_that_of_a_whole_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path)
    for z, image in demo_slices(10, SIZE).items():
        desk.record(z, image)
        assert [s.z for s in desk.look().arrived] == [z]
    fresh = run_here(desk.request, tmp_path / "fresh")
    monkeypatch.setattr(reduce, "measure_slice", None)  # whoever reads a slice for alignment again fails
    run_here(desk.request, desk.out)
    assert contents(desk.out) == contents(fresh)


@pytest.mark.properties
@pytest.mark.parametrize("defect", [*DEFECTS, *UNALIGNABLE])
def test_a_defect_is_named_when_it_arrives(tmp_path: Path, defect: str) -> None:
    desk, harm = Desk(tmp_path), {**DEFECTS, **UNALIGNABLE}[defect]
    wrong = FIRST + 20
    for z, image in demo_slices(20, SIZE).items():
        desk.record(z, image)
    desk.look()
    assert {z: s.text for z, s in desk.judged.items() if s.wrong} == {}
    desk.record(wrong, harm(demo_slice(wrong, SIZE)))
    [found] = desk.look().changed
    assert (found.z, bool(found.wrong)) == (wrong, True)
    assert desk.said == [found.text]
    assert f'id="z{wrong}"' in desk.page
    picture = cv2.imread(str(desk.out / f"views/follow/{wrong}.png"), cv2.IMREAD_UNCHANGED)
    # two neighbours below it and itself
    assert picture.shape[1] > 2.5 * picture.shape[0]
    for z in range(wrong + 1, wrong + 3):
        desk.record(z, demo_slice(z, SIZE))
        desk.look()
    assert [z for z, s in desk.judged.items() if s.wrong] == [wrong]


@pytest.mark.properties
def test_a_stage_that_jumps_is_noticed_at_the_first_slice_behind(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    wide = {z: demo_slice(z, 320) for z in range(FIRST, FIRST + 24)}
    for z, image in wide.items():
        at = 20 if z < FIRST + 20 else 60
        desk.record(z, image[at : at + 200, at : at + 200])
        desk.look()
        if z == FIRST + 20:
            assert "shifted by 57 px" in desk.judged[z].jump or "shifted by 56 px" in desk.judged[z].jump
    assert [z for z, s in desk.judged.items() if s.jump] == [FIRST + 20]


def test_a_file_that_is_written_slowly_is_waited_for(tmp_path: Path) -> None:
    desk = Desk(tmp_path, follow__incomplete_after="1h")
    for z, image in demo_slices(3, SIZE).items():
        desk.record(z, image)
    desk.look()
    data = encoded(demo_slice(FIRST + 3, SIZE))
    file = desk.source / (NAME % (FIRST + 3))
    for size in (0, 20, len(data) // 2, len(data) - 1):
        file.write_bytes(data[:size])
        look = desk.look()
        assert (look.arrived, [line.partition(":")[0] for line in look.waiting]) == ((), [file.name])
        assert file.name in desk.page
    file.write_bytes(data)
    [found] = desk.look().arrived
    assert (found.z, found.wrong, desk.state.waiting) == (FIRST + 3, {}, ())


def test_the_first_file_is_waited_for_and_nothing_is_written_before(tmp_path: Path) -> None:
    desk = Desk(tmp_path, follow__incomplete_after="1h")
    assert desk.look() == ((), (), (), (), False, False, False)
    data = encoded(demo_slice(FIRST, SIZE))
    (desk.source / (NAME % FIRST)).write_bytes(data[:100])
    assert desk.look().waiting
    assert not desk.out.exists()
    (desk.source / (NAME % FIRST)).write_bytes(data)
    assert [s.z for s in desk.look().arrived] == [FIRST]


def test_a_file_that_never_gets_complete_is_bad_until_it_does(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for z, image in demo_slices(3, SIZE).items():
        desk.record(z, image)
    data = encoded(demo_slice(FIRST + 3, SIZE))
    (desk.source / (NAME % (FIRST + 3))).write_bytes(data[: len(data) // 2])
    desk.look()
    assert desk.judged[FIRST + 3].verdict == "bad"
    assert "truncated" in desk.said[0] or "does not decode" in desk.said[0]
    assert desk.look().changed == ()
    (desk.source / (NAME % (FIRST + 3))).write_bytes(data)
    desk.look()
    assert (desk.judged[FIRST + 3].wrong, desk.judged[FIRST + 3].written) == ({}, 2)


def test_transfers_and_young_files_are_waited_for(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.record(FIRST, demo_slice(FIRST, SIZE))
    desk.look()
    with settled(60):
        desk.record(FIRST + 1, demo_slice(FIRST + 1, SIZE))
        (desk.source / f"{NAME % (FIRST + 2)}.part").write_bytes(b"x")
        waiting = desk.look().waiting
    assert waiting == ("iso.03491.png: just written", "iso.03492.png.part: a transfer under way")
    assert [s.z for s in desk.look().arrived] == [FIRST + 1]


@pytest.mark.properties
def test_a_number_that_is_written_again_is_judged_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for z, image in demo_slices(8, SIZE).items():
        desk.record(z, image)
    desk.look()
    again = FIRST + 3
    desk.record(again, np.zeros((SIZE, SIZE), np.uint8))
    desk.look()
    assert (desk.judged[again].verdict, desk.judged[again].written) == ("bad", 2)
    desk.record(again, demo_slice(again, SIZE))
    desk.look()
    assert (desk.judged[again].wrong, desk.judged[again].written) == ({}, 3)
    assert contents(run_here(desk.request, desk.out)) == contents(run_here(desk.request, tmp_path / "fresh"))


def test_two_files_with_one_number_are_named(tmp_path: Path) -> None:
    desk = Desk(tmp_path, image_regex=r"iso\.(\d+)b?\.png")
    for z, image in demo_slices(4, SIZE).items():
        desk.record(z, image)
    desk.look()
    shutil.copy(desk.source / (NAME % FIRST), desk.source / "iso.03490b.png")
    assert desk.look().notes == ("z 3490: iso.03490.png and iso.03490b.png have its number",)
    assert [s.z for s in desk.look().arrived] == []


def test_gaps_are_named_and_filled(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for z in (FIRST, FIRST + 1, FIRST + 3):
        desk.record(z, demo_slice(z, SIZE))
    desk.look()
    assert (desk.state.missing, f"z {FIRST + 2} missing" in desk.page) == ((FIRST + 2,), True)
    desk.record(FIRST + 2, demo_slice(FIRST + 2, SIZE))
    desk.look()
    assert desk.state.missing == ()
    # of its neighbours on either side
    assert [(f.z0, f.z1) for s in desk.judged.values() for f in s.fits if f.z1 - f.z0 == 1] == [
        (z, z + 1) for z in range(FIRST, FIRST + 3)
    ]


def test_a_folder_that_vanishes_is_waited_for(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for z, image in demo_slices(3, SIZE).items():
        desk.record(z, image)
    desk.look()
    away = desk.source.rename(tmp_path / "away")
    assert desk.look().notes == (f"{desk.source} is gone",)
    assert f"{desk.source} is gone" in desk.page
    desk.source.mkdir()
    assert desk.look().notes == ("3 files of judged slices are gone: iso.03490.png, iso.03491.png, iso.03492.png",)
    desk.source.rmdir()
    away.rename(desk.source)
    desk.record(FIRST + 3, demo_slice(FIRST + 3, SIZE))
    look = desk.look()
    assert ([s.z for s in look.arrived], look.notes) == ([FIRST + 3], ())


def test_a_clock_that_jumps_changes_nothing(tmp_path: Path) -> None:
    """Times of files, as servers and microscopes give them, may lie anywhere."""
    desk = Desk(tmp_path)
    for n, (z, image) in enumerate(demo_slices(4, SIZE).items()):
        when = time.time() + (-1) ** n * 1e7 * (n + 1)
        os.utime(desk.record(z, image), (when, when))
        assert [s.z for s in desk.look().arrived] == [z]


@pytest.mark.properties
@settings(max_examples=12)
@given(order=st.permutations(range(7)), at_once=st.integers(1, 4))
def test_in_whatever_order_slices_arrive_all_are_judged_and_a_run_is_the_same(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], at_once: int
) -> None:
    desk = Desk(tmp_path_factory.mktemp("desk"))
    for begin in range(0, 7, at_once):
        for n in order[begin : begin + at_once]:
            desk.record(FIRST + n, demo_slice(FIRST + n, SIZE))
        desk.look()
    judged = desk.judged
    assert sorted(judged) == list(range(FIRST, FIRST + 7))
    assert {(f.z0, f.z1) for s in judged.values() for f in s.fits} >= {(z, z + 1) for z in range(FIRST, FIRST + 6)}
    assert {z: s.text for z, s in judged.items() if s.wrong} == {}
    results = run_here(desk.request, desk.out, stop_before="render")
    assert Store(str(results)).need("transforms.json") == Store(
        str(run_here(desk.request, desk.out.parent / "fresh", stop_before="render"))
    ).need("transforms.json")


class _Killed(BaseException):
    pass


@pytest.mark.properties
@pytest.mark.parametrize("moment", range(24))
def test_whoever_is_killed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    """At each write: afterwards all is judged as if nobody had been killed, and told once more at most."""
    desk, left = Desk(tmp_path), moment
    slices = {**demo_slices(7, SIZE), FIRST + 7: np.zeros((SIZE, SIZE), np.uint8)}
    usual = Store.write

    def write(self: Store, name: str, data: bytes) -> object:
        nonlocal left
        left -= 1
        if left == -1:
            raise _Killed
        return usual(self, name, data)

    monkeypatch.setattr(Store, "write", write)
    for z, image in slices.items():
        desk.record(z, image)
        try:
            desk.look()
        except _Killed:
            desk.sit_down()
            desk.look()
    assert sorted(desk.judged) == sorted(slices)
    assert [z for z, s in desk.judged.items() if s.wrong] == [FIRST + 7]
    assert len(desk.page) > 1000


def test_only_a_new_request_or_one_that_is_the_same_follows_into_a_run(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.record(FIRST, demo_slice(FIRST, SIZE))
    desk.look()
    other = Desk(tmp_path, contrast__clip_limit=0)
    with pytest.raises(UserError, match=r"holds another run.*"):
        other.look()
    Desk(tmp_path, contrast__clip_limit=0, update=True).look()
    desk.record(FIRST + 1, demo_slice(FIRST + 1, SIZE))
    with pytest.raises(SupersededError):
        desk.look()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("x")
    # that a folder holds something is no file that is still being written
    third = Desk(tmp_path, follow__incomplete_after="1h")
    third.out = tmp_path / "full"
    third.sit_down()
    with pytest.raises(UserError, match="is not empty"):
        third.look()


def test_values_that_depend_on_the_whole_stack_are_refused(tmp_path: Path) -> None:
    desk = Desk(tmp_path, image="s%03d.tif")
    write_stack(desk.source, {z: demo_slice(z, 64).astype(np.float32) for z in range(FIRST, FIRST + 3)}, "s%03d.tif")
    with pytest.raises(UserError, match="set value_window"):
        desk.look()
    fixed = Desk(tmp_path, image="s%03d.tif", value_window=(0, 255))
    assert len(fixed.look().arrived) == 3


@pytest.mark.parametrize("wrong", ["no folder", "file", "volume"])
def test_what_cannot_be_followed_is_refused(tmp_path: Path, wrong: str) -> None:
    places = {"no folder": tmp_path / "none", "file": tmp_path / "one.tif", "volume": tmp_path / "volume"}
    places["file"].write_bytes(encoded(demo_slice(FIRST, 64), ".tif"))
    store = {"driver": "file", "path": str(places["volume"])}
    spec = {"driver": "zarr3", "kvstore": store, "schema": {"domain": {"shape": [2, 8, 8]}, "dtype": "uint8"}}
    ts.open(spec, create=True).result().write(7).result()
    desk = Desk(tmp_path / "desk")
    desk.request = request(places[wrong])
    with pytest.raises(UserError):
        desk.sit_down()


@pytest.mark.properties
def test_slices_of_a_bucket_are_followed(bucket: Bucket, tmp_path: Path) -> None:
    source, out = f"{bucket.url}/slices", f"{bucket.url}/run"
    desk = Desk(tmp_path)
    desk.request = desk.request.model_copy(update={"source": source})
    desk.following = type(desk.following)(out, desk.request, desk.following._watch._pipeline, desk.said.append)
    with settled(60):  # objects are whole when they appear
        for z, image in demo_slices(4, SIZE).items():
            Store(source).write(NAME % z, encoded(image))
            assert [s.z for s in desk.look().arrived] == [z]
    assert b"4 slices judged" in Store(out).need("follow.html")
    assert contents(run_here(desk.request, out)) == contents(run_here(desk.request, f"{bucket.url}/fresh"))


@pytest.mark.properties
def test_new_slices_are_compared_with_a_few_of_those_before(tmp_path: Path) -> None:
    """A look reads the headers of new files only: what a stack has is known by some."""
    desk = Desk(tmp_path)
    for z in range(AROUND + 10):
        desk.record(z, demo_slice(FIRST + z % 50, 64))
    desk.look()
    desk.record(AROUND + 10, demo_slice(FIRST, 96))
    [odd] = desk.look().arrived
    assert "other size" in odd.text


def test_who_had_ended_begins_anew(tmp_path: Path) -> None:
    desk = Desk(tmp_path, follow__until_idle="0.1s")
    desk.record(FIRST, demo_slice(FIRST, SIZE))
    assert len(desk.following.until_idle()) == 1
    assert desk.state.ended
    desk.record(FIRST + 1, demo_slice(FIRST + 1, SIZE))
    desk.sit_down()
    assert [s.z for s in desk.following.until_idle()] == [FIRST, FIRST + 1]


def test_a_stray_file_is_named_and_slices_are_judged_on(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for z, image in demo_slices(3, SIZE).items():
        desk.record(z, image)
    desk.look()
    (desk.source / "snapshot_001.png").write_bytes(encoded(demo_slice(FIRST, SIZE)))
    desk.record(FIRST + 3, demo_slice(FIRST + 3, SIZE))
    for z in (FIRST + 3, FIRST + 4):
        look = desk.look()
        assert ([s.z for s in look.arrived], look.blind) == ([z], False)
        assert look.notes[0].startswith("snapshot_001.png: not named as the slices")
        desk.record(z + 1, demo_slice(z + 1, SIZE))
    (desk.source / "snapshot_001.png").unlink()
    assert desk.look().notes == ()


def test_names_that_no_run_can_number_end_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for n, z in enumerate(range(FIRST, FIRST + 2)):
        (desk.source / f"s{n:03d}_20261130_1450{n * 7:02d}.png").write_bytes(encoded(demo_slice(z, SIZE)))
        if n:
            with pytest.raises(UserError, match="image_regex"):
                desk.look()
        else:
            desk.look()


def test_numbers_in_steps_are_those_of_a_run(tmp_path: Path) -> None:
    """Of one file nobody knows the step; of those by name a late one moves those behind it."""
    desk = Desk(tmp_path, image="iso.%05d.png")
    for n, z in enumerate(range(FIRST, FIRST + 5)):
        desk.record(10 * n, demo_slice(z, SIZE))
        desk.look()
    assert list(desk.judged) == [0, 1, 2, 3, 4]
    assert {z: s.text for z, s in desk.judged.items() if s.wrong} == {}
    named = Desk(tmp_path / "named", order="name")
    for n in (0, 1, 3, 2):
        (named.source / f"x{n}.png").write_bytes(encoded(demo_slice(FIRST + n, SIZE)))
        named.look()
    assert [min(s.files) for s in named.judged.values()] == ["x0.png", "x1.png", "x2.png", "x3.png"]


@pytest.mark.properties
def test_channels_are_waited_for(tmp_path: Path) -> None:
    desk = Desk(tmp_path, image="s%03d_{channel}.png", channels=("a", "b"), follow__incomplete_after="3s")
    for z in range(3):
        for name in ("a", "b"):
            (desk.source / f"s{z:03d}_{name}.png").write_bytes(encoded(demo_slice(FIRST + z, SIZE)))
            look = desk.look()
        assert ([s.z for s in look.arrived], look.arrived[0].wrong) == ([z], {})
    (desk.source / "s003_a.png").write_bytes(encoded(demo_slice(FIRST + 3, SIZE)))
    assert desk.look().waiting
    time.sleep(3.2)
    [lost] = desk.look().arrived
    assert "channel b" in lost.text


def test_a_slice_of_another_size_is_told_at_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path, follow__incomplete_after="1h")
    for z, image in demo_slices(4, SIZE).items():
        desk.record(z, image)
    desk.look()
    desk.record(FIRST + 2, demo_slice(FIRST + 2, 96))
    [odd] = desk.look().arrived
    assert "other size" in odd.text


def test_a_damaged_log_is_written_anew(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for z, image in demo_slices(4, SIZE).items():
        desk.record(z, image)
    desk.look()
    [log] = (desk.out / "process" / "follow").iterdir()
    log.write_bytes(log.read_bytes()[:100])
    desk.sit_down()
    assert len(desk.look().arrived) == 4
    assert sorted(desk.judged) == list(range(FIRST, FIRST + 4))
