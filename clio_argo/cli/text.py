"""Text of others, before it is printed."""

from rich.markup import escape


def literal(text: str) -> str:
    """Text in which nothing is taken for markup or a terminal's control character."""
    return escape("".join(c if c.isprintable() else "?" for c in text))
