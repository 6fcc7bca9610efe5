"""A workflow as people see it: stages and their parts, failures with their messages, and what it waits for."""

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from graphlib import TopologicalSorter
from typing import Any

from clio_argo.argo.approval import Decision, decision_of
from clio_argo.argo.nodes import BROKEN, ENDED, Json, Node, Outputs, nodes_of
from clio_argo.argo.pending import number
from clio_argo.argo.tasks import StoredTask, tasks_of
from clio_argo.argo.why import Parts, Reason, failures, pending, retried
from clio_argo.model.reasons import reason

# the list that a stage fans out over, e.g. `{{tasks.plan.outputs.parameters.reduce_parts}}`
LIST = re.compile(r"\{\{\s*tasks\.(?P<task>[^.]+)\.outputs\.parameters\.(?P<name>[^}\s]+)\s*\}\}")
WORD = re.compile(r"[A-Za-z0-9_-]+")
# the number of the try at the end of a pod node's name
TRY = re.compile(r"\(\d+\)$")
# pods at a time where the template names no number (ClusterSettings)
PARALLELISM = 100
# types of nodes that only hold other nodes
GROUPS = frozenset({"DAG", "Steps", "StepGroup", "TaskGroup"})
# phases of a node whose condition does not hold, or is not known yet
UNTAKEN = frozenset({"", "Skipped", "Omitted"})


@dataclass(frozen=True)
class Stage:
    """One task of the graph. `work` is `done` plus the shares of parts that running pods report."""

    name: str
    phase: str = ""
    done: int = 0
    total: int | None = None
    running: int = 0
    failed: int = 0
    retries: int = 0
    work: float = 0.0
    started: datetime | None = None
    finished: datetime | None = None

    def seconds(self, now: datetime) -> float:
        """Seconds since the stage began, until it finished."""
        return ((self.finished or now) - self.started).total_seconds() if self.started else 0.0

    def rate(self, now: datetime) -> float:
        """Parts per second since the stage began."""
        seconds = self.seconds(now)
        return self.work / seconds if seconds > 0 else 0.0

    def left(self, now: datetime) -> timedelta | None:
        """Remaining time at the rate so far; None if it is unknown."""
        rate = self.rate(now)
        if self.phase != "Running" or not rate or self.total is None:
            return None
        return timedelta(seconds=max(0.0, self.total - self.work) / rate)


@dataclass(frozen=True)
class Summary:
    """The state of one workflow at one moment."""

    name: str
    namespace: str
    phase: str
    template: str
    message: str = ""
    progress: str = ""
    created: datetime | None = None
    started: datetime | None = None
    finished: datetime | None = None
    suspended: bool = False
    stages: tuple[Stage, ...] = ()
    failures: tuple[Reason, ...] = ()
    pending: tuple[Reason, ...] = ()
    retried: tuple[Reason, ...] = ()
    waiting: Node | None = None
    decision: Decision | None = None
    parallelism: int = PARALLELISM
    arguments: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        """Whether the workflow has ended, well or not."""
        return self.phase in ENDED

    @property
    def succeeded(self) -> bool:
        """Whether the volume exists."""
        # a rejected run succeeds for Argo: its remaining tasks are skipped
        return self.phase == "Succeeded" and not self.rejected

    @property
    def rejected(self) -> bool:
        """Whether the run was refused, by a person or because nobody decided."""
        return self.decision is not None and not self.decision.approved

    @property
    def goes_on(self) -> bool:
        """Whether a pod runs, or the workflow waits for people."""
        return bool(self.waiting or self.suspended or any(s.running for s in self.stages))

    @property
    def run(self) -> str:
        """URL of the run's root."""
        return self.arguments.get("run", "")


def summarise(workflow: Mapping[str, Any], told: Mapping[str, str] | None = None) -> Summary:
    """The summary of a Workflow object, from its nodes and the copy of the template stored in it.

    Args:
        workflow: as the cluster returns it.
        told: why pods do not start, by the number at the end of their names.
    """
    meta, spec, status = (workflow.get(k) or {} for k in ("metadata", "spec", "status"))
    nodes = tuple(nodes_of(workflow).values())
    stages, parts = _stages(meta.get("name", ""), nodes, _tasks(spec, status)), _parts(nodes)
    ended = status.get("phase") in ENDED
    return Summary(
        name=meta.get("name", ""), namespace=meta.get("namespace", ""),
        template=(spec.get("workflowTemplateRef") or {}).get("name", ""), suspended=bool(spec.get("suspend")),
        phase=status.get("phase", ""), message=reason(status.get("message", "")),
        progress=status.get("progress", ""),
        created=_time(meta.get("creationTimestamp")),
        started=_time(status.get("startedAt")), finished=_time(status.get("finishedAt")),
        stages=tuple(map(_at_rest, stages)) if ended else stages,
        failures=tuple(_failures(nodes, parts)),
        pending=() if ended else tuple(pending(parts, told or {})), retried=() if ended else tuple(retried(parts)),
        waiting=None if ended else next((n for n in nodes if n.type == "Suspend" and n.phase == "Running"), None),
        decision=decision_of(nodes),
        parallelism=_stored(spec, status).get("parallelism") or PARALLELISM,
        arguments=Outputs.model_validate(spec.get("arguments") or {}).named(),
        outputs=Outputs.model_validate(status.get("outputs") or {}).named(),
    )  # fmt: skip


def pods_of(workflow: Mapping[str, Any]) -> set[str]:
    """Numbers at the end of the names of all pods that have started."""
    pods = (n for n in nodes_of(workflow).values() if n.type == "Pod")
    return {number(pod.id) for pod in pods if pod.phase not in ("", "Pending", "Omitted")}


def has_unstarted(workflow: Mapping[str, Any]) -> bool:
    """Whether a pod of a workflow has not started yet."""
    return any(n.type == "Pod" and n.phase == "Pending" for n in nodes_of(workflow).values())


def kinds_of_pods(workflow: Mapping[str, Any]) -> list[str]:
    """What its pods are called: steps, and `all` or `FIRST-LAST` of pods that do several."""
    return sorted({n.template_name for n in nodes_of(workflow).values() if n.type == "Pod"})


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _tasks(spec: Json, status: Json) -> list[StoredTask]:
    """Tasks in the order of the template."""
    stored = _stored(spec, status)
    return list(tasks_of(stored.get("templates") or [], spec.get("entrypoint") or stored.get("entrypoint") or ""))


def _stored(spec: Json, status: Json) -> Json:
    """The template as it was when the workflow began."""
    return status.get("storedWorkflowTemplateSpec") or spec


def _stages(workflow: str, nodes: Sequence[Node], tasks: Sequence[StoredTask]) -> tuple[Stage, ...]:
    """Stages in the order of the graph, then those outside it (the exit handler)."""
    nested = {t.form["name"] for t in tasks if t.form is not t.facts}
    groups = _grouped(workflow, nodes, nested)
    taken = [t for t in tasks if _is_taken(t, groups)]
    others = [path for path in groups if path not in nested | {t.path for t in tasks}]
    named = {t.name: groups.get(t.path, []) for t in taken}
    return (
        *(_stage(t.name, f"{workflow}.{t.path}", named[t.name], _length(t.facts, named)) for t in _ordered(taken)),
        *(_stage(path, f"{workflow}.{path}", groups[path], 1) for path in others),
    )


def _is_taken(task: StoredTask, groups: Mapping[str, Sequence[Node]]) -> bool:
    """Whether the run takes the form that holds the task; none is taken before the plan has told which."""
    return not task.chosen or any(n.phase not in UNTAKEN for n in groups.get(task.form["name"], ()))


def _ordered(tasks: Sequence[StoredTask]) -> list[StoredTask]:
    """Each task after those it depends on."""
    # `depends` is an expression over names of tasks
    named = {t.name: t for t in tasks}
    before = {n: {w for w in WORD.findall(t.depends) if w in named} for n, t in named.items()}
    return [named[name] for name in TopologicalSorter(before).static_order()]


def _grouped(workflow: str, nodes: Iterable[Node], nested: Collection[str]) -> dict[str, list[Node]]:
    """Nodes by task. Their names are WORKFLOW.TASK, or WORKFLOW.GRAPH.TASK, followed by item, try or inner task."""
    groups: dict[str, list[Node]] = {}
    for node in (n for n in nodes if n.name.startswith(f"{workflow}.")):
        path = node.name.removeprefix(f"{workflow}.").partition("(")[0].split(".")
        groups.setdefault(".".join(path[: 2 if path[0] in nested else 1]), []).append(node)
    return groups


def _stage(name: str, path: str, nodes: Sequence[Node], length: int | None) -> Stage:
    top = next((n for n in nodes if n.name == path), None)
    parts = _parts(nodes)
    return Stage(
        name=name, phase=top.phase if top else "", total=length,
        done=sum(p.phase == "Succeeded" for p, _ in parts),
        # a part is Running for Argo, too, while its pod does not start or it waits for its next try
        running=sum(any(t.phase == "Running" for t in tries) for _, tries in parts),
        failed=sum(p.phase in BROKEN for p, _ in parts),
        retries=sum(max(0, len(tries) - 1) for _, tries in parts),
        # the Retry node knows only whether the part is done, its tries report shares
        work=sum(max((n.fraction for n in (part, *tries)), default=0.0) for part, tries in parts),
        started=top.started_at if top else None, finished=top.finished_at if top else None,
    )  # fmt: skip


def _parts(nodes: Sequence[Node]) -> list[tuple[Node, list[Node]]]:
    """Each part with its tries."""
    # a part with a retry strategy is a Retry node, and its tries are named PART(N)
    retried = {n.name: list[Node]() for n in nodes if n.type == "Retry"}
    for node in nodes:
        if node.type != "Retry" and (tries := retried.get(TRY.sub("", node.name))) is not None:
            tries.append(node)
    tried = {t.id for tries in retried.values() for t in tries}
    whole = (n for n in nodes if n.type not in GROUPS and n.id not in tried)
    return [(n, retried.get(n.name, [n])) for n in whole]


def _length(task: Json, groups: Mapping[str, Sequence[Node]]) -> int | None:
    """Number of parts of a stage; None while the step that makes the list is running."""
    expression = task.get("withParam")
    if not expression:
        return 1
    reference = LIST.search(expression)
    makers = groups.get(reference["task"], ()) if reference else ()
    lists = [n.outputs.named().get(reference["name"]) for n in makers] if reference else []
    return next((len(json.loads(text)) for text in lists if text), None)


def _at_rest(stage: Stage) -> Stage:
    """A stage of a workflow that has ended: Argo leaves nodes as they were when it was stopped."""
    return replace(stage, running=0, phase="Stopped" if stage.phase in ("Running", "Pending") else stage.phase)


def _failures(nodes: Sequence[Node], parts: Parts) -> Sequence[Reason]:
    """Failed parts; groups that failed only if no part did."""
    groups = (n for n in nodes if n.type in GROUPS and n.phase in BROKEN and n.message)
    return [*failures(parts)] or [Reason(n.display_name, reason(n.message)) for n in groups]
