"""The filters of the page's templates: text, numbers and names of files as people read them."""

import unicodedata
from collections.abc import Iterable
from urllib.parse import quote

# binary, as `du -h` and file managers count
UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def visible(value: object) -> object:
    """The value as text in which control, direction and surrogate characters are escapes; markup stays markup."""
    text = str(value)
    if hasattr(value, "__html__") or text.isprintable():
        return value
    # such characters break XML, reverse the line, or cannot be encoded at all
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c)[0] == "C" and c not in "\n\t" else c
        for c in text
    )


def relative_url(name: str) -> str:
    """The name of a file beside the report as a URL that can point nowhere else."""
    # a quoted colon makes no scheme, and without a leading slash there is no host
    return quote(name.lstrip("/\\"), safe="/", errors="replace")


def thousands(number: int) -> str:
    """`1,234`."""
    return f"{number:,}"


def plural(number: int, noun: str) -> str:
    """`1 slice`, `1,234 slices`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def px(value: float) -> str:
    """A length in an SVG: a tenth of a pixel is finer than screens show."""
    return f"{value:.1f}"


def xyz(zyx: Iterable[int]) -> str:
    """Lengths in the order of neuroglancer, `x × y × z`, from the order of arrays."""
    return " × ".join(map(thousands, reversed(tuple(zyx))))


def size(number_bytes: int) -> str:
    """Bytes in binary units with three digits."""
    value, unit = float(number_bytes), 0
    # from 1000 on, not 1024: a fourth digit would say no more
    while value >= 1000 and unit + 1 < len(UNITS):
        value, unit = value / 1024, unit + 1
    return f"{value:.{0 if unit == 0 or value >= 100 else 1 if value >= 10 else 2}f} {UNITS[unit]}"


def duration(seconds: float) -> str:
    """Seconds as people say them: `2.50 s`, `64.2 s`, `10 min`, `2 h 02 min`."""
    if seconds < 100:
        return f"{seconds:.{1 if seconds >= 10 else 2}f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 100 else f"{minutes} min"


def dollars(price: float) -> str:
    """A price in cents; what is none of them as less than one."""
    return f"${price:,.2f}" if price >= 0.01 else "less than $0.01"
