"""What is this file, this model, this run? Answered in words, from what stands in it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from findna.data.label_tables import guess_label_column
from findna.data.labels import read_labelled
from findna.evaluation.suites.registry import describe, find_task, suites
from findna.facts.outputs import Facts, listed, model_facts, output_facts
from findna.files import open_bytes, refuse_stream
from findna.model.published import PUBLISHED, PublishedModel
from findna.sequence.genome import Genome
from findna.sequence.intervals import GFF_TO_BED, LINE, bases_in, merge, read_bed
from findna.sequence.records import format_of, read_records, span_of
from findna.sequence.tables import open_table, usual_sequence_column
from findna.sequence.vcf import open_vcf

# More records than this are counted, not listed.
_LISTED = 100


def info(path: str | Path | None = None) -> Facts:
    """Say what a file, a model or a run is: facts by their name, in words for a person.

    Args:
        path: a FASTA, FASTQ, BED, VCF or label file, a model or its name, a run, another file or
            folder that findna wrote, or a public suite or task by name, such as "gue" or
            "gue/tf/0"; None lists the models that are known by name, and where each is.

    Raises:
        BadInput: there is no such file or task, or it cannot be read.
    """
    if path is None:
        return {model.name: _where(model) for model in PUBLISHED.values()}
    path = Path(path)
    refuse_stream(path, "info")
    if str(path) in PUBLISHED and not path.exists():
        return {"name": str(path), **model_facts(path)}
    if not path.exists() and (known := _suite_facts(path.as_posix())):
        return known
    written = output_facts(path)
    if written is not None:
        return written
    if path.is_dir():
        return _label_facts(path)
    with open_bytes(path) as stream:
        if not stream.peek(1):
            return {"kind": "an empty file"}
        kind = format_of(stream, path)
    return _FILE_FACTS[kind](path)


def _where(model: PublishedModel) -> str:
    """Whether a published model is on this machine, and how to bring it if not."""
    here = any((folder / "config.json").is_file() for folder in model.folders())
    source = "comes with findna" if model.place == "package" else "here"
    state = source if here else f"findna fetch model {model.name}"
    return f"{model.size / 1e6:.1f} MB, {state}"


def _suite_facts(name: str) -> Facts | None:
    """What is known of a public suite or of a task of one; None if the name begins with neither."""
    known = {suite.name: suite for suite in suites()}
    if name in known:
        rows = {task.name: describe(task)["splits"] for task in known[name].tasks}
        return {"kind": "suite", "title": known[name].title, **rows}
    if name.partition("/")[0] in known:
        return {"kind": "task of a suite", **describe(find_task(name))}
    return None


def _genome_facts(path: Path) -> Facts:
    genome = Genome.open(path)
    counts = np.sum(list(genome.composition().values()), axis=0)
    known = int(counts[:4].sum())
    soft = bases_in(genome.soft_runs)
    facts: dict[str, object] = {
        "kind": "genome",
        "records": f"{len(genome.names):,}",
        "bases": f"{genome.total:,}",
        "N": f"{int(counts[4]):,} ({int(counts[4]) / genome.total:.2%})",
        "GC": f"{(counts[1] + counts[2]) / max(known, 1):.2%}",
        "lower case": f"{soft:,} ({soft / genome.total:.2%})",
        "digest": genome.digest,
    }
    for name, length in list(zip(genome.names, genome.lengths.tolist(), strict=True))[:_LISTED]:
        # A record may be called N.
        facts[f"record {name}" if name in facts else name] = f"{length:,}"
    if len(genome.names) > _LISTED:
        facts["..."] = f"{len(genome.names) - _LISTED:,} more records"
    return facts


def _bed_facts(path: Path) -> Facts:
    table = read_bed(path)
    covered = 0
    for _, part in table.groupby("chrom", sort=False):
        runs = merge(part[["start", "end"]].to_numpy())
        covered += bases_in(runs)
    return {
        "kind": "intervals (BED, 0-based half-open)",
        "intervals": f"{len(table):,}",
        "bases covered": f"{covered:,}",
        "chromosomes": listed(sorted(set(table["chrom"]))),
        "columns": ", ".join(
            name for name in table.columns if name != LINE and (table[name] != ".").any()
        ),
    }


def _read_facts(path: Path, kind: str = "reads (FASTQ)") -> Facts:
    lengths = [len(record.codes) for record in read_records(path)]
    return {
        "kind": kind,
        "records": f"{len(lengths):,}",
        "lengths": span_of(min(lengths, default=0), max(lengths, default=0)),
    }


def _variant_facts(path: Path) -> Facts:
    with open_vcf(path) as vcf:
        rows = sum(1 for _ in vcf.rows)
    return {
        "kind": "variants (VCF, 1-based)",
        "rows": f"{rows:,}",
        "read by": "findna score-variants",
    }


def _annotation_facts(path: Path) -> Facts:
    return {"kind": "annotation (GFF or GTF, 1-based)", "as BED": GFF_TO_BED}


def _table_facts(path: Path) -> Facts:
    with open_bytes(path) as stream, open_table(stream, path) as table:
        columns = table.columns
        at = usual_sequence_column(columns)
        rows = sum(1 for _ in table.rows) if at is None else 0
    named = {"columns": listed(columns)}
    if at is None:
        return {"kind": "table", "rows": f"{rows:,}", **named, "sequences": "no usual column name"}
    if guess_label_column(columns, columns[at]) is not None:
        return _label_facts(path)
    return {**_read_facts(path, "sequences (table)"), **named, "labels": "no usual column name"}


def _label_facts(path: Path) -> Facts:
    data = read_labelled(path)
    lengths = [length for split in data.splits.values() for length in split.lengths.tolist()]
    return {
        "kind": "labelled sequences",
        "task": data.kind,
        "targets" if data.kind == "regression" else "classes": listed(data.classes),
        **{f"rows {name}": f"{len(split):,}" for name, split in data.splits.items()},
        "lengths": span_of(min(lengths), max(lengths)),
    }


_FILE_FACTS: dict[str, Callable[[Path], Facts]] = {
    "fasta": _genome_facts,
    "fastq": _read_facts,
    "bed": _bed_facts,
    "vcf": _variant_facts,
    "gff": _annotation_facts,
    "sam": lambda path: {"kind": "alignments (SAM)", "as FASTA": "samtools fasta"},
    "genbank": lambda path: {"kind": "GenBank or EMBL", "as FASTA": "ask the archive for it"},
    "table": _table_facts,
}
