"""Pipelines of one's own, named as `MODULE:NAME`: the plug point for steps."""

import importlib
from dataclasses import replace

from clio_argo.errors import UserError
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
    module, _, attribute = name.partition(":")
    if not (module and attribute):
        raise UserError(f"{option} {name}: expected MODULE:NAME, e.g. own_steps:MINE")
    pipeline = _import(module, attribute, f"{option} {name}")
    if not isinstance(pipeline, Pipeline):
        raise UserError(f"{option} {name}: expected a Pipeline, found {type(pipeline).__name__}")
    pipeline.checked()
    return _announced(pipeline, name) if any(map(_is_new_code, pipeline.all_steps)) else pipeline


def _import(module: str, attribute: str, title: str) -> object:
    try:
        return getattr(importlib.import_module(module), attribute)
    except AttributeError as error:
        raise UserError(f"{title}: {error}") from error
    except ModuleNotFoundError as error:
        raise UserError(f"{title}: {error}; install its package, or add its folder to PYTHONPATH") from error
    except Exception as error:  # the module is somebody else's code, and may raise anything
        raise UserError(f"{title}: cannot be imported: {type(error).__name__}: {error}") from error


def _is_new_code(step: Step) -> bool:
    """Whether the step is not built in and refers to Python code; its place in the graph does not matter."""
    built_in = {replace(s, after=()) for s in PIPELINE.all_steps}
    return bool(step.entry or step.objects or step.shards or step.needs) and replace(step, after=()) not in built_in


def _announced(pipeline: Pipeline, name: str) -> Pipeline:
    def told(step: Step) -> Step:
        return step if step.command else replace(step, env=(*step.env, (VARIABLE, name)))

    return pipeline.changed(told)
