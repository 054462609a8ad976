"""Variant scores: a VCF in, the same rows out, with scores.

Rows stream through in blocks of a fixed size, each scored independently, so that the shards of a
job array give exactly the same numbers as one job. Before anything is written, the lengths in the
header and the REF alleles of the first rows are compared with the genome.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from findna.files import log, several
from findna.inference.devices import pick_device
from findna.inference.progress import RecordProgress
from findna.inference.variants.background import Background
from findna.inference.variants.input import (
    looked_ahead,
    open_variants,
    other_contigs,
    refuse_all_missing,
)
from findna.inference.variants.scores import VariantScorer
from findna.inference.variants.shards import (
    REASON,
    Shard,
    Witness,
    dealt,
    parse_shard,
    refuse_shard_output,
    write_shard,
)
from findna.inference.writing import held
from findna.model.loading import DEFAULT, pick_model
from findna.model.model import Model, software_versions, weights_digest
from findna.sequence.alphabet import Strand, refuse_unknown_strand
from findna.sequence.genome import Genome
from findna.sequence.variant_files import allele_frame, refuse_output, within_format, write_scored
from findna.sequence.variants import REASONS, SCORED, AlleleReader, Alleles, Tally, Variant, words
from findna.sequence.vcf import (
    InfoField,
    Row,
    Scored,
    Vcf,
    info_word,
    with_fields,
)

_REASON_FIELD = InfoField(
    REASON,
    ".",
    "String",
    "why an allele has no score: one word per ALT, . if it has one; words are"
    f" {', '.join(REASONS)}, or those of the scorer",
)
_SINGLY = (
    "each allele is scored on its own against the reference: genotypes, phase and other variants"
    " are not read"
)
_USE = "research use, not a pathogenicity classifier"


@dataclass(frozen=True)
class ScoreVariantsResult:
    """Number of `rows` and of `scored` alleles, in the file `output`, or in `table` without one."""

    rows: int
    scored: int
    output: Path | None
    _table: pd.DataFrame | None

    @property
    def table(self) -> pd.DataFrame:
        """The scores, one row per allele, six digits as in files; `ValueError` if an output was
        given.
        """
        return held(self._table, "the scores")


def score_variants(
    variants: str | Path | pd.DataFrame,
    genome: Genome | str | Path,
    model: Model | str | Path | None = None,
    output: str | Path | None = None,
    *,
    circular: Sequence[str] = (),
    shard: str | None = None,
    strand: Strand = "both",
    window: int | None = None,
    percentiles: bool = True,
    batch_bases: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> ScoreVariantsResult:
    """Score every alternative allele of a VCF; one row out per row in, in order.

    Args:
        variants: VCF (plain, gzip, bgzip) or BCF, "-" for standard input, or a data frame with
            chrom, pos (1-based), ref, alt (several joined by commas) and perhaps id.
        genome: FASTA or opened genome that the variants were called on.
        model: a model, its folder, its run or its name; None is the one that comes with findna.
        output: `.vcf`, `.vcf.gz`, `.bcf`, `.tsv`, `.tsv.gz` or `.parquet`; "-" for VCF on standard
            output; None to get the table back.
        circular: circular chromosomes, whose windows may span the origin.
        shard: `i/n` scores only every n-th block of rows; see `merge_shards`.
        strand: "both" averages the two strands, "forward" reads the given one.
        window: bases the model reads; None is the longest it was trained on.
        percentiles: add the percentile of each score among random variants of the same genome.
        batch_bases: bases per batch, which bounds memory; None chooses by device.
        device: auto, cpu, cuda or mps.
        overwrite: replace an existing output.

    Raises:
        BadInput: an invalid VCF (with the line), an output that exists, or another genome build:
            `##contig` lengths differ, or more than 10 % of at least 20 REF alleles.
        ValueError: an unknown strand.
    """
    refuse_unknown_strand(strand, needed=True)
    circular = list(map(str, several(circular)))
    part = parse_shard(shard) if shard is not None else None
    _refuse_place(output, part, overwrite)
    genome = Genome.of(genome)
    with open_variants(variants) as vcf:
        others = other_contigs(vcf, genome)
        reader = AlleleReader(genome, lacking=others)
        rows = within_format(looked_ahead(vcf, reader, genome), vcf.source, output)
        network = pick_model(model).to(pick_device(device)).eval()
        scorer = VariantScorer(
            network, genome, window=window, strand=strand, batch_bases=batch_bases,
            circular=circular,
        )  # fmt: skip
        background = Background.of(scorer) if percentiles else None
        fields = _fields(scorer, background)
        command = _command(vcf, genome, model, strand, window, circular, percentiles)
        header = with_fields(vcf.header, _facts(command, model, network, genome), fields)
        tally, witness = Tally(), Witness()
        passing = witness.watched(rows) if part is not None else rows
        scored = _scored(dealt(passing, header, part), reader, scorer, background, tally)
        judged = _judged(scored, tally, vcf, genome)
        table = None
        if output is None:
            table = allele_frame(judged, fields)
        elif part is None:
            write_scored(judged, header, fields, output, overwrite=overwrite)
        else:
            write_shard(
                scored, header, fields, part, witness, output, others=others, overwrite=overwrite
            )
        _tell(tally, vcf.source, part)
    place = None if output is None else Path(output)
    return ScoreVariantsResult(tally.rows, tally.reasons[SCORED], place, table)


def _refuse_place(output: str | Path | None, part: Shard | None, overwrite: bool) -> None:
    if part is not None:
        refuse_shard_output(output)
    if output is not None:
        refuse_output(output, overwrite)


def _tell(tally: Tally, source: str, part: Shard | None) -> None:
    """Log what was scored, as a warning if any allele was not."""
    if not tally.rows:
        if part is None:
            log.warning("%s: holds no variants", source)
        else:
            log.info("%s: shard %d/%d holds no rows", source, part.number + 1, part.of)
            return
    complete = tally.reasons[SCORED] == tally.reasons.total()
    (log.info if complete else log.warning)("%s: %s", source, tally.summary())


# What is scored -------------------------------------------------------------------------------


def _judged(scored: Iterable[Scored], tally: Tally, vcf: Vcf, genome: Genome) -> Iterator[Scored]:
    """The rows unchanged; after the last one, and before the file is put in place, a wrong genome
    is refused.
    """
    yield from scored
    tally.refuse_wrong_build(vcf.source)
    refuse_all_missing(tally, vcf, genome)


def _scored(
    blocks: Iterable[list[Row]],
    reader: AlleleReader,
    scorer: VariantScorer,
    background: Background | None,
    tally: Tally,
) -> Iterator[Scored]:
    """Every row with its values: those of the scorer, their percentiles, and the reason."""
    count = len(scorer.fields) + (len(background.fields) if background else 0)
    with RecordProgress("variants scored") as progress:
        for block in blocks:
            read = [_alleles(row, reader, scorer) for row in block]
            asked = [a for alleles in read for a in alleles if isinstance(a, Variant)]
            answers = iter(_texts(asked, scorer, background))
            for row, alleles in zip(block, read, strict=True):
                tally.add(row.chrom, words(alleles))
                columns = [
                    (*next(answers), SCORED) if isinstance(a, Variant) else (*["."] * count, a)
                    for a in alleles
                ]
                yield Scored(row, list(zip(*columns, strict=True)))
            progress.advance(len(block), len(asked) * scorer.window)


def _alleles(row: Row, reader: AlleleReader, scorer: VariantScorer) -> Alleles:
    """The alleles of a row that can be scored, and the reason for every other one."""
    return [
        info_word(reason)
        if isinstance(allele, Variant) and (reason := scorer.reason(allele)) is not None
        else allele
        for allele in reader.read(row.chrom, row.pos, row.ref, row.alts)
    ]


def _texts(
    variants: list[Variant], scorer: VariantScorer, background: Background | None
) -> Iterable[tuple[str, ...]]:
    """The values of each variant as text, with six significant digits."""
    if not variants:
        return []
    scores = scorer.score(variants)
    tables = [scores]
    if background is not None:
        tables.append(background.percentiles(variants, scores))
    columns = [table[name].to_numpy(float).tolist() for table in tables for name in table.columns]
    return zip(*([_text(value) for value in column] for column in columns), strict=True)


def _text(value: float) -> str:
    # Adding 0 turns -0 into 0.
    return "." if math.isnan(value) else f"{value + 0.0:.6g}"


# What is said ---------------------------------------------------------------------------------


def _fields(scorer: VariantScorer, background: Background | None) -> list[InfoField]:
    """The INFO fields in the order of a row's values."""
    numbers = (*scorer.fields, *(background.fields if background else ()))
    return [
        *(InfoField(f.name, "A", "Float", f.description) for f in numbers),
        _REASON_FIELD,
    ]


def _facts(
    command: str, model: Model | str | Path | None, network: Model, genome: Genome
) -> dict[str, str]:
    return {
        "command": command,
        "version": software_versions()["findna"],
        "model": f"{_name(model)} {weights_digest(network)}",
        "reference": f"{genome.source} {genome.digest}",
        "scoring": _SINGLY,
        "use": _USE,
    }


def _name(model: Model | str | Path | None) -> str:
    return "in-memory" if isinstance(model, Model) else str(model or DEFAULT)


def _command(
    vcf: Vcf,
    genome: Genome,
    model: Model | str | Path | None,
    strand: Strand,
    window: int | None,
    circular: Sequence[str],
    percentiles: bool,
) -> str:
    """The command line that gives these values, without the output."""
    line = ["findna", "score-variants", vcf.source, "-g", genome.source, "-m", _name(model)]
    line += ["--strand", strand]
    line += ["--window", str(window)] if window is not None else []
    line += [word for name in circular for word in ("--circular", name)]
    line += [] if percentiles else ["--no-percentiles"]
    return shlex.join(line)
