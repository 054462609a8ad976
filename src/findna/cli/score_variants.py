"""`findna score-variants`: what a model makes of every allele of a VCF."""

from pathlib import Path
from typing import Annotated

import typer

import findna
from findna.cli.running import BatchBases, Device, Overwrite, SomeModel, verb
from findna.sequence.alphabet import Strand


@verb()
def score_variants(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="IN", help="VCF or BCF, compressed or not; - is stdin. With --merge: shards."
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            help=".vcf.gz, .vcf, .bcf, .tsv.gz, .tsv or .parquet; - is VCF on stdout.",
        ),
    ],
    genome: Annotated[
        Path | None, typer.Option("-g", "--genome", help="FASTA the variants were called on.")
    ] = None,
    model: SomeModel = None,
    circular: Annotated[
        list[str] | None,
        typer.Option("--circular", help="Chromosome to read across its origin. Repeatable."),
    ] = None,
    strand: Annotated[
        Strand, typer.Option("--strand", help="Average both strands, or read only the given one.")
    ] = "both",
    window: Annotated[
        int | None,
        typer.Option("--window", min=1, help="Bases the model sees. Default: as trained."),
    ] = None,
    percentiles: Annotated[
        bool,
        typer.Option(
            "--percentiles/--no-percentiles",
            help="Rank each score among random variants of this genome.",
        ),
    ] = True,
    shard: Annotated[
        str | None,
        typer.Option("--shard", metavar="i/n", help="Score only part i of n, for a job array."),
    ] = None,
    merge: Annotated[
        bool,
        typer.Option("--merge", help="Merge the shards IN into what a single job would write."),
    ] = False,
    batch_bases: BatchBases = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Score every allele of a VCF; one row out for each row in, in order."""
    if merge:
        given = (genome, model, circular, shard, window, batch_bases, not percentiles)
        if any(given) or strand != "both" or device != "auto":
            raise typer.BadParameter("--merge takes only shards, -o and --overwrite")
        findna.merge_shards(inputs, output, overwrite=overwrite)
        return
    if genome is None:
        raise typer.BadParameter("-g GENOME is needed")
    if len(inputs) != 1:
        raise typer.BadParameter("one VCF is scored at a time; --merge takes several shards")
    findna.score_variants(
        inputs[0],
        genome,
        model,
        output,
        circular=circular or (),
        shard=shard,
        strand=strand,
        window=window,
        percentiles=percentiles,
        batch_bases=batch_bases,
        device=device,
        overwrite=overwrite,
    )
