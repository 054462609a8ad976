"""What an evaluation folder says of one model: its rows of the table, and the leaks found.

A model is recognised by the digest of its weights, never by its name. The tables that are enough
for this, `table.tsv`, `settings.yaml` and `leakage/`, are those that are published.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from findna.evaluation.folder import evaluation_in
from findna.evaluation.leakage.report import IN_GENOME, IN_SEEN
from findna.files import BadInput, open_bytes, read_json
from findna.metrics import Metric

_MODEL = re.compile(r"model (?P<name>.+) \d+")


@dataclass(frozen=True)
class Evidence:
    """Results of one model in one evaluation.

    `table` has the columns task, contender, metric, train_rows, seeds, score, random and words (the
    last two: the same with random weights, and k-mer regression), numbers as text; `protocols` one
    sentence each; `leaks` the columns task, genome and seen, or None with the reason in `unknown`.
    """

    table: pd.DataFrame
    protocols: tuple[str, ...]
    leaks: pd.DataFrame | None
    unknown: str = ""


def read_evidence(folder: str | Path, digests: Collection[str]) -> Evidence:
    """What the evaluation in `folder` says of the model whose weights have one of `digests`.

    Raises:
        BadInput: it is no evaluation, it has no table yet, or it is about other models.
    """
    folder = Path(folder)
    names = _names(folder)
    name = next((name for name, found in names.items() if not found.isdisjoint(digests)), None)
    if name is None:
        raise BadInput(
            f"evaluates {', '.join(names) or 'no model'}, and none of them has the weights of"
            " this model",
            file=folder,
            remedy="give an evaluation of exactly these weights",
        )
    with open_bytes(folder / "table.tsv") as stream:
        table = pd.read_csv(stream, sep="\t", na_values="NA", keep_default_na=False)
    own = table[table["contender"] == table["mode"] + f"-{name}"]
    if own.empty:
        raise BadInput(f"has no finished row of {name}", file=folder / "table.tsv")
    rows = [_row(row, table) for row in own.to_dict("records")]
    protocols = [*dict.fromkeys(own["protocol"])]
    if len(names[name]) > 1:
        protocols.append(f"means over {len(names[name])} models, of which this is one")
    files = {task: folder / "leakage" / f"{task}.tsv" for task in own["task"].unique()}
    looked_at = {task: _looked_at(file, names) for task, file in files.items()}
    if name not in looked_at.values():
        others = " and ".join(dict.fromkeys(looked_at.values()))
        unknown = f"the evaluation checked the pretraining of {others}"
        return Evidence(pd.DataFrame(rows), tuple(protocols), None, unknown)
    leaks = [_leak(file, task, looked_at[task] == name) for task, file in files.items()]
    return Evidence(pd.DataFrame(rows), tuple(protocols), pd.DataFrame(leaks))


def _names(folder: Path) -> dict[str, set[str]]:
    """Digests of the models of each name, in the order in which the names were given."""
    described = evaluation_in(folder)
    if described is None:
        raise BadInput(
            "is not an evaluation: it has no settings.yaml of one",
            file=folder,
            remedy="give a folder written by findna evaluate",
        )
    found: dict[str, set[str]] = {}
    for key, digest in described.get("digests", {}).items():
        if match := _MODEL.fullmatch(key):
            found.setdefault(match["name"], set()).add(digest)
    return found


def _row(row: Mapping[Any, Any], table: pd.DataFrame) -> dict[str, str]:
    here = table[table["task"] == row["task"]]
    same = here[here["mode"] == row["mode"]]
    random = same[same["contender"].str.match(f"{row['mode']}-random(-|$)")]
    return {
        "task": row["task"],
        "contender": row["contender"],
        "metric": row["metric"],
        "train_rows": f"{int(row['train_rows']):,}",
        "seeds": str(row["seeds"]) if row["draws"] else "deterministic",
        "score": _score(row),
        "random": " or ".join(map(_score, random.to_dict("records"))),
        "words": " or ".join(map(_score, here[here["contender"] == "kmer"].to_dict("records"))),
    }


def _score(row: Mapping[Any, Any]) -> str:
    mean, low, high = (None if pd.isna(row[key]) else row[key] for key in ("mean", "low", "high"))
    return str(Metric(mean, low, high, str(row["undefined"])))


def _looked_at(file: Path, names: Mapping[str, Collection[str]]) -> str:
    """The model whose pretraining a leakage report is about: a start with other models first makes
    it anew. Reports of the time before this was kept are about the first name.
    """
    made_from = file.with_suffix(".json")
    if not made_from.is_file():
        return next(iter(names))
    digest = read_json(made_from)["model"]
    return next((name for name, found in names.items() if digest in found), "no model")


def _leak(file: Path, task: str, about_it: bool) -> dict[str, str]:
    if not (about_it and file.is_file()):
        return {"task": task, "genome": "not checked", "seen": "not checked"}
    with open_bytes(file) as stream:
        rows = pd.read_csv(stream, sep="\t", na_values="NA", keep_default_na=False)
    test = rows[rows["split"] == "test"]
    return {"task": task, "genome": _found(test, IN_GENOME), "seen": _found(test, IN_SEEN)}


def _found(rows: pd.DataFrame, check: str) -> str:
    found = rows[rows["check"] == check].to_dict("records")
    return (
        "; ".join(
            str(row["note"])
            if pd.isna(row["rows"])
            else f"{int(row['rows']):,} of {int(row['of']):,}"
            for row in found
        )
        or "not checked"
    )
