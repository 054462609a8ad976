"""MTcDNA: which taxon is a mitochondrial genome from?

The rule of the FinDNA paper's code: sequences above 5,000 bp are cut, or padded with N at the end,
to one length and split 60/20/20 at random (scikit-learn, `random_state` 1). Genomes of one species
are nearly identical, so that split asks for memory, not for understanding; beside it goes one in
which every species, or genus, lies whole in one part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field
from sklearn.model_selection import train_test_split

from findna.data.splits import stratified_folds
from findna.evaluation.fetch.genomic_benchmarks import gzip_rows
from findna.files import BadInput, atomic_folder, log
from findna.sequence.alphabet import decode
from findna.sequence.records import read_records
from findna.sequence.tables import need_column, read_table
from findna.settings import Settings

COLUMNS = ("id", "species", "genus", "class", "label", "sequence")
PARTS = ("train", "dev", "test")
_FOLDS = 5
# After the name of a record: genus and species, as in ">NC_012920.1 Homo sapiens mitochondrion".
# A specimen of no named species ("Mus sp.", "Mus cf. musculus") may be of one that has a name here.
_BINOMIAL = re.compile(
    r"\S+\s+(?:UNVERIFIED: )?(?P<genus>[A-Z][a-z]+) (?!(?:sp|cf|aff)\b)(?P<epithet>[a-z-]{2,})\b"
)


class MitogenomeSettings(Settings):
    """How MTcDNA is built."""

    length: int = Field(
        1024, ge=1, description="Bases a sequence is cut or padded to; 1024 to 16384 in the paper."
    )
    shortest: int = Field(
        5000, ge=0, description="Sequences of this length or shorter are left out."
    )
    clade: Literal["species", "genus"] = Field(
        "species", description="Rank that the second split keeps together in one part."
    )
    seed: int = Field(1, ge=0, description="Seed of both splits of MTcDNA; 1 as in the paper.")


def build_mtcdna(
    taxa: Mapping[str, Path],
    output: Path,
    settings: MitogenomeSettings | None = None,
    *,
    species: Path | None = None,
    overwrite: bool = False,
) -> pd.DataFrame:
    """Write `output`/random and `output`/species (or genus), each train, dev and test CSV files.

    Args:
        taxa: FASTA of whole mitogenomes by class; labels number them as given. In the paper turtles
            are 0 and mice 1.
        output: a new folder.
        settings: length, rule and seed.
        species: a table with the columns id and species, for headers that do not say it.
        overwrite: replace `output`.

    Returns:
        One row a sequence: `COLUMNS`, and the part it has in either split ("" where a split
        cannot be made, which is said).

    Raises:
        BadInput: fewer than two taxa, a record named twice, one without a species, a taxon
            without a sequence that is long enough.
    """
    settings = settings or MitogenomeSettings()
    if len(taxa) < 2:
        raise BadInput("at least two taxa are needed", remedy="--taxon NAME=FASTA")
    named = _species_table(species) if species else None
    rows = pd.concat(
        [_read_taxon(name, taxa[name], label, settings, named)
         for label, name in enumerate(taxa)],
        ignore_index=True,
    )  # fmt: skip
    _refuse_twins(rows)
    rows["random"] = _at_random(len(rows), settings.seed)
    rows[f"by {settings.clade}"] = _by_clade(rows, settings)
    with atomic_folder(output, overwrite, known_by="random") as folder:
        for split, column in (("random", "random"), (settings.clade, f"by {settings.clade}")):
            _write(rows, rows[column], folder / split)
    _tell_leak(rows)
    return rows


# Reading --------------------------------------------------------------------------------------


def _read_taxon(
    name: str,
    path: Path,
    label: int,
    settings: MitogenomeSettings,
    named: Mapping[str, str] | None,
) -> pd.DataFrame:
    """The rows of one FASTA that are long enough, cut or padded."""
    kept: list[tuple[str, str, str, str, int, str]] = []
    short = 0
    for record in read_records(path, format="fasta"):
        if len(record.codes) <= settings.shortest:
            short += 1
            continue
        kind = _species(record.id, record.title, path, named)
        letters = decode(record.codes[: settings.length]).ljust(settings.length, "N")
        kept.append((record.id, kind, kind.split()[0], name, label, letters))
    if short:
        log.info("%s: %d sequences of %d bp or fewer: left out", path, short, settings.shortest)
    if not kept:
        raise BadInput(f"no sequence is longer than {settings.shortest:,} bp", file=path)
    return pd.DataFrame(kept, columns=list(COLUMNS))


def _species(record: str, header: str, path: Path, named: Mapping[str, str] | None) -> str:
    """Genus and species of a record: from the table if there is one, else from its header."""
    if named is not None:
        if record not in named:
            raise BadInput("the table of species does not name it", file=path, record=record)
        return named[record]
    match = _BINOMIAL.match(header)
    if match is None:
        raise BadInput(
            f"its header gives no species: {header!r}",
            file=path,
            record=record,
            remedy="a header must read >ID Genus species ...; otherwise give --species TABLE with"
            " the columns id and species",
        )
    return f"{match['genus']} {match['epithet']}"


def _species_table(path: Path) -> dict[str, str]:
    table = read_table(path)
    names, kinds = (
        table.iloc[:, need_column(list(table.columns), column, path)].str.split().str.join(" ")
        for column in ("id", "species")
    )
    if (kinds == "").any():
        raise BadInput("a species is empty", file=path, record=str(names[kinds == ""].iloc[0]))
    found: dict[str, str] = {}
    for name, kind in zip(names, kinds, strict=True):
        if found.setdefault(name, kind) != kind:
            raise BadInput(f"has two species, {found[name]} and {kind}", file=path, record=name)
    return found


def _refuse_twins(rows: pd.DataFrame) -> None:
    twice = rows[rows["id"].duplicated()]
    if len(twice):
        raise BadInput(
            "occurs twice, the second time in " + str(twice["class"].iloc[0]),
            record=str(twice["id"].iloc[0]),
            remedy="keep one of them: a genome in two splits would be tested on its training data",
        )


# Splits ---------------------------------------------------------------------------------------


def _at_random(rows: int, seed: int) -> pd.Series[str]:
    """The paper's 60/20/20 of so many rows: its two calls, on its order (taxa as given)."""
    if rows < _FOLDS:
        raise BadInput(f"{rows} sequences cannot be split 60/20/20")
    learned, test = train_test_split(np.arange(rows), test_size=0.2, random_state=seed)
    _, dev = train_test_split(learned, test_size=0.25, random_state=seed)
    parts = pd.Series("train", index=range(rows))
    parts.iloc[test], parts.iloc[dev] = "test", "dev"
    return parts


def _by_clade(rows: pd.DataFrame, settings: MitogenomeSettings) -> pd.Series[str]:
    """Whole clades in one part, every class in each: test, dev and the largest share train.

    With two clades in a class there is no dev; with one there is no such split.
    """
    spread = int(rows.groupby("class")[settings.clade].nunique().min())
    if spread < 2:
        log.warning("a class has only one %s: no split by %s", settings.clade, settings.clade)
        return pd.Series("", index=rows.index)
    groups = pd.factorize(rows[settings.clade])[0].astype(np.int64)
    labels = rows["label"].to_numpy(np.int64)
    fold = stratified_folds(labels, groups, min(_FOLDS, spread), settings.seed)
    smallest_first = np.argsort(np.bincount(fold), kind="stable")
    held = ("test",) if spread == 2 else ("dev", "test")
    parts = pd.Series("train", index=rows.index)
    for part, number in zip(held, smallest_first, strict=False):
        parts[fold == number] = part
    if spread == 2:
        log.warning("a class has only two %s: no dev rows; take them from train", settings.clade)
    return parts


def _write(rows: pd.DataFrame, parts: pd.Series[str], folder: Path) -> None:
    for part in PARTS:
        chosen = rows.loc[parts == part, list(COLUMNS)]
        if len(chosen):
            folder.mkdir(exist_ok=True)
            with gzip_rows(folder / f"{part}.csv.gz", COLUMNS) as write:
                for row in chosen.itertuples(index=False):
                    write(row)


def _tell_leak(rows: pd.DataFrame) -> None:
    """Say how many test rows of the random split also stand in train, and of known species."""
    train, test = rows[rows["random"] == "train"], rows[rows["random"] == "test"]
    same = int(test["sequence"].isin(set(train["sequence"])).sum())
    known = int(test["species"].isin(set(train["species"])).sum())
    log.info(
        "random split: of %d test sequences %d are identical to one in train and %d are of a"
        " species in train",
        len(test), same, known,
    )  # fmt: skip
