"""Input, output and requests that cannot be used: each is named, none becomes a made-up result."""

import os
import re
import shutil
import struct
import subprocess
import traceback
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile

from clio_argo.errors import ClioError, GateStopped, StoreError, UserError
from clio_argo.model.parse_request import build_request
from clio_argo.pipeline import PIPELINE
from clio_argo.runner import run_step, spread, worker_pool
from clio_argo.steps.plan import plan
from clio_argo.store.documents import Store
from clio_argo.store.source_url import find_source
from tests.stacks import (
    CLI,
    FIRST,
    Image,
    cli,
    completion,
    contents,
    demo_slice,
    demo_slices,
    encoded,
    flip_a_bit,
    lossless,
    plain,
    request,
    run_here,
    transforms,
    verdicts,
    write_stack,
)

BAD = FIRST + 3


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Eight slices that a test may spoil."""
    return write_stack(tmp_path / "source", demo_slices(8, 64))


def file_of(source: Path, z: int) -> Path:
    return source / f"iso.{z:05d}.png"


def problems(source: Path) -> list[tuple[str, int | None]]:
    return [(p.kind, p.z) for p in plan(request(source)).problems]


# --- what plan finds -----------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises width x height pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def cut(file: Path, size: int) -> None:
    file.write_bytes(file.read_bytes()[:size])


def link_out(file: Path) -> None:
    outside = file.parent.parent / "outside.png"
    shutil.move(file, outside)
    file.symlink_to(outside)


def small() -> Image:
    return demo_slice(BAD, 64)


SPOIL: dict[str, tuple[str, Callable[[Path], object]]] = {
    "missing": ("missing", Path.unlink),
    "duplicate": ("duplicate", lambda f: shutil.copy(f, f.with_name(f"iso.{BAD}.png"))),
    "zero-byte": ("zero-byte", lambda f: f.write_bytes(b"")),
    "truncated header": ("unreadable", lambda f: cut(f, 20)),
    "truncated body": ("truncated", lambda f: cut(f, 2000)),
    "other size": ("other size", lambda f: f.write_bytes(encoded(small()[1:]))),
    "other depth": ("other depth", lambda f: f.write_bytes(encoded(small().astype(np.uint16)))),
    "other channels": ("other channels", lambda f: f.write_bytes(encoded(np.dstack([small()] * 3)))),
    "unreadable": ("unreadable", lambda f: f.write_text("a picture of a fly")),
    "link that leaves the source": ("outside of the source", link_out),
    "link to nothing": ("outside of the source", lambda f: (f.unlink(), f.symlink_to("gone.png"))),
    "more than max_pixels": ("decompression bomb", lambda f: f.write_bytes(claiming(60_000, 60_000))),
    "200 times its size": ("decompression bomb", lambda f: f.write_bytes(claiming(1000, 1000))),
}


@pytest.mark.parametrize("harm", SPOIL)
def test_plan_names_the_problem(source: Path, harm: str) -> None:
    kind, spoil = SPOIL[harm]
    spoil(file_of(source, BAD))
    assert problems(source) == [(kind, BAD)]


def test_sound_stack_has_no_problem(source: Path) -> None:
    assert problems(source) == []


def test_headers_are_the_same_from_slow_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many are read at a time there."""
    source = write_stack(tmp_path / "source", demo_slices(40, 64))
    for z in (FIRST + 2, FIRST + 20, FIRST + 39):
        file_of(source, z).write_bytes(b"")
    quick = plan(request(source))
    monkeypatch.setattr("clio_argo.workspace.headers.QUICK_S", 0)
    assert plan(request(source)) == quick
    assert [p.z for p in quick.problems] == [FIRST + 2, FIRST + 20, FIRST + 39]


def test_large_slices_that_are_all_alike_are_no_bomb(tmp_path: Path) -> None:
    for z in range(3):
        (tmp_path / f"{z}.png").write_bytes(claiming(20_000, 20_000))
    assert plan(request(tmp_path)).problems == ()


@pytest.mark.parametrize(("size", "kind"), [(5000, "other size"), (4999, "decompression bomb")])
def test_a_slice_of_more_than_200_times_its_size_is_a_bomb(source: Path, size: int, kind: str) -> None:
    file_of(source, BAD).write_bytes(claiming(1000, 1000).ljust(size, b"\0"))
    assert kind in problems(source)[0]


@pytest.mark.properties
def test_plan_shows_all_problems_at_once_and_writes_nothing(tmp_path: Path) -> None:
    harms = [h for h in SPOIL if h != "duplicate"]
    source = write_stack(tmp_path / "source", dict.fromkeys(range(100, 140), small()))
    for z, harm in enumerate(harms, 100):
        SPOIL[harm][1](file_of(source, z))
    before = sorted(tmp_path.rglob("*"))
    told = cli("plan", "--source", source, "--minz", 100, COLUMNS="200")
    assert told.returncode == 1
    for z, harm in enumerate(harms, 100):
        row = next(line for line in told.stdout.splitlines() if line.startswith(f"{z} "))
        assert SPOIL[harm][0] in row
    assert f"{len(harms)} of 40 slices" in told.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_run_refuses_what_plan_found_before_anything_is_written(source: Path, tmp_path: Path) -> None:
    for harm, z in (("truncated body", BAD), ("zero-byte", BAD + 1)):
        SPOIL[harm][1](file_of(source, z))
    with pytest.raises(GateStopped, match=rf"2 of 8 slices(.|\n)*z {BAD} .*truncated(.|\n)*z {BAD + 1}"):
        run_here(request(source), tmp_path / "out")
    assert not (tmp_path / "out" / "config.json").exists()


def test_an_error_for_people_has_no_trace_of_a_worker() -> None:
    with worker_pool(1) as pool, pytest.raises(UserError, match="no such file or folder") as caught:
        list(spread(pool, [partial(find_source, "./nowhere")]))
    assert "RemoteTraceback" not in "".join(traceback.format_exception(caught.value))


def test_duplicates_are_refused_whatever_is_allowed(source: Path, tmp_path: Path) -> None:
    SPOIL["duplicate"][1](file_of(source, BAD))
    with pytest.raises(UserError, match=rf"z {BAD} iso.*duplicate.*iso"):
        run_here(request(source, max_bad=5), tmp_path / "out")


def test_a_range_that_is_nearly_empty_is_one_line(source: Path) -> None:
    with pytest.raises(UserError, match=r"8 files for the 999996510 slices from z 3490"):
        plan(request(source, maxz=999_999_999))


def test_a_gap_is_one_line(source: Path, tmp_path: Path) -> None:
    with pytest.raises(GateStopped) as stopped:
        run_here(request(source, maxz=FIRST + 999), tmp_path / "out")
    assert "z 3498 to 4489: missing" in str(stopped.value)
    assert len(str(stopped.value).splitlines()) == 3


def test_slices_at_the_root_and_in_raw_are_refused(source: Path) -> None:
    write_stack(source / "raw", demo_slices(2, 64))
    with pytest.raises(UserError, match=r"both at its root \(iso\.\d+\.png\) and in raw/ \(raw/iso\.\d+\.png\)"):
        plan(request(source))


def test_slices_in_raw_are_found(source: Path, tmp_path: Path) -> None:
    shutil.move(source, tmp_path / "bucket" / "raw")
    out = run_here(plain(tmp_path / "bucket"), tmp_path / "out")
    assert np.array_equal(lossless(out), np.stack(list(demo_slices(8, 64).values())))


def test_several_patterns_are_refused_with_their_names(source: Path) -> None:
    write_stack(source, demo_slices(3, 64), "other.%05d.png")
    with pytest.raises(UserError, match=r"several patterns: iso\.#\.png \(8 files\), other\.#\.png \(3 files\)"):
        plan(request(source))
    assert plan(request(source, image="other.%05d.png")).usable == 3


def test_a_regular_expression_is_asked_once(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, started = [], subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *a, **b: calls.append(a) or started(*a, **b))
    assert plan(request(source, image=None, image_regex=r"iso\.0*(\d+)\.png")).usable == 8
    assert len(calls) == 1


def test_no_slice_of_that_name(source: Path) -> None:
    with pytest.raises(UserError, match=r"no slice named 'img\.%05d\.png'; there is iso\.03490\.png"):
        plan(request(source, image="img.%05d.png"))


def test_no_source(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such file or folder"):
        plan(request(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("contrast.clip_limit", 2, "less than or equal to 1 (got 2)"),
        ("viewer.chunk", 60, "must be a power of two"),
        ("resolution", 0, "0 nm? A voxel has 0.1 to 10,000 nm"),
        ("max_bad", -1, "must not be negative"),
        ("minz", -(10**9), "greater than or equal to -999999999 (got -1000000000)"),
    ],
)
def test_setting_out_of_range_is_named(source: Path, key: str, value: float, why: str) -> None:
    with pytest.raises(UserError, match=rf"  - {re.escape(key)}: .*{re.escape(why)}"):
        build_request({"id": "x", "source": str(source)}, {key: value})


# --- slices that turn out bad later ---------------------------------------------------------------------


def test_damaged_pixels_stop_a_run_that_allows_none(source: Path, tmp_path: Path) -> None:
    flip_a_bit(file_of(source, BAD))
    assert problems(source) == []
    with pytest.raises(GateStopped, match=rf"z {BAD} iso\.0{BAD}\.png: bad, does not decode"):
        run_here(plain(source, max_bad=0), tmp_path / "out")
    assert verdicts(tmp_path / "out") == {BAD: "bad"}
    assert not (tmp_path / "out" / "aligned").exists()


def test_damaged_pixels_are_replaced_in_a_run_that_allows_one(source: Path, tmp_path: Path) -> None:
    flip_a_bit(file_of(source, BAD))
    out = run_here(plain(source, max_bad=1), tmp_path / "out")
    assert completion(out).status == "complete_with_flags"
    assert completion(out).flagged == (BAD,)
    assert np.array_equal(lossless(out)[BAD - FIRST], demo_slice(BAD - 1, 64))
    assert np.array_equal(np.delete(lossless(out), BAD - FIRST, 0), good_slices())


def good_slices() -> Image:
    return np.stack([image for z, image in demo_slices(8, 64).items() if z != BAD])


def test_the_gate_opens_for_a_run_that_stopped_at_it(source: Path, tmp_path: Path) -> None:
    flip_a_bit(file_of(source, BAD))
    with pytest.raises(GateStopped):
        run_here(plain(source, max_bad=0), tmp_path / "out")
    out = run_here(plain(source, max_bad=1), tmp_path / "out")
    assert completion(out).flagged == (BAD,)


@pytest.mark.parametrize("z", [FIRST, FIRST + 7], ids=["first", "last"])
def test_damaged_slice_at_an_end_gets_its_one_neighbour(source: Path, tmp_path: Path, z: int) -> None:
    flip_a_bit(file_of(source, z))
    out = run_here(plain(source, max_bad=1), tmp_path / "out")
    assert transforms(out).replaced == {z: (FIRST + 1 if z == FIRST else z - 1,)}


def test_a_stack_without_any_good_slice_stops_whatever_is_allowed(source: Path, tmp_path: Path) -> None:
    for file in source.iterdir():
        flip_a_bit(file)
    with pytest.raises(GateStopped, match="no slice is good"):
        run_here(plain(source, max_bad=8), tmp_path / "out")


def test_damaged_first_slice_of_a_stack_saved_as_colour(tmp_path: Path) -> None:
    colour = {z: np.dstack([image] * 3) for z, image in demo_slices(4, 64).items()}
    source = write_stack(tmp_path / "source", colour)
    flip_a_bit(file_of(source, FIRST))
    out = run_here(plain(source, max_bad=1), tmp_path / "out")
    assert verdicts(out) == {FIRST: "bad"}


def test_slice_that_shrinks_between_plan_and_alignment_is_bad(source: Path, tmp_path: Path) -> None:
    out = run_here(plain(source, max_bad=1), tmp_path / "out", stop_before="reduce")
    file_of(source, BAD).write_bytes(encoded(small()[:50]))
    for part in range(8):
        run_step(PIPELINE["reduce"], Store(str(out)).url, part)
    run_step(PIPELINE["frame"], Store(str(out)).url, 0)
    result = run_step(PIPELINE["solve"], Store(str(out)).url, 0)
    assert result.published["flagged"] == 1
    assert "64 x 50 now, 64 x 64 was planned" in transforms(out).slices[BAD - FIRST].reason


def test_slice_that_is_gone_before_rendering_stops_the_run(source: Path, tmp_path: Path) -> None:
    out = run_here(plain(source), tmp_path / "out", stop_before="render")
    file_of(source, BAD).unlink()
    with pytest.raises(ClioError, match=rf"slice {BAD} .*gone"):
        run_step(PIPELINE["render"], Store(str(out)).url, 0)
    assert not (out / "complete.json").exists()


# --- where it shall go ----------------------------------------------------------------------------------


def test_output_of_another_run_is_refused_with_the_keys_that_differ(source: Path, tmp_path: Path) -> None:
    out = run_here(plain(source), tmp_path / "out")
    before = contents(out)
    with pytest.raises(UserError) as refused:
        run_here(plain(source, contrast__invert=True, viewer__jpeg_quality=50), out)
    differing = [line for line in str(refused.value).splitlines() if line.startswith("  - ")]
    assert differing == ["  - contrast.invert: False -> True", "  - viewer.jpeg_quality: 80 -> 50"]
    assert contents(out) == before


def test_folder_with_other_files_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("work of years")
    with pytest.raises(UserError, match=r"not empty \(thesis\.tex.*holds no run"):
        run_here(plain(source), tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["thesis.tex"]


def test_the_source_itself_is_no_output(source: Path) -> None:
    before = sorted(source.iterdir())
    with pytest.raises(UserError, match="not empty"):
        run_here(plain(source), source)
    assert sorted(source.iterdir()) == before


def test_a_file_is_no_output(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(UserError, match="out is a file"):
        run_here(plain(source), tmp_path / "out")


def unprivileged() -> list[str]:
    """What to put before a command so that permissions bind it."""
    if os.geteuid():
        return []
    prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    if shutil.which("setpriv") is None or subprocess.run([*prefix, "true"], check=False).returncode:
        pytest.skip("permissions do not bind root, and setpriv cannot give them up here")
    return prefix


@pytest.mark.properties
def test_read_only_output_is_an_error_that_names_it(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir(mode=0o555)
    command = [*unprivileged(), CLI, "run", "--source", str(source), "--out", str(out), "--workers", "1"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert f"{out}/config.json: no permission" in told.stderr
    assert "Traceback" not in told.stderr
    assert list(out.iterdir()) == []


def test_slice_that_may_not_be_read_is_a_problem(source: Path) -> None:
    file_of(source, BAD).chmod(0)
    command = [*unprivileged(), CLI, "plan", "--source", str(source)]
    told = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"})
    assert told.returncode == 1
    assert "unreadable" in next(line for line in told.stdout.splitlines() if line.startswith(f"{BAD} "))


def resize(disk: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


@pytest.mark.properties
def test_full_disk_is_an_error_at_any_stage_and_the_run_goes_on_later(
    stack: Path, aligned: Path, small_disk: Path
) -> None:
    pages = sum(-(-p.stat().st_size // 4096) for p in aligned.rglob("*") if p.is_file())
    stages = set()
    for percent in (10, 30, 50, 70, 95):
        resize(small_disk, f"{pages * 4096 * percent // 100}")
        with pytest.raises(StoreError, match="no space is left"):
            run_here(request(stack), small_disk)
        stages.add(len(list(small_disk.glob("manifest/*"))))
        assert not (small_disk / "complete.json").exists()
    assert len(stages) > 2
    resize(small_disk, "20m")
    run_here(request(stack), small_disk)
    assert contents(small_disk) == contents(aligned)


def test_a_background_that_slices_cannot_hold_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="background 256: slices of 8 bit hold at most 255"):
        run_here(plain(source, background=256), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["int64", "uint64", "complex64"])
def test_a_refusal_names_the_type_of_the_values(tmp_path: Path, kind: str) -> None:
    tifffile.imwrite(tmp_path / "1.tif", small().astype(kind), metadata=None)
    with pytest.raises(UserError, match=f"{kind} values: only 8-, 16- and 32-bit integers and floating"):
        plan(request(tmp_path))
