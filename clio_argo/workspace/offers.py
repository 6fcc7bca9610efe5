"""Stacks and folders of which a person has to choose: each with the command that looks at it."""

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from shlex import quote

from clio_argo.errors import UserError
from clio_argo.model.base import counted
from clio_argo.model.channels import CHANNEL
from clio_argo.model.name_stacks import NameStack, name_stacks
from clio_argo.model.problems import first_lines
from clio_argo.model.strict_yaml import yaml_value
from clio_argo.store.folders import folder_of_one, folders_with_images
from clio_argo.store.slices import Entry

# a screen
MOST_OFFERED = 20
COMMAND = "clio-argo init"
WORD = re.compile("(%?[A-Za-z0-9]+)")


def the_stack(url: str, images: Sequence[Entry]) -> Mapping[str, str]:
    """Settings that choose the only stack of a source among its images, which lie at its root and in raw/.

    Raises:
        UserError: there are several, or no name has a number.
    """
    if len(images) < 2:
        return {}
    found = stacks_by_folder(images)
    if len(found) == 1:
        return found[0][1].settings
    lines = [_offer(f"{url.rstrip('/')}/{folder}", stack) for folder, stack in found]
    if len({*lines}) < len(lines):
        # no setting tells them apart: tiles of a mosaic, by date and time
        lines = [
            f"{counted(len(s.names), 'file')} like {s.names[0]}: move them into a folder of their own" for _, s in found
        ]
    own = [stack for folder, stack in found if not folder and len(stack.names) > 1]
    lines += _as_channels(url, [stack.settings.get("image", "") for stack in own])
    lines = lines or [by_name_line(url), *(f"{COMMAND} {quote(f'{url}/{e.name}')}" for e in images)]
    what = (
        f"{counted(len(found), 'stack')}" if found else f"{counted(len(images), 'file')} without a number in the name"
    )
    raise UserError.all(f"{url}: {what}; choose one:", first_lines(lines, most=MOST_OFFERED))


def _as_channels(url: str, patterns: Sequence[str]) -> list[str]:
    """The command that takes stacks for channels of one, if one word tells the patterns of their files apart."""
    words = [WORD.split(p) for p in patterns]
    if len({*map(len, words)}) != 1:
        return []
    other = [n for n, column in enumerate(zip(*words, strict=True)) if len({*column}) > 1]
    names = [word[other[0]] for word in words] if len(other) == 1 else [""]
    if not all(map(str.isalnum, names)):
        return []
    pattern = "".join([*words[0][: other[0]], CHANNEL, *words[0][other[0] + 1 :]])
    settings = f"--image {quote(pattern)} --set {quote(f'channels={yaml_value(names)}')}"
    return [f"channels of one stack: {COMMAND} {quote(url)} {settings}"]


def by_name_line(url: str) -> str:
    """The command that takes all files in the order of their names."""
    return f"all in the natural order of their names: {COMMAND} {quote(url)} --set order=name"


def stacks_by_folder(images: Sequence[Entry]) -> list[tuple[str, NameStack]]:
    """Stacks among images, each with its folder: empty for the root."""
    folders = groupby(images, lambda e: e.name.rpartition("/")[0])
    return [(folder, stack) for folder, entries in folders for stack in name_stacks(e.numbered for e in entries)]


def _offer(place: str, stack: NameStack) -> str:
    """What a stack in a folder holds, and the command that chooses it."""
    place = place.rstrip("/")
    if len(stack.names) == 1:
        return f"1 file: {COMMAND} {quote(f'{place}/{stack.names[0]}')}"
    choice = (
        f"--image {quote(value)}" if key == "image" else f"--set {quote(f'{key}={yaml_value(value)}')}"
        for key, value in stack.settings.items()
    )
    numbers = f"{len(stack.names)} files, {min(stack.numbers)} to {max(stack.numbers)}"
    return f"{numbers}: {' '.join([COMMAND, quote(place), *choice])}"


def folder_lines(url: str) -> list[str]:
    """Folders directly below a source that hold images, each with the command that looks at it."""
    return first_lines([_folder_line(*found) for found in folders_with_images(url)], most=MOST_OFFERED)


def other_folder_lines(url: str) -> list[str]:
    """As `folder_lines`, for a source that holds one image: of a file, its own folder if that holds several."""
    return [_folder_line(*found)] if (found := folder_of_one(url)) else folder_lines(url)


def _folder_line(folder: str, images: int) -> str:
    return f"{counted(images, 'image')}: {COMMAND} {quote(folder)}"
