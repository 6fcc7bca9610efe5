"""The pipeline as a value: it alone says which steps there are and what is special about each."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import clio_argo
from clio_argo.model.reference import load
from clio_argo.model.step import Step
from clio_argo.pipeline import PIPELINE

PACKAGE = Path(clio_argo.__file__).parent
STEPS = {step.name for step in PIPELINE.all_steps}
# `plan` and `verify` are names of functions and documents as well, and layout knows the former names of two steps
OTHER_NAMES = {PACKAGE / "__init__.py", PACKAGE / "model" / "layout.py", PACKAGE / "pipeline.py"}


@pytest.mark.parametrize("step", PIPELINE.all_steps, ids=lambda step: step.name)
def test_every_step_says_what_it_does_and_names_functions_that_exist(step: Step) -> None:
    assert step.title
    assert len({s.title for s in PIPELINE.all_steps}) == len(PIPELINE.all_steps)
    for reference in filter(None, (step.entry, step.objects, step.shards, step.needs)):
        assert callable(load(reference))


def test_the_folder_of_steps_holds_the_steps_and_nothing_else() -> None:
    assert {file.stem for file in (PACKAGE / "steps").glob("*.py")} == {"__init__", *(s.name for s in PIPELINE.steps)}


def collections_of_steps(file: Path) -> Iterator[str]:
    """Tuples, lists, sets and mappings in a module that name two steps or more."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Dict):
            items = [*node.keys, *node.values]
        else:
            items = list(node.elts) if isinstance(node, ast.Tuple | ast.List | ast.Set) else []
        named = {item.value for item in items if isinstance(item, ast.Constant)} & STEPS
        if len(named) > 1:
            yield f"{file.name}:{node.lineno}: {named}"


def test_no_other_module_holds_a_list_of_steps() -> None:
    assert list(collections_of_steps(PACKAGE / "model" / "layout.py")), "the search finds what there is"
    assert [line for file in {*PACKAGE.rglob("*.py")} - OTHER_NAMES for line in collections_of_steps(file)] == []
