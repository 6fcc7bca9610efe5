"""A source that changes under a run: it is noticed whenever it happens, and the slice is named."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from clio_argo.errors import ClioError, GateStopped
from clio_argo.pipeline import PIPELINE
from clio_argo.runner import run_step
from clio_argo.store.documents import Store
from tests.stacks import FIRST, contents, demo_slice, demo_slices, encoded, lossless, plain, run_here, write_stack
from tests.stores import Bucket

Z = FIRST + 2


def replace(file: Path) -> None:
    """Another file of the same name, as `rsync` or `mv` leave it."""
    new = file.with_name("new")
    new.write_bytes(other())
    new.rename(file)


def rewrite(file: Path) -> None:
    """The same file with other pixels, its time put back."""
    before = file.stat()
    file.write_bytes(other())
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 2_000_000))


def other() -> bytes:
    return encoded(255 - demo_slice(Z, 64))


HARMS: dict[str, Callable[[Path], object]] = {
    "replaced": replace,
    "rewritten": rewrite,
    "removed": Path.unlink,
    "cut": lambda f: f.write_bytes(f.read_bytes()[:-40]),
    "made a folder": lambda f: (f.unlink(), f.mkdir()),
    "made a pipe": lambda f: (f.unlink(), os.mkfifo(f)),
    "a link": lambda f: (f.unlink(), f.with_name("there").write_bytes(other()), f.symlink_to("there")),
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_stack(tmp_path / "source", demo_slices(4, 64))


@pytest.mark.properties
@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("step", ["reduce", "render"])
def test_a_slice_that_changes_before_a_step_is_named(source: Path, tmp_path: Path, step: str, harm: str) -> None:
    out, file = tmp_path / "out", source / f"iso.{Z:05d}.png"
    run_here(plain(source, max_bad=0), out, stop_before=step)
    HARMS[harm](file)
    with pytest.raises(ClioError, match=f"{Z}.* iso.{Z:05d}.png|slice {Z} "):
        resume(out, step)
    assert not (out / "complete.json").exists()


def resume(out: Path, step: str) -> None:
    """The rest of the alignment, or the rendering, from the plan as it was."""
    url = Store(str(out)).url
    if step == "render":
        run_step(PIPELINE["render"], url, 0)
        return
    for part in range(4):
        run_step(PIPELINE["reduce"], url, part)
    run_step(PIPELINE["frame"], url, 0)
    run_step(PIPELINE["suspects"], url, 0)
    run_step(PIPELINE["solve"], url, 0)


def test_the_next_run_takes_the_changed_slice(source: Path, tmp_path: Path) -> None:
    out, file = tmp_path / "out", source / f"iso.{Z:05d}.png"
    run_here(plain(source, max_bad=0), out, stop_before="reduce")
    replace(file)
    with pytest.raises(GateStopped, match="changed since it was planned; run the same command again"):
        resume(out, "reduce")
    run_here(plain(source, max_bad=0), out)
    assert np.array_equal(lossless(out)[Z - FIRST], 255 - demo_slice(Z, 64))
    assert contents(out) == contents(run_here(plain(source), tmp_path / "again"))


def test_a_slice_of_a_bucket_that_changes_before_it_is_reduced_is_named(gcs: Bucket, tmp_path: Path) -> None:
    source, out = Store(f"{gcs.url}/source"), tmp_path / "out"
    for z, image in demo_slices(4, 64).items():
        source.write(f"iso.{z:05d}.png", encoded(image))
    config = plain(tmp_path, max_bad=0).model_copy(update={"source": source.url})
    run_here(config, out, stop_before="reduce")
    source.write(f"iso.{Z:05d}.png", other())
    with pytest.raises(GateStopped, match=f"{Z}.* changed since it was planned"):
        resume(out, "reduce")
