"""Embeddings: every base once, both strands alike, the same numbers in every format."""

import json
import logging
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from findna.files import BadInput
from findna.inference import embed as embedding
from findna.inference.embed import embed, embeddings
from findna.inference.embedding import files as embedding_files
from findna.inference.embedding import stitching
from findna.inference.rows import watched
from findna.inference.tiles import tile
from findna.model.chordmixer import ChordMixerConfig
from findna.model.heads import ProjectionConfig
from findna.model.loading import load_model
from findna.model.model import new_model, weights_digest
from findna.model.presets import ModelConfig
from findna.sequence.alphabet import decode, reverse_complement
from findna.sequence.genome import Genome
from findna.sequence.records import Record

SMALL = ModelConfig(
    backbone=ChordMixerConfig(width=16, hidden=16, track_size=4, depth=3, summary_tokens=2),
    projection=ProjectionConfig(hidden=8, bottleneck=4, prototypes=4),
)
D, WINDOW = 16, 40
POOLED = ["mean", "max", "summary", "deviation", "layers", "deviations"]


@pytest.fixture
def model():
    made = new_model(SMALL, seed=0)
    made.provenance = {"trained_lengths": [1, WINDOW]}
    return made.eval()


def npz(path):
    with np.load(path, allow_pickle=False) as held:
        return {name: held[name] for name in held.files}


def dna(length, seed=0):
    return np.random.default_rng(seed).integers(0, 5, length).astype(np.uint8)


def records(count, seed=0, longest=3 * WINDOW):
    lengths = np.random.default_rng(seed).integers(1, longest, count)
    return [Record(f"r{i}", dna(length, i)) for i, length in enumerate(lengths)]


def vectors_of(sequences, model, **how):
    given_records = [Record(str(i), codes) for i, codes in enumerate(sequences)]
    return embed(given_records, model, device="cpu", **how).vectors


def outputs_of_layers(model, codes):
    """What the model says of one window, and what each layer puts out for its bases: what the next
    layer, or the closing norm, takes in.
    """
    inputs = []
    parts = [*model.encoder.layers[1:], model.encoder.norm]
    hooks = [p.register_forward_pre_hook(lambda _, x: inputs.append(x[0])) for p in parts]
    with torch.no_grad():
        encoded = model.encode(torch.from_numpy(codes.astype(np.int64))[None])
    for hook in hooks:
        hook.remove()
    return encoded, [*(rows[: len(codes)] for rows in inputs), encoded.bases[0]]


def by_hand(model, codes, pooling, strand="both", window=WINDOW):
    """One window at a time, one strand after the other."""
    if strand == "both":
        turned = by_hand(model, reverse_complement(codes), pooling, "forward", window)
        turned = turned[::-1] if pooling == "base" else turned
        return (by_hand(model, codes, pooling, "forward", window) + turned) / 2
    kept, summaries = [], []
    for start, end, first, last in zip(*tile(len(codes), window), strict=True):
        encoded, vectors = outputs_of_layers(model, codes[start:end])
        every = vectors if pooling in ("layers", "deviations") else vectors[-1:]
        kept.append(torch.cat(every, 1)[first - start : last - start].numpy())
        summaries.append(encoded.summary[0].mean(0).numpy() * (last - first) / len(codes))
    if pooling == "summary":
        return np.sum(summaries, axis=0)
    bases = np.concatenate(kept)
    assert len(bases) == len(codes)
    if pooling in ("deviation", "deviations"):
        return bases.astype(np.float64).std(0)
    mean = bases.mean(0)
    return {"mean": mean, "layers": mean, "max": bases.max(0), "base": bases}[pooling]


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize("pooling", [*POOLED, "base"])
@pytest.mark.parametrize("strand", ["both", "forward"])
def test_numbers_of_a_plain_loop(model, pooling, strand):
    everyone = records(12)
    found = embed(everyone, model, device="cpu", pooling=pooling, strand=strand, batch_bases=90)
    assert found.table["id"].tolist() == [r.id for r in everyone]
    assert max(found.table["length"]) > 2 * WINDOW
    for record, vector in zip(everyone, found.vectors, strict=True):
        assert np.allclose(vector, by_hand(model, record.codes, pooling, strand), atol=1e-5)


@pytest.mark.parametrize("pooling", POOLED)
@pytest.mark.parametrize("strand", ["both", "forward"])
def test_what_fits_a_window_is_what_embeddings_gives(model, pooling, strand):
    sequences = [r.codes for r in records(30, longest=WINDOW + 1)]
    expected = embeddings(model, sequences, pooling=(pooling,), strand=strand, batch_bases=200)
    found = vectors_of(sequences, model, pooling=pooling, strand=strand, batch_bases=200)
    if pooling in ("deviation", "deviations"):  # through mean squares and back, in double precision
        assert np.allclose(found, expected, rtol=1e-6, atol=0)
    elif pooling == "layers":  # the same sums in another order
        assert np.allclose(found, expected, rtol=1e-6, atol=1e-6)
    else:
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("pooling", ["mean", "layers", "deviation", "deviations"])
def test_it_does_not_matter_how_a_sequence_was_cut(model, pooling):
    with torch.no_grad():
        for layer in model.encoder.layers:  # a base says the same whatever stands around it
            layer.down.weight.zero_()
        model.encoder.embedding.weight.mul_(1e-3).add_(1)  # a small spread around a large mean
    sequences = [r.codes for r in records(6, longest=5 * WINDOW)]
    whole = vectors_of(sequences, model, pooling=pooling, window=1000)
    for window in (8, 17, WINDOW):
        found = vectors_of(sequences, model, pooling=pooling, window=window)
        assert np.allclose(found, whole, atol=1e-5, rtol=1e-5)


def test_vectors_of_layers_say_how_wide_they_are(model, tmp_path):
    done = embed(records(3), model, tmp_path / "a.npz", device="cpu", pooling="layers")
    assert done.facts["width"] == 4 * D
    assert npz(tmp_path / "a.npz")["embedding"].shape == (3, 4 * D)
    embed(records(3), model, tmp_path / "a.parquet", device="cpu", pooling="layers")
    table = pd.read_parquet(tmp_path / "a.parquet")
    assert np.array_equal(np.stack(table["embedding"]), npz(tmp_path / "a.npz")["embedding"])
    mean = vectors_of([r.codes for r in records(3)], model)
    assert np.allclose(npz(tmp_path / "a.npz")["embedding"][:, 3 * D :], mean, atol=1e-6)


def test_poolings_of_long_sequences_stand_side_by_side(model):
    together = ["deviations", "max", "mean", "deviation", "summary", "layers"]
    everyone = records(8)
    found = embed(everyone, model, device="cpu", pooling=together)
    apart = [embed(everyone, model, device="cpu", pooling=one).vectors for one in together]
    assert found.facts["pooling"] == ",".join(together)
    assert found.facts["width"] == found.vectors.shape[1] == (4 + 1 + 1 + 1 + 1 + 4) * D
    assert np.allclose(found.vectors, np.concatenate(apart, 1), atol=1e-6)


def test_embeddings_of_several_poolings_stand_side_by_side(model):
    sequences = [r.codes for r in records(9)]
    every = embeddings(model, sequences, pooling=("mean", "summary"))
    assert every.shape == (9, 2 * D)
    for codes, vector in zip(sequences, every, strict=True):
        with torch.no_grad():
            mean = model.embed(torch.from_numpy(codes.astype(np.int64))[None])[0].numpy()
        assert np.allclose(vector[:D], mean, atol=1e-6)
        summary = by_hand(model, codes, "summary", window=len(codes))
        assert np.allclose(vector[D:], summary, atol=1e-6)


@settings(max_examples=25)
@given(st.integers(1, 200), st.integers(8, 60), st.sampled_from([*POOLED, "base"]))
def test_a_sequence_and_its_reverse_complement_are_one(length, window, pooling):
    small = new_model(SMALL, seed=0).eval()
    codes = dna(length, length)
    here, there = vectors_of(
        [codes, reverse_complement(codes)], small, pooling=pooling, window=window
    )
    assert np.allclose(here, there[::-1] if pooling == "base" else there, atol=1e-5)
    forward = vectors_of(
        [codes, reverse_complement(codes)], small, pooling=pooling, window=window, strand="forward"
    )
    if length > 20:
        assert not np.allclose(forward[0], forward[1], atol=1e-3)


@pytest.mark.parametrize("pooling", [*POOLED, "base"])
def test_neither_batches_nor_spans_change_a_number(model, pooling, monkeypatch):
    sequences = [r.codes for r in records(10, longest=4 * WINDOW)]
    usual = vectors_of(sequences, model, pooling=pooling)
    for batch_bases in (1, 8, 64, 100_000):
        found = vectors_of(sequences, model, pooling=pooling, batch_bases=batch_bases)
        assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(found, usual, strict=True))
    monkeypatch.setattr(stitching, "BASE_SPAN", 50)
    monkeypatch.setattr(stitching, "SPAN_BATCHES", 1)
    found = vectors_of(sequences, model, pooling=pooling, batch_bases=50)
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(found, usual, strict=True))
    alone = [vectors_of([codes], model, pooling=pooling)[0] for codes in sequences]
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(alone, usual, strict=True))


def test_a_real_mitochondrial_genome(shared_data, model, tmp_path):
    fasta = shared_data("mtdna/mt_genomes_human_mouse.fa.gz")
    found = embed(fasta, model, tmp_path / "m.npz", device="cpu")
    held = npz(tmp_path / "m.npz")
    assert found.rows == len(held["id"]) == 2
    assert held["length"].tolist() == [16_569, 16_299]
    again = embed(fasta, model, device="cpu", pooling="base")
    assert len(again.vectors[0]) == held["length"][0]
    assert np.allclose(held["embedding"][0], again.vectors[0].mean(0), atol=1e-5)


# ---------------------------------------------------------------- what goes in


def test_of_wide_vectors_fewer_are_held(model, tmp_path, monkeypatch):
    given_records = records(12)
    whole = embed(given_records, model, pooling=["layers", "deviations"], device="cpu")
    monkeypatch.setattr(embedding, "_NUMBERS", 5 * whole.facts["width"])
    path = tmp_path / "x.parquet"
    embed(given_records, model, path, pooling=["layers", "deviations"], device="cpu")
    with pq.ParquetFile(path) as file:
        groups = [file.metadata.row_group(k).num_rows for k in range(file.num_row_groups)]
    assert groups == [5, 5, 2]
    vectors = np.stack(pq.read_table(path).to_pandas()["embedding"])
    assert np.allclose(vectors, whole.vectors, atol=1e-5)


def test_a_chromosome_is_never_held_as_vectors(model, monkeypatch):
    monkeypatch.setattr(stitching, "BASE_SPAN", 500)
    monkeypatch.setattr(stitching, "SPAN_BATCHES", 4)
    largest = 0
    cut = stitching.batches

    def watched(windows, turned, batch_bases):
        nonlocal largest
        largest = max(largest, len(windows.flat))
        return cut(windows, turned, batch_bases)

    monkeypatch.setattr(stitching, "batches", watched)
    reading = stitching.Reading(WINDOW, "both", 120)
    long = dna(9000)
    stitching.pooled_vectors(model, [long], ["mean"], reading)
    pieces = 0
    for span, vectors in stitching.base_vectors(model, [long], reading):
        assert vectors.shape == (span.end - span.start, D) and len(vectors) <= 500
        pieces += 1
    assert pieces == 18
    assert largest < 2 * 500


def test_records_stream_in_bounded_chunks(model):
    pulled = 0

    def endless():
        nonlocal pulled
        for record in records(200, longest=WINDOW):
            pulled += 1
            yield record

    seen = watched(endless(), model, WINDOW, chunk_bases=200)
    first = next(seen)
    assert 200 <= sum(len(r.codes) for r in first) < 200 + WINDOW and pulled == len(first)
    assert len(first) + sum(map(len, seen)) == pulled == 200


def test_sequences_as_text_and_twins(model, caplog):
    with caplog.at_level(logging.WARNING, logger="findna"):
        found = embed(["ACGT", "acgn", "ACGT"], model, device="cpu")
    assert found.table["id"].tolist() == ["1", "2", "3"] and not caplog.text
    assert found.table["frac_n"].tolist() == [0, 0.25, 0]
    assert np.allclose(found.vectors[0], found.vectors[2], atol=1e-6)
    twins = [Record("a", dna(9)), Record("a", dna(9)), Record("b", dna(8)), Record("a", dna(7))]
    with caplog.at_level(logging.WARNING, logger="findna"):
        assert embed(twins, model, device="cpu").table["id"].tolist() == ["a", "a", "b", "a"]
    assert caplog.text.count("the id a occurs more than once") == 1


def test_lengths_outside_training_are_said_but_long_ones_are_cut(model, caplog):
    model.provenance = {"trained_lengths": [10, WINDOW]}
    with caplog.at_level(logging.WARNING, logger="findna"):
        embed([Record("long", dna(300))], model, device="cpu")
        assert not caplog.text
        embed([Record("long", dna(300))], model, device="cpu", window=50)
        assert "50 bp is outside the 10 to 40 bp" in caplog.text
        embed([Record("short", dna(9))], model, device="cpu")
    assert "9 bp is outside the 10 to 40 bp" in caplog.text


def test_the_model_that_comes_along_is_said(caplog):
    with caplog.at_level(logging.INFO, logger="findna"):
        found = embed(["ACGTACGTAC" * 8], device="cpu")
    assert "no model given: using findna-human-tiny" in caplog.text
    assert found.facts["model"] == "findna-human-tiny" and found.facts["window"] == 512
    assert found.vectors.shape == (1, load_model("findna-human-tiny").config.backbone.width)


def test_refusals(model, tmp_path):
    with pytest.raises(BadInput, match=r"record 2: .*\n?.*empty"):
        embed(["ACGT", ""], model, device="cpu")
    with pytest.raises(BadInput, match=r"record 1.*'J'"):
        embed(["ACGJ"], model, device="cpu")
    with pytest.raises(BadInput, match="which format"):
        embed(["ACGT"], model, tmp_path / "a.xlsx", device="cpu")
    for output in (tmp_path / "a.h5ad", tmp_path / "a.tsv.gz", "-"):
        with pytest.raises(BadInput, match="not one per base"):
            embed(["ACGT"], model, output, pooling="base", device="cpu")
    with pytest.raises(ValueError, match="no such pooling"):
        embed(["ACGT"], model, pooling="cls", device="cpu")
    for beside in ([], ["base", "mean"], ["bins"]):
        with pytest.raises(ValueError, match="pooling"):
            embed(["ACGT"], model, pooling=beside, device="cpu")
    with pytest.raises(ValueError, match="no such"):
        embed(["ACGT"], model, strand="reverse", device="cpu")
    with pytest.raises(ValueError, match="a window of 0"):
        embed(["ACGT"], model, window=0, device="cpu")
    (tmp_path / "mine.npz").write_text("mine")
    with pytest.raises(BadInput, match="exists"):
        embed(["ACGT"], model, tmp_path / "mine.npz", device="cpu")
    assert [p.name for p in tmp_path.iterdir()] == ["mine.npz"]


# ---------------------------------------------------------------- what comes out


@pytest.fixture
def placed(tmp_path):
    """A BED of three intervals, one of them longer than a window, and its genome."""
    (tmp_path / "g.fa").write_text(f">chr1\n{decode(dna(300))}\n")
    rows = "chr1\t0\t30\tx\t0\t+\nchr1\t50\t170\ty\t0\t-\nchr1\t5\t13\ty\t0\t.\n"
    (tmp_path / "a.bed").write_text(rows)
    return tmp_path / "a.bed", Genome.open(tmp_path / "g.fa", cache=tmp_path / "cache")


def test_parquet_is_read_back_as_an_array_by_everyone(model, placed, tmp_path):
    bed, genome = placed
    expected = embed(bed, model, genome=genome, device="cpu")
    done = embed(bed, model, tmp_path / "a.parquet", genome=genome, device="cpu", batch_bases=1)
    assert done.rows == 3 and done.output == tmp_path / "a.parquet"
    for held in ("table", "vectors"):
        with pytest.raises(ValueError, match="the embeddings went to the given output"):
            getattr(done, held)
    table = pq.read_table(tmp_path / "a.parquet")
    places = ["id", "chrom", "start", "end", "strand", "length", "frac_n"]
    assert table.column_names == [*places, "embedding"]
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), D)
    assert table["start"].to_pylist() == [0, 50, 5] and table["strand"].to_pylist() == list("+-.")
    # As arrow's own readers (polars, datasets), as pandas, as plain lists.
    flat = table["embedding"].combine_chunks().flatten().to_numpy().reshape(-1, D)
    frame = pd.read_parquet(tmp_path / "a.parquet")
    for read in (flat, np.stack(frame["embedding"]), np.array(table["embedding"].to_pylist())):
        assert read.shape == (3, D) and np.allclose(read, expected.vectors, atol=1e-5)
    pd.testing.assert_frame_equal(
        frame.drop(columns="embedding"), expected.table, check_dtype=False
    )
    assert json.loads(table.schema.metadata[b"findna"]) == done.facts
    assert done.facts["model_digest"] == weights_digest(model)
    assert done.facts["genome_digest"] == genome.digest
    assert done.facts["window"] == WINDOW and done.facts["pooling"] == "mean"


@pytest.mark.parametrize("ending", ["tsv", "csv", "TSV", "tsv.gz", "csv.gz"])
def test_text_has_a_column_a_number(model, placed, tmp_path, ending):
    bed, genome = placed
    expected = embed(bed, model, genome=genome, device="cpu")
    output = tmp_path / f"a.{ending}"
    done = embed(bed, model, output, genome=genome, device="cpu", batch_bases=1)
    assert (done.rows, done.output) == (3, output)
    packed = "gzip" if ending.endswith("gz") else None
    frame = pd.read_csv(output, sep="," if "csv" in ending else "\t", compression=packed)
    names = [f"e{d}" for d in range(D)]
    assert frame.columns.tolist() == [*expected.table.columns, *names]
    np.testing.assert_allclose(frame[names], expected.vectors, rtol=1e-5, atol=1e-6)
    assert frame["id"].tolist() == ["x", "y", "y"]
    with pytest.raises(BadInput, match="exists"):
        embed(bed, model, output, genome=genome, device="cpu")


def test_npz_and_h5ad_hold_the_same(model, placed, tmp_path):
    anndata = pytest.importorskip("anndata")
    bed, genome = placed
    expected = embed(bed, model, genome=genome, device="cpu")
    for name in ("a.npz", "a.h5ad"):
        done = embed(bed, model, tmp_path / name, genome=genome, device="cpu")
    held = npz(tmp_path / "a.npz")
    assert np.allclose(held["embedding"], expected.vectors, atol=1e-6)
    assert held["embedding"].dtype == np.float32
    for name, column in expected.table.items():
        assert held[name].tolist() == column.tolist()
    assert json.loads(str(held["findna"])) == done.facts
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Observation names are not unique")
        cells = anndata.read_h5ad(tmp_path / "a.h5ad")
    assert np.array_equal(cells.X, held["embedding"])
    assert cells.obs_names.tolist() == ["x", "y", "y"]
    assert cells.obs["start"].tolist() == [0, 50, 5]
    assert cells.obs["strand"].tolist() == list("+-.")
    assert cells.uns["findna"] == done.facts
    assert sorted(p.name for p in tmp_path.glob("a.*")) == ["a.bed", "a.h5ad", "a.npz"]


@pytest.mark.parametrize("half", [False, True])
def test_a_vector_a_base(model, tmp_path, monkeypatch, half):
    monkeypatch.setattr(stitching, "BASE_SPAN", 50)
    everyone = records(7, longest=4 * WINDOW)
    expected = embed(everyone, model, device="cpu", pooling="base").vectors
    for name in ("b.npz", "b.parquet"):
        embed(everyone, model, tmp_path / name, device="cpu", pooling="base", half=half)
    held = npz(tmp_path / "b.npz")
    assert held["id"].tolist() == [r.id for r in everyone]
    table = pq.read_table(tmp_path / "b.parquet")
    number = pa.float16() if half else pa.float32()
    assert table.schema.field("embedding").type.value_type == pa.list_(number, D)
    cells = table.to_pandas()["embedding"]
    for row, vectors in enumerate(expected):
        in_npz, in_parquet = held[f"base_{row}"], np.stack(cells[row])
        assert in_npz.shape == in_parquet.shape == vectors.shape
        assert in_npz.dtype == in_parquet.dtype == (np.float16 if half else np.float32)
        assert np.allclose(in_npz, vectors, atol=5e-3 if half else 1e-5)
        assert np.array_equal(in_npz, in_parquet)
    monkeypatch.setattr(embedding_files, "_CELL_BYTES", 100 * D * 2)
    with pytest.raises(BadInput, match=r"(?s)record r\d+: .*do not fit in one row.*write .npz"):
        embed(everyone, model, tmp_path / "c.parquet", device="cpu", pooling="base", half=half)
    assert not (tmp_path / "c.parquet").exists()


def test_half_precision(model, tmp_path, monkeypatch):
    pytest.importorskip("anndata")
    everyone = records(5)
    expected = embed(everyone, model, device="cpu").vectors
    for name in ("h.parquet", "h.npz", "h.h5ad"):
        done = embed(everyone, model, tmp_path / name, device="cpu", half=True)
    held = npz(tmp_path / "h.npz")["embedding"]
    assert held.dtype == np.float16 and done.facts["dtype"] == "float16"
    assert np.allclose(held, expected, atol=2e-3) and not np.array_equal(held, expected)
    assert np.array_equal(np.stack(pd.read_parquet(tmp_path / "h.parquet")["embedding"]), held)
    with pytest.raises(BadInput, match="too large for half precision"):
        embedding._narrowed(np.array([[1e5]], np.float32), np.dtype(np.float16))


@pytest.mark.parametrize("pooling", ["mean", "base"])
def test_no_records_make_an_empty_file_and_a_warning(model, tmp_path, caplog, pooling):
    endings = ["npz", "parquet", *(["h5ad"] if pooling == "mean" else [])]
    for ending in endings:
        with caplog.at_level(logging.WARNING, logger="findna"):
            done = embed([], model, tmp_path / f"e.{ending}", device="cpu", pooling=pooling)
        assert done.rows == 0 and "holds no sequences" in caplog.text
        caplog.clear()
    table = pq.read_table(tmp_path / "e.parquet")
    assert table.num_rows == 0
    assert table.column_names == ["id", "length", "frac_n", "embedding"]
    held = npz(tmp_path / "e.npz")
    assert len(held["id"]) == 0
    if pooling == "mean":
        assert held["embedding"].shape == (0, D)
        anndata = pytest.importorskip("anndata")
        assert anndata.read_h5ad(tmp_path / "e.h5ad").shape == (0, D)
    assert embed([], model, device="cpu", pooling=pooling).rows == 0


@pytest.mark.parametrize("pooling", ["mean", "base"])
def test_an_empty_bed_has_the_columns_of_one_with_rows(model, tmp_path, pooling):
    (tmp_path / "g.fa").write_text(">chr1\n" + "ACGT" * 20 + "\n")
    schemas, members = [], []
    for name, rows in (("some", "chr1\t0\t30\n"), ("none", "# filtered\n")):
        (tmp_path / f"{name}.bed").write_text(rows)
        for ending in ("parquet", "npz"):
            embed(
                tmp_path / f"{name}.bed", model, tmp_path / f"{name}.{ending}", device="cpu",
                genome=tmp_path / "g.fa", pooling=pooling,
            )  # fmt: skip
        schemas.append(pq.read_schema(tmp_path / f"{name}.parquet").remove_metadata())
        members.append({key for key in npz(tmp_path / f"{name}.npz") if key != "base_0"})
    assert schemas[0].equals(schemas[1]) and members[0] == members[1]


def test_a_failure_leaves_nothing(model, tmp_path):
    def broken():
        yield from records(3)
        raise BadInput("no more")

    for name, pooling in (("a.parquet", "mean"), ("a.npz", "mean"), ("a.npz", "base")):
        with pytest.raises(BadInput, match="no more"):
            embed(broken(), model, tmp_path / name, device="cpu", pooling=pooling, batch_bases=1)
    assert list(tmp_path.iterdir()) == []


def test_h5ad_without_its_library_is_refused_before_any_work(model, tmp_path, monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(embedding_files, "import_module", missing)
    with pytest.raises(BadInput, match=r"(?s)anndata.*pip install 'findna\[anndata\]'"):
        embed(["ACGT"], model, tmp_path / "a.h5ad", device="cpu")
