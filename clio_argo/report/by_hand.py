"""What a person decided: verdicts, links, and the files they came in."""

from collections.abc import Iterator

from clio_argo.report.data import ReportData
from clio_argo.report.markup import Html, join, long_table, section, table, tag


def by_hand(data: ReportData) -> Html:
    """Corrections of slices and pairs with their reasons; nothing where nothing was given."""
    parts = [*_slices(data), *_pairs(data), *_files(data)]
    return section("by-hand", "By hand", *parts) if parts else join([])


def _slices(data: ReportData) -> Iterator[Html]:
    rows = [(str(s.z), s.verdict, s.reason) for s in data.transforms.slices if s.by_hand]
    if rows:
        yield long_table("Slices judged by hand", ("z", "verdict", "reason"), rows, (0,))


def _pairs(data: ReportData) -> Iterator[Html]:
    rows = [(str(f.z1), str(f.z0), f.reason) for f in data.transforms.fits if "by hand: " in f.reason]
    if rows:
        yield long_table("Links set by hand", ("z", "onto z", "reason"), rows, (0, 1))


def _files(data: ReportData) -> Iterator[Html]:
    rows = [(tag("code", name), checksum) for name, checksum in data.transforms.sources.items()]
    if rows:
        yield table(("given file", "CRC32C"), rows)
