"""What a person reads of an inspected picture: its faces, and how like the original new ones are by angle."""

import numpy as np
from rich.console import Console
from rich.table import Table

from cfanet.inspect import InspectionSummary


def print_inspection(console: Console, summary: InspectionSummary) -> None:
    """Print both tables, and where the picture is."""
    console.print(_faces(summary))
    console.print()
    console.print(_similarities(summary))
    console.print(f"\nWritten to {summary.picture}", highlight=False, markup=False, soft_wrap=True)


def _faces(summary: InspectionSummary) -> Table:
    """A row for each face, the largest first."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("Face at", "width", "score"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("in a release")
    found = zip(summary.faces, summary.refusals, strict=True)
    for index, (face, refusal) in sorted(enumerate(found), key=lambda one: one[1][0].box[0] - one[1][0].box[2]):
        x1, y1, x2, _ = face.box
        fate = f"obscured: {refusal}" if refusal else "gets a new one, if one passes the loop"
        fate += "  ← shown below" if index == summary.shown else ""
        table.add_row(f"{x1:.0f}, {y1:.0f}", f"{x2 - x1:.0f} px", f"{face.score:.3f}", fate)
    return table


def _similarities(summary: InspectionSummary) -> Table:
    """A row for each recognizer, a column for each angle: mean over the identities, below it the least and the most."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Similarity at", no_wrap=True)
    for angle in summary.angles_deg:
        table.add_column(f"{angle:g}°", justify="right", no_wrap=True)
    for name, values in summary.similarity.items():
        table.add_row(name, *(f"{value:.2f}" for value in values.mean(0)))
        if len(values) > 1:
            low, high = np.min(values, axis=0), np.max(values, axis=0)
            span = (f"{a:.2f}…{b:.2f}" for a, b in zip(low, high, strict=True))
            table.add_row("  least…most", *span, style="dim")
    return table
