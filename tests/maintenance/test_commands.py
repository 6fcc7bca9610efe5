"""verify, repair and show as processes; units that two processes do at the same time; runs in buckets."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import clio_argo
from clio_argo.maintenance.repair import repair
from clio_argo.maintenance.verify import verify
from clio_argo.store.documents import Store
from tests.stacks import (
    TYPED,
    cli,
    completion,
    contents,
    demo_slices,
    flip_a_bit,
    plain,
    records,
    run_here,
    write_stack,
)
from tests.stores import Bucket

SHARD = "ng/10_10_10/0.shard"


@pytest.mark.properties
def test_verify_and_repair_tell_by_exit_code_and_last_line(whole: Path, out: Path) -> None:
    flip_a_bit(out / SHARD)
    quick, broken, mended, after = (
        cli(*command, "--workers", 2) if command[0] != "quick" else cli("verify", out, "--quick")
        for command in (("quick",), ("verify", out), ("repair", out), ("verify", out, "--deep"))
    )
    assert (quick.returncode, broken.returncode, mended.returncode, after.returncode) == (0, 1, 0, 0)
    assert "note: listings of this store hold no checksums" in quick.stdout
    assert f"{SHARD}: has other content than was written (CRC32C differs)" in broken.stdout
    summary, remedy = broken.stdout.splitlines()[-2:]
    assert summary.startswith("broken in 1 place: ")
    assert remedy.startswith(f"repair it with: {TYPED} repair ")
    assert "units rerun: 1 of write" in mended.stdout
    assert after.stdout.splitlines()[-1].startswith("whole: ")
    assert after.stdout.splitlines()[-1].endswith("every byte read, every chunk decoded")
    assert contents(out) == contents(whole)


@pytest.mark.properties
def test_json_names_all_and_a_place_without_a_run_is_a_wrong_call(out: Path, tmp_path: Path) -> None:
    (out / SHARD).unlink()
    told = cli("verify", out, "--quick", "--log", "json")
    [end] = [json.loads(line) for line in told.stdout.splitlines() if '"end"' in line]
    assert (told.returncode, [f["name"] for f in end["faults"]]) == (1, [SHARD])
    for command in ("verify", "repair", "show"):
        nothing = cli(command, tmp_path)
        assert (nothing.returncode, "Traceback" in nothing.stderr) == (2, False)


@pytest.mark.properties
def test_show_tells_where_a_volume_comes_from(whole: Path) -> None:
    done, told = completion(whole), cli("show", whole)
    assert json.loads(cli("show", whole, "--json").stdout) == done.model_dump(mode="json")
    assert done.software.keys() == {r.software for r in records(whole).values()}
    assert done.settings["viewer"]["chunk"] == 256
    for word in (done.manifest, done.source_digest, done.config_digest, "tensorstore", "contrast.clip_limit"):
        assert word in told.stdout


@pytest.mark.properties
def test_image_of_the_container_is_recorded(tmp_path: Path) -> None:
    source = write_stack(tmp_path / "source", demo_slices(2, 64))
    image = "registry.example/align@sha256:12"
    command = ("run", "--source", source, "--out", tmp_path / "out", "--workers", 1, "--set", "alignment.skip=true")
    assert cli(*command, CLIO_IMAGE=image).returncode == 0
    assert {s.partition(" in ")[2] for s in completion(tmp_path / "out").software} == {image}


@pytest.mark.properties
def test_a_unit_done_by_two_processes_at_once_gives_one_result(whole: Path, out: Path) -> None:
    for record in (out / "manifest" / "write").iterdir():
        record.unlink()
    command = [sys.executable, "-c", "from clio_argo.container import main; main()", "write", "--run", str(out)]
    parts = [subprocess.Popen([*command, "--part", str(p % 3)]) for p in range(6)]
    assert [p.wait() for p in parts] == [0] * 6
    assert verify(out, workers=1).faults == ()
    assert contents(out) == contents(whole)


@pytest.mark.properties
@pytest.mark.usefixtures("here")
def test_a_run_in_a_bucket_is_verified_and_mended(bucket: Bucket, tmp_path: Path) -> None:
    source = write_stack(tmp_path / "source", demo_slices(3, 64))
    url = f"{bucket.url}/run"
    run_here(plain(source), url)  # type: ignore[arg-type]
    store = Store(url)
    assert verify(url).faults == ()
    [shard] = store.names("ng/10_10_10")
    sound = store.need(shard)
    store.write(shard, sound[:40] + bytes([sound[40] ^ 1]) + sound[41:])
    quick = verify(url, "quick")
    # only listings of Google's store hold checksums
    assert bool(quick.faults) == (bucket.server.scheme == "gs") == (not quick.notes)
    assert [f.name for f in verify(url).faults] == [shard]
    store.delete("ng/info")
    done = repair(url)
    assert (done.again, done.left.faults) == ({"solve": 1, "write": 1}, ())
    assert store.need(shard) == sound
    opened = clio_argo.open(url)
    assert repr(opened) == f"<clio-argo run {url}/: complete>"
    np.testing.assert_array_equal(opened.volume().read().result(), np.stack([*demo_slices(3, 64).values()]))


@pytest.mark.properties
def test_run_says_which_units_it_did_again_and_why(wide_source: Path, tmp_path: Path) -> None:
    command = ("run", "--source", wide_source, "--out", tmp_path, "--workers", 1, "--resolution", 10)
    settings = ("--set", "alignment.skip=true", "--set", "contrast.clip_limit=0")
    assert "rerun" not in cli(*command, *settings).stdout
    (tmp_path / SHARD).unlink()
    assert "rerun: 1 unit of write: missing or damaged objects\n" in cli(*command, *settings).stdout


@pytest.mark.properties
def test_a_person_is_asked_before_unexpected_objects_go(out: Path) -> None:
    strange = out / "ng" / "mine.txt"
    strange.write_bytes(b"mine")
    # nobody answers
    asked = cli("repair", out, "--remove-foreign", "--workers", 1)
    assert (asked.returncode, strange.exists()) == (1, True)
    assert "do not belong to the run:\n  'ng/mine.txt'\nDelete them?" in asked.stderr
    assert cli("repair", out, "--remove-foreign", "--yes", "--workers", 1).returncode == 0
    assert not strange.exists()
