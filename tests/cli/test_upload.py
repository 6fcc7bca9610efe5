"""`upload`: what is said before and after, what is refused, and what Ctrl-C leaves."""

import json
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from clio_argo.cli import upload
from clio_argo.cli.app import app
from clio_argo.errors import ClioError, UserError
from clio_argo.store.documents import Store
from tests.stacks import CLI
from tests.stores import Bucket


def called(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["upload", *map(str, arguments)])


def test_a_stack_is_sent_once(gcs: Bucket, stack: Path) -> None:
    to = f"{gcs.url}/fly"
    tried = called(stack, to, "--dry-run")
    assert re.fullmatch(r"6 files \([\d.]+ kB\) would be sent\n", tried.stdout)
    assert Store(to).names() == []
    first = called(stack, to)
    size = sum(p.stat().st_size for p in stack.iterdir()) / 1000
    assert f"6 files ({size:.1f} kB) for {to}/: 0 files (0 bytes) of them there already\n" in first.stderr
    assert f"6 files ({size:.1f} kB) sent; sizes and CRC32C of all objects are those of the files\n" in first.stdout
    assert f"init {to}/ -o FILE.yaml" in first.stdout
    assert Store(to).names() == sorted(p.name for p in stack.iterdir())
    before = len(gcs.log())
    again = json.loads(called(stack, to, "-o", "json").stdout)
    assert not [line for line in gcs.log()[before:] if line.startswith("POST")]
    assert (again["present"]["files"], again["missing"]["files"], again["left_out"]) == (6, 0, {})


def test_a_place_that_holds_another_stack_is_refused_with_names(gcs: Bucket, stack: Path) -> None:
    store, name = Store(gcs.url), sorted(p.name for p in stack.iterdir())[0]
    store.write(name, b"another")
    store.write("bee.png", b"1")
    for more in ((), ("--dry-run",), ("--replace",), ("--keep-others",)):
        refused = called(stack, gcs.url, *more)
        assert isinstance(refused.exception, UserError)
        text = str(refused.exception)
        assert ("1 object not in DIR: bee.png (--keep-others" in text) == ("--keep-others" not in more)
        assert (f"1 object with other contents: {name} (--replace" in text) == ("--replace" not in more)
    assert (store.read(name), len(store.names())) == (b"another", 2)
    assert called(stack, gcs.url, "--replace", "--keep-others").exit_code == 0
    assert (store.read(name), store.read("bee.png")) == ((stack / name).read_bytes(), b"1")


def test_a_bucket_that_is_missing_is_one_error_that_says_how_to_make_it(gcs: Bucket, stack: Path) -> None:
    told = called(stack, "gs://no-such-bucket-here/x")
    assert (told.stdout, told.stderr) == ("", "")
    assert str(told.exception).splitlines()[0] == (
        "gs://no-such-bucket-here/x/: there is no bucket gs://no-such-bucket-here (404): look at its name, or make it "
        "(clio-argo bucket make NAME --location REGION); then run the same command again; it goes on where it stopped"
    )


def test_one_file_is_one(gcs: Bucket, stack: Path) -> None:
    [one, *_] = sorted(stack.iterdir())
    assert called(one, gcs.url, "--dry-run").stdout.startswith("1 file (")


def test_what_is_left_out_is_said(gcs: Bucket, tmp_path: Path) -> None:
    for name in ("a.png", ".b.png", "c.png.part"):
        (tmp_path / name).write_bytes(b"1")
    said = called(tmp_path, gcs.url).stderr
    assert "left out: hidden (1): .b.png\nleft out: transfers under way (1): c.png.part\n" in said


def test_a_file_that_changes_meanwhile_ends_with_1(
    gcs: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"1")
    monkeypatch.setattr(upload.Meter, "tell", lambda *_: file.write_bytes(b"22"))
    told = called(tmp_path, gcs.url).exception
    assert isinstance(told, ClioError)
    assert told.exit_code == 1
    assert "  - a.png: the file changed while it was uploaded" in str(told)


def test_a_log_gets_lines_with_rate_and_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "EVERY_S", 0)
    with upload.Meter("upload", 10**9) as meter:
        for _ in range(3):
            meter.tell(10**6)
            time.sleep(0.01)
    line = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(r"upload: 3\.0 MB of 1\.0 GB, [\d.]+ [kMG]B/s, \d+ s left", line)


@pytest.mark.properties
@pytest.mark.parametrize("sent", [1, 4])
def test_killed_halfway_the_same_command_sends_the_rest(gcs: Bucket, tmp_path: Path, sent: int) -> None:
    files = {f"{i:02}.png": bytes([i]) * 200_000 for i in range(40)}
    (tmp_path / "slices").mkdir()
    for name, data in files.items():
        (tmp_path / "slices" / name).write_bytes(data)
    before = len(gcs.log())
    process = subprocess.Popen([CLI, "upload", tmp_path / "slices", gcs.url], stderr=subprocess.PIPE)
    while sum("/upload/" in line for line in gcs.log()[before:]) < sent:
        time.sleep(0.001)
    process.kill()
    process.communicate(timeout=10)
    there = set(Store(gcs.url).names())
    assert there < files.keys()
    again = called(tmp_path / "slices", gcs.url, "-o", "json")
    assert json.loads(again.stdout)["present"]["files"] >= len(there)
    assert {name: Store(gcs.url).read(name) for name in Store(gcs.url).names()} == files


@pytest.mark.properties
def test_ctrl_c_ends_at_once_without_a_trace(gcs: Bucket, stack: Path) -> None:
    gcs.fault("POST .*/upload/", 503, 1000)
    before = len(gcs.log())
    process = subprocess.Popen([CLI, "upload", stack, gcs.url], stderr=subprocess.PIPE, text=True)
    while not any("/upload/" in line for line in gcs.log()[before:]):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=10)
    assert process.returncode == 130
    assert told.splitlines()[-1] == "stopped; the same command continues where it stopped"
    assert "Traceback" not in told
