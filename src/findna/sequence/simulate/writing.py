"""The files of the example: FASTA, GFF3, BED, CSV, VCF and a README that says "simulated"."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, fields
from pathlib import Path

from findna.sequence.alphabet import decode
from findna.sequence.simulate.assembly import Chromosome
from findna.sequence.simulate.elements import Feature
from findna.sequence.simulate.tasks import SPLITS, Row, Task, Variant

_LINE = 60  # letters a FASTA line
_BED_KINDS = {
    "promoter": "promoters.bed",
    "cpg_island": "cpg_islands.bed",
    "repeat": "repeats.bed",
    "motif": "motifs.bed",
}


def write_files(
    folder: Path,
    seed: int,
    genome: Sequence[Chromosome],
    tasks: dict[str, Task],
    variants: Sequence[Variant],
) -> None:
    """Write everything into an existing, empty folder."""
    _write_lines(folder / "genome.fa", _fasta(genome, seed))
    _write_lines(folder / "genes.gff3", _gff(genome, seed))
    for kind, name in _BED_KINDS.items():
        _write_lines(folder / name, _bed(genome, kind))
    for name, task in tasks.items():
        (folder / name).mkdir()
        for split, rows in task.items():
            _write_rows(folder / name / f"{split}.csv", rows)
    _write_lines(folder / "variants.vcf", _vcf(genome, variants, seed))
    (folder / "README.md").write_text(_readme(genome, seed, tasks, variants), encoding="utf-8")


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    with path.open("w", encoding="ascii", newline="\n") as file:
        file.writelines(f"{line}\n" for line in lines)


def _fasta(genome: Sequence[Chromosome], seed: int) -> Iterator[str]:
    """Records with repeats in lower case."""
    for chromosome in genome:
        letters = bytearray(decode(chromosome.codes), "ascii")
        for repeat in chromosome.of_kind("repeat"):
            letters[repeat.start : repeat.end] = letters[repeat.start : repeat.end].lower()
        text = letters.decode("ascii")
        yield f">{chromosome.name} simulated by findna example, seed {seed}"
        yield from (text[i : i + _LINE] for i in range(0, len(text), _LINE))


def _bed(genome: Sequence[Chromosome], kind: str) -> Iterator[str]:
    """BED6, 0-based half-open; the score of a repeat is 1000 minus its divergence per mille."""
    for chromosome in genome:
        for f in chromosome.of_kind(kind):
            name = f"{f.name}:{f.owner}" if f.owner else f.name
            score = 1000 - round(1000 * f.age)
            yield f"{chromosome.name}\t{f.start}\t{f.end}\t{name}\t{score}\t{f.strand}"


def _gff(genome: Sequence[Chromosome], seed: int) -> Iterator[str]:
    """GFF3 (1-based, closed): gene, mRNA, exon and CDS with its phase."""
    yield "##gff-version 3"
    yield f"# simulated by findna example, seed {seed}"
    for chromosome in genome:
        yield f"##sequence-region {chromosome.name} 1 {len(chromosome.codes)}"
        parts: dict[str, list[Feature]] = {}
        for feature in chromosome.features:
            if feature.kind in ("CDS", "intron"):
                parts.setdefault(feature.owner, []).append(feature)
        for gene in chromosome.of_kind("gene"):
            yield from _gene_lines(chromosome.name, gene, parts[gene.name])


def _gene_lines(chrom: str, gene: Feature, parts: list[Feature]) -> Iterator[str]:
    def line(kind: str, start: int, end: int, phase: str, attributes: str) -> str:
        columns = (chrom, "findna", kind, start + 1, end, ".", gene.strand, phase, attributes)
        return "\t".join(map(str, columns))

    yield line("gene", gene.start, gene.end, ".", f"ID={gene.name}")
    transcript = f"{gene.name}.t"
    yield line("mRNA", gene.start, gene.end, ".", f"ID={transcript};Parent={gene.name}")
    introns = [part for part in parts if part.kind == "intron"]
    starts = [gene.start, *(f.end for f in introns)]
    ends = [*(f.start for f in introns), gene.end]
    for start, end in zip(starts, ends, strict=True):
        yield line("exon", start, end, ".", f"Parent={transcript}")
    coding = [part for part in parts if part.kind == "CDS"]
    for part, phase in zip(coding, _phases(gene.strand, coding), strict=True):
        yield line("CDS", part.start, part.end, str(phase), f"ID={gene.name}.p;Parent={transcript}")


def _phases(strand: str, coding: list[Feature]) -> list[int]:
    """Bases to skip to the next codon, for each part in genome order."""
    in_order = coding if strand == "+" else coding[::-1]
    phases, done = [], 0
    for part in in_order:
        phases.append(-done % 3)
        done += part.end - part.start
    return phases if strand == "+" else phases[::-1]


def _write_rows(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", encoding="ascii", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(Row)])
        writer.writerows(astuple(row) for row in rows)


def _vcf(genome: Sequence[Chromosome], variants: Sequence[Variant], seed: int) -> Iterator[str]:
    yield "##fileformat=VCFv4.3"
    yield f"##source=findna example, seed {seed} (simulated)"
    yield "##reference=genome.fa"
    for chromosome in genome:
        yield f"##contig=<ID={chromosome.name},length={len(chromosome.codes)}>"
    yield '##FILTER=<ID=PASS,Description="All filters passed">'
    for key, text in (
        ("EFFECT", "motif_breaking or neutral: what the simulation knows"),
        ("MOTIF", "Promoter motif the variant breaks"),
        ("GENE", "Gene whose promoter it lies in"),
    ):
        yield f'##INFO=<ID={key},Number=1,Type=String,Description="{text}">'
    yield "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"
    for i, v in enumerate(variants, start=1):
        info = f"EFFECT={v.effect}" + (f";MOTIF={v.motif};GENE={v.owner}" if v.motif else "")
        yield f"{v.chrom}\t{v.pos}\tsim{i:04d}\t{v.ref}\t{v.alt}\t.\tPASS\t{info}"


def _readme(
    genome: Sequence[Chromosome], seed: int, tasks: dict[str, Task], variants: Sequence[Variant]
) -> str:
    bases = sum(len(chromosome.codes) for chromosome in genome)
    splits = "; ".join(f"{split} {', '.join(names)}" for split, names in SPLITS.items())
    counts = "\n".join(
        f"| `{name}` | {' / '.join(str(len(task[split])) for split in SPLITS)} |"
        f" {', '.join(sorted({row.label for row in task['train']}))} |"
        for name, task in tasks.items()
    )
    return _README.format(
        seed=seed, bases=bases, count=len(genome), splits=splits, counts=counts, n=len(variants)
    )


_README = """# A simulated genome

**Everything in this folder is simulated** (`findna example --seed {seed}`). No sequence, gene or
variant here was observed in nature, and nothing measured on it says how well a model does on a
real genome. It is for trying the commands and for tests whose truth is known.

| file | what |
|---|---|
| `genome.fa` | {count} chromosomes, {bases:,} bases; repeats in lower case, one gap of N each |
| `genes.gff3` | genes, transcripts, exons, coding parts (1-based, closed) |
| `promoters.bed` | promoters and their kind: `island`, `tata`, `dpe` (BED: 0-based, half-open) |
| `cpg_islands.bed` | CpG islands at promoters, and orphans without a gene |
| `repeats.bed` | repeat copies by family; score = 1000 - divergence in per mille |
| `motifs.bed` | motifs of promoters (with their gene) and loners without function |
| `variants.vcf` | {n} variants: half break a promoter motif, half lie in no feature |

Tasks, each a folder with `train.csv`, `dev.csv` and `test.csv`. Whole chromosomes make the splits
({splits}), so no split overlaps another. Pretrain with
`--contigs chr1,chr2,chr3,chr4` if the model is to be judged on these tasks.

| task | rows train / dev / test | labels |
|---|---|---|
{counts}

* `promoters`: 240 bp around the start of transcription, read in the direction of the gene, against
  windows of the same GC and CpG content that hold neither promoter nor coding sequence.
* `coding`: 70 to 150 bp of an exon, in any frame and on either strand, against as long a piece from
  between the genes.
* `repeats`: 60 to 100 bp of an old repeat copy; which family is it? Two families share an ancestor.
"""
