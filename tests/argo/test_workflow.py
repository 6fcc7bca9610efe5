"""What is emitted, as people and the controller see it."""

from typing import Any

from clio_argo.argo import ClusterSettings, workflow_template
from clio_argo.pipeline import PIPELINE, Step


def emitted(**settings: Any) -> dict[str, Any]:
    return dict(workflow_template(PIPELINE, ClusterSettings(**settings)).to_dict())


def templates(document: dict[str, Any]) -> dict[str, Any]:
    return {t["name"]: t for t in document["spec"]["templates"]}


def test_every_step_is_one_container_that_runs_its_part() -> None:
    made = templates(emitted())
    for step in PIPELINE.all_steps:
        container = made[step.name]["container"]
        assert [*container["command"], *container["args"]] == [
            "clio-argo-step", step.name, "--run", "$(CLIO_RUN)", "--part", "$(CLIO_PART)",
        ]  # fmt: skip


def test_the_same_settings_give_the_same_document() -> None:
    assert workflow_template().to_yaml() == workflow_template().to_yaml()


def test_another_specification_is_another_template() -> None:
    names = {emitted(parallelism=n)["metadata"]["name"] for n in (100, 101)}
    assert len(names) == 2


def test_a_step_of_ones_own_is_added_in_one_place() -> None:
    own = Step(
        "segment", after=("verify",), image="registry.example/segment:1.2", command=("segment", "$(CLIO_RUN)")
    )
    made = templates(dict(workflow_template(PIPELINE.with_step(own)).to_dict()))
    assert made["segment"]["container"]["command"] == ["segment", "$(CLIO_RUN)"]
    assert made["segment"]["container"]["image"] == "registry.example/segment:1.2"
    assert [t["depends"] for t in made["main"]["dag"]["tasks"] if t["name"] == "segment"] == ["verify"]
