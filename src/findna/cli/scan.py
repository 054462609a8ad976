"""`findna scan`: a genome as tracks for a browser."""

from typing import Annotated, Any, Literal

import typer

import findna
from findna.cli.running import BatchBases, Device, Output, Overwrite, SomeModel, verb
from findna.inference.scanning.browser import KINDS
from findna.sequence.alphabet import Strand


@verb()
def scan(
    genome: Annotated[str, typer.Argument(metavar="GENOME", help="FASTA; - is stdin.")],
    output: Output,
    model: SomeModel = None,
    tracks: Annotated[
        str | None,
        typer.Option(
            "--tracks",
            metavar="A,B",
            help=f"Of {', '.join(KINDS)}. Default: classes if the model has any, else the others.",
        ),
    ] = None,
    regions: Annotated[
        list[str] | None,
        typer.Option(
            "--regions",
            metavar="BED|CHROM:START-END",
            help="A BED, or a region counted from 1, both ends included (several times). Default:"
            " the whole genome.",
        ),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option("--window", min=1, help="Bases read at once. Default: as the model learned."),
    ] = None,
    step: Annotated[
        int | None,
        typer.Option("--step", min=1, help="From window to window. Default: half a window."),
    ] = None,
    bin: Annotated[
        int | None,
        typer.Option(
            "--bin", min=1, help="Bases a value of surprise. Default: 1, above 200 Mb 10."
        ),
    ] = None,
    components: Annotated[
        int, typer.Option("--components", min=1, help="How many principal components.")
    ] = 3,
    sets: Annotated[
        int,
        typer.Option(
            "--sets", min=1, help="Surprise hides one base in so many at once; 8 costs twice 4."
        ),
    ] = 4,
    strand: Annotated[
        Strand | None,
        typer.Option(
            "--strand",
            help="Default: both; of classes what fine-tuning decided.",
        ),
    ] = None,
    format: Annotated[
        Literal["bigwig", "bedgraph"], typer.Option("--format", help="Of the tracks.")
    ] = "bigwig",
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="Keep the vectors of windows as parquet.")
    ] = False,
    assembly: Annotated[
        str | None,
        typer.Option("--assembly", help="Name at UCSC and IGV, if it has one: hg38, sacCer3."),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", help="Of the sample that components are fitted on.")
    ] = 0,
    batch_bases: BatchBases = None,
    precision: Annotated[
        Literal["fp32", "bf16", "auto"],
        typer.Option(
            "--precision",
            help="bf16 is faster where hardware has it, and off by up to about 0.01 bits a base.",
        ),
    ] = "fp32",
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Scan a genome into tracks: surprise of bases, components and classes of windows."""
    findna.scan(
        genome,
        model,
        output,
        tracks=_kinds(tracks),
        regions=_regions(regions),
        window=window,
        step=step,
        bin=bin,
        components=components,
        sets=sets,
        strand=strand,
        format=format,
        embeddings=embeddings,
        assembly=assembly,
        seed=seed,
        batch_bases=batch_bases,
        precision=precision,
        device=device,
        overwrite=overwrite,
    )


def _kinds(text: str | None) -> Any:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def _regions(given: list[str] | None) -> str | list[str] | None:
    """One BED, or several regions."""
    return given[0] if given is not None and len(given) == 1 else given
