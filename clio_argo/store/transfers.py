"""Names that programs give to files while they copy them."""

import re

from clio_argo.store.images import is_image

# browsers, WinSCP, rclone, gsutil; lftp and azcopy write before the name
MARKED = re.compile(
    r".*(\.(part|partial|filepart|tmp|temp|crdownload|download|opdownload|incomplete|aria2)|_\.gstmp)|\.(in\.|azDownload-).*",
    re.IGNORECASE | re.DOTALL,
)
# rsync's .NAME.XXXXXX, and eight hexadecimal digits of the AWS tools
BEHIND = re.compile(r"\.(.+)\.\w{6}|(.+)\.[0-9a-f]{8}", re.IGNORECASE | re.DOTALL)


def in_sight(name: str) -> bool:
    """Whether a source looks at a file: somebody may have hundreds of thousands of others beside the slices."""
    # macOS writes ._NAME beside each NAME of other file systems
    is_hidden = name.rpartition("/")[2].startswith(".")
    return (is_image(name) and not is_hidden) or is_transfer(name)


def is_transfer(name: str) -> bool:
    """Whether a file's name looks like those that programs give to transfers under way."""
    base = name.rpartition("/")[2]
    image = BEHIND.fullmatch(base)
    return MARKED.fullmatch(base) is not None or (image is not None and is_image(image[1] or image[2]))
