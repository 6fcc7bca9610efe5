"""Applying documents to a cluster, as `kubectl apply --server-side` does, and removing them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import ResourceNotFoundError

from clio_argo.argo.client import CURRENT, TITLE
from clio_argo.argo.faults import NotFound
from clio_argo.argo.kube import MERGE_PATCH, TEMPLATES, KubeClient
from clio_argo.argo.nodes import Json, has_ended
from clio_argo.argo.templates import release_of, selector, template_of
from clio_argo.errors import UserError

MANAGER = "clio-argo"
TEMPLATE = "WorkflowTemplate"


def install(client: KubeClient, documents: Sequence[Json]) -> Iterator[str]:
    """Apply all documents; the template among them becomes the current one. Yields a line per change."""
    with _resources(client) as resources:
        for document in documents:
            with client.asked():
                # forced: fields that somebody edited by hand go back to what the documents say
                _resource(resources, document, client).server_side_apply(
                    body=document, namespace=client.namespace, field_manager=MANAGER, force_conflicts=True
                )
            yield f"{_title(document)} applied"
    new = [d for d in documents if d["kind"] == TEMPLATE]
    # a release that is installed by hand may have left some
    for template in client.templates(selector(f"{CURRENT}=true")):
        name = template["metadata"]["name"]
        if release_of(template) in map(release_of, new) and name not in {d["metadata"]["name"] for d in new}:
            marks = {"labels": {CURRENT: None}, "annotations": {TITLE: f"Earlier revision: {name}"}}
            client.patch(TEMPLATES, name, {"metadata": marks}, MERGE_PATCH)
            yield f"{TEMPLATE} {name} is no longer current"


def uninstall(client: KubeClient, documents: Sequence[Json]) -> Iterator[str]:
    """Remove all documents and all templates of their release. Yields a line per change.

    Raises:
        UserError: workflows of the release are running, which need what would be removed.
    """
    releases = {release_of(d) for d in documents}
    templates = [t for t in client.templates(selector()) if release_of(t) in releases]
    names = {t["metadata"]["name"] for t in templates}
    ours = [w for w in client.find(selector()) if template_of(w) in names or release_of(w) in releases]
    running = [w["metadata"]["name"] for w in ours if not has_ended(w)]
    if running:
        raise UserError(
            f"namespace {client.namespace} still runs {', '.join(running)}: wait for them, or "
            "stop them with clio-argo workflow stop"
        )
    for template in templates:
        client.delete_template(template["metadata"]["name"])
        yield f"{_title({'kind': TEMPLATE, **template})} removed"
    with _resources(client) as resources:
        for document in (d for d in documents if d["kind"] != TEMPLATE):
            try:
                with client.asked():
                    resource = _resource(resources, document, client)
                    resource.delete(name=document["metadata"]["name"], namespace=client.namespace)
            except NotFound:
                continue
            yield f"{_title(document)} removed"


@contextmanager
def _resources(client: KubeClient) -> Iterator[Any]:
    """The kinds of objects that the cluster knows."""
    # the library caches them in a file, by default under a name in /tmp that anybody could have written
    with TemporaryDirectory() as folder:
        with client.asked():
            known = DynamicClient(client.api, cache_file=str(Path(folder) / "kinds.json")).resources
        yield known


def _resource(resources: Any, document: Json, client: KubeClient) -> Any:
    try:
        return resources.get(api_version=document["apiVersion"], kind=document["kind"])
    except ResourceNotFoundError as error:
        raise UserError(
            f"{client.place}: has no {document['kind']} ({document['apiVersion']}); install Argo Workflows first"
        ) from error


def _title(document: Json) -> str:
    return f"{document['kind']} {document['metadata']['name']}"
