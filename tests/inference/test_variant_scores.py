"""Scores of variants: plain loops, swaps on a genome that carries ALT, spellings, company."""

import logging

import numpy as np
import pytest
import torch

from findna.files import BadInput
from findna.inference.answers import scores_of, task_outputs
from findna.inference.embed import embeddings
from findna.inference.masked import hidden_log_probs
from findna.inference.variants.background import Background
from findna.inference.variants.scores import DIST, LLR, OWN, VariantScorer
from findna.model.heads import TaskConfig
from findna.model.model import new_model
from findna.model.presets import ModelConfig
from findna.sequence.alphabet import encode, reverse_complement
from findna.sequence.genome import Genome
from findna.sequence.variants import Variant

SHAPE = {"width": 24, "hidden": 32, "track_size": 8, "depth": 3, "summary_tokens": 2}
WINDOW = 64
TASK = {"kind": "binary", "classes": ["no", "yes"]}


def model(task=None):
    net = new_model(ModelConfig.parse({"backbone": SHAPE, "task": task}, source="test"), seed=1)
    if net.task_head is not None:
        # A fresh head answers nothing.
        torch.nn.init.normal_(
            net.task_head.linear.weight, generator=torch.Generator().manual_seed(2)
        )
    return net.eval()


def letters_of(length, seed=0):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


CHR1 = letters_of(120, 1) + "CACACACACACATTTTTT" + letters_of(120, 2).lower() + "NNNNN"
CHR2 = letters_of(150, 3)


def genome_of(folder, name="genome", **chroms):
    file = folder / f"{name}.fa"
    file.write_text("".join(f">{c}\n{letters}\n" for c, letters in chroms.items()))
    return Genome.open(file, cache=folder)


@pytest.fixture
def genome(tmp_path):
    return genome_of(tmp_path, chr1=CHR1, chr2=CHR2)


def at(start, length, alt, chrom="chr1"):
    """The variant that puts `alt` over `length` bases; @ stands for another base than REF has."""
    ref = {"chr1": CHR1, "chr2": CHR2}[chrom].upper()[start : start + length]
    swap = str.maketrans("ACGT", "CGTA")
    put = [ref[i].translate(swap) if a == "@" else a for i, a in enumerate(alt)]
    return Variant(chrom, start, ref, "".join(put))


VARIANTS = {
    "snv": at(60, 1, "@"),
    "snv in lower case": at(170, 1, "@"),
    "snv at the first base": at(0, 1, "@"),
    "snv at the last base": at(149, 1, "@", "chr2"),
    "mnv": at(70, 3, "@@@"),
    "insertion": at(80, 0, "ACGTTGCA"),
    "insertion in a repeat": at(126, 0, "CA"),
    "insertion near the start": at(2, 0, "GGG"),
    "deletion": at(90, 5, ""),
    "deletion near the end": at(145, 3, "", "chr2"),
    "deletion in lower case": at(190, 11, ""),
    "long deletion": at(60, 32, ""),
    "delins": at(100, 4, "@C"),
}


# ---------------------------------------------------------------- laws


@pytest.mark.parametrize("task", [None, TASK])
def test_swapping_negates_signed_scores_and_keeps_distances(genome, tmp_path, task):
    net = model(task)
    forth = VariantScorer(net, genome, window=WINDOW).score(list(VARIANTS.values()))
    for row, (name, variant) in enumerate(VARIANTS.items()):
        chroms = {"chr1": CHR1, "chr2": CHR2}
        letters = chroms[variant.chrom]
        chroms[variant.chrom] = letters[: variant.start] + variant.alt + letters[variant.end :]
        carrier = genome_of(tmp_path, "carrier", **chroms)
        turned = Variant(variant.chrom, variant.start, variant.alt, variant.ref)
        back = VariantScorer(net, carrier, window=WINDOW).score([turned])
        for field in forth:
            sign = 1 if field == DIST else -1
            expected = sign * forth[field][row]
            found = back[field][0]
            assert np.isclose(found, expected, atol=1e-5, equal_nan=True), (name, field)
    assert (forth[DIST] > 1e-3).all() and (forth[LLR].abs() > 1e-4).all()
    is_indel = np.array([len(v.ref) != len(v.alt) for v in VARIANTS.values()])
    assert np.array_equal(forth[OWN].notna(), is_indel)


def test_a_score_does_not_depend_on_the_company(genome):
    net = model({"kind": "multiclass", "classes": ["a", "b", "c"]})
    variants = [*VARIANTS.values(), *VARIANTS.values()]
    scorer = VariantScorer(net, genome, window=WINDOW)
    together = scorer.score(variants).to_numpy()
    alone = np.concatenate([scorer.score([v]).to_numpy() for v in VARIANTS.values()])
    assert np.allclose(together[: len(alone)], alone, atol=1e-5, equal_nan=True)
    assert np.array_equal(together[: len(alone)], together[len(alone) :], equal_nan=True)
    order = np.random.default_rng(4).permutation(len(variants))
    shuffled = scorer.score([variants[i] for i in order]).to_numpy()
    assert np.allclose(shuffled, together[order], atol=1e-5, equal_nan=True)
    for rows in (1, 8, 64):
        scorer = VariantScorer(net, genome, window=WINDOW, batch_bases=rows * WINDOW)
        assert np.allclose(scorer.score(variants), together, atol=1e-5, equal_nan=True)


def test_chunks_change_nothing(genome, monkeypatch):
    net, variants = model(), list(VARIANTS.values())
    whole = VariantScorer(net, genome, window=WINDOW).score(variants)
    monkeypatch.setattr("findna.inference.variants.scores._CHUNK_BASES", 2 * WINDOW)
    pieces = VariantScorer(net, genome, window=WINDOW).score(variants)
    assert np.allclose(pieces, whole, atol=1e-5, equal_nan=True)


def test_equivalent_spellings_score_equally(genome):
    scorer = VariantScorer(model(), genome, window=WINDOW)
    spelled = [
        [Variant("chr1", p, CHR1[p : p + 2], "") for p in range(120, 131)],
        [Variant("chr1", p, "", CHR1[p : p + 2]) for p in range(120, 129, 2)]
        + [Variant("chr1", 119, CHR1[119], CHR1[119] + "CA"), at(120, 12, "CA" * 7)],
        [at(60, 1, "@"), at(59, 2, CHR1[59] + "@")],
        [at(60, 1, "@"), Variant("chr1", 58, CHR1[58:63], changed(CHR1, at(60, 1, "@"))[58:63])],
        [at(70, 2, "@@"), Variant("chr1", 69, CHR1[69:73], changed(CHR1, at(70, 2, "@@"))[69:73])],
    ]
    for same in spelled:
        scores = scorer.score(same).to_numpy()
        assert np.array_equal(scores, np.repeat(scores[:1], len(same), 0), equal_nan=True)


def changed(letters, variant):
    return letters[: variant.start] + variant.alt + letters[variant.end :]


# ---------------------------------------------------------------- plain second implementations


def leftmost(variant):
    """Base by base."""
    start, ref, alt = variant.start, variant.ref, variant.alt
    while start and not (ref and alt) and CHR1[start - 1] == (ref or alt)[-1]:
        start, ref, alt = start - 1, ref[-1:] + ref[:-1], alt[-1:] + alt[:-1]
    return Variant("chr1", start, ref, alt)


def windows_of(variant, chrom=CHR1):
    variant = leftmost(variant)
    padded = "N" * WINDOW + chrom.upper() + "N" * WINDOW
    left = (WINDOW - max(len(variant.ref), len(variant.alt))) // 2
    begin = WINDOW + variant.start - left
    alt = padded[: WINDOW + variant.start] + variant.alt + padded[WINDOW + variant.end :]
    return encode(padded[begin : begin + WINDOW]), encode(alt[begin : begin + WINDOW]), left


def hidden_sum(net, window, places, letters):
    """Ln P of the letters at places of one window, all hidden at once, strand by strand."""
    hidden = np.zeros((1, WINDOW), bool)
    hidden[0, places] = True
    total = 0.0
    for turned in (False, True):
        codes = reverse_complement(window) if turned else window
        asked = hidden[:, ::-1].copy() if turned else hidden
        found = hidden_log_probs(net, codes[None], asked, strand="forward")[0]
        for place, letter in zip(places, letters, strict=True):
            total += found[WINDOW - 1 - place, 3 - letter] if turned else found[place, letter]
    return total / 2


@pytest.mark.parametrize("name", ["snv", "mnv", "snv at the first base"])
def test_substitutions_equal_a_plain_loop(genome, name):
    net, variant = model(), VARIANTS[name]
    ref, alt, left = windows_of(variant)
    places = [left + i for i in range(len(variant.ref))]
    expected = hidden_sum(net, ref, places, alt[places]) - hidden_sum(net, ref, places, ref[places])
    found = VariantScorer(net, genome, window=WINDOW).score([variant])[LLR][0]
    assert np.isclose(found, expected, atol=1e-5)


def test_an_unchanged_base_within_an_mnv_stays_visible(genome):
    net = model()
    variant = Variant("chr1", 70, CHR1[70:73], at(70, 1, "@").alt + CHR1[71] + at(72, 1, "@").alt)
    ref, alt, left = windows_of(variant)
    places = [left, left + 2]
    expected = hidden_sum(net, ref, places, alt[places]) - hidden_sum(net, ref, places, ref[places])
    found = VariantScorer(net, genome, window=WINDOW).score([variant])[LLR][0]
    assert np.isclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "flank"),
    [("insertion", 64), ("deletion", 64), ("delins", 64), ("insertion near the start", 64),
     ("deletion", 2)],
)  # fmt: skip
def test_indels_equal_a_plain_loop(genome, monkeypatch, name, flank):
    monkeypatch.setattr("findna.inference.variants.scores.FLANK", flank)
    net, variant = model(), VARIANTS[name]
    ref, alt, left = windows_of(variant)
    flanks, own = 0.0, 0.0
    for window, length, sign in ((ref, len(variant.ref), -1), (alt, len(variant.alt), 1)):
        for phase in range(8):
            distances = range(phase, min(flank, left), 8)
            places = [left - 1 - d for d in distances] + [left + length + d for d in distances]
            places = [place for place in places if window[place] < 4]
            flanks += sign * hidden_sum(net, window, places, window[places])
            inside = list(range(left + phase, left + length, 8))
            own += sign * hidden_sum(net, window, inside, window[inside])
    found = VariantScorer(net, genome, window=WINDOW).score([variant])
    assert np.isclose(found[LLR][0], flanks, atol=1e-5)
    assert np.isclose(found[OWN][0], own, atol=1e-5)


def test_distances_and_answers_equal_those_of_the_windows(genome):
    tasks = [
        TASK,
        {"kind": "multilabel", "classes": ["a b", "a_b", 'q"']},
        {"kind": "regression", "classes": ["level"], "target_mean": [7.0], "target_sd": [3.0]},
    ]
    names = [
        ["FINDNA_LOGIT_yes"],
        ["FINDNA_LOGIT_a_b", "FINDNA_LOGIT_a_b_", "FINDNA_LOGIT_q_"],
        ["FINDNA_CHANGE_level"],
    ]
    variants = [VARIANTS["mnv"], VARIANTS["deletion"]]
    windows = [w for v in variants for w in windows_of(v)[:2]]
    for described, expected in zip(tasks, names, strict=True):
        net = model(described)
        scorer = VariantScorer(net, genome, window=WINDOW)
        assert [field.name for field in scorer.fields] == [LLR, OWN, DIST, *expected]
        logits = described["kind"] != "regression"
        assert ("before calibration" in scorer.fields[-1].description) == logits
        found = scorer.score(variants)
        vectors = embeddings(net, windows)
        assert np.allclose(
            found[DIST], np.linalg.norm(vectors[::2] - vectors[1::2], axis=1), atol=1e-5
        )
        answers = task_outputs(net, windows)
        if described["kind"] == "regression":
            answers = scores_of(answers, TaskConfig(**described))
        assert np.allclose(found[expected], answers[1::2] - answers[::2], atol=1e-5)


def test_the_forward_strand_alone_gives_other_numbers(genome):
    net, variant = model(), VARIANTS["snv"]
    scorer = VariantScorer(net, genome, window=WINDOW, strand="forward")
    ref, alt, left = windows_of(variant)
    hidden = np.zeros((1, WINDOW), bool)
    hidden[0, left] = True
    found = hidden_log_probs(net, ref[None], hidden, strand="forward")[0, left]
    assert np.isclose(
        scorer.score([variant])[LLR][0], found[alt[left]] - found[ref[left]], atol=1e-5
    )
    assert "forward strand" in scorer.fields[0].description


# ---------------------------------------------------------------- what is computed, what refused


def test_one_pass_serves_all_alts_of_a_place(genome, monkeypatch):
    net, seen = model(), []
    encode_once = net.encode
    monkeypatch.setattr(
        net,
        "encode",
        lambda codes, *rest, **more: seen.append(len(codes)) or encode_once(codes, *rest, **more),
    )
    ref = CHR1[60]
    variants = [Variant("chr1", 60, ref, letter) for letter in "ACGT" if letter != ref]
    VariantScorer(net, genome, window=WINDOW).score(variants * 3)
    # On either strand: one window with the base hidden; one with REF and three with ALT.
    assert sum(seen) == 2 * (1 + 4)


@pytest.mark.parametrize(
    ("variant", "reason"),
    [
        (Variant("chr1", 243, "GTC", "GNC"), "REF or ALT holds N"),
        (Variant("chr1", 258, "N", "A"), "REF or ALT holds N"),
        (at(10, 2, CHR1[10:12]), "REF and ALT are the same"),
        (at(10, 33, ""), "longer than half of the window of 64 bases"),
        (at(10, 0, "A" * 10_000), "longer than half of the window of 64 bases"),
        (at(10, 32, ""), None),
        # Padding does not count.
        (Variant("chr1", 10, CHR1[10:60], changed(CHR1, at(30, 1, "@"))[10:60]), None),
    ],
)
def test_reasons(genome, variant, reason):
    assert VariantScorer(model(), genome, window=WINDOW).reason(variant) == reason


def test_what_has_a_reason_is_nan_and_nothing_else_is(genome):
    scorer = VariantScorer(model(), genome, window=WINDOW)
    found = scorer.score([at(10, 33, ""), VARIANTS["snv"], at(10, 2, CHR1[10:12])])
    assert found[DIST].isna().tolist() == [True, False, True]
    assert found.iloc[[0, 2]].isna().all(axis=None)
    empty = scorer.score([])
    assert len(empty) == 0 and list(empty) == [LLR, OWN, DIST]


def test_a_ref_of_another_genome_is_not_scored(genome):
    wrong = at(60, 1, "@")
    with pytest.raises(ValueError, match="the genome has"):
        VariantScorer(model(), genome, window=WINDOW).score(
            [VARIANTS["snv"], Variant("chr1", 60, wrong.alt, wrong.ref)]
        )


def test_a_circle_is_read_across_its_origin(tmp_path):
    net = model()
    letters = letters_of(200, 9)
    turned = letters[100:] + letters[:100]
    first = VariantScorer(
        net, genome_of(tmp_path, "one", chrM=letters), window=WINDOW, circular=["chrM"]
    )
    second = VariantScorer(
        net, genome_of(tmp_path, "two", chrM=turned), window=WINDOW, circular=["MT"]
    )
    swap = str.maketrans("ACGT", "CGTA")
    for start, length, added in ((3, 1, None), (198, 4, ""), (0, 0, "GAT")):
        doubled = letters + letters
        ref = doubled[start : start + length]
        alt = ref.translate(swap) if added is None else added
        here = Variant("chrM", start, ref, alt)
        there = Variant("chrM", (start + 100) % 200, ref, alt)
        assert np.allclose(first.score([here]), second.score([there]), atol=1e-5, equal_nan=True)
    short = VariantScorer(
        net, genome_of(tmp_path, "short", chrM=letters[:70]), window=WINDOW, circular=["chrM"]
    )
    assert short.reason(Variant("chrM", 3, letters[3:9], "")) is None
    assert "circular chromosome" in short.reason(Variant("chrM", 3, letters[3:10], ""))


def test_windows_that_make_no_sense_are_told(genome, caplog):
    net = model()
    net.provenance = {"trained_lengths": [16, 50]}
    with pytest.raises(BadInput, match="8 bases leaves no context"):
        VariantScorer(net, genome, window=8)
    with caplog.at_level(logging.WARNING, logger="findna"):
        VariantScorer(net, genome, window=64)
    assert "64 bp is outside the 16 to 50 bp" in caplog.text
    assert VariantScorer(net, genome).window == 50


def test_a_likelihood_read_after_fine_tuning_is_marked(genome):
    marks = []
    for task, trained in (
        (None, None), (TASK, "full"), (TASK, "last"), (TASK, "head"), (TASK, "probe"),
    ):  # fmt: skip
        net = model(task)
        net.provenance = {"trained": trained}
        fields = VariantScorer(net, genome, window=WINDOW).fields
        marks.append(["less reliable" in field.description for field in fields[:3]])
    assert marks == [[False] * 3, [True, True, False], [True, True, False], *[[False] * 3] * 2]


def test_descriptions_state_unit_and_direction_and_fit_a_header(genome):
    for task in (None, {"kind": "multiclass", "classes": ['a"b', "c\\d\ne"]}):
        for field in VariantScorer(model(task), genome, window=WINDOW).fields:
            assert not set('"\\\n') & set(field.description)
            assert "negative = " in field.description or field.name == DIST
            assert "both strands" in field.description


def test_no_score_is_called_as_the_percentile_of_another(genome):
    task = {"kind": "multilabel", "classes": ["top", "top_PCT", "top PCT"]}
    scorer = VariantScorer(model(task), genome, window=WINDOW)
    names = [f.name for f in (*scorer.fields, *Background.of(scorer).fields)]
    assert len(set(names)) == len(names) and "FINDNA_LOGIT_top_PCT_" in names
