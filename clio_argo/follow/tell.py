"""Tells people at once what is wrong with a stack that is recorded, with pictures."""

from collections.abc import Mapping, Sequence

import numpy as np

from clio_argo.errors import TransientError, UserError
from clio_argo.kernels.features import Reduced
from clio_argo.kernels.render import png
from clio_argo.model.base import counted
from clio_argo.model.request import Request
from clio_argo.notify import Message, deliver
from clio_argo.workspace.pictures import shrink

# a mail with a screen of lines and a megabyte of pictures is read
MOST_LINES, MOST_PICTURES = 20, 5
# slices side by side fit a screen
PICTURE_PX, GAP, WHITE = 400, 8, 255


def send(request: Request, run: str, lines: Sequence[tuple[str, str]], pictures: Mapping[str, bytes]) -> str:
    """Send lines, each with its kind, to all who are configured. Returns why people cannot be told, if they cannot.

    Raises `TransientError`: the next try sends all again.
    """
    texts = [text for _, text in lines]
    more = [f"and {len(texts) - MOST_LINES} more"] if len(texts) > MOST_LINES else []
    rest = f", and {counted(len(texts) - 1, 'more line')}" if len(texts) > 1 else ""
    body = {"id": request.id, "run": run, "kinds": sorted({kind for kind, _ in lines}), "lines": texts}
    text = "\n".join([f"{request.id} is being recorded:", *texts[:MOST_LINES], *more, f"run: {run}"])
    message = Message(f"clio-argo: {request.id}: {texts[0]}{rest}", text, body, pictures)
    try:
        deliver(request.notify.email, message)
    except TransientError as error:
        raise TransientError(f"people were not notified yet: {error}") from error
    except UserError as error:
        return f"people cannot be notified: {error}"
    return ""


def picture(slices: Sequence[Reduced | None]) -> bytes:
    """Slices in small side by side, as PNG; one without pixels is left out."""
    images = [shrink(r.image, PICTURE_PX) for r in slices if r is not None]
    height = max((len(i) for i in images), default=1)
    padded = [np.pad(i, ((0, height - len(i)), (0, GAP)), constant_values=WHITE) for i in images]
    return png(np.ascontiguousarray(np.hstack(padded or [np.zeros((1, 1), np.uint8)])))
