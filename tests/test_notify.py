"""How people are told, by a real mail server and a real webhook."""

import json
import shutil
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clio_argo import notify as notification
from clio_argo.container import run_part
from clio_argo.errors import ClioError, TransientError, UserError
from clio_argo.notify import failures
from clio_argo.pipeline import PIPELINE
from clio_argo.runner import run_step
from tests.receivers import Sink, mail_server, self_signed, webhook
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


@pytest.mark.properties
def test_a_finished_run(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(demo / "transforms.json", tmp_path)
    done = json.loads((demo / "complete.json").read_text())
    (tmp_path / "complete.json").write_text(
        json.dumps({**done, "notes": ["two slices came later"], "registered": "dataset fly"})
    )
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
    assert "two slices came later\ndataset fly" in "\n".join(mail.get_content().splitlines())
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
    assert "render(3:part:3)(0): error: slice 7 has other pixels" in mail.get_content()
    assert "retries" not in mail.get_content()


@pytest.mark.properties
@pytest.mark.parametrize("held", [True, False])
def test_a_root_that_plan_refused_stays_as_it_is(
    held: bool, tmp_path: Path, demo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds somebody else's run, or nothing; only people of the request that was refused are told."""
    root = tmp_path / "run"
    if held:
        shutil.copytree(demo, root)
    before = {f: f.read_bytes() for f in root.rglob("*") if f.is_file()}
    wanted, sink = request(tmp_path / "none", notify__email="a@example.org").model_dump_json(), Sink()
    monkeypatch.setenv("CLIO_LOST", "preempted")
    monkeypatch.setenv("CLIO_REQUEST", wanted)
    with mail_server(sink) as server:
        monkeypatch.setenv("CLIO_SMTP_URL", f"smtp://{server}")
        for name in ("plan", "notify"):
            with suppress(ClioError):
                run_part(PIPELINE, PIPELINE[name], str(root), 0)
    assert [mail["To"] for mail in sink.mails] == ["a@example.org"]
    assert {f: f.read_bytes() for f in root.rglob("*") if f.is_file()} == before


def test_a_request_that_cannot_be_read_is_told_to_the_webhook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with webhook() as (hook, got):
        notify(tmp_path, monkeypatch, CLIO_REQUEST="{", CLIO_STATUS="Failed", CLIO_WEBHOOK_URL=hook)
    assert [(g["id"], g["outcome"]) for g in got] == [("unknown", "failed")]


@pytest.mark.properties
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


def test_a_mail_server_without_encryption_gets_nothing_unless_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a server of this machine stands for one of another
    monkeypatch.setattr(notification, "ip_address", lambda _: ip_address("192.0.2.1"))
    wanted, sink = request(tmp_path, notify__email="a@example.org").model_dump_json(), Sink()
    with mail_server(sink) as server:
        with pytest.raises(UserError, match=r"offers no encryption; CLIO_SMTP_URL with smtp\+plain://"):
            notify(tmp_path / "run", monkeypatch, CLIO_REQUEST=wanted, CLIO_SMTP_URL=f"smtp://lab:secret@{server}")
        assert (sink.mails, sink.users) == ([], [])
        notify(tmp_path / "run", monkeypatch, CLIO_SMTP_URL=f"smtp+plain://{server}")
    assert len(sink.mails) == 1


def test_a_mail_server_whose_certificate_is_not_valid_gets_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, sink = request(tmp_path, notify__email="a@example.org").model_dump_json(), Sink()
    with (
        mail_server(sink, certificate=self_signed(tmp_path)) as server,
        pytest.raises(UserError, match=r"certificate of the mail server 127\.0\.0\.1 is not valid: self"),
    ):
        notify(tmp_path / "run", monkeypatch, CLIO_REQUEST=wanted, CLIO_SMTP_URL=f"smtp://lab:secret@{server}")
    assert (sink.mails, sink.users) == ([], [])


@pytest.mark.properties
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_of_a_webhook_are_not_followed(status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        webhook() as (other, seen),
        webhook(status, location=other) as (hook, _),
        pytest.raises(UserError, match=f"{status} .*not followed"),
    ):
        notify(tmp_path, monkeypatch, CLIO_WEBHOOK_URL=hook)
    assert seen == []


def test_the_webhook_is_told_though_the_mail_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = request(tmp_path, notify__email="a@example.org").model_dump_json()
    with webhook() as (hook, got), pytest.raises(TransientError, match="mail server"):
        notify(
            tmp_path / "run",
            monkeypatch,
            CLIO_REQUEST=wanted,
            CLIO_SMTP_URL="smtp://127.0.0.1:9",
            CLIO_WEBHOOK_URL=hook,
        )
    assert len(got) == 1


def test_a_recipient_whom_the_server_does_not_know_is_named_and_the_others_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, sink = request(tmp_path, notify__email=["a@example.org", "b@example.org"]), Sink(unknown="a@example.org")
    with mail_server(sink) as server:
        variables = {"CLIO_REQUEST": wanted.model_dump_json(), "CLIO_SMTP_URL": f"smtp://{server}"}
        assert notify(tmp_path / "run", monkeypatch, **variables) == "sent: mail (refused for a@example.org)"
    assert len(sink.mails) == 1


def test_whoever_can_be_told_is_told_of_a_damaged_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("config.json", "complete.json", "transforms.json"):
        (tmp_path / name).write_bytes(b"{")
    wanted = request(tmp_path, id="fly\r\nBcc: x@example.org\x1b", notify__email="a@example.org").model_dump_json()
    odd = [
        {"displayName": "a\nb", "message": "main: Error (exit code 1): \x1b[2J\ud800 died\r\nhere"},
        None,
        3,
        {"message": ["main: "]},
    ]
    sink = Sink()
    with mail_server(sink) as server:
        notify(
            tmp_path, monkeypatch, CLIO_REQUEST=wanted, CLIO_STATUS="Failed\n\x1b", CLIO_FAILURES=json.dumps(odd),
            CLIO_SMTP_URL=f"smtp://{server}",
        )  # fmt: skip
    [mail] = sink.mails
    assert (mail["Subject"], mail["Bcc"]) == (r"clio-argo: fly Bcc: x@example.org\x1b failed \x1b", None)
    assert r"a b: \x1b[2J\ud800 died" + "\nhere" in mail.get_content().replace("\r", "")


@pytest.mark.parametrize("address", ["a@example.org\nBcc: b@example.org", "\x1b", "", " ", "a\u2028@b"])
def test_an_address_that_would_begin_another_line_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(UserError, match=r"notify\.email: an address"):
        request(tmp_path, notify__email=[address])


@given(
    to=st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1), min_size=1, max_size=3),
    sender=st.text(max_size=20),
    name=st.text(st.characters(exclude_categories=["Cs"])),
    status=st.text(max_size=9),
)
def test_any_mail_is_one_or_refused(to: list[str], sender: str, name: str, status: str) -> None:
    with suppress(UserError):
        message = notification._mail(sender, to, notification.Outcome(id=name, run="x", outcome=status))
        assert len(message.as_bytes().split(b"\n\n", 1)[0].splitlines()) < 40


@settings(max_examples=settings().max_examples // 4)
@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.just("main: x"),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["displayName", "message"]) | st.text(), inner),
    )
)
def test_any_list_of_failures_is_read(value: object) -> None:
    for text in (json.dumps(value), json.dumps(json.dumps(value)), str(value)):
        assert all(line.encode() for line in failures(text))


def test_a_lost_try_is_told_only_where_nothing_tells_more() -> None:
    lost = {"displayName": "render(3)(0)", "message": "main: Error (exit code 143): stopped by SIGTERM; the next try"}
    group = {"displayName": "all", "message": "child 'fly-1' failed"}
    late = {"displayName": "fly", "message": "Step exceeded its deadline"}
    same = {"displayName": "render(4)(0)", "message": FAILURES[0]["message"]}
    assert failures(json.dumps([lost, *FAILURES, same])) == ["render(3:part:3)(0): error: slice 7 has other pixels"]
    assert failures(json.dumps([group, lost, late])) == [
        "fly: Step exceeded its deadline (setting deadlineHours of the installation)"
    ]
    assert failures(json.dumps([lost, group])) == ["render(3)(0): stopped by SIGTERM; the next try"]


@pytest.mark.parametrize("text", ["", "null", '"null"', "{", "[]", "3", '{"a": 1}', "[" * 100_000])
def test_no_failures(text: str) -> None:
    assert failures(text) == []
