"""Does mutagenesis of a fine-tuned promoter model find the motifs that were planted?

    python benchmarks/mutagenesis_example.py [build/gain/1] [--promoters 40] -o OUTPUT

Takes a finished demo (`examples/demo.py`; made if it is not there) and every fine-tuning of its
promoter task that started from the pretrained model (`promoters-pretrained*`, seeds of one
another), mutates the first promoters of the test file with all of them, and asks of every base:
does it lie in a motif of that promoter? Prints AUROC of a base's mean absolute effect against that
truth, the mean over promoters with a 95 % interval (bootstrap over promoters), beside those of
gradient × input, of single models, and of G and C as a guess that needs no model. Bases of motifs
without function ("loners") are left out. OUTPUT holds the tables, and the
logo of the promoter that has most motifs, with all of them marked.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

import findna
from findna.inference.attribution.effects import Attribution, agreement
from findna.inference.attribution.files import mean_effects
from findna.report.attribution import Mutated, draw_logo
from findna.sequence.records import Record

DEMO = Path(__file__).resolve().parent.parent / "examples" / "demo.py"
RESAMPLES = 2000
OUTSIDE, INSIDE, LONER = 0, 1, 2

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Motif:
    """A planted motif, offsets [start, end) in the promoter as read; `gene` says it has a role."""

    name: str
    start: int
    end: int
    gene: bool


def demo_models(demo: Path) -> list[Path]:
    """The fine-tuned promoter models of a demo, which is made if it is not there."""
    if not (demo / "promoters-pretrained" / "model").is_dir():
        command = [sys.executable, str(DEMO), str(demo), "--steps", "280", "--tasks", "promoters"]
        subprocess.run(command, check=True)
    return sorted(p for p in demo.glob("promoters-pretrained*") if (p / "model").is_dir())


def first_promoters(example: Path, genome: findna.Genome, count: int) -> list[Record]:
    """The first promoters of the test file, as they were cut."""
    table = pd.read_csv(example / "promoters" / "test.csv")
    rows = table[table["label"] == "promoter"].head(count)
    return [
        Record(
            f"{row['chrom']}:{row['start']}-{row['end']}",
            genome.fetch(row["chrom"], row["start"], row["end"], row["strand"]).codes,
            row["chrom"],
            row["start"],
            row["end"],
            row["strand"],
        )
        for row in rows.to_dict("records")
    ]


def motifs_of(record: Record, motifs: pd.DataFrame) -> list[Motif]:
    """Motifs that touch a record, in its reading direction."""
    start, end = int(record.start or 0), int(record.end or 0)
    here = motifs[
        (motifs["chrom"] == record.chrom) & (motifs["start"] < end) & (motifs["end"] > start)
    ]
    found = []
    for low, high, name in here[["start", "end", "name"]].itertuples(index=False):
        first, last = max(low, start) - start, min(high, end) - start
        if record.strand == "-":
            first, last = end - start - last, end - start - first
        kind, _, owner = str(name).partition(":")
        found.append(Motif(kind, first, last, bool(owner)))
    return found


def truth(length: int, motifs: list[Motif]) -> NDArray[np.int64]:
    """For each base (L,): outside of motifs, inside one of a gene, or in a loner."""
    where = np.full(length, OUTSIDE)
    for motif in sorted(motifs, key=lambda m: m.gene):
        where[motif.start : motif.end] = INSIDE if motif.gene else LONER
    return where


def auroc(values: Values, where: NDArray[np.int64]) -> float:
    """Of bases inside against outside; loners take no part."""
    asked = where != LONER
    return float(roc_auc_score(where[asked] == INSIDE, values[asked]))


def interval(scores: Values) -> tuple[float, float, float]:
    """Mean over promoters and its 95 % bootstrap interval."""
    drawn = np.random.default_rng(0).integers(0, len(scores), (RESAMPLES, len(scores)))
    low, high = np.percentile(scores[drawn].mean(1), [2.5, 97.5])
    return float(scores.mean()), float(low), float(high)


def gradient_size(one: Attribution) -> Values:
    """Absolute gradient × input of each base."""
    return np.asarray(np.abs(one.contributions[np.arange(len(one.codes)), one.codes]))


def effect_size(one: Attribution) -> Values:
    """Mean absolute effect of the substitutions of each base."""
    return mean_effects(one.effects, one.codes)


def strong_letter(one: Attribution) -> Values:
    """1 for G and C: what needs no model."""
    return np.isin(one.codes, (1, 2)).astype(float)


def scored(found: Mapping[str, list[Attribution]], truths: list[NDArray[np.int64]]) -> pd.DataFrame:
    """One row a way of scoring bases: mean AUROC over promoters and its interval."""
    ways: dict[str, tuple[str, Callable[[Attribution], Values]]] = {
        "mutagenesis, mean of models": ("all", effect_size),
        "gradient x input, mean of models": ("all", gradient_size),
        **{f"mutagenesis, {name}": (name, effect_size) for name in found if name != "all"},
        "G or C, no model": ("all", strong_letter),
    }
    rows = []
    for way, (name, size) in ways.items():
        each = [auroc(size(one), where) for one, where in zip(found[name], truths, strict=True)]
        rows.append((way, len(each), *interval(np.array(each))))
    return pd.DataFrame(rows, columns=["way", "promoters", "auroc", "low", "high"])


def by_kind(found: list[Attribution], motifs: list[list[Motif]]) -> pd.DataFrame:
    """Mean absolute effect of a base by kind of motif, over the mean outside."""
    rows = []
    for one, here in zip(found, motifs, strict=True):
        size, where = effect_size(one), truth(len(one.codes), here)
        outside = float(size[where == OUTSIDE].mean())
        for motif in here:
            kind = motif.name if motif.gene else "loners"
            rows.append((kind, float(size[motif.start : motif.end].mean()) / outside))
    table = pd.DataFrame(rows, columns=["motif", "times outside"])
    return table.groupby("motif")["times outside"].agg(["count", "mean", "median"]).reset_index()


def marked_logo(one: Attribution, motifs: list[Motif], unit: str, path: Path) -> None:
    """The logo of a promoter with its motifs shaded: of its gene in colour, loners in grey."""
    letters = "".join("ACGTN"[code] for code in one.codes)
    record = Mutated(one.record.id, letters, one.effects, one.contributions, unit)
    figure = draw_logo(record)
    lines = list(record.rows())
    for at, axes in enumerate(figure.axes):
        line = lines[at // 2]
        for motif in motifs:
            low, high = max(motif.start, line.start), min(motif.end, line.stop)
            if low >= high:
                continue
            colour = "#ffd966" if motif.gene else "#d0d0d0"
            axes.axvspan(low - line.start, high - line.start, color=colour, alpha=0.5, zorder=-1)
            if at % 2 == 0:
                axes.annotate(
                    motif.name, ((low + high) / 2 - line.start, 1.0),
                    xycoords=("data", "axes fraction"), ha="center", va="bottom", fontsize=7,
                )  # fmt: skip
    for ending in ("png", "svg"):
        figure.savefig(path.with_suffix(f".{ending}"))


def main() -> int:
    """Mutate, score, draw; 1 if bases of motifs do not stand out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", type=Path, nargs="?", default=Path("build/gain/1"))
    parser.add_argument("--promoters", type=int, default=40)
    parser.add_argument("-o", "--output", type=Path, required=True)
    given = parser.parse_args()
    models = demo_models(given.demo)
    example = given.demo / "example"
    genome = findna.Genome.open(example / "genome.fa")
    records = first_promoters(example, genome, given.promoters)
    columns = ["chrom", "start", "end", "name"]
    bed = pd.read_csv(example / "motifs.bed", sep="\t", names=columns, usecols=range(4))
    motifs = [motifs_of(record, bed) for record in records]
    found, unit = mutated(records, models)
    table = scored(found, [truth(len(r.codes), m) for r, m in zip(records, motifs, strict=True)])
    kinds = by_kind(found["all"], motifs)
    given.output.mkdir(parents=True, exist_ok=True)
    table.to_csv(given.output / "auroc.tsv", sep="\t", index=False, float_format="%.3f")
    kinds.to_csv(given.output / "motifs.tsv", sep="\t", index=False, float_format="%.2f")
    most = int(np.argmax([sum(m.gene for m in here) for here in motifs]))
    marked_logo(found["all"][most], motifs[most], unit, given.output / "logo")
    print(table.to_string(index=False, float_format="%.3f"))
    print(kinds.to_string(index=False, float_format="%.2f"))
    agreed = np.array([one.models for one in found["all"]])
    print(f"agreement of models: median r = {np.median(agreed):.2f}, lowest {agreed.min():.2f}")
    return 0 if float(table["low"][0]) > 0.5 else 1


def mutated(records: list[Record], models: list[Path]) -> tuple[dict[str, list[Attribution]], str]:
    """Attributions by name of the model, and their mean over models as "all"; and their unit."""
    found, unit = {}, ""
    for model in models:
        result = findna.mutagenesis(records, model)
        found[model.name], unit = result.attributions or [], result.unit
        print(f"{model.name}: {len(records)} promoters", file=sys.stderr, flush=True)
    found["all"] = [averaged(list(each)) for each in zip(*found.values(), strict=True)]
    return found, unit


def averaged(each: list[Attribution]) -> Attribution:
    """One record's matrices averaged over models, as the verb does with several -m."""
    effects = [one.effects for one in each]
    contributions = np.mean([one.contributions for one in each], 0)
    agreed = agreement(effects, each[0].codes)
    return Attribution(each[0].record, np.mean(effects, 0), contributions, each[0].strands, agreed)


if __name__ == "__main__":
    sys.exit(main())
