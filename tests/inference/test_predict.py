"""Predictions: one row for each row, in order, whatever the batch."""

import gzip
import io

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from findna.files import BadInput
from findna.inference import predict as predicting
from findna.inference.answers import scores_of, task_outputs
from findna.inference.devices import pick_device
from findna.inference.embed import embed
from findna.inference.predict import predict
from findna.model.chordmixer import ChordMixerConfig
from findna.model.heads import ProjectionConfig, TaskConfig
from findna.model.model import new_model
from findna.model.presets import ModelConfig
from findna.sequence.alphabet import decode
from findna.sequence.genome import Genome
from findna.sequence.records import Record

SMALL = ModelConfig(
    backbone=ChordMixerConfig(width=32, hidden=32, track_size=8, depth=3, summary_tokens=2),
    projection=ProjectionConfig(hidden=8, bottleneck=4, prototypes=4),
)
BINARY = TaskConfig(kind="binary", classes=("no", "yes"), threshold=0.6)
KNOWN = BINARY.model_copy(update={"prevalence": (0.5, 0.5)})
MANY = TaskConfig(kind="multiclass", classes=("a", "b", "c"), prevalence=(0.2, 0.3, 0.5))


def task_model(task=BINARY, seed=0):
    """A model whose head says something: a fresh one is all zeros."""
    model = new_model(SMALL, seed).with_task(task, seed)
    torch.nn.init.normal_(model.task_head.linear.weight, generator=torch.Generator().manual_seed(3))
    model.provenance = {"trained_lengths": [1, 10_000]}
    return model.eval()


def records(count, seed=0, longest=300):
    random = np.random.default_rng(seed)
    return [
        Record(f"r{i}", random.integers(0, 5, random.integers(1, longest)).astype(np.uint8))
        for i in range(count)
    ]


def test_text_and_data_frames_are_answered_as_records_are(caplog):
    caplog.set_level("INFO")
    given_records, model = records(5), task_model()
    letters = [decode(r.codes) for r in given_records]
    frame = pd.DataFrame({"name": [r.id for r in given_records], "seq": letters})
    wanted = predict(given_records, model, device="cpu").table
    assert predict(frame, model, device="cpu").table.equals(wanted)
    said = predict(letters, model, device="cpu").table
    assert said["id"].tolist() == ["1", "2", "3", "4", "5"]
    assert said.drop(columns="id").equals(wanted.drop(columns="id"))
    assert "yes is predicted from p = 0.6" in caplog.text
    for nothing in (None, float("nan"), ""):
        frame.loc[2, "seq"] = nothing
        with pytest.raises(BadInput, match=r"record r2: (the|\S+ is not a) sequence"):
            predict(frame, model, device="cpu")
    with pytest.raises(BadInput, match="which column holds the sequences"):
        predict(frame.rename(columns={"seq": "x"}), model, device="cpu")


def test_regions_and_bare_sequences_have_no_table_in_common(tmp_path):
    fasta = tmp_path / "g.fa"
    fasta.write_text(">chr1\n" + "ACGT" * 50 + "\n")
    genome, model = Genome.open(fasta), task_model()
    for mixed, words in (
        (["chr1:1-20", "ACGT"], "record 2: has no position"),
        (["ACGT", "chr1:1-20"], "record chr1:1-20: has a position"),
    ):
        with pytest.raises(BadInput, match=words):
            predict(mixed, model, genome=genome, device="cpu")
        with pytest.raises(BadInput, match=words):
            embed(mixed, model, tmp_path / "x.npz", genome=genome, device="cpu")


def test_a_packed_table_says_neither_when_nor_under_which_name_it_was_written(tmp_path):
    for name in ("a.tsv.gz", "b.csv.gz"):
        predict(["ACGT"], task_model(), tmp_path / name, device="cpu")
        header = (tmp_path / name).read_bytes()[:10]
        assert header[3] == 0 and header[4:8] == bytes(4)
        assert len(pd.read_csv(tmp_path / name, sep=None, engine="python")) == 1


@pytest.mark.parametrize("verb", [predict, embed])
def test_a_place_that_is_taken_is_told_before_a_genome_is_indexed(tmp_path, monkeypatch, verb):
    monkeypatch.setenv("FINDNA_CACHE", str(tmp_path / "cache"))
    (tmp_path / "g.fa").write_text(">chr1\n" + "ACGT" * 50 + "\n")
    taken, unknown = tmp_path / "x.parquet", tmp_path / "x.colour"
    taken.write_text("mine")
    for output, words in ((taken, "exists"), (unknown, "does not say which format")):
        with pytest.raises(BadInput, match=words):
            verb("chr1:1-40", task_model(), output, genome=tmp_path / "g.fa", device="cpu")
    assert taken.read_text() == "mine" and not (tmp_path / "cache").exists()


def test_a_fasta_beside_its_genome_is_not_cut(tmp_path):
    fasta = tmp_path / "g.fa"
    fasta.write_text(">chr1\n" + "ACGT" * 50 + "\n")
    with pytest.raises(BadInput, match="have no position in another"):
        predict(fasta, task_model(), genome=fasta, tile=50, device="cpu")


def test_advice_on_long_sequences_is_for_who_did_not_choose_windows(tmp_path, caplog):
    fasta = tmp_path / "g.fa"
    fasta.write_text(">chr1\n" + "ACGT" * 50 + "\n")
    model = task_model()
    model.provenance = {"trained_lengths": [40, 40]}
    for tile, advice in ((50, ""), (None, "; --tile 40 cuts a genome into windows")):
        caplog.clear()
        predict(fasta, model, tile=tile, device="cpu")
        assert caplog.messages[0].endswith(
            f"bp is outside the 40 bp this model was trained on: trust it less{advice}"
        )


def test_one_row_for_each_record_in_order():
    given_records = records(70)
    table = predict(given_records, task_model(), device="cpu", batch_bases=500).table
    assert table["id"].tolist() == [r.id for r in given_records]
    assert table["length"].tolist() == [len(r.codes) for r in given_records]
    assert list(table.columns) == ["id", "length", "frac_n", "prediction", "p_no", "p_yes"]
    assert table["frac_n"].tolist() == [(r.codes == 4).mean() for r in given_records]
    assert np.allclose(table["p_no"] + table["p_yes"], 1)
    middle = float(table["p_yes"].median())
    model = task_model(BINARY.model_copy(update={"threshold": middle}))
    said = predict(given_records, model, device="cpu").table["prediction"]
    assert said.tolist() == np.where(table["p_yes"] >= middle, "yes", "no").tolist()
    assert set(said) == {"no", "yes"}


def test_batch_mates_and_padding_change_nothing():
    everyone, model = records(40), task_model()
    together = predict(everyone, model, device="cpu", batch_bases=100_000).table
    small = predict(everyone, model, device="cpu", batch_bases=1).table
    alone = [predict([r], model, device="cpu").table["p_yes"][0] for r in everyone]
    assert np.allclose(together["p_yes"], small["p_yes"], atol=1e-5)
    assert np.allclose(together["p_yes"], alone, atol=1e-5)
    assert together["p_yes"].std() > 0.01


@settings(max_examples=15)
@given(st.permutations(range(12)))
def test_order_of_records_is_the_order_of_rows(order):
    everyone, model = records(12, longest=60), task_model()
    straight = predict(everyone, model, device="cpu").table
    moved = predict([everyone[i] for i in order], model, device="cpu").table
    assert moved["id"].tolist() == [f"r{i}" for i in order]
    assert np.allclose(moved["p_yes"], straight["p_yes"].to_numpy()[list(order)], atol=1e-5)


def test_input_is_streamed_in_bounded_chunks(monkeypatch):
    held = []
    original = predicting.task_outputs

    def watched(model, codes, **how):
        held.append(sum(map(len, codes)))
        return original(model, codes, **how)

    monkeypatch.setattr(predicting, "task_outputs", watched)
    pulled = 0

    def endless():
        nonlocal pulled
        for record in records(400, longest=100):
            pulled += 1
            yield record

    seen = predicting._answered(endless(), task_model(), None, 50)
    next(seen)
    assert pulled < 60
    for _ in seen:
        pass
    assert max(held) <= predicting._CHUNK_BATCHES * 50 + 100 and len(held) > 5


def test_rows_of_many_chunks_are_numbered_through():
    table = predict(records(200), task_model(), device="cpu", batch_bases=50).table
    assert table.index.tolist() == list(range(200))


@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.tsv.gz", "a.parquet"])
def test_formats_hold_the_same_numbers(tmp_path, name):
    everyone, model = records(30), task_model()
    table = predict(everyone, model, device="cpu").table
    done = predict(everyone, model, tmp_path / name, device="cpu", batch_bases=40)
    assert done.rows == 30
    with pytest.raises(ValueError, match="the answers went to the given output"):
        _ = done.table
    if name.endswith("parquet"):
        read = pd.read_parquet(tmp_path / name)
    else:
        read = pd.read_csv(tmp_path / name, sep="," if "csv" in name else "\t")
        with (gzip.open if name.endswith("gz") else open)(tmp_path / name, "rt") as stream:
            cells = stream.readlines()[1].rstrip("\n").split("," if "csv" in name else "\t")
        assert cells[-1] == f"{table['p_yes'][0]:.6g}"
    assert read["id"].tolist() == table["id"].tolist()
    assert np.allclose(read["p_yes"], table["p_yes"], rtol=1e-4)


def test_files_in_files_out(tmp_path, capsys):
    everyone, model = records(9), task_model()
    fasta = tmp_path / "a.fa"
    fasta.write_text("".join(f">{r.id}\n{decode(r.codes)}\n" for r in everyone))
    table = tmp_path / "a.csv"
    table.write_text("name,seq\n" + "".join(f"{r.id},{decode(r.codes)}\n" for r in everyone))
    expected = predict(everyone, model, device="cpu").table
    for path in (fasta, table):
        pd.testing.assert_frame_equal(predict(path, model, device="cpu").table, expected)
    predict(fasta, model, "-", device="cpu")
    shown = pd.read_csv(io.StringIO(capsys.readouterr().out), sep="\t")
    assert shown["prediction"].tolist() == expected["prediction"].tolist()


def test_places_are_kept(tmp_path):
    (tmp_path / "g.fa").write_text(">chr1\nACGTACGTTTTTA\n")
    (tmp_path / "a.bed").write_text("chr1\t0\t8\tx\t0\t+\nchr1\t5\t13\ty\t0\t-\n")
    genome = Genome.open(tmp_path / "g.fa", cache=tmp_path / "cache")
    table = predict(tmp_path / "a.bed", task_model(), genome=genome, device="cpu").table
    assert list(table.columns[:7]) == ["id", "chrom", "start", "end", "strand", "length", "frac_n"]
    assert table["start"].tolist() == [0, 5] and table["strand"].tolist() == ["+", "-"]


def test_both_strands_agree_when_they_are_averaged():
    from findna.sequence.alphabet import reverse_complement

    one = records(1, seed=4)[0].codes
    table = predict(
        [Record("a", one), Record("b", reverse_complement(one))], task_model(), device="cpu"
    ).table
    assert table["p_yes"][0] == pytest.approx(table["p_yes"][1], abs=1e-5)
    forward = task_model(BINARY.model_copy(update={"strand": "forward"}))
    table = predict(
        [Record("a", one), Record("b", reverse_complement(one))], forward, device="cpu"
    ).table
    assert abs(table["p_yes"][0] - table["p_yes"][1]) > 1e-4


def test_other_kinds_of_task():
    everyone = records(6)
    tags = task_model(TaskConfig(kind="multilabel", classes=("a", "b", "c")))
    table = predict(everyone, tags, device="cpu").table
    for words, *scores in table[["prediction", "p_a", "p_b", "p_c"]].itertuples(index=False):
        assert words == ";".join(c for c, p in zip("abc", scores, strict=True) if p >= 0.5)
    many = task_model(TaskConfig(kind="multiclass", classes=("a", "b", "c")))
    table = predict(everyone, many, device="cpu").table
    best = table[["p_a", "p_b", "p_c"]].to_numpy().argmax(1)
    assert table["prediction"].tolist() == ["abc"[k] for k in best]
    values = TaskConfig(
        kind="regression", classes=("x", "y"), target_mean=(10.0, 0.0), target_sd=(2.0, 1.0)
    )
    table = predict(everyone, task_model(values), device="cpu").table
    assert list(table.columns) == ["id", "length", "frac_n", "prediction_x", "prediction_y"]
    logits = task_outputs(task_model(values), [r.codes for r in everyone])
    assert np.allclose(table["prediction_x"], logits[:, 0] * 2 + 10)


@pytest.mark.parametrize("name", ["a.tsv", "a.csv.gz", "a.parquet"])
def test_values_of_a_regression_keep_their_digits(tmp_path, name):
    task = TaskConfig(
        kind="regression", classes=("y",), target_mean=(123456789.1,), target_sd=(0.5,)
    )
    predict(records(6), task_model(task), tmp_path / name, device="cpu")
    if name.endswith("parquet"):
        found = pd.read_parquet(tmp_path / name)
    else:
        sep = "\t" if name.endswith("tsv") else ","
        found = pd.read_csv(tmp_path / name, sep=sep, dtype="str")
        # Exactly, as not every pandas reads numbers.
        found["prediction"] = found["prediction"].map(float)
    wanted = predict(records(6), task_model(task), device="cpu").table
    assert found["prediction"].tolist() == wanted["prediction"].tolist()
    assert found["prediction"].nunique() == 6


def test_probabilities_by_hand_and_at_the_extremes():
    scores = scores_of(np.array([[0.0], [np.log(3)], [-800.0], [800.0]]), BINARY)
    assert scores[:2].tolist() == [[0.5, 0.5], [pytest.approx(0.25), pytest.approx(0.75)]]
    assert scores[2:].tolist() == [[1.0, 0.0], [0.0, 1.0]]
    many = TaskConfig(kind="multiclass", classes=("a", "b"))
    assert scores_of(np.array([[1000.0, 1000.0 + np.log(4)]]), many)[0].tolist() == pytest.approx(
        [0.2, 0.8]
    )


def test_lengths_outside_training_are_said_once(caplog):
    model = task_model()
    model.provenance = {"trained_lengths": [10, 50]}
    predict(records(200), model, device="cpu", batch_bases=20)
    assert caplog.text.count("outside the 10 to 50 bp") == 1
    caplog.clear()
    predict([Record("a", np.zeros(20, np.uint8))], model, device="cpu")
    assert not caplog.text


@pytest.mark.parametrize("name", ["a.tsv", "a.csv.gz", "a.parquet"])
def test_an_empty_input_gives_an_empty_table(tmp_path, name, caplog):
    model = task_model()
    done = predict([], model, tmp_path / name, device="cpu")
    assert done.rows == 0 and "no sequences" in caplog.text
    read = pd.read_parquet if name.endswith("parquet") else pd.read_csv
    found = read(
        tmp_path / name, **({} if name.endswith("parquet") else {"sep": None, "engine": "python"})
    )
    full = predict(records(2), model, device="cpu").table
    assert len(found) == 0 and list(found.columns) == list(full.columns)
    table = predict([], model, device="cpu").table
    assert table.dtypes.tolist() == full.dtypes.tolist()


def test_an_empty_bed_has_the_columns_of_places(tmp_path, capsys):
    (tmp_path / "g.fa").write_text(">chr1\nACGTACGTTTTTA\n")
    (tmp_path / "a.bed").write_text("# nothing\n")
    predict(tmp_path / "a.bed", task_model(), "-", genome=tmp_path / "g.fa", device="cpu")
    header = "id\tchrom\tstart\tend\tstrand\tlength\tfrac_n\tprediction\tp_no\tp_yes\n"
    assert capsys.readouterr().out == header


@pytest.mark.parametrize(
    ("task", "prevalence", "words"),
    [
        (BINARY, 0.1, "does not record how frequent"),
        (KNOWN, 1.0, "leaves nothing to predict"),
        (KNOWN, {"maybe": 0.1}, "names the class 'maybe'"),
        (KNOWN, {"no": 0.5, "yes": 0.6}, "add up to 1.1"),
        (MANY, 0.1, "one prevalence is not enough for the 3"),
        (MANY, {"a": 0.1}, "add up to"),
        (TaskConfig(kind="regression", classes=("y",)), 0.1, "no prevalence"),
    ],
)
def test_a_prevalence_that_makes_no_sense(task, prevalence, words):
    with pytest.raises(BadInput, match=words):
        predict(records(1), task_model(task), prevalence=prevalence, device="cpu")


def test_refusals(tmp_path):
    everyone, model = records(3), task_model()
    with pytest.raises(BadInput, match="no task"):
        predict(everyone, new_model(SMALL, 0), device="cpu")
    with pytest.raises(BadInput, match="which format"):
        predict(everyone, model, tmp_path / "a.xlsx", device="cpu")
    with pytest.raises(BadInput, match="have none"):
        predict(everyone, model, tmp_path / "a.bw", device="cpu")
    (tmp_path / "b.tsv").write_text("mine")
    with pytest.raises(BadInput, match="exists"):
        predict(everyone, model, tmp_path / "b.tsv", device="cpu")
    assert (tmp_path / "b.tsv").read_text() == "mine"
    predict(everyone, model, tmp_path / "b.tsv", device="cpu", overwrite=True)
    assert (tmp_path / "b.tsv").read_text().startswith("id\t")
    with pytest.raises(BadInput, match="no device 'tpu'"):
        pick_device("tpu")
    with pytest.raises(BadInput, match="'cpu:x' is not a device"):
        pick_device("cpu:x")
    broken = tmp_path / "bad.fa"
    broken.write_text(">a\nACGT\n>b\nMKLV\n")
    with pytest.raises(BadInput, match="record b"):
        predict(broken, model, tmp_path / "c.tsv", device="cpu")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b.tsv", "bad.fa"]
