"""`clio-argo submit`: a request becomes a workflow, after everything that can be checked from here was checked."""

import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from clio_argo.cli.cluster import PendingLimit, Watch
from clio_argo.cli.cluster_admin import cluster_settings
from clio_argo.cli.commands import CLUSTER, command
from clio_argo.cli.console import document, hint, tell_wait
from clio_argo.cli.new_run import UNIQUE, place_of
from clio_argo.cli.options import Cluster, ObjectForm, Out, OwnPipeline, RequestOptions, Settings
from clio_argo.errors import UserError
from clio_argo.pipeline import PIPELINE
from clio_argo.plugins import load_pipeline

if TYPE_CHECKING:
    from clio_argo.argo.client import Client

commands = typer.Typer()


@command(commands, CLUSTER)
def submit(
    out: Out, request: RequestOptions, cluster: Cluster,
    waiting: Annotated[bool, Option("--wait", "-w", help="Wait for the end. Exit with 0 only on success.")] = False,
    pending_limit: PendingLimit = timedelta(minutes=15),
    watching: Annotated[bool, Option("--watch", help="Show a live table of stages until the end.")] = False,
    logging: Annotated[bool, Option("--log", help="Print the logs of the pods until the end.")] = False,
    output: ObjectForm = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Print the workflow; create nothing. Needs no cluster.")] = False,
    server_dry_run: Annotated[bool, Option("--server-dry-run", help="The cluster checks it; create nothing.")] = False,
    parameters: Annotated[
        list[str] | None, Option("-p", "--parameter", help="Argument of the template, e.g. approval=ask.")] = None,
    name: Annotated[str | None, Option(help="Name of the workflow.")] = None,
    generate_name: Annotated[str | None, Option(help="Beginning of its name. Default: the request's id.")] = None,
    labels: Annotated[list[str] | None, Option("-l", "--label", help="Label of the workflow: KEY=VALUE.")] = None,
    template: Annotated[str | None, Option(help="Its name. Default: the current one, of this version.")] = None,
    release: Annotated[
        str | None, Option(help="Release whose template is used. Default: the first in the namespace.")] = None,
    follow: Annotated[
        bool, Option("--follow", help="Judge slices while they are recorded; run when none comes.")] = False,
    unique: Annotated[bool, Option(UNIQUE, help="Give the run a folder with a new id below --run.")] = False,
    generated_with: Settings = None, pipeline: OwnPipeline = None,
) -> None:  # fmt: skip
    """Check a request, and run it on a cluster with the template that is installed there.

    --settings is read by --dry-run only, which generates the template of this version instead of asking a cluster.
    A template that was not made from the --pipeline is refused.
    """
    from clio_argo.argo import submit as submission
    from clio_argo.argo.templates import find_template

    more, given = _pairs("-l", labels, submission.label_problems), _pairs("-p", parameters)
    client = None if dry_run else cluster.connect()
    graph = load_pipeline(pipeline) if pipeline else None
    if client is None:
        installed = _generated(generated_with, template, pipeline)
    else:
        installed = find_template(client, template, release, graph)
    # takes a second, which a cluster that is not there is told without
    from clio_argo import clusters

    requested = clusters.overridden(request.read(), submission.override(installed, given))
    with place_of(out, requested, unique) as place:
        name = name or (None if generate_name else place.id)
        asked = clusters.Submission(place.request, place.root, given, name, generate_name, more, follow)
        tell_wait(place.request.source)
        workflow = asked.workflow(installed, _warn)
        if client is None:
            print(f"checked against template {workflow['spec']['workflowTemplateRef']['name']}; no cluster was asked",
                  file=sys.stderr)  # fmt: skip
            print(document(workflow, output or "yaml"))
            return
        clusters.check_secrets(client, installed)
        _look_at_region(client, place.root)
        if server_dry_run:
            print(document(client.create(workflow, dry_run=True), output or "yaml"))
            return
        clusters.make_buckets(place.request, place.root, graph or PIPELINE, _warn)
        created = client.create(workflow)
        if output:
            print(document(created, output))
        watch = Watch(client, created["metadata"]["name"], cluster.flags(client.namespace))
        _follow(watch, output is None, waiting, watching, logging, pending_limit)


def _warn(text: str) -> None:
    print(text, file=sys.stderr)


def _generated(settings: Path | None, name: str | None, pipeline: str | None) -> dict[str, Any]:
    """The template of this version as `clio-argo template` prints it."""
    from clio_argo.argo import workflow_template

    template = dict(workflow_template(load_pipeline(pipeline), cluster_settings(settings)).to_dict())
    return {**template, "metadata": {"name": name}} if name else template


def _follow(watch: Watch, talk: bool, waiting: bool, watching: bool, logging: bool, limit: timedelta) -> None:
    """Wait until the controller picks the workflow up; then wait, watch or print logs as asked for."""
    from clio_argo.argo.follow import follow

    first = next(s for s in follow(watch.client, watch.name) if s.phase)
    if logging:
        watch.logs(follow=True)
    if watching:
        watch.live()
    elif waiting or logging or first.phase == "Error":
        watch.wait(limit)
    elif talk:
        print(f"{watch.name} was created; watch it with: {hint('watch', watch.name, watch.flags)}")


def _look_at_region(client: "Client", run: str) -> None:
    """Warn if the bucket is in another region than the nodes, as far as one may see it."""
    from clio_argo.cli.doctor_cluster import look_at_region

    finding = look_at_region(client, run)
    if finding.verdict == "WRONG":
        print(finding.line(), file=sys.stderr)


def _pairs(
    option: str, given: list[str] | None, problems: Callable[[str, dict[str, str]], list[str]] = lambda *_: []
) -> dict[str, str]:
    """Values by name. Raises `UserError` with all that cannot be used; `problems` tells more of them."""
    split = {text: text.partition("=") for text in given or []}
    wrong = [text for text, (name, sign, _) in split.items() if not sign or not name]
    pairs = {name: value for text, (name, _, value) in split.items() if text not in wrong}
    told = [f"{option} {text}: expected NAME=VALUE" for text in wrong]
    if told := told + problems(f"{option} ", pairs):
        raise UserError.all(f"{option} cannot be used:", told)
    return pairs
