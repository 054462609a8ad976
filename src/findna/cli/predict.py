"""`findna predict`: one answer for every sequence."""

import re
from pathlib import Path
from typing import Annotated

import typer

import findna
from findna.cli.running import (
    BatchBases,
    Device,
    GenomeOfBed,
    IdColumn,
    Overwrite,
    SequenceColumn,
    verb,
)
from findna.sequence.alphabet import Strand


@verb()
def predict(
    inputs: Annotated[
        str,
        typer.Argument(
            metavar="IN",
            help="FASTA, FASTQ, CSV, TSV, parquet, BED with -g, a genome with --tile; - is stdin.",
        ),
    ],
    model: Annotated[Path, typer.Option("-m", "--model", help="A fine-tuned model, or its run.")],
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            help=".tsv, .csv or .parquet; .bw or .bedgraph for a track; - is a TSV on stdout.",
        ),
    ],
    genome: GenomeOfBed = None,
    tile: Annotated[
        str | None,
        typer.Option(
            "--tile",
            metavar="WINDOW[,STEP]",
            help="Cut the genome IN, or the regions IN of -g, into windows of WINDOW bases, one"
            " every STEP bases.",
        ),
    ] = None,
    prevalence: Annotated[
        str | None,
        typer.Option(
            "--prevalence",
            metavar="FREQUENCY|CLASS=FREQUENCY,...",
            help="Adjust probabilities to a frequency of the (second) class other than in"
            " training.",
        ),
    ] = None,
    strand: Annotated[
        Strand | None, typer.Option("--strand", help="Default: as the model was fine-tuned.")
    ] = None,
    batch_bases: BatchBases = None,
    sequence_column: SequenceColumn = None,
    id_column: IdColumn = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Predict for every sequence of a file, one row each, in file order; or along a genome.

    p_CLASS is calibrated if fine-tuning had enough rows for it. A track holds the ln odds of a
    class minus those of its prevalence in training, or probabilities with --prevalence.
    """
    findna.predict(
        inputs,
        model,
        output,
        genome=genome,
        tile=_tile(tile),
        prevalence=_prevalence(prevalence),
        strand=strand,
        batch_bases=batch_bases,
        device=device,
        sequence_column=sequence_column,
        id_column=id_column,
        overwrite=overwrite,
    )


def _tile(text: str | None) -> int | tuple[int, int] | None:
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) > 2 or not all(part.strip().isdecimal() for part in parts):
        raise typer.BadParameter(f"--tile is WINDOW or WINDOW,STEP in bases, not {text!r}")
    window, *step = (int(part) for part in parts)
    return (window, step[0]) if step else window


def _prevalence(text: str | None) -> float | dict[str, float] | None:
    if text is None:
        return None
    try:
        if "=" not in text:
            return float(text)
        # A class may have a comma in its name; a share ends in a digit or a point.
        pairs = [part.rpartition("=") for part in re.split(r"(?<=[\d.]),", text)]
        shares = {name.strip(): float(share) for name, _, share in pairs}
        if len(shares) < len(pairs):
            raise ValueError("a class is named twice")
        return shares
    except ValueError:
        raise typer.BadParameter(
            "--prevalence is a frequency such as 0.01, or CLASS=FREQUENCY,... with each class"
            f" once, not {text!r}"
        ) from None
