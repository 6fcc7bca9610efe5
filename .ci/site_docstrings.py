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
            func.docstring.value = with_parameters(func.docstring.value, {p.name for p in func.parameters})

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Describe the fields of a class."""
        if cls.docstring:
            cls.docstring.value, told = without_entries(cls.docstring.value, set(cls.attributes))
            for name, text in told:
                cls.attributes[name].docstring = griffe.Docstring(text, parent=cls.attributes[name])

    def on_attribute(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Take the description of a pydantic field."""
        value = attr.value
        if isinstance(value, griffe.ExprCall) and str(value.function) == "Field" and not attr.docstring:
            told = next((a for a in value.arguments if getattr(a, "name", "") == "description"), None)
            if told is not None:
                attr.docstring = griffe.Docstring(ast.literal_eval(str(told.value)), parent=attr)


def without_entries(text: str, names: set[str]) -> tuple[str, list[tuple[str, str]]]:
    """A docstring without its entries of these names, and each name with what its entry says."""
    found = [m for m in ENTRY.finditer(text) if {*m[1].split(", ")} <= names]
    for entry in found:
        text = text.replace(entry[0], "", 1)
    return text, [(name, " ".join(m[2].split())) for m in found for name in m[1].split(", ")]


def with_parameters(text: str, names: set[str]) -> str:
    """A docstring whose entries of these names are a section, before that of errors."""
    text, told = without_entries(text, names)
    section = "\n".join(["Args:", *(f"    {name}: {said}" for name, said in told), ""])
    before, raises, errors = text.partition("Raises:\n")
    return f"{before.rstrip()}\n\n{section}\n{raises}{errors}" if told else text
