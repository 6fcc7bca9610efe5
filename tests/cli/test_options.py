"""Help, spellings of options that are the same, forms of output, filters, and bars by slices."""

import io
import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from rich.console import Console
from typer.testing import CliRunner

from clio_argo.argo.kube import KubeClient
from clio_argo.argo.summary import Summary
from clio_argo.cli.app import app
from clio_argo.cli.cluster import VERBS, Filter, duration
from clio_argo.cli.cluster_show import details, workflows
from clio_argo.cli.console import program, show
from clio_argo.cli.options import Cluster
from clio_argo.cli.progress import Bars
from clio_argo.model.step import Counts, Part, StepResult
from clio_argo.pipeline import PIPELINE
from tests.stacks import DEMO, cli
from tests.stores import Bucket

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
BOXES = set("─│╭╮╰╯━┃┏┓")
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}, {name: d, cluster: {server: "https://127.0.0.1:2"}}]
users: [{name: u, user: {token: t}}]
contexts:
  - {name: one, context: {cluster: c, user: u, namespace: em}}
  - {name: two, context: {cluster: d, user: u, namespace: lm}}
current-context: one
"""


def said(*arguments: object) -> str:
    return CliRunner().invoke(app, [str(a) for a in arguments]).output


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    (tmp_path / "config").write_text(KUBECONFIG)
    return tmp_path / "config"


# --- help --------------------------------------------------------------------------------------------------


def test_help_in_a_pipe_is_grouped_plain_and_not_wrapped() -> None:
    told = cli("--help")
    titles = [line.rstrip(":") for line in told.stdout.splitlines() if line.endswith(":")]
    assert titles == ["Options", "Make a volume", "Look at results", "Cluster", "Administration"]
    assert not BOXES & set(told.stdout)
    whole = r"^  verify +Compare a run with its manifest and name what is damaged, missing or unexpected\.$"
    assert re.search(whole, told.stdout, re.MULTILINE)


@pytest.mark.parametrize("command", ["run", "workflow", "workflow list", "bucket make", "template", "doctor"])
def test_every_command_knows_the_short_help(command: str) -> None:
    assert said(*command.split(), "-h") == said(*command.split(), "--help") != ""


def test_version_and_completion() -> None:
    assert said("--version").startswith("clio-argo ")
    assert "clio-argo" in cli("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1").stdout


@pytest.mark.parametrize("verb", ["list", "get", "watch", "wait", "logs", *VERBS])
def test_workflow_commands_are_known_without_that_word_and_not_listed(verb: str) -> None:
    assert said("workflow", verb, "-h").replace("clio-argo workflow ", "clio-argo ") == said(verb, "-h")
    assert f"  {verb} " not in said("-h")


# --- one name for the run's root ------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", [("R",), ("--run", "R"), ("--out", "R"), ("--run=R",), ("--out=R",)])
@pytest.mark.parametrize("command", ["verify", "repair", "show"])
def test_a_run_is_named_as_argument_and_as_where_it_was_made(
    command: str, spelling: Sequence[str], tmp_path: Path
) -> None:
    root = tmp_path / "nothing"
    told = CliRunner().invoke(app, [command, *(word.replace("R", str(root)) for word in spelling)])
    assert str(root) in str(told.exception)


def test_where_a_run_is_made_has_two_names() -> None:
    for command in ("run", "align", "submit", "doctor"):
        assert "--out, --run" in said(command, "-h")


# --- forms of output -------------------------------------------------------------------------------------------


def test_plan_is_printed_as_json_and_yaml() -> None:
    as_json, as_yaml = (said("plan", "--source", DEMO, "-o", form) for form in ("json", "yaml"))
    assert json.loads(as_json) == yaml.safe_load(as_yaml)
    assert json.loads(as_json)["plan"]["usable"] == 60


@pytest.mark.properties
def test_plan_in_a_pipe_has_no_boxes_and_no_trailing_blanks() -> None:
    told = cli("plan", "--source", DEMO, "--maxz", 3551, COLUMNS="40")
    assert not BOXES & set(told.stdout)
    assert not any(line.endswith(" ") for line in told.stdout.splitlines())
    assert "3550 to 3551" in told.stdout
    assert re.match(rf"source +{re.escape(str(DEMO))}\n", told.stdout)


class Terminal(io.StringIO):
    """Standard output of a person."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [20, 80])
def test_nothing_that_a_person_copies_is_broken_at_the_terminals_edge(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = "https://viewer.example.org/#!" + "%7B%22layers%22" * 30
    run, message = f"gs://bucket/{'folder/' * 20}", f"retry with: clio-argo workflow retry {'n' * 60} -n em"
    found = Summary("w", "em", "Failed", "t", message=message, arguments={"run": run}, outputs={"link": link})
    monkeypatch.setenv("COLUMNS", str(columns))
    for view, whole in ((details, [run, message, link]), (lambda s, now: workflows([s], now), [run, message])):
        monkeypatch.setattr(sys, "stdout", Terminal())
        show({}, None, lambda view=view: [view(found, NOW)])
        told = sys.stdout.getvalue()  # type: ignore[attr-defined]
        assert all(text in told for text in whole)


def test_commands_are_printed_as_they_can_be_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "my tools" / "bin"
    folder.mkdir(parents=True)
    (folder / "clio-argo").touch(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    typed = {"my tools/bin/clio-argo": "'my tools/bin/clio-argo'", "/elsewhere/pytest": "clio-argo"}
    for called, printed in typed.items():
        monkeypatch.setattr(sys, "argv", [called])
        assert program() == printed
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["./clio-argo"])
    assert program() == "./clio-argo"
    monkeypatch.setenv("PATH", str(folder))
    assert program() == "clio-argo"


def test_doctor_is_printed_as_json() -> None:
    findings = json.loads(said("doctor", "--source", DEMO, "-o", "json"))
    assert {f["verdict"] for f in findings} <= {"ok", "?"}
    assert f"source {DEMO}: list" in [f["name"] for f in findings]


def test_buckets_are_printed_as_json_and_yaml(gcs: Bucket) -> None:
    name = f"{gcs.name}-listed"
    said("bucket", "make", name, "--location", "us-east4")
    assert {"name": name, "location": "US-EAST4"} in json.loads(said("bucket", "list", "-o", "json"))
    assert f"gs://{name}" in said("bucket", "list")
    assert gcs.name not in [b["name"] for b in json.loads(said("bucket", "list", "-o", "json"))]
    said("bucket", "expire", name)
    assert yaml.safe_load(said("bucket", "show", name, "-o", "yaml"))["ours"] is True


# --- clusters ---------------------------------------------------------------------------------------------------


@pytest.mark.properties
def test_a_context_is_chosen_even_where_argo_server_is_named(kubeconfig: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARGO_SERVER", "127.0.0.1:9")
    one, two = (Cluster(None, context, str(kubeconfig)).connect() for context in (None, "two"))
    assert isinstance(two, KubeClient)
    assert (one.namespace, two.namespace, two.api.configuration.host) == ("em", "lm", "https://127.0.0.1:2")
    assert Cluster(None, "two").flags("lm") == "-n lm --context two"
    told = cli("list", "--kubeconfig", kubeconfig, "--context", "none")
    assert (told.returncode, "none" in told.stderr, "Traceback" in told.stderr) == (2, True, False)


@pytest.mark.properties
def test_dry_run_needs_no_cluster_and_names_its_template(tmp_path: Path) -> None:
    source = ("--source", "/mounted/slices", "--out", "gs://bucket/run", "--dry-run")
    told = cli("submit", *source, KUBECONFIG="/none", ARGO_SERVER="")
    assert (told.returncode, "setting volumes of the installation" in told.stderr) == (2, True)
    settings = tmp_path / "settings.yaml"
    volume = {"name": "slices", "mountPath": "/mounted", "source": {"persistentVolumeClaim": {"claimName": "slices"}}}
    settings.write_text(yaml.safe_dump({"volumes": [volume]}))
    told = cli("submit", *source, "--settings", settings, KUBECONFIG="/none", ARGO_SERVER="")
    assert told.returncode == 0, told.stderr
    name = yaml.safe_load(told.stdout)["spec"]["workflowTemplateRef"]["name"]
    assert f"checked against template {name}; no cluster was asked" in told.stderr


def test_workflows_are_chosen_by_state_and_age() -> None:
    ages = {"Running": 1, "Failed": 2, "Succeeded": 30}
    pairs: list[Any] = [
        (Summary(p, "em", p, "t", created=NOW - timedelta(hours=h)), {}) for p, h in reversed(ages.items())
    ]

    def names(**options: Any) -> list[str]:
        return [s.name for s, _ in Filter(**options).newest(pairs, NOW)]

    assert names() == list(ages)
    assert names(status="failed, Running") == ["Running", "Failed"]
    assert names(completed=True) == ["Failed", "Succeeded"]
    assert names(running=True) == names(limit=1) == ["Running"]
    assert names(since=duration("1d")) == ["Running", "Failed"]


def test_ages_have_units() -> None:
    assert (duration("90m"), duration("1w")) == (timedelta(minutes=90), timedelta(days=7))
    with pytest.raises(typer.BadParameter, match="12h"):
        duration("soon")


# --- bars ---------------------------------------------------------------------------------------------------------


def test_bars_count_slices_and_megabytes() -> None:
    console = Console(file=io.StringIO(), width=160, force_terminal=True)
    parts = [Part(part=0, kind="slices", first=0, last=63), Part(part=1, kind="slices", first=64, last=99)]
    with Bars(console) as bars:
        bars.stage("reduce", "find features", parts)
        bars.part("reduce", parts[0], StepResult(counts=Counts(bytes=7_000_000)))
        bars.stage("match", "fit neighbours", [])
    assert "64/100 slices, 7 MB" in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("columns", [80, 100, 110, 130, 141, 200])
def test_bars_show_the_time_left_in_terminals_of_any_width(columns: int) -> None:
    console = Console(file=io.StringIO(), width=columns, force_terminal=True, color_system=None)
    parts = [Part(part=p, kind="slices", first=50_000 * p, last=50_000 * p + 49_999) for p in range(2)]
    with Bars(console) as bars:
        for step in PIPELINE.steps:
            bars.stage(step.name, step.title, parts)
            bars.part(step.name, parts[0], StepResult(counts=Counts(bytes=123_456_000_000)))
    written = console.file.getvalue()  # type: ignore[attr-defined]
    shown = [re.sub(r"\x1b\[\??\d*[A-Za-z]", "", line) for line in written.splitlines()][-len(PIPELINE.steps) - 1 : -1]
    for step, line in zip(PIPELINE.steps, shown, strict=True):
        assert re.fullmatch(rf"{step.name} .*?50000/100000 slices, 123456 MB +[\d.]+/s +0:00:\d\d left [\d:-]+", line)
        assert len(line) <= columns
        assert ((step.title in line), ("━" in line)) == (columns >= 110, columns >= 141)
