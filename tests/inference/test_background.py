"""Percentiles against random variants: strata by hand, fair draws, ranks, and what is kept."""

import json
import logging

import numpy as np
import pandas as pd
import pytest
from scipy.stats import percentileofscore

from findna.files import BadInput
from findna.inference.variants import background, strata
from findna.inference.variants.background import Background, percentile
from findna.inference.variants.scores import DIST, LLR, OWN, VariantScorer
from findna.inference.variants.strata import Stratum, random_variants, strata_of
from findna.model.model import new_model
from findna.model.presets import ModelConfig
from findna.sequence.alphabet import reverse_complement
from findna.sequence.genome import Genome
from findna.sequence.variants import Variant

SHAPE = {"width": 16, "hidden": 16, "track_size": 8, "depth": 2, "summary_tokens": 1}


def model(seed=1):
    return new_model(ModelConfig.parse({"backbone": SHAPE}, source="test"), seed=seed).eval()


def letters_of(length, seed=0):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


LONG, SHORT = letters_of(6000, 1) + "N" * 2000, letters_of(2000, 2).lower()


@pytest.fixture
def scorer(tmp_path):
    file = tmp_path / "genome.fa"
    file.write_text(f">long\n{LONG}\n>short\n{SHORT}\n")
    return VariantScorer(model(), Genome.open(file, cache=tmp_path), window=32)


@pytest.fixture(autouse=True)
def _few(monkeypatch, tmp_path):
    monkeypatch.setattr(strata, "SUBSTITUTIONS", 60)
    monkeypatch.setattr(strata, "INDELS", 60)
    monkeypatch.setenv("FINDNA_CACHE", str(tmp_path / "cache"))


# ---------------------------------------------------------------- strata


def test_strata_by_hand(tmp_path):
    file = tmp_path / "genome.fa"
    #              0123456789012
    file.write_text(">c\nACGTGCATTCAcg\n")
    genome = Genome.open(file, cache=tmp_path)
    expected = [
        (Variant("c", 0, "A", "G"), "SNV T>C"),
        (Variant("c", 1, "C", "T"), "SNV C>T in CpG"),
        (Variant("c", 2, "G", "A"), "SNV C>T in CpG"),
        (Variant("c", 4, "G", "C"), "SNV C>G"),
        (Variant("c", 5, "C", "A"), "SNV C>A"),
        (Variant("c", 12, "G", "T"), "SNV C>A in CpG"),
        (Variant("c", 0, "AC", "AT"), "SNV C>T in CpG"),
        (Variant("c", 3, "TG", "GT"), "MNV 2"),
        # The G of the CpG is a neighbour here, one of the changed bases there.
        (Variant("c", 3, "TGCA", "AACT"), "MNV 3-4"),
        (Variant("c", 2, "GT", "TC"), "MNV 2 in CpG"),
        # A base that does not change counts neither as changed nor as CpG.
        (Variant("c", 0, "ACGT", "TCGA"), "MNV 2"),
        (Variant("c", 4, "GC", "G"), "deletion 1"),
        (Variant("c", 4, "GCATTC", "G"), "deletion 5-8"),
        (Variant("c", 4, "G", "GAAA"), "insertion 3-4"),
        (Variant("c", 4, "GCA", "TT"), "delins 3-4>2"),
    ]
    found = strata_of(genome, [variant for variant, _ in expected], {})
    assert [str(stratum) for stratum in found] == [name for _, name in expected]


def test_both_strands_are_one_stratum(scorer):
    genome = scorer.genome
    turned_file = scorer.genome.source + ".turned.fa"
    with open(turned_file, "w") as file:
        file.write(f">long\n{reverse_complement(LONG)}\n>short\n{reverse_complement(SHORT)}\n")
    turned = Genome.open(turned_file)
    for kind, change, cpg in (("SNV", "C", False), ("MNV", "2", True), ("delins", "2>1", False)):
        drawn = random_variants(scorer, Stratum(kind, change, cpg), seed=0)
        variants = [v for of in drawn.values() for v in of]
        back = [
            Variant(
                v.chrom,
                (len(LONG) if v.chrom == "long" else len(SHORT)) - v.end,
                reverse_complement(v.ref),
                reverse_complement(v.alt),
            )
            for v in variants
        ]
        assert strata_of(turned, back, {}) == strata_of(genome, variants, {})


# ---------------------------------------------------------------- draws


@pytest.mark.parametrize(
    "group",
    [
        Stratum("SNV", "C", True),
        Stratum("SNV", "T"),
        Stratum("MNV", "3-4"),
        Stratum("deletion", "5-8"),
        Stratum("insertion", "9-16"),
        Stratum("delins", "2>3-4"),
    ],
)
def test_draws_are_known_bases_of_their_stratum(scorer, group):
    drawn = random_variants(scorer, group, seed=3)
    assert len(drawn) == (3 if group.kind == "SNV" else 1)
    for stratum, variants in drawn.items():
        assert stratum.group == group
        assert len(variants) == len(set(variants)) == 60
        assert set(strata_of(scorer.genome, variants, {})) == {stratum}
        assert not any(scorer.reason(v) for v in variants)
        places = {"long": LONG, "short": SHORT}
        assert all(places[v.chrom][v.start] != "N" for v in variants)
    # Checks every REF.
    assert scorer.score([v for of in drawn.values() for v in of])[DIST].notna().all()
    again = random_variants(scorer, group, seed=3)
    assert again == drawn and random_variants(scorer, group, seed=4) != drawn


def test_draws_spread_over_contigs_by_length(scorer, monkeypatch):
    monkeypatch.setattr(strata, "SUBSTITUTIONS", 600)
    variants = random_variants(scorer, Stratum("SNV", "T"), seed=0)[Stratum("SNV", "T>A")]
    share = np.mean([v.chrom == "short" for v in variants])
    # A quarter of the known bases: four standard errors are 0.07.
    assert abs(share - 0.25) < 0.07
    starts = np.array([v.start for v in variants if v.chrom == "long"])
    assert abs(starts.mean() - 3000) < 4 * 6000 / 12**0.5 / len(starts) ** 0.5


def test_lengths_in_a_bin_are_all_met_and_fit_the_window(scorer):
    drawn = random_variants(scorer, Stratum("deletion", "9-16"), seed=0)
    lengths = [len(v.ref) for v in drawn[Stratum("deletion", "9-16")]]
    assert set(lengths) == set(range(9, 17))
    narrow = VariantScorer(scorer.model, scorer.genome, window=24)
    drawn = random_variants(narrow, Stratum("insertion", "9-16"), seed=0)
    assert {len(v.alt) for of in drawn.values() for v in of} == {9, 10, 11, 12}


# ---------------------------------------------------------------- percentiles


def test_percentiles_by_hand_and_by_scipy():
    background = np.array([1.0, 2.0, 2.0, 4.0])
    asked = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, np.nan])
    expected = [0, 12.5, 50, 75, 87.5, 100, np.nan]
    assert np.array_equal(percentile(background, asked), expected, equal_nan=True)
    by_scipy = percentileofscore(background, asked[:-1], kind="mean")
    assert np.allclose(percentile(background, asked)[:-1], by_scipy)
    assert np.isnan(percentile(np.array([]), asked)).all()


def test_percentiles_rank_within_the_stratum(scorer):
    found = Background.of(scorer, seed=5)
    variants = [Variant("long", p, LONG[p], "ACGT"["ACGT".index(LONG[p]) - 1]) for p in range(40)]
    variants += [Variant("long", 50, LONG[50:52], ""), Variant("short", 9, "", "GA")]
    scores = scorer.score(variants)
    table = found.percentiles(variants, scores)
    assert list(table) == [f"{name}_PCT" for name in (LLR, OWN, DIST)]
    assert [field.name for field in found.fields] == list(table)
    strata = strata_of(scorer.genome, variants, {})
    for stratum in set(strata):
        others = scorer.score(random_variants(scorer, stratum.group, 5)[stratum])
        for row in [row for row, its in enumerate(strata) if its == stratum]:
            for name in (LLR, OWN, DIST):
                expected = percentileofscore(others[name], scores[name][row], kind="mean")
                got = table[f"{name}_PCT"][row]
                assert np.isnan(got) == np.isnan(scores[name][row]), variants[row]
                # A tie within rounding may fall on either side.
                assert np.isnan(got) or abs(got - expected) <= 100 / len(others)
    # Nothing of a variant depends on the others.
    alone = found.percentiles(variants[7:8], scores.iloc[7:8].reset_index(drop=True))
    assert np.array_equal(alone, table.iloc[7:8], equal_nan=True)


def test_random_variants_have_uniform_percentiles(scorer, monkeypatch):
    """Drawn by another seed they are 50 on average: the background is what it claims to be."""
    monkeypatch.setattr(strata, "SUBSTITUTIONS", 150)
    variants = [v for of in random_variants(scorer, Stratum("SNV", "T"), 1).values() for v in of]
    table = Background.of(scorer, seed=0).percentiles(variants, scorer.score(variants))
    # Two samples of 150 a stratum, three strata: four standard errors.
    assert abs(table[f"{LLR}_PCT"].mean() - 50) < 4 * 100 / 12**0.5 * (2 / 450) ** 0.5


# ---------------------------------------------------------------- laziness and the cache


def snv(place=100):
    return Variant("long", place, LONG[place], "ACGT"["ACGT".index(LONG[place]) - 1])


def test_only_what_is_asked_for_is_made_and_it_is_kept(scorer, monkeypatch, caplog):
    found = Background.of(scorer)
    variants = [snv(), Variant("long", 50, LONG[50], LONG[50])]
    scores = scorer.score(variants)
    with caplog.at_level(logging.INFO, logger="findna"):
        table = found.percentiles(variants, scores)
    # Identical alleles have no score and ask for nothing.
    assert table.iloc[1].isna().all()
    (file,) = found.folder.iterdir()
    assert file.name.startswith("SNV-")
    assert sum("scoring 180 random variants" in record.message for record in caplog.records) == 1
    kept = json.loads(file.read_text())["identity"]
    assert kept["genome"] == scorer.genome.digest and kept["model"].startswith("sha256:")
    monkeypatch.setattr(VariantScorer, "score", None)
    caplog.clear()
    assert table.equals(Background.of(scorer).percentiles(variants, scores))
    assert not caplog.records


def test_other_models_genomes_and_settings_have_their_own(scorer, tmp_path):
    file = tmp_path / "other.fa"
    file.write_text(f">long\n{LONG}\n")
    others = [
        scorer,
        VariantScorer(model(2), scorer.genome, window=32),
        VariantScorer(scorer.model, Genome.open(file), window=32),
        VariantScorer(scorer.model, scorer.genome, window=40),
        VariantScorer(scorer.model, scorer.genome, window=32, strand="forward"),
        VariantScorer(scorer.model, scorer.genome, window=32, circular=["short"]),
    ]
    places = tmp_path / "places.tsv"
    for second in (6000, 7000):
        places.write_text(f"chrom\tstart\tend\nc\t0\t6000\nc\t{second}\t{second + 2000}\n")
        cut = tmp_path / "cut.fa"
        cut.write_text(f">a\n{LONG[:6000]}\n>b\n{SHORT}\n")
        placed = Genome.open(cut, regions=places)
        others.append(VariantScorer(scorer.model, placed, window=32))
    folders = {Background.of(other).folder for other in others}
    folders.add(Background.of(scorer, seed=1).folder)
    assert len(folders) == len(others) + 1
    same = VariantScorer(model(), scorer.genome, window=32, batch_bases=64)
    assert Background.of(same).folder == Background.of(scorer).folder


@pytest.mark.parametrize("key", ["model", "genome", "window"])
def test_a_foreign_background_is_refused(scorer, key):
    found = Background.of(scorer)
    scores = scorer.score([snv()])
    found.percentiles([snv()], scores)
    (file,) = found.folder.iterdir()
    described = json.loads(file.read_text())
    described["identity"][key] = "sha256:0"
    file.write_text(json.dumps(described))
    with pytest.raises(BadInput, match="another model, genome or setting") as error:
        Background.of(scorer).percentiles([snv()], scores)
    assert str(file) in str(error.value) and "delete it" in str(error.value)
    file.write_text("{")
    with pytest.raises(BadInput, match=r"is not JSON: (?s:.*)delete it: it will be made again"):
        Background.of(scorer).percentiles([snv()], scores)


def test_too_few_places_give_nan_and_one_warning(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(strata, "_MOST_BLOCKS", 4)
    file = tmp_path / "small.fa"
    letters = "AT" * 100 + "C" + "AT" * 100
    file.write_text(f">c\n{letters}\n")
    scorer = VariantScorer(model(), Genome.open(file, cache=tmp_path), window=32)
    variants = [Variant("c", 200, "C", "T"), Variant("c", 0, "A", "G"), Variant("c", 200, "C", "A")]
    scores = scorer.score(variants)
    found = Background.of(scorer)
    with caplog.at_level(logging.WARNING, logger="findna"):
        table = pd.concat([found.percentiles(variants, scores) for _ in range(2)])
    assert table[f"{LLR}_PCT"].isna().tolist() == [True, False, True] * 2
    said = [r.message for r in caplog.records if "no percentiles for SNV C>T" in r.message]
    assert len(said) == 1 and "has 1 of the 50 that are needed" in said[0]


def test_just_enough_places_are_compared_with_in_silence(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(strata, "_MOST_BLOCKS", 4)
    monkeypatch.setattr(background, "_FEWEST", 1)
    file = tmp_path / "small.fa"
    file.write_text(f">c\n{'AT' * 100 + 'C' + 'AT' * 100}\n")
    scorer = VariantScorer(model(), Genome.open(file, cache=tmp_path), window=32)
    variants = [Variant("c", 200, "C", "T")]
    table = Background.of(scorer).percentiles(variants, scorer.score(variants))
    # The only one of its kind is compared with itself.
    assert table[f"{LLR}_PCT"].tolist() == [50] and "no percentiles" not in caplog.text
