"""Indexes of variant files: tabix and CSI, where the rows are sorted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pysam

from findna.files import FullDisk, atomic_file, log, no_room
from findna.sequence.bcf import quiet_htslib
from findna.sequence.vcf import Scored

TBI_LIMIT = 1 << 29  # bases of a chromosome; a longer one needs a .csi index
_ENDINGS = (".tbi", ".csi")
_TABLE = {"seq_col": 0, "start_col": 1, "end_col": 1}


class Order:
    """Whether rows are sorted as an index requires, and their largest coordinate."""

    def __init__(self, longest: int) -> None:
        """`longest`: bases of the longest chromosome in the header."""
        self.sorted = True
        self.longest = longest
        self._seen: set[str] = set()
        self._chrom, self._pos = "", 0

    def watched(self, scored: Iterable[Scored]) -> Iterator[Scored]:
        """The rows unchanged."""
        for one in scored:
            self._look_at(one.row.chrom, one.row.pos)
            self.longest = max(self.longest, one.row.pos + len(one.row.ref))
            yield one

    def _look_at(self, chrom: str, pos: int) -> None:
        if chrom != self._chrom:
            self.sorted &= chrom not in self._seen
            self._seen.add(chrom)
        elif pos < self._pos:
            self.sorted = False
        self._chrom, self._pos = chrom, pos


def remove_indexes(output: str | Path, but: str = "") -> None:
    """Remove the indexes of a file that is about to be replaced, except the new one, which ends in
    `but`.
    """
    for stale in _ENDINGS:
        if stale != but:
            Path(f"{output}{stale}").unlink(missing_ok=True)


def write_index(made: Path, output: Path, order: Order) -> None:
    """Index `made` under the name of an index of `output`; stale indexes are removed.

    `.bcf` files and rows beyond 2^29 bases get a `.csi`, others a `.tbi`. Rows that are not sorted,
    or lie past the end of their chromosome in the header, get none, with a warning.
    """
    if not order.sorted:
        remove_indexes(output)
        log.warning(
            "%s: the rows are not sorted: no index is written (sort with bcftools sort)", output
        )
        return
    csi = output.name.lower().endswith(".bcf") or order.longest > TBI_LIMIT
    for ending in (".csi",) if csi else (".tbi", ".csi"):
        try:
            _index(made, output, ending)
        except FullDisk:
            # Or a row lies too far out for this index: htslib reports both alike.
            if no_room(output.parent):
                raise
        else:
            remove_indexes(output, but=ending)
            return
    remove_indexes(output)
    log.warning(
        "%s: no index is written: a row extends beyond its chromosome as given in the header",
        output,
    )


def _index(made: Path, output: Path, ending: str) -> None:
    name = output.name.lower()
    preset = {"preset": "bcf" if name.endswith(".bcf") else "vcf"}
    how = _TABLE if name.endswith(".tsv.gz") else preset
    index = output.with_name(output.name + ending)
    with atomic_file(index, overwrite=True) as made_index, quiet_htslib():
        pysam.tabix_index(str(made), force=True, csi=ending == ".csi", index=str(made_index), **how)
