"""YAML as people mean it: the types of YAML 1.2's core schema, each key once, no value that unfolds into many.

PyYAML reads YAML 1.1, in which `no` is false, 010 is 8, 1:30 is 90, 1e3 is text, and a second key silently wins.
"""

import math
import re
from collections.abc import Callable
from typing import Any, ClassVar

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode, Node, ScalarNode

from clio_argo.errors import UserError, first_words

# of a message that quotes the text
LONGEST_DETAIL = 400
# digits of a whole number; a float has 17 that count
MOST_DIGITS = 30
# a request has kilobytes, manual corrections of 10,000 slices a megabyte
MOST_CHARACTERS = 2**24
# a matrix in a pair of manual corrections is five deep
MOST_DEPTH = 30
# yaml.org/spec/1.2.2, section 10.3.2
CORE = {
    "null": ("null|Null|NULL|~|", "~nN\0"),
    "bool": ("true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": ("[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
}


def parse_yaml(text: str, name: str) -> Any:
    """Read YAML or JSON. Raises `UserError`, which calls the text `name`, if it is neither or means two things."""
    if len(text) > MOST_CHARACTERS:
        raise UserError(f"{name}: {len(text)} characters, at most {MOST_CHARACTERS} are read")
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{name}: not valid YAML or JSON: {first_words(str(error), LONGEST_DETAIL)}") from error


def yaml_value(value: Any) -> str:
    """A value on one line, as `parse_yaml` reads it wherever a value may stand."""
    text: str = yaml.dump([value], Dumper=_Dumper, default_flow_style=True, allow_unicode=True, width=math.inf)
    return text[1:-2]


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers: ClassVar[Any] = {}  # type: ignore[misc]

    def represent_text(self, text: str) -> ScalarNode:
        """Text, in double quotes if it holds line breaks: these quotes alone keep it on one line."""
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: ClassVar[Any] = {}  # type: ignore[misc]
    yaml_constructors: ClassVar[Any] = {}
    depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        """The next node; an alias may stand for text or a number only."""
        alias = self.peek_event() if self.check_event(yaml.AliasEvent) else None  # type: ignore[no-untyped-call]
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise ConstructorError(None, None, f"nested more than {MOST_DEPTH} deep", self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        node = super().compose_node(parent, index)
        self.depth -= 1
        # ten lines of lists of aliases stand for a billion values, or for themselves
        if alias is not None and not isinstance(node, ScalarNode):
            raise ConstructorError(None, None, "an alias of a list or mapping: write it out", alias.start_mark)
        return node

    def mapping(self, node: MappingNode) -> dict[Any, Any]:
        """A mapping whose keys are different from each other. A merge key (<<) is a key like any other."""
        mapping = dict[Any, Any]()
        for key_node, value in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, list | dict):
                raise ConstructorError(None, None, "a key that is a list or mapping", key_node.start_mark)
            if key in mapping:
                raise ConstructorError(None, None, f"the key {key!r} is given twice", key_node.start_mark)
            mapping[key] = self.construct_object(value, deep=True)
        return mapping


def _text(loader: _Loader, node: ScalarNode) -> str:
    # JSON writes a character beyond 16 bit as two
    return str(loader.construct_scalar(node)).encode("utf-16", "surrogatepass").decode("utf-16")


def _bool(loader: _Loader, node: ScalarNode) -> bool:
    return _match("bool", loader, node).lower() == "true"


def _int(loader: _Loader, node: ScalarNode) -> int:
    text = _match("int", loader, node)
    if len(text) > MOST_DIGITS:
        raise ConstructorError(None, None, f"a number of {len(text)} digits", node.start_mark)
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


def _float(loader: _Loader, node: ScalarNode) -> float:
    text = _match("float", loader, node).lower()
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


def _match(kind: str, loader: _Loader, node: ScalarNode) -> str:
    """The text of a node, which a tag such as !!int may call what it is not."""
    text = loader.construct_scalar(node)
    if not re.fullmatch(CORE[kind][0], text):
        raise ConstructorError(None, None, f"not of the type {kind}", node.start_mark)
    return str(text)


def _refuse(_: _Loader, node: Node) -> Any:
    raise ConstructorError(None, None, f"the type {node.tag[:LONGEST_DETAIL]!r} is not read", node.start_mark)


_CONSTRUCTORS: dict[str, Callable[[_Loader, Any], Any]] = {
    "null": lambda *_: None,
    "bool": _bool,
    "int": _int,
    "float": _float,
    "str": _text,
    "seq": lambda loader, node: loader.construct_sequence(node, deep=True),
    "map": _Loader.mapping,
}
for _kind, (_pattern, _first) in CORE.items():
    _starts = [c if c != "\0" else "" for c in _first]
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(rf"(?:{_pattern})\Z"), _starts)
for _kind, _construct in _CONSTRUCTORS.items():
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _construct)
_Loader.add_constructor(None, _refuse)
_Dumper.add_representer(str, _Dumper.represent_text)
