"""Runs on a cluster: what can be checked of a request from here, the workflow that it becomes, and handles on it."""

import os
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypedDict, Unpack
from urllib.parse import urlsplit

from clio_argo.argo import actions, demands, logs
from clio_argo.argo import submit as submission
from clio_argo.argo.client import Client, connect
from clio_argo.argo.faults import Refused
from clio_argo.argo.follow import follow, look
from clio_argo.argo.kube import KubeClient
from clio_argo.argo.nodes import Json
from clio_argo.argo.summary import Stage, Summary
from clio_argo.argo.templates import find_template, reference, selector
from clio_argo.errors import MissingBucket, StoreError, TransientError, UserError
from clio_argo.model.parse_request import LEGACY, build_request, field_paths, parse_setting
from clio_argo.model.request import Request
from clio_argo.opened import OpenedRun
from clio_argo.opened import open as open_run
from clio_argo.pipeline import PIPELINE, Pipeline
from clio_argo.runner import environment
from clio_argo.store.documents import Store
from clio_argo.store.source_url import find_source
from clio_argo.workspace.buckets import claim_with_buckets
from clio_argo.workspace.preflight import preflight

# what cannot be seen from here within half a minute, pods see: the cluster asks patiently
BRIEF = {"CLIO_STORE_TRIES": "2", "CLIO_STORE_SILENCE_S": "10"}
PODS_NEED = (
    "the account of the pods needs them, too; it takes some minutes until Google knows: gcloud storage buckets "
    "add-iam-policy-binding gs://BUCKET --member ACCOUNT --role roles/storage.objectUser"
)
Say = Callable[[str], object]


def _silent(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Submission:
    """What is asked of a cluster.

    arguments: of the template, e.g. `{"approval": "ask"}`. name: of the workflow; None: `begin` and some letters, by
    default of the request's id. follow: whether slices are judged while they are recorded first.
    """

    request: Request
    run: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    name: str | None = None
    begin: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    follow: bool = False

    def workflow(self, template: Json, say: Say = _silent) -> Json:
        """The Workflow object of a template, after all that can be checked from here. `say` gets warnings.

        Raises:
            UserError, GateStopped: the request cannot be submitted, or its source cannot become a volume.
        """
        given = submission.override(template, self.arguments)
        request = overridden(self.request, given)
        arguments = {**submission.request_arguments(request, self.run, template), **given}
        check_source(request, say, self.follow)
        check_artifacts(template)
        begin = {"generateName": self.begin or submission.prefix(request.id)}
        name, labels = {"name": self.name} if self.name else begin, {**request.labels, **self.labels}
        return submission.workflow(reference(template), arguments, name, labels, self.follow)


@dataclass(frozen=True, repr=False)
class ClusterRun:
    """A workflow of clio-argo. Each property asks the cluster."""

    client: Client
    name: str

    def __repr__(self) -> str:
        """Its name and namespace."""
        return f"<clio-argo workflow {self.name} in namespace {self.client.namespace}>"

    @property
    def summary(self) -> Summary:
        """All that is known of it now."""
        return look(self.client, self.name)

    @property
    def status(self) -> str:
        """Its phase, as Argo calls it: Pending, Running, Succeeded, Failed or Error; empty before it is taken up."""
        return self.summary.phase

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The steps, with parts that are done, run and failed."""
        return self.summary.stages

    @property
    def outputs(self) -> Mapping[str, str]:
        """What it published so far: link, volume, flagged slices."""
        return self.summary.outputs

    @property
    def run(self) -> str:
        """URL of the run's root."""
        return self.summary.run

    def open(self) -> OpenedRun:
        """Its run, as `clio_argo.open`."""
        return open_run(self.run)

    def wait(self, pending_limit: timedelta | None = None) -> Summary:
        """Wait until it has ended; returns what is known then.

        Raises:
            NotStarting: no pod has started for `pending_limit`.
            NoController: nobody picks it up.
        """
        return deque(follow(self.client, self.name, pending_limit), maxlen=1)[0]

    def logs(self, until_the_end: bool = False) -> Iterator[logs.LogLine]:
        """What its pods wrote; `until_the_end` waits for more until it has ended."""
        return self.client.logs(self.name, until_the_end)

    def stop(self) -> None:
        """Ask its pods to stop. Raises `UserError` if it has ended."""
        actions.stop(self.client, self.name)

    def retry(self) -> "ClusterRun":
        """A workflow that goes on where this one failed. Raises `UserError` if it did not fail."""
        return ClusterRun(self.client, actions.retry(self.client, self.name))


class Options(TypedDict, total=False):
    """What else `submit` takes.

    context, kubeconfig: as of kubectl.
    template, release: the template that is used, or the release that has it. Default: the first one that was installed.
    arguments: of the template, over the request, e.g. `{"approval": "ask"}`.
    name: of the workflow. Default: begins with the request's id.
    begin: how its name begins.
    labels: of the workflow, besides those of the request.
    follow: whether slices are judged while they are recorded first.
    """

    context: str
    kubeconfig: str
    template: str
    release: str
    arguments: Mapping[str, str]
    name: str
    begin: str
    labels: Mapping[str, str]
    follow: bool


OF_CLUSTER = ("context", "kubeconfig", "template", "release")


def submit(
    request: Request,
    run: str,
    namespace: str | None = None,
    *,
    wait: bool = False,
    pipeline: Pipeline | None = None,
    **more: Unpack[Options],
) -> ClusterRun:
    """Check a request, and run it with the template that is installed in a namespace.

    The cluster is that of ARGO_SERVER or of the kubeconfig, as for `clio-argo submit`.

    Raises:
        UserError, GateStopped: the request, the source, or the installation cannot be used; nothing was created.
    """
    own: dict[str, Any] = {k: v for k, v in more.items() if k not in OF_CLUSTER}
    asked = Submission(request, run, **own)
    client = connect(namespace, more.get("context"), more.get("kubeconfig"))
    installed = find_template(client, more.get("template"), more.get("release"), pipeline)
    workflow = asked.workflow(installed, warnings.warn)
    check_secrets(client, installed)
    make_buckets(request, run, pipeline or PIPELINE, warnings.warn)
    made = ClusterRun(client, str(client.create(workflow)["metadata"]["name"]))
    if wait:
        made.wait()
    return made


def list_runs(
    namespace: str | None = None, context: str | None = None, kubeconfig: str | None = None
) -> Sequence[ClusterRun]:
    """The workflows of clio-argo in a namespace, newest first."""
    client = connect(namespace, context, kubeconfig)
    found = sorted(client.find(selector()), key=lambda w: w["metadata"].get("creationTimestamp") or "", reverse=True)
    return [ClusterRun(client, str(w["metadata"]["name"])) for w in found]


def check_secrets(client: Client, template: Json) -> None:
    """Refuse a template whose secrets are missing, as far as this account may see them: its pods would not start.

    Raises:
        UserError: names the secrets and the namespace.
    """
    if not isinstance(client, KubeClient):
        return
    try:
        secrets = client.secrets(demands.secrets_of(template))
    except Refused:
        return  # who submits need not see them
    if problems := demands.token_problems(template, secrets):
        text = "; ".join(problems)
        raise UserError(f"namespace {client.namespace}: {text}\nNo pod would start: make it there, and submit again")


def check_source(config: Request, say: Say = _silent, follow: bool = False) -> None:
    """Refuse what `plan` would refuse, if the source can be read from here; `say` gets what was not checked.

    follow: whether slices still come, so that nothing is wrong with too few.

    Raises:
        UserError, GateStopped, MissingInput: as `Preflight.refuse`.
    """
    try:
        _refuse_unseen(config)
        with environment({name: os.environ.get(name, value) for name, value in BRIEF.items()}):
            if follow:
                find_source(config.source)
                return
            checked = preflight(config)
        checked.refuse()
    except (StoreError, TransientError) as error:
        say(f"the source is not checked from here: {error}")
    else:
        if checked.warning:
            say(f"warning: {checked.warning}")


def _refuse_unseen(config: Request) -> None:
    """What pods mount need not be on this machine. Raises `StoreError`."""
    for place in (config.source, *config.given_files.values()):
        parts = urlsplit(place)
        if parts.scheme in ("", "file") and not Path(parts.path).exists():
            raise StoreError(f"{place} is not on this machine")


def check_artifacts(template: Json) -> None:
    """Refuse artifacts in a bucket that does not exist, which the first pod would fail to write.

    Raises:
        UserError: names the bucket and the setting.
    """
    for bucket in submission.artifact_buckets(template):
        try:
            with environment({name: os.environ.get(name, value) for name, value in BRIEF.items()}):
                Store(bucket).location()
        except MissingBucket as error:
            raise UserError(f"{error}\nThe installation keeps artifacts there: its setting artifacts.bucket") from error
        except (StoreError, TransientError):
            continue  # who submits need not see it


def make_buckets(config: Request, run: str, pipeline: Pipeline, say: Say = _silent) -> None:
    """Claim the root and make the buckets that the request asks for; `say` gets each."""
    if config.make_buckets.location is not None:
        for done in claim_with_buckets(config, Store(run), pipeline.versions):
            say(done)
        say(PODS_NEED)


def overridden(config: Request, given: Mapping[str, str]) -> Request:
    """The request with the arguments that override one of its settings; empty ones change nothing."""
    settings = {k: v for k, v in given.items() if v and (k in LEGACY or k in field_paths())}
    return build_request(config.model_dump(), *(parse_setting(f"{k}={v}") for k, v in settings.items()))
