"""Templates of a namespace: which one is current, and which ones are unused."""

from collections.abc import Sequence
from importlib.metadata import version

from clio_argo.argo.client import APP, CURRENT, INSTANCE, Client
from clio_argo.argo.demands import accounts_of, secrets_of
from clio_argo.argo.faults import NotFound
from clio_argo.argo.health import steps_of
from clio_argo.argo.nodes import Json, has_ended
from clio_argo.argo.settings import OWN_NAME
from clio_argo.errors import UserError
from clio_argo.pipeline import Pipeline

VERSION = "app.kubernetes.io/version"
# on the current template: the name of the kept template, which holds version and digest
STANDS_FOR = "clio-argo/template"


def current_template(client: Client, release: str | None = None) -> Json:
    """The template that submissions use, of one release. Raises `UserError` as `choose`."""
    return choose(client.templates(selector(f"{CURRENT}=true")), client.namespace, release)


def find_template(client: Client, name: str | None, release: str | None, pipeline: Pipeline | None) -> Json:
    """The installed template that a submission uses. Raises `UserError` if there is none, or of another pipeline."""
    installed = client.template(name) if name else current_template(client, release)
    if pipeline is not None:
        require_steps(installed, pipeline)
    return installed


def choose(current: Sequence[Json], namespace: str, release: str | None = None) -> Json:
    """The current template of a release, if it is of this version.

    release: None chooses the release that was there first, so that a second one changes nothing for who names none.

    Raises:
        UserError: there is none, or it is of another version.
    """
    releases = by_release(current)
    if release and release not in releases:
        known = ", ".join(releases) or "none"
        raise NotFound(f"namespace {namespace} has no release {release}; it has: {known}")
    if not releases:
        raise NotFound(
            f"namespace {namespace} has no template with the label {CURRENT}=true; install it with: "
            f"clio-argo install -n {namespace}"
        )
    chosen = releases[release or next(iter(releases))]
    installed, own = version_of(chosen), version("clio-argo")
    if installed != own:
        raise UserError(
            f"template {chosen['metadata']['name']} is of version {installed}, this is clio-argo {own}: install "
            f"that version here, or this one there (clio-argo install -n {namespace}), or name the template with "
            "--template, or another release with --release"
        )
    return chosen


def successor(client: Client, earlier: Json) -> Json:
    """The current template of the release of an earlier workflow, or of the first release if that one is gone."""
    current = client.templates(selector(f"{CURRENT}=true"))
    release = _labels(earlier).get(INSTANCE)
    return choose(current, client.namespace, release if release in by_release(current) else None)


def by_release(current: Sequence[Json]) -> dict[str, Json]:
    """The current template of each release, that of the oldest release first."""
    # by hand a template can be left that is current, too; the one that stands for another is kept up to date
    ordered = sorted(current, key=lambda t: (not _stands_for(t), _created(t), t["metadata"]["name"]))
    found: dict[str, Json] = {}
    for template in ordered:
        found.setdefault(release_of(template), template)
    return found


def release_of(thing: Json) -> str:
    """The release of a template or workflow."""
    return str(_labels(thing).get(INSTANCE) or OWN_NAME)


def require_steps(template: Json, pipeline: Pipeline) -> None:
    """Refuse a template that was not made from the pipeline.

    Raises:
        UserError: names the steps that differ.
    """
    steps = {s.name for s in (*pipeline.all_steps, *pipeline.joined_steps)}
    installed = {t["name"] for t in steps_of(template)}
    if steps != installed:
        lacks, has = (", ".join(sorted(names)) or "none" for names in (steps - installed, installed - steps))
        raise UserError(
            f"template {template['metadata']['name']} is of another pipeline (steps that it lacks: {lacks}; steps "
            f"that only it has: {has}); install the pipeline with: clio-argo install --pipeline MODULE:NAME"
        )


def reference(template: Json) -> str:
    """The name that a workflow refers to: that of a template which never changes while the workflow runs."""
    return _stands_for(template) or str(template["metadata"]["name"])


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
    lost = {f"template {name}"} if old is None else relies_on(old) - set().union(*map(relies_on, current or [old]))
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


def relies_on(template: Json) -> set[str]:
    """What must be in the cluster for the pods of a template, as `account NAME` and the like."""
    spec = template["spec"]
    claims = (v.get("persistentVolumeClaim") or {} for v in spec.get("volumes") or [])
    found = {
        "account": accounts_of(template).values(),
        "priority class": [spec.get("podPriorityClassName")],
        "secret": secrets_of(template),
        "claim": [c.get("claimName") for c in claims],
    }
    return {f"{kind} {name}" for kind, names in found.items() for name in names if name}


def version_of(thing: Json) -> str:
    """The version of clio-argo that a template or a workflow is of."""
    return _labels(thing).get(VERSION, "unknown")


def unused(templates: Sequence[Json], workflows: Sequence[Json]) -> list[str]:
    """Names of templates that are not current and that no running workflow refers to."""
    current = [t for t in templates if CURRENT in _labels(t)]
    needed = {template_of(w) for w in workflows if not has_ended(w)}
    needed |= {name for t in current for name in (t["metadata"]["name"], reference(t))}
    return sorted({t["metadata"]["name"] for t in templates} - needed)


def template_of(workflow: Json) -> str:
    """The name of the template that a workflow refers to, or nothing."""
    return str((workflow["spec"].get("workflowTemplateRef") or {}).get("name") or "")


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


def _stands_for(template: Json) -> str:
    return str((template["metadata"].get("annotations") or {}).get(STANDS_FOR) or "")


def _created(template: Json) -> str:
    return str(template["metadata"].get("creationTimestamp") or "")


def _labels(template: Json) -> dict[str, str]:
    return template["metadata"].get("labels") or {}
