"""The expression by which Argo tries a pod again, as it is emitted, for what becomes of pods on real clusters."""

import re
from typing import Any

import pytest

from clio_argo.argo.workflow import workflow_template
from clio_argo.pipeline import PIPELINE

# how a pod ended, as Argo knows it: status, exit code of the step, message
ENDS: dict[str, tuple[tuple[str, str, str], bool]] = {
    "evicted, and nobody knows its container any more": (
        ("Failed", "137", "main: ContainerStatusUnknown (exit code 137): The container could not be located when the "
         "pod was terminated"), True,
    ),
    "evicted": (("Failed", "-1", "The node was low on resource: memory. Threshold quantity: 100Mi"), True),
    "rejected by the node": (("Failed", "-1", "Pod was rejected: Node didn't have enough resource: cpu"), True),
    "preempted": (("Failed", "143", "main: Error (exit code 143): stopped by SIGTERM"), True),
    "out of memory": (("Failed", "137", "main: OOMKilled (exit code 137)"), True),
    "a fault that passes": (("Failed", "75", "main: Error (exit code 75): no answer"), True),
    "deleted": (("Error", "-1", "pod deleted"), True),
    "the limit of a try": (("Failed", "137", "Pod was active on the node longer than the specified deadline"), False),
    "the limit of the workflow": (("Failed", "143", "Step exceeded its deadline"), False),
    "the user's error": (("Failed", "2", "main: Error (exit code 2): slice 17"), False),
    "an error of the software": (("Failed", "1", "main: Error (exit code 1): KeyError"), False),
    "no place for artifacts": (("Error", "-1", "artifact failed to save: googleapi: Error 404: no bucket"), False),
    "no account": (("Error", "-1", 'pods "wa-1" is forbidden: error looking up service account em/no-such'), False),
}  # fmt: skip


def tried_again(expression: str, status: str, exit_code: str, message: str) -> bool:
    """What Argo's language makes of an expression, for as much of it as is used: CONDITION ? ONE : OTHER."""
    parts = re.fullmatch(r"(.+?) \? (.+) : (.+)", expression)
    assert parts, expression
    condition, one, other = (re.sub(r"lastRetry\.(\w+)", r"\1", p) for p in parts.groups())
    python = re.sub(r"(\w+) matches ('[^']*')", r"search(\2, \1)", f"({one}) if ({condition}) else ({other})")
    known = {"status": status, "exitCode": exit_code, "message": message, "search": re.search}
    return bool(eval(python, {"__builtins__": {}}, known))  # noqa: S307, the expression is our own


@pytest.fixture(scope="module")
def expressions() -> set[str]:
    made: dict[str, Any] = dict(workflow_template().to_dict())
    named = {t["name"]: t for t in made["spec"]["templates"]}
    return {named[step.name]["retryStrategy"]["expression"] for step in PIPELINE.all_steps}


@pytest.mark.parametrize("what", ENDS)
def test_what_passes_is_tried_again_and_nothing_else(what: str, expressions: set[str]) -> None:
    end, again = ENDS[what]
    assert {tried_again(expression, *end) for expression in expressions} == {again}
