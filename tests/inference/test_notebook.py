"""What a notebook hands over: any container, any number, any thread."""

import json
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import findna
from findna.files import BadInput
from findna.model.model import new_model, weights_digest
from findna.model.presets import ModelConfig
from findna.sequence.alphabet import encode
from findna.sequence.genome import Genome
from findna.sequence.records import Record

SHAPE = {"width": 16, "hidden": 16, "track_size": 4, "depth": 2, "summary_tokens": 1}
CONFIG = ModelConfig.parse({"backbone": SHAPE}, source="test")
ROWS = ["ACGTTGCATT" * 6, "TTGACACCGA" * 7]


@pytest.fixture
def model():
    return new_model(CONFIG, 0).eval()


@pytest.fixture
def genome(tmp_path: Path) -> Genome:
    letters = "".join(np.random.default_rng(0).choice(list("ACGT"), 3000))
    (tmp_path / "g.fa").write_text(f">chr1\n{letters}\n")
    return Genome.open(tmp_path / "g.fa")


def test_models_of_threads_are_those_of_one_thread() -> None:
    wanted = [weights_digest(new_model(CONFIG, seed)) for seed in range(4)]
    torch.manual_seed(7)
    untouched = torch.rand(3)
    torch.manual_seed(7)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: weights_digest(new_model(CONFIG, seed)), range(4)))
        for _ in range(20):
            again = pool.map(lambda seed: weights_digest(new_model(CONFIG, seed)), range(4))
            assert list(again) == wanted
    assert found == wanted and torch.equal(torch.rand(3), untouched)


def test_whole_numbers_may_be_those_of_numpy(model, genome, tmp_path: Path) -> None:
    window = np.int64(64)
    plain = findna.index_genome(genome, model, tmp_path / "plain", window=64)
    index = findna.index_genome(genome, model, tmp_path / "index", window=window)
    assert index.made_from == plain.made_from and type(index.made_from["window"]) is int
    findna.scan(
        genome, model, tmp_path / "scan", regions=["chr1:1-200"], tracks=["surprise"],
        window=window, seed=np.int64(4),
    )  # fmt: skip
    assert json.loads((tmp_path / "scan" / "scan.json").read_text())["seed"] == 4
    for name in ("v.parquet", "v.npz"):
        findna.embed(ROWS, model, tmp_path / name, window=window)
        assert (tmp_path / name).stat().st_size


def test_a_batch_is_read_from_anything_that_holds_sequences() -> None:
    codes, lengths = findna.encode_batch(row for row in ROWS)
    assert torch.equal(codes, findna.encode_batch(ROWS)[0]) and lengths.tolist() == [60, 70]
    with pytest.raises(TypeError, match="a single sequence is not a batch"):
        findna.encode_batch("ACGT")
    for gap in (None, float("nan"), pd.NA, "", " "):
        with pytest.raises(BadInput, match="record 2: "):
            findna.encode_batch([ROWS[0], gap])


@pytest.mark.parametrize("dtype", ["str", "object", "string", "category"])
def test_a_missing_sequence_is_told_by_its_row(model, dtype: str) -> None:
    frame = pd.DataFrame({"sequence": pd.Series([ROWS[0], None], dtype=dtype)})
    with pytest.raises(BadInput, match=r"record 2: .* is not a sequence"):
        findna.embed(frame, model)


def test_rows_in_memory_are_read_as_those_of_a_file(
    model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frame = pd.DataFrame({"sequence": ["ACGU" * 9, f" {ROWS[0]} ", "MKVRTHDGSANC" * 5]})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    here = findna.embed(tmp_path / "rows.csv", model)
    said = [text.split(": ", 1)[1] for text in caplog.messages if "of" in text or "U read" in text]
    caplog.clear()
    there = findna.embed(frame, model)
    np.testing.assert_array_equal(there.vectors, here.vectors)
    told = [text.split(": ", 1)[1] for text in caplog.messages if "of" in text or "U read" in text]
    assert [line for line in said if "column" not in line] == [
        line for line in told if "column" not in line
    ] and any("9 U read as T" in line for line in told)
    with pytest.raises(BadInput, match="record 1: the sequence is empty"):
        findna.embed(["nan"], model)


def test_a_frame_of_places_is_read_from_its_genome(model, genome) -> None:
    places = pd.DataFrame({"chrom": ["chr1", "1"], "start": [0, 100], "end": [50, 180]})
    found = findna.embed(places, model, genome=genome)
    assert found.table["id"].tolist() == ["chr1:0-50", "1:100-180"]
    want = findna.embed(["chr1:1-50", "chr1:101-180"], model, genome=genome)
    np.testing.assert_array_equal(found.vectors, want.vectors)


def test_words_that_are_none_of_a_choice_are_refused(model, genome, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such strand: None"):
        findna.embed(ROWS, model, strand=None)  # type: ignore[arg-type]
    codes, lengths = findna.encode_batch(ROWS)
    with pytest.raises(ValueError, match=r"no such strand: '\+'"):
        model.embed(codes, lengths, "+")
    regions = ["chr1:1-100"]
    for wrong in ({"precision": "fp16"}, {"format": "bw"}):
        with pytest.raises(ValueError, match="no such"):
            findna.scan(genome, model, tmp_path / "out", regions=regions, **wrong)
    assert not (tmp_path / "out").exists()


def test_regions_may_come_one_by_one(model, genome) -> None:
    asked = (region for region in ["chr1:1-100"])
    found = findna.scan(genome, model, regions=asked, tracks="surprise")  # type: ignore[arg-type]
    assert len(found.values["surprise"]["chr1"]) == 100


def test_what_is_no_labelled_data_is_named(tmp_path: Path) -> None:
    frame = pd.DataFrame({"sequence": ROWS, "label": [0, 1]})
    for call in (findna.doctor, findna.rows_to_answer):
        with pytest.raises(TypeError, match="not DataFrame: write a data frame to a file"):
            call(frame)
    with pytest.raises(TypeError, match="not DataFrame"):
        findna.evaluate(frame, tmp_path / "out")  # type: ignore[arg-type]


def test_models_to_evaluate_are_named(model, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sequence,label\n" + "".join(f"{r},0\n" for r in ROWS))
    with pytest.raises(TypeError, match="folders or names, not Model"):
        findna.evaluate(tmp_path / "t.csv", tmp_path / "out", models=[model])
    for one in (tmp_path / "none", "none", [tmp_path / "none"]):
        with pytest.raises(BadInput, match="none: no such model"):
            findna.evaluate(tmp_path / "t.csv", tmp_path / "out", models=one)


def test_one_name_is_no_list_of_letters(model, genome, tmp_path: Path) -> None:
    frame = pd.DataFrame({"chrom": ["chr1"], "pos": [9], "ref": ["N"], "alt": ["A"]})
    frame["ref"] = genome_letter = "ACGT"[genome.store[8] & 7]
    frame["alt"] = "A" if genome_letter != "A" else "C"
    found = findna.score_variants(frame, genome, model, percentiles=False, circular="chr1")  # type: ignore[arg-type]
    assert len(found.table) == 1
    with pytest.raises(BadInput, match=r"none\.vcf: no such file"):
        findna.merge_shards(str(tmp_path / "none.vcf"), tmp_path / "out.vcf")


def test_nothing_has_the_columns_of_something(model) -> None:
    none, some = findna.mutagenesis([], model), findna.mutagenesis(["ACGTACGT"], model)
    assert none.effects.columns.tolist() == some.effects.columns.tolist() and none.effects.empty


def test_a_device_may_be_one_of_torch(model) -> None:
    found = findna.embed(ROWS, model, device=torch.device("cpu"))  # type: ignore[arg-type]
    np.testing.assert_array_equal(found.vectors, findna.embed(ROWS, model).vectors)


def test_one_record_stands_for_itself(model) -> None:
    record = Record("mine", encode(ROWS[0]))
    found = findna.embed(record, model)
    assert found.table["id"].tolist() == ["mine"]
    assert np.array_equal(found.vectors, findna.embed([record], model).vectors)


def test_no_model_is_no_panel() -> None:
    with pytest.raises(ValueError, match="no model is given"):
        findna.mutagenesis(ROWS, [])


def test_a_chromosome_is_a_number_in_a_column_with_a_gap(model, tmp_path: Path) -> None:
    (tmp_path / "g.fa").write_text(">1\n" + "ACGT" * 100 + "\n")
    rows = {"chrom": [1.0, None], "pos": [101.0, 101.0], "ref": ["A", "A"], "alt": ["C", "C"]}
    table = findna.score_variants(pd.DataFrame(rows), tmp_path / "g.fa", model).table
    assert table["chrom"].tolist() == ["1", "."] and table["pos"].tolist() == [101, 101]
    with pytest.raises(BadInput, match=r"record 1: has \['C', 'G'\] in one cell"):
        findna.score_variants(
            pd.DataFrame({"chrom": ["1"], "pos": [101], "ref": ["A"], "alt": [["C", "G"]]}),
            tmp_path / "g.fa",
            model,
        )


def test_a_genome_whose_index_is_gone_says_so(tmp_path: Path) -> None:
    (tmp_path / "g.fa").write_text(">chr1\nACGT\n")
    asleep = pickle.dumps(Genome.open(tmp_path / "g.fa", cache=tmp_path / "cache"))
    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(BadInput, match="was changed, or the cache folder emptied"):
        pickle.loads(asleep)
