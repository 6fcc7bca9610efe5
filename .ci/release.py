#!/usr/bin/env python3
"""Makes a release: packages, bills of materials, chart and checksums in dist/; images and chart in a registry.

    release.py --version 0.1.0 --registry HOST/PATH [--tested TAG] [--dry]

`make release` and `make release-dry` call it; docs/releasing.md says what comes of it. Nothing is pushed before all is
built, and the chart last: where a registry has the chart of a version, it has all of the version.
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

from registry import Refused, Registry

from clio_argo.argo.chart_readme import readme

ROOT = Path(__file__).parents[1]
DIST, CHART = ROOT / "dist", Path("helm/clio-argo")
IMAGES = ("align", "write")
# what a dry run without REGISTRY writes in its place; such a host never exists
NOWHERE = "registry.example/em"
# enough to find the others by `git status`, and few enough for a line
SHOWN = 5
# charts and tags need a semantic version
SEMANTIC = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?")


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
    """The text of a version in the changelog, without its heading; empty if there is none."""
    text = (ROOT / "CHANGELOG.md").read_text()
    found = re.search(rf"^## \[{re.escape(version)}\].*?$\n(.*?)(?=^## \[|\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else ""


def refusals(release: Release) -> Iterator[str]:
    """What speaks against a release before registry and docker are asked."""
    if release.version != (ours := project_version()):
        yield f"VERSION={release.version}: pyproject.toml says {ours}, and it alone decides: change it there"
    if not SEMANTIC.fullmatch(release.version):
        yield f"VERSION={release.version}: charts need a semantic version, such as 1.2.3 or 1.2.3-rc.1"
    if not section(release.version):
        yield f"CHANGELOG.md has nothing under ## [{release.version}]: move there what is new since the last version"
    changed = asked("git", "status", "--porcelain")
    if changed is None:
        yield "this is no clone of the repository, or git is missing: a release is made from a commit"
    elif changed:
        names = [line.split(maxsplit=1)[1] for line in changed.splitlines()]
        more = " ..." if len(names) > SHOWN else ""
        yield f"the tree differs from its commit: commit or remove {', '.join(names[:SHOWN])}{more}"


def refusals_outside(release: Release) -> Iterator[str]:
    """What docker, helm and the registry say against it; nothing is pushed to know it."""
    if shutil.which("helm") is None:
        yield "helm is not in PATH: install helm 3, which makes and pushes the chart"
    if asked("docker", "version") is None:
        yield "docker is not in PATH, or its server does not answer: start it, or set DOCKER_HOST"
    elif release.tested:
        names = [f"clio-argo-{name}:{release.tested}" for name in IMAGES]
        gone = [name for name in names if asked("docker", "image", "inspect", name) is None]
        yield from (f"docker has no image {name}: build it, or leave TESTED out" for name in gone)
    try:
        for repository in release.pushed:
            release.registry.check(repository, release.version)
    except Refused as refusal:
        yield str(refusal)


def packages(release: Release) -> None:
    """Wheel and source by the locked backend, the same bytes from the same commit."""
    moment = asked("git", "log", "-1", "--format=%ct") or "0"
    call(release.tools / "pyproject-build", "--no-isolation", "--outdir", DIST, SOURCE_DATE_EPOCH=moment)
    call(release.tools / "twine", "check", "--strict", *sorted(DIST.glob("clio_argo-*")))


def bills(release: Release) -> None:
    """What the images install, as `make sbom` tells it."""
    here = Path(sys.executable).parent
    call(ROOT / ".ci" / "sbom", "build/sbom", PATH=f"{here}:{os.environ['PATH']}")
    for name in IMAGES:
        shutil.copy(ROOT / "build" / "sbom" / f"{name}.json", DIST / f"clio-argo-{name}-{release.version}.cdx.json")


def build_images(release: Release) -> None:
    revision = asked("git", "rev-parse", "HEAD")
    facts = {"version": release.version, "revision": revision}
    labels = [word for k, v in facts.items() for word in ("--label", f"org.opencontainers.image.{k}={v}")]
    for name in IMAGES:
        if release.tested:
            outside(release, "docker", "tag", f"clio-argo-{name}:{release.tested}", release.image(name))
        else:
            how = ("--file", "images/Dockerfile", "--target", name, *labels, "--tag", release.image(name))
            outside(release, "docker", "build", *how, ".")


def push_images(release: Release) -> dict[str, str | None]:
    """Digest in the registry of each image, None in a dry run."""
    for name in IMAGES:
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
    (chart / "values.yaml").write_text(values)
    (chart / "Chart.yaml").write_text(about)
    words = readme(values).replace(f"{CHART} ", f"{release.chart} --version {release.version} ")
    (chart / "README.md").write_text(words)


def pack_chart(release: Release, digests: Mapping[str, str | None]) -> None:
    """The chart with its version and images in dist/."""
    copy = ROOT / "build" / "chart" / CHART.name
    shutil.rmtree(copy, ignore_errors=True)
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
    lines = [release.image(name) + (f"@{digest}" if digest else "") for name, digest in digests.items()]
    (DIST / f"clio-argo-{release.version}-images.txt").write_text("\n".join(lines) + "\n")
    files = sorted(file for file in DIST.iterdir() if file.name != "SHA256SUMS")
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files]
    (DIST / "SHA256SUMS").write_text("".join(sums))


def push_chart(release: Release) -> None:
    how = ("--plain-http",) if release.registry.plain else ()
    package = DIST / f"clio-argo-{release.version}.tgz"
    outside(release, "helm", "push", package, release.chart.rpartition("/")[0], *how)


def make(release: Release) -> None:
    """Everything in its order. Raises Refused, before anything is pushed unless a push itself fails."""
    shutil.rmtree(DIST, ignore_errors=True)
    packages(release)
    bills(release)
    build_images(release)
    digests = push_images(release)
    pack_chart(release, digests)
    write_notes(release, digests)
    push_chart(release)


def refused(release: Release) -> bool:
    """Tell what speaks against the release; a dry run goes on, without asking registry or docker."""
    problems = [*refusals(release), *(() if release.dry else refusals_outside(release))]
    for problem in problems:
        print(f"release: {'would refuse: ' if release.dry else ''}{problem}", file=sys.stderr)
    return bool(problems) and not release.dry


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", default="", help="that of pyproject.toml, to be sure which one it is")
    parser.add_argument("--registry", default="", help="HOST[:PORT][/PATH] for images and chart")
    parser.add_argument("--tested", help="push the images clio-argo-NAME:TESTED instead of building them")
    parser.add_argument("--dry", action="store_true", help="push nothing; say what would be done")
    beside = Path(sys.prefix) / "release" / "bin"
    parser.add_argument("--tools", type=Path, default=beside, help="folder of pyproject-build and twine")
    return parser.parse_args()


def main() -> int:
    given = arguments()
    if not given.dry and not (given.version and given.registry):
        print("release: make release VERSION=0.1.0 REGISTRY=HOST/PATH; make release-dry needs neither", file=sys.stderr)
        return 2
    version = given.version or project_version()
    try:
        registry = Registry(given.registry or NOWHERE)
        release = Release(version, registry, given.tested or None, given.tools.absolute(), given.dry)
        if refused(release):
            return 1
        make(release)
    except Refused as refusal:
        print(f"release: {refusal}", file=sys.stderr)
        return 1
    done = "nothing was pushed; dist/ has what a release would hold" if release.dry else "released"
    print(f"{done}: helm install clio-argo {release.chart} --version {release.version}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
