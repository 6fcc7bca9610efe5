"""A request as a Workflow that refers to the installed template, checked before anything is created."""

import difflib
from collections.abc import Mapping
from typing import Any

from clio_argo.argo.client import APP
from clio_argo.argo.health import kept_by, steps_of
from clio_argo.argo.nodes import Json, Outputs
from clio_argo.argo.words import LABEL_NAME, LABEL_VALUE
from clio_argo.errors import UserError
from clio_argo.model.parse_request import template_problems
from clio_argo.model.request import Request
from clio_argo.model.unique_id import LONGEST, LONGEST_PLAIN, plain_name
from clio_argo.store.reach import places_of, unreachable

RUN, CONFIG = "run", "config"
# characters that Kubernetes adds to a beginning of a name, and the options that give the name
GENERATED, OPTION = 5, {"name": "name", "generateName": "generate-name"}
# Linux gives a process at most 128 kB per environment variable, and the Workflow object may have 1 MiB in all
MAX_REQUEST_BYTES = 64 * 1024
RESUBMITTED = "workflows.argoproj.io/resubmitted-from-workflow"
# the entry point of the template that follows a stack first, and the time that such a workflow may take: ten years
FOLLOWED, ENDLESS_S = "followed", 315_360_000
# a controller of several that share a cluster takes up those with its own value only: the one label of Argo to give
CONTROLLER = "workflows.argoproj.io/controller-instanceid"


def request_arguments(config: Request, run: str, template: Json) -> dict[str, str]:
    """The arguments of a workflow that carry a request.

    Raises:
        UserError: names every place that pods cannot reach, and every text that Argo would replace.
    """
    text, mounted = config.model_dump_json(), _mounted(template)
    problems = unreachable({"--out": run, **places_of(config)}, mounted)
    problems += label_problems("labels.", config.labels)
    if len(text.encode()) > MAX_REQUEST_BYTES:
        problems.append(f"it has {len(text.encode())} bytes as JSON, a workflow carries {MAX_REQUEST_BYTES}")
    problems += template_problems({**config.model_dump(mode="json"), "--out": run})
    if problems:
        raise UserError.all("the request cannot be submitted:", problems)
    return {CONFIG: text, RUN: run}


def artifact_buckets(template: Json) -> list[str]:
    """URLs of the buckets that the template itself names for artifacts."""
    places = (a.get("gcs") or {} for a in kept_by(template))
    return sorted({f"gs://{p['bucket']}" for p in places if p.get("bucket")})


def _mounted(template: Json) -> list[str]:
    """Folders mounted by the steps of a template, except /tmp."""
    mounts = (m for t in steps_of(template) for m in t["container"].get("volumeMounts", []))
    return sorted({m["mountPath"] for m in mounts} - {"/tmp"})


def label_problems(where: str, labels: Mapping[str, str]) -> list[str]:
    """Labels that Kubernetes refuses, and those that would hide a workflow from this program. `where` precedes them."""
    texts = [
        (key, check, text) for key, value in labels.items() for check, text in ((LABEL_NAME, key), (LABEL_VALUE, value))
    ]
    return [f"{where}{key}: {p}" for key, check, text in texts if text != CONTROLLER and (p := check.problem(text))]


def override(template: Json, given: Mapping[str, str]) -> dict[str, str]:
    """Arguments that were given one by one, checked against the template.

    Raises:
        UserError: names every unknown argument with the most similar known one, and every value that is not allowed.
    """
    # Argo accepts unknown names silently, and does not check enums
    known = {p["name"]: p for p in template["spec"].get("arguments", {}).get("parameters", [])}
    problems = [_no_argument(name, known) for name in given if name not in known or name in (RUN, CONFIG)]
    problems += [
        f"-p {name}={value}: use one of {', '.join(choice or '(empty)' for choice in known[name]['enum'])}"
        for name, value in given.items()
        if name in known and "enum" in known[name] and value not in known[name]["enum"]
    ]
    problems += template_problems({f"-p {name}": value for name, value in given.items()})
    if problems:
        raise UserError.all("the arguments cannot be used:", problems)
    return dict(given)


def _no_argument(name: str, known: Mapping[str, Any]) -> str:
    if name in (RUN, CONFIG):
        return f"-p {name}: comes from the request and --out"
    near = difflib.get_close_matches(name, known, 1) or sorted(set(known) - {RUN, CONFIG})
    return f"-p {name}: the template has no such argument; it has {', '.join(near)}"


def workflow(
    template: str,
    arguments: Mapping[str, str],
    name: Mapping[str, str],
    labels: Mapping[str, str],
    follow: bool = False,
) -> Json:
    """A Workflow object; `name` is its metadata.name or metadata.generateName.

    follow: whether it first follows the stack while it is recorded, for which no limit of a workflow is long enough.

    Raises:
        UserError: the name is too long for a label of its pods, which Kubernetes would refuse one by one.
    """
    for key, text in name.items():
        most = LONGEST - (GENERATED if key == "generateName" else 0)
        if len(text) > most:
            raise UserError(
                f"the name {text} has {len(text)} characters: give one of at most {most}, with --{OPTION[key]}"
            )
    # a reference and arguments only: Argo's Strict mode refuses anything inline
    parameters = [{"name": key, "value": value} for key, value in arguments.items()]
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {**name, "labels": {**labels, **APP}},
        "spec": {
            "workflowTemplateRef": {"name": template},
            "arguments": {"parameters": parameters},
            **({"entrypoint": FOLLOWED, "activeDeadlineSeconds": ENDLESS_S} if follow else {}),
        },
    }


def prefix(request_id: str) -> str:
    """The beginning of a workflow's name, made from the id of the request."""
    return f"{plain_name(request_id)}-"


def again(earlier: Json, template: str) -> Json:
    """A Workflow object with the arguments and labels of an earlier one."""
    meta = earlier["metadata"]
    arguments = Outputs.model_validate(earlier["spec"].get("arguments") or {}).named()
    # Argo's own labels describe the earlier workflow
    own = {
        k: v
        for k, v in (meta.get("labels") or {}).items()
        if k == CONTROLLER or not k.startswith("workflows.argoproj.io/")
    }
    begin = meta.get("generateName") or f"{meta['name'][:LONGEST_PLAIN]}-"
    follow = earlier["spec"].get("entrypoint") == FOLLOWED
    return workflow(template, arguments, {"generateName": begin}, {**own, RESUBMITTED: meta["name"][:63]}, follow)
