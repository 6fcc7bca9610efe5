"""`clio-argo bucket`: buckets of Google Cloud Storage for slices and volumes."""

from typing import TYPE_CHECKING, Annotated

import typer

from clio_argo.errors import UserError
from clio_argo.model.buckets import PRICES, price_of

if TYPE_CHECKING:
    from clio_argo.store.buckets import Bucket

commands = typer.Typer(
    help="Make, show, publish, expire, archive and delete buckets of Google Cloud Storage."
)
Name = Annotated[str, typer.Argument(help="Name of the bucket, with or without gs://.")]
Folder = Annotated[str, typer.Option("--folder", help="Only what lies below this folder of the bucket.")]
Days = Annotated[int, typer.Option("--days", min=0, help="Age of the objects in days.")]
PUBLIC = (
    "gs://{name} would be public: everybody on the internet can read and copy all its objects, and you pay for "
    "what they read. Give --public if that is meant; single people need roles/storage.objectViewer only"
)


def _bucket(name: str) -> "Bucket":
    from clio_argo.store.buckets import Bucket

    return Bucket(name)


@commands.command()
def make(
    name: Name,
    location: Annotated[
        str, typer.Option("--location", help="Region, best that of the cluster; reading from others costs.")
    ],
    project: Annotated[str | None, typer.Option("--project", help="Cloud project that owns it.")] = None,
    temporary: Annotated[
        bool,
        typer.Option("--temporary", help="No soft delete: what is deleted is not billed for a week more."),
    ] = False,
) -> None:
    """Make a private bucket with uniform access."""
    bucket = _bucket(name)
    bucket.make(location, project, temporary)
    print(f"gs://{bucket.name} was made in {location}; only those who have rights in the project can read it")


@commands.command()
def show(name: Name) -> None:
    """Print where a bucket is, who may read it, and what is deleted when."""
    facts = _bucket(name).facts()
    readers = "everybody" if facts.public else "those who were named"
    rows = {
        "location": facts.location,
        "class": facts.storage_class,
        "readers": f"{readers} (public access prevention: {facts.prevention})",
        "access": "uniform" if facts.uniform else "by object",
        "pages": f"from {', '.join(o for c in facts.cors for o in c['origin'])}"
        if facts.cors
        else "none (no CORS)",
        "rules": "; ".join(f"{r['action']} if {r['condition']}" for r in facts.rules) or "none",
        "soft delete": f"{facts.soft_delete_days:g} days",
        "made by": "clio-argo" if facts.ours else "somebody else",
    }
    print("\n".join(f"{key:<12} {value}" for key, value in rows.items()))


@commands.command()
def publish(
    name: Name,
    public: Annotated[bool, typer.Option("--public", help="Yes, for everybody on the internet.")] = False,
) -> None:
    """Let everybody read a bucket, and neuroglancer's pages show it."""
    bucket = _bucket(name)
    if not public:
        raise UserError(PUBLIC.format(name=bucket.name))
    print(bucket.publish())


@commands.command()
def unpublish(name: Name) -> None:
    """Let only those read a bucket who were named."""
    _bucket(name).unpublish()


@commands.command()
def cors(name: Name) -> None:
    """Let neuroglancer's pages read what their users may read."""
    _bucket(name).allow_pages()


@commands.command()
def expire(name: Name, folder: Folder = "tmp/", days: Days = 7) -> None:
    """Delete temporary objects of a certain age, every day from now on."""
    bucket = _bucket(name)
    if not folder.strip("/"):
        raise UserError("--folder: name a folder; without one everything in the bucket would be deleted")
    print(bucket.expire(folder.strip("/") + "/", days))


@commands.command()
def archive(
    name: Name,
    to: Annotated[str, typer.Option("--class", help=f"One of {', '.join(PRICES)}.")] = "COLDLINE",
    folder: Folder = "",
    days: Days = 30,
    yes: Annotated[bool, typer.Option("--yes", help="The price is known.")] = False,
) -> None:
    """Move objects of a certain age to a colder class; says what that costs first."""
    bucket, prefix = _bucket(name), f"{folder.strip('/')}/" if folder.strip("/") else ""
    if to.upper() not in PRICES:
        raise UserError(f"--class {to}: use one of {', '.join(PRICES)}")
    print(price_of(to.upper()))
    if not yes and not typer.confirm(f"Move gs://{bucket.name}/{prefix} there after {days} days?"):
        raise typer.Exit(1)
    bucket.archive(to.upper(), prefix, days)


@commands.command()
def delete(
    name: Name,
    typed: Annotated[
        str | None, typer.Option("--name-again", help="The name once more; asked for otherwise.")
    ] = None,
) -> None:
    """Delete a bucket that `bucket make` made, with everything in it."""
    bucket = _bucket(name)
    again = (
        typed if typed is not None else typer.prompt(f"Type {bucket.name} to delete it with all its objects")
    )
    print(f"gs://{bucket.name} and its {bucket.delete(again)} objects are deleted")
