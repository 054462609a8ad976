"""Do a FASTA, a BED and a VCF belong together: names, builds, letters.

A build shows in reference alleles: those of another assembly agree with a FASTA about one time in
four. A BED shows it only where a row ends beyond its chromosome.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from findna.evaluation.doctor.finding import Finding, Level, counted, share
from findna.files import BadInput
from findna.inference.variants.input import other_contigs
from findna.sequence.genome import Genome
from findna.sequence.intervals import bases_in, read_bed, refuse_off_the_end
from findna.sequence.variants import LEAST_CHECKED, REASONS, SCORED, AlleleReader, Tally, words
from findna.sequence.vcf import open_vcf

# Variants of a VCF that are read: as good as all for a share, and quick for a file of millions.
VARIANTS = 20_000
_MUCH_N = 0.2
# What becomes of rows on chromosomes that the genome lacks.
_LACKING = {
    "bed": "as regions they would be left out, as sequences refused",
    "vcf": "score-variants keeps them unscored, with FINDNA_REASON=contig_missing",
}
# Of these there is a line of their own.
_TOLD = ("contig_missing", "ref_mismatch", SCORED)


def check_genome(genome: Genome) -> Iterator[Finding]:
    """Size, N and lower case."""
    unknown = bases_in(genome.n_runs) / max(genome.total, 1)
    soft = bases_in(genome.soft_runs) / max(genome.total, 1)
    said = (
        f"{counted(len(genome.names), 'record')}, {counted(genome.total, 'base')}, {unknown:.2%} N,"
        f" {soft:.1%} lower case"
    )
    if unknown > _MUCH_N:
        yield Finding("warn", "genome", said, "runs of N are skipped; is the assembly complete?")
    elif soft == 0 and genome.total > 1_000_000:
        yield Finding("ok", "genome", f"{said}: repeats are not marked")
    else:
        yield Finding("ok", "genome", said)


def check_bed(path: str | Path, genome: Genome | None) -> Iterator[Finding]:
    """Names, ends and, for a genome of cut regions, what lies outside them."""
    bed = read_bed(path)
    if genome is None:
        yield Finding("warn", "bed", "not checked: no genome given", "give the FASTA with -g")
        return
    finding, names = _check_names("bed", bed["chrom"].tolist(), genome, str(path))
    yield finding
    if not names:
        return
    try:
        refuse_off_the_end(genome, bed, names, path)
    except BadInput as error:
        yield Finding("stop", "bed", str(error).splitlines()[0], error.remedy)
        return
    here = bed.loc[bed["chrom"].isin(names), ["chrom", "start", "end"]]
    if genome.mapped:
        places = here.itertuples(index=False)
        outside = sum(not _covered(genome, names[c], s, e) for c, s, e in places)
        level: Level = "warn" if outside else "ok"
        reach = share(outside, len(here), "intervals", "reaches", "reach")
        yield Finding(level, "bed", f"{reach} outside the cut regions")
    else:
        which = f"all {len(here):,} intervals" + (" of these" if len(here) < len(bed) else "")
        yield Finding("ok", "bed", f"{which} end within their chromosomes")


def _covered(genome: Genome, chrom: str, start: int, end: int) -> bool:
    return bool(genome.fetch(chrom, start, end).inside.all())


def _check_names(
    topic: str, chroms: Sequence[str], genome: Genome, source: str, others: Sequence[str] = ()
) -> tuple[Finding, dict[str, str]]:
    """How many rows are on chromosomes the genome has, and name -> the genome's own; `others` are
    known to be other sequences than those of their name.
    """
    try:
        names = genome.resolve_all([c for c in chroms if c not in others], source=source)
    except BadInput as error:
        return Finding("stop", topic, error.problem, error.remedy), {}
    lacking = [chrom for chrom in chroms if chrom not in names]
    renamed = sum(asked != own for asked, own in names.items())
    here = len(chroms) - len(lacking)
    said = f"{share(here, len(chroms), 'rows', 'is', 'are')} on chromosomes of the genome"
    said += f" ({counted(renamed, 'name')} matched by alias)" if renamed else ""
    if not lacking:
        return Finding("ok", topic, said), names
    others = ", ".join(list(dict.fromkeys(lacking))[:5])
    return Finding("warn", topic, f"{said}; not {others}", _LACKING[topic]), names


# ---------------------------------------------------------------- VCF


def check_vcf(path: str | Path, genome: Genome | None) -> Iterator[Finding]:
    """Names, lengths in the header, whether the reference alleles are those of the genome, all as
    `score-variants` judges them, and alleles that it can give no score.
    """
    if genome is None:
        yield Finding("warn", "vcf", "not checked: no genome given", "give the FASTA with -g")
        return
    tally, chroms = Tally(), []
    with open_vcf(path) as vcf:
        try:
            others = other_contigs(vcf, genome)
        except BadInput as error:
            yield Finding("stop", "vcf", error.problem, error.remedy)
            return
        reader = AlleleReader(genome, lacking=others)
        for row in islice(vcf.rows, VARIANTS):
            chroms.append(row.chrom)
            tally.add(row.chrom, words(reader.read(row.chrom, row.pos, row.ref, row.alts)))
    finding, names = _check_names("vcf", chroms, genome, str(path), others)
    yield finding
    if names:
        yield _judge_build(tally)
        yield from _unscored(tally)


def _unscored(tally: Tally) -> Iterator[Finding]:
    """Alleles without a score, by reason."""
    found = [(word, n) for word, n in tally.reasons.most_common() if word not in _TOLD]
    if found:
        listed = "; ".join(f"{n:,} {word} ({REASONS[word]})" for word, n in found)
        alleles = share(sum(n for _, n in found), tally.reasons.total(), "alleles", "gets", "get")
        remedy = "score-variants keeps them, with the reason as FINDNA_REASON"
        yield Finding("warn", "vcf", f"{alleles} no score: {listed}", remedy)


def _judge_build(tally: Tally) -> Finding:
    differ = share(tally.mismatched, tally.checked, "reference alleles", "differs", "differ")
    said = f"{differ} from the genome"
    if tally.checked < LEAST_CHECKED:
        few = f"build not checked: {said}, but {LEAST_CHECKED} rows are needed"
        return Finding("warn", "vcf", few)
    if tally.wrong_build:
        return Finding(
            "stop",
            "vcf",
            f"{said}: this is another build",
            "use the FASTA the variants were called on",
        )
    if tally.mismatched:
        return Finding("warn", "vcf", said, "these rows are flagged and not scored")
    return Finding("ok", "vcf", said)
