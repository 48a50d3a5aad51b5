"""The commands that say which models there are, download them, and check generator files."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(help="Models: which, from where, with which digest.", no_args_is_help=True)


@app.command("list", epilog="Example: cfanet weights list")
def list_() -> None:
    """Say what models there are, from where, and which are on this machine."""
    from rich.table import Table

    from cfanet.weights import list_weights

    table = Table("Name", "Role", "Source", "Here", "SHA-256", box=None)
    for model in list_weights():
        table.add_row(model.name, model.role, model.source, "yes" if model.present else "no", model.digest)
    Console().print(table)


@app.command("fetch", epilog="Example: cfanet weights fetch facenet-vggface2")
def fetch(name: Annotated[str, typer.Argument(help="A name from `cfanet weights list`.")]) -> None:
    """Download a recognizer's weights once, for machines without internet."""
    from cfanet import weights

    model = weights.fetch(name)
    Console().print(f"{model.name}: {model.source}, SHA-256 {model.digest}", highlight=False, soft_wrap=True)


@app.command("verify", epilog="Example: cfanet weights verify runs/7/generator.safetensors")
def verify(file: Annotated[Path, typer.Argument(metavar="FILE", help="A .safetensors generator.")]) -> None:
    """Read a generator file whole and print its digest."""
    from cfanet import weights

    generator = weights.verify(file)
    Console().print(f"{file}: whole, SHA-256 {generator.digest}", highlight=False, soft_wrap=True)
