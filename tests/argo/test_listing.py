"""Workflows are listed alike through both servers, with what is requested; and pods whose logs, accounts whose rights
are asked for.
"""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from kubernetes import client as k8s

from clio_argo.argo.client import Client
from clio_argo.argo.follow import named
from clio_argo.argo.kube import KubeClient
from clio_argo.argo.nodes import newest, with_phases
from clio_argo.argo.server import ArgoServer
from clio_argo.argo.summary import summarise
from clio_argo.cli.cluster import Watch

# in the order of names, as servers list them
WORKFLOWS = [
    {"metadata": {"name": name, "creationTimestamp": f"2026-11-2{day}T10:00:00Z"}}
    for name, day in (("a", 1), ("b", 3), ("c", 2))
]


class Cluster(ThreadingHTTPServer):
    """A server that answers every request with WORKFLOWS, and keeps the paths and queries."""

    def __init__(self, handler: "type[Listing] | None" = None) -> None:
        super().__init__(("127.0.0.1", 0), handler or Listing)
        self.requests: list[tuple[str, dict[str, Any]]] = []


class Listing(BaseHTTPRequestHandler):
    server: Cluster

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.server.requests.append((url.path, parse_qs(url.query)))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps({"items": WORKFLOWS}).encode())

    def log_message(self, *arguments: Any) -> None:
        """Print nothing."""


class Reviews(Listing):
    """An API server that allows what a service account asks, and nothing else."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, body["spec"]))
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        answer = {"spec": body["spec"], "status": {"allowed": "user" in body["spec"]}}
        self.wfile.write(json.dumps(answer).encode())


def test_rights_are_asked_of_the_caller_or_of_an_account() -> None:
    with Cluster(Reviews) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        kube = KubeClient(k8s.ApiClient(k8s.Configuration(host=f"http://127.0.0.1:{server.server_port}")), "em")
        assert not kube.may("get", "", "pods/log")
        assert kube.may("create", "argoproj.io", "workflowtaskresults", account="executor")
        server.shutdown()
    (own, mine), (theirs, executors) = server.requests
    assert own.endswith("/selfsubjectaccessreviews")
    assert theirs.endswith("/namespaces/em/localsubjectaccessreviews")
    assert mine == {
        "resourceAttributes": {"namespace": "em", "verb": "get", "group": "", "resource": "pods", "subresource": "log"}
    }
    assert executors["user"] == "system:serviceaccount:em:executor"


class Logs(Listing):
    """Argo Server with one line of each pod."""

    def do_GET(self) -> None:
        pods = ("w-reduce-1", "w-reduce-solve-2", "w-all-3")
        lines = [json.dumps({"result": {"content": f"{pod} done", "podName": pod}}) for pod in pods]
        self.send_response(200)
        self.end_headers()
        self.wfile.write("\n".join(lines if self.path.partition("?")[0].endswith("/log") else ["{}"]).encode())


def test_logs_are_those_of_pods_of_this_very_name(capsys: pytest.CaptureFixture[str]) -> None:
    """The name of a pod of several steps begins with that of its first one."""
    pods = {"reduce": ["reduce-1"], "reduce-solve": ["reduce-solve-2"], "solve": []}
    with ThreadingHTTPServer(("127.0.0.1", 0), Logs) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        watch = Watch(ArgoServer(f"http://127.0.0.1:{server.server_port}", "em"), "w", "")
        for step, told in {**pods, "": ["reduce-1", "reduce-solve-2", "all-3"]}.items():
            watch.logs(follow=False, step=step)
            assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == told
        server.shutdown()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(params=["kubeconfig", "argo-server"])
def client(request: pytest.FixtureRequest, cluster: Cluster) -> Client:
    url = f"http://127.0.0.1:{cluster.server_port}"
    if request.param == "argo-server":
        return ArgoServer(url, "em")
    return KubeClient(k8s.ApiClient(k8s.Configuration(host=url)), "em")


def test_the_newest_come_first_and_others_are_left_out(client: Client) -> None:
    assert [w["metadata"]["name"] for w in client.find()] == ["b", "c", "a"]
    assert [w["metadata"]["name"] for w in client.find(limit=2)] == ["b", "c"]
    assert named(client, "@latest") == "b"


def test_labels_and_phases_are_left_to_the_server(client: Client, cluster: Cluster) -> None:
    client.find("grant=x", phases=("Failed", "Error"))
    ((path, query),) = cluster.requests
    assert path.endswith("/em/workflows") or path == "/api/v1/workflows/em"
    selectors = query.get("labelSelector") or query["listOptions.labelSelector"]
    assert selectors == ["grant=x,workflows.argoproj.io/phase in (Failed,Error)"]


def test_all_namespaces_are_one_request(client: Client, cluster: Cluster) -> None:
    client.find(everywhere=True)
    ((path, _),) = cluster.requests
    assert path in ("/apis/argoproj.io/v1alpha1/workflows", "/api/v1/workflows/")


def test_a_selector_without_phases_stays_as_it_is() -> None:
    assert with_phases("", ()) == ""
    assert with_phases("", ("Running",)) == "workflows.argoproj.io/phase in (Running)"
    assert newest([], 3) == []


def test_arguments_that_are_no_text_are_read_as_argo_reads_them() -> None:
    arguments = {"parameters": [{"name": "minz", "value": 3}, {"name": "skip_align", "value": True}, {"name": "run"}]}
    summary = summarise({"metadata": {"name": "x"}, "spec": {"arguments": arguments}})
    assert summary.arguments == {"minz": "3", "skip_align": "true"}
