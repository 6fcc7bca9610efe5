"""Names that people and programs give: text stays text, in paths, YAML, templates and shells."""

import re
from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from clio_argo.argo.submit import prefix, request_arguments, workflow
from clio_argo.argo.workflow import workflow_template
from clio_argo.errors import ClioError, UserError
from clio_argo.model.request import Request
from clio_argo.store.documents import Store
from clio_argo.workspace.preflight import preflight
from tests.stacks import FIRST, demo_slice, encoded, request

INJECTIONS = (
    "..", "../../escape", "/etc/passwd", "--out=/tmp", "-rf", "$(touch escape)", "`touch escape`", "; touch escape",
    "{{workflow.name}}", "{{=1+1}}", "$$", "a: b", "\n- a: b", "? [", "&x", "*x", "!!python/object:os.system x",
    "'", '"', "|\n  x", "%n%s", "~", "<script>", "\u202e", "x" * 300, "\r\n", "#", "\\", "null", "true", "1e3",
)  # fmt: skip
texts = st.sampled_from(INJECTIONS) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
# a name of 63 characters is what Kubernetes takes; it puts five of its own behind a generated one
GENERATED = re.compile(r"[a-z0-9]([a-z0-9-]{0,56}[a-z0-9])?-")
# of a label, by its rules: prefix/name, and a value that may be empty
LABEL = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")


class Template(dict[str, Any]):
    """A template that hypothesis shows in a line."""

    def __repr__(self) -> str:
        return "template"


@pytest.fixture(scope="module")
def template() -> Template:
    return Template(workflow_template().to_dict())


@given(name=texts, folder=texts, image=texts, label=texts, value=texts)
def test_a_workflow_carries_any_text_as_it_is_or_the_request_is_refused(
    template: Template, name: str, folder: str, image: str, label: str, value: str
) -> None:
    with suppress(ValueError):
        config = Request(id=name, source=f"gs://b/{folder}", image=image, labels={label: value})
        with suppress(UserError):
            arguments = request_arguments(config, f"gs://run/{folder}", template)
            made = workflow("clio-argo-0", arguments, {"generateName": prefix(name)}, config.labels)
            assert_harmless(made, config, f"gs://run/{folder}")


def assert_harmless(made: dict[str, Any], config: Request, run: str) -> None:
    assert yaml.safe_load(yaml.safe_dump(made)) == made
    values = {p["name"]: p["value"] for p in made["spec"]["arguments"]["parameters"]}
    assert Request.model_validate_json(values["config"]) == config
    assert values["run"] == run
    assert not [m for m in ("{{", "$(", "$$") for v in (*values.values(), *config.labels) if m in v]
    assert GENERATED.fullmatch(made["metadata"]["generateName"])
    assert all(LABEL.fullmatch(k) and VALUE.fullmatch(v) for k, v in config.labels.items())
    assert made["spec"].keys() == {"workflowTemplateRef", "arguments"}


@given(texts)
def test_the_beginning_of_a_name_follows_the_rules_of_kubernetes(name: str) -> None:
    assert GENERATED.fullmatch(prefix(name))


def test_no_container_starts_a_shell_or_gets_a_request_as_an_argument(template: Template) -> None:
    containers = [t["container"] for t in template["spec"]["templates"] if "container" in t]
    assert all(c["command"] == ["clio-argo-step"] for c in containers)
    assert all(c["args"][1:] == ["--run", "$(CLIO_RUN)", "--part=$(CLIO_PART)"] for c in containers)


@given(texts)
@settings(max_examples=settings().max_examples // 2)
def test_no_object_leaves_the_root(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.mktemp("names")
    with suppress(ClioError):
        Store(str(folder / "root")).write(name, b"x")
    assert {p.name for p in folder.iterdir()} <= {"root"}


@given(begin=texts)
@settings(max_examples=settings().max_examples // 4)
def test_any_name_of_a_file_is_handled_or_refused(tmp_path_factory: pytest.TempPathFactory, begin: str) -> None:
    source = tmp_path_factory.mktemp("names")
    file = begin.replace("/", "").replace("\0", "") + "_7.png"
    try:
        (source / file).write_bytes(encoded(demo_slice(FIRST, 64)))
    except OSError:  # the file system does not take it
        return
    with suppress(ClioError):
        checked = preflight(request(source))
        checked.refuse()
        assert [s.name for s in checked.units[0].slices] == [file]
    assert [p.name for p in source.iterdir()] == [file]
