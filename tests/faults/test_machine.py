"""Machines that lack something, or are set up in another way: a clear error, or no effect at all."""

import os
import resource
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.attempts import Conditions, asking, attempt, run_apart
from tests.stacks import CLI, contents, request, written_at

NOBODY = 65534
YEAR_S = 365 * 86400
RUN = ["--resolution", "10", "--set", "id=test", "--set", "max_parts=1", "--workers", "1", "--log", "quiet"]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount, and become another user")


def in_a_mount_namespace(source: Path, out: Path, *mounts: str) -> "subprocess.CompletedProcess[str]":
    """`clio-argo run` after some commands; the rest of the machine does not see what they mount."""
    probe = subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True)
    if probe.returncode:
        pytest.skip("mount namespaces are not allowed here")
    script = "\n".join([*mounts, 'exec "$@"'])
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh", CLI]
    return subprocess.run(
        [*command, "run", "--source", source, "--out", out, *RUN],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


# --- what may be missing ----------------------------------------------------------------------------------


@pytest.mark.properties
def test_too_few_files_are_refused_and_few_are_enough(stack: Path, undisturbed: Path, tmp_path: Path) -> None:
    out, config = tmp_path / "out", request(stack, max_parts=1)
    refused = run_apart(config, out, Conditions(limits={resource.RLIMIT_NOFILE: 64}))
    assert refused.code == 2
    assert "only 64 files may be open at once, 128 are needed: raise the limit (ulimit -Hn)\n" in refused.said
    assert not out.exists()
    ended = run_apart(config, out, Conditions(limits={resource.RLIMIT_NOFILE: 128}))
    assert ended.code == 0, ended.said
    assert contents(out) == contents(undisturbed)


@needs_root
def test_no_shared_memory_is_said(stack: Path, tmp_path: Path) -> None:
    refused = in_a_mount_namespace(stack, tmp_path / "out", "mount -t tmpfs -o ro none /dev/shm")
    assert refused.returncode == 1
    assert "workers need shared memory: /dev/shm must be there and writable" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.properties
@needs_root
def test_no_temporary_folder_and_few_files_are_no_fault(stack: Path, undisturbed: Path, tmp_path: Path) -> None:
    tmp_path.joinpath("out").mkdir()
    mounts = [
        f"mount --bind {tmp_path} /mnt",
        "mount --bind /tmp /tmp",
        "mount -o remount,bind,ro /tmp",
        "export TMPDIR=/none",
        "ulimit -S -n 40",
    ]
    done = in_a_mount_namespace(stack, Path("/mnt/out"), *mounts)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "out") == contents(undisturbed)


# --- what may be different --------------------------------------------------------------------------------


@pytest.mark.properties
def test_wrong_clocks_and_time_zones_change_nothing(stack: Path, undisturbed: Path, tmp_path: Path) -> None:
    source, out = shutil.copytree(stack, tmp_path / "source"), tmp_path / "out"
    for file, when in zip(sorted(source.iterdir()), (0, 1, 2**31, 2**32, 2**33) * 3, strict=False):
        os.utime(file, (when, when))
    clocks = [("Asia/Kathmandu", 40 * YEAR_S), ("America/St_Johns", -40 * YEAR_S), ("", 0.0)]
    kept = dict[str, int]()
    for zone, wrong in clocks:
        ended = run_apart(request(source, max_parts=1), out, Conditions({"TZ": zone}, clock_s=wrong))
        assert ended.code == 0, ended.said
        kept = {**written_at(out), **kept}
    assert contents(out) == contents(undisturbed)
    assert kept == written_at(out)


@pytest.mark.properties
@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o000, 0o666)])
def test_files_may_be_read_as_the_umask_says(
    stack: Path, undisturbed: Path, tmp_path: Path, umask: int, mode: int
) -> None:
    out = tmp_path / "out"
    ended = run_apart(request(stack, max_parts=1), out, Conditions(umask=umask))
    assert ended.code == 0, ended.said
    assert contents(out) == contents(undisturbed)
    assert {oct(stat.S_IMODE(p.stat().st_mode)) for p in out.rglob("*") if p.is_file()} == {oct(mode)}


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that everybody may enter."""
    with tempfile.TemporaryDirectory(prefix="clio-argo-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.properties
@needs_root
def test_another_user_goes_on_where_one_stopped(stack: Path, undisturbed: Path, shared_folder: Path) -> None:
    out, config = shared_folder / "run" / "out", request(stack, max_parts=1)
    out.parent.mkdir()
    for step in ("plan", "reduce"):
        assert attempt(step, out, 0, Conditions(asking(config))).code == 0
    kept = written_at(out)
    refused = as_nobody(stack, out)
    assert refused.returncode == 1
    assert "no permission" in refused.stderr
    for path in (out.parent, *out.parent.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    done = as_nobody(stack, out)
    assert done.returncode == 0, done.stderr
    assert contents(out) == contents(undisturbed)
    assert kept.items() <= written_at(out).items()


def as_nobody(source: Path, out: Path) -> "subprocess.CompletedProcess[str]":
    """`clio-argo run` of a user who may read everything, so that Python and slices may lie anywhere."""
    capability = [f"--{kind}-caps=+dac_read_search" for kind in ("inh", "ambient")]
    nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *capability]
    if subprocess.run([*nobody, "true"], check=False, capture_output=True).returncode:
        pytest.skip("setpriv is absent here, or may not hand on the right to read")
    return subprocess.run(
        [*nobody, CLI, "run", "--source", source, "--out", out, *RUN],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
