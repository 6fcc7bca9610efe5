"""docs/reliability.md names tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CITED = re.compile(r"`(tests/[\w/]+\.py)`((?:,? `\w+`)*)")


def cited() -> list[tuple[str, str]]:
    """(file, part of a test's name) of every test that the table cites; an empty part stands for all of the file."""
    found = CITED.findall((ROOT / "docs" / "reliability.md").read_text())
    return [(file, part) for file, parts in found for part in re.findall(r"\w+", parts) or [""]]


@pytest.mark.parametrize(("file", "part"), cited())
def test_cited_tests_exist(file: str, part: str) -> None:
    names = re.findall(r"^def (test_\w+)", (ROOT / file).read_text(), re.MULTILINE)
    assert [name for name in names if part in name]
