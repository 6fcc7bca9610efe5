"""The emitted workflow as a controller reads it: tasks, their parts, what a pod asks for, when it is tried again."""

import json
import math
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from clio_argo.argo.approval import APPROVE
from clio_argo.argo.ask import ASK, REASON
from clio_argo.argo.summary import LIST
from clio_argo.argo.tasks import StoredTask, tasks_of

Json = Mapping[str, Any]
UNITS = {"s": 1, "m": 60, "h": 3600}
# the most memory that a try may ask for, at the end of the expression that computes it
MOST_MIB = re.compile(r"(\d+)\)\)}}Mi")
# a reference, and one comparison of a condition in which there are none any more
REFERENCE, COMPARED = re.compile(r"\{\{(.+?)\}\}"), re.compile(r"\s*'?([^']*?)'? ([!=]=|=~) '?([^']*?)'?\s*")
COMPARISONS: Mapping[str, Callable[[str, str], bool]] = {
    "==": operator.eq, "!=": operator.ne, "=~": lambda text, pattern: bool(re.search(pattern, text)),
}  # fmt: skip


@dataclass(frozen=True)
class Output:
    """An output of a task."""

    task: str
    name: str


@dataclass(frozen=True)
class Retries:
    """When a pod that failed is tried again. `expression` names the exit codes."""

    limit: int = 0
    wait_s: float = 0.0
    factor: float = 1.0
    longest_s: float = math.inf
    expression: str = ""

    def pause_s(self, exit_code: int, tries: int) -> float | None:
        """Seconds until the next try after `tries` of them; None: there is none."""
        allowed = f"'{exit_code}'" in self.expression and tries <= self.limit
        return min(self.wait_s * self.factor ** (tries - 1), self.longest_s) if allowed else None


@dataclass(frozen=True)
class Template:
    """What a pod of a step asks for. Without an image it is a suspension."""

    name: str
    image: str = ""
    cpu: float = 0.0
    most_mib: float = math.inf
    selector: tuple[tuple[str, str], ...] = ()
    retries: Retries = Retries()


@dataclass(frozen=True)
class Task:
    """A node of the graph. `parts` is the list that it is run for; None runs it once. All of `when` must hold."""

    name: str
    template: Template
    after: tuple[str, ...]
    parts: Output | None
    mib: Output | float
    when: tuple[str, ...] = ()

    def holds(self, values: Mapping[str, str]) -> bool:
        """Whether its conditions hold, by what they refer to."""
        texts = (REFERENCE.sub(lambda m: values[m[1]], condition) for condition in self.when)
        compared = [COMPARED.fullmatch(one) for text in texts for one in text.split("&&")]
        return all(c is not None and COMPARISONS[c[2]](c[1], c[3]) for c in compared)


@dataclass(frozen=True)
class Graph:
    """All tasks in order, those of the exit handler last; the most pods at a time, and the workflow's own deadline.

    values: what conditions refer to, as far as it does not come from a step.
    """

    tasks: tuple[Task, ...]
    parallelism: float
    deadline_s: float
    values: Mapping[str, str]

    def taken(self, results: Mapping[str, Mapping[str, object]]) -> "Graph":
        """The graph with the tasks whose conditions hold, by the outputs of its steps."""
        told = {
            f"tasks.{step}.outputs.parameters.{name}": value if isinstance(value, str) else json.dumps(value)
            for step, outputs in results.items()
            for name, value in outputs.items()
        }
        tasks = [t for t in self.tasks if t.holds({**self.values, **told})]
        names = {t.name for t in tasks}
        kept = (replace(t, after=tuple(n for n in t.after if n in names)) for t in tasks)
        return replace(self, tasks=tuple(kept))


def read_graph(workflow_template: Json) -> Graph:
    """The graph of an emitted WorkflowTemplate."""
    spec = workflow_template["spec"]
    found = {t["name"]: t for t in spec["templates"]}
    tasks = list(_tasks(found, tasks_of(spec["templates"], spec["entrypoint"]), ()))
    last = tuple(t.name for t in tasks)
    finish = _tasks(found, tasks_of(spec["templates"], spec["onExit"]), last) if "onExit" in spec else ()
    values = {f"workflow.parameters.{p['name']}": p.get("value", "") for p in spec["arguments"]["parameters"]}
    # a person who is asked wants the volume
    values[f"tasks.{ASK}.outputs.parameters.{REASON}"] = APPROVE
    return Graph((*tasks, *finish), spec.get("parallelism", math.inf), spec["activeDeadlineSeconds"], values)


def _tasks(found: Mapping[str, Json], tasks: Iterable[StoredTask], before: tuple[str, ...]) -> Iterator[Task]:
    for task in tasks:
        given = {p["name"]: p["value"] for p in task.facts["arguments"]["parameters"]}
        conditions = [task.form.get("when"), task.facts.get("when")]
        yield Task(
            name=task.name,
            template=_template(found[task.facts["template"]]),
            after=tuple(re.findall(r"[\w-]+", task.depends)) or before,
            parts=_output(task.facts.get("withParam", "")),
            mib=_output(given.get("mib", "")) or float(given.get("mib", 0)),
            when=tuple(dict.fromkeys(filter(None, conditions))),
        )


def _output(text: str) -> Output | None:
    match = LIST.fullmatch(text)
    return Output(match["task"], match["name"]) if match else None


def _template(template: Json) -> Template:
    if "container" not in template:
        return Template(template["name"])
    most = MOST_MIB.search(template.get("podSpecPatch", ""))
    container = template["container"]
    return Template(
        name=template["name"],
        image=container["image"],
        cpu=cores(container["resources"]["requests"]["cpu"]),
        most_mib=float(most[1]) if most else math.inf,
        selector=tuple(sorted(template.get("nodeSelector", {}).items())),
        retries=_retries(template["retryStrategy"]) if "retryStrategy" in template else Retries(),
    )


def _retries(strategy: Json) -> Retries:
    backoff = strategy["backoff"]
    return Retries(
        limit=int(strategy["limit"]),
        wait_s=seconds(backoff["duration"]),
        factor=float(backoff.get("factor", 1)),
        longest_s=seconds(backoff["cap"]),
        expression=strategy["expression"],
    )


def cores(quantity: str) -> float:
    """CPU as Kubernetes writes it, in cores."""
    return float(quantity.removesuffix("m")) / (1000 if quantity.endswith("m") else 1)


def seconds(duration: str) -> float:
    """A duration as Argo writes it, e.g. 30m."""
    return float(duration[:-1]) * UNITS[duration[-1]]
