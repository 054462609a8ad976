"""What `findna fetch` knows: genomes, suites and models; addresses, revisions and checksums.

Checksums are those of the publisher or were computed from the pinned revision itself; none is
written from memory. `pinned.tsv` holds one line a file: sha256, or the git blob id (SHA-1 over
`blob SIZE NUL` and the bytes) where the revision is known but the file was too large to be read.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import metadata, version
from importlib.resources import files

import pandas as pd

from findna.evaluation.suites.registry import find_task
from findna.files import BadInput
from findna.model.published import PUBLISHED, PublishedModel

GENOMIC_BENCHMARKS = "genomic_benchmarks"
GUE = "gue"
MTCDNA = "mtcdna"
MODEL = "model"
INTERVALS = "intervals"


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file: its place below the data folder, where it comes from, how it is known to be right.

    `urls` are tried in order. `checksum` is `sha256:`, `md5:` or `git:` (blob id) and hexadecimal
    digits; `checksum_list` the name of the publisher's list beside each URL. `size` in bytes.
    """

    path: str
    urls: tuple[str, ...]
    checksum: str | None = None
    checksum_list: str | None = None
    size: int | None = None
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Dataset:
    """A name a person can ask for; `instead` is fetched when `files` cannot be had."""

    name: str
    about: str
    files: tuple[RemoteFile, ...] = ()
    instead: tuple[RemoteFile, ...] = ()


# Genomes --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Assembly:
    """A genome build at UCSC; `first` is a contig and its length, by which builds are told apart.

    `ensembl` is the same assembly below Ensembl's `pub/`, with names such as 1 for chr1.
    """

    about: str
    first: tuple[str, int]
    ensembl: str | None = None
    size: int | None = None


_UCSC = tuple(f"https://{host}.soe.ucsc.edu/goldenPath" for host in ("hgdownload", "hgdownload2"))
_ENSEMBL = "https://ftp.ensembl.org/pub"

ASSEMBLIES: Mapping[str, Assembly] = {
    "hg38": Assembly(
        "Homo sapiens, GRCh38",
        ("chr1", 248_956_422),
        "release-98/fasta/homo_sapiens/dna/Homo_sapiens.GRCh38.dna_sm.primary_assembly.fa.gz",
        983_659_424,
    ),
    # No mirror at Ensembl: the mitochondrion of hg19 at UCSC is another sequence.
    "hg19": Assembly("Homo sapiens, GRCh37", ("chr1", 249_250_621)),
    "mm10": Assembly(
        "Mus musculus, GRCm38",
        ("chr1", 195_471_971),
        "release-98/fasta/mus_musculus/dna/Mus_musculus.GRCm38.dna_sm.primary_assembly.fa.gz",
    ),
    "mm39": Assembly(
        "Mus musculus, GRCm39",
        ("chr1", 195_154_279),
        "release-107/fasta/mus_musculus/dna/Mus_musculus.GRCm39.dna_sm.primary_assembly.fa.gz",
    ),
    "sacCer3": Assembly(
        "Saccharomyces cerevisiae, R64-1-1",
        ("chrI", 230_218),
        "release-102/fasta/saccharomyces_cerevisiae/dna/"
        "Saccharomyces_cerevisiae.R64-1-1.dna_sm.toplevel.fa.gz",
    ),
    "ce11": Assembly(
        "Caenorhabditis elegans, WBcel235",
        ("chrI", 15_072_434),
        "release-100/fasta/caenorhabditis_elegans/dna/"
        "Caenorhabditis_elegans.WBcel235.dna_sm.toplevel.fa.gz",
    ),
    "dm6": Assembly(
        "Drosophila melanogaster, BDGP6",
        ("chr2L", 23_513_712),
        "release-100/fasta/drosophila_melanogaster/dna/"
        "Drosophila_melanogaster.BDGP6.28.dna_sm.toplevel.fa.gz",
    ),
}
# Spliced transcripts: one class of GenomicBenchmarks is cut from them.
TRANSCRIPTS = "hg38_cdna"
_TRANSCRIPTS_AT = "release-97/fasta/homo_sapiens/cdna/Homo_sapiens.GRCh38.cdna.all.fa.gz"


def _genomes() -> Iterator[Dataset]:
    for name, assembly in ASSEMBLIES.items():
        path = f"genomes/{name}/{name}.fa.gz"
        urls = tuple(f"{base}/{name}/bigZips/{name}.fa.gz" for base in _UCSC)
        fasta = RemoteFile(
            path, urls, checksum_list="md5sum.txt", size=assembly.size, revision=name
        )
        other = (_from_ensembl(name, assembly.ensembl),) if assembly.ensembl else ()
        yield Dataset(name, f"genome of {assembly.about}", (fasta,), other)
    transcripts = _from_ensembl(TRANSCRIPTS, _TRANSCRIPTS_AT)
    yield Dataset(TRANSCRIPTS, "transcripts of Homo sapiens, Ensembl 97", (transcripts,))


def _from_ensembl(name: str, place: str) -> RemoteFile:
    """Ensembl lists 16-bit sums only, too weak to check a file by: its sha256 is recorded."""
    release, *_, file = place.split("/")
    return RemoteFile(
        f"genomes/{name}/{file}", (f"{_ENSEMBL}/{place}",), revision=f"Ensembl {release}"
    )


# Suites ---------------------------------------------------------------------------------------

_BENCHMARKS_COMMIT = "605d8539830e16c85abe7826990958303ffc5e1c"
_BENCHMARKS_AT = (
    f"https://raw.githubusercontent.com/ML-Bioinfo-CEITEC/genomic_benchmarks/{_BENCHMARKS_COMMIT}"
)
# The official GUE files, byte for byte, in a fork of DNABERT-2; the Hub's copy is held to the same
# checksums, so that it need not be pinned.
_GUE_COMMIT = "f1e5ad5751fc784575a3e293c7a5053b4b55a950"
_GUE_AT = f"https://raw.githubusercontent.com/xinhexing/DNABERT_2/{_GUE_COMMIT}/finetune/GUE"
_GUE_HUB = "https://huggingface.co/datasets/leannmlindsey/GUE/resolve/main/GUE"

# GenomicBenchmarks: the build of every class, from the metadata.yaml of each task.
REFERENCES: Mapping[str, str | Mapping[str, str]] = {
    "demo_coding_vs_intergenomic_seqs": {"coding_seqs": TRANSCRIPTS, "intergenomic_seqs": "hg38"},
    "demo_human_or_worm": {"human": "hg38", "worm": "ce11"},
    "drosophila_enhancers_stark": "dm6",
    "dummy_mouse_enhancers_ensembl": "mm10",
    "human_enhancers_cohn": "hg38",
    "human_enhancers_ensembl": "hg38",
    "human_ensembl_regulatory": "hg38",
    "human_nontata_promoters": "hg38",
    "human_ocr_ensembl": "hg38",
}


def reference_of(task: str, name: str) -> str:
    """The build that class `name` of a GenomicBenchmarks task is cut from."""
    found = REFERENCES[task]
    return found if isinstance(found, str) else found[name]


def _suites() -> Iterator[Dataset]:
    table = pd.read_csv(
        str(files(__package__) / "pinned.tsv"), sep="\t", dtype=str, keep_default_na=False
    )
    for name, rows in table.groupby("name", sort=True):
        make = _gue_file if str(name).startswith(GUE) else _interval_file
        found = [make(str(name), *row) for row in rows.iloc[:, 1:].itertuples(index=False)]
        yield Dataset(str(name), _about(str(name)), tuple(found))


def _about(name: str) -> str:
    if name.startswith(GUE):
        return "GUE: train, dev and test"
    return "GenomicBenchmarks: intervals; --build cuts the sequences"


def _interval_file(name: str, file: str, size: str, checksum: str) -> RemoteFile:
    task = name.removeprefix(f"{GENOMIC_BENCHMARKS}/")
    urls = (f"{_BENCHMARKS_AT}/datasets/{task}/{file}",)
    path = f"{name}/{INTERVALS}/{file}"
    return RemoteFile(path, urls, checksum, size=int(size), revision=_BENCHMARKS_COMMIT)


def _gue_file(name: str, file: str, size: str, checksum: str) -> RemoteFile:
    group, task = name.removeprefix(f"{GUE}/").split("/")
    on_hub = find_task(name).hub_name
    urls = (f"{_GUE_AT}/{group}/{task}/{file}", f"{_GUE_HUB}/{on_hub}/{file}")
    known = int(size) if size else None
    return RemoteFile(f"{name}/{file}", urls, checksum, size=known, revision=_GUE_COMMIT)


# Models ---------------------------------------------------------------------------------------


def _models() -> Iterator[Dataset]:
    """Published models that do not come with the package; `models/` of the repository has them."""
    for model in PUBLISHED.values():
        if model.place == "repository":
            about = f"model, {model.size / 1e6:.1f} MB: then -m {model.name}"
            yield Dataset(f"{MODEL}/{model.name}", about, tuple(_model_files(model)))


def _model_files(model: PublishedModel) -> Iterator[RemoteFile]:
    raw = _raw_files()
    for each in model.files:
        urls = (f"{raw}/models/{model.name}/{each.file}",) if raw else ()
        path = f"{MODEL}/{model.name}/{each.file}"
        revision = f"findna {version('findna')}"
        yield RemoteFile(path, urls, each.checksum, size=each.bytes, revision=revision)


def _raw_files() -> str | None:
    """Where the repository's files are served as they are: "Raw files" among the project's URLs."""
    for line in metadata("findna").get_all("Project-URL") or ():
        label, _, url = line.partition(", ")
        if label.lower() == "raw files":
            return str(url).rstrip("/")
    return None


# Names ----------------------------------------------------------------------------------------


@cache
def catalogue() -> Mapping[str, Dataset]:
    """Every data set by name: genomes, then suites, then models."""
    own = Dataset(MTCDNA, "turtle or mouse mitogenome: built from your own FASTA files")
    return {found.name: found for found in (*_genomes(), *_suites(), *_models(), own)}


def datasets(names: Iterable[str]) -> list[Dataset]:
    """The data sets of names: whole (`gue/tf/0`), a group (`gue`, `gue/tf`), or the last part
    (`gue/prom_core_all`). `BadInput` offers the nearest names.
    """
    found = {dataset.name: dataset for name in names for dataset in _named(name.strip("/"))}
    return list(found.values())


def _named(name: str) -> list[Dataset]:
    known = catalogue()
    if name in known:
        return [known[name]]
    group = [d for d in known.values() if d.name.startswith(f"{name}/")]
    suite, _, last = name.partition("/")
    short = [d for d in known.values() if d.name.startswith(suite) and d.name.endswith(f"/{last}")]
    if group or len(short) == 1:
        return group or short
    if last in PUBLISHED and PUBLISHED[last].place == "package":
        raise BadInput(f"{last} comes with findna", remedy=f"it need not be downloaded: -m {last}")
    close = _nearest(name, known)
    raise BadInput(
        f"there is no dataset {name!r}",
        remedy=f"did you mean {' or '.join(close)}?"
        if close
        else "findna fetch --list shows all names",
    )


def _nearest(name: str, known: Iterable[str]) -> list[str]:
    """Names like `name`, in full or by their last part."""
    by_last = {full.rsplit("/", 1)[-1].lower(): full for full in known}
    spelled = {full.lower(): full for full in known} | by_last
    asked = name.lower()
    close = difflib.get_close_matches(asked, spelled, n=3, cutoff=0.6)
    close += difflib.get_close_matches(asked.rsplit("/", 1)[-1], by_last, n=3, cutoff=0.6)
    return list(dict.fromkeys(spelled[match] for match in close))[:3]
