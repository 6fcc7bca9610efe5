"""Hook of mkdocs: what pages link to outside of docs/ is part of the site, below `project/`; README.md is its start."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
START = ROOT / "README.md"
# code is left as it is: it may look like a link
CODE_OR_LINK = re.compile(
    r"^ *```.*?^ *```$|`[^`]+`|(?P<before>\]\()(?![a-z]+:)(?P<target>[^)\s#]+)", re.MULTILINE | re.DOTALL
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add README.md, and all that is linked from what is there."""
    seen = {Path(f.abs_src_path) for f in files if f.abs_src_path}
    pending = [START, *(p for p in seen if p.suffix == ".md")]
    for path in pending:
        if path not in seen:
            files.append(File.generated(config, place(path), abs_src_path=str(path)))
            seen.add(path)
        if path.suffix == ".md":
            pending += [p for p in linked(path) if p not in seen and p not in pending]
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Links of a page as they are within the site."""
    path, here = Path(page.file.abs_src_path or ROOT), Path(page.file.src_uri).parent

    def moved(match: re.Match[str]) -> str:
        if not match["target"]:
            return match[0]
        return match["before"] + os.path.relpath(place((path.parent / match["target"]).resolve()), here)

    return CODE_OR_LINK.sub(moved, markdown)


def linked(page: Path) -> Iterator[Path]:
    """Files of the repository that a page links to."""
    targets = (m["target"] for m in CODE_OR_LINK.finditer(page.read_text()) if m["target"])
    yield from (p for t in targets if (p := (page.parent / t).resolve()).is_file())


def place(path: Path) -> str:
    """Where a file of the repository lies in the site."""
    if path == START:
        return "index.md"
    docs = ROOT / "docs"
    inside = path.is_relative_to(docs)
    return path.relative_to(docs).as_posix() if inside else f"project/{path.relative_to(ROOT).as_posix()}"
