"""Shards of scored variants, written by the jobs of an array, and merging them.

Blocks of a fixed number of rows are distributed round robin: block b goes to shard b mod n, so that
no job has to count the rows first. A shard is a VCF of its rows with a header line that identifies
it: merging refuses a shard that is missing, repeated, or of another run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from findna.files import STDIN, BadInput, atomic_file, log, several
from findna.sequence.variant_files import (
    refuse_output,
    variant_format,
    write_scored,
    write_vcf_header_last,
)
from findna.sequence.variant_index import remove_indexes
from findna.sequence.variants import Tally
from findna.sequence.vcf import (
    InfoField,
    Row,
    Scored,
    Vcf,
    declared_fields,
    facts_of,
    open_vcf,
    read_scored,
    scored_info,
)

REASON = "FINDNA_REASON"

_SHARD = re.compile(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})")
_MOST_ROWS, _LEAST_ROWS, _CELLS = 1024, 32, 2_000_000
_SHARD_LINE = "##findna_shard="
_TOGETHER = "the shards together"


class Shard(NamedTuple):
    """Part `number` (from 0) of `of` parts."""

    number: int
    of: int


class _Part(NamedTuple):
    """The header line of a shard; `others` are the contigs that match one of the genome in name
    only, joined by commas.
    """

    shard: Shard
    rows: int
    block: int
    input: str
    others: str

    def text(self) -> str:
        return (
            f"{self.shard.number + 1}/{self.shard.of} rows={self.rows} block={self.block} "
            f"input={self.input}" + (f" others={self.others}" if self.others else "")
        )


def parse_shard(text: str) -> Shard:
    """`2/8`, the second of eight, as a `Shard`."""
    found = _SHARD.fullmatch(text)
    if found is None or not int(found[1]) <= int(found[2]):
        raise BadInput(
            f"{text!r} is not a shard", remedy="write i/n with i from 1 to n: 1/8 to 8/8"
        )
    return Shard(int(found[1]) - 1, int(found[2]))


def rows_a_block(header: Sequence[str]) -> int:
    """Rows per block: fewer if rows have very many samples."""
    columns = header[-1].count("\t") + 1
    return max(_LEAST_ROWS, min(_MOST_ROWS, _CELLS // columns))


def dealt(rows: Iterator[Row], header: Sequence[str], shard: Shard | None) -> Iterator[list[Row]]:
    """The blocks of a shard, or all blocks; those of other shards are read and skipped."""
    size = rows_a_block(header)
    number = 0
    while block := list(islice(rows, size)):
        if shard is None or number % shard.of == shard.number:
            yield block
        number += 1


class Witness:
    """Counts and hashes all rows of an input as they pass."""

    def __init__(self) -> None:
        """Nothing has passed."""
        self.rows = 0
        self._digest = hashlib.sha256()

    def watched(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows unchanged."""
        for row in rows:
            self.rows += 1
            self._digest.update(row.text().encode("utf-8", "surrogateescape") + b"\n")
            yield row

    @property
    def digest(self) -> str:
        """`sha256:` and the digest of the rows so far."""
        return f"sha256:{self._digest.hexdigest()}"


def refuse_shard_output(output: str | Path | None) -> None:
    """`BadInput` unless a shard can be written there."""
    if output is None or str(output) == STDIN or variant_format(output) not in ("vcf", "vcf.gz"):
        raise BadInput(
            "a shard is a VCF file",
            file=output,
            remedy="end its name in .vcf.gz; --merge writes any format",
        )


def write_shard(
    scored: Iterable[Scored],
    header: Sequence[str],
    fields: Sequence[InfoField],
    shard: Shard,
    witness: Witness,
    output: str | Path,
    *,
    others: Sequence[str] = (),
    overwrite: bool = False,
) -> None:
    """Write the rows of a shard; its header gets the digest of the whole input from `witness`, and
    the `others`: contigs that match one of the genome in name only.
    """

    def complete() -> list[str]:
        block = rows_a_block(header)
        part = _Part(shard, witness.rows, block, witness.digest, ",".join(others))
        return [*header[:-1], _SHARD_LINE + part.text(), header[-1]]

    lines = (one.row.text(scored_info(one, fields)) for one in scored)
    with atomic_file(output, overwrite) as made:
        write_vcf_header_last(lines, complete, made, bgzip=variant_format(output) == "vcf.gz")
        # A shard needs no index: it will be merged.
        remove_indexes(output)


# Merging --------------------------------------------------------------------------------------


def merge_shards(
    shards: Sequence[str | Path], output: str | Path, *, overwrite: bool = False
) -> None:
    """Merge all shards, in any order, into exactly the file that one job would have written.

    Args:
        shards: the files of shards 1/n to n/n.
        output: as for `score_variants`.
        overwrite: replace an existing output.

    Raises:
        BadInput: a shard is missing, given twice, cut short or of another run; or more than 10 % of
            all REF alleles disagree with the genome.
    """
    refuse_output(output, overwrite)
    with ExitStack() as opened:
        files = [opened.enter_context(open_vcf(path)) for path in several(shards)]
        parts = [_part(file) for file in files]
        _refuse_strangers(files, parts)
        in_order = [file for _, file in sorted(zip(parts, files, strict=True), key=lambda p: p[0])]
        header = _without_shard(files[0].header)
        fields = declared_fields(header)
        tally = Tally()
        others = parts[0].others.split(",")
        rows = _tallied(_interleaved(in_order, parts[0]), fields, tally, others)
        write_scored(rows, header, fields, output, overwrite=overwrite)
        log.info("%s", tally.summary())


def _part(file: Vcf) -> _Part:
    said = facts_of(file.header).get("shard", "")
    found = re.fullmatch(r"(\S+) rows=(\d+) block=(\d+) input=(\S+)(?: others=(.+))?", said)
    if found is None:
        raise BadInput(
            "is not a shard", file=file.source, remedy="give files written with --shard i/n"
        )
    return _Part(parse_shard(found[1]), int(found[2]), int(found[3]), found[4], found[5] or "")


def _without_shard(header: Iterable[str]) -> list[str]:
    return [line for line in header if not line.startswith(_SHARD_LINE)]


def _refuse_strangers(files: Sequence[Vcf], parts: Sequence[_Part]) -> None:
    if not files:
        raise BadInput("no shard is given", remedy="give the files written with --shard i/n")
    first = parts[0]
    for file, part in zip(files, parts, strict=True):
        same = part._replace(shard=first.shard) == first and part.shard.of == first.shard.of
        if not same or _without_shard(file.header) != _without_shard(files[0].header):
            raise BadInput(
                f"is from another run than {files[0].source}: input, settings or number of shards"
                " differ",
                file=file.source,
                remedy="run this shard again with the settings of the others",
            )
    given = [part.shard.number for part in parts]
    lacking = [str(k + 1) for k in range(first.shard.of) if k not in given]
    if lacking:
        raise BadInput(
            f"of {first.shard.of} shards are missing: {', '.join(lacking)}",
            remedy=f"run --shard {lacking[0]}/{first.shard.of} and so on, and merge again",
        )
    if len(given) > first.shard.of:
        twice = next(f.source for f, k in zip(files, given, strict=True) if given.count(k) > 1)
        raise BadInput("is given twice", file=twice, remedy="give every shard once")


def _interleaved(files: Sequence[Vcf], part: _Part) -> Iterator[Row]:
    """The rows of all shards in the order of the input."""
    for block, start in enumerate(range(0, part.rows, part.block)):
        file = files[block % len(files)]
        size = min(part.block, part.rows - start)
        rows = list(islice(file.rows, size))
        if len(rows) < size:
            raise _other_rows(file)
        yield from rows
    for file in files:
        if next(file.rows, None) is not None:
            raise _other_rows(file)


def _other_rows(file: Vcf) -> BadInput:
    return BadInput(
        "does not have the rows that its header states",
        file=file.source,
        remedy="it was changed or truncated after it was written: run this shard again",
    )


def _tallied(
    rows: Iterable[Row], fields: Sequence[InfoField], tally: Tally, others: Sequence[str]
) -> Iterator[Scored]:
    reason = [field.name for field in fields].index(REASON)
    for row in rows:
        scored = read_scored(row, fields)
        tally.add(row.chrom, scored.values[reason])
        yield scored
    tally.refuse_wrong_build(_TOGETHER)
    # As in one job, where the genome has the others, as sequences of a matching name.
    if tally.all_missing and tally.missing_names.keys().isdisjoint(others):
        names = ", ".join(list(tally.missing_names)[:5])
        raise BadInput(
            f"have no chromosome of the genome: {names}",
            file=_TOGETHER,
            remedy="both must come from the same genome build and naming",
        )
