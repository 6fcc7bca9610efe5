"""Commands for who administers a cluster: emit, install and prune templates."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from clio_argo.cli.commands import ADMINISTER, Group, command
from clio_argo.cli.console import program
from clio_argo.cli.options import Cluster, OwnPipeline, Settings, read_settings
from clio_argo.errors import UserError
from clio_argo.plugins import load_pipeline

if TYPE_CHECKING:
    from clio_argo.argo.kube import KubeClient
    from clio_argo.argo.settings import ClusterSettings

commands = typer.Typer()
template = typer.Typer(cls=Group, invoke_without_command=True)


@command(commands, ADMINISTER)
def install(cluster: Cluster, settings: Settings = None, pipeline: OwnPipeline = None) -> None:
    """Apply accounts, roles, network policy and template to a namespace. Submissions use this template from then on."""
    from clio_argo.argo.install import install
    from clio_argo.argo.templates import release_of

    client = cluster.administer()
    documents = _documents(client, settings, pipeline)
    for done in install(client, documents):
        print(done, flush=True)
    flags = f"{cluster.flags(client.namespace)} --release {release_of(documents[0])}"
    print(f"installed; submit with: {program()} submit REQUEST --out gs://BUCKET/FOLDER {flags}")


@command(commands, ADMINISTER)
def uninstall(cluster: Cluster, settings: Settings = None) -> None:
    """Remove what `install` applied, and all templates. Refused while workflows run. Volumes stay."""
    from clio_argo.argo.install import uninstall

    client = cluster.administer()
    for done in uninstall(client, _documents(client, settings)):
        print(done, flush=True)


commands.add_typer(template, name="template", rich_help_panel=ADMINISTER)


@template.callback()
def emit(context: typer.Context, settings: Settings = None, pipeline: OwnPipeline = None) -> None:
    """Print the WorkflowTemplate, and the one that submissions follow to it. `prune` removes old ones."""
    if context.invoked_subcommand is None:
        import yaml

        from clio_argo.argo.manifests import templates

        documents = templates(load_pipeline(pipeline), cluster_settings(settings))
        print(yaml.safe_dump_all(documents, sort_keys=False), end="")


@command(template)
def prune(
    cluster: Cluster, dry_run: Annotated[bool, Option("--dry-run", help="Print names; delete nothing.")] = False
) -> None:
    """Delete templates that are not current and that no running workflow uses."""
    from clio_argo.argo.templates import prune as remove

    for name in remove(cluster.connect(), dry_run):
        print(f"{name} {'would be deleted' if dry_run else 'deleted'}")


def cluster_settings(path: Path | None) -> "ClusterSettings":
    """Settings of a cluster.

    Raises:
        UserError: names every key that is wrong.
    """
    from pydantic import ValidationError

    from clio_argo.argo.settings import CHART_ONLY, ClusterSettings

    if path is None:
        return ClusterSettings()
    try:
        given = read_settings(path)
        return ClusterSettings.model_validate({k: v for k, v in given.items() if k not in CHART_ONLY})
    except ValidationError as error:
        places = [(".".join(map(str, e["loc"])), e["msg"].removeprefix("Value error, ")) for e in error.errors()]
        problems = [f"{place}: {message}" for place, message in places]
        raise UserError.all(f"{path}: these cluster settings cannot be used:", problems) from error


def _documents(client: "KubeClient", settings: Path | None, pipeline: str | None = None) -> list[dict[str, Any]]:
    from clio_argo.argo.manifests import manifests

    cluster = cluster_settings(settings).model_copy(update={"namespace": client.namespace})
    return [document for file in manifests(load_pipeline(pipeline), cluster).values() for document in file]
