"""What people see of workflows that Argo ran (tests/data/argo)."""

import io
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from clio_argo.argo.summary import Summary, summarise
from clio_argo.cli.cluster import read_estimate
from clio_argo.cli.cluster_show import conclusion, details, live, workflows
from clio_argo.cli.console import document
from clio_argo.model.costs import Estimate
from tests.argo.test_summary import recorded

NOW = datetime(2026, 11, 21, 12, 48, 9, tzinfo=UTC)


def seen(what: Any) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(what)
    return console.file.getvalue()  # type: ignore[attr-defined]


def rows(text: str) -> dict[str, list[str]]:
    """Lines of a table by their first word."""
    return {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}


def watched(snapshots: Iterable[Summary], terminal: bool) -> str:
    console = Console(file=io.StringIO(), width=160, force_terminal=terminal)
    live(snapshots, console, "-n em")
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_stages_are_shown_with_parts_rate_and_time_to_go() -> None:
    workflow = recorded("running")
    for node in workflow["status"]["nodes"].values():
        if node["type"] == "Pod" and node["phase"] == "Running":
            node["progress"] = "1/4"
    shown = rows(seen(details(summarise(workflow), NOW)))
    assert shown["plan"] == ["Succeeded", "1/1", "12.0/min", "5s"]
    assert shown["reduce"] == ["Running", "0/3", "3", "2.2/min", "20s", "1m0s"]
    assert shown["publish"] == ["0/1"]


def test_failures_are_shown_in_the_steps_own_words() -> None:
    shown = seen(details(summarise(recorded("failed")), NOW))
    assert "reduce(1:part:1,slices:1-2): CLIO: slice 17 cannot be read" in shown
    assert rows(shown)["reduce"][:4] == ["Failed", "2/3", "1", "1"]


def test_a_pod_that_does_not_start_is_shown_with_the_reason() -> None:
    workflow = recorded("running")
    pod = next(n for n in workflow["status"]["nodes"].values() if n["type"] == "Pod" and n["phase"] == "Running")
    pod.update(phase="Pending", message="Unschedulable: 0/3 nodes are available")
    assert "does not start: Unschedulable: 0/3 nodes are available" in seen(details(summarise(workflow), NOW))


def test_the_list_is_newest_first_and_tells_what_argos_phase_does_not() -> None:
    found = [summarise(recorded(name)) for name in ("failed", "waiting")]
    lines = seen(workflows(found, NOW + timedelta(days=1))).splitlines()
    assert [line.split()[0] for line in lines] == ["name", "wb", "wa"]
    assert "waits for a decision" in lines[2]


def test_a_failure_is_listed_where_argo_says_nothing_of_the_workflow() -> None:
    workflow = recorded("failed")
    workflow["status"]["message"] = ""
    assert "reduce(1:part:1,slices:1-2): CLIO: slice 17 cannot be read" in seen(workflows([summarise(workflow)], NOW))


def test_without_a_terminal_each_change_is_one_line() -> None:
    told = watched([summarise(recorded(n)) for n in ("running", "running", "waiting")], terminal=False)
    said = [line.partition("Z ")[2] for line in told.splitlines()]
    assert said == [
        "plan Succeeded 1/1",
        "reduce Running 0/3",
        "reduce Succeeded 3/3, 1 tried again",
        "coarsen Skipped 0/0",
        "ask Running 0/1",
        "waits for a decision: clio-argo workflow approve wa -n em (or reject)",
    ]


def test_on_a_terminal_the_table_renews_itself() -> None:
    told = watched([summarise(recorded(n)) for n in ("running", "waiting")], terminal=True)
    assert told.count("\x1b[2K") > 5
    assert "waits for a decision" in told


def test_the_last_line_says_what_to_do_next() -> None:
    *_, reason, last = conclusion(summarise(recorded("failed")), "-n em").splitlines()
    assert reason == "  reduce(1:part:1,slices:1-2): CLIO: slice 17 cannot be read"
    assert last == "fix this, then continue where it stopped: clio-argo workflow retry wb -n em"


def test_flagged_slices_are_in_the_last_line() -> None:
    workflow = recorded("waiting")
    outputs = {"link": "https://viewer/#!fly", "flagged": "3"}
    workflow["status"] |= {
        "phase": "Succeeded",
        "outputs": {"parameters": [{"name": k, "value": v} for k, v in outputs.items()]},
    }
    assert conclusion(summarise(workflow)) == "done, 3 slices flagged; look at it: https://viewer/#!fly"


def test_foreign_text_cannot_command_the_terminal() -> None:
    workflow = recorded("failed")
    for node in workflow["status"]["nodes"].values():
        node["message"] = "main: Error (exit code 2): \x1b[2J[red]"
    assert "?[2J[red]" in seen(details(summarise(workflow), NOW))


def test_objects_are_printed_as_asked_for() -> None:
    workflow = recorded("failed")
    assert document(workflow, "name") == "wb"
    assert document([workflow, workflow], "name") == "wb\nwb"
    assert json.loads(document(workflow, "json")) == yaml.safe_load(document(workflow, "yaml")) == workflow


def test_the_time_left_of_a_whole_run_follows_from_its_estimate(aligned: Path) -> None:
    found = read_estimate(str(aligned))
    assert found is not None
    running = summarise(recorded("running"))
    assert running.parallelism == 100
    left = re.search(r"left +about (\S+) for the whole run", seen(details(running, NOW, found)))
    assert left
    # eight stages of one pod each that have not begun
    assert re.fullmatch(r"[1-9]m\d+s", left[1])
    ended = summarise(recorded("failed"))
    assert "whole run" not in seen(details(ended, NOW, found)) + seen(details(running, NOW))
    assert "for the whole run" in live_text(running, ended, found)


def live_text(running: Summary, ended: Summary, found: Estimate) -> str:
    console = Console(file=io.StringIO(), width=160, force_terminal=True)
    live([running, ended], console, "", lambda _: found)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_an_estimate_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert read_estimate(str(tmp_path)) is None
    assert read_estimate("gs://no such bucket/run") is None
