"""Passwords, tokens and keys that a run is given: none of them is in anything that it says or leaves."""

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from clio_argo.argo.manifests import manifests
from clio_argo.argo.settings import ClusterSettings
from clio_argo.argo.submit import request_arguments, workflow
from clio_argo.argo.workflow import workflow_template
from clio_argo.errors import ClioError
from clio_argo.model.request import Request
from clio_argo.notify import Outcome, post, send_mail
from tests.faults.attempts import Conditions, Ended, attempt, run_apart
from tests.receivers import Sink, mail_server, webhook
from tests.stacks import cli, request

SECRET = "hunter2-Zq7"
TOLD = Outcome(id="fly", run="gs://bucket/fly", outcome="complete")
CLOSED = "127.0.0.1:9"
ENVIRONMENT = {
    "CLIO_SMTP_URL": f"smtp://lab:{SECRET}@{CLOSED}",
    "CLIO_WEBHOOK_URL": f"http://{CLOSED}/{SECRET}",
    "AWS_ACCESS_KEY_ID": f"AKIA{SECRET}",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_SESSION_TOKEN": SECRET,
    "ARGO_TOKEN": f"Bearer {SECRET}",
    "CLIO_STORE_TOKEN": SECRET,
    "GOOGLE_AUTH_TOKEN_FOR_TESTING": SECRET,
}


def holds_secret(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.is_file() and SECRET.encode() in p.read_bytes()]


@pytest.mark.properties
def test_nothing_that_a_run_says_or_leaves_holds_a_secret(stack: Path, tmp_path: Path) -> None:
    out = tmp_path / "run" / "out"
    out.parent.mkdir()
    under = Conditions({**ENVIRONMENT, "CLIO_OUTPUTS": str(tmp_path / "outputs")})
    asked = {"notify__email": ("a@example.org",), "register__store": f"http://{CLOSED}"}
    ended = run_apart(request(stack, max_parts=1, **asked), out, under)
    assert ended.code == 0, ended.said
    assert attempt("notify", out, 0, under).code == 75  # nobody listens there
    assert (tmp_path / "outputs" / "error").read_text()
    assert list(out.rglob("*.shard"))
    assert holds_secret(tmp_path) == []


@pytest.mark.properties
def test_a_refusal_shows_no_secret(stack: Path, undisturbed: Path, tmp_path: Path) -> None:
    with webhook(403) as (hook, _), mail_server(Sink("550 no mail for you")) as server:
        urls = (
            {"CLIO_WEBHOOK_URL": f"{hook}/{SECRET}"},
            {"CLIO_WEBHOOK_URL": f"ftp://{SECRET}"},
            {"CLIO_WEBHOOK_URL": f"{hook}/\n{SECRET}"},
            {"CLIO_SMTP_URL": f"smtp://lab:{SECRET}@{server}"},
            {"CLIO_SMTP_URL": f"smtp://lab:{SECRET}/x@{server}"},
            {"CLIO_SMTP_URL": SECRET},
        )
        ended = [refused(undisturbed, tmp_path, url) for url in urls]
    assert [e.code for e in ended] == [2] * 6, [e.said for e in ended]
    assert not [e.said for e in ended if SECRET in e.said or "Traceback" in e.said]


def refused(undisturbed: Path, tmp_path: Path, url: dict[str, str]) -> Ended:
    """The last step, of a run that asks for a mail."""
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    config = json.loads((undisturbed / "config.json").read_text())
    (out / "config.json").write_text(json.dumps({**config, "notify": {"email": ["a@example.org"]}}))
    return attempt("notify", out, 0, Conditions(url))


@pytest.mark.properties
@given(st.text(min_size=1, max_size=12).map(lambda t: f"{SECRET}{t}{SECRET}"))
@settings(max_examples=settings().max_examples // 2)
def test_no_url_that_cannot_be_used_is_shown(secret: str) -> None:
    for send in (
        lambda: send_mail(f"smtp://lab:{secret}@{CLOSED}", "a@example.org", ["b@example.org"], TOLD),
        lambda: post(f"http://{CLOSED}/{secret}", {}),
    ):
        with pytest.raises(ClioError) as told:
            send()
        assert SECRET not in str(told.value)


@pytest.mark.properties
def test_no_workflow_and_no_manifest_holds_a_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    cluster = ClusterSettings(notification_secret="clio-argo-notify")
    template = dict(workflow_template(cluster=cluster).to_dict())
    config = Request(id="fly", source="gs://slices/fly")
    made = workflow("clio-argo", request_arguments(config, "gs://bucket/fly", template), {"name": "a"}, {})
    assert SECRET not in yaml.safe_dump_all([template, made, *manifests(cluster=cluster).values()])
    assert SECRET not in cli("template").stdout


@pytest.mark.properties
@pytest.mark.parametrize(
    "arguments", [("list",), ("get", "fly"), ("submit", "--source", "gs://a/b", "--run", "gs://c/d")]
)
def test_a_command_for_a_cluster_that_does_not_answer_shows_no_secret(arguments: tuple[str, ...]) -> None:
    told: subprocess.CompletedProcess[str] = cli(*arguments, ARGO_SERVER=CLOSED, **ENVIRONMENT)
    assert told.returncode == 75, told.stderr
    assert SECRET not in told.stdout + told.stderr
    assert "Traceback" not in told.stderr
