"""The cluster through its own API, with a kubeconfig or from within a pod."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Self

import urllib3
import yaml
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from clio_argo.argo.approval import decision_patch
from clio_argo.argo.faults import Conflict, fault, unreachable
from clio_argo.argo.logs import LogLine, follow_pods, own_lines
from clio_argo.argo.nodes import Json
from clio_argo.errors import ClioError, UserError

GROUP, VERSION = "argoproj.io", "v1alpha1"
WORKFLOWS, TEMPLATES = "workflows", "workflowtemplates"
CONNECT_S, READ_S, STREAM_S = 5, 60, 7 * 86400
ATTEMPTS = 5
OF_WORKFLOW = "workflows.argoproj.io/workflow"
JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
MOUNTED_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class KubeClient:
    """Implements `clio_argo.argo.client.Client`."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self.namespace, self.api = namespace, api
        self.place = f"namespace {namespace} of {api.configuration.host}"
        # their annotations promise models also where raw answers are asked for
        self._objects: Any = client.CustomObjectsApi(api)
        self._core: Any = client.CoreV1Api(api)

    @classmethod
    def from_config(cls, namespace: str | None) -> Self:
        """As kubectl does: KUBECONFIG, ~/.kube/config, or the pod's own account.

        Raises:
            UserError: no cluster is configured.
        """
        settings = client.Configuration()
        try:
            own = _load(settings)
        except (config.ConfigException, OSError, ValueError, yaml.YAMLError) as error:
            raise UserError(
                f"no cluster: {str(error).strip()}; set KUBECONFIG to a file that kubectl works with, or ARGO_SERVER"
            ) from error
        settings.retries = False  # a person waits; commands that wait ask again by themselves
        return cls(client.ApiClient(settings), namespace or own)

    def about(self) -> str:
        return f"Kubernetes {self._version()[0].git_version} at {self.api.configuration.host}"

    def told_time(self) -> str | None:
        """The cluster's time, as HTTP writes it."""
        told: str | None = self._version()[2].get("Date")
        return told

    def _version(self) -> Any:
        """(version, status, headers) of an answer."""
        with self.asked():
            return client.VersionApi(self.api).get_code_with_http_info(_request_timeout=(CONNECT_S, READ_S))

    def kinds(self) -> set[str]:
        """Plural names of Argo's custom resources that the cluster knows."""
        with self.asked():
            found = self._objects.get_api_resources(GROUP, VERSION, _request_timeout=(CONNECT_S, READ_S))
        return {resource.name for resource in found.resources}

    def may(self, verb: str, group: str, resource: str) -> bool:
        """Whether this person is allowed to do something in the namespace; `resource` may be like pods/log."""
        name, _, part = resource.partition("/")
        wanted = {
            "namespace": self.namespace,
            "verb": verb,
            "group": group,
            "resource": name,
            "subresource": part,
        }
        body = {"spec": {"resourceAttributes": wanted}}
        with self.asked():
            reviews: Any = client.AuthorizationV1Api(self.api)
            answer = reviews.create_self_subject_access_review(body, _request_timeout=(CONNECT_S, READ_S))
        return bool(answer.status.allowed)

    def create(self, workflow: Json, dry_run: bool = False) -> Json:
        checks = {"dry_run": "All"} if dry_run else {}
        created: Json = self._ask("create", WORKFLOWS, body=workflow, field_validation="Strict", **checks)
        return created

    def get(self, name: str) -> Json:
        found: Json = self._ask("get", WORKFLOWS, name)
        return found

    def find(self, selector: str = "") -> Sequence[Json]:
        found: list[Json] = self._ask("list", WORKFLOWS, label_selector=selector)["items"]
        return found

    def delete(self, name: str) -> None:
        self._ask("delete", WORKFLOWS, name)

    def shut_down(self, name: str, how: Literal["Stop", "Terminate"]) -> None:
        self.patch(WORKFLOWS, name, {"spec": {"shutdown": how}}, MERGE_PATCH)

    def suspend(self, name: str, on: bool) -> None:
        self.patch(WORKFLOWS, name, {"spec": {"suspend": True if on else None}}, MERGE_PATCH)

    def decide(self, name: str, node: str, decision: str, message: str) -> None:
        # the controller writes the nodes as well; the patch holds only for what was read
        for attempt in range(ATTEMPTS):
            patch = decision_patch(self.get(name), node, decision, message)
            try:
                self.patch(WORKFLOWS, name, patch, JSON_PATCH)
                return
            except Conflict:
                if attempt == ATTEMPTS - 1:
                    raise

    def template(self, name: str) -> Json:
        found: Json = self._ask("get", TEMPLATES, name)
        return found

    def templates(self, selector: str = "") -> Sequence[Json]:
        found: list[Json] = self._ask("list", TEMPLATES, label_selector=selector)["items"]
        return found

    def delete_template(self, name: str) -> None:
        self._ask("delete", TEMPLATES, name)

    def logs(self, name: str, follow: bool) -> Iterator[LogLine]:
        if follow:
            yield from follow_pods(self, name)
            return
        for pod in self.pods(name):
            yield from (LogLine(pod, text) for text in self.log(pod, follow=False))

    def pods(self, workflow: str) -> list[str]:
        """Pods of a workflow whose step has begun, oldest first."""
        found = self.core("list_namespaced_pod", self.namespace, label_selector=f"{OF_WORKFLOW}={workflow}")
        begun = [p for p in found["items"] if p.get("status", {}).get("phase") != "Pending"]
        return [
            p["metadata"]["name"] for p in sorted(begun, key=lambda p: p["metadata"]["creationTimestamp"])
        ]

    def log(self, pod: str, follow: bool) -> Iterator[str]:
        """Lines of the step's container."""
        with self.asked():
            answer = self._core.read_namespaced_pod_log(
                pod, self.namespace, container="main", follow=follow, _preload_content=False,
                _request_timeout=(CONNECT_S, STREAM_S if follow else READ_S),
            )  # fmt: skip
            yield from own_lines(answer.stream())

    def core(self, call: str, *arguments: str, **options: str) -> Json:
        """What a call of Kubernetes' own interface answers, as the cluster wrote it."""
        with self.asked():
            answer = getattr(self._core, call)(
                *arguments, _preload_content=False, _request_timeout=(CONNECT_S, READ_S), **options
            )
        found: Json = json.loads(answer.data)
        return found

    def label_template(self, name: str, label: str, value: str | None) -> None:
        """Set a label, or take it away."""
        self.patch(TEMPLATES, name, {"metadata": {"labels": {label: value}}}, MERGE_PATCH)

    def patch(self, plural: str, name: str, body: Any, kind: str) -> None:
        """Change an object by a patch of the content type `kind`."""
        self._ask("patch", plural, name, body=body, _content_type=kind)

    def _ask(self, verb: str, plural: str, *name: str, **options: Any) -> Any:
        call = getattr(self._objects, f"{verb}_namespaced_custom_object")
        with self.asked():
            return call(
                GROUP, VERSION, self.namespace, plural, *name, _request_timeout=(CONNECT_S, READ_S), **options
            )

    @contextmanager
    def asked(self) -> Iterator[None]:
        """What the cluster or the way to it refuses is raised as `ClioError`."""
        try:
            yield
        except ApiException as error:
            raise self._fault(error) from error
        except urllib3.exceptions.HTTPError as error:
            raise unreachable(error, self.place) from error
        except config.ConfigException as error:
            raise UserError(f"{self.place}: cannot log in: {error}") from error

    def _fault(self, error: ApiException) -> ClioError:
        if not error.status:
            return unreachable(error, self.place)
        return fault(int(error.status), error.body or b"", self.place)


def _kubeconfig() -> str | None:
    """Files as kubectl takes them; None in a pod, which has its own account unless somebody names a file."""
    named = os.environ.get("KUBECONFIG")
    return named or (None if MOUNTED_NAMESPACE.is_file() else str(Path.home() / ".kube" / "config"))


def _load(settings: client.Configuration) -> str:
    """Where the cluster is and how to log in go into `settings`; the namespace that is meant there."""
    files = _kubeconfig()
    if files is None:
        config.load_incluster_config(client_configuration=settings)
        return MOUNTED_NAMESPACE.read_text().strip()
    config.load_kube_config(config_file=files, client_configuration=settings)
    _, active = config.list_kube_config_contexts(config_file=files)
    return str(active["context"].get("namespace") or "default")
