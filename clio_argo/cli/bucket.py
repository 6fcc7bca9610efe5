"""`clio-argo bucket`: buckets of Google Cloud Storage for slices and volumes."""

from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from clio_argo.cli.commands import Group, command
from clio_argo.cli.console import facts, show
from clio_argo.cli.options import Form
from clio_argo.errors import UserError
from clio_argo.model.base import counted
from clio_argo.model.buckets import PRICES, price_of
from clio_argo.model.layout import TEMPORARY

if TYPE_CHECKING:
    from clio_argo.store.buckets import Bucket, Facts

commands = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    help="Make, show, publish, expire, archive and delete buckets of Google Cloud Storage.",
)
Name = Annotated[str, Argument(help="Name of the bucket, with or without gs://.")]
Project = Annotated[str | None, Option(help="Cloud project that owns it.")]
Folder = Annotated[str, Option(help="Only objects below this folder of the bucket.")]
Days = Annotated[int, Option(min=0, help="Age of the objects in days.")]
Foreign = Annotated[bool, Option("--foreign", help="Also a bucket that clio-argo did not make.")]
PUBLIC = (
    "gs://{name} would be public: everybody on the internet can read and copy all its objects, and you pay for "
    "what they read. Give --public if you mean that; single people need only roles/storage.objectViewer"
)


def _bucket(name: str) -> "Bucket":
    from clio_argo.store.buckets import Bucket

    return Bucket(name)


def _own(name: str, foreign: bool) -> "Bucket":
    """A bucket that may be changed. Raises `UserError`."""
    bucket = _bucket(name)
    if not foreign:
        bucket.refuse_foreign("not changed; give --foreign if you mean it")
    return bucket


@command(commands)
def make(
    name: Name,
    location: Annotated[str, Option(help="Region, best that of the cluster: reading across regions costs.")],
    project: Project = None,
    temporary: Annotated[bool, Option("--temporary", help="No soft delete, which is billed for another week.")] = False,
) -> None:
    """Make a private bucket with uniform access."""
    bucket = _bucket(name)
    bucket.make(location, project, temporary)
    print(f"gs://{bucket.name} was made in {location}; only those who have rights in the project can read it")


@command(commands, name="list")
def list_(project: Project = None, output: Form = None) -> None:
    """List the buckets that `bucket make` or a request made."""
    from clio_argo.store.buckets import list_buckets

    ours = list_buckets(project)
    values = [{"name": name, "location": location} for name, location in ours.items()]
    show(values, output, lambda: [facts((f"gs://{name}", location) for name, location in ours.items())])


@command(commands, name="show")
def show_(name: Name, output: Form = None) -> None:
    """Show where a bucket is, who may read it, and what is deleted when."""
    found = _bucket(name).facts()
    show(vars(found), output, lambda: [facts(_rows(found).items())])


def _rows(found: "Facts") -> dict[str, str]:
    readers = "everybody" if found.public else "only named accounts"
    origins = ", ".join(origin for rule in found.cors for origin in rule["origin"])
    return {
        "location": found.location,
        "class": found.storage_class,
        "readers": f"{readers} (public access prevention: {found.prevention})",
        "access": "uniform" if found.uniform else "by object",
        "pages": f"from {origins}" if found.cors else "none (no CORS)",
        "rules": "; ".join(f"{r['action']} if {r['condition']}" for r in found.rules) or "none",
        "soft delete": f"{found.soft_delete_days:g} days",
        "made by": "clio-argo" if found.ours else "somebody else",
    }


@command(commands)
def publish(
    name: Name,
    public: Annotated[bool, Option("--public", help="For everybody on the internet.")] = False,
    foreign: Foreign = False,
) -> None:
    """Let everybody read a bucket, and let neuroglancer's pages show it."""
    bucket = _bucket(name)
    if not public:
        raise UserError(PUBLIC.format(name=bucket.name))
    print(_own(name, foreign).publish())


@command(commands)
def unpublish(name: Name) -> None:
    """Let only named accounts read a bucket."""
    _bucket(name).unpublish()


@command(commands)
def cors(name: Name) -> None:
    """Let neuroglancer's pages read what their users may read."""
    _bucket(name).allow_pages()


@command(commands)
def expire(name: Name, folder: Folder = f"{TEMPORARY}/", days: Days = 7, foreign: Foreign = False) -> None:
    """Delete temporary objects of a certain age, every day from now on."""
    if not folder.strip("/"):
        raise UserError("--folder: name a folder; without one everything in the bucket would be deleted")
    print(_own(name, foreign).expire(folder.strip("/") + "/", days))


@command(commands)
def archive(
    name: Name,
    to: Annotated[str, Option("--class", help=f"One of {', '.join(PRICES)}.")] = "COLDLINE",
    folder: Folder = "",
    days: Days = 30,
    yes: Annotated[bool, Option("--yes", help="Do not ask.")] = False,
    foreign: Foreign = False,
) -> None:
    """Move objects of a certain age to a colder class. Shows first what that costs, and asks."""
    if to.upper() not in PRICES:
        raise UserError(f"--class {to}: use one of {', '.join(PRICES)}")
    bucket, prefix = _own(name, foreign), f"{folder.strip('/')}/" if folder.strip("/") else ""
    print(price_of(to.upper()))
    if not yes and not typer.confirm(f"Move gs://{bucket.name}/{prefix} there after {counted(days, 'day')}?"):
        raise typer.Exit(1)
    bucket.archive(to.upper(), prefix, days)


@command(commands)
def delete(
    name: Name,
    typed: Annotated[str | None, Option("--name-again", help="The name again; else the command asks.")] = None,
) -> None:
    """Delete a bucket that `bucket make` made, with everything in it."""
    bucket = _bucket(name)
    question = f"Type {bucket.name} to delete it with all its objects"
    again = typed if typed is not None else typer.prompt(question)
    print(f"gs://{bucket.name} and {counted(bucket.delete(again), 'object')} in it are deleted")
