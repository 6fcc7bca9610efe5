"""Pipelines of one's own, named as `MODULE:NAME`: the plug point for steps."""

from collections.abc import Iterator
from dataclasses import replace

from clio_argo.errors import UserError
from clio_argo.model.reference import load
from clio_argo.model.request import Request
from clio_argo.pipeline import PIPELINE, Pipeline, Step

# tells a container which pipeline its step belongs to
VARIABLE = "CLIO_PIPELINE"


def load_pipeline(name: str | None, option: str = "--pipeline") -> Pipeline:
    """The pipeline called `MODULE:NAME`; the built-in one without a name.

    If it runs code that the built-in pipeline lacks, all its containers are told its name: `plan` and `verify` ask the
    steps of the pipeline, too. Containers of one's own are opaque, and the stock images need no module for them.

    Args:
        name: a module that can be imported, and a variable in it that holds a `Pipeline`.
        option: where the name was given, for messages.

    Raises:
        UserError: the name is malformed, the module cannot be imported, or the variable holds something else,
            or its steps do not fit.
    """
    if not name:
        return PIPELINE
    try:
        pipeline = load(name)
    except UserError as error:
        raise UserError(f"{option} {error}") from error
    if not isinstance(pipeline, Pipeline):
        raise UserError(f"{option} {name}: expected a Pipeline, found {type(pipeline).__name__}")
    pipeline.checked()
    return _announced(pipeline, name) if any(map(_is_new_code, pipeline.all_steps)) else pipeline


def _is_new_code(step: Step) -> bool:
    """Whether the step is not built in and refers to Python code; its place in the graph does not matter."""
    built_in = {replace(s, after=()) for s in PIPELINE.all_steps}
    return bool(step.entry or step.objects or step.shards or step.needs) and replace(step, after=()) not in built_in


def _announced(pipeline: Pipeline, name: str) -> Pipeline:
    def told(step: Step) -> Step:
        return step if step.command else replace(step, env=(*step.env, (VARIABLE, name)))

    return pipeline.changed(told)


def refuse_containers(pipeline: Pipeline) -> None:
    """Raise `UserError` if a step of the pipeline is a container, which only a cluster runs."""
    if names := [f"{s.name} (image {s.image})" for s in pipeline.steps if not s.entry]:
        raise UserError(
            f"these steps are containers, which only a cluster runs: {', '.join(names)}; "
            "give them an entry (module:function) to run them here too"
        )


def refuse_unknown(pipeline: Pipeline, request: Request) -> None:
    """Raise `UserError` if functions or settings of added steps are not there: found later, they have cost a volume."""
    built_in = {s.entry for s in PIPELINE.steps}
    added = [s for s in pipeline.steps if s.entry not in built_in]
    problems = [f"step {s.name}: {p}" for s in added for p in (*_no_functions(s), *_no_settings(s, request))]
    if problems:
        raise UserError("\n".join(problems))


def _no_functions(step: Step) -> Iterator[str]:
    for reference in filter(None, (step.entry, step.objects, step.shards, step.needs)):
        try:
            if not callable(function := load(reference)):
                yield f"{reference}: expected a function, found {type(function).__name__}"
        except UserError as error:
            yield str(error)


def _no_settings(step: Step, request: Request) -> Iterator[str]:
    for name in step.settings:
        try:
            request.setting(name)
        except (LookupError, TypeError):
            yield f"there is no setting {name}"
