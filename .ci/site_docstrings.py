"""Extension of griffe: the docstrings of this package as sections that it knows.

A paragraph `name: text` of a parameter or field becomes its description; `Field(description=...)` that of a field.
"""

import ast
import re
from typing import Any

import griffe

ENTRY = re.compile(r"^(\w+(?:, \w+)*): (.*(?:\n {4}.*)*)$", re.MULTILINE)


class Docstrings(griffe.Extension):
    """Rewrites docstrings after a module was read."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """Describe the parameters of a function."""
        if func.docstring:
            func.docstring.value = with_section(func.docstring.value, "Args", {p.name for p in func.parameters})

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        """Describe the fields of a class."""
        if cls.docstring:
            cls.docstring.value = with_section(cls.docstring.value, "Attributes", set(cls.attributes))

    def on_attribute(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Take the description of a pydantic field."""
        value = attr.value
        if isinstance(value, griffe.ExprCall) and str(value.function) == "Field" and not attr.docstring:
            told = next((a for a in value.arguments if getattr(a, "name", "") == "description"), None)
            if told is not None:
                attr.docstring = griffe.Docstring(ast.literal_eval(str(told.value)), parent=attr)


def with_section(text: str, title: str, names: set[str]) -> str:
    """A docstring whose entries of these names stand under a title."""
    found = [(m[0], m[1].split(", "), m[2]) for m in ENTRY.finditer(text) if set(m[1].split(", ")) <= names]
    for entry, _, _ in found:
        text = text.replace(entry, "", 1)
    lines = [f"    {name}: {' '.join(told.split())}" for _, owners, told in found for name in owners]
    section = "\n".join([f"{title}:", *lines, ""])
    before, raises, errors = text.partition("Raises:\n")
    return f"{before.rstrip()}\n\n{section}\n{raises}{errors}" if lines else text
