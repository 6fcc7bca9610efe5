"""Templates of a namespace: which one submissions follow, and which ones nobody needs any more."""

from collections.abc import Sequence
from importlib.metadata import version

from clio_argo.argo.client import APP, CURRENT, Client
from clio_argo.argo.faults import NotFound
from clio_argo.argo.nodes import ENDED, Json
from clio_argo.errors import UserError

VERSION = "app.kubernetes.io/version"
# a current template may stand for the one of this name, which holds its version and digest
STANDS_FOR = "clio-argo/template"


def current_template(client: Client) -> Json:
    """The template that submissions follow. Raises `UserError` as `choose`."""
    return choose(client.templates(selector(f"{CURRENT}=true")), client.namespace)


def choose(found: Sequence[Json], namespace: str) -> Json:
    """The one of the current templates that is of this very version.

    Raises:
        UserError: there is none, there are several, or it is of another version.
    """
    if not found:
        raise NotFound(
            f"namespace {namespace} has no template with the label {CURRENT}=true; install it with: "
            f"clio-argo install -n {namespace}"
        )
    if len(found) > 1:
        names = ", ".join(sorted(t["metadata"]["name"] for t in found))
        raise UserError(f"namespace {namespace} has several current templates; choose by --template from {names}")
    installed, own = _labels(found[0]).get(VERSION, "unknown"), version("clio-argo")
    if installed != own:
        raise UserError(
            f"template {found[0]['metadata']['name']} is of version {installed}, this is clio-argo {own}: install "
            f"that version here, or this one there (clio-argo install -n {namespace}), or name the template by "
            "--template"
        )
    return found[0]


def reference(template: Json) -> str:
    """The name that a workflow refers to: of what never changes, so that a new template breaks no running workflow."""
    annotations = template["metadata"].get("annotations") or {}
    return str(annotations.get(STANDS_FOR) or template["metadata"]["name"])


def unused(templates: Sequence[Json], workflows: Sequence[Json]) -> list[str]:
    """Names of the templates that are not current and that no workflow which has not ended refers to."""
    running = [w for w in workflows if (w.get("status") or {}).get("phase") not in ENDED]
    needed = {(w["spec"].get("workflowTemplateRef") or {}).get("name") for w in running}
    current = [t for t in templates if CURRENT in _labels(t)]
    needed |= {name for t in current for name in (t["metadata"]["name"], reference(t))}
    return sorted({t["metadata"]["name"] for t in templates} - needed)


def prune(client: Client, dry_run: bool = False) -> list[str]:
    """Delete what `unused` names; workflows that have ended keep all that they show."""
    names = unused(client.templates(selector()), client.find())
    for name in names if not dry_run else ():
        client.delete_template(name)
    return names


def selector(more: str = "") -> str:
    """What belongs to this program, with further labels."""
    return ",".join([*(f"{k}={v}" for k, v in APP.items()), *([more] if more else [])])


def _labels(template: Json) -> dict[str, str]:
    return template["metadata"].get("labels") or {}
