"""Names of files and folders that shells, stores, templates or pages could take for something else."""

import os
from pathlib import Path

import numpy as np
import pytest

from clio_argo.cli.maintenance import _verification
from clio_argo.errors import UserError
from clio_argo.model.run import Fault, Verification
from clio_argo.steps.plan import plan
from clio_argo.store import slices
from clio_argo.store.documents import Store
from clio_argo.store.slices import _local_entry
from tests.stacks import (
    FIRST,
    demo_slice,
    demo_slices,
    encoded,
    lossless,
    plain,
    request,
    run_here,
    transforms,
    write_stack,
)

HOSTILE = [
    "two words ",
    'it\'s "quoted" ',
    "größe-🪰-",
    "--out",
    "line\nbreak",
    "[bold]",
    "100%d#?&",
    "`touch y`",
    "<script>",
]


# clears the screen, and looks like another line
ESCAPE = "\x1b[2J\nwhole: 0 objects"
SPELLED = r"\x1b[2J\nwhole: 0 objects"


def test_names_of_foreign_objects_are_spelled_out_in_messages(tmp_path: Path) -> None:
    source = write_stack(tmp_path / "source", demo_slices(2, 64))
    Store(str(tmp_path / "out")).write(ESCAPE, b"")
    with pytest.raises(UserError) as caught:
        run_here(plain(source), tmp_path / "out")
    assert f"not empty ({SPELLED} ...)" in str(caught.value)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / f"{ESCAPE}.png").touch()
    with pytest.raises(UserError) as caught:
        plan(plain(tmp_path / "other", image="iso.%d.png"))
    assert f"there is {SPELLED}.png; " in str(caught.value)


def test_faults_are_spelled_out_and_a_long_list_is_cut() -> None:
    faults = tuple(Fault(name=f"{ESCAPE}{i}", what="does not belong to this volume") for i in range(300))
    *lines, more, _ = _verification(Verification(mode="quick", objects=0, bytes=0, faults=faults))
    assert len(lines) == 20
    assert all(f"{SPELLED}{i}: does" in line for i, line in enumerate(lines))
    assert more == "and 280 more; -o json has all"


def test_a_million_foreign_files_cost_no_look_at_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_stack(tmp_path / "source", demo_slices(2, 64))
    foreign, looked = 500, list[str]()
    for i in range(foreign):
        (source / f"{i}.txt").touch()
        (tmp_path / "out" / f"{i}").parent.mkdir(exist_ok=True)
        (tmp_path / "out" / f"{i}").touch()
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda path, **more: looked.append(str(path)) or stat(path, **more))
    monkeypatch.setattr(slices, "_local_entry", lambda *given: looked.append(given[0].name) or _local_entry(*given))
    with pytest.raises(UserError, match="is not empty"):
        run_here(plain(source), tmp_path / "out")
    assert len(looked) < foreign


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_of_files_and_folders(tmp_path: Path, name: str) -> None:
    slices = demo_slices(2, 64)
    source = write_stack(tmp_path / f"{name}source", slices, f"{name.replace('%', '%%')}%05d.png")
    out = run_here(plain(source), tmp_path / f"{name}out")
    assert np.array_equal(lossless(out), np.stack(list(slices.values())))
    assert [s.file for s in transforms(out).slices] == [f"{name}{z:05d}.png" for z in slices]
    # its own
    assert (out / "report.html").read_text().count("<script>") == 1


@pytest.mark.parametrize("name", ["{{workflow.name}}", "$(touch x)"])
def test_what_a_cluster_would_replace_is_handled_in_files_and_refused_in_requests(tmp_path: Path, name: str) -> None:
    slices = demo_slices(2, 64)
    source = write_stack(tmp_path / "source", slices, f"{name}%05d.png")
    assert len(transforms(run_here(plain(source), tmp_path / f"{name}out")).slices) == 2
    with pytest.raises(UserError, match="which a cluster would substitute"):
        run_here(plain(write_stack(tmp_path / name, slices)), tmp_path / "out")


@pytest.mark.parametrize("name", [b"iso\xff.03490.png", b"iso\\.03490.png"], ids=["not UTF-8", "backslash"])
def test_names_no_store_can_hold_are_refused(tmp_path: Path, name: bytes) -> None:
    (tmp_path / os.fsdecode(name)).write_bytes(encoded(demo_slice(FIRST, 64)))
    with pytest.raises(UserError, match="rename it"):
        plan(request(tmp_path))
