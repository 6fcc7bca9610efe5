"""Names that no second run has: of workflows, folders and buckets."""

import re
import secrets
from pathlib import PurePosixPath

from clio_argo.errors import UserError
from clio_argo.model.buckets import reserved

# what `--out` and `--run` replace by a new one
MARK = "{id}"
# Kubernetes' own choice: without vowels and look-alikes there are no words in it, and it can be read out
ALPHABET, RANDOM = "bcdfghjklmnpqrstvwxz2456789", 12
# the longest name of a bucket, value of a label and name of a pod
LONGEST = 63
LONGEST_NAME = LONGEST - RANDOM - 1
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
# a generated name of a workflow is five characters longer, and stands in labels
LONGEST_PLAIN = 40


MADE = rf"-[{ALPHABET}]{{{RANDOM}}}"
"""What `new_id` adds to a name, as a regular expression."""


def new_id(name: str) -> str:
    """`NAME-` and twelve random characters, which buckets, Kubernetes and folders take as a name.

    They hold 57 bits: nobody guesses one, and of a million two are alike with a probability of 3 in a million.

    Raises:
        UserError: says all that is wrong with the name.
    """
    problems = reserved(name)
    if len(name) > LONGEST_NAME:
        problems.append(f"has {len(name)} characters; at most {LONGEST_NAME} leave room for the others")
    if not NAME.fullmatch(name):
        problems.append("must hold lower-case letters, digits and '-', and begin and end with a letter or digit")
    if problems:
        raise UserError.all(f"{name!r} cannot begin a name of buckets and Kubernetes:", problems)
    return f"{name}-{''.join(secrets.choice(ALPHABET) for _ in range(RANDOM))}"


def id_of(place: str) -> str:
    """The id of a request that has none: the name of the folder, file or bucket of its slices."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", PurePosixPath(place).name).strip("-.") or "volume"


def is_unique(name: str) -> bool:
    """Whether `new_id` may have made a name."""
    return bool(re.fullmatch(NAME.pattern + MADE, name))


def id_in(place: str, name: str) -> str | None:
    """The id in a place of a run that `new_id` made from a name, the last one; None if there is none."""
    found = re.findall(rf"(?<![a-z0-9-]){re.escape(name)}{MADE}(?![a-z0-9-])", place)
    return found[-1] if found else None


def plain_name(text: str) -> str:
    """The id of a request as a name in Kubernetes may begin; `clio` if nothing of it is left."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:LONGEST_PLAIN].strip("-") or "clio"
