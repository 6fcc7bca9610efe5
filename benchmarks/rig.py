"""A namespace of a real cluster (docs/testing.md) with the real template in it, and workflows there."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from clio_argo.argo.install import install
from clio_argo.argo.kube import KubeClient
from clio_argo.argo.manifests import manifests
from clio_argo.argo.settings import ClusterSettings
from clio_argo.argo.submit import workflow
from clio_argo.argo.templates import current_template


@contextmanager
def namespace(settings: ClusterSettings) -> Iterator[KubeClient]:
    """The namespace of `settings`, which is gone afterwards."""
    from kubernetes import client as k8s

    client = KubeClient.from_config(settings.namespace)
    spaces = k8s.CoreV1Api(client.api)
    spaces.create_namespace({"metadata": {"name": settings.namespace}})
    try:
        list(install(client, [d for file in manifests(cluster=settings).values() for d in file]))
        yield client
    finally:
        spaces.delete_namespace(settings.namespace)


def submitted(client: KubeClient, arguments: Mapping[str, str]) -> str:
    """The name of a workflow with these arguments."""
    template = current_template(client)["metadata"]["name"]
    made = client.create(workflow(template, arguments, {"generateName": "benchmark-"}, {}))
    return str(made["metadata"]["name"])
