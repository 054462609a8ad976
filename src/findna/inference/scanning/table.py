"""Summary of the tracks of a scan, as a table and in the log."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from findna.files import log
from findna.inference.scanning.passes import Row
from findna.inference.scanning.plan import Plan
from findna.sequence.genome import Genome

_MADE_OF = {"gc": "GC", "lower_case": "lower case", "n": "N"}


def table_of(rows: Sequence[Row], genome: Genome) -> pd.DataFrame:
    """One row per track.

    Columns: track, file, what, the number of windows behind mean and sd, the share of variance of a
    component, Pearson and Spearman correlation over windows with the shares of GC, lower case and
    N, and a note of what the FASTA lacks.
    """
    return pd.DataFrame([{**_row(row), "note": lacking(genome)} for row in rows])


def _row(row: Row) -> dict[str, object]:
    track, found = row.track, row.relation
    correlations = {
        f"{name}_{kind}": value
        for name in _MADE_OF
        for kind, value in zip(("pearson", "spearman"), getattr(found, name), strict=True)
    }
    return {
        "track": track.name,
        "file": track.file,
        "what": track.what,
        "windows": found.windows,
        # The mean of a component is 0 except for rounding.
        "mean": 0.0 if abs(found.mean) <= 1e-9 * found.sd else found.mean,
        "sd": found.sd,
        "variance": row.variance,
        **correlations,
    }


def lacking(genome: Genome) -> str:
    """What the FASTA lacks, so that nothing can correlate with it."""
    absent = []
    if not len(genome.soft_runs):
        absent.append("no soft mask in this FASTA")
    if not len(genome.n_runs):
        absent.append("no N in this FASTA")
    return "; ".join(absent)


def tell(table: pd.DataFrame, plan: Plan, where: str) -> None:
    """Log the results, one line per track."""
    log.info("%s: %s bases scanned", where, f"{plan.bases:,}")
    for _, row in table.iterrows():
        log.info("  %s: %s", row["track"], "; ".join(_sentences(row)))
    if note := lacking(plan.genome):
        log.info("  %s", note)


def _sentences(row: pd.Series) -> list[str]:
    if not row["windows"]:
        return ["no window has a value"]
    parts = [f"{row['mean']:.4g} ± {row['sd']:.3g} over {row['windows']:,} windows"]
    if not math.isnan(row["variance"]):
        parts.append(f"{row['variance']:.1%} of the variance")
    for name, words in _MADE_OF.items():
        pearson, spearman = row[f"{name}_pearson"], row[f"{name}_spearman"]
        if not math.isnan(pearson):
            parts.append(f"r with {words} {pearson:+.2f} (ranks {spearman:+.2f})")
    return parts
