"""A registry of images as a release sees it: where it may be, who may push, what it refuses and how, what it holds."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.proxy import disturbed
from tests.receivers import webhook
from tests.registries import IDENTITY, USER, Served, program, registry
from tests.releases import VERSION, logins, registries

# about the tools of maintainers, who run all
pytestmark = pytest.mark.properties
ALIGN = "clio-argo-align"
LABELS = {"org.opencontainers.image.revision": "abc"}


@pytest.fixture(autouse=True)
def login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of docker's configuration, empty at first."""
    (tmp_path / "docker").mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    return tmp_path / "docker"


def word(user: str) -> str:
    return base64.b64encode(user.encode()).decode()


def log_in(folder: Path, host: str, user: str = USER) -> None:
    """What `docker login` leaves."""
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": word(user)}}}))


@pytest.mark.parametrize(
    "name",
    [
        *(
            "https://registry.example/x",
            "ann/clio",
            "registry.example/Ann",
            "registry.example/",
            "",
            " registry.example",
        ),
        *(
            "registry..example",
            "-a.example",
            f"{'x' * 64}.example",
            "Registry.example",
            "a.example/b..c",
            "a.example//b",
        ),
        *("a.example:/x", "a.example/x:1", "registry.example/x\n"),
    ],
)
def test_a_place_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(registries.Refused, match=re.escape(f"REGISTRY={name}: give HOST[:PORT][/PATH], such as")):
        registries.Registry(name)


@pytest.mark.parametrize("name", ["docker.io/ann", "index.docker.io/ann"])
def test_a_place_that_has_no_folders_is_refused(name: str) -> None:
    with pytest.raises(registries.Refused, match="has no folder charts/ for the chart: take another registry"):
        registries.Registry(name)


@pytest.mark.parametrize(
    "name", ["localhost", "localhost:5000/a/b-c", "registry.example", "10.0.0.1:5000/a_b", "a.example/b__c/d--e.f"]
)
def test_places(name: str) -> None:
    assert registries.Registry(name).plain == name.startswith("localhost")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    program()
    with registry(tmp_path_factory.mktemp("registry")) as served:
        yield served


def test_a_registry_that_would_take_it_is_left_as_it_was(plain: Served) -> None:
    before = plain.repositories()
    registries.Registry(f"{plain.host}/new").check(ALIGN)
    assert plain.repositories() == before


def test_a_registry_of_this_machine_is_behind_no_proxy(plain: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for docker and helm."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    for host in (plain.host, plain.host.replace("127.0.0.1", "localhost")):
        registries.Registry(f"{host}/new").check(ALIGN)


def test_the_digest_is_the_registrys(plain: Served) -> None:
    digest, ours = plain.push(f"held/{ALIGN}", VERSION), registries.Registry(f"{plain.host}/held")
    assert ours.digest(ALIGN, VERSION) == digest
    assert ours.digest(ALIGN, "0.0.9") is None
    assert ours.digest("clio-argo-write", VERSION) is None


@pytest.mark.parametrize("listed", [False, True])
def test_an_image_tells_its_labels(listed: bool, plain: Served) -> None:
    ours = registries.Registry(f"{plain.host}/told")
    digest = only = plain.push(f"told/{ALIGN}", VERSION, LABELS)
    if listed:
        digest = plain.push_list(f"told/{ALIGN}", VERSION, only)
    held = ours.image(ALIGN, digest)
    assert (held.digest, held.labels) == (digest, LABELS)
    assert {digest, only} < held.known_as
    assert ours.image(ALIGN, plain.push(f"told/{ALIGN}", "bare")).labels == {}


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("400", r"refuses em/clio-argo-align \(400\): correct REGISTRY"),
        ("403", r"refuses em/clio-argo-align \(403\): log in with an account that may push: docker login HOST"),
        ("404", r"refuses em/clio-argo-align \(404\): make the repository em/clio-argo-align there, or correct REG"),
        ("405", r"refuses em/clio-argo-align \(405\): it takes no pushes: correct REGISTRY"),
        ("429", r"refuses em/clio-argo-align \(429\): try again later"),
        ("500", r"refuses em/clio-argo-align \(500\): try again later"),
        ("reset", r"is out of reach: .*Connection reset by peer: correct REGISTRY, or mend the network"),
    ],
)
def test_what_fails_is_told_with_what_to_do(fault: str, words: str, plain: Served) -> None:
    with disturbed(f"http://{plain.host}", fault) as faults:
        host = faults.endpoint.removeprefix("http://")
        ours = registries.Registry(f"{host}/em")
        with pytest.raises(registries.Refused, match=rf"registry {host} {words.replace('HOST', host)}"):
            ours.check(ALIGN)
        ours.check(ALIGN)


def test_a_page_in_the_place_of_a_registry_is_refused() -> None:
    with webhook() as (page, _), webhook(302, location=page) as (url, _):
        ours = registries.Registry(url.removeprefix("http://").partition("/")[0])
        with pytest.raises(registries.Refused, match=f"is no registry, but sends people to {page}: correct REGISTRY"):
            ours.check(ALIGN)


@pytest.mark.parametrize("auth", ["password", "token"])
def test_who_may_not_push_is_told_to_log_in(auth: str, login: Path, tmp_path: Path) -> None:
    with registry(tmp_path, auth) as served:
        ours = registries.Registry(f"{served.host}/ann")
        said = rf"registry {served.host} refuses ann/{ALIGN} \(401: authentication required\): log in"
        for known in (None, "ann:wrong"):
            if known:
                log_in(login, served.host, known)
            with pytest.raises(registries.Closed, match=rf"{said} .*: docker login {served.host}"):
                ours.check(ALIGN)
        log_in(login, served.host)
        ours.check(ALIGN)


@pytest.mark.parametrize("auth", ["password", "token"])
def test_logins_for_other_programs_are_not_taken(
    auth: str, login: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself requests sends what ~/.netrc holds in the place of the login and of the token."""
    (tmp_path / "netrc").write_text("default login bob password wrong\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with registry(tmp_path, auth) as served:
        log_in(login, served.host)
        registries.Registry(f"{served.host}/ann").check(ALIGN)


def test_a_login_that_is_traded_for_tokens(login: Path, tmp_path: Path) -> None:
    with registry(tmp_path, "token") as served:
        for kept in (IDENTITY, "old"):
            entry = {"auth": word("00000000-0000-0000-0000-000000000000:"), "identitytoken": kept}
            (login / "config.json").write_text(json.dumps({"auths": {served.host: entry}}))
            if kept == IDENTITY:
                registries.Registry(f"{served.host}/ann").check(ALIGN)
        with pytest.raises(registries.Refused, match=r"\(401.*\): log in"):
            registries.Registry(f"{served.host}/ann").check(ALIGN)


def test_an_account_without_the_right_to_push_is_refused(login: Path, tmp_path: Path) -> None:
    with registry(tmp_path, "token") as served:
        log_in(login, served.host)
        with pytest.raises(registries.Refused, match=rf"refuses bob/{ALIGN} .*: log in with an account that may push"):
            registries.Registry(f"{served.host}/bob").check(ALIGN)


def test_a_token_server_that_fails_is_named() -> None:
    with webhook() as (url, _):
        challenge = f'Bearer realm="{url}",service="tests"'
        refusal = rf"{url}, which makes the registry's tokens, gives none \(200\): try again later"
        with pytest.raises(logins.Refused, match=refusal):
            logins.authorization(challenge, None, "ann/x")


def test_passwords_of_a_helper(login: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "docker-credential-safe"
    helper.write_text("""#!/bin/sh\nread host\necho "{\\"Username\\": \\"$1\\", \\"Secret\\": \\"$host\\"}"\n""")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (login / "config.json").write_text(json.dumps({"credHelpers": {"registry.example": "safe"}}))
    assert logins.login("registry.example") == logins.Login("get", "registry.example")
    assert logins.login("other.example") is None


@pytest.mark.parametrize("key", ["registry.example", "https://registry.example", "https://registry.example/v1/"])
def test_logins_of_older_programs(key: str, login: Path) -> None:
    log_in(login, key)
    assert logins.login("registry.example") == logins.Login(*USER.split(":"))
    assert logins.login("other.example") is None


@pytest.mark.parametrize("text", ["{", "[]", '{"auths": {"registry.example": {"auth": "%"}}}', '{"auths": 1}'])
def test_a_broken_file_of_docker_is_named(text: str, login: Path) -> None:
    (login / "config.json").write_text(text)
    with pytest.raises(logins.Refused, match=f"{login}/config.json is not as docker writes it .*: mend or remove it"):
        logins.login("registry.example")


@pytest.mark.parametrize("text", ["{}", '{"auths": null}', '{"auths": {"registry.example": {}}}'])
def test_a_file_without_logins_is_none(text: str, login: Path) -> None:
    (login / "config.json").write_text(text)
    assert logins.login("registry.example") is None
