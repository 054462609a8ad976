"""Intervals: BED files, and arithmetic on runs.

A BED is a data frame in source coordinates; *runs* are int64 (K, 2), half-open offsets in the
store of a genome, sorted. Records are concatenated in a store, so runs that merely touch stay two
runs: joining them could give a window across two chromosomes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from findna.files import BadInput, log, open_bytes, printable
from findna.sequence.genome import Genome
from findna.sequence.regions import Integers, parse_region, refuse_far

# Column of a BED data frame with the line number of each row, for later error messages.
LINE = "line number"
_COLUMNS_SAID = "a BED has chrom, start, end in columns 1 to 3, 0-based, end not included"
GFF_TO_BED = (
    "awk -F'\\t' -v OFS='\\t' 'NF==9 && !/^#/ {print $1,$4-1,$5,$3,\".\",$7==\"?\"?\".\":$7}'"
    " OLD.gff > NEW.bed"
)
BED_COLUMNS = ("chrom", "start", "end", "name", "score", "strand")
# Bases that an interval may extend past the last region of a chromosome in a region FASTA: a whole
# chromosome may be requested, but not terabytes of N for a mistyped end.
BEYOND_REGIONS = 1 << 31
# Rows turned into columns at a time: lists of strings take ten times the memory of a column.
_BLOCK = 1 << 16
_WHOLE_NUMBERS = re.compile(r"-?[0-9]{1,18}(,-?[0-9]{1,18})*")
_NO_ROW = re.compile(r"\s*$|#|track(\s|$)|browser(\s|$)")
_HEADER = re.compile(r"#?\s*(chrom|chr|chromosome|seqname)\s+(start|chromStart)\s", re.IGNORECASE)


# BED ------------------------------------------------------------------------------------------


def read_bed(path: str | Path) -> pd.DataFrame:
    """A BED file, or standard input for "-", gzip or not, as a data frame in file order.

    Columns: chrom str, start and end int64 (0-based half-open), name, score, strand ("." where the
    file has none), then further columns as str, and `LINE`. Comments, track and browser lines are
    skipped; a line `#chrom start end ...` before the rows names the columns. `BadInput` with the
    line number for an invalid row.
    """
    with open_bytes(path) as stream:
        return bed_from(stream, path)


def regions_bed(regions: Sequence[str]) -> pd.DataFrame:
    """Regions, chr7:1,001-2,000 (1-based closed), as a data frame like that of `read_bed`, with
    line number 0.
    """
    parsed = [parse_region(text) for text in regions]
    for text, region in zip(regions, parsed, strict=True):
        refuse_far(region.end, record=text)
    columns: dict[str, object] = {
        key: [getattr(region, key) for region in parsed] for key in ("chrom", "start", "end")
    }
    return pd.DataFrame({**columns, "name": list(regions), "score": ".", "strand": ".", LINE: 0})


def is_region(text: str | Path) -> bool:
    """Whether this is a region such as chr7:1,001-2,000, and not an existing file."""
    return ":" in str(text) and not Path(text).exists()


def is_no_row(line: str) -> bool:
    """Whether a BED reader skips this line: a comment, a track or browser line, an empty one."""
    return bool(_NO_ROW.match(line))


def names_columns(line: str) -> bool:
    """Whether a line is a header with the column names of a BED."""
    return bool(_HEADER.match(line))


def is_bed_line(line: str) -> bool:
    """Whether a line has start and end where a BED has them."""
    cells = cells_of(line)
    return len(cells) >= 3 and cells[1].isdecimal() and cells[2].strip().isdecimal()


def is_gff_line(line: str) -> bool:
    """Whether a line has start and end where a GFF or GTF has them, and a BED has not."""
    cells = line.split("\t")
    # In a BED of nine columns, name and score (4 and 5) may be numbers too.
    whole = len(cells) == 9 and cells[3].isdecimal() and cells[4].isdecimal()
    return whole and not is_bed_line(line)


def bed_from(stream: io.BufferedIOBase, source: str | Path) -> pd.DataFrame:
    """As `read_bed`, from an open stream."""
    names: list[str] = []
    rows: list[list[str]] = []
    lines: list[int] = []
    blocks: list[pd.DataFrame] = []
    for number, line in _text_lines(stream, source):
        if not names and names_columns(line):
            names = _column_names(cells_of(line.lstrip("# ")), number, source)
        elif not is_no_row(line):
            if not names and is_gff_line(line):
                remedy = f"make a BED of those you need: {GFF_TO_BED}"
                raise BadInput("is a GFF or GTF: a BED is needed", file=source, remedy=remedy)
            cells = cells_of(line)
            names = names or _usual_names(len(cells))
            _refuse_width(cells, names, number, source)
            rows.append(cells)
            lines.append(number)
        if len(rows) == _BLOCK:
            blocks.append(_bed_frame(rows, lines, names, source))
            rows, lines = [], []
    if not lines and not blocks:
        log.warning("%s: has no intervals", printable(source))
    blocks.append(_bed_frame(rows, lines, names or _usual_names(3), source))
    return pd.concat(blocks, ignore_index=True)


def _text_lines(stream: io.BufferedIOBase, source: str | Path) -> Iterator[tuple[int, str]]:
    for number, raw in enumerate(stream, 1):
        try:
            yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise BadInput("is not UTF-8 text", file=source, line=number) from None


def cells_of(line: str) -> list[str]:
    """Cells separated by tabs as specified, or by spaces, as UCSC allows, if there is no tab."""
    return line.split("\t") if "\t" in line else line.split()


def _column_names(header: list[str], line: int, source: str | Path) -> list[str]:
    """Column names of a header: standard BED names in lower case, others unchanged."""
    further = [name.lower() if name.lower() in BED_COLUMNS else name for name in header[3:]]
    names = [*BED_COLUMNS[:3], *further]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        problem = f"two columns are named {twice[0]!r}"
        raise BadInput(problem, file=source, line=line, remedy="rename one")
    return names


def _usual_names(width: int) -> list[str]:
    """The standard names of the first `width` columns of a BED, at least three."""
    names = [*BED_COLUMNS, *(f"column_{number}" for number in range(7, width + 1))]
    return names[: max(3, width)]


def _refuse_width(cells: list[str], names: list[str], line: int, source: str | Path) -> None:
    if len(cells) < 3:
        problem = f"has {len(cells)} columns where a BED has at least chrom, start, end"
        raise BadInput(problem, file=source, line=line, remedy=_COLUMNS_SAID)
    if len(cells) != len(names):
        problem = f"has {len(cells)} columns where the lines before have {len(names)}"
        remedy = "give every line the same columns, separated by tabs"
        raise BadInput(problem, file=source, line=line, remedy=remedy)


def _bed_frame(
    rows: list[list[str]], lines: list[int], names: list[str], source: str | Path
) -> pd.DataFrame:
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in names]
    texts = dict(zip(names, columns, strict=True))
    numbers = {key: _whole_numbers(texts.pop(key), key, lines, source) for key in ("start", "end")}
    frame = pd.DataFrame(texts, dtype="str").assign(**numbers)
    frame = frame.assign(**{key: "." for key in BED_COLUMNS[3:] if key not in frame})
    further = [key for key in names if key not in BED_COLUMNS]
    frame = frame[[*BED_COLUMNS, *further]].assign(**{LINE: np.array(lines, dtype=np.int64)})
    start, end = numbers["start"], numbers["end"]
    _refuse_rows(frame, start < 0, "start is below 0", source, _COLUMNS_SAID)
    _refuse_rows(frame, end < start, "end is before start", source, _COLUMNS_SAID)
    wrong_strand = ~frame["strand"].isin(["+", "-", "."]).to_numpy()
    no_strand, remedy = "column 6 (strand) is not one of +, -, .", "write . if it is unknown"
    _refuse_rows(frame, wrong_strand, no_strand, source, remedy)
    return frame


def _whole_numbers(texts: list[str], column: str, lines: list[int], source: str | Path) -> Integers:
    if not texts:
        return np.empty(0, dtype=np.int64)
    # One match over all rows: checking and converting each would double the reading time.
    joined = ",".join(texts)
    if joined.count(",") == len(texts) - 1 and _WHOLE_NUMBERS.fullmatch(joined):
        return np.fromstring(joined, dtype=np.int64, sep=",")
    wrong = next(i for i, t in enumerate(texts) if "," in t or not _WHOLE_NUMBERS.fullmatch(t))
    raise BadInput(
        f"{column} is {texts[wrong]!r}, not a whole number",
        file=source,
        line=lines[wrong],
        remedy=_COLUMNS_SAID,
    )


def _refuse_rows(
    bed: pd.DataFrame,
    wrong: np.ndarray | pd.Series[bool],
    problem: str,
    source: str | Path,
    remedy: str | None = None,
) -> None:
    if wrong.any():
        row = bed.iloc[int(np.argmax(wrong))]
        line = row.get(LINE)
        # A typed region (line 0) counts from 1 and is shown as typed.
        place = row["name"] if line == 0 else f"{row['chrom']}:{row['start']}-{row['end']}"
        raise BadInput(
            f"{place}: {problem}", file=source, line=int(line) if line else None, remedy=remedy
        )


def refuse_off_the_end(
    genome: Genome, bed: pd.DataFrame, names: dict[str, str], source: str | Path
) -> None:
    """Refuse a row that ends past its chromosome; `names` are those of `genome.resolve_all`.

    The true end of a chromosome in a region FASTA is unknown: the limit is generous there.
    """
    ends = {asked: genome.last_of(name) for asked, name in names.items()}
    limit = bed["chrom"].map(ends).fillna(np.iinfo(np.int64).max).to_numpy()
    wrong = bed["end"].to_numpy() > limit + (BEYOND_REGIONS if genome.mapped else 0)
    end = ends[bed["chrom"].iloc[int(wrong.argmax())]] if wrong.any() else 0
    problem = f"extends beyond the chromosome, which has {end:,} bases in {genome.source}"
    if genome.mapped:
        problem = f"lies far beyond the last region of {genome.source} there, which ends at {end:,}"
    remedy = "the intervals may refer to another build of this genome"
    _refuse_rows(bed, wrong, problem, source, remedy)


def refuse_unknown(genome: Genome, bed: pd.DataFrame, source: str | Path) -> dict[str, str]:
    """The genome's own name of each chromosome; refuse a row that is empty, on an unknown
    chromosome, or past the end of one.
    """
    names = genome.resolve_all(bed["chrom"], source=str(source))
    refuse_off_the_end(genome, bed, names, source)
    _refuse_rows(bed, ~bed["chrom"].isin(names), f"is not in {genome.source}", source)
    _refuse_rows(bed, bed["start"] == bed["end"], "is empty", source)
    return names


def to_store(genome: Genome, bed: pd.DataFrame, *, source: str | Path) -> Integers:
    """The runs (K, 2) of store offsets that the rows of a BED cover: sorted, merged within records.

    Names are matched as in `Genome.resolve`. `BadInput`: a row past the end of its chromosome, or
    a BED with no chromosome of the genome. Rows on other chromosomes, and what lies outside the
    regions of a region FASTA, are dropped with a warning.
    """
    names = genome.resolve_all(bed["chrom"], source=str(source))
    refuse_off_the_end(genome, bed, names, source)
    runs: list[Integers] = [np.empty((0, 2), dtype=np.int64)]
    answered = np.zeros(len(bed), dtype=np.int64)
    whole = np.zeros(len(bed), dtype=np.bool_)
    # Grouped by the genome's name: a BED may call a chromosome chr1 in one row and 1 in another.
    for chrom, rows in bed.groupby(bed["chrom"].map(names), sort=False).indices.items():
        spans = bed[["start", "end"]].to_numpy()[rows]
        whole[rows] = _within_records(genome, str(chrom), spans)
        for record in genome.records_of(str(chrom)).tolist():
            first, last = genome.starts[record], genome.ends[record]
            covered = np.maximum(spans[:, 0], first) < np.minimum(spans[:, 1], last)
            answered[rows[covered]] += 1
            here = np.clip(spans[covered], first, last) - genome.shifts[record]
            runs.append(merge(here, touching=True))
    _tell_left_out(genome, bed, names, answered, whole, source)
    joined = np.concatenate(runs)
    return joined[np.argsort(joined[:, 0], kind="stable")]


def _within_records(genome: Genome, chrom: str, spans: Integers) -> NDArray[np.bool_]:
    """Whether each span (n, 2) lies within the records of a chromosome; records may touch."""
    records = genome.records_of(chrom)
    known = merge(np.stack([genome.starts[records], genome.ends[records]], 1), touching=True)
    at = np.searchsorted(known[:, 0], spans[:, 0], side="right") - 1
    return np.asarray((at >= 0) & (spans[:, 1] <= known[at, 1]))


def _tell_left_out(
    genome: Genome,
    bed: pd.DataFrame,
    names: dict[str, str],
    answered: Integers,
    whole: np.ndarray,
    source: str | Path,
) -> None:
    lacking = ~bed["chrom"].isin(list(names)).to_numpy()
    if lacking.any():
        others = ", ".join(list(dict.fromkeys(bed["chrom"][lacking]))[:5])
        log.warning(
            "%s: %d of %d intervals are on chromosomes that %s lacks (%s): left out",
            source, lacking.sum(), len(bed), genome.source, others,
        )  # fmt: skip
    outside = ~lacking & (answered == 0) & (bed["end"] > bed["start"]).to_numpy()
    partly = ~lacking & (answered > 0) & ~whole
    if outside.any() or partly.any():
        log.warning(
            "%s: %d of %d intervals lie outside the regions of %s and %d partly: clipped",
            source, outside.sum(), len(bed), genome.source, partly.sum(),
        )  # fmt: skip


# Runs -----------------------------------------------------------------------------------------


def bases_in(runs: Integers) -> int:
    """Total bases of runs (K, 2); overlapping ones count twice."""
    return int((runs[:, 1] - runs[:, 0]).sum())


def merge(runs: Integers, touching: bool = False) -> Integers:
    """Runs (K, 2) in any order, sorted, with overlapping ones merged and empty ones dropped.

    Runs that only touch are merged if `touching`: right within one record, wrong across two.
    """
    runs = _as_runs(runs)
    if not len(runs):
        return runs
    runs = runs[np.argsort(runs[:, 0], kind="stable")]
    reach = np.maximum.accumulate(runs[:, 1])
    apart = runs[1:, 0] > reach[:-1] if touching else runs[1:, 0] >= reach[:-1]
    first = np.flatnonzero(np.concatenate([[True], apart]))
    last = np.append(first[1:], len(runs)) - 1
    return np.stack([runs[first, 0], reach[last]], axis=1)


def intersect(runs: Integers, other: Integers) -> Integers:
    """The intersection, (K, 2); the borders of either, also where runs touch, stay borders."""
    runs, other = merge(runs), merge(other)
    low = np.searchsorted(other[:, 1], runs[:, 0], side="right")
    high = np.searchsorted(other[:, 0], runs[:, 1], side="left")
    counts = high - low
    mine = np.repeat(np.arange(len(runs)), counts)
    theirs = np.arange(counts.sum()) + np.repeat(low - (np.cumsum(counts) - counts), counts)
    start = np.maximum(runs[mine, 0], other[theirs, 0])
    end = np.minimum(runs[mine, 1], other[theirs, 1])
    return np.stack([start, end], axis=1)


def subtract(runs: Integers, minus: Integers) -> Integers:
    """`runs` without `minus`, (K, 2); the borders of `runs` stay borders."""
    minus = merge(minus, touching=True)
    limits = np.iinfo(np.int64)
    starts = np.concatenate([[limits.min], minus[:, 1]])
    ends = np.concatenate([minus[:, 0], [limits.max]])
    return intersect(runs, np.stack([starts, ends], axis=1))


def _as_runs(runs: Integers) -> Integers:
    runs = np.asarray(runs, dtype=np.int64).reshape(-1, 2)
    return runs[runs[:, 1] > runs[:, 0]]
