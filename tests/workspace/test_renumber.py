"""`renumber`: what becomes what, what is refused, and what holds if it is stopped."""

import csv
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from clio_argo.cli.app import app
from clio_argo.errors import ClioError, StoreError, UserError
from clio_argo.model.plan import SliceFile
from clio_argo.workspace.renumber import Renumbering, renumbering, write_folder
from clio_argo.workspace.survey import survey
from tests.stacks import CLI, encoded, names, request
from tests.store.images.samples import texture, tiff
from tests.stores import Bucket

TIMES = ["scan_9h59.png", "scan_10h01.png", "scan_10h30.png"]
PICTURES = [encoded(texture(height=20, width=24, seed=s)) for s in range(4)]


def write(folder: Path, files: Sequence[str]) -> Path:
    """A picture for each name."""
    for i, name in enumerate(files):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(PICTURES[i % len(PICTURES)])
    folder.mkdir(exist_ok=True)
    return folder


def planned(source: Path, order: str = "number", **chosen: Any) -> Renumbering:
    """What becomes of the files of a folder."""
    gaps, pattern, start = chosen.pop("gaps", None), chosen.pop("pattern", None), chosen.pop("start", 0)
    by = "number" if order == "number" else "name"
    return renumbering(request(source, order=by, **chosen), order == "time", pattern, start, gaps)


def becomes(source: Path, order: str = "number", **chosen: Any) -> dict[str, str]:
    return {f.name: f.path.relative_to(source).as_posix() for f in planned(source, order, **chosen).files}


def told(*arguments: object) -> tuple[int, str]:
    """Exit code and all that the command prints."""
    result = CliRunner().invoke(app, ["renumber", *map(str, arguments)])
    if isinstance(result.exception, ClioError):
        return result.exception.exit_code, result.stdout + result.stderr + str(result.exception)
    return result.exit_code, result.stdout + result.stderr


def held(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# --- what becomes what -----------------------------------------------------------------------------------


def test_files_get_numbers_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    source = write(tmp_path, ["s7.png", "s8.png", "s9.png"])
    for name, seconds in (("s7.png", 30), ("s8.png", 10), ("s9.png", 20)):
        os.utime(source / name, (seconds, seconds))
    assert becomes(source) == {"img.00000.png": "s7.png", "img.00001.png": "s8.png", "img.00002.png": "s9.png"}
    assert list(becomes(source, "time", start=-1).items()) == [
        ("img.-0001.png", "s8.png"), ("img.00000.png", "s9.png"), ("img.00001.png", "s7.png"),
    ]  # fmt: skip
    assert list(becomes(source, "name", start=5, pattern="a%%b_%d.PNG")) == ["a%b_5.PNG", "a%b_6.PNG", "a%b_7.PNG"]


def test_channels_of_a_slice_get_its_number_together(tmp_path: Path) -> None:
    write(tmp_path, ["s10_EM.png", "s20_EM.png", "s30_EM.png", "s10_GFP.png", "s30_GFP.png", "other.png"])
    chosen: dict[str, Any] = {"image": "s%d_{channel}.png", "channels": ["EM", "GFP"]}
    assert becomes(tmp_path, **chosen) == {
        "img.00000_EM.png": "s10_EM.png", "img.00000_GFP.png": "s10_GFP.png", "img.00001_EM.png": "s20_EM.png",
        "img.00002_EM.png": "s30_EM.png", "img.00002_GFP.png": "s30_GFP.png",
    }  # fmt: skip
    assert list(becomes(tmp_path, pattern="{channel}%d.png", **chosen))[:2] == ["EM0.png", "GFP0.png"]
    with pytest.raises(UserError, match=r"need {channel} in it"):
        becomes(tmp_path, pattern="%d.png", **chosen)
    code, text = told(tmp_path, tmp_path.with_name("out"), "--image", "s%d_{channel}.png", "--channels", "EM,GFP")
    assert (code, "5 copies in" in text) == (0, True)


@pytest.mark.parametrize(
    "ordered", [TIMES, ["raw/a.png", "raw/b.png"], ["day2/1.png", "day2/2.png", "day10/1.png"], ["only.png"]]
)
def test_names_are_ordered_as_a_run_orders_them(tmp_path: Path, ordered: list[str]) -> None:
    write(tmp_path, ordered[::-1])
    assert list(becomes(tmp_path, "name").values()) == ordered


def test_the_suffix_follows_the_format_whatever_the_name_says(tmp_path: Path) -> None:
    for i in range(2):
        (tmp_path / f"s{i}.png").write_bytes(tiff(texture(height=20, width=24)))
    assert list(becomes(tmp_path)) == ["img.00000.tif", "img.00001.tif"]
    assert list(becomes(tmp_path, pattern="s%d.tiff")) == ["s0.tiff", "s1.tiff"]
    with pytest.raises(
        UserError, match=r"2 files are of another format, s0.png \(.tif\), s1.png \(.tif\); files are cop"
    ):
        becomes(tmp_path, pattern="s%d.png")


def test_gaps_are_kept_or_closed_if_told(tmp_path: Path) -> None:
    write(tmp_path, ["s3.png", "s4.png", "s7.png"])
    assert list(becomes(tmp_path, gaps="keep")) == ["img.00000.png", "img.00001.png", "img.00004.png"]
    assert list(becomes(tmp_path, gaps="close")) == ["img.00000.png", "img.00001.png", "img.00002.png"]
    with pytest.raises(UserError, match=r"missing: 2 between s4.png and s7.png; --gaps keep .* --gaps close"):
        becomes(tmp_path)


def test_a_damaged_file_keeps_its_place(tmp_path: Path) -> None:
    write(tmp_path, TIMES)
    (tmp_path / TIMES[1]).write_bytes(b"")
    assert list(becomes(tmp_path, "name").values()) == TIMES


SERIES = st.sampled_from(["s%d.png", "sec_%d_x.png", "s %d.PNG", "d%d/s.png", "%d/s1.png"])
LETTERS = st.lists(st.text("abcXYZ_- ", min_size=1, max_size=4), min_size=1, max_size=6, unique_by=str.casefold)
NUMBERS = st.lists(st.integers(0, 200), min_size=1, max_size=6, unique=True)


@pytest.mark.properties
@settings(max_examples=150)
@given(st.builds(lambda s, ns: [s % n for n in ns], SERIES, NUMBERS) | LETTERS.map(lambda ts: [f"{t}.png" for t in ts]))
def test_order_by_name_is_renumbering_and_order_by_number(
    tmp_path_factory: pytest.TempPathFactory, files: list[str]
) -> None:
    root = tmp_path_factory.mktemp("law")
    source = write(root / "source", files)
    by_name, _, _ = all_of(source, order="name", minz=3)
    what = planned(source, "name", start=3)
    for link in (True, False):
        out = root / f"out{link}"
        write_folder(what, out, link)
        by_number, _, _ = all_of(out, image="img.%05d.png", follow_links=link)
        assert [placed(s, link) for s in by_number] == [placed(s, link) for s in by_name]
        assert [(out / s.name).read_bytes() for s in by_number] == [(source / s.name).read_bytes() for s in by_name]


def all_of(source: Path, **chosen: Any) -> tuple[list[SliceFile], int, int]:
    plan, units, _ = survey(request(source, **chosen))
    assert plan.problems == ()
    return [s for unit in units for s in unit.slices], plan.minz, plan.maxz


def placed(found: SliceFile, is_link: bool) -> SliceFile:
    """All that is known of a slice but the name of its file, and of a copy its stamp."""
    return found.model_copy(update={"name": "", **({} if is_link else {"stamp": ""})})


# --- what is made ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("link", [False, True])
def test_the_folder_holds_files_and_their_table(tmp_path: Path, link: bool) -> None:
    source, out = write(tmp_path / "source", TIMES), tmp_path / "new" / "out"
    before = held(source)
    code, text = told(source, out, "--order", "name", *(["--link"] if link else []))
    assert code == 0
    assert f"3 {'links' if link else 'copies'} in {out}; {out / 'renumber.csv'} lists them\n" in text
    assert "file           was\nimg.00000.png  scan_9h59.png\n" in text
    assert text.splitlines()[-1].endswith(f"init {out}" + (" --set follow_links=true" if link else ""))
    assert names(out.iterdir()) == ["img.00000.png", "img.00001.png", "img.00002.png", "renumber.csv"]
    assert [(out / f"img.{i:05d}.png").is_symlink() for i in range(3)] == [link] * 3
    assert [(out / f"img.{i:05d}.png").read_bytes() for i in range(3)] == [before[n] for n in TIMES]
    with (out / "renumber.csv").open() as table:
        rows = list(csv.DictReader(table))
    assert [(r["z"], r["file"], r["was"]) for r in rows] == [
        (str(i), f"img.{i:05d}.png", str(source / name)) for i, name in enumerate(TIMES)
    ]
    assert held(source) == before
    assert names(out.parent.iterdir()) == ["out"]
    assert "of which 3 were there" in told(source, out, "--order", "name", *(["--link"] if link else []))[1]


def test_images_that_are_left_out_are_named(tmp_path: Path) -> None:
    source = write(tmp_path / "source", ["s1.png", "s2.png", "preview.png"])
    assert "left out: preview.png" in told(source, tmp_path / "out")[1]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    source, out = write(tmp_path / "source", TIMES), tmp_path / "out"
    out.mkdir()
    assert told(source, out, "--order", "name")[0] == 0
    assert len(names(out.iterdir())) == 4


# --- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "order", "why"),
    [
        (["img1.png", "img01.png"], "name", "img01.png and img1.png apart"),
        (["IMG1.png", "img1.png"], "name", "IMG1.png and img1.png apart"),
        (["img1.png", "img01.png"], "number", "img01.png and img1.png"),
        (["EM_1.png", "EM_2.png", "GFP_1.png"], "name", "EM_1.png, GFP_1.png"),
        (["EM_1.png", "EM_2.png", "GFP_1.png"], "number", "several patterns"),
        (["a.png", "b.png"], "number", "order: name"),
        ([], "name", "found no slice"),
        (["1.png", "2.png", "3.png.part"], "number", "3.png.part: looks like a transfer under way"),
    ],
)
def test_files_that_cannot_be_numbered_are_refused_with_their_names(
    tmp_path: Path, files: list[str], order: str, why: str
) -> None:
    source = write(tmp_path / "source", files)
    code, text = told(source, tmp_path / "out", "--order", order)
    assert code == 2
    assert why in text
    assert not (tmp_path / "out").exists()


def test_files_of_the_same_time_are_refused(tmp_path: Path) -> None:
    write(tmp_path, TIMES)
    for name in TIMES[:2]:
        os.utime(tmp_path / name, (1, 1))
    with pytest.raises(UserError, match=f"(?s)tells apart.*{TIMES[1]} and {TIMES[0]}|{TIMES[0]} and {TIMES[1]}"):
        becomes(tmp_path, "time")


@pytest.mark.parametrize("pattern", ["img.png", "%d_%d.png", "../%d.png", ".%d.png", "%s.png", "%0999d.png"])
def test_patterns_that_print_no_names_are_refused(tmp_path: Path, pattern: str) -> None:
    write(tmp_path, TIMES)
    with pytest.raises(UserError):
        becomes(tmp_path, "name", pattern=pattern)


def test_links_that_leave_the_folder_are_refused_unless_told(tmp_path: Path) -> None:
    source = write(tmp_path / "source", ["s1.png"])
    (tmp_path / "2.png").write_bytes(PICTURES[1])
    (source / "s2.png").symlink_to(tmp_path / "2.png")
    assert "s2.png: a link that leaves the folder" in told(source, tmp_path / "out")[1]
    assert told(source, tmp_path / "out", "--follow-links")[0] == 0
    assert (tmp_path / "out" / "img.00001.png").read_bytes() == PICTURES[1]


def test_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    write(tmp_path, ["s1.png"])
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/s2\xff.png")).write_bytes(PICTURES[0])
    with pytest.raises(UserError, match="its name is not UTF-8; rename it"):
        becomes(tmp_path, "name")


@pytest.mark.parametrize("place", [".", "out", "raw/out", ".."])
def test_a_folder_in_that_of_the_files_is_refused(tmp_path: Path, place: str) -> None:
    source = write(tmp_path / "source", TIMES)
    code, text = told(source, source / place, "--order", "name")
    assert (code, "name a folder elsewhere" in text) == (2, True)
    assert names(source.iterdir()) == sorted(TIMES)


@pytest.mark.parametrize("content", ["notes.txt", "img.00000.png", "renumber.csv"])
def test_a_folder_that_holds_anything_is_refused_and_stays(tmp_path: Path, content: str) -> None:
    source, out = write(tmp_path / "source", TIMES), tmp_path / "out"
    out.mkdir()
    (out / content).write_text("mine")
    code, text = told(source, out, "--order", "name")
    assert (code, "is not an empty folder" in text) == (2, True)
    assert held(out) == {content: b"mine"}
    assert names(tmp_path.iterdir()) == ["out", "source"]


@pytest.mark.parametrize("source", ["nowhere", "source/scan_9h59.png"])
def test_what_is_no_folder_of_this_machine_is_refused(tmp_path: Path, source: str) -> None:
    write(tmp_path / "source", TIMES)
    assert told(tmp_path / source, tmp_path / "out", "--order", "name")[0] == 2


def test_a_bucket_is_refused(tmp_path: Path, gcs: Bucket) -> None:
    code, text = told(gcs.url, tmp_path / "out")
    assert (code, "files in a folder of this machine are renumbered" in text) == (2, True)


# --- what holds if it is stopped -------------------------------------------------------------------------


def test_a_copy_that_ends_early_is_made_again_and_the_others_stay(tmp_path: Path) -> None:
    source, out = write(tmp_path / "source", TIMES), tmp_path / "out"
    what, part = planned(source, "name"), tmp_path / "out.part"

    def two_and_a_half(files: Sequence[Any]) -> Iterator[Any]:
        yield from files[:2]
        (part / files[2].name).write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_folder(what, out, link=False, shown=two_and_a_half)
    assert not out.exists()
    first = (part / "img.00000.png").stat().st_ino
    assert write_folder(what, out, link=False) == 1
    assert held(out).keys() == {"img.00000.png", "img.00001.png", "img.00002.png", "renumber.csv"}
    assert (out / "img.00002.png").read_bytes() == (source / TIMES[2]).read_bytes()
    assert (out / "img.00000.png").stat().st_ino == first
    assert not part.exists()


def test_a_beginning_of_something_else_is_refused_and_stays(tmp_path: Path) -> None:
    source, out = write(tmp_path / "source", TIMES), tmp_path / "out"
    part = write(tmp_path / "out.part", ["img.00000.png"])
    with pytest.raises(UserError, match=r"out.part: begun with other files"):
        write_folder(planned(source, "name"), out, link=False)
    assert names(part.iterdir()) == ["img.00000.png"]
    (part / "img.00000.png").unlink()
    with pytest.raises(KeyboardInterrupt):
        write_folder(planned(source, "name"), out, link=False, shown=stopped)
    with pytest.raises(UserError, match=r"out.part: begun with other files"):
        write_folder(planned(source, "name", start=1), out, link=False)
    (part / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds other files, notes.txt"):
        write_folder(planned(source, "name"), out, link=False)


def stopped(files: Sequence[Any]) -> Iterator[Any]:
    yield from files[:1]
    raise KeyboardInterrupt


def test_a_file_that_changes_while_it_is_copied_is_named(tmp_path: Path) -> None:
    source, out = write(tmp_path / "source", TIMES), tmp_path / "out"
    what = planned(source, "name")
    (source / TIMES[1]).write_bytes(PICTURES[1] + b"more")
    with pytest.raises(UserError, match=f"{TIMES[1]}: changed while it was copied"):
        write_folder(what, out, link=False)
    assert not out.exists()


def test_two_processes_do_not_make_the_same_folder(tmp_path: Path) -> None:
    source, out = write(tmp_path / "source", TIMES), tmp_path / "out"
    what = planned(source, "name")

    def again(files: Sequence[Any]) -> Sequence[Any]:
        with pytest.raises(UserError, match="another process is at it"):
            write_folder(what, out, link=False)
        return files

    assert write_folder(what, out, link=False, shown=again) == 3


def test_a_full_disk_is_told_before_and_while_files_are_copied(tmp_path: Path, small_disk: Path) -> None:
    source = write(tmp_path / "source", TIMES)
    (source / TIMES[2]).write_bytes(PICTURES[2] + bytes(100_000))
    what = planned(source, "name")
    with pytest.raises(UserError, match="is not an empty folder that can be replaced"):
        write_folder(what, small_disk, link=False)
    with pytest.raises(UserError, match=r"0.00 GB are needed, 0.00 are free; .* --link needs none"):
        write_folder(what, small_disk / "out", link=False)
    lying = replace(what, files=[replace(f, size_bytes=1) for f in what.files])
    with pytest.raises(StoreError, match=r"img.00002.png: no space is left: free some"):
        write_folder(replace(lying, files=lying.files[::-1]), small_disk / "other", link=False)
    assert not (small_disk / "out").exists()
    shutil.rmtree(small_disk / "other.part")
    assert write_folder(what, small_disk / "links", link=True) == 3


def count(folder: Path) -> int:
    try:
        return len(list(folder.iterdir()))
    except FileNotFoundError:  # not there yet, or called `out` by now
        return 0


@pytest.mark.properties
def test_killed_at_any_moment_the_same_command_goes_on(tmp_path: Path) -> None:
    source = write(tmp_path / "source", [f"s{i}_x.png" for i in range(75)])
    out, arguments = tmp_path / "out", [CLI, "renumber", str(source), str(tmp_path / "out"), "--order", "name"]
    kills = 0
    while not out.exists() and kills < 20:
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            begun = time.monotonic()
            while process.poll() is None and count(tmp_path / "out.part") < 25 * (kills + 1):
                assert time.monotonic() - begun < 60
            process.send_signal(signal.SIGKILL)
        kills += 1
    assert kills > 2
    assert held(out).items() >= {f"img.{i:05d}.png": (source / f"s{i}_x.png").read_bytes() for i in range(75)}.items()
    assert names(tmp_path.iterdir()) == ["out", "source"]
