#!/usr/bin/env python3
"""Makes a release: packages, bills of materials, chart and checksums in dist/; images and chart in a registry.

    release.py --version 0.1.0 --registry HOST/PATH [--tested TAG] [--dry]

`make release` and `make release-dry` call it; docs/releasing.md says what comes of it. Nothing is pushed before all is
built, and the chart last: where a registry has the chart of a version, it has all of the version. A release that was
cut off before is made again from the same commit, and keeps the images that it has pushed.
"""

import argparse
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import origin
from logins import Refused
from registry import Closed, Registry

from clio_argo.argo.chart_readme import readme

ROOT = Path(__file__).parents[1]
DIST, CHART = ROOT / "dist", Path("helm/clio-argo")
IMAGES = ("align", "write")
# what a dry run without REGISTRY writes in its place; such a host never exists
NOWHERE = "registry.example/em"
# enough to find the others by `git status`, and few enough for a line
SHOWN = 5
# What Python and charts write alike. A pre-release is 1.2.3rc1 to the one and 1.2.3-rc.1 to the other: the program
# would neither find the images of its version nor take the chart's templates for its own.
NUMBERS = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}")
LABEL = "org.opencontainers.image."


@dataclass(frozen=True)
class Release:
    """What is made, and where it goes. `tested`: tag of images that are there already; None: they are built."""

    version: str
    registry: Registry
    tested: str | None
    tools: Path
    dry: bool

    def image(self, name: str) -> str:
        return f"{self.registry.name}/clio-argo-{name}:{self.version}"

    @property
    def chart(self) -> str:
        return f"oci://{self.registry.name}/charts/clio-argo"

    @property
    def pushed(self) -> list[str]:
        """Repositories under the registry's name, in the order in which they are pushed."""
        return [*(f"clio-argo-{name}" for name in IMAGES), "charts/clio-argo"]

    @property
    def local(self) -> dict[str, str]:
        """What docker calls the images of TESTED."""
        return {name: f"clio-argo-{name}:{self.tested}" for name in IMAGES}


def call(*command: object, **variables: str) -> None:
    """Run a command in the repository, and show it. Raises Refused: it failed."""
    words = [str(c) for c in command]
    print("+", shlex.join(words), flush=True)
    try:
        done = subprocess.run(words, cwd=ROOT, env={**os.environ, **variables}, check=False)
    except FileNotFoundError as error:
        raise Refused(f"{words[0]} is not there: make release-dry brings it") from error
    if done.returncode:
        raise Refused(f"{shlex.join(words)} ended with {done.returncode}, for the reason above")


def asked(*command: str) -> str | None:
    """What a command prints; None if it fails or is not there."""
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return None if done.returncode else done.stdout.strip()


def outside(release: Release, *command: object) -> None:
    """A command that needs docker or the registry: a dry run only shows it."""
    if release.dry:
        print("would run:", shlex.join(map(str, command)))
    else:
        call(*command)


def project_version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def section(version: str) -> str:
    """The text of a version in the changelog, without its heading; empty if there is none, or headings alone."""
    text = (ROOT / "CHANGELOG.md").read_text()
    found = re.search(rf"^## \[{re.escape(version)}\].*?$\n(.*?)(?=^## \[|\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found and re.search(r"^[^#\s]", found[1], re.MULTILINE) else ""


def commit() -> str | None:
    return asked("git", "rev-parse", "HEAD")


def home() -> str | None:
    """The project's page; None where a clone comes from none."""
    return origin.page(asked("git", "remote", "get-url", "origin") or "")


def refusals(release: Release) -> Iterator[str]:
    """What speaks against a release before registry and docker are asked."""
    if release.version != (ours := project_version()):
        yield f"VERSION={release.version}: pyproject.toml says {ours}, and it alone decides: change it there"
    if not NUMBERS.fullmatch(release.version):
        yield f"VERSION={release.version}: a version is three numbers, 1.2.3, which Python and charts write alike"
    if not section(release.version):
        yield f"CHANGELOG.md has nothing under ## [{release.version}]: move there what is new since the last version"
    if section("Unreleased"):
        yield f"CHANGELOG.md has something under ## [Unreleased]: move it to ## [{release.version}], which has it"
    yield from refusals_of_git(release)


def changes() -> list[str] | None:
    """Files that the commit does not have so, whatever the person's own git shows; None: git tells nothing."""
    # by the ignored files of the repository alone: those that a person has ignored would go along
    hidden = asked("git", "ls-files", "--others", "--exclude-per-directory=.gitignore", *map(str, packed()))
    shown = asked("git", "status", "--porcelain", "--untracked-files=normal")
    if hidden is None or shown is None:
        return None
    return list(dict.fromkeys([*(line.split(maxsplit=1)[1] for line in shown.splitlines()), *hidden.splitlines()]))


def packed() -> list[str]:
    """Files and folders of the source package, as git names them."""
    targets = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    return [str(name).removeprefix("/") for name in targets["sdist"]["include"]]


def refusals_of_git(release: Release) -> Iterator[str]:
    """What speaks against a release from this commit."""
    changed = changes()
    if changed is None or asked("git", "rev-parse", "--show-prefix") != "" or commit() is None:
        yield "this is no clone of the repository, or git refuses it: a release is made from a commit, see git status"
    elif changed:
        more = " ..." if len(changed) > SHOWN else ""
        yield f"the tree differs from its commit: commit or remove {', '.join(changed[:SHOWN])}{more}"
    tagged = asked("git", "rev-parse", "--quiet", "--verify", f"refs/tags/v{release.version}^{{commit}}")
    if tagged not in {None, commit()}:
        yield f"the tag v{release.version} is of another commit: git checkout v{release.version}, or raise the version"


def refusals_outside(release: Release) -> Iterator[str]:
    """What docker, helm and the registry say against it; nothing is pushed to know it."""
    # the last of its options that is needed
    if "--plain-http" not in (asked("helm", "push", "--help") or ""):
        yield "helm is not in PATH, or older than 3.13: install helm 3, which makes and pushes the chart"
    if asked("docker", "version") is None:
        yield "docker is not in PATH, or its server does not answer: start it, or set DOCKER_HOST"
    elif release.tested:
        gone = [name for name in release.local.values() if asked("docker", "image", "inspect", name) is None]
        yield from (f"docker has no image {name}: build it, or leave TESTED out" for name in gone)
    yield from refusals_of_registry(release)


def refusals_of_registry(release: Release) -> Iterator[str]:
    """What the registry says against it, of each repository unless it says the same of all."""
    for repository in release.pushed:
        try:
            release.registry.check(repository)
            left(release, repository)
        except Refused as refusal:
            yield str(refusal)
            if isinstance(refusal, Closed):
                return


def left(release: Release, repository: str) -> str | None:
    """Digest of the image that this very release has pushed before it was cut off; None: nothing is there.

    Raises:
        Refused: something else is there.
    """
    digest = release.registry.digest(repository, release.version)
    if digest is None or (repository in release.pushed[:-1] and is_ours(release, repository, digest)):
        return digest
    whole = repository == release.pushed[-1]
    more = "" if whole else ", or go on from the commit, or the images, of the release that was cut off"
    what = f"registry {release.registry.host} has {repository}:{release.version}, and a release replaces nothing"
    raise Refused(f"{what}: raise the version in pyproject.toml{more}")


def is_ours(release: Release, repository: str, digest: str) -> bool:
    """Whether an image of the registry is what would be pushed: built from this commit, or the tested one itself."""
    held = release.registry.image(repository, digest)
    if release.tested:
        local = release.local[repository.removeprefix("clio-argo-")]
        return asked("docker", "image", "inspect", "--format", "{{.Id}}", local) in held.known_as
    return held.labels.get(f"{LABEL}revision") == commit()


def emptied(folder: Path) -> None:
    """Remove what an earlier run left. Raises Refused: some of it stays, and would go along."""
    try:
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise Refused(f"{folder} of an earlier run cannot be removed ({error}): remove it") from error


def packages(release: Release) -> None:
    """Wheel and source by the locked backend, the same bytes from the same commit."""
    moment = asked("git", "log", "-1", "--format=%ct") or "0"
    call(release.tools / "pyproject-build", "--no-isolation", "--outdir", DIST, SOURCE_DATE_EPOCH=moment)
    call(release.tools / "twine", "check", "--strict", *sorted(DIST.glob("clio_argo-*")))


def bills(release: Release) -> None:
    """What the images install, as `make sbom` tells it."""
    call(ROOT / ".ci" / "sbom", "build/sbom", PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    for name in IMAGES:
        shutil.copy(ROOT / "build" / "sbom" / f"{name}.json", DIST / f"clio-argo-{name}-{release.version}.cdx.json")


def kept_images(release: Release) -> dict[str, str]:
    """Digests of images that the registry has of this release already."""
    if release.dry:
        return {}
    found = {name: left(release, f"clio-argo-{name}") for name in IMAGES}
    for name in (name for name, digest in found.items() if digest):
        print(f"kept: {release.image(name)}, which this release pushed before it was cut off")
    return {name: digest for name, digest in found.items() if digest}


def base(release: Release) -> str:
    """What both images are built on, by the digest that its tag has now. Raises Refused: docker knows none of it."""
    text = (ROOT / "images" / "Dockerfile").read_text()
    if release.tested or (found := re.search(r"^ARG BASE=(\S+)$", text, re.MULTILINE)) is None:
        return ""
    outside(release, "docker", "pull", found[1])
    known = asked("docker", "image", "inspect", "--format", '{{join .RepoDigests " "}}', found[1]) or ""
    same = [name for name in known.split() if name.startswith(f"{found[1].rpartition(':')[0]}@")]
    if same or release.dry:
        return (same or [found[1]])[0]
    raise Refused(f"docker has no digest of {found[1]}, which was made here: images are built on what others get")


def build_image(release: Release, name: str, on: str) -> None:
    facts = {"version": release.version, "revision": commit(), "source": home(), "base.name": on}
    labels = [word for key, value in facts.items() if value for word in ("--label", f"{LABEL}{key}={value}")]
    if release.tested:
        outside(release, "docker", "tag", release.local[name], release.image(name))
    else:
        built_on = ("--build-arg", f"BASE={on}") if on else ()
        how = ("--file", "images/Dockerfile", "--target", name, *built_on, *labels, "--tag", release.image(name))
        outside(release, "docker", "build", *how, ".")


def push_images(release: Release) -> dict[str, str | None]:
    """Digest in the registry of each image, None in a dry run. All are built before one is pushed."""
    kept = kept_images(release)
    new = [name for name in IMAGES if name not in kept]
    on = base(release) if new else ""
    for name in new:
        build_image(release, name, on)
    for name in new:
        outside(release, "docker", "push", release.image(name))
    if release.dry:
        return dict.fromkeys(IMAGES)
    return {name: release.registry.digest(f"clio-argo-{name}", release.version) for name in IMAGES}


def filled(values: str, name: str, registry: str, digest: str | None) -> str:
    """The text of values.yaml with registry and digest of an image, comments and all else as they are."""
    before, heading, after = values.partition(f"\n  {name}:\n")
    for key, value in {"registry": registry, "digest": digest}.items():
        after = after.replace(f"    {key}: null\n", f"    {key}: {value or 'null'}\n", 1)
    return before + heading + after


def fill(chart: Path, release: Release, digests: Mapping[str, str | None]) -> None:
    """Write into a copy of the chart where its images lie, and where it lies itself."""
    values, about = (chart / "values.yaml").read_text(), (chart / "Chart.yaml").read_text()
    for name, digest in digests.items():
        values = filled(values, name, release.registry.name, digest)
        image = release.image(name) + (f"@{digest}" if digest else "")
        about = re.sub(rf"image: clio-argo-{name}:\S+", f"image: {image}", about)
    where = f"home: {page}\nsources:\n  - {page}\n" if (page := home()) else ""
    (chart / "values.yaml").write_text(values)
    (chart / "Chart.yaml").write_text(about + where)
    words = readme(values).replace(f"{CHART} ", f"{release.chart} --version {release.version} ")
    (chart / "README.md").write_text(words)


def pack_chart(release: Release, digests: Mapping[str, str | None]) -> None:
    """The chart with its version and images in dist/."""
    copy = ROOT / "build" / "chart" / CHART.name
    emptied(copy)
    shutil.copytree(ROOT / CHART, copy)
    fill(copy, release, digests)
    versions = ("--version", release.version, "--app-version", release.version)
    if release.dry and shutil.which("helm") is None:
        print(f"would run: helm package {copy} (helm is not in PATH)")
        return
    call("helm", "lint", "--strict", copy)
    call("helm", "package", copy, *versions, "--destination", DIST)


def write_notes(release: Release, digests: Mapping[str, str | None]) -> None:
    """What is new, what was pushed, and checksums of all that is in dist/."""
    (DIST / f"clio-argo-{release.version}-changes.md").write_text(section(release.version) + "\n")
    lines = (release.image(name) + (f"@{digest}\n" if digest else "\n") for name, digest in digests.items())
    (DIST / f"clio-argo-{release.version}-images.txt").write_text("".join(lines))
    files = sorted(file for file in DIST.iterdir() if file.name != "SHA256SUMS")
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (DIST / "SHA256SUMS").write_text("".join(sums))


def push_chart(release: Release) -> None:
    place, how = release.chart.rpartition("/")[0], ("--plain-http",) if release.registry.plain else ()
    outside(release, "helm", "push", DIST / f"clio-argo-{release.version}.tgz", place, *how)


def make(release: Release) -> None:
    """Everything in its order. Raises Refused, before anything is pushed unless a push itself fails."""
    emptied(DIST)
    packages(release)
    bills(release)
    digests = push_images(release)
    pack_chart(release, digests)
    write_notes(release, digests)
    push_chart(release)


def refused(release: Release) -> bool:
    """Tell what speaks against the release; a dry run asks neither registry nor docker."""
    problems = [*refusals(release), *(() if release.dry else refusals_outside(release))]
    for problem in problems:
        print(f"release: {'would refuse: ' if release.dry else ''}{problem}", file=sys.stderr)
    return bool(problems)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", default="", help="that of pyproject.toml, to be sure which one it is")
    parser.add_argument("--registry", default="", help="HOST[:PORT][/PATH] for images and chart")
    parser.add_argument("--tested", help="push the images clio-argo-NAME:TESTED instead of building them")
    parser.add_argument("--dry", action="store_true", help="push nothing; say what would be done")
    beside = Path(sys.prefix) / "release" / "bin"
    parser.add_argument("--tools", type=Path, default=beside, help="folder of pyproject-build and twine")
    return parser.parse_args()


def ending(release: Release, against: bool) -> str:
    """The last line; what speaks against a release stands far above it."""
    if not release.dry:
        return f"released: helm install clio-argo {release.chart} --version {release.version}"
    more = ". A release would be refused now: see `would refuse` at the top" if against else ""
    return f"nothing was pushed; dist/ has what was made{more}"


def released(given: argparse.Namespace) -> str | None:
    """Make what was asked for, and tell how it ended; None: it was refused."""
    where, version = Registry(given.registry or NOWHERE), given.version or project_version()
    release = Release(version, where, given.tested or None, given.tools.absolute(), given.dry)
    if (against := refused(release)) and not release.dry:
        return None
    make(release)
    return ending(release, against)


def main() -> int:
    given = arguments()
    if not given.dry and not (given.version and given.registry):
        print("release: make release VERSION=0.1.0 REGISTRY=HOST/PATH; make release-dry needs neither", file=sys.stderr)
        return 2
    try:
        told = released(given)
    except Refused as refusal:
        print(f"release: {refusal}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("release: interrupted; the same command begins again, and keeps what was pushed", file=sys.stderr)
        return 130
    print(told or "nothing was pushed")
    return 0 if told else 1


if __name__ == "__main__":
    sys.exit(main())
