"""`clio-argo submit`: a request becomes a workflow, after everything that can be checked from here was checked."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from clio_argo.cli.cluster import Form, Namespace, connected, end, logged, waited, watched
from clio_argo.cli.options import takes_request
from clio_argo.errors import StoreFault, TryAgain, UserError
from clio_argo.model.config import FILES, IngestConfig
from clio_argo.model.request import LEGACY, build_config, field_paths, parse_setting

if TYPE_CHECKING:
    from clio_argo.argo.client import Client

commands = typer.Typer()


@commands.command()
@takes_request
def submit(
    wanted: IngestConfig,
    run: Annotated[str, typer.Option("--run", help="Folder of a bucket for everything the run makes.")],
    namespace: Namespace = None,
    waiting: Annotated[
        bool, typer.Option("--wait", "-w", help="Wait for its end; exit 0 only on success.")
    ] = False,
    watching: Annotated[
        bool, typer.Option("--watch", help="Show a live table of stages until its end.")
    ] = False,
    logging: Annotated[bool, typer.Option("--log", help="Print what its pods write until its end.")] = False,
    output: Form = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the workflow; create nothing.")] = False,
    server_dry_run: Annotated[
        bool, typer.Option("--server-dry-run", help="Let the cluster check it, too; create nothing.")
    ] = False,
    parameters: Annotated[
        list[str] | None, typer.Option("-p", "--parameter", help="An argument of the template: NAME=VALUE.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the workflow.")] = None,
    generate_name: Annotated[
        str | None, typer.Option("--generate-name", help="Beginning of its name; default: the request's id.")
    ] = None,
    labels: Annotated[
        list[str] | None, typer.Option("-l", "--label", help="Label of the workflow: KEY=VALUE.")
    ] = None,
    template: Annotated[
        str | None,
        typer.Option("--template", help="Default: the current one, which must be of this version."),
    ] = None,
) -> None:
    """Check a request, and run it on a cluster from the template that is installed there."""
    from clio_argo.argo import submit as submission
    from clio_argo.argo.templates import current_template, reference
    from clio_argo.cli.cluster_show import document

    own, pairs = _pairs("-l", labels), _pairs("-p", parameters)
    client = connected(namespace)
    installed = client.template(template) if template else current_template(client)
    given = submission.override(installed, pairs)
    asked = overridden(wanted, given)
    arguments = {**submission.request_arguments(asked, run, installed), **given}
    check_source(asked)
    warn_of_distance(client, run)
    named = {"name": name} if name else {"generateName": generate_name or submission.prefix(asked.id)}
    workflow = submission.workflow(reference(installed), arguments, named, {**asked.labels, **own})
    if dry_run or server_dry_run:
        print(document(workflow if dry_run else client.create(workflow, dry_run=True), output or "yaml"))
        return
    make_buckets(asked, run)
    created = client.create(workflow)
    if output:
        print(document(created, output))
    _go_on(client, created["metadata"]["name"], output is None, (waiting, watching, logging))


def _go_on(client: "Client", name: str, talk: bool, how: tuple[bool, bool, bool]) -> None:
    """See that somebody takes the workflow up; then wait, watch or print logs as asked for."""
    from clio_argo.argo.follow import follow

    waiting, watching, logging = how
    found = next(s for s in follow(client, name) if s.phase)
    if logging:
        logged(client, name, follow=True)
    if watching:
        end(watched(client, name))
    elif waiting or logging or found.phase == "Error":
        end(waited(client, name))
    elif talk:
        print(f"{name} was created; watch it with: clio-argo watch {name} -n {client.namespace}")


def warn_of_distance(client: "Client", run: str) -> None:
    """Say so where the bucket lies in another region than the nodes, as far as this person may see both."""
    from clio_argo.cli.doctor_cluster import look_at_region

    found = look_at_region(client, run)
    if found.verdict == "WRONG":
        print(found.line(), file=sys.stderr)


def make_buckets(config: IngestConfig, run: str) -> None:
    """Make the buckets that the request asks for, and say so."""
    if config.make_buckets.location is not None:
        from clio_argo.store.roles import prepare

        for done in prepare(config, run):
            print(done, file=sys.stderr)


def check_source(config: IngestConfig) -> None:
    """What `plan` would refuse is refused here, if the source can be read from here.

    Raises:
        UserError, GateStopped, MissingInput: as `Preflight.refuse`.
    """
    from clio_argo.workspace.preflight import preflight

    try:
        _refuse_unseen(config)
        preflight(config).refuse()
    except (StoreFault, TryAgain) as error:
        print(f"the source is not checked from here: {error}", file=sys.stderr)


def _refuse_unseen(config: IngestConfig) -> None:
    """What pods mount need not be on this machine. Raises `StoreFault`."""
    for place in (config.source, *(name for key in FILES if (name := getattr(config, key)))):
        parts = urlsplit(place)
        if parts.scheme in ("", "file") and not Path(parts.path).exists():
            raise StoreFault(f"{place} is not on this machine")


def overridden(config: IngestConfig, given: dict[str, str]) -> IngestConfig:
    """The request with the arguments that override one of its settings; empty ones change nothing."""
    settings = {k: v for k, v in given.items() if v and (k in LEGACY or k in field_paths())}
    return build_config(config.model_dump(), *(parse_setting(f"{k}={v}") for k, v in settings.items()))


def _pairs(option: str, given: list[str] | None) -> dict[str, str]:
    pairs = {text: text.partition("=") for text in given or []}
    if wrong := [text for text, (name, sign, _) in pairs.items() if not sign or not name]:
        raise UserError(f"{option} {wrong[0]}: expected NAME=VALUE")
    return {name: value for name, _, value in pairs.values()}
