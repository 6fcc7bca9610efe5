"""Who is told what while a stack is recorded, and when that ends: by a real mail server and a real webhook."""

import shutil
import subprocess
import time
from base64 import b64decode
from pathlib import Path

import cv2
import numpy as np
import pytest

from clio_argo.container import run_part
from clio_argo.errors import UserError
from clio_argo.follow.loop import MISSING_LOOKS
from clio_argo.pipeline import PIPELINE
from clio_argo.store.documents import Store
from clio_argo.workspace.logs import read_attempts
from tests.follow.desk import Desk, settled
from tests.receivers import Sink, mail_server, webhook
from tests.stacks import (
    CLI,
    DEMO,
    FIRST,
    NAME,
    cli,
    completion,
    demo_slice,
    demo_slices,
    encoded,
    request,
    run_here,
    write_stack,
)  # fmt: skip

SIZE = 128
BLACK = np.zeros((SIZE, SIZE), np.uint8)


@pytest.fixture(autouse=True)
def _at_once() -> object:
    with settled():
        yield


def recorded(folder: Path, count: int = 4, **settings: object) -> Desk:
    """A desk with some slices that were judged."""
    desk = Desk(folder, **settings)
    for z, image in demo_slices(count, SIZE).items():
        desk.record(z, image)
    desk.look()
    return desk


def test_people_get_the_reason_and_a_picture_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink, wrong = Sink(), FIRST + 4
    with mail_server(sink) as server, webhook() as (hook, got):
        monkeypatch.setenv("CLIO_SMTP_URL", f"smtp://{server}")
        monkeypatch.setenv("CLIO_WEBHOOK_URL", hook)
        desk = recorded(tmp_path, notify__email="a@example.org")
        assert (sink.mails, got) == ([], [])
        desk.record(wrong, BLACK)
        desk.look()
        desk.look()
        desk.sit_down()
        desk.look()
    [mail], [posted] = sink.mails, got
    line = f"z {wrong}: bad, shows nothing: 100% of it is of one grey value"
    # a header that is long begins on a line of its own
    assert mail["Subject"].strip() == f"clio-argo: test: {line}"
    [text, attached] = mail.iter_parts()
    assert line in text.get_content()
    assert str(desk.out) in text.get_content()
    image = cv2.imdecode(np.frombuffer(attached.get_content(), np.uint8), cv2.IMREAD_UNCHANGED)
    # two neighbours, then the black one
    assert (image[:, : SIZE // 2].std() > 10, image[:, -SIZE // 2 : -10].max()) == (True, 0)
    assert (posted["id"], posted["kinds"], posted["lines"]) == ("test", ["bad"], [line])
    assert b64decode(posted["pictures"][f"{wrong}.png"]) == attached.get_content()
    assert posted["text"].splitlines() == text.get_content().splitlines()


def test_what_nobody_asked_for_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with webhook() as (hook, got):
        monkeypatch.setenv("CLIO_WEBHOOK_URL", hook)
        desk = recorded(tmp_path, follow__notify_on="stalled")
        desk.record(FIRST + 4, BLACK)
        desk.look()
    assert (got, desk.judged[FIRST + 4].verdict) == ([], "bad")


def test_many_faults_are_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with webhook() as (hook, got):
        monkeypatch.setenv("CLIO_WEBHOOK_URL", hook)
        desk = recorded(tmp_path)
        for z in range(FIRST + 4, FIRST + 34):
            desk.record(z, BLACK)
        desk.look()
    [posted] = got
    assert (len(posted["lines"]), len(posted["pictures"])) == (30, 5)
    assert "and 10 more" in posted["text"]


def test_a_server_that_is_away_gets_it_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIO_WEBHOOK_URL", "http://127.0.0.1:9/")
    desk = recorded(tmp_path)
    desk.record(FIRST + 4, BLACK)
    desk.look()
    assert "people were not notified yet: the webhook does not answer" in desk.page
    with webhook() as (hook, got):
        monkeypatch.setenv("CLIO_WEBHOOK_URL", hook)
        desk.look()
    assert [p["kinds"] for p in got] == [["bad"]]
    assert "not notified" not in desk.page


def test_a_server_that_refuses_for_good_is_named_and_slices_are_judged_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with webhook(403) as (hook, got):
        monkeypatch.setenv("CLIO_WEBHOOK_URL", hook)
        desk = recorded(tmp_path)
        desk.record(FIRST + 4, BLACK)
        desk.look()
        assert "people cannot be notified: the webhook refuses: 403" in desk.page
        desk.record(FIRST + 5, demo_slice(FIRST + 5, SIZE))
        assert [s.z for s in desk.look().arrived] == [FIRST + 5]
    assert len(got) == 1


def test_a_gap_is_told_when_nothing_fills_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with webhook() as (hook, got):
        monkeypatch.setenv("CLIO_WEBHOOK_URL", hook)
        desk = recorded(tmp_path)
        desk.record(FIRST + 5, demo_slice(FIRST + 5, SIZE))
        for _ in range(MISSING_LOOKS - 1):
            desk.look()
        assert got == []
        for _ in range(3):
            desk.look()
        desk.sit_down()
        for _ in range(4):
            desk.look()
    assert [p["lines"] for p in got] == [[f"z {FIRST + 4}: missing"]]


def test_a_microscope_that_stands_still_is_told_once_for_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with webhook() as (hook, got):
        monkeypatch.setenv("CLIO_WEBHOOK_URL", hook)
        desk = recorded(tmp_path, follow__stalled_after="0.3s")
        for z in (FIRST + 4, FIRST + 5):
            time.sleep(0.4)
            desk.look()
            desk.look()
            desk.record(z, demo_slice(z, SIZE))
            desk.look()
    assert [p["lines"] for p in got] == [["no slice came for 0.3s"]] * 2


def test_time_without_slices_is_counted_over_restarts_and_not_while_the_source_is_away(tmp_path: Path) -> None:
    desk = recorded(tmp_path)
    time.sleep(0.3)
    desk.look()
    idle = desk.state.idle_s
    assert idle >= 0.3
    desk.sit_down()
    time.sleep(0.2)
    desk.look()
    # tenths, whose sums are no tenths
    assert round(desk.state.idle_s - idle, 3) >= 0.2
    before = desk.state.idle_s
    desk.source.rename(tmp_path / "away")
    time.sleep(0.3)
    assert desk.look().blind
    assert (desk.state.idle_s, f"{desk.source} is gone" in desk.page) == (before, True)


def test_a_source_that_is_away_is_told_and_is_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with webhook() as (hook, got):
        monkeypatch.setenv("CLIO_WEBHOOK_URL", hook)
        desk = recorded(tmp_path, follow__stalled_after="0.2s", follow__until_idle="0.4s")
        desk.source.rename(tmp_path / "away")
        for _ in range(4):
            time.sleep(0.2)
            assert desk.look().blind
    assert not desk.following.has_ended
    [posted] = got
    assert posted["lines"] == [f"no slice came for 0.2s; {desk.source} is gone"]


@pytest.mark.properties
def test_a_transfer_that_never_ends_is_no_reason_to_wait_for_ever(tmp_path: Path) -> None:
    desk = recorded(tmp_path, follow__until_idle="0.5s", follow__incomplete_after="2s")
    (desk.source / "iso.03494.png.part").write_bytes(b"x")
    assert desk.look().moving
    time.sleep(2.2)
    look = desk.look()
    assert (look.moving, look.waiting) == (False, ("iso.03494.png.part: a transfer under way",))
    time.sleep(0.5)
    desk.look()
    assert desk.following.has_ended


@pytest.mark.properties
def test_the_command_ends_when_nothing_comes_and_names_the_next(tmp_path: Path) -> None:
    source = tmp_path / "in"
    shutil.copytree(DEMO, source, ignore=lambda _, names: [n for n in names if n > NAME % (FIRST + 4)])
    asked = ["--source", source, "--image", NAME, "--out", tmp_path / "run"]
    done = cli("follow", *asked, "--every", "0.2s", "--until-idle", "1s", "--set", "resolution=8")
    assert done.returncode == 0, done.stderr
    assert "5 slices judged, 0 to be looked at, 0 missing" in done.stdout
    following = done.stdout.split("next: ")[1].strip()
    assert following.endswith(f"run --source {source} --image {NAME} --out {tmp_path / 'run'} --set resolution=8")
    short = ("--set", "follow.until_idle=1s", "--every", "0.2s")
    again = cli("follow", *asked, "--set", "resolution=8", *short, "-o", "json")
    assert '"slices": 5' in again.stdout


@pytest.mark.properties
def test_ctrl_c_says_that_the_command_goes_on(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / (NAME % FIRST)).write_bytes(encoded(demo_slice(FIRST, SIZE)))
    command = [CLI, "follow", "--source", str(tmp_path / "in"), "--out", str(tmp_path / "run"), "--every", "0.2s"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 30
        while not (tmp_path / "run" / "follow.html").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        process.terminate()
        _, said = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "the same command continues where it stopped" in said


@pytest.mark.parametrize(
    ("setting", "value"), [("every", "soon"), ("notify_on", "all"), ("until_idle", "-1h"), ("jump_px", -1)]
)
def test_settings_that_cannot_be_meant_are_named(tmp_path: Path, setting: str, value: object) -> None:
    with pytest.raises(UserError, match=f"follow.{setting}"):
        request(tmp_path, **{f"follow__{setting}": value})


@pytest.mark.parametrize("slices", [0, 3])
def test_a_pod_follows_and_leaves_nothing_where_no_slice_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slices: int
) -> None:
    source, out = write_stack(tmp_path / "source", demo_slices(slices, SIZE)), tmp_path / "out"
    asked = request(source, follow__every="0.1s", follow__until_idle="0.3s")
    monkeypatch.setenv("CLIO_REQUEST", asked.model_dump_json())
    monkeypatch.setenv("CLIO_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.setenv("CLIO_LOST", "preempted")
    run_part(PIPELINE, PIPELINE["follow"], Store(str(out)).url, 0)
    assert (tmp_path / "outputs" / "request" / "config.json").exists() == bool(slices)
    if not slices:
        assert Store(str(out)).names() == []
        return
    attempts, _ = read_attempts(Store(str(out)))
    assert {(a.step, a.outcome, a.done) for a in attempts} == {("follow", "preempted", 0), ("follow", "done", 3)}
    assert completion(run_here(asked, out)).slices == 3
