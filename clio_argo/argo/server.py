"""The cluster through Argo Server's REST interface, as the `argo` command line reaches it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Self

import requests

from clio_argo.argo.approval import DECISION
from clio_argo.argo.faults import fault, origin, unreachable
from clio_argo.argo.logs import EXECUTOR, LogLine
from clio_argo.argo.nodes import Json
from clio_argo.errors import UserError

CONNECT_S, READ_S = 5, 60
TRUE, FALSE = ("true", "1", "yes", "t"), ("false", "0", "no", "f")
# a list without nodes: one workflow may hold a megabyte of them
LISTED = ",".join(
    f"items.{field}"
    for field in (
        "metadata", "spec.arguments", "spec.suspend", "spec.workflowTemplateRef", "status.phase", "status.message",
        "status.progress", "status.startedAt", "status.finishedAt", "status.outputs",
    )
)  # fmt: skip


class ArgoServer:
    """Implements `clio_argo.argo.client.Client`."""

    def __init__(self, url: str, namespace: str, token: str = "", verify: bool = True) -> None:
        self.namespace, self.url = namespace, url.rstrip("/")
        self.place = f"namespace {namespace} of Argo Server {self.url}"
        self._session = requests.Session()
        self._session.verify = verify
        if token:
            self._session.headers["Authorization"] = token if " " in token else f"Bearer {token}"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], namespace: str | None) -> Self:
        """ARGO_SERVER (HOST:PORT), ARGO_TOKEN, ARGO_SECURE, ARGO_INSECURE_SKIP_VERIFY, ARGO_BASE_HREF."""
        host, base = environment["ARGO_SERVER"], environment.get("ARGO_BASE_HREF", "").strip("/")
        if "://" in host:
            raise UserError(f"ARGO_SERVER {host}: expected HOST:PORT; ARGO_SECURE=false asks for http")
        scheme = "https" if _flag(environment, "ARGO_SECURE", True) else "http"
        return cls(
            f"{scheme}://{host}/{base}",
            namespace or "default",
            environment.get("ARGO_TOKEN", ""),
            verify=not _flag(environment, "ARGO_INSECURE_SKIP_VERIFY", False),
        )

    def about(self) -> str:
        return f"Argo Server {self._json('GET', 'version')['version']} at {self.url}"

    def create(self, workflow: Json, dry_run: bool = False) -> Json:
        return self._json("POST", self._workflows(), {"workflow": workflow, "serverDryRun": dry_run})

    def get(self, name: str) -> Json:
        return self._json("GET", self._workflows(name))

    def find(self, selector: str = "") -> Sequence[Json]:
        wanted = {"listOptions.labelSelector": selector, "fields": LISTED}
        return self._json("GET", self._workflows(), params=wanted).get("items") or []

    def delete(self, name: str) -> None:
        self._json("DELETE", self._workflows(name))

    def shut_down(self, name: str, how: Literal["Stop", "Terminate"]) -> None:
        self._json("PUT", self._workflows(name, how.lower()), {})

    def suspend(self, name: str, on: bool) -> None:
        self._json("PUT", self._workflows(name, "suspend" if on else "resume"), {})

    def decide(self, name: str, node: str, decision: str, message: str) -> None:
        wanted = {
            "nodeFieldSelector": f"id={node}",
            "outputParameters": json.dumps({DECISION: decision}),
            "message": message,
            "phase": "Succeeded",
        }
        self._json("PUT", self._workflows(name, "set"), wanted)

    def template(self, name: str) -> Json:
        return self._json("GET", self._templates(name))

    def templates(self, selector: str = "") -> Sequence[Json]:
        return (
            self._json("GET", self._templates(), params={"listOptions.labelSelector": selector}).get("items")
            or []
        )

    def delete_template(self, name: str) -> None:
        self._json("DELETE", self._templates(name))

    def logs(self, name: str, follow: bool) -> Iterator[LogLine]:
        wanted = {"logOptions.container": "main", "logOptions.follow": json.dumps(follow)}
        with self._asked():
            answer = self._ask("GET", self._workflows(name, "log"), params=wanted, stream=True)
            for line in answer.iter_lines():
                yield from self._log_lines(json.loads(line))

    def _log_lines(self, told: Json) -> Iterator[LogLine]:
        if error := told.get("error"):
            raise fault(error.get("http_code", 500), error.get("message", ""), self.place)
        found = told["result"]
        if not EXECUTOR.match(found.get("content", "")):
            yield LogLine(found["podName"], found.get("content", ""))

    def _workflows(self, *rest: str) -> str:
        return "/".join(("workflows", self.namespace, *rest))

    def _templates(self, *rest: str) -> str:
        return "/".join(("workflow-templates", self.namespace, *rest))

    def _json(self, method: str, path: str, body: Json | None = None, params: Json | None = None) -> Json:
        with self._asked():
            found: Json = self._ask(method, path, json=body, params=params).json()
        return found

    def _ask(self, method: str, path: str, **options: Any) -> requests.Response:
        timeout = (CONNECT_S, None if options.get("stream") else READ_S)
        answer = self._session.request(method, f"{self.url}/api/v1/{path}", timeout=timeout, **options)
        if not answer.ok:
            raise fault(answer.status_code, answer.text, self.place)
        return answer

    @contextmanager
    def _asked(self) -> Iterator[None]:
        try:
            yield
        except requests.exceptions.SSLError as error:
            raise UserError(
                f"{self.place}: its certificate is not trusted: {origin(error)}; ARGO_SECURE=false asks without TLS, "
                "ARGO_INSECURE_SKIP_VERIFY=true trusts any certificate"
            ) from error
        except requests.exceptions.JSONDecodeError as error:
            raise UserError(
                f"{self.place}: does not answer as Argo Server does; look at ARGO_SERVER"
            ) from error
        except requests.exceptions.RequestException as error:
            raise unreachable(error, self.place) from error


def _flag(environment: Mapping[str, str], name: str, otherwise: bool) -> bool:
    value = environment.get(name, "").lower()
    if value not in (*TRUE, *FALSE, ""):
        raise UserError(f"{name}={environment[name]}: use true or false")
    return value in TRUE if value else otherwise
