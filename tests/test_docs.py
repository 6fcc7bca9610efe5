"""Documents that people read stay true: links and anchors lead somewhere, and what they name exists.

Names are commands with their options, Python imports, requests, paths of the repository, and objects of a run.
"""

import ast
import importlib
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

import clio_argo
from clio_argo import argo, pipeline
from clio_argo.cli.app import app
from clio_argo.model import layout
from clio_argo.model.parse_request import build_request
from clio_argo.model.user_inputs import Overrides

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PACKAGE = ROOT / "clio_argo"
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
PATH = re.compile(r"\b(?:clio_argo|tests|benchmarks|docs|helm|manifests|images)/[\w./-]*[\w/]")
# placeholders of a package that somebody else writes, and folders that people make
NOT_OURS = {"manifests/", "images/"}
# documents that a run does not write
OTHER_DOCUMENTS = {
    "truth.json",
    "results.json",
    "request.schema.json",
    "values.schema.json",
    "renumber.csv",
    "old.json",
}


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def blocks(page: Path, *languages: str) -> list[str]:
    return [code for language, code in FENCE.findall(page.read_text()) if language in languages]


def inline_code(page: Path) -> list[str]:
    return [" ".join(code.split()) for code in INLINE.findall(prose(page))]


@cache
def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    names = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", name) for name in names]
    slugs = [re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-") for name in plain]
    seen: Counter[str] = Counter()
    found = set()
    for slug in slugs:
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    text = INLINE.sub("", prose(page))
    broken = []
    for link in LINK.findall(text):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = (page.parent / target).resolve() if target else page
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(link)
    assert not broken


def test_every_page_of_the_guide_is_listed() -> None:
    guide = ROOT / "docs" / "guide"
    listed = set(LINK.findall((guide / "README.md").read_text()))
    assert {p.name for p in guide.glob("*.md")} - listed == {"README.md"}


def test_every_page_is_in_the_site() -> None:
    listed = re.findall(r"^ *- (?:[^:\n]+: )?(\S+\.md)$", (ROOT / ".ci" / "mkdocs.yml").read_text(), re.MULTILINE)
    outside = {p.removeprefix("project/") for p in listed if p.startswith("project/")} | {"README.md"}
    assert {p for p in listed if not p.startswith("project/")} == {
        "index.md", *(str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md"))
    }  # fmt: skip
    assert {str(p.relative_to(ROOT)) for p in ROOT.glob("*.md")} <= outside
    assert all((ROOT / p).exists() for p in outside)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_what_belongs_to_an_entry_of_a_list_is_indented_as_the_site_needs_it(page: Path) -> None:
    text = re.sub(r"^ {4,}.*$", "", page.read_text(), flags=re.MULTILINE)
    assert not re.findall(r"\n\n {1,3}\S.*", FENCE.sub("", text))
    assert not re.findall(r"^ {1,3}```.*", text, re.MULTILINE)


def test_every_public_name_is_in_the_reference() -> None:
    text = (ROOT / "docs" / "reference" / "python.md").read_text()
    named = re.findall(r"^::: (?:clio_argo\.)(\S+)$", text, re.MULTILINE)
    assert {*clio_argo.__all__, "open"} <= {*named}
    assert {f"argo.{name}" for name in argo.__all__} | {f"pipeline.{name}" for name in pipeline.__all__} <= {*named}


def command_lines(page: Path) -> Iterator[str]:
    """Command lines of clio-argo in code blocks, and in the text where they name a command."""
    for block in blocks(page, "sh", "bash", "console"):
        lines = block.replace("\\\n", " ").splitlines()
        yield from (line.strip() for line in lines if re.match(r"\s*(\.venv/bin/)?clio-argo ", line))
    yield from (code for code in inline_code(page) if re.match(r"clio-argo [a-z]", code))


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_exist_with_their_options(page: Path) -> None:
    assert not [line for line in command_lines(page) if not is_command(shlex.split(line, comments=True)[1:])]


def is_command(words: list[str]) -> bool:
    """Whether words are a command and options that it has; values are not looked at."""
    command: Any = get_command(app)
    while words and not words[0].startswith("-") and hasattr(command, "commands"):
        inner = command.get_command(None, words[0])
        if inner is None:
            return False
        command, words = inner, words[1:]
    known = {name for p in command.params for name in (*p.opts, *p.secondary_opts)} | {"--help", "-h"}
    if words and command.name in ("view", "show", "verify", "repair"):
        known |= {"--run", "--out"}
    return {w.partition("=")[0] for w in words if re.match(r"--?[a-z]", w, re.IGNORECASE)} <= known


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_python_is_valid_and_imports_what_exists(page: Path) -> None:
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("clio_argo"):
                module = importlib.import_module(node.module or "")
                assert not [n.name for n in node.names if not hasattr(module, n.name)]


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_requests_and_overrides_are_accepted(page: Path) -> None:
    for block in blocks(page, "yaml"):
        value = yaml.safe_load(block)
        if "slices" in value:
            Overrides.model_validate(value)
        elif "images" in value:
            values_are_valid(value)
        elif "apiVersion" not in value:
            build_request({"id": "fly", "source": "slices/"}, value)


def values_are_valid(values: dict[str, Any]) -> None:
    import jsonschema  # takes two seconds

    chart = ROOT / "helm/clio-argo"
    whole = _over(yaml.safe_load((chart / "values.yaml").read_text()), values)
    jsonschema.validate(whole, json.loads((chart / "values.schema.json").read_text()))


def _over(before: Any, values: Any) -> Any:
    """Values over those of the chart, as helm takes them."""
    if not isinstance(before, dict) or not isinstance(values, dict):
        return values
    return {**before, **{name: _over(before.get(name), value) for name, value in values.items()}}


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_paths_exist(page: Path) -> None:
    names = {p for code in inline_code(page) for p in PATH.findall(code)} - NOT_OURS
    assert not [n for n in names if not (ROOT / n).exists()]


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_documents_of_a_run_are_in_its_layout(page: Path) -> None:
    if page.name in ("glossary.md", "CHANGELOG.md"):
        return  # they tell former names, too
    names = {v for k, v in vars(layout).items() if isinstance(v, str) and not k.startswith("FORMER")} | OTHER_DOCUMENTS
    known = {n.rpartition("/")[2] for n in names}
    named = {n for code in inline_code(page) for n in re.findall(r"(?<![\w/*{.])[a-z_]+\.(?:json|csv|html)\b", code)}
    assert not named - known


def test_messages_that_are_explained_are_those_of_the_program() -> None:
    page = (ROOT / "docs" / "guide" / "troubleshooting.md").read_text().partition("## Messages")[2]
    rows = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    source = "".join(f.read_text() for f in PACKAGE.rglob("*.py"))
    source = re.sub(r'"\s*\n\s*f?"', "", source)
    fragments = [f.strip() for row in rows for m in INLINE.findall(row) for f in re.split(r"\b[A-Z]\b|\.\.\.", m)]
    assert len(rows) > 5
    assert not [f for f in fragments if len(f) > 1 and f not in source]


def test_former_names_of_fields_are_in_the_glossary() -> None:
    told = (ROOT / "docs" / "glossary.md").read_text()
    source = "".join(p.read_text() for p in (PACKAGE / "model").glob("*.py"))
    pairs = re.findall(r'"(\w+)": "(\w+)"', "".join(re.findall(r"former_names\((.*?)\)\n", source, re.DOTALL)))
    assert pairs
    assert not [pair for pair in pairs if not all(f"`{word}`" in told for word in pair)]


def test_pages_that_the_source_names_exist() -> None:
    folders = (PACKAGE, ROOT / "benchmarks", ROOT / "tests", ROOT / "manifests", ROOT / "helm", ROOT / "images")
    files = [f for folder in folders for f in folder.rglob("*") if f.suffix in (".py", ".sh", ".yaml", ".txt", "")]
    named = {
        name
        for f in files
        if f.is_file() and f != Path(__file__)
        for name in re.findall(r"\bdocs/[\w./-]+\.\w+", f.read_text(errors="ignore"))
    }
    assert not [n for n in named if not (ROOT / n).exists()]


# in commands that people copy, images, charts and tags of clio-argo have it behind them
OUR_VERSION = re.compile(
    r"(?:clio-argo-[\w$]+:|clio-argo-(?=\d)|charts/clio-argo --version |of the chart, |targetRevision: v|\bVERSION="
    r"|\btag `?v)(\d+\.\d+\.\d+)"
)


# is looked for first: it takes a twentieth of the time
VERSION = re.compile(r"\d+\.\d+\.\d+")


def test_commands_name_the_version_of_this_program() -> None:
    """Who follows a page of another one looks for images that are not there."""
    lines = [
        f"{page.relative_to(ROOT)}:{number}: {line.strip()}"
        for page in (ROOT / "docs").rglob("*.md")
        for number, line in enumerate(page.read_text().splitlines(), 1)
        if VERSION.search(line) and set(OUR_VERSION.findall(line)) - {clio_argo.__version__}
    ]
    assert not lines, "write the version of pyproject.toml there:\n" + "\n".join(lines)


def test_every_test_file_is_listed_with_its_concept() -> None:
    text = (ROOT / "docs" / "testing.md").read_text()
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        concept = (ast.get_docstring(ast.parse(file.read_text())) or "").split("\n\n")[0].replace("\n", " ")
        assert concept, file
        assert f"| `{file.name}` | {concept} |" in text, file
