"""How people are told, by a real mail server and a real webhook."""

import json
import shutil
from pathlib import Path

import pytest

from clio_argo.errors import TransientError, UserError
from clio_argo.notify import failures
from clio_argo.pipeline import PIPELINE
from clio_argo.runner import run_step
from tests.receivers import Sink, mail_server, webhook
from tests.stacks import demo_slices, request, run_here, write_stack

FAILURES = [
    {"displayName": "render(3:part:3)(0)", "message": "main: Error (exit code 1): error: slice 7 has other pixels"},
    {"displayName": "render(3:part:3)", "message": "No more retries left"},
    {"displayName": "main", "message": ""},
]


def notify(url: Path | str, monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return run_step(PIPELINE["notify"], str(url), 0).note


def test_a_finished_run(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(demo / "transforms.json", tmp_path)
    done = json.loads((demo / "complete.json").read_text())
    (tmp_path / "complete.json").write_text(json.dumps({**done, "notes": ["two slices came later"]}))
    config = json.loads((demo / "config.json").read_text())
    told = {**config, "notify": {"email": ["a@example.org", "b@example.org"]}}
    (tmp_path / "config.json").write_text(json.dumps(told))
    sink = Sink()
    with mail_server(sink) as server, webhook() as (hook, got):
        sent = notify(
            tmp_path, monkeypatch, CLIO_STATUS="Succeeded", CLIO_FAILURES='"null"', CLIO_WEBHOOK_URL=hook,
            CLIO_SMTP_URL=f"smtp://lab:p%40ss@{server}", CLIO_MAIL_FROM="clio@example.org",
        )  # fmt: skip
    assert sent == "sent: mail, webhook"
    [mail], [posted] = sink.mails, got
    assert (mail["From"], mail["To"]) == ("clio@example.org", "a@example.org, b@example.org")
    assert mail["Subject"] == "clio-argo: test complete_with_flags"
    assert sink.users == ["lab:p@ss"]
    assert "z 3513: bad" in mail.get_content()
    assert "two slices came later" in mail.get_content()
    assert posted["text"].splitlines() == mail.get_content().splitlines()
    assert posted["outcome"] == "complete_with_flags"
    assert posted["link"] in posted["text"]
    assert [f.split(":")[0] for f in posted["flagged"]] == ["z 3513"]


def test_a_run_that_failed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before plan wrote anything: the request is in the environment."""
    wanted = request(tmp_path, notify__email="a@example.org").model_dump_json()
    sink = Sink()
    with mail_server(sink) as server:
        notify(
            tmp_path / "run", monkeypatch, CLIO_REQUEST=wanted, CLIO_STATUS="Failed",
            CLIO_FAILURES=json.dumps(json.dumps(FAILURES)), CLIO_SMTP_URL=f"smtp://{server}",
        )  # fmt: skip
    [mail] = sink.mails
    assert mail["Subject"] == "clio-argo: test failed"
    assert "render(3:part:3)(0): Error (exit code 1): error: slice 7 has other pixels" in mail.get_content()
    assert "retries" not in mail.get_content()


def test_a_rejected_run_is_not_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = run_here(request(write_stack(tmp_path / "stack", demo_slices(3))), tmp_path / "run", stop_before="render")
    with webhook() as (hook, got):
        notify(out, monkeypatch, CLIO_STATUS="Succeeded", CLIO_WEBHOOK_URL=hook)
    assert got[0]["outcome"] == "ended before the volume was made"
    assert got[0]["link"] is None


def test_nothing_set_up_tells_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert notify(tmp_path, monkeypatch, CLIO_STATUS="Failed") == ""


@pytest.mark.parametrize(("status", "error"), [(404, UserError), (429, TransientError), (503, TransientError)])
def test_a_webhook_that_refuses(
    status: int, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with webhook(status) as (hook, _), pytest.raises(error, match=f"the webhook .*: {status}"):
        notify(tmp_path, monkeypatch, CLIO_WEBHOOK_URL=hook)


@pytest.mark.parametrize(("answer", "error"), [("550 no such box", UserError), ("451 greylisted", TransientError)])
def test_a_mail_server_that_refuses(
    answer: str, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = request(tmp_path, notify__email="a@example.org").model_dump_json()
    with mail_server(Sink(answer)) as server, pytest.raises(error, match=answer[4:]):
        notify(tmp_path / "run", monkeypatch, CLIO_REQUEST=wanted, CLIO_SMTP_URL=f"smtp://{server}")


def test_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TransientError, match="the webhook does not answer"):
        notify(tmp_path, monkeypatch, CLIO_WEBHOOK_URL="http://127.0.0.1:9/")
    with pytest.raises(UserError, match="CLIO_WEBHOOK_URL: expected http"):
        notify(tmp_path, monkeypatch, CLIO_WEBHOOK_URL="file:///etc/passwd")


@pytest.mark.parametrize("text", ["", "null", '"null"', "{", "[]"])
def test_no_failures(text: str) -> None:
    assert failures(text) == []
