"""ClinVar's single-base variants inside the human regions: pathogenic or benign?

    python benchmarks/clinvar.py [-m MODEL] [--data ../shared/data] -o docs/results/clinvar

AUROC of every score of `findna score-variants`, beside the scores the file carries and beside three
that need no model. What kind of place a variant hits (splice site, stop codon, intron) says most of
its label, so the figure that counts is the one within such groups: the share of pairs, one
pathogenic and one benign variant of the same group, that a score orders rightly. Intervals resample
variants within groups.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from findna.files import atomic_file
from findna.inference.score_variants import score_variants
from findna.model.loading import DEFAULT, pick_model
from findna.sequence.genome import Genome

Floats = NDArray[np.float64]

# Which way a score that the file carries points, as its authors define it.
HIGH_IS_PATHOGENIC = {
    "PhyloP": 1,
    "GPN_MSA": -1,
    "Evo2_7B": -1,
    "Evo2_40B": -1,
    "DNABERT2": 1,
    "PhyloGPN": -1,
    "AlphaGenome_raw": 1,
    "ntv3_pre_position_llr": -1,
    "gpnstar_v_llr": -1,
}
RESAMPLES = 2000
FEWEST = 5  # of either label, for a group to have a line of its own


def trivial(rows: pd.DataFrame, others: pd.DataFrame, genome: Genome) -> dict[str, Floats]:
    """Scores without a model, high where pathogenic is expected."""
    rate = others.groupby("groups")["label_pathogenic"].mean()
    contexts = [
        genome.fetch(chrom, pos - 3, pos + 2).codes
        for chrom, pos in zip(rows["chrom"], rows["pos"], strict=True)
    ]
    codes = np.array(contexts)
    alt = np.array(["ACGT".index(a) for a in rows["alt"]])
    before_g = (codes[:, 2] == 1) & (codes[:, 3] == 2) & (alt == 3)
    after_c = (codes[:, 2] == 2) & (codes[:, 1] == 1) & (alt == 0)
    return {
        "consequence group": rows["groups"].map(rate).fillna(rate.mean()).to_numpy(float),
        "no CpG transition": 1.0 - (before_g | after_c),
        "5-mer log-ratio": -five_mer_log_ratio(codes, alt, genome),
    }


def five_mer_log_ratio(codes: NDArray[np.uint8], alt: NDArray[np.int64], genome: Genome) -> Floats:
    """Log P(ALT | two letters on either side) - log P(REF | same), both strands counted, (n,)."""
    counts = np.ones(4**5)
    place = 4 ** np.arange(4, -1, -1)
    for offset, length in zip(genome.offsets, genome.lengths, strict=True):
        bases = np.asarray(genome.store[offset : offset + length]) & 7
        words = np.lib.stride_tricks.sliding_window_view(bases, 5)
        words = words[(words < 4).all(1)].astype(np.int64)
        counts += np.bincount(words @ place, minlength=4**5)
        counts += np.bincount((3 - words[:, ::-1]) @ place, minlength=4**5)
    ref = codes.astype(np.int64)
    other = ref.copy()
    other[:, 2] = alt
    return np.asarray(np.log(counts[other @ place]) - np.log(counts[ref @ place]))


def within_groups(
    score: Floats, label: NDArray[np.bool_], group: NDArray[np.int64]
) -> tuple[float, float]:
    """Pairs of one group that a score orders rightly (ties count half), and pairs in all."""
    right = pairs = 0.0
    for g in np.unique(group):
        here = group == g
        positive = label[here]
        n, m = positive.sum(), (~positive).sum()
        if n and m:
            right += rankdata(score[here])[positive].sum() - n * (n + 1) / 2
            pairs += n * m
    return right, pairs


def interval(
    score: Floats, label: NDArray[np.bool_], strata: NDArray[np.int64], group: NDArray[np.int64]
) -> tuple[float, float, float]:
    """AUROC over pairs of one group with its 95 % interval; `strata` are resampled within."""
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(strata == s) for s in np.unique(strata)]
    drawn = []
    for _ in range(RESAMPLES):
        at = np.concatenate([rng.choice(m, len(m)) for m in members])
        right, pairs = within_groups(score[at], label[at], group[at])
        drawn.append(right / pairs)
    right, pairs = within_groups(score, label, group)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return right / pairs, float(low), float(high)


def table(rows: pd.DataFrame, scores: dict[str, Floats], held_out: set[str]) -> pd.DataFrame:
    """One line a score and subset: AUROC, interval, counts."""
    label = rows["label_pathogenic"].to_numpy() > 0
    group = rows["groups"].astype("category").cat.codes.to_numpy().astype(np.int64)
    strata = group * 2 + label
    everywhere = np.ones(len(rows), bool)
    one = np.zeros(len(rows), np.int64)
    outside = ("chr" + rows["chrom"].astype(str)).isin(held_out).to_numpy()
    subsets: list[tuple[str, NDArray[np.bool_], NDArray[np.int64]]] = [
        ("within consequence groups", everywhere, group),
        ("pooled", everywhere, one),
        ("pooled, outside pretraining", outside, one),
    ]
    for name in sorted(rows["groups"].unique()):
        here = (rows["groups"] == name).to_numpy()
        if min((label & here).sum(), (~label & here).sum()) >= FEWEST:
            subsets.append((name, here, one))
    lines = []
    for subset, keep, grouping in subsets:
        for name, score in scores.items():
            found, low, high = interval(
                score[keep], label[keep], strata[keep] if grouping is group else label[keep] + 0,
                grouping[keep],
            )  # fmt: skip
            counts = int(label[keep].sum()), int((~label[keep]).sum())
            lines.append((subset, name, found, low, high, *counts))
    columns = ["subset", "score", "auroc", "low", "high", "pathogenic", "benign"]
    return pd.DataFrame(lines, columns=columns)


def markdown(lines: pd.DataFrame) -> str:
    """The table to read: a row a score, a column a subset."""
    shown = lines.assign(
        cell=[f"{r.auroc:.3f} [{r.low:.3f}, {r.high:.3f}]" for r in lines.itertuples()],
        head=[f"{r.subset} ({r.pathogenic}/{r.benign})" for r in lines.itertuples()],
    )
    wide = shown.pivot(index="score", columns="head", values="cell")
    wide = wide.loc[lines["score"].drop_duplicates(), shown["head"].drop_duplicates()]
    head = "| score | " + " | ".join(wide.columns) + " |"
    rule = "|---" * (len(wide.columns) + 1) + "|"
    rows = ["| " + " | ".join([name, *cells]) + " |" for name, *cells in wide.itertuples()]
    return "\n".join([head, rule, *rows]) + "\n"


def main() -> None:
    """Score, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-m", "--model", default=DEFAULT)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/clinvar"))
    given = parser.parse_args()
    out: Path = given.output
    everything = pd.read_csv(
        given.data / "variants" / "clinvar_vepeval_sample1000_grch38.csv.gz", dtype={"chrom": str}
    ).rename(columns={"pos_1based": "pos"})
    covered = everything["covered_in_hg38_regions_flank256"] == 1
    rows = everything[covered].reset_index(drop=True)
    genome = Genome.open(given.data / "human_hg38" / "hg38_regions.fa.gz")
    model = pick_model(given.model)
    scored = score_variants(rows[["chrom", "pos", "ref", "alt"]], genome, model).table
    signs: dict[str, Callable[[Floats], Floats]] = {
        "FINDNA_LLR": lambda x: -x,
        "FINDNA_DIST": lambda x: x,
        "FINDNA_LLR_PCT": lambda x: -x,
        "FINDNA_DIST_PCT": lambda x: x,
    }
    scores = {
        name: sign(scored[name].to_numpy(float)) for name, sign in signs.items() if name in scored
    }
    scores |= {n: s * rows[n].to_numpy(float) for n, s in HIGH_IS_PATHOGENIC.items()}
    scores |= trivial(rows, everything[~covered], genome)
    lines = table(rows, scores, set(model.provenance.get("held_out_chromosomes", ())))
    out.mkdir(parents=True, exist_ok=True)
    with atomic_file(out / "table.tsv", overwrite=True) as made:
        lines.to_csv(made, sep="\t", index=False, float_format="%.4f")
    with atomic_file(out / "scores.tsv", overwrite=True) as made:
        scored.to_csv(made, sep="\t", index=False, float_format="%.5f")
    with atomic_file(out / "table.md", overwrite=True) as made:
        made.write_text(markdown(lines), encoding="utf-8")
    (out / "command.txt").write_text(f"python {shlex.join(sys.argv)}\n", encoding="utf-8")
    print(markdown(lines))


if __name__ == "__main__":
    main()
