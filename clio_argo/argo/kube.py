"""The cluster through its own API, with a kubeconfig or from within a pod."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import urllib3
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from clio_argo.argo.approval import decision_patch
from clio_argo.argo.archived import archived_at
from clio_argo.argo.faults import Conflict, Refused, fault, unreachable
from clio_argo.argo.logs import LogLine, follow_pods, step_lines
from clio_argo.argo.nodes import Json, newest, with_phases
from clio_argo.argo.pending import WARNINGS, reasons
from clio_argo.errors import UserError

GROUP, VERSION = "argoproj.io", "v1alpha1"
WORKFLOWS, TEMPLATES = "workflows", "workflowtemplates"
# A server that is up accepts a connection at once; a list of workflows with megabytes of nodes takes seconds. A log
# is followed for at most a week, the default deadline of a workflow.
CONNECT_S, READ_S, STREAM_S = 5, 60, 7 * 86400
TIMEOUT = (CONNECT_S, READ_S)
# an attempt fails only if the controller writes the same workflow between reading and patching: milliseconds
ATTEMPTS = 5
WORKFLOW_LABEL = "workflows.argoproj.io/workflow"
JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
MOUNTED_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class KubeClient:
    """Implements `clio_argo.argo.client.Client` with the Kubernetes API."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self.namespace, self.api = namespace, api
        self.place = f"namespace {namespace} of {api.configuration.host}"
        # Any: the annotations of these classes promise models even where raw answers are requested
        self._objects: Any = client.CustomObjectsApi(api)
        self._core: Any = client.CoreV1Api(api)

    @classmethod
    def from_config(cls, namespace: str | None, context: str | None = None, kubeconfig: str | None = None) -> Self:
        """Connect as kubectl does: with `kubeconfig`, KUBECONFIG, ~/.kube/config, or the account of the pod.

        Raises:
            UserError: no cluster is configured.
        """
        settings = client.Configuration()
        try:
            default = _load(settings, context, kubeconfig)
        except (config.ConfigException, OSError, ValueError, yaml.YAMLError) as error:
            raise UserError(
                f"no cluster: {str(error).strip()}; set KUBECONFIG to a file that kubectl works with, or ARGO_SERVER"
            ) from error
        # a person is waiting, and commands that wait for a workflow ask again by themselves
        settings.retries = False
        return cls(client.ApiClient(settings), namespace or default)

    def within(self, namespace: str) -> "KubeClient":
        """As in `Client`."""
        return KubeClient(self.api, namespace)

    def about(self) -> str:
        """The cluster and its version."""
        return f"Kubernetes {self._version()[0].git_version} at {self.api.configuration.host}"

    def told_time(self) -> str | None:
        """The cluster's clock, as an HTTP date."""
        date: str | None = self._version()[2].get("Date")
        return date

    def _version(self) -> Any:
        """Version, status and headers of an answer."""
        with self.asked():
            return client.VersionApi(self.api).get_code_with_http_info(_request_timeout=TIMEOUT)

    def kinds(self) -> set[str]:
        """Plural names of Argo's custom resources that the cluster knows."""
        with self.asked():
            answer = self._objects.get_api_resources(GROUP, VERSION, _request_timeout=TIMEOUT)
        return {resource.name for resource in answer.resources}

    def may(self, verb: str, group: str, resource: str, account: str = "") -> bool:
        """Whether the caller, or a service account of the namespace, may do something there.

        resource: may have a part, as in pods/log.
        """
        name, _, part = resource.partition("/")
        access = {"namespace": self.namespace, "verb": verb, "group": group, "resource": name, "subresource": part}
        spec: Json = {"resourceAttributes": access}
        reviews: Any = client.AuthorizationV1Api(self.api)
        ask = reviews.create_self_subject_access_review
        if account:
            spec["user"] = f"system:serviceaccount:{self.namespace}:{account}"
            ask = partial(reviews.create_namespaced_local_subject_access_review, self.namespace)
        body = {"metadata": {"namespace": self.namespace} if account else {}, "spec": spec}
        with self.asked():
            return bool(ask(body, _request_timeout=TIMEOUT).status.allowed)

    def priority_classes(self) -> set[str]:
        """Names of the cluster's priority classes."""
        classes: Any = client.SchedulingV1Api(self.api)
        with self.asked():
            answer = classes.list_priority_class(_request_timeout=TIMEOUT)
        return {item.metadata.name for item in answer.items}

    def create(self, workflow: Json, dry_run: bool = False) -> Json:
        """As in `Client`."""
        checks: dict[str, Any] = {"dry_run": "All"} if dry_run else {}
        # Strict: without it the API server drops fields that it does not know
        return self._ask("create", WORKFLOWS, body=workflow, field_validation="Strict", **checks)

    def get(self, name: str) -> Json:
        """As in `Client`."""
        return self._ask("get", WORKFLOWS, name)

    def find(
        self, selector: str = "", everywhere: bool = False, phases: Sequence[str] = (), limit: int | None = None
    ) -> Sequence[Json]:
        """As in `Client`."""
        labels = with_phases(selector, phases)
        answer = self._ask("list", WORKFLOWS, everywhere=everywhere, label_selector=labels)
        return newest(answer["items"], limit)

    def unstarted(self, name: str = "") -> dict[str, str]:
        """As in `Client`."""
        labels = f"{WORKFLOW_LABEL}={name}" if name else WORKFLOW_LABEL
        pods = self._seen("list_namespaced_pod", label_selector=labels, field_selector="status.phase=Pending")
        return reasons(pods, self._seen("list_namespaced_event", field_selector=WARNINGS) if pods else [])

    def _seen(self, call: str, **options: str) -> Sequence[Json]:
        """Objects of the namespace, as far as this account may see them."""
        try:
            return list(self.core(call, self.namespace, **options)["items"])
        except Refused:
            return []

    def delete(self, name: str) -> None:
        """As in `Client`."""
        self._ask("delete", WORKFLOWS, name)

    def shut_down(self, name: str, how: Literal["Stop", "Terminate"]) -> None:
        """As in `Client`."""
        self.patch(WORKFLOWS, name, {"spec": {"shutdown": how}}, MERGE_PATCH)

    def suspend(self, name: str, on: bool) -> None:
        """As in `Client`."""
        # null removes a field: Argo never writes false itself
        self.patch(WORKFLOWS, name, {"spec": {"suspend": on or None}}, MERGE_PATCH)

    def decide(self, name: str, node: str, decision: str, message: str) -> None:
        """As in `Client`."""
        for attempt in range(ATTEMPTS):
            patch = decision_patch(self.get(name), node, decision, message)
            try:
                self.patch(WORKFLOWS, name, patch, JSON_PATCH)
                return
            except Conflict:
                # the controller writes the nodes too, and the patch holds only for what was read
                if attempt == ATTEMPTS - 1:
                    raise

    def template(self, name: str) -> Json:
        """As in `Client`."""
        return self._ask("get", TEMPLATES, name)

    def templates(self, selector: str = "") -> Sequence[Json]:
        """As in `Client`."""
        return list(self._ask("list", TEMPLATES, label_selector=selector)["items"])

    def delete_template(self, name: str) -> None:
        """As in `Client`."""
        self._ask("delete", TEMPLATES, name)

    def logs(self, name: str, follow: bool) -> Iterator[LogLine]:
        """As in `Client`."""
        if follow:
            yield from follow_pods(self, name)
            return
        for pod in self.pods(name):
            yield from (LogLine(pod, text) for text in self.log(pod, follow=False))

    def archived(self, workflow: Json, node: str) -> Iterator[str]:
        """As in `Client`, from the bucket itself."""
        from clio_argo.store.documents import Store

        folder, name = archived_at(workflow, node)
        return step_lines([Store(folder).need(name)])

    def pods(self, workflow: str) -> list[str]:
        """Pods of a workflow whose step has started, oldest first."""
        answer = self.core("list_namespaced_pod", self.namespace, label_selector=f"{WORKFLOW_LABEL}={workflow}")
        # the API server refuses to read the log of a pending pod
        started = [p for p in answer["items"] if p.get("status", {}).get("phase") != "Pending"]
        by_age = sorted(started, key=lambda p: str(p["metadata"]["creationTimestamp"]))
        return [p["metadata"]["name"] for p in by_age]

    def log(self, pod: str, follow: bool) -> Iterator[str]:
        """Lines that the step's container wrote."""
        with self.asked():
            answer = self._core.read_namespaced_pod_log(
                pod, self.namespace, container="main", follow=follow, _preload_content=False,
                _request_timeout=(CONNECT_S, STREAM_S if follow else READ_S),
            )  # fmt: skip
            yield from step_lines(answer.stream())

    def core(self, call: str, *arguments: str, **options: str) -> Json:
        """The JSON that a method of `CoreV1Api` receives."""
        method = getattr(self._core, call)
        with self.asked():
            answer = method(*arguments, _preload_content=False, _request_timeout=TIMEOUT, **options)
        document: Json = json.loads(answer.data)
        return document

    def secrets(self, names: Iterable[str]) -> list[Json]:
        """The secrets of these names that are there. Raises `Refused` if this account may not see them."""
        answers = (
            self.core("list_namespaced_secret", self.namespace, field_selector=f"metadata.name={n}") for n in names
        )
        return [secret for answer in answers for secret in answer["items"]]

    def patch(self, plural: str, name: str, body: Any, content_type: str) -> None:
        """Change an object with a patch of a given content type."""
        self._ask("patch", plural, name, body=body, _content_type=content_type)

    def _ask(self, verb: str, plural: str, *name: str, everywhere: bool = False, **options: Any) -> Json:
        scope, namespace = ("cluster", ()) if everywhere else ("namespaced", (self.namespace,))
        call = getattr(self._objects, f"{verb}_{scope}_custom_object")
        with self.asked():
            answer: Json = call(GROUP, VERSION, *namespace, plural, *name, _request_timeout=TIMEOUT, **options)
        return answer

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Raise what the cluster refuses, and failures on the way to it, as `ClioError`."""
        try:
            yield
        except ApiException as error:
            # without a status nothing has answered
            if not error.status:
                raise unreachable(error, self.place) from error
            raise fault(int(error.status), error.body or b"", self.place) from error
        except urllib3.exceptions.HTTPError as error:
            raise unreachable(error, self.place) from error
        except config.ConfigException as error:
            raise UserError(f"{self.place}: cannot log in: {error}") from error


def _load(settings: client.Configuration, context: str | None, kubeconfig: str | None) -> str:
    """Write the cluster's address and credentials into `settings`; the namespace of the context."""
    files = kubeconfig or os.environ.get("KUBECONFIG")
    # a pod has an account of its own, unless somebody names a file or a context
    if not (files or context) and MOUNTED_NAMESPACE.is_file():
        config.load_incluster_config(client_configuration=settings)
        return MOUNTED_NAMESPACE.read_text().strip()
    # not the library's default, which it reads from the environment once, when it is imported
    files = files or str(Path.home() / ".kube" / "config")
    config.load_kube_config(files, context, client_configuration=settings)
    contexts, active = config.list_kube_config_contexts(files)
    chosen = next((c for c in contexts if c["name"] == context), active)
    return str(chosen["context"].get("namespace") or "default")
