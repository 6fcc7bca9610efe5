"""Which cluster is asked, and what is told when nobody answers there."""

import socket
from pathlib import Path

import pytest
import yaml

from clio_argo.argo.client import connect
from clio_argo.argo.server import ArgoServer
from clio_argo.errors import TransientError, UserError


@pytest.fixture
def nobody() -> str:
    """An address on this machine that no process listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ARGO_SERVER", "ARGO_TOKEN", "ARGO_SECURE", "ARGO_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)


def kubeconfig(folder: Path, server: str) -> Path:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "em",
        "contexts": [{"name": "em", "context": {"cluster": "c", "user": "u", "namespace": "stacks"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"https://{server}"}}],
        "users": [{"name": "u", "user": {"token": "x"}}],
    }
    file = folder / "config"
    file.write_text(yaml.safe_dump(document))
    return file


def test_a_cluster_that_does_not_answer_is_named(nobody: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, nobody)))
    with pytest.raises(TransientError) as told:
        connect().get("wa")
    assert str(told.value) == f"namespace stacks of https://{nobody}: does not answer: [Errno 111] Connection refused"


def test_an_argo_server_that_does_not_answer_is_named(nobody: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARGO_SERVER", nobody)
    with pytest.raises(TransientError) as told:
        connect("stacks").get("wa")
    assert str(told.value) == (
        f"namespace stacks of Argo Server https://{nobody}: does not answer: [Errno 111] Connection refused"
    )


def test_no_cluster_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"no cluster: .*set KUBECONFIG"):
        connect()


def test_a_broken_kubeconfig_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "config"
    broken.write_text("clusters: [")
    monkeypatch.setenv("KUBECONFIG", str(broken))
    with pytest.raises(UserError, match="no cluster"):
        connect()


def test_argo_server_is_found_as_the_argo_command_finds_it() -> None:
    named = {"ARGO_SERVER": "argo:2746", "ARGO_SECURE": "false", "ARGO_BASE_HREF": "/argo/"}
    assert ArgoServer.from_environment(named, None).url == "http://argo:2746/argo"
    with pytest.raises(UserError, match="ARGO_SECURE=perhaps"):
        ArgoServer.from_environment({**named, "ARGO_SECURE": "perhaps"}, None)
    with pytest.raises(UserError, match="HOST:PORT"):
        ArgoServer.from_environment({**named, "ARGO_SERVER": "https://argo:2746"}, None)
