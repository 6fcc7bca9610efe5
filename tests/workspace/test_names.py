"""Names of files and folders that shells, stores, templates or pages could take for something else."""

import os
from pathlib import Path

import numpy as np
import pytest

from clio_argo.errors import UserError
from clio_argo.steps.plan import plan
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


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_of_files_and_folders(tmp_path: Path, name: str) -> None:
    slices = demo_slices(2, 64)
    source = write_stack(tmp_path / f"{name}source", slices, f"{name.replace('%', '%%')}%05d.png")
    out = run_here(plain(source), tmp_path / f"{name}out")
    assert np.array_equal(lossless(out), np.stack(list(slices.values())))
    assert [s.file for s in transforms(out).slices] == [f"{name}{z:05d}.png" for z in slices]
    assert "<script>" not in (out / "report.html").read_text()


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
