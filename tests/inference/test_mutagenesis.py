"""Mutagenesis: laws of the matrices, a second way to each number, and the folder."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from findna.files import BadInput, OutputExists
from findna.inference import mutagenesis as verb
from findna.inference.attribution.effects import (
    against_reference,
    agreement,
    centred,
    gradients,
    marginals,
    substitution_effects,
    target_of,
    turned_back,
)
from findna.inference.attribution.files import base_table, mean_effects
from findna.inference.masked import hidden_log_probs
from findna.inference.mutagenesis import AGREEMENT, STABLE, UNMEASURED, UNSTABLE, mutagenesis
from findna.model.chordmixer import ChordMixerConfig
from findna.model.heads import ProjectionConfig, TaskConfig
from findna.model.model import new_model
from findna.model.presets import ModelConfig
from findna.sequence.alphabet import VOCABULARY, N, decode, reverse_complement
from findna.sequence.genome import Genome
from findna.sequence.records import Record
from findna.sequence.tracks import read_track

SMALL = ModelConfig(
    backbone=ChordMixerConfig(width=24, hidden=32, track_size=8, depth=3, summary_tokens=2),
    projection=ProjectionConfig(hidden=8, bottleneck=4, prototypes=4),
)
BINARY = TaskConfig(kind="binary", classes=("no", "yes"))


def task_model(task=BINARY, seed=0, stem=0):
    """A fine-tuned model whose head says something."""
    backbone = SMALL.backbone.model_copy(update={"stem": stem})
    config = SMALL.model_copy(update={"backbone": backbone})
    model = new_model(config, seed).with_task(task, seed)
    torch.nn.init.normal_(model.task_head.linear.weight, generator=torch.Generator().manual_seed(3))
    model.provenance = {"trained_lengths": [1, 10_000]}
    return model.eval()


def pretrained(seed=1, longest=24):
    model = new_model(SMALL, seed).eval()
    model.provenance = {"trained_lengths": [1, longest]}
    return model


def codes(length, seed=0):
    return np.random.default_rng(seed).integers(0, 4, length).astype(np.uint8)


def logit(model, sequence, strand="both"):
    with torch.no_grad():
        return model.task_logits(torch.from_numpy(sequence).long()[None], strand=strand)[0].numpy()


# ---------------------------------------------------------------- fine-tuned models


@pytest.mark.parametrize("strand", ["both", "forward"])
def test_an_effect_is_the_difference_of_two_passes(strand):
    model, sequence = task_model(), codes(13)
    sequence[4] = N
    found = substitution_effects(model, sequence, target_of(BINARY), strand=strand).mean(0)
    for place in range(13):
        for letter in range(4):
            changed = sequence.copy()
            changed[place] = letter
            expected = logit(model, changed, strand) - logit(model, sequence, strand)
            if place == 4:
                assert np.isnan(found[place, letter])
            else:
                assert found[place, letter] == pytest.approx(expected[0], abs=1e-5)
    known = np.arange(13) != 4
    assert (found[known, sequence[known]] == 0).all()
    assert np.abs(found[known]).max() > 1e-3


def test_the_other_strand_gives_the_same_matrix_turned():
    model, sequence, target = task_model(), codes(31), target_of(BINARY)
    turned = reverse_complement(sequence)
    for answer in (substitution_effects, gradients):
        ahead = answer(model, sequence, target)
        back = answer(model, turned, target)
        assert np.allclose(turned_back(back.mean(0)), ahead.mean(0), atol=1e-5)
        assert not np.allclose(ahead[0], ahead[1], atol=1e-3)


def test_batches_change_nothing():
    model, sequence, target = task_model(), codes(20), target_of(BINARY)
    one = substitution_effects(model, sequence, target, batch_bases=1)
    for bases in (8 * 20, 10_000):
        many = substitution_effects(model, sequence, target, batch_bases=bases)
        assert np.allclose(one, many, atol=1e-5)


def test_targets():
    several = TaskConfig(kind="multiclass", classes=("a", "b", "c"))
    model, sequence = task_model(several), codes(9)
    found = substitution_effects(model, sequence, target_of(several, "b"), strand="forward")[0]
    changed = sequence.copy()
    changed[2] = (sequence[2] + 1) % 4
    expected = logit(model, changed, "forward") - logit(model, sequence, "forward")
    assert found[2, changed[2]] == pytest.approx(expected[1], abs=1e-5)

    yes = substitution_effects(task_model(), sequence, target_of(BINARY))
    no = substitution_effects(task_model(), sequence, target_of(BINARY, "no"))
    assert np.allclose(yes, -no) and np.ptp(yes) > 0

    value = TaskConfig(kind="regression", classes=("tpm",), target_mean=(5.0,), target_sd=(3.0,))
    plain = value.model_copy(update={"target_sd": (1.0,)})
    scaled = substitution_effects(task_model(value), sequence, target_of(value))
    unscaled = substitution_effects(task_model(plain), sequence, target_of(plain))
    assert np.allclose(scaled, 3 * unscaled, atol=1e-5)
    with pytest.raises(BadInput, match="3 outputs"):
        target_of(several)
    with pytest.raises(BadInput, match="no class or target 'd'"):
        target_of(several, "d")


@pytest.mark.parametrize("stem", [0, 2])
def test_gradients_are_the_slope_along_a_one_hot_input(stem):
    """In fp64, by moving the weights of a letter a little in every place where it is read: its
    embedding and, with a stem, those of its neighbours.
    """
    model, sequence, step = task_model(stem=stem).double(), codes(11), 1e-5
    letters = model.encoder.embedding.weight[:4].detach()
    read = torch.from_numpy(sequence).long()[None]

    def at(weights):
        change = weights - torch.eye(4, dtype=torch.float64)[read[0]]
        noise = change @ letters
        for place in range(11):
            for beside in range(max(0, place - stem), min(11, place + stem + 1)) if stem else ():
                first = (beside - place + stem) * VOCABULARY
                reads = model.encoder.stem.linear.weight[:, first : first + 4].detach()
                noise[place] += reads @ change[beside]
        with torch.no_grad():
            return float(model.task_head(model.encode(read, noise=noise[None]))[0, 0])

    one_hot = torch.eye(4, dtype=torch.float64)[read[0]]
    slope = np.empty((11, 4))
    for place in range(11):
        for letter in range(4):
            moved = torch.zeros(11, 4, dtype=torch.float64)
            moved[place, letter] = step
            slope[place, letter] = (at(one_hot + moved) - at(one_hot - moved)) / (2 * step)
    found = gradients(model, sequence, target_of(BINARY), strand="forward")[0]
    assert np.allclose(found, slope - slope.mean(1, keepdims=True), atol=1e-7)
    assert np.abs(found).max() > 1e-3
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("strand", ["forward", "both"])
def test_slopes_of_words_are_the_effects_of_substitutions(strand):
    """A head of words alone is linear in the letters of one place."""
    reads = {"pooling": ("4-mers", "placed-pairs"), "places": 12}
    model = task_model(BINARY.model_copy(update=reads)).double()
    sequence, target = codes(20), target_of(BINARY)
    slope = gradients(model, sequence, target, strand=strand)
    effects = substitution_effects(model, sequence, target, strand=strand)
    assert np.allclose(slope, centred(effects), atol=1e-6)
    assert np.abs(slope).max() > 1e-3


def test_gradients_of_unknown_bases_are_not_said():
    sequence = codes(11)
    sequence[3] = N
    found = gradients(task_model(), sequence, target_of(BINARY))
    assert np.array_equal(np.isnan(found[0, :, 0]), sequence == N)
    assert np.allclose(np.nansum(found, axis=-1), 0, atol=1e-6)


# ---------------------------------------------------------------- pretrained models


@pytest.mark.parametrize("sets", [None, 3])
def test_marginals_are_hidden_base_log_probabilities(sets):
    model, sequence = pretrained(), codes(18)
    sequence[5] = N
    asked = np.ones(18, bool)
    found = marginals(model, sequence, asked, window=24, sets=sets).mean(0)
    for place in np.flatnonzero(sequence != N):
        # Every strand counts its sets from its own end.
        total = np.zeros((18, 4))
        for back in (False, True):
            at = 17 - place if back else place
            hidden = np.zeros((1, 18), bool)
            hidden[0, at % (sets or 18) :: sets or 18] = True
            read = reverse_complement(sequence) if back else sequence
            hidden &= read[None] != N
            one = hidden_log_probs(model, read[None], hidden, strand="forward")[0]
            total += turned_back(one.astype(float)) if back else one
        assert np.allclose(found[place], total[place] / 2, atol=1e-5)
    assert np.array_equal(np.isnan(found[:, 0]), sequence == N)


def test_long_sequences_are_read_in_windows():
    model, sequence = pretrained(), codes(100)
    asked = np.ones(100, bool)
    found = marginals(model, sequence, asked, window=24, strand="forward")[0]
    assert not np.isnan(found).any()
    first = marginals(model, sequence[:24], np.ones(24, bool), window=24, strand="forward")[0]
    assert np.allclose(found[:21], first[:21], atol=1e-5)
    turned = marginals(model, reverse_complement(sequence), asked, window=24)
    both = marginals(model, sequence, asked, window=24)
    assert np.allclose(turned_back(turned.mean(0)), both.mean(0), atol=1e-5)


def test_only_what_is_asked_is_answered_and_batches_change_nothing():
    model, sequence = pretrained(), codes(60)
    asked = np.zeros(60, bool)
    asked[20:40] = True
    some = marginals(model, sequence, asked, window=24, batch_bases=1)
    all_ = marginals(model, sequence, np.ones(60, bool), window=24, batch_bases=5000)
    assert np.array_equal(np.isnan(some[0, :, 0]), ~asked)
    assert np.allclose(some[:, asked], all_[:, asked], atol=1e-5)


def test_effects_are_against_the_base_that_stands_there():
    sequence = np.array([0, 3, N], np.uint8)
    log_probs = np.log([[[0.7, 0.1, 0.1, 0.1], [0.2, 0.2, 0.2, 0.4], [np.nan] * 4]])
    found = against_reference(log_probs, sequence)[0]
    assert np.allclose(found[0], np.log([1, 1 / 7, 1 / 7, 1 / 7]))
    assert np.allclose(found[1], np.log([0.5, 0.5, 0.5, 1])) and np.isnan(found[2]).all()


# ---------------------------------------------------------------- agreement


def test_agreement_by_hand():
    sequence, random = codes(30), np.random.default_rng(1)
    one, other = random.normal(size=(2, 30, 4))
    off = [(i, b) for i in range(30) for b in range(4) if b != sequence[i]]
    x, y = ([matrix[at] for at in off] for matrix in (one, other))
    assert agreement([one, other], sequence) == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert agreement([one, 2 * one + 1], sequence) == pytest.approx(1)
    assert agreement([one, -one], sequence) == pytest.approx(-1)
    three = [agreement(pair, sequence) for pair in ([one, other], [one, one + other], [other, one + other])]  # fmt: skip  # noqa: E501
    assert agreement([one, other, one + other], sequence) == pytest.approx(np.mean(three))
    assert np.isnan(agreement([one], sequence))
    assert np.isnan(agreement([one, np.zeros((30, 4))], sequence))


def test_palindromes_and_models_that_say_the_same_agree():
    half = codes(12)
    palindrome = np.concatenate([half, reverse_complement(half)])
    one = mutagenesis([Record("p", palindrome)], task_model(), device="cpu")
    # A palindrome reads the same on both strands, so its matrix turned back is the one mirrored.
    effects = substitution_effects(task_model(), palindrome, target_of(BINARY))
    assert np.allclose(turned_back(effects[0]), effects[1], atol=1e-5)
    twin = task_model()
    twin.task_head.linear.bias.data += 1  # a logit that is shifted changes by the same
    twins = mutagenesis([Record("r", codes(20))], [task_model(), twin], device="cpu")
    assert twins.agreement["models"][0] == pytest.approx(1)
    assert np.isnan(one.agreement["models"][0])


def test_what_is_unstable_is_said(caplog):
    records = [Record("r", codes(40))]
    models = [task_model(seed=0), task_model(seed=5)]
    found = mutagenesis(records, models, device="cpu")
    assert found.agreement["models"][0] < AGREEMENT
    assert found.agreement["verdict"][0] == UNSTABLE and UNSTABLE in caplog.text
    caplog.clear()
    alone = mutagenesis(records, models[0], strand="forward", device="cpu")
    assert alone.agreement["verdict"][0] == UNMEASURED and UNMEASURED in caplog.text


def test_what_is_stable_is_no_warning(caplog):
    twin = task_model()
    twin.task_head.linear.bias.data += 1
    how = {"strand": "forward", "device": "cpu"}
    found = mutagenesis([Record("r", codes(40))], [task_model(), twin], **how)
    assert found.agreement["verdict"][0] == STABLE and not caplog.records


def test_models_are_averaged():
    records, models = [Record("r", codes(15))], [task_model(seed=0), task_model(seed=5)]
    together = mutagenesis(records, models, device="cpu").attributions[0]
    single = [mutagenesis(records, m, device="cpu").attributions[0] for m in models]
    assert np.allclose(together.effects, (single[0].effects + single[1].effects) / 2)
    assert np.allclose(together.contributions, np.mean([s.contributions for s in single], 0))
    assert together.strands == pytest.approx(np.mean([s.strands for s in single]))


def test_seeds_warn_of_a_length_once(caplog):
    models = [task_model(seed=seed) for seed in (0, 5)]
    for model in models:
        model.provenance = {"trained_lengths": [50, 60]}
    mutagenesis([Record("r", codes(9))], models, device="cpu")
    assert caplog.text.count("9 bp is outside the 50 to 60 bp") == 1


def test_every_model_answers_in_its_own_units():
    seeds = [
        task_model(TaskConfig(kind="regression", classes=("level",), target_sd=(sd,)), seed)
        for seed, sd in ((0, 1.0), (1, 3.0))
    ]
    records = [Record("r", codes(15))]
    alone = [mutagenesis(records, m, device="cpu").attributions[0].effects for m in seeds]
    together = mutagenesis(records, seeds, device="cpu").attributions[0].effects
    assert np.allclose(together, np.mean(alone, 0), atol=1e-6)


def test_the_task_decides_the_strand():
    forward = BINARY.model_copy(update={"strand": "forward"})
    records = [Record("r", codes(15))]
    obeyed = mutagenesis(records, task_model(forward), device="cpu")
    expected = substitution_effects(
        task_model(forward), codes(15), target_of(forward), strand="forward"
    )
    assert np.allclose(obeyed.attributions[0].effects, expected[0], atol=1e-6)
    assert np.isnan(obeyed.agreement["strands"][0])
    both = mutagenesis(records, task_model(forward), strand="both", device="cpu")
    assert not np.isnan(both.agreement["strands"][0])


# ---------------------------------------------------------------- records, places, the folder


@pytest.fixture
def genome(tmp_path):
    letters = {name: decode(codes(300, seed)) for name, seed in (("chr2", 2), ("chr1", 1))}
    fasta = tmp_path / "genome.fa"
    fasta.write_text("".join(f">{name}\n{text}\n" for name, text in letters.items()))
    return fasta


def test_a_place_is_read_with_what_stands_around_it(genome, caplog):
    model = pretrained()
    model.provenance = {"trained_lengths": [24, 24]}
    found = mutagenesis("chr1:101-110", model, genome=genome, device="cpu").attributions[0]
    around = Genome.open(genome).fetch("chr1", 93, 117).codes
    asked = np.zeros(24, bool)
    asked[7:17] = True
    expected = marginals(model, around, asked, window=24)[:, 7:17].mean(0)
    assert np.allclose(found.contributions, centred(expected), atol=1e-5)
    assert "outside" not in caplog.text
    assert found.record.start == 100 and found.record.end == 110
    assert (found.effects[np.arange(10), found.codes] == 0).all()


def test_text_and_data_frames_are_read_as_their_records_are():
    letters = [decode(codes(20, seed)) for seed in (1, 2)]
    records = [Record("a", codes(20, 1)), Record("b", codes(20, 2))]
    wanted = mutagenesis(records, task_model(), device="cpu").effects
    text = mutagenesis(letters, task_model(), device="cpu").effects
    assert text["id"].unique().tolist() == ["1", "2"]
    pd.testing.assert_frame_equal(text.drop(columns="id"), wanted.drop(columns="id"))
    frame = pd.DataFrame({"probe": letters, "what": ["a", "b"]})
    named = {"sequence_column": "probe", "id_column": "what"}
    found = mutagenesis(frame, task_model(), device="cpu", **named).effects
    pd.testing.assert_frame_equal(found, wanted)


def test_a_record_of_one_base_is_answered():
    one = mutagenesis(["A", "ACGT"], task_model(), device="cpu").effects
    assert one["id"].tolist() == ["1", "2", "2", "2", "2"]


def test_a_minus_strand_row_gets_its_own_letters_and_places(genome, tmp_path):
    bed = tmp_path / "two.bed"
    bed.write_text("chr1\t50\t62\ta\t0\t+\nchr1\t50\t62\tb\t0\t-\n")
    found = mutagenesis(bed, task_model(), genome=genome, device="cpu")
    plus, minus = (base_table(one, n) for n, one in enumerate(found.attributions, 1))
    assert plus["pos"].tolist() == list(range(51, 63))
    assert minus["pos"].tolist() == list(range(62, 50, -1))
    assert "".join(minus["ref"]) == decode(reverse_complement(found.attributions[0].codes))
    turned = minus[["T", "G", "C", "A"]].to_numpy()[::-1]
    assert np.allclose(plus[["A", "C", "G", "T"]], turned, atol=1e-5)


def test_the_folder_holds_what_is_returned(genome, tmp_path):
    bed = tmp_path / "places.bed"
    bed.write_text(
        "chr1\t50\t80\tb\t0\t-\nchr1\t10\t40\ta\t0\t+\nchr2\t0\t20\tc\t0\t+\nchr1\t30\t60\ta\t0\t+\n"
    )
    call = {"genome": genome, "device": "cpu"}
    models = [task_model(seed=0), task_model(seed=5)]
    here = mutagenesis(bed, models, **call)
    there = mutagenesis(bed, models, tmp_path / "out", **call)
    table = pq.read_table(tmp_path / "out" / "effects.parquet").to_pandas()
    pd.testing.assert_frame_equal(table, here.effects, check_dtype=False)
    pd.testing.assert_frame_equal(there.effects, here.effects, check_dtype=False)
    pd.testing.assert_frame_equal(there.agreement, here.agreement)
    one_hot = np.load(tmp_path / "out" / "ohe.npz")["arr_0"]
    contributions = np.load(tmp_path / "out" / "attr.npz")["arr_0"]
    slopes = np.load(tmp_path / "out" / "gradient.npz")["arr_0"]
    assert one_hot.shape == contributions.shape == slopes.shape == (4, 4, 30)
    assert one_hot.dtype == contributions.dtype == np.float32
    for row, one in enumerate(here.attributions):
        length = len(one.codes)
        assert np.array_equal(one_hot[row, :, :length].argmax(0), one.codes)
        assert np.allclose(contributions[row, :, :length].T, centred(one.effects), atol=1e-6)
        assert np.allclose(slopes[row, :, :length].T, one.contributions)
        assert not one_hot[row, :, length:].any() and not contributions[row, :, length:].any()
    facts = json.loads((tmp_path / "out" / "mutagenesis.json").read_text())
    assert facts["records"] == 4 and facts["kind"] == "task" and facts["target"] == "yes"
    assert facts["genome"]["digest"] == Genome.open(genome).digest
    assert facts["models"][0]["digest"] != facts["models"][1]["digest"]


def test_the_track_is_the_mean_absolute_effect(genome, tmp_path):
    bed = tmp_path / "places.bed"
    bed.write_text(
        "chr1\t50\t80\tb\t0\t-\nchr1\t10\t40\ta\t0\t+\nchr2\t0\t20\tc\t0\t.\nchr1\t30\t60\td\t0\t+\n"
    )
    found = mutagenesis(bed, task_model(), tmp_path / "out", genome=genome, device="cpu")
    assert found.records == 4
    table = pq.read_table(tmp_path / "out" / "effects.parquet").to_pandas()
    table["size"] = table[["A", "C", "G", "T"]].abs().sum(axis=1) / 3
    expected = table.groupby(["chrom", "pos"])["size"].mean()
    for chrom in ("chr1", "chr2"):
        values = read_track(tmp_path / "out" / "effects.bw", chrom, 0, 300)
        wanted = expected[chrom].reindex(range(1, 301)).to_numpy()
        assert np.allclose(values, wanted, atol=1e-6, equal_nan=True)


def test_mean_effects_by_hand():
    effects = np.array([[0, 3, -6, 0], [np.nan] * 4])
    assert mean_effects(effects, np.array([0, N], np.uint8))[0] == 3
    assert np.isnan(mean_effects(effects, np.array([0, N], np.uint8))[1])


def test_unknown_bases_have_no_effect(tmp_path):
    sequence = codes(20)
    sequence[6:9] = N
    mutagenesis([Record("n", sequence)], task_model(), tmp_path / "out", device="cpu")
    table = pq.read_table(tmp_path / "out" / "effects.parquet").to_pandas()
    assert table["A"].isna().tolist() == (sequence == N).tolist()
    for name in ("ohe", "attr"):
        stack = np.load(tmp_path / "out" / f"{name}.npz")["arr_0"]
        assert not stack[0, :, 6:9].any() and stack[0, :, :6].any()
    assert not list((tmp_path / "out").glob("effects.b*"))


def test_contributions_of_a_pretrained_model_are_its_effects_centred(tmp_path):
    mutagenesis([Record("r", codes(20))], pretrained(), tmp_path / "out", device="cpu")
    table = pq.read_table(tmp_path / "out" / "effects.parquet").to_pandas()
    stack = np.load(tmp_path / "out" / "attr.npz")["arr_0"][0].T
    assert np.allclose(stack, table[[f"contribution_{b}" for b in "ACGT"]], atol=1e-5)
    assert not (tmp_path / "out" / "gradient.npz").exists()


def test_no_records_make_an_empty_folder(tmp_path, caplog):
    found = mutagenesis([], task_model(), tmp_path / "out", device="cpu")
    assert found.records == 0 and "no sequences" in caplog.text
    assert np.load(tmp_path / "out" / "ohe.npz")["arr_0"].shape == (0, 4, 0)
    assert pq.read_table(tmp_path / "out" / "effects.parquet").num_rows == 0


def test_the_same_call_writes_the_same_bytes(genome, tmp_path):
    for name in ("a", "b"):
        mutagenesis(
            ["chr1:11-30", "chr2:1-20"], pretrained(), tmp_path / name, genome=genome, device="cpu"
        )
    for file in ("effects.parquet", "ohe.npz", "attr.npz", "agreement.tsv"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_failure_leaves_nothing(genome, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept").write_text("")
    with pytest.raises(OutputExists):
        mutagenesis("chr1:1-20", task_model(), tmp_path / "out", genome=genome, device="cpu")

    def broken(*_, **__):
        raise RuntimeError("disk on fire")

    monkeypatch.setattr(verb, "write_arrays", broken)
    with pytest.raises(RuntimeError):
        mutagenesis("chr1:1-20", task_model(), tmp_path / "new", genome=genome, device="cpu")
    assert not (tmp_path / "new").exists() and not list(tmp_path.glob(".tmp*"))


def test_what_does_not_fit_is_refused(genome, tmp_path):
    other = task_model(TaskConfig(kind="binary", classes=("a", "b")))
    record = [Record("r", codes(10))]
    with pytest.raises(BadInput, match="not models of the same task"):
        mutagenesis(record, [task_model(), other], device="cpu")
    with pytest.raises(BadInput, match="not models of the same task"):
        mutagenesis(record, [task_model(), pretrained()], device="cpu")
    species = []
    for seed, digest in enumerate(("sha256:a", "sha256:b")):
        species.append(pretrained(seed))
        species[-1].provenance = {"genome_digest": digest}
    with pytest.raises(BadInput, match="were pretrained on different genomes"):
        mutagenesis(record, species, device="cpu")
    with pytest.raises(BadInput, match="given and given have the same weights") as twice:
        mutagenesis(record, [task_model(), task_model(seed=5), task_model()], device="cpu")
    assert "--train full" in str(twice.value.remedy)
    with pytest.raises(BadInput, match="for pretrained models"):
        mutagenesis(record, task_model(), sets=8, device="cpu")
    with pytest.raises(BadInput, match="needs a fine-tuned model"):
        mutagenesis(record, pretrained(), target="yes", device="cpu")
    with pytest.raises(BadInput, match="needs a genome"):
        mutagenesis("chr1:1-20", task_model(), device="cpu")
    with pytest.raises(BadInput, match="lies beyond chr1, which ends at 300"):
        mutagenesis("chr1:290-310", task_model(), genome=genome, device="cpu")
    lies = Record(
        "r", reverse_complement(Genome.open(genome).fetch("chr1", 0, 20).codes), "chr1", 0, 20
    )
    with pytest.raises(BadInput, match="other bases"):
        mutagenesis([lies], pretrained(), genome=genome, device="cpu")
