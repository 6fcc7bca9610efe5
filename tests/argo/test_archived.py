"""Logs of pods that are gone come from where Argo keeps them: from the bucket itself, or through Argo Server."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from clio_argo.argo.archived import archived_at, archived_lines
from clio_argo.argo.logs import LogLine, step_lines
from clio_argo.errors import MissingInput
from tests.argo.test_summary import recorded

Json = dict[str, Any]
EXECUTOR = 'time="2026-11-29T19:00:00Z" level=info msg="capturing logs" argo=true'


def kept() -> tuple[Json, str]:
    """A workflow that left the log of one node, and the node."""
    workflow = recorded("failed")
    node = next(n for n in workflow["status"]["nodes"].values() if n["templateName"] == "plan" and n["type"] == "Pod")
    log = {"name": "main-logs", "gcs": {"key": "clio-argo/wb/wb-plan-1/main.log"}}
    node["outputs"] = {**node.get("outputs", {}), "artifacts": [log]}
    workflow["status"]["artifactRepositoryRef"] = {"artifactRepository": {"gcs": {"bucket": "logs"}}}
    return workflow, node["id"]


def test_the_place_of_a_log_is_that_of_the_controllers_repository() -> None:
    workflow, node = kept()
    assert archived_at(workflow, node) == ("gs://logs/clio-argo/wb/wb-plan-1", "main.log")
    workflow["status"]["nodes"][node]["outputs"]["artifacts"][0]["gcs"]["bucket"] = "own"
    assert archived_at(workflow, node)[0].startswith("gs://own/")


def test_a_node_without_a_log_is_named() -> None:
    workflow, node = kept()
    workflow["status"]["nodes"][node]["outputs"] = {}
    with pytest.raises(MissingInput, match=re.escape(node)):
        archived_at(workflow, node)


def test_lines_of_pods_that_are_gone_are_named_as_those_of_others() -> None:
    workflow, node = kept()
    number = node.rpartition("-")[2]

    def read(_: Json, asked: str) -> Iterator[str]:
        assert asked == node
        return step_lines([f"{EXECUTOR}\nplanned 3 parts\n".encode()])

    assert list(archived_lines(read, workflow, {number})) == [LogLine(f"wb-plan-{number}", "planned 3 parts")]
    assert list(archived_lines(read, workflow, set())) == []
