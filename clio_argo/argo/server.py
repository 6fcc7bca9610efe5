"""The cluster through Argo Server's REST interface, as the `argo` command line reaches it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Self

import requests

from clio_argo.argo.approval import DECISION
from clio_argo.argo.archived import LOGS
from clio_argo.argo.faults import Refused, fault, origin, unreachable
from clio_argo.argo.logs import EXECUTOR, LogLine, step_lines
from clio_argo.argo.nodes import Json, newest, with_phases
from clio_argo.argo.pending import WARNINGS, warnings
from clio_argo.errors import TransientError, UserError

# a server that is up accepts a connection at once; a list of many workflows takes seconds
CONNECT_S, READ_S, EVENTS_S = 5, 60, 1
# spellings that the argo command line takes
TRUE, FALSE = ("true", "1", "yes", "t"), ("false", "0", "no", "f")
# a list is requested without nodes: one workflow may hold a megabyte of them
LISTED = ",".join(
    f"items.{field}"
    for field in (
        "metadata", "spec.arguments", "spec.suspend", "spec.workflowTemplateRef", "status.phase", "status.message",
        "status.progress", "status.startedAt", "status.finishedAt", "status.outputs",
    )
)  # fmt: skip


class ArgoServer:
    """Implements `clio_argo.argo.client.Client` with Argo Server."""

    def __init__(self, url: str, namespace: str, token: str = "", verify: bool = True) -> None:
        self.namespace, self.url = namespace, url.rstrip("/")
        self._token, self._verify = token, verify
        self.place = f"namespace {namespace} of Argo Server {self.url}"
        self._session = requests.Session()
        self._session.verify = verify
        if token:
            self._session.headers["Authorization"] = token if " " in token else f"Bearer {token}"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], namespace: str | None) -> Self:
        """Read ARGO_SERVER (HOST:PORT), ARGO_TOKEN, ARGO_SECURE, ARGO_INSECURE_SKIP_VERIFY and ARGO_BASE_HREF.

        Raises:
            UserError: names the variable that cannot be used.
        """
        host, base = environment["ARGO_SERVER"], environment.get("ARGO_BASE_HREF", "").strip("/")
        if "://" in host:
            raise UserError(f"ARGO_SERVER {host}: expected HOST:PORT; set ARGO_SECURE=false for http")
        scheme = "https" if _flag(environment, "ARGO_SECURE", True) else "http"
        verify = not _flag(environment, "ARGO_INSECURE_SKIP_VERIFY", False)
        token = environment.get("ARGO_TOKEN", "")
        return cls(f"{scheme}://{host}/{base}", namespace or "default", token, verify)

    def within(self, namespace: str) -> "ArgoServer":
        """As in `Client`; without another connection for its own namespace."""
        return self if namespace == self.namespace else ArgoServer(self.url, namespace, self._token, self._verify)

    def about(self) -> str:
        """The server and its version."""
        return f"Argo Server {self._json('GET', 'version')['version']} at {self.url}"

    def create(self, workflow: Json, dry_run: bool = False) -> Json:
        """As in `Client`."""
        return self._json("POST", self._workflows(), {"workflow": workflow, "serverDryRun": dry_run})

    def get(self, name: str) -> Json:
        """As in `Client`."""
        return self._json("GET", self._workflows(name))

    def find(
        self, selector: str = "", everywhere: bool = False, phases: Sequence[str] = (), limit: int | None = None
    ) -> Sequence[Json]:
        """As in `Client`."""
        # all namespaces are addressed by an empty name
        path = "workflows/" if everywhere else self._workflows()
        return newest(self._list(path, with_phases(selector, phases), fields=LISTED), limit)

    def unstarted(self, name: str = "") -> dict[str, str]:
        """As in `Client`."""
        # the server shows no pods, and events as a stream that does not end: what it has comes at once
        events = list[Json]()
        try:
            options, timeout = {"listOptions.fieldSelector": WARNINGS}, (CONNECT_S, EVENTS_S)
            with self._asked():
                answer = self._ask(
                    "GET", f"stream/events/{self.namespace}", params=options, stream=True, timeout=timeout
                )
                events.extend(json.loads(line)["result"] for line in answer.iter_lines())
        except (Refused, TransientError, KeyError):
            pass
        return warnings(e for e in events if e["involvedObject"]["name"].startswith(name))

    def delete(self, name: str) -> None:
        """As in `Client`."""
        self._json("DELETE", self._workflows(name))

    def shut_down(self, name: str, how: Literal["Stop", "Terminate"]) -> None:
        """As in `Client`."""
        self._json("PUT", self._workflows(name, how.lower()), {})

    def suspend(self, name: str, on: bool) -> None:
        """As in `Client`."""
        self._json("PUT", self._workflows(name, "suspend" if on else "resume"), {})

    def decide(self, name: str, node: str, decision: str, message: str) -> None:
        """As in `Client`."""
        outputs = json.dumps({DECISION: decision})
        body = {"nodeFieldSelector": f"id={node}", "outputParameters": outputs, "message": message}
        # with a phase the server sets output and phase at once, and refuses a node that no longer waits
        self._json("PUT", self._workflows(name, "set"), {**body, "phase": "Succeeded"})

    def template(self, name: str) -> Json:
        """As in `Client`."""
        return self._json("GET", self._templates(name))

    def templates(self, selector: str = "") -> Sequence[Json]:
        """As in `Client`."""
        return self._list(self._templates(), selector)

    def delete_template(self, name: str) -> None:
        """As in `Client`."""
        self._json("DELETE", self._templates(name))

    def logs(self, name: str, follow: bool) -> Iterator[LogLine]:
        """As in `Client`."""
        options = {"logOptions.container": "main", "logOptions.follow": json.dumps(follow)}
        with self._asked():
            answer = self._ask("GET", self._workflows(name, "log"), params=options, stream=True)
            for line in answer.iter_lines():
                yield from self._log_lines(json.loads(line))

    def archived(self, workflow: Json, node: str) -> Iterator[str]:
        """As in `Client`."""
        name = workflow["metadata"]["name"]
        path = f"artifact-files/{self.namespace}/workflows/{name}/{node}/outputs/{LOGS}"
        with self._asked():
            yield from step_lines([self._ask("GET", path, root="").content])

    def _log_lines(self, message: Json) -> Iterator[LogLine]:
        if error := message.get("error"):
            raise fault(error.get("http_code", 500), error.get("message", ""), self.place)
        text = message["result"].get("content", "")
        if not EXECUTOR.match(text):
            yield LogLine(message["result"]["podName"], text)

    def _workflows(self, *rest: str) -> str:
        return "/".join(("workflows", self.namespace, *rest))

    def _templates(self, *rest: str) -> str:
        return "/".join(("workflow-templates", self.namespace, *rest))

    def _list(self, path: str, selector: str, **params: str) -> list[Json]:
        # the server writes null for an empty list
        return self._json("GET", path, params={"listOptions.labelSelector": selector, **params}).get("items") or []

    def _json(self, method: str, path: str, body: Json | None = None, params: Json | None = None) -> Json:
        with self._asked():
            answer: Json = self._ask(method, path, json=body, params=params).json()
        return answer

    def _ask(self, method: str, path: str, root: str = "api/v1/", **options: Any) -> requests.Response:
        # a followed log is silent for as long as its step writes nothing
        limits = {"timeout": (CONNECT_S, None if options.get("stream") else READ_S), **options}
        answer = self._session.request(method, f"{self.url}/{root}{path}", **limits)
        if not answer.ok:
            raise fault(answer.status_code, answer.text, self.place)
        return answer

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Raise failures on the way to the server as `ClioError`."""
        try:
            yield
        except requests.exceptions.SSLError as error:
            raise UserError(
                f"{self.place}: its certificate is not trusted: {origin(error)}; set ARGO_SECURE=false to connect "
                "without TLS, or ARGO_INSECURE_SKIP_VERIFY=true to trust any certificate"
            ) from error
        except requests.exceptions.JSONDecodeError as error:
            raise UserError(f"{self.place}: does not answer like Argo Server; check ARGO_SERVER") from error
        except requests.exceptions.RequestException as error:
            raise unreachable(error, self.place) from error


def _flag(environment: Mapping[str, str], name: str, default: bool) -> bool:
    value = environment.get(name, "").lower()
    if value not in (*TRUE, *FALSE, ""):
        raise UserError(f"{name}={environment[name]}: use true or false")
    return value in TRUE if value else default
