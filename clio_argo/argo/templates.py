"""Templates of a namespace: which one is current, and which ones are unused."""

from collections.abc import Sequence
from importlib.metadata import version

from clio_argo.argo.client import APP, CURRENT, Client
from clio_argo.argo.faults import NotFound
from clio_argo.argo.nodes import Json, has_ended
from clio_argo.errors import UserError
from clio_argo.pipeline import Pipeline

VERSION = "app.kubernetes.io/version"
# on the chart's current template: the name of the kept template, which holds version and digest
STANDS_FOR = "clio-argo/template"


def current_template(client: Client) -> Json:
    """The template that submissions use. Raises `UserError` as `choose`."""
    return choose(client.templates(selector(f"{CURRENT}=true")), client.namespace)


def choose(current: Sequence[Json], namespace: str) -> Json:
    """The only one of the current templates, if it is of this version.

    Raises:
        UserError: there is none, there are several, or it is of another version.
    """
    if not current:
        raise NotFound(
            f"namespace {namespace} has no template with the label {CURRENT}=true; install it with: "
            f"clio-argo install -n {namespace}"
        )
    if len(current) > 1:
        names = ", ".join(sorted(t["metadata"]["name"] for t in current))
        raise UserError(f"namespace {namespace} has several current templates; choose one with --template: {names}")
    installed, own = version_of(current[0]), version("clio-argo")
    if installed != own:
        raise UserError(
            f"template {current[0]['metadata']['name']} is of version {installed}, this is clio-argo {own}: install "
            f"that version here, or this one there (clio-argo install -n {namespace}), or name the template with "
            "--template"
        )
    return current[0]


def require_steps(template: Json, pipeline: Pipeline) -> None:
    """Refuse a template that was not made from the pipeline.

    Raises:
        UserError: names the steps that differ.
    """
    steps = {s.name for s in (*pipeline.all_steps, *pipeline.joined_steps)}
    installed = {t["name"] for t in template["spec"]["templates"] if "container" in t}
    if steps != installed:
        lacks, has = (", ".join(sorted(names)) or "none" for names in (steps - installed, installed - steps))
        raise UserError(
            f"template {template['metadata']['name']} is of another pipeline (steps that it lacks: {lacks}; steps "
            f"that only it has: {has}); install the pipeline with: clio-argo install --pipeline MODULE:NAME"
        )


def reference(template: Json) -> str:
    """The name that a workflow refers to: that of a template which never changes while the workflow runs."""
    annotations = template["metadata"].get("annotations") or {}
    return str(annotations.get(STANDS_FOR) or template["metadata"]["name"])


def continuing(name: str, templates: Sequence[Json], version: str) -> str:
    """The template with which a workflow of template `name` and this version goes on.

    It is the same one, unless that was pruned, or names an account, a priority class, a claim or a secret that the
    current one no longer names: with the installation they were renamed or replaced.

    templates: all of the namespace.

    Raises:
        UserError: the same one cannot work, and the current one is of another version.
    """
    current = [t for t in templates if CURRENT in _labels(t)]
    old = next((t for t in templates if t["metadata"]["name"] == name), None)
    lost = {f"template {name}"} if old is None else named(old) - set().union(*map(named, current or [old]))
    if not lost:
        return name
    # Argo would create a workflow whose template or account is missing, and end it as Error
    same = [t for t in current if version_of(t) == version]
    if len(same) != 1:
        raise UserError(
            f"the installation no longer has {', '.join(sorted(lost))}, and its current template is not of version "
            f"{version}; run the workflow's arguments with the current one: clio-argo workflow resubmit"
        )
    return reference(same[0])


def named(template: Json) -> set[str]:
    """What must be in the cluster for the pods of a template, as `account NAME` and the like."""
    spec = template["spec"]
    accounts = [spec, spec.get("executor") or {}, *spec.get("templates", [])]
    volumes = spec.get("volumes") or []
    found = {
        "account": [a.get("serviceAccountName") for a in accounts],
        "priority class": [spec.get("podPriorityClassName")],
        "secret": [(v.get("secret") or {}).get("secretName") for v in volumes],
        "claim": [(v.get("persistentVolumeClaim") or {}).get("claimName") for v in volumes],
    }
    return {f"{kind} {name}" for kind, names in found.items() for name in names if name}


def version_of(thing: Json) -> str:
    """The version of clio-argo that a template or a workflow is of."""
    return _labels(thing).get(VERSION, "unknown")


def unused(templates: Sequence[Json], workflows: Sequence[Json]) -> list[str]:
    """Names of templates that are not current and that no running workflow refers to."""
    running = (w["spec"].get("workflowTemplateRef") or {} for w in workflows if not has_ended(w))
    current = [t for t in templates if CURRENT in _labels(t)]
    needed = {r.get("name") for r in running}
    needed |= {name for t in current for name in (t["metadata"]["name"], reference(t))}
    return sorted({t["metadata"]["name"] for t in templates} - needed)


def prune(client: Client, dry_run: bool = False) -> list[str]:
    """Delete the `unused` templates and return their names."""
    # ended workflows may lose their template: Argo stores a copy of it in each
    names = unused(client.templates(selector()), client.find())
    for name in names if not dry_run else ():
        client.delete_template(name)
    return names


def selector(more: str = "") -> str:
    """Label selector of the objects of clio-argo, with further conditions."""
    return ",".join([*(f"{k}={v}" for k, v in APP.items()), *([more] if more else [])])


def _labels(template: Json) -> dict[str, str]:
    return template["metadata"].get("labels") or {}
