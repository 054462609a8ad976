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
            help=f"Any of {', '.join(KINDS)}. Default: classes if the model has any, else the"
            " others.",
        ),
    ] = None,
    regions: Annotated[
        list[str] | None,
        typer.Option(
            "--regions",
            metavar="BED|CHROM:START-END",
            help="A BED, or a 1-based region, both ends included (repeatable). Default: the whole"
            " genome.",
        ),
    ] = None,
    window: Annotated[
        int | None,
        typer.Option("--window", min=1, help="Bases read at once. Default: as trained."),
    ] = None,
    step: Annotated[
        int | None,
        typer.Option(
            "--step", min=1, help="Bases from one window to the next. Default: half a window."
        ),
    ] = None,
    bin: Annotated[
        int | None,
        typer.Option(
            "--bin", min=1, help="Bases per value of surprise. Default: 1; above 200 Mb, 10."
        ),
    ] = None,
    components: Annotated[
        int, typer.Option("--components", min=1, help="Number of principal components.")
    ] = 3,
    sets: Annotated[
        int,
        typer.Option(
            "--sets",
            min=1,
            help="For surprise, hide one base in n at a time; 8 takes twice as long as 4.",
        ),
    ] = 4,
    strand: Annotated[
        Strand | None,
        typer.Option(
            "--strand",
            help="Default: both; for classes, as the model was fine-tuned.",
        ),
    ] = None,
    format: Annotated[
        Literal["bigwig", "bedgraph"], typer.Option("--format", help="File format of the tracks.")
    ] = "bigwig",
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="Keep the window vectors as parquet.")
    ] = False,
    assembly: Annotated[
        str | None,
        typer.Option(
            "--assembly", help="Name of the genome at UCSC and IGV, if any: hg38, sacCer3."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", help="Seed of the sample on which components are fitted.")
    ] = 0,
    batch_bases: BatchBases = None,
    precision: Annotated[
        Literal["fp32", "bf16", "auto"],
        typer.Option(
            "--precision",
            help="bf16 is faster where the hardware supports it, and differs by up to about 0.01"
            " bits per base.",
        ),
    ] = "fp32",
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Turn a genome into tracks: surprise of bases, components and classes of windows."""
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
