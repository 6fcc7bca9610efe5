"""A release: what refuses it before anything is pushed, by a real registry; what it writes into chart and dist/."""

import base64
import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from clio_argo.argo import ClusterSettings
from clio_argo.cli.cluster_admin import cluster_settings
from tests.registries import USER, Served, program, registry
from tests.releases import TOOLS, VERSION, clone, registries, release

ROOT = Path(__file__).parents[1]
CHART = ROOT / "helm" / "clio-argo"
DIGESTS = {"align": "sha256:" + "a" * 64, "write": "sha256:" + "b" * 64}
# what the script reads before it makes anything
FEW = (".ci", ".gitignore", "pyproject.toml", "CHANGELOG.md")


needs_tools = pytest.mark.skipif(not (TOOLS / "twine").exists(), reason="make release-dry brings what builds packages")


def made(folder: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """The script, run in a repository."""
    command = [sys.executable, folder / ".ci" / "release.py", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def few(tmp_path: Path) -> Path:
    return clone(tmp_path / "clone", *FEW)


@pytest.fixture
def login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of docker's configuration, empty at first."""
    (tmp_path / "docker").mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    return tmp_path / "docker"


def log_in(folder: Path, host: str, user: str = USER) -> None:
    """What `docker login` leaves."""
    word = base64.b64encode(user.encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": word}}}))


def test_everything_that_speaks_against_it_is_told_at_once(few: Path) -> None:
    (few / "new.txt").write_text("x")
    (few / "pyproject.toml").write_text((few / "pyproject.toml").read_text().replace(VERSION, "7.0"))
    done = made(few, "--version", "8.0", "--registry", "localhost:1/x")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    for words in (
        "VERSION=8.0: pyproject.toml says 7.0",
        "VERSION=8.0: charts need a semantic version",
        "CHANGELOG.md has nothing under ## [8.0]",
        "the tree differs from its commit: commit or remove pyproject.toml, new.txt",
        "registry localhost:1 is out of reach: [Errno 111] Connection refused: correct REGISTRY",
    ):
        assert [line for line in lines if line.startswith(f"release: {words}")], words
    assert not (few / "dist").exists()


def test_a_folder_that_is_no_clone_is_refused(few: Path) -> None:
    shutil.rmtree(few / ".git")
    done = made(few, "--version", VERSION, "--registry", "localhost:1/x")
    assert "this is no clone of the repository" in done.stderr


@pytest.mark.parametrize(
    "name", ["https://registry.example/x", "ann/clio", "registry.example/Ann", "registry.example/", ""]
)
def test_a_place_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(registries.Refused, match=re.escape(f"REGISTRY={name}: give HOST[:PORT][/PATH]")):
        registries.Registry(name)


@pytest.mark.parametrize("name", ["localhost", "localhost:5000/a/b-c", "registry.example", "10.0.0.1:5000/a_b"])
def test_places(name: str) -> None:
    assert registries.Registry(name).plain == name.startswith("localhost")


def test_the_version_of_this_repository_is_in_its_changelog() -> None:
    assert release.section(VERSION)
    assert "## [" not in release.section(VERSION)
    assert not release.section(VERSION.replace(".", "x"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    program()
    with registry(tmp_path_factory.mktemp("registry")) as served:
        yield served


def test_a_registry_that_would_take_it_is_left_as_it_was(plain: Served) -> None:
    before = plain.repositories()
    registries.Registry(f"{plain.host}/new").check("clio-argo-align", VERSION)
    assert plain.repositories() == before


def test_the_digest_is_the_registrys(plain: Served) -> None:
    digest = plain.push("held/clio-argo-align", VERSION)
    assert registries.Registry(f"{plain.host}/held").digest("clio-argo-align", VERSION) == digest


def test_nothing_is_replaced_and_nothing_pushed(plain: Served, few: Path) -> None:
    plain.push("ours/charts/clio-argo", VERSION)
    before = plain.repositories()
    done = made(few, "--version", VERSION, "--registry", f"{plain.host}/ours")
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if "registry" in line]
    assert line.startswith(
        f"release: registry {plain.host} has charts/clio-argo:{VERSION}, and a release replaces nothing"
    )
    assert plain.repositories() == before


@pytest.mark.parametrize("auth", ["password", "token"])
def test_who_may_not_push_is_told_to_log_in(auth: str, login: Path, tmp_path: Path) -> None:
    with registry(tmp_path, auth) as served:
        ours = registries.Registry(f"{served.host}/ann")
        refusal = rf"registry {served.host} refuses ann/clio-argo-align \(401\): log in .*: docker login {served.host}"
        for known in (None, "ann:wrong"):
            if known:
                log_in(login, served.host, known)
            with pytest.raises(registries.Refused, match=refusal):
                ours.check("clio-argo-align", VERSION)
        log_in(login, served.host)
        ours.check("clio-argo-align", VERSION)


def test_an_account_without_the_right_to_push_is_refused(login: Path, tmp_path: Path) -> None:
    with registry(tmp_path, "token") as served:
        log_in(login, served.host)
        with pytest.raises(
            registries.Refused, match=r"refuses bob/clio-argo-align .*: log in with an account that may push"
        ):
            registries.Registry(f"{served.host}/bob").check("clio-argo-align", VERSION)


def test_passwords_of_a_helper(login: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper = tmp_path / "docker-credential-safe"
    helper.write_text("""#!/bin/sh\nread host\necho "{\\"Username\\": \\"$1\\", \\"Secret\\": \\"$host\\"}"\n""")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    (login / "config.json").write_text(json.dumps({"credHelpers": {"registry.example": "safe"}}))
    assert registries.login("registry.example") == "get:registry.example"
    assert registries.login("other.example") is None


@pytest.fixture
def ours(tmp_path: Path) -> tuple[object, Path]:
    """A release, and a copy of the chart that it may fill."""
    chart = shutil.copytree(CHART, tmp_path / "clio-argo")
    return release.Release("1.2.3", registries.Registry("registry.example:5000/em"), None, TOOLS, True), chart


def test_a_filled_chart_names_its_images_by_digest(ours: tuple[object, Path]) -> None:
    it, chart = ours
    before = (chart / "values.yaml").read_text()
    release.fill(chart, it, DIGESTS)
    settings = cluster_settings(chart / "values.yaml")
    for name, digest in DIGESTS.items():
        assert settings.image(name) == f"registry.example:5000/em/clio-argo-{name}@{digest}"
    # a mirror takes the place of the registry, and keeps the digests
    mirrored = ClusterSettings.model_validate(
        {**settings.model_dump(), "global_": {"image_registry": "mirror.example"}}
    )
    assert mirrored.image("align") == f"mirror.example/clio-argo-align@{DIGESTS['align']}"
    lines = zip(before.splitlines(), (chart / "values.yaml").read_text().splitlines(), strict=True)
    assert [a.strip() for a, b in lines if a != b] == ["registry: null", "digest: null"] * 2


def test_a_filled_chart_tells_people_where_it_is(ours: tuple[object, Path]) -> None:
    it, chart = ours
    release.fill(chart, it, DIGESTS)
    images = yaml.safe_load(yaml.safe_load((chart / "Chart.yaml").read_text())["annotations"]["artifacthub.io/images"])
    assert {i["name"]: i["image"] for i in images} == {
        name: f"registry.example:5000/em/clio-argo-{name}:1.2.3@{digest}" for name, digest in DIGESTS.items()
    }
    words = (chart / "README.md").read_text()
    assert "helm install clio-argo oci://registry.example:5000/em/charts/clio-argo --version 1.2.3 --namespace" in words
    assert f'| `images.align.digest` | `"{DIGESTS["align"]}"` |' in words


@pytest.mark.properties
@needs_tools
def test_a_dry_run_makes_all_but_what_is_pushed(tmp_path: Path) -> None:
    folder = clone(tmp_path)
    done, dist = made(folder, "--dry", "--registry", "registry.example/em", "--tools", TOOLS), folder / "dist"
    assert done.returncode == 0, done.stderr
    steps = re.findall(r"^would run: (\w+ \w+)", done.stdout, re.MULTILINE)
    assert [s for s in steps if s != "helm package"] == [*["docker build"] * 2, *["docker push"] * 2, "helm push"]
    known = {"clio_argo-{}-py3-none-any.whl", "clio_argo-{}.tar.gz", "SHA256SUMS"}
    known |= {f"clio-argo-{{}}{rest}" for rest in ("-changes.md", "-images.txt")}
    known |= {f"clio-argo-{name}-{{}}.cdx.json" for name in DIGESTS}
    packed = {"clio-argo-{}.tgz"} if shutil.which("helm") else set()
    assert {f.name for f in dist.iterdir()} == {name.format(VERSION) for name in known | packed}
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=dist, check=True, stdout=subprocess.DEVNULL)
    with tarfile.open(dist / f"clio_argo-{VERSION}.tar.gz") as source:
        assert f"clio_argo-{VERSION}/clio_argo/pipeline.py" in source.getnames()


@pytest.mark.properties
@needs_tools
def test_a_commit_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "ROOT", clone(tmp_path))
    wheels = []
    for name in ("one", "two"):
        monkeypatch.setattr(release, "DIST", tmp_path / name)
        release.packages(release.Release(VERSION, registries.Registry("registry.example"), None, TOOLS, True))
        wheels.append({f.name: f.read_bytes() for f in (tmp_path / name).iterdir()})
    assert wheels[0] == wheels[1]
    assert len(wheels[0]) == 2


def test_a_changed_tree_does_not_keep_a_dry_run(few: Path) -> None:
    (few / "new.txt").write_text("x")
    done = made(few, "--dry", "--tools", few)
    assert "release: would refuse: the tree differs from its commit: commit or remove new.txt" in done.stderr
    assert done.stderr.splitlines()[-1] == f"release: {few}/pyproject-build is not there: make release-dry brings it"
