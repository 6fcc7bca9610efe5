"""Tasks of a stored template, those of nested graphs too."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from clio_argo.argo.nodes import Json

# what a condition refers to that chooses between the forms of a run
SINGLE = ".outputs.parameters.single}}"
INPUT = re.compile(r"\{\{\s*inputs\.parameters\.([\w-]+)\s*\}\}")


@dataclass(frozen=True)
class StoredTask:
    """One task. What it refers to are outputs and arguments of the workflow, not inputs of its graph.

    form: the task of the entry point that stands for its graph, or itself.
    """

    facts: Json
    form: Json

    @property
    def name(self) -> str:
        """Its name in its own graph."""
        return str(self.facts["name"])

    @property
    def path(self) -> str:
        """Its name in the names of nodes, behind that of the workflow."""
        return self.name if self.facts is self.form else f"{self.form['name']}.{self.name}"

    @property
    def chosen(self) -> bool:
        """Whether a run takes it only in one of its forms."""
        return _is_form(self.form)

    @property
    def depends(self) -> str:
        """The expression of the tasks that it comes after."""
        return str(self.facts.get("depends") or self.form.get("depends", ""))


def tasks_of(templates: Sequence[Json], entry: str) -> Iterator[StoredTask]:
    """Tasks of the graph `entry`; those of a form of the run in place of the task that stands for its graph."""
    found = {t["name"]: t for t in templates}
    for task in found.get(entry, {}).get("dag", {}).get("tasks", []):
        nested = found.get(task.get("template", ""), {}).get("dag")
        if nested is None or not _is_form(task):
            yield StoredTask(task, task)
        else:
            given = {p["name"]: p.get("value", "") for p in task.get("arguments", {}).get("parameters", [])}
            yield from (StoredTask(_filled(inner, given), task) for inner in nested["tasks"])


def _is_form(task: Json) -> bool:
    return SINGLE in task.get("when", "")


def _filled(task: Json, given: Mapping[str, str]) -> Json:
    """The task with arguments in place of inputs."""

    def value(match: re.Match[str]) -> str:
        return json.dumps(given.get(match[1], match[0]))[1:-1]

    filled: Json = json.loads(INPUT.sub(value, json.dumps(task)))
    return filled
