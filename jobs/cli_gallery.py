"""The command that deletes from the private gallery."""

import sys
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(help="The private gallery of original faces.", no_args_is_help=True)


@app.command(
    "delete",
    epilog="Example: cfanet gallery delete --gallery private/gallery · "
    'cfanet gallery delete --gallery s3://private/gallery --subject "Ada Byron" --yes · '
    "cfanet gallery delete --gallery private/gallery --snapshot 3f0c9a17",
)
def delete(
    gallery: Annotated[str, typer.Option("--gallery", metavar="DIR", help="The gallery: folder or s3:// address.")],
    snapshot: Annotated[
        str, typer.Option(metavar="SHA256", help="Only its embeddings, if this is its present snapshot.")
    ] = "",
    subject: Annotated[
        str, typer.Option(metavar="LABEL", help="Only this person: label in the source, or pseudonym in evidence.")
    ] = "",
    picture: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help="Only this picture, by sample key; repeatable.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a gallery, its embeddings, or one person from it, for good; evidence stays valid."""
    from jobs.deletion import Wanted, delete

    def confirm(what: str) -> bool:
        return yes or (sys.stdin.isatty() and typer.confirm(f"Delete {what}?", err=True))

    done = delete(Wanted(gallery, snapshot, subject, tuple(picture or ())), confirm)
    Console().print(done, highlight=False, markup=False, soft_wrap=True)
