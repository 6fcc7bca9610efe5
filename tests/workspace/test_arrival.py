"""A source that still arrives: `plan` warns of it, and its changes until the end are named wherever it ends."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from clio_argo.model.run import SourceChanges
from clio_argo.notify import outcome
from clio_argo.pipeline import PIPELINE
from clio_argo.runner import run_step
from clio_argo.store.documents import Store
from clio_argo.store.slices import Entry
from clio_argo.store.transfers import is_transfer
from clio_argo.workspace.arrival import arrival_warning
from clio_argo.workspace.run import Run
from clio_argo.workspace.survey import survey
from tests.stacks import FIRST, cli, completion, demo_slice, demo_slices, encoded, plain, run_here, write_stack
from tests.stores import Bucket

TRANSFERS = (
    "iso.03494.png.part", "iso.03494.png.filepart", ".iso.03494.png.aB3dE9", "iso.03494.png.tmp",
    "iso.03494.png.crdownload", "iso.03494.PNG.partial", "raw/.iso.03494.tif.x0Yz12", "iso.03494.png_.gstmp",
    "iso.03494.png.6eF5b5da", ".in.iso.03494.png",
)  # fmt: skip
NO_TRANSFERS = ("iso.03494.png", ".DS_Store", "notes.txt", "part.png", "iso.tmp.png", "setup.backup", ".git.ignore")
NEXT = FIRST + 4
CHANGES: dict[str, tuple[Callable[[Path], object], SourceChanges]] = {
    "nothing": (lambda _: None, SourceChanges()),
    "more": (
        lambda f: [(f / f"iso.{NEXT + i:05d}.png").write_bytes(encoded(demo_slice(NEXT, 64))) for i in range(2)],
        SourceChanges(new=(f"iso.{NEXT:05d}.png", f"iso.{NEXT + 1:05d}.png")),
    ),
    "another pattern": (
        lambda f: (f / "late 7.png").write_bytes(b"x"), SourceChanges(new=("late 7.png",)),
    ),
    "less": (lambda f: (f / f"iso.{FIRST:05d}.png").unlink(), SourceChanges(gone=(f"iso.{FIRST:05d}.png",))),
    "other": (
        lambda f: (f / f"iso.{FIRST:05d}.png").write_bytes(encoded(demo_slice(NEXT, 64))),
        SourceChanges(changed=(f"iso.{FIRST:05d}.png",)),
    ),
    "a bad one that became whole": (
        lambda f: (f / f"iso.{FIRST + 1:05d}.png").write_bytes(encoded(demo_slice(NEXT, 64))),
        SourceChanges(changed=(f"iso.{FIRST + 1:05d}.png",)),
    ),
    "under way": (
        lambda f: (f / f"iso.{NEXT:05d}.png.part").write_bytes(b"x"),
        SourceChanges(transfers=(f"iso.{NEXT:05d}.png.part",)),
    ),
}  # fmt: skip


def test_names_of_transfers() -> None:
    assert [n for n in TRANSFERS if not is_transfer(n)] == []
    assert [n for n in NO_TRANSFERS if is_transfer(n)] == []


@pytest.mark.properties
@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_until_the_end_is_told(tmp_path: Path, change: str) -> None:
    source, out = write_stack(tmp_path / "source", demo_slices(4, 64)), tmp_path / "out"
    if "bad" in change:
        (source / f"iso.{FIRST + 1:05d}.png").write_bytes(b"")
    config = plain(source, max_bad=1)
    run_here(config, out, stop_before="publish")
    harm, expected = CHANGES[change]
    harm(source)
    run_step(PIPELINE["publish"], Store(str(out)).url, 0)
    done, line = completion(out), expected.line()
    assert done.source_changes == expected
    others = done.flagged or done.suspect or (done.quality and done.quality.outliers)
    assert done.status == ("complete_with_flags" if line or others else "complete")
    assert line[1:] in (out / "report.html").read_text()
    assert (line in outcome(Run(Store(str(out)), PIPELINE["publish"], PIPELINE), config, {}).messages) == bool(line)


def test_a_source_that_is_gone_ends_no_run(tmp_path: Path) -> None:
    source, out = write_stack(tmp_path / "source", demo_slices(4, 64)), tmp_path / "out"
    run_here(plain(source), out, stop_before="publish")
    source.rename(tmp_path / "away")
    run_step(PIPELINE["publish"], Store(str(out)).url, 0)
    assert len(completion(out).source_changes.gone) == 4


@pytest.mark.properties
def test_the_last_line_names_what_changed(tmp_path: Path) -> None:
    source = write_stack(tmp_path / "source", demo_slices(4, 64))
    (source / "iso.1.png.part").write_bytes(b"x")
    ended = cli(
        "run",
        "--source",
        source,
        "--resolution",
        "10",
        "--set",
        "alignment.skip=true",
        "--out",
        tmp_path / "out",
        "--strict",
    )
    assert ended.returncode == 1
    assert "1 in transfer (iso.1.png.part)" in ended.stdout.splitlines()[-1]
    assert "1 file looks like transfers (iso.1.png.part)" in ended.stderr


def test_plan_warns_in_one_line(tmp_path: Path) -> None:
    source = write_stack(tmp_path / "source", demo_slices(2, 64))
    for name in (".iso.03494.png.aB3dE9", "iso.03495.png.part"):
        (source / name).write_bytes(b"x")
    shown = [
        line
        for line in cli("plan", "--source", source, "--resolution", "10").stdout.splitlines()
        if line.startswith("warning: ")
    ]
    assert len(shown) == 1
    assert "2 files look like transfers (.iso.03494.png.aB3dE9, iso.03495.png.part)" in shown[0]


@pytest.mark.parametrize(
    ("arrivals_s", "after_s", "due"),
    [
        # made or copied at once, by a person who then types a command
        ([0.0] * 60, 3, False), ([k / 100 for k in range(60)], 3, False), ([0.0], 3, False),
        # a copy under way, of small files, and of large ones
        ([k / 100 for k in range(60)], 0.01, True), ([10.0 * k for k in range(60)], 12, True),
        # a microscope, a slice a minute; and one that has ended
        ([60.0 * k for k in range(60)], 59, True), ([60.0 * k for k in range(60)], 121, False),
        # copied long ago, and the rest of it today
        ([0.0] * 30 + [1e6 + k / 10 for k in range(30)], 5, False),
        # the clock of the store is ahead; or wrong by far, or unknown
        ([float(k) for k in range(9)], -5, True), ([float(k) for k in range(9)], -500, False), ([0.0], 1e9, False),
    ],
)  # fmt: skip
def test_a_slice_is_due_by_the_pace_of_those_before(arrivals_s: list[float], after_s: float, due: bool) -> None:
    entries = [Entry(name=f"{z}.png", size_bytes=1, stamp="", arrived_s=s) for z, s in enumerate(arrivals_s)]
    listed_s = arrivals_s[-1] + after_s
    warning = arrival_warning(entries[::-1], [e.name for e in entries], listed_s)
    said = f"the newest slice arrived {max(0, after_s):.0f} s ago ({entries[-1].name})"
    assert warning == (f"the source may still be arriving: {said}" if due else "")
    assert arrival_warning(entries, [], listed_s) == ""


@pytest.mark.properties
def test_buckets_tell_when_slices_arrived(bucket: Bucket, tmp_path: Path) -> None:
    source, out = Store(f"{bucket.url}/source"), tmp_path / "out"
    for z, image in demo_slices(3, 64).items():
        source.write(f"iso.{z:05d}.png", encoded(image))
    config = plain(source.url)
    assert [abs(e.arrived_s - time.time()) < 60 for e in survey(config)[2]] == [True] * 3
    run_here(config, out, stop_before="publish")
    source.write("iso.03499.png", b"x")
    run_step(PIPELINE["publish"], Store(str(out)).url, 0)
    assert completion(out).source_changes == SourceChanges(new=("iso.03499.png",))
