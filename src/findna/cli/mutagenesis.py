"""`findna mutagenesis`: what every base of a sequence is worth to a model."""

from pathlib import Path
from typing import Annotated

import typer

import findna
from findna.cli.running import BatchBases, Device, IdColumn, Output, Overwrite, SequenceColumn, verb
from findna.files import atomic_folder, log
from findna.sequence.alphabet import Strand


@verb()
def mutagenesis(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="IN",
            help="FASTA, FASTQ, CSV, TSV, parquet, BED with -g, - for stdin; or regions with -g,"
            " chr7:1,001-2,000, 1-based, both ends included.",
        ),
    ],
    output: Output,
    model: Annotated[
        list[str] | None,
        typer.Option(
            "-m",
            "--model",
            help="A model, its run or its name; repeat it for models that differ in their seed,"
            " to measure their agreement. Default: the one that comes with findna.",
        ),
    ] = None,
    genome: Annotated[
        Path | None, typer.Option("-g", "--genome", help="FASTA that a BED or regions refer to.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", help="Class or target to explain; binary: the second class."),
    ] = None,
    strand: Annotated[
        Strand | None,
        typer.Option(
            "--strand",
            help="Average both strands or read one. Default: as the model was fine-tuned.",
        ),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option(
            "--window", min=16, help="Bases a pretrained model reads at once. Default: as trained."
        ),
    ] = None,
    sets: Annotated[
        int | None,
        typer.Option(
            "--sets",
            min=2,
            help="A pretrained model hides every n-th base at once: n passes per window instead"
            " of one per base.",
        ),
    ] = None,
    pictures: Annotated[
        int, typer.Option("--pictures", min=0, help="How many records to draw, from the first.")
    ] = 10,
    batch_bases: BatchBases = None,
    sequence_column: SequenceColumn = None,
    id_column: IdColumn = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Mutate every base and show the effect on the prediction.

    The folder holds effects.parquet (every substitution), ohe.npz and attr.npz for TF-MoDISco,
    effects.bw where sequences have coordinates, a heat map and a logo of the first records, and
    index.html, which says whether strands and models agree.
    """
    from findna.inference.attribution.files import FACTS
    from findna.report.attribution import require_logos, write_attribution_page

    if pictures:
        require_logos()
    with atomic_folder(output, overwrite, known_by=FACTS) as made:
        findna.mutagenesis(
            inputs[0] if len(inputs) == 1 else _regions(inputs),
            model,
            made,
            genome=genome,
            target=target,
            strand=strand,
            window=window,
            sets=sets,
            batch_bases=batch_bases,
            device=device,
            sequence_column=sequence_column,
            id_column=id_column,
        )
        write_attribution_page(made, pictures)
    log.info(f"page in {output / 'index.html'}")


def _regions(inputs: list[str]) -> list[str]:
    """Several inputs, each of them a region: a second file would be read as the letters of its
    name.
    """
    from findna.sequence.regions import parse_region

    for text in inputs:
        parse_region(text)
    return inputs
