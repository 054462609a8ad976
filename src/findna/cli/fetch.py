"""`findna fetch`: genomes, suites and models onto this machine."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import findna
from findna.cli.running import Overwrite, no_stream, resolved, verb
from findna.evaluation.fetch.catalogue import MODEL, MTCDNA, Dataset, catalogue, datasets
from findna.evaluation.fetch.folder import DataFolder
from findna.evaluation.fetch.suites import (
    FetchSettings,
    Sources,
    genomes_to_fetch,
    refuse_unneeded,
)
from findna.files import cache_folder


@verb(FetchSettings)
def fetch(
    given: dict[str, Any],
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME...",
            help="hg38, hg19, mm10, mm39, sacCer3, ce11, dm6; gue, gue/tf/0; genomic_benchmarks,"
            " genomic_benchmarks/TASK; mtcdna; model NAME.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            callback=no_stream,
            help="Data folder. Default: one in the cache folder.",
        ),
    ] = None,
    list_all: Annotated[bool, typer.Option("--list", help="List all names.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be downloaded; no network.")
    ] = False,
    mirror: Annotated[
        str | None,
        typer.Option(
            "--mirror", metavar="URL", help="A data folder served over HTTP, tried first."
        ),
    ] = None,
    build: Annotated[
        bool, typer.Option("--build", help="Build data published as coordinates or rules.")
    ] = False,
    genome: Annotated[
        list[str] | None,
        typer.Option(
            "-g",
            "--genome",
            metavar="[BUILD=]FASTA",
            help="Genome to build from; otherwise downloaded.",
        ),
    ] = None,
    taxon: Annotated[
        list[str] | None,
        typer.Option("--taxon", metavar="NAME=FASTA", help="For mtcdna: mitogenomes of one class."),
    ] = None,
    species: Annotated[
        Path | None,
        typer.Option(
            "--species", help="For mtcdna: table of id and species. Default: read from headers."
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Download genomes, benchmark suites and models: verified, resumable, from several mirrors.

    The only command that opens a network connection. fetched.json lists what was downloaded.
    """
    settings = resolved(lambda: FetchSettings.parse(given, source="settings"))
    if list_all:
        _say_rows((d.name, d.about) for d in catalogue().values())
        return
    if not names:
        raise typer.BadParameter("name what to fetch, or see --list", param_hint="NAME")
    if names[0] == MODEL and len(names) > 1:
        names = [f"{MODEL}/{name}" for name in names[1:]]
    if (genome or taxon or species) and not build:
        raise typer.BadParameter("-g, --taxon and --species are inputs of --build: add --build")
    sources = Sources(
        genomes=_named("-g", genome, key_needed=False),
        taxa={k: Path(v) for k, v in _named("--taxon", taxon, key_needed=True).items()},
        species=species,
    )
    if dry_run:
        folder = DataFolder(output or cache_folder() / "data", settings.download, mirror=mirror)
        wanted = datasets(names)
        refuse_unneeded(wanted, sources)
        _say_rows(_plan(folder, wanted, sources, build=build))
        return
    findna.fetch(
        names,
        output,
        build=build,
        sources=sources,
        mirror=mirror,
        settings=settings,
        overwrite=overwrite,
    )


def _named(option: str, texts: list[str] | None, *, key_needed: bool) -> dict[str, str]:
    """Values of NAME=VALUE by name; a name that may be left out is ""."""
    found: dict[str, str] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not (equals and name and value):
            if key_needed:
                raise typer.BadParameter(f"{option} expects NAME=FASTA, not {text!r}")
            name, value = "", text
        if name in found:
            whose = f" for {name}" if name else ""
            raise typer.BadParameter(f"{option} is given twice{whose}: {found[name]} and {value}")
        found[name] = value
    return found


def _plan(
    folder: DataFolder, wanted: Sequence[Dataset], sources: Sources, *, build: bool
) -> Iterable[tuple[object, ...]]:
    """The table of `--dry-run`, with the genomes that building fetches."""
    yield "file", "bytes", "checksum", "state", "sources"
    fetched = {dataset.name: dataset for dataset in wanted}
    for dataset in wanted if build else ():
        fetched |= {each.name: each for each in genomes_to_fetch(dataset, folder, sources)}
    for dataset in fetched.values():
        for planned in folder.plan(dataset):
            state = "there" if planned.there else "to fetch"
            size = planned.file.size if planned.file.size is not None else "unknown"
            yield planned.target, size, planned.checksum, state, " ".join(planned.urls)
        if dataset.name == MTCDNA:
            yield folder.path / MTCDNA, "", "", "to build from your FASTA files", ""


def _say_rows(rows: Iterable[tuple[object, ...]]) -> None:
    """One row a line, tab-separated, to stdout."""
    for row in rows:
        typer.echo("\t".join(map(str, row)))
