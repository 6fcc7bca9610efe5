"""What a user gives as the source of a stack: a path, a URL, or the name of a bucket."""

from pathlib import Path

from clio_argo.errors import ClioError, MissingBucket, TransientError, UserError
from clio_argo.store import images
from clio_argo.store.backends import DEFAULT, backend_of
from clio_argo.store.documents import Store, absolute_url, split_url
from clio_argo.store.waiting import within

# a bucket answers within tenths of a second; a person who mistyped a folder does not wait longer
BUCKET_S = 5.0


def source_url(source: str) -> str:
    """URL of a source: itself if it has a scheme, a local path if it exists, else the bucket of that name.

    Raises:
        UserError: there is no such path, and no bucket can have that name.
    """
    path = Path(source).expanduser()
    if "://" in source:
        if backend_of(source).local and not Path(split_url(absolute_url(source))[2]).exists():
            raise UserError(_nothing_there(source))
        return source
    if path.exists():
        return str(path.absolute())
    # a mistyped path is refused at once: a store that cannot be reached is tried for minutes
    if images.is_image(source) or DEFAULT.bucket_problems(source):
        bucket = f"{DEFAULT.scheme}://{source}" if source[0].isalnum() else f"{DEFAULT.scheme}://BUCKET/FOLDER"
        raise UserError(f"{_nothing_there(source)}; for a bucket write {bucket}")
    return f"{DEFAULT.scheme}://{source}"


def _nothing_there(source: str) -> str:
    where = "" if "://" in source or Path(source).expanduser().is_absolute() else f" in {Path.cwd()}"
    return f"source {source}: there is no such file or folder{where}"


def find_source(source: str) -> str:
    """As `source_url`; a name that may be a bucket's is looked up, for a few seconds.

    Raises:
        UserError: there is neither such a path nor such a bucket.
        TransientError: nobody answers whether there is such a bucket.
    """
    url = source_url(source)
    if "://" in source or not url.startswith(f"{DEFAULT.scheme}://"):
        return url
    try:
        within(BUCKET_S, lambda: next(Store(url).objects(flat=True), None))
    except MissingBucket as error:
        raise UserError(f"{_nothing_there(source)}, and no bucket {url}") from error
    except TimeoutError as error:
        text = f"{_nothing_there(source)}, and whether there is a bucket {url} nobody answered within {BUCKET_S:g} s"
        raise TransientError(text) from error
    except ClioError as error:
        raise type(error)(f"{_nothing_there(source)}; if the bucket is meant: {error}") from error
    return url
