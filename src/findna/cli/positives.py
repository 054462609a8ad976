"""`--negatives`: data of positives only, and what must not be said of them besides."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from findna.data.parts import LabelSettings

Negatives = Annotated[
    Path | None,
    typer.Option(
        "--negatives",
        metavar="GENOME",
        help="DATA holds positives only (BED or sequences): draw as many negatives from this"
        " FASTA, matched in length, GC and repeats; task.csv in the output holds all rows.",
    ),
]


def positives_alone(given: Mapping[str, Any], genome: Path | None, negatives: Path) -> None:
    """Refuse what says how labels are read, where --negatives draws them, or another genome."""
    named = [name for name in LabelSettings.model_fields if given.get(name) not in (None, "auto")]
    flags = [f"--{name.replace('_', '-')}" for name in named]
    if genome not in (None, negatives):
        flags.append(f"--genome {genome}")
    if flags:
        raise typer.BadParameter(
            "with --negatives all rows are positives, and their genome is that of the negatives:"
            f" leave out {', '.join(flags)}"
        )
