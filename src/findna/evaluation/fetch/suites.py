"""From fetched files to tasks: which genome a task is cut from, and where the result goes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from findna.evaluation.fetch.catalogue import (
    GENOMIC_BENCHMARKS,
    MTCDNA,
    Dataset,
    catalogue,
    datasets,
    reference_of,
)
from findna.evaluation.fetch.download import DownloadSettings
from findna.evaluation.fetch.folder import DataFolder
from findna.evaluation.fetch.genomic_benchmarks import SPLITS, build_task, refuse_other_build
from findna.evaluation.fetch.mitogenomes import MitogenomeSettings, build_mtcdna
from findna.files import BadInput, cache_folder, log, refuse_existing
from findna.sequence.genome import Genome
from findna.settings import Settings


class FetchSettings(Settings):
    """Settings of `findna fetch`."""

    download: DownloadSettings = DownloadSettings()
    mtcdna: MitogenomeSettings = MitogenomeSettings()


@dataclass(frozen=True, slots=True)
class Sources:
    """What a person brings to build from: FASTA by build ("" for any), FASTA by taxon, a table."""

    genomes: Mapping[str, str] = field(default_factory=dict)
    taxa: Mapping[str, Path] = field(default_factory=dict)
    species: Path | None = None


def fetch(
    names: Sequence[str],
    output: str | Path | None = None,
    *,
    build: bool = False,
    sources: Sources | None = None,
    mirror: str | None = None,
    settings: FetchSettings | Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Fetch genomes, suites and models into a data folder; build what is published as coordinates.

    Args:
        names: of `catalogue.catalogue`: genomes such as hg38, suites, tasks of a suite, models
            such as model/findna-yeast-tiny.
        output: the data folder; `data` in the cache folder if None.
        build: build GenomicBenchmarks tasks from their intervals, or mtcdna from mitogenomes.
        sources: what to build from; genomes that are not given are fetched.
        mirror: base URL of a data folder served over HTTP, asked first.
        settings: time-outs, tries, and the rule of mtcdna.
        overwrite: replace what is there.

    Returns:
        The data folder.

    Raises:
        BadInput: an unknown name, no source that answers, a wrong checksum, sources without
            `build`.
    """
    settings = FetchSettings.of(settings)
    if not build and sources not in (None, Sources()):
        raise BadInput("sources are given, but nothing is built", remedy="use build=True")
    place = Path(output) if output else cache_folder() / "data"
    folder = DataFolder(place, settings.download, mirror=mirror, overwrite=overwrite)
    wanted = datasets(names)
    if build:
        refuse_unneeded(wanted, sources or Sources())
    else:
        refuse_unbuilt(wanted)
    for dataset in wanted:
        folder.fetch(dataset)
        if build:
            build_dataset(dataset, folder, sources or Sources(), settings)
    return place


def refuse_unbuilt(wanted: Iterable[Dataset]) -> None:
    """Refuse to fetch what can only be built."""
    if any(dataset.name == MTCDNA for dataset in wanted):
        raise BadInput(
            "mtcdna cannot be downloaded: the accessions of its genomes (Chelonoidis, Gopherus;"
            " Mus musculus, Mus spretus) are not published",
            remedy="get FASTA files of whole mitogenomes, for example from NCBI Nucleotide:"
            " Gopherus[Organism] AND mitochondrion[Filter] AND 5001:30000[Sequence Length]; then"
            " run findna fetch mtcdna --build --taxon turtle=turtles.fa --taxon mouse=mice.fa",
        )


def refuse_unneeded(wanted: Iterable[Dataset], sources: Sources) -> None:
    """Refuse genomes of builds that nothing is cut from: in their place others would be fetched."""
    needed = {build for dataset in wanted for build in _builds(dataset).values()}
    unneeded = sorted(set(sources.genomes) - needed - {""})
    if unneeded:
        raise BadInput(
            f"nothing requested is cut from {unneeded[0]!r}, given with -g",
            remedy=f"the requested data are cut from {', '.join(sorted(needed)) or 'no genome'};"
            " for a path with = in it write its build first: -g BUILD=FASTA",
        )


def build_dataset(
    dataset: Dataset, folder: DataFolder, sources: Sources, settings: FetchSettings
) -> Path | None:
    """Build a data set whose files are fetched; None where there is nothing to build."""
    if dataset.name == MTCDNA:
        return _build_mtcdna(folder, sources, settings.mtcdna)
    if dataset.name.startswith(f"{GENOMIC_BENCHMARKS}/"):
        return _build_benchmark(dataset, folder, sources)
    return None


def _build_mtcdna(folder: DataFolder, sources: Sources, settings: MitogenomeSettings) -> Path:
    output = folder.path / MTCDNA / str(settings.length)
    rows = build_mtcdna(
        sources.taxa, output, settings, species=sources.species, overwrite=folder.overwrite
    )
    for column in ("random", f"by {settings.clade}"):
        counts = rows[column].value_counts()
        log.info("%s: %s", column, ", ".join(f"{part} {n}" for part, n in counts.items() if part))
    log.info("built %s", output)
    return output


def genomes_to_fetch(dataset: Dataset, folder: DataFolder, sources: Sources) -> list[Dataset]:
    """The genomes that building a data set would fetch: neither given nor in the folder.

    Raises:
        BadInput: one FASTA is given for several builds.
    """
    needed = set(_builds(dataset).values())
    wanted = [b for b in sorted(needed) if _given(b, needed, sources) is None]
    return [catalogue()[b] for b in wanted if not folder.find(catalogue()[b])]


def _builds(dataset: Dataset) -> dict[str, str]:
    """The genome that each class of a GenomicBenchmarks task is cut from; empty for all else."""
    if not dataset.name.startswith(f"{GENOMIC_BENCHMARKS}/"):
        return {}
    task = dataset.name.removeprefix(f"{GENOMIC_BENCHMARKS}/")
    classes = sorted({Path(f.path).name.split(".")[0] for f in dataset.files})
    return {name: reference_of(task, name) for name in classes}


def _build_benchmark(dataset: Dataset, folder: DataFolder, sources: Sources) -> Path:
    task = dataset.name.removeprefix(f"{GENOMIC_BENCHMARKS}/")
    place = folder.path / dataset.name
    # Before a genome is fetched for nothing.
    for split in SPLITS:
        refuse_existing(place / f"{split}.csv.gz", folder.overwrite)
    builds = _builds(dataset)
    opened = {b: _opened(b, set(builds.values()), folder, sources) for b in set(builds.values())}
    genomes = {name: opened[build] for name, build in builds.items()}
    built = build_task(place, genomes, overwrite=folder.overwrite)
    for part in built:
        left_out = part.lacking + part.outside
        log.info("%s %s %s: %d rows, %d left out", task, part.split, part.name, part.rows, left_out)
    log.info("built %s", place)
    return place


def _opened(name: str, needed: set[str], folder: DataFolder, sources: Sources) -> Genome:
    """A build as a person gave it, or as it lies in the folder, fetched if it does not."""
    given = _given(name, needed, sources)
    if given is None:
        dataset = catalogue()[name]
        (path,) = folder.find(dataset) or folder.fetch(dataset)
        given = str(path)
    genome = Genome.open(given)
    refuse_other_build(genome, name)
    return genome


def _given(name: str, needed: set[str], sources: Sources) -> str | None:
    """The FASTA that a person gave for a build."""
    given = sources.genomes.get(name)
    if given is None and "" in sources.genomes:
        if len(needed) > 1:
            raise BadInput(
                f"this task is cut from {' and '.join(sorted(needed))}",
                remedy="say which file is which: "
                + " ".join(f"-g {b}=FILE" for b in sorted(needed)),
            )
        given = sources.genomes[""]
    return given
