"""Refuses documents that Argo accepts and then never finishes: it checks few references, and waits for missing ones.

A task that refers to an output of a skipped task never starts, and the workflow runs for ever, without a message. A
task can be skipped if it has `when` or withParam.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from clio_argo.errors import UserError
from clio_argo.model.base import canonical_json

Document = Mapping[str, Any]
# limits of Argo 4's validation; a workflow may have 1 MiB in all, and stores a copy of its template
MOST_TEMPLATES, MOST_TASKS, MOST_PARAMETERS, MOST_BYTES = 200, 200, 500, 200_000
TAG = re.compile(r"{{(=?)(.*?)}}", re.DOTALL)
# within an expression: literals, and the variables that are left without them; what is called is a function
STRING, PATH = re.compile(r"'[^']*'"), re.compile(r"[A-Za-z_][\w-]*(?:\.[\w-]+)+(?![\w.(-])")
TASK_OUTPUT = re.compile(r"tasks\.([\w-]+)\.outputs\.parameters\.([\w-]+)")
# variables of Argo that hold a value everywhere
KNOWN = re.compile(
    r"workflow\.(name|namespace|uid|status|failures|duration|creationTimestamp)|pod\.name|retries|status|lastRetry\.\w+"
)


def check(document: Document) -> None:
    """Check an emitted WorkflowTemplate.

    Raises:
        UserError: names every fault of it.
    """
    spec = document["spec"]
    templates = {t["name"]: t for t in spec["templates"]}
    declared = {f"workflow.parameters.{p['name']}" for p in spec["arguments"]["parameters"]}
    problems = [*_sizes(document), *_named_once(spec["templates"])]
    starts = [spec["entrypoint"], *([spec["onExit"]] if "onExit" in spec else [])]
    problems += [f"there is no template {name} to start with" for name in starts if name not in templates]
    for template in templates.values():
        if "dag" in template:
            problems += _dag(template, templates, declared)
        else:
            problems += _container(template, declared)
    if problems:
        raise UserError.all("this workflow would not run:", problems)


def _sizes(document: Document) -> Iterator[str]:
    spec = document["spec"]
    tasks = [len(t["dag"]["tasks"]) for t in spec["templates"] if "dag" in t]
    counts = (
        ("templates", len(spec["templates"]), MOST_TEMPLATES),
        ("tasks in a graph", max(tasks, default=0), MOST_TASKS),
        ("parameters", len(spec["arguments"]["parameters"]), MOST_PARAMETERS),
        ("bytes", len(canonical_json(document)), MOST_BYTES),
    )
    return (f"{count} {what}, at most {most}" for what, count, most in counts if count > most)


def _named_once(things: Iterable[Document]) -> list[str]:
    names = Counter(t["name"] for t in things)
    return [f"{name}: the name is used {n} times" for name, n in names.items() if n > 1]


def _dag(template: Document, templates: Document, declared: set[str]) -> Iterator[str]:
    tasks = {t["name"]: t for t in template["dag"]["tasks"]}
    here = declared | _inputs(template)
    yield from _named_once(template["dag"]["tasks"])
    for name, task in tasks.items():
        yield from (f"{name}: comes after {n}, which is not a task" for n in _needed(task) if n not in tasks)
        if task["template"] not in templates:
            yield f"{name}: there is no template {task['template']}"
            continue
        yield from _arguments(task, templates[task["template"]])
        before = _before(name, tasks)
        for reference in references(task):
            if match := TASK_OUTPUT.fullmatch(reference):
                source, output = match.groups()
                yield from _task_output(name, source, output, tasks, templates, before)
            elif not (reference in here or KNOWN.fullmatch(reference) or _is_item(reference, task)):
                yield f"{name}: refers to {reference}, which does not exist"


def _is_item(reference: str, task: Document) -> bool:
    return "withParam" in task and (reference == "item" or reference.startswith("item."))


def _task_output(
    name: str, source: str, output: str, tasks: Document, templates: Document, before: set[str]
) -> Iterator[str]:
    """Faults of a reference from task `name` to an output of task `source`."""
    if source not in before:
        yield f"{name}: refers to an output of {source}, which may still run then"
        return
    if {"when", "withParam"} & tasks[source].keys():
        yield f"{name}: refers to an output of {source}, which can be skipped; it would wait for ever"
    if output not in _parameters(templates.get(tasks[source]["template"], {}), "outputs"):
        yield f"{name}: refers to {source}'s output {output}, which does not exist"


def _arguments(task: Document, template: Document) -> Iterator[str]:
    given, inputs = _parameters(task, "arguments"), _parameters(template, "inputs")
    needed = {n for n, p in inputs.items() if not {"value", "default"} & p.keys()}
    for name in sorted(given.keys() - inputs.keys()):
        yield f"{task['name']}: gives {name}, which {template['name']} does not take"
    yield from (f"{task['name']}: does not give {n}" for n in sorted(needed - given.keys()))


def _container(template: Document, declared: set[str]) -> Iterator[str]:
    name = template["name"]
    here = declared | _inputs(template)
    yield from (
        f"{name}: refers to {r}, which does not exist"
        for r in references(template)
        if r not in here and not KNOWN.fullmatch(r)
    )
    if "container" in template and not (template["container"].get("image") and template["container"].get("command")):
        yield f"{name}: needs an image and a command"


def _parameters(thing: Document, where: str) -> dict[str, Document]:
    return {p["name"]: p for p in thing.get(where, {}).get("parameters", [])}


def _inputs(template: Document) -> set[str]:
    return {f"inputs.parameters.{n}" for n in _parameters(template, "inputs")}


def _needed(task: Document) -> list[str]:
    """Names in `depends`, without the states that may follow them."""
    return [n.partition(".")[0] for n in re.findall(r"[\w.-]+", task.get("depends", ""))]


def _before(name: str, tasks: Document) -> set[str]:
    """All tasks that have ended when task `name` starts."""
    before: set[str] = set()
    waiting = [name]
    while waiting:
        new = {n for n in _needed(tasks[waiting.pop()]) if n in tasks} - before
        before |= new
        waiting += new
    return before


def references(value: Any) -> set[str]:
    """All variables that the tags {{...}} in a document refer to."""
    if isinstance(value, str):
        return {r for expression, body in TAG.findall(value) for r in _paths(bool(expression), body)}
    parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return {r for part in parts for r in references(part)}


def _paths(expression: bool, body: str) -> list[str]:
    return PATH.findall(STRING.sub("", body)) if expression else [body.strip()]
