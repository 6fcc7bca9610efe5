"""A release: what refuses it before anything is pushed, by a real registry; what it writes into chart and dist/."""

import os
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
from tests.registries import Served, program, registry
from tests.releases import TOOLS, VERSION, clone, commit, git, origin, registries, release

ROOT = Path(__file__).parents[1]
CHART = ROOT / "helm" / "clio-argo"
DIGESTS = {"align": "sha256:" + "a" * 64, "write": "sha256:" + "b" * 64}
# about the tools of maintainers, who run all
pytestmark = pytest.mark.properties
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


def test_everything_that_speaks_against_it_is_told_at_once(few: Path) -> None:
    (few / "new.txt").write_text("x")
    (few / "pyproject.toml").write_text((few / "pyproject.toml").read_text().replace(VERSION, "7.0"))
    done = made(few, "--version", "8.0", "--registry", "localhost:1/x")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    for words in (
        "VERSION=8.0: pyproject.toml says 7.0",
        "VERSION=8.0: a version is three numbers, 1.2.3",
        "CHANGELOG.md has nothing under ## [8.0]",
        "the tree differs from its commit: commit or remove pyproject.toml, new.txt",
        "registry localhost:1 is out of reach: [Errno 111] Connection refused: correct REGISTRY",
    ):
        assert [line for line in lines if line.startswith(f"release: {words}")], words
    assert not (few / "dist").exists()


def refused(folder: Path, place: str = "localhost:1/x") -> str:
    """What a release says that is refused."""
    done = made(folder, "--version", VERSION, "--registry", place)
    assert done.returncode == 1
    assert not (folder / "dist").exists()
    return done.stderr


@pytest.mark.parametrize("inside", [False, True])
def test_a_folder_that_is_no_clone_is_refused(inside: bool, few: Path) -> None:
    shutil.rmtree(few / ".git")
    if inside:
        git(few.parent, "init", "--quiet")
        commit(few.parent)
    assert "this is no clone of the repository" in refused(few)


def test_a_commit_that_is_not_that_of_the_tag_is_refused(few: Path) -> None:
    git(few, "tag", f"v{VERSION}")
    assert "the tag" not in refused(few)
    commit(few)
    assert f"the tag v{VERSION} is of another commit: git checkout v{VERSION}, or raise the version" in refused(few)


def test_files_that_git_is_told_not_to_show_are_seen(few: Path) -> None:
    git(few, "config", "status.showUntrackedFiles", "no")
    (few / "new.txt").write_text("x")
    assert "the tree differs from its commit: commit or remove new.txt" in refused(few)


def test_files_that_a_person_ignores_are_seen_where_they_would_go_along(few: Path) -> None:
    (few / ".git" / "info" / "exclude").write_text("mine*\n")
    (few / "mine.txt").write_text("x")
    assert "the tree differs" not in refused(few)
    for name in ("clio_argo/__pycache__/x.pyc", "clio_argo/mine.py"):
        (few / name).parent.mkdir(parents=True, exist_ok=True)
        (few / name).write_text("x")
    assert "the tree differs from its commit: commit or remove clio_argo/mine.py\n" in refused(few)


def test_a_helm_that_cannot_push_is_refused(few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "helm").write_text("#!/bin/sh\necho --insecure-skip-tls-verify\n")
    (tmp_path / "helm").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert "helm is not in PATH, or older than 3.13" in refused(few)


def test_what_was_left_in_the_changelog_is_refused(few: Path) -> None:
    changes = few / "CHANGELOG.md"
    for text, ours in (("### Added\n\n", False), ("### Added\n\n- new\n\n", True)):
        changes.write_text(changes.read_text().replace("## [Unreleased]\n\n", f"## [Unreleased]\n\n{text}"))
        told = f"CHANGELOG.md has something under ## [Unreleased]: move it to ## [{VERSION}], which has it"
        assert (told in refused(few)) == ours


@pytest.mark.parametrize("version", ["1.2.3-rc.1", "1.2.3rc1", "v1.2.3", "1.2", "01.2.3", " 1.2.3", "1.2.3'"])
def test_a_version_that_python_and_charts_write_differently_is_refused(version: str) -> None:
    it = release.Release(version, registries.Registry("registry.example"), None, TOOLS, True)
    told = [line for line in release.refusals(it) if "three numbers" in line]
    assert told == [f"VERSION={version}: a version is three numbers, 1.2.3, which Python and charts write alike"]


@pytest.mark.parametrize("value", ["a'b", 'a"b', "$HOME", "`id`", "a b", "$(id)"])
def test_make_hands_on_what_it_is_given(value: str, tmp_path: Path) -> None:
    """In the environment even what make itself would expand: a tag may have any name."""
    for name in ("made", "dev", "release/made", "bin/python"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("#!/bin/sh\nprintf '<%s>' \"$@\"\n")
    (tmp_path / "bin" / "python").chmod(0o755)
    command = ["make", "--silent", f"VENV={tmp_path}", "release"]
    given = {**os.environ, "VERSION": value, "REGISTRY": value}
    told = subprocess.run(command, cwd=ROOT, env=given, check=True, capture_output=True, text=True).stdout
    assert f"<--version><{value}><--registry><{value}><--tested><>" in told


def test_the_version_of_this_repository_is_in_its_changelog() -> None:
    assert release.section(VERSION)
    assert "## [" not in release.section(VERSION)
    assert not release.section(VERSION.replace(".", "x"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    program()
    with registry(tmp_path_factory.mktemp("registry")) as served:
        yield served


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


@pytest.mark.parametrize("same", [True, False])
def test_a_release_that_was_cut_off_is_known_by_its_commit(same: bool, plain: Served, tmp_path: Path) -> None:
    """Its images are kept; what is from another commit, or a chart, is not replaced."""
    place = f"off{same}".lower()
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    labels = {"org.opencontainers.image.revision": head.strip() if same else "another"}
    digest = plain.push(f"{place}/clio-argo-align", VERSION, labels)
    it = release.Release(VERSION, registries.Registry(f"{plain.host}/{place}"), None, TOOLS, False)
    told = f"{plain.host} has clio-argo-align:{VERSION}, and a release replaces nothing: raise the version"
    assert [told in line for line in release.refusals_of_registry(it)] == ([] if same else [True])
    if same:
        assert release.kept_images(it) == {"align": digest}
    plain.push(f"{place}/charts/clio-argo", VERSION, labels)
    [line] = [line for line in release.refusals_of_registry(it) if "charts" in line]
    assert f"has charts/clio-argo:{VERSION}, and a release replaces nothing" in line


def test_what_a_registry_says_of_everything_is_told_once(few: Path) -> None:
    assert refused(few).count("is out of reach") == 1


@pytest.mark.parametrize("link", [False, True])
def test_what_an_earlier_run_left_goes_along_with_nothing(link: bool, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "clio_argo-0.0.1.tar.gz").write_text("x")
    folder = tmp_path / "there"
    if link:
        folder = tmp_path / "dist"
        folder.symlink_to(tmp_path / "there")
    release.emptied(folder)
    assert not folder.exists()
    assert (tmp_path / "there").exists() == link
    release.emptied(folder)


def test_what_cannot_be_removed_is_named(tmp_path: Path) -> None:
    (tmp_path / "dist").write_text("x")
    with pytest.raises(release.Refused, match=f"{tmp_path}/dist of an earlier run cannot be removed .*: remove it"):
        release.emptied(tmp_path / "dist")


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


@pytest.mark.parametrize(
    ("remote", "page"),
    [
        ("git@forge.example:em/clio-argo.git", "https://forge.example/em/clio-argo"),
        ("ssh://git@forge.example:2222/em/clio-argo.git", "https://forge.example/em/clio-argo"),
        ("https://ann:secret@forge.example/em/group/clio.argo", "https://forge.example/em/group/clio.argo"),
        ("http://forge.example:8080/em/clio-argo.git/", "http://forge.example:8080/em/clio-argo"),
        *((remote, None) for remote in ("", "/srv/clio-argo", "../clio-argo.git", "file:///srv/x.git", "mac:em/x.git")),
        *((f"https://forge.example/{path}", None) for path in ("", "a b", 'a"b', "a\nb", "//")),
    ],
)
def test_a_page_is_told_without_what_logs_in(remote: str, page: str | None) -> None:
    assert origin.page(remote) == page


@pytest.mark.parametrize("home", ["https://forge.example/em/clio-argo", None])
def test_a_filled_chart_names_the_page_of_the_project(
    home: str | None, ours: tuple[object, Path], few: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it, chart = ours
    git(few, "remote", "add", "origin", f"{home}.git" if home else "/srv/clio-argo")
    monkeypatch.setattr(release, "ROOT", few)
    release.fill(chart, it, DIGESTS)
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    assert (about.get("home"), about.get("sources")) == (home, home and [home])


@needs_tools
def test_a_dry_run_makes_all_but_what_is_pushed(tmp_path: Path) -> None:
    folder = clone(tmp_path)
    done, dist = made(folder, "--dry", "--registry", "registry.example/em", "--tools", TOOLS), folder / "dist"
    assert done.returncode == 0, done.stderr
    steps = re.findall(r"^would run: (\w+ \w+)", done.stdout, re.MULTILINE)
    images = ["docker pull", *["docker build"] * 2, *["docker push"] * 2]
    assert [s for s in steps if s != "helm package"] == [*images, "helm push"]
    known = {"clio_argo-{}-py3-none-any.whl", "clio_argo-{}.tar.gz", "SHA256SUMS"}
    known |= {f"clio-argo-{{}}{rest}" for rest in ("-changes.md", "-images.txt")}
    known |= {f"clio-argo-{name}-{{}}.cdx.json" for name in DIGESTS}
    packed = {"clio-argo-{}.tgz"} if shutil.which("helm") else set()
    assert {f.name for f in dist.iterdir()} == {name.format(VERSION) for name in known | packed}
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=dist, check=True, stdout=subprocess.DEVNULL)
    with tarfile.open(dist / f"clio_argo-{VERSION}.tar.gz") as source:
        assert f"clio_argo-{VERSION}/clio_argo/pipeline.py" in source.getnames()


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
