"""`clio-argo submit`: a request becomes a workflow, after everything that can be checked from here was checked."""

import os
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer
from typer import Option

from clio_argo.cli.cluster import BRIEF, PendingLimit, Watch
from clio_argo.cli.cluster_admin import cluster_settings
from clio_argo.cli.commands import CLUSTER, command
from clio_argo.cli.console import document, hint, tell_wait
from clio_argo.cli.new_run import UNIQUE, place_of
from clio_argo.cli.options import Cluster, ObjectForm, Out, OwnPipeline, RequestOptions, Settings
from clio_argo.errors import MissingBucket, StoreError, TransientError, UserError
from clio_argo.model.parse_request import LEGACY, build_request, field_paths, parse_setting
from clio_argo.model.request import Request
from clio_argo.plugins import load_pipeline

if TYPE_CHECKING:
    from clio_argo.argo.client import Client
    from clio_argo.argo.nodes import Json

commands = typer.Typer()
PODS_NEED = (
    "the account of the pods needs them, too; it takes some minutes until Google knows: gcloud storage buckets "
    "add-iam-policy-binding gs://BUCKET --member ACCOUNT --role roles/storage.objectUser"
)


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
    from clio_argo.argo.templates import current_template, reference, require_steps

    more, given = _pairs("-l", labels, submission.label_problems), _pairs("-p", parameters)
    client = None if dry_run else cluster.connect()
    if client is None:
        installed = _generated(generated_with, template, pipeline)
    else:
        installed = client.template(template) if template else current_template(client, release)
    if pipeline:
        require_steps(installed, load_pipeline(pipeline))
    given = submission.override(installed, given)
    requested = overridden(request.read(), given)
    with place_of(out, requested, unique) as place:
        requested = place.request
        arguments = {**submission.request_arguments(requested, place.root, installed), **given}
        check_source(requested, follow)
        check_artifacts(installed)
        metadata = _metadata(name or (None if generate_name else place.id), generate_name, requested)
        workflow = submission.workflow(reference(installed), arguments, metadata, {**requested.labels, **more}, follow)
        if client is None:
            print(f"checked against template {reference(installed)}; no cluster was asked", file=sys.stderr)
            print(document(workflow, output or "yaml"))
            return
        check_cluster(client, installed, place.root)
        if server_dry_run:
            print(document(client.create(workflow, dry_run=True), output or "yaml"))
            return
        make_buckets(requested, place.root, pipeline)
        created = client.create(workflow)
        if output:
            print(document(created, output))
        watch = Watch(client, created["metadata"]["name"], cluster.flags(client.namespace))
        _follow(watch, output is None, waiting, watching, logging, pending_limit)


def _metadata(name: str | None, begin: str | None, config: Request) -> dict[str, str]:
    """The workflow's name, or what Kubernetes makes one of."""
    from clio_argo.argo.submit import prefix

    return {"name": name} if name else {"generateName": begin or prefix(config.id)}


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


def check_cluster(client: "Client", template: "Json", run: str) -> None:
    """Refuse what cannot start, and warn if the bucket is in another region than the nodes, as far as one may see it.

    Raises:
        UserError: names the secrets that are missing.
    """
    from clio_argo.cli.doctor_cluster import check_secrets, look_at_region

    check_secrets(client, template)
    finding = look_at_region(client, run)
    if finding.verdict == "WRONG":
        print(finding.line(), file=sys.stderr)


def make_buckets(config: Request, run: str, pipeline: str | None) -> None:
    """Claim the root and make the buckets that the request asks for, and report each."""
    if config.make_buckets.location is not None:
        from clio_argo.store.documents import Store
        from clio_argo.workspace.buckets import claim_with_buckets

        for done in claim_with_buckets(config, Store(run), load_pipeline(pipeline).versions):
            print(done, file=sys.stderr)
        print(PODS_NEED, file=sys.stderr)


def check_source(config: Request, follow: bool = False) -> None:
    """Refuse what `plan` would refuse, if the source can be read from here.

    follow: whether slices still come, so that nothing is wrong with too few.

    Raises:
        UserError, GateStopped, MissingInput: as `Preflight.refuse`.
    """
    from clio_argo.runner import environment
    from clio_argo.store.source_url import find_source
    from clio_argo.workspace.preflight import preflight

    try:
        _refuse_unseen(config)
        tell_wait(config.source)
        if follow:
            find_source(config.source)
            return
        with environment({name: os.environ.get(name, value) for name, value in BRIEF.items()}):
            checked = preflight(config)
        checked.refuse()
    except (StoreError, TransientError) as error:
        print(f"the source is not checked from here: {error}", file=sys.stderr)
    else:
        if checked.warning:
            print(f"warning: {checked.warning}", file=sys.stderr)


def check_artifacts(template: "Json") -> None:
    """Refuse artifacts in a bucket that does not exist, which the first pod would fail to write.

    Raises:
        UserError: names the bucket and the setting.
    """
    from clio_argo.argo.submit import artifact_buckets
    from clio_argo.runner import environment
    from clio_argo.store.documents import Store

    for bucket in artifact_buckets(template):
        try:
            with environment({name: os.environ.get(name, value) for name, value in BRIEF.items()}):
                Store(bucket).location()
        except MissingBucket as error:
            raise UserError(f"{error}\nThe installation keeps artifacts there: its setting artifacts.bucket") from error
        except (StoreError, TransientError):
            continue  # who submits need not see it


def _refuse_unseen(config: Request) -> None:
    """What pods mount need not be on this machine. Raises `StoreError`."""
    for place in (config.source, *config.given_files.values()):
        parts = urlsplit(place)
        if parts.scheme in ("", "file") and not Path(parts.path).exists():
            raise StoreError(f"{place} is not on this machine")


def overridden(config: Request, given: dict[str, str]) -> Request:
    """The request with the arguments that override one of its settings; empty ones change nothing."""
    settings = {k: v for k, v in given.items() if v and (k in LEGACY or k in field_paths())}
    return build_request(config.model_dump(), *(parse_setting(f"{k}={v}") for k, v in settings.items()))


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
