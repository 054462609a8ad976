"""Similarity search: the windows of a genome whose vectors are most similar to a query's.

A query longer than a window is cut into windows, and each part is searched separately: the mean of
a long sequence resembles that of any other. Windows that overlap the query itself are left out, and
of overlapping hits only the best is kept. Similarity is the cosine of centred and whitened vectors,
from −1 to 1; unrelated windows have about 0. To judge a value, hits also have the share of all
windows that are less similar to this query, the standard deviations above their mean, and the GC of
both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pandas as pd

from findna.files import STDIN, BadInput, log
from findna.inference.devices import pick_device, usual_batch_bases
from findna.inference.embed import embeddings
from findna.inference.progress import RecordProgress
from findna.inference.rows import LengthWarning, chunks
from findna.inference.searching.build import open_index
from findna.inference.searching.engines import EngineName, open_engine, require_engine
from findna.inference.searching.index import IndexSettings, Ints, SearchIndex
from findna.inference.searching.loci import Loci, Part, Rules, parts_of
from findna.inference.searching.table import check_output, hit_rows, table_of, write_hits
from findna.inference.writing import held
from findna.model.loading import model_name, pick_model
from findna.model.model import Model
from findna.sequence.alphabet import N, Strand
from findna.sequence.genome import Genome
from findna.sequence.inputs import Inputs, records_from
from findna.sequence.records import Record

Queries = str | Path | Record | pd.DataFrame | Iterable[str | Path | Record]

_BATCHES = 16
_PARTS = 4096  # parts of queries whose hits are held at once; a chromosome has half a million
_SHORT = 0.5  # of a window: shorter queries are not comparable with the windows of the index


@dataclass(frozen=True)
class SearchResult:
    """Numbers of `hits` and `queries`; the hits are in the file `output` or, without one, in
    `table`.
    """

    queries: int
    hits: int
    output: Path | None
    _table: pd.DataFrame | None
    index: SearchIndex

    @property
    def table(self) -> pd.DataFrame:
        """The hits, the best of each query first; `ValueError` if an output was given."""
        return held(self._table, "the hits")


def search(
    queries: Queries,
    genome: Genome | str | Path,
    model: Model | str | Path | None = None,
    output: str | Path | None = None,
    *,
    index: SearchIndex | str | Path | None = None,
    regions: str | Path | None = None,
    window: int | None = None,
    step: int | None = None,
    max_n: float | None = None,
    strand: Strand | None = None,
    whiten: bool | None = None,
    k: int = 20,
    min_similarity: float | None = None,
    include_self: bool = False,
    all_windows: bool = False,
    engine: EngineName = "torch",
    batch_bases: int | None = None,
    device: str = "auto",
    sequence_column: str | None = None,
    id_column: str | None = None,
    overwrite: bool = False,
) -> SearchResult:
    """The windows of a genome that are most similar to each query.

    Columns: `chrom, start, end` (0-based half-open), `name` (query.rank), `score` (1000 times the
    similarity, at least 0), `strand` (".", as vectors are averaged over strands), `similarity`,
    `percentile` (percent of windows, without the query's own, that are less similar to it),
    `query`, `query_start, query_end` (the part of the query, 0-based half-open), `z` (standard
    deviations above the mean similarity of all windows), `gc` and `query_gc` (shares of the known
    bases). The best hits of a part come first.

    Args:
        queries: regions (chr7:1,001-2,000, 1-based closed), files (FASTA, FASTQ, CSV, TSV, parquet,
            BED), "-", or records; one or several; or a data frame.
        genome: FASTA, or an opened genome, to search; regions and BED refer to it, too.
        model: a model, its folder, its run or its name; None is the one that comes with findna.
        output: `.tsv`, `.csv` (either may end in `.gz`) or `.parquet`; `.bed` for the first six
            columns without a header; "-" for a TSV on standard output; None to get the table back.
        index: an index, or its folder, in which one is built if there is none; None is one in the
            cache folder.
        regions: BED; only what it covers is searched.
        window: bases per window of the index; None is the longest the model was trained on.
        step: bases from one window to the next; None is half a window.
        max_n: largest share of N in a window, and in a part of a query; None is 0.1.
        strand: "both" (None) averages the two strands, "forward" reads the given one.
        whiten: scale all directions of the vectors to equal variance; None does. For an existing
            index, None here and above accepts its setting.
        k: hits per part of a query.
        min_similarity: least similarity of a hit, -1 to 1.
        include_self: also report windows that overlap the query itself.
        all_windows: also report windows that overlap a better hit.
        engine: "torch", or "faiss" (extra `search`); both are exact.
        batch_bases: bases per batch, which bounds memory; None chooses by device.
        device: auto, cpu, cuda or mps.
        sequence_column: column of the sequences in a table; guessed if None.
        id_column: column of the names in a table; guessed if None.
        overwrite: replace an existing output.

    Raises:
        BadInput: an unreadable query (with its line), an invalid number, an index that does not
            match, an output that exists.
    """
    if k < 1:
        raise BadInput(f"{k} hits cannot be found", remedy="ask for at least one")
    if min_similarity is not None and not -1 <= min_similarity <= 1:
        raise BadInput(f"{min_similarity} is not a similarity", remedy="give one from -1 to 1")
    if output is not None:
        check_output(output, overwrite)
    require_engine(engine)
    network = pick_model(model).to(pick_device(device)).eval()
    genome = Genome.of(genome)
    settings = IndexSettings(window, step, max_n, strand, whiten)
    # Read the first query now: an error in it should not wait for hours of indexing.
    records = _begun(_records(queries, genome, sequence_column, id_column))
    found = open_index(
        index, genome, network, model_name(model, network),
        regions=regions, settings=settings, batch_bases=batch_bases,
    )  # fmt: skip
    rules = Rules(k, min_similarity, include_self, all_windows)
    loci = Loci(found, genome, open_engine(engine, found, network.device), rules)
    searcher = _Searcher(network, loci, batch_bases)
    tables = searcher.tables(records)
    if output is None:
        table = pd.concat(list(tables), ignore_index=True)
        return SearchResult(searcher.queries, len(table), None, table, found)
    hits = write_hits(tables, output, overwrite)
    piped = str(output) == STDIN
    log.info(
        "%s: %s hits of %s queries",
        "standard output" if piped else output, f"{hits:,}", f"{searcher.queries:,}",
    )  # fmt: skip
    return SearchResult(searcher.queries, hits, None if piped else Path(output), None, found)


# ---------------------------------------------------------------- queries


def _records(
    queries: Queries, genome: Genome, sequence_column: str | None, id_column: str | None
) -> Iterator[Record]:
    several: Iterable[str | Path | Record | pd.DataFrame] = (
        [queries] if isinstance(queries, str | Path | Record | pd.DataFrame) else queries
    )
    for query in several:
        given: Inputs = [query] if isinstance(query, Record) else query
        yield from records_from(given, genome, sequence_column, id_column)


def _begun(records: Iterator[Record]) -> Iterator[Record]:
    """The same records, with the first one already read."""
    return chain(list(islice(records, 1)), records)


# ---------------------------------------------------------------- hits


class _Searcher:
    """Tables of hits, while records stream by."""

    def __init__(self, model: Model, loci: Loci, batch_bases: int | None) -> None:
        self.model, self.loci, self.index = model, loci, loci.index
        self.batch_bases = batch_bases or usual_batch_bases(model.device)
        self.window: int = self.index.made_from["window"]
        self.max_n: float = self.index.made_from["max_n"]
        self.queries = self.left_out = 0
        self.lengths, self.said_short = LengthWarning(model), False

    def tables(self, records: Iterable[Record]) -> Iterator[pd.DataFrame]:
        """In the order of the records; the first is empty and defines the columns."""
        yield table_of([])
        with RecordProgress("search") as progress:
            for chunk in chunks(records, _BATCHES * self.batch_bases):
                self.queries += len(chunk)
                parts = self._known([p for r in chunk for p in parts_of(r, self.window)])
                for at in range(0, len(parts), _PARTS):
                    yield table_of(self._hits(parts[at : at + _PARTS]))
                progress.advance(len(chunk), sum(len(r.codes) for r in chunk))
        if not self.queries:
            log.warning("the input holds no sequences: nothing is searched")
        if self.left_out:
            log.warning("%d parts of queries have more than %g N: they have no hits",
                        self.left_out, self.max_n)  # fmt: skip

    def _known(self, parts: list[Part]) -> list[Part]:
        """The parts that have few enough N; the others are counted."""
        known = [part for part in parts if (part.codes == N).mean() <= self.max_n]
        self.left_out += len(parts) - len(known)
        return known

    def _hits(self, parts: list[Part]) -> list[dict[str, object]]:
        """Rows of the table for parts, at least one."""
        codes = [part.codes for part in parts]
        self._look_at(np.array([len(c) for c in codes]))
        strand = self.index.made_from["strand"]
        raw = embeddings(self.model, codes, strand=strand, batch_bases=self.batch_bases)
        queries = self.index.transformed(raw)
        found = self.loci.best(parts, queries)
        return [
            row
            for part, query, best in zip(parts, queries, found, strict=True)
            for row in hit_rows(self.loci, part, query, best)
        ]

    def _look_at(self, lengths: Ints) -> None:
        """Warn once that a query is much shorter than the windows of the index."""
        self.lengths.look_at(lengths)
        shortest = int(lengths.min())
        if shortest < _SHORT * self.window and not self.said_short:
            self.said_short = True
            log.warning(
                "a query of %d bp is compared with windows of %d bp: an index with --window %d"
                " would find similar sequence better", shortest, self.window, shortest,
            )  # fmt: skip
