"""Commands for who looks after a cluster: emit, install and prune templates."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clio_argo.cli.cluster import Namespace, connected

if TYPE_CHECKING:
    from clio_argo.argo.kube import KubeClient
    from clio_argo.argo.settings import ClusterSettings

commands = typer.Typer()
template = typer.Typer(
    help="Print the WorkflowTemplate; `prune` removes old ones.", invoke_without_command=True
)
commands.add_typer(template, name="template")
Settings = Annotated[
    Path | None,
    typer.Option("--settings", help="Cluster settings as YAML or JSON; the chart's values.yaml will do."),
]


@template.callback()
def emit(context: typer.Context, settings: Settings = None) -> None:
    """Print the WorkflowTemplate; `prune` removes old ones."""
    if context.invoked_subcommand is None:
        from clio_argo.argo import workflow_template

        print(workflow_template(cluster=read_settings(settings)).to_yaml(), end="")


@template.command()
def prune(
    namespace: Namespace = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Name them; delete nothing.")] = False,
) -> None:
    """Delete templates that are not current and that no running workflow uses."""
    from clio_argo.argo.templates import prune as remove

    client = connected(namespace)
    for name in remove(client, dry_run):
        print(f"{name} {'would be deleted' if dry_run else 'deleted'}")


def read_settings(path: Path | None) -> "ClusterSettings":
    """Settings of a cluster.

    Raises:
        UserError: names every key that is wrong.
    """
    from pydantic import ValidationError

    from clio_argo.argo.settings import ClusterSettings
    from clio_argo.cli.options import read_request
    from clio_argo.errors import UserError

    if path is None:
        return ClusterSettings()
    try:
        return ClusterSettings.model_validate(read_request(path))
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, e['loc']))}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        ]
        raise UserError.all(f"{path}: these cluster settings cannot be used:", problems) from error


@commands.command("install")
def install_(namespace: Namespace = None, settings: Settings = None) -> None:
    """Apply accounts, roles, network policy and template to a namespace; its template becomes the current one."""
    from clio_argo.argo.install import install

    client = _administered(namespace)
    for done in install(client, _documents(client, settings)):
        print(done, flush=True)
    print(f"installed; submit with: clio-argo submit REQUEST --run gs://BUCKET/FOLDER -n {client.namespace}")


@commands.command("uninstall")
def uninstall_(namespace: Namespace = None, settings: Settings = None) -> None:
    """Remove what install applied, and all templates; refused while workflows run. Volumes stay."""
    from clio_argo.argo.install import uninstall

    client = _administered(namespace)
    for done in uninstall(client, _documents(client, settings)):
        print(done, flush=True)


def _administered(namespace: str | None) -> "KubeClient":
    """The cluster itself: Argo Server knows no accounts and roles."""
    from clio_argo.argo.kube import KubeClient

    return KubeClient.from_config(namespace or os.environ.get("ARGO_NAMESPACE"))


def _documents(client: "KubeClient", settings: Path | None) -> list[dict[str, Any]]:
    from clio_argo.argo.manifests import manifests

    cluster = read_settings(settings).model_copy(update={"namespace": client.namespace})
    return [document for file in manifests(cluster=cluster).values() for document in file]
