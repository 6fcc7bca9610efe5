"""Runs that are repeated, killed, or whose slices change: the same volume, and nothing done twice."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from clio_argo.errors import ClioError
from clio_argo.runner import run
from tests.stacks import (
    CLI,
    FIRST,
    Image,
    completion,
    contents,
    demo_slice,
    demo_slices,
    done_at,
    encoded,
    lossless,
    plain,
    request,
    run_here,
    write_stack,
    written_at,
)


@pytest.fixture(scope="module")
def long_stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 small slices: several units of every early stage."""
    return write_stack(tmp_path_factory.mktemp("long"), demo_slices(23, 160))


@pytest.fixture(scope="module")
def reference(long_stack: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_here(request(long_stack), tmp_path_factory.mktemp("reference"))


@pytest.mark.properties
@pytest.mark.parametrize("workers", [1, 2])
def test_result_does_not_depend_on_workers(long_stack: Path, reference: Path, tmp_path: Path, workers: int) -> None:
    done = run(request(long_stack), tmp_path, workers)
    assert contents(tmp_path) == contents(reference)
    assert done.manifest == completion(reference).manifest


def test_second_run_does_nothing_twice(long_stack: Path, tmp_path: Path) -> None:
    out = run_here(request(long_stack), tmp_path)
    before = {f: written_at(out, f) for f in ("manifest", "fits", "tmp", "thumbnails")}
    shards = {n: t for n, t in written_at(out, "").items() if "/c/" in n or n.endswith(".shard")}
    run_here(request(long_stack), out)
    assert {f: written_at(out, f) for f in before} == before
    assert shards.items() <= written_at(out, "").items()


@pytest.mark.properties
def test_another_way_to_resume_is_the_same_run(long_stack: Path, tmp_path: Path) -> None:
    out = run_here(request(long_stack, max_bad=0), tmp_path, stop_before="render")
    before = done_at(out)
    run_here(request(long_stack, max_bad=5, workers=2, labels={"try": "2"}), out)
    assert before.items() <= done_at(out).items()
    assert completion(out).status == "complete"


def start(source: Path, out: Path) -> "subprocess.Popen[bytes]":
    command = [CLI, "run", "--source", source, "--resolution", "10", "--set", "id=test", "--out", out]
    return subprocess.Popen([*command, "--workers", "2"], start_new_session=True, stderr=subprocess.DEVNULL)


def kill_when_done(source: Path, out: Path, units: int) -> None:
    """Kill a run and all its workers when it has done so many units."""
    process = start(source, out)
    wait_until(lambda: len(written_at(out)) >= units or process.poll() is not None)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


@pytest.mark.properties
def test_killed_again_and_again_it_ends_the_same(long_stack: Path, reference: Path, tmp_path: Path) -> None:
    total = len(written_at(reference))
    random = np.random.default_rng()
    stops = sorted(int(n) for n in random.integers(1, total, 3))
    print("killed when this many units were done:", stops)
    for units in stops:
        kill_when_done(long_stack, tmp_path, units)
    kept = done_at(tmp_path)
    run_here(request(long_stack), tmp_path)
    assert contents(tmp_path) == contents(reference)
    assert kept.items() <= done_at(tmp_path).items()


@pytest.mark.properties
def test_workers_end_with_a_run_that_is_killed(long_stack: Path, tmp_path: Path) -> None:
    process = start(long_stack, tmp_path)
    wait_until(lambda: bool(written_at(tmp_path)) or process.poll() is not None)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_until(lambda: not alive_in_group(process.pid), 10)


def alive_in_group(group: int) -> list[str]:
    """Processes of a group that are not over."""
    found = psutil.process_iter(["pid", "status", "name"])
    lives = (p for p in found if p.info["status"] != psutil.STATUS_ZOMBIE)
    return [p.info["name"] for p in lives if group_of(p.pid) == group]


def group_of(process: int) -> int | None:
    try:
        return os.getpgid(process)
    except ProcessLookupError:
        return None


# --- something changed -----------------------------------------------------------------------------------


def touched(image: Image) -> Image:
    """The slice with other pixels in the middle."""
    changed = image.copy()
    changed[20:30, 20:30] = 255 - changed[20:30, 20:30]
    return changed


def done_again(long_stack: Path, folder: Path, **settings: Any) -> tuple[Path, dict[str, list[str]]]:
    """A run before and after its 23rd slice changed, and the records that were written again, by step."""
    source = shutil.copytree(long_stack, folder / "source")
    out = run_here(request(source, **settings), folder / "out")
    last = FIRST + 22
    before = written_at(out)
    (source / f"iso.{last:05d}.png").write_bytes(encoded(touched(demo_slice(last, 160))))
    run_here(request(source, **settings), out)
    changed = {n for n, when in written_at(out).items() if before[n] != when}
    return out, {s: sorted(n for n in changed if f"/{s}/" in n) for s in ("reduce", "match", "render", "write")}


@pytest.mark.properties
def test_changed_slice_is_noticed_and_only_its_neighbours_are_matched_again(long_stack: Path, tmp_path: Path) -> None:
    _, by_step = done_again(long_stack, tmp_path)
    near = {f"manifest/match/{n:06d}.json" for n in (5, 6, 7)}
    assert by_step["reduce"] == ["manifest/reduce/000007.json"]
    assert {"manifest/match/000007.json"} <= set(by_step["match"]) <= near


@pytest.mark.properties
def test_changed_slice_moves_no_other_where_nothing_is_aligned(long_stack: Path, tmp_path: Path) -> None:
    out, by_step = done_again(long_stack, tmp_path, alignment__skip=True)
    assert by_step["reduce"] == ["manifest/reduce/000007.json"]
    assert by_step["render"] == ["manifest/render/000005.json"]
    assert by_step["write"] == ["manifest/write/000000.json"]
    untouched = lossless(run_here(request(long_stack, alignment__skip=True), tmp_path / "untouched"))
    assert np.array_equal(lossless(out)[:20], untouched[:20])
    assert not np.array_equal(lossless(out)[22], untouched[22])


def test_slice_that_changes_between_alignment_and_rendering_stops_the_run(tmp_path: Path) -> None:
    source = write_stack(tmp_path / "source", demo_slices(3, 160))
    out = run_here(plain(source), tmp_path / "out", stop_before="render")
    (source / f"iso.{FIRST + 1:05d}.png").write_bytes(encoded(touched(demo_slice(FIRST + 1, 160))))
    with pytest.raises(ClioError, match=rf"slice {FIRST + 1} \(iso.*\) has other pixels"):
        resume_at_render(out)
    assert not (out / "complete.json").exists()
    run_here(plain(source), out)
    assert np.array_equal(lossless(out)[1], touched(demo_slice(FIRST + 1, 160)))


def resume_at_render(out: Path) -> None:
    from clio_argo.pipeline import PIPELINE
    from clio_argo.runner import run_step
    from clio_argo.store.documents import Store

    run_step(PIPELINE["render"], Store(str(out)).url, 0)


@pytest.mark.properties
@pytest.mark.parametrize("harm", ["gone", "cut", "other"])
def test_damaged_object_is_made_again(tmp_path: Path, stack: Path, harm: str) -> None:
    out = run_here(plain(stack), tmp_path)
    wanted = contents(out)
    shard = next((out / "ng").rglob("*.shard"))
    data = shard.read_bytes()
    shard.unlink() if harm == "gone" else shard.write_bytes(data[:9] if harm == "cut" else bytes(len(data)))
    run_here(plain(stack), out)
    assert contents(out) == wanted


@pytest.mark.properties
def test_stack_that_grew_becomes_a_larger_volume(tmp_path: Path) -> None:
    source = write_stack(tmp_path / "source", demo_slices(6, 64))
    out = run_here(plain(source), tmp_path / "out")
    write_stack(source, demo_slices(12, 64))
    run_here(plain(source), out)
    assert np.array_equal(lossless(out), np.stack(list(demo_slices(12, 64).values())))


@pytest.mark.properties
def test_stack_that_lost_its_last_slices_becomes_a_smaller_volume(tmp_path: Path) -> None:
    source = write_stack(tmp_path / "source", demo_slices(12, 64))
    out = run_here(plain(source), tmp_path / "out")
    for z in range(FIRST + 6, FIRST + 12):
        (source / f"iso.{z:05d}.png").unlink()
    run_here(plain(source), out)
    assert lossless(out).shape == (6, 64, 64)


def test_volume_that_is_being_made_again_is_not_called_complete(tmp_path: Path) -> None:
    source = write_stack(tmp_path / "source", demo_slices(3, 64))
    out = run_here(plain(source), tmp_path / "out")
    (source / f"iso.{FIRST:05d}.png").write_bytes(encoded(touched(demo_slice(FIRST, 64))))
    run_here(plain(source), out, stop_before="write")
    assert not (out / "complete.json").exists()
