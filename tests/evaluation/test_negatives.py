"""Matched negatives: alike, apart from the positives, the same again with the same seed."""

import logging

import numpy as np
import pandas as pd
import pytest

from findna.data.labels import read_labelled
from findna.evaluation.negatives.draw import matched_negatives, with_negatives, write_task
from findna.evaluation.negatives.matching import NegativeSettings, bases_of, shares_of
from findna.files import BadInput
from findna.sequence.alphabet import decode, encode, reverse_complement
from findna.sequence.genome import Genome

FLANK = 200
LOOSE = NegativeSettings(flank=FLANK)


def chromosome(rng, soft=True, size=120_000):
    """Blocks of 2 kb of different GC, a third of them lower case, and some runs of N."""
    letters = np.concatenate(
        [
            rng.choice(
                np.frombuffer(b"ACGT", np.uint8),
                2000,
                p=[(1 - g) / 2, g / 2, g / 2, (1 - g) / 2],
            )
            for g in rng.uniform(0.3, 0.7, size // 2000)
        ]
    )
    for at in rng.integers(0, size - 3000, size // 6000) if soft else []:
        letters[at : at + 2000] |= 0x20
    for at in rng.integers(0, size - 500, 10):
        letters[at : at + 50] = ord("N")
    return letters.tobytes()


def genome_of(tmp_path, records):
    path = tmp_path / "genome.fa"
    path.write_bytes(
        b"".join(b">%s\n%s\n" % (name.encode(), text) for name, text in records.items())
    )
    return Genome.open(path, cache=tmp_path / "cache")


@pytest.fixture
def genome(tmp_path, rng):
    names = ("chr1", "chr2", "chrM")
    return genome_of(tmp_path, {n: chromosome(rng) for n in names})


@pytest.fixture
def positives(rng):
    start = np.sort(rng.choice(110_000, 60, replace=False))
    return pd.DataFrame(
        {
            "chrom": rng.permutation(np.repeat(["chr1", "chr2"], 30)),
            "start": start,
            "end": start + rng.integers(80, 400, 60),
            "strand": rng.choice(["+", "-", "."], 60),
        }
    )


def gc_and_soft(genome, row):
    letters = genome.fetch(row.chrom, row.start, row.end)
    text = decode(letters.codes)
    known = len(text) - text.count("N")
    return (text.count("G") + text.count("C")) / known, letters.soft.mean()


def test_every_law_of_a_negative_by_looking_at_the_genome(genome, positives):
    found = matched_negatives(positives, genome, seed=1, settings=LOOSE)
    assert len(found.table) + len(found.unmatched) == 60 and len(found.table) >= 55
    assert found.table["positive"].is_monotonic_increasing and found.table["positive"].is_unique
    gc, soft = [], []
    for row, codes in zip(found.table.itertuples(), found.codes, strict=True):
        positive = positives.iloc[row.positive]
        assert row.end - row.start == positive.end - positive.start == len(codes)
        assert row.strand == ("-" if positive.strand == "-" else "+")
        fetched = genome.fetch(row.chrom, row.start, row.end, row.strand)
        assert fetched.inside.all() and np.array_equal(fetched.codes, codes) and codes.max() < 4
        same = positives[positives.chrom == row.chrom]
        near = (same.start - FLANK < row.end) & (same.end + FLANK > row.start)
        assert not near.any()
        mine, theirs = gc_and_soft(genome, row), gc_and_soft(genome, positive)
        gc.append(mine[0] - theirs[0])
        soft.append(mine[1] - theirs[1])
    assert np.abs(gc).max() <= 0.02 + 1e-6 and np.abs(soft).max() <= 0.1 + 1e-6
    quality = found.quality
    assert quality.gc == pytest.approx(np.mean(gc)) and quality.largest_gc == max(np.abs(gc))
    assert quality.repeats == pytest.approx(np.mean(soft)) and quality.length == 0
    assert quality.matched_on == "soft-masked share" and "negatives; mean" in str(quality)


def test_negatives_do_not_overlap_each_other_and_stay_at_home(genome, positives):
    found = matched_negatives(positives, genome, seed=1, settings=LOOSE)
    table = found.table.sort_values(["chrom", "start"])
    for _, rows in table.groupby("chrom"):
        assert (rows["start"].to_numpy()[1:] >= rows["end"].to_numpy()[:-1]).all()
    home = positives["chrom"].iloc[found.table["positive"]].to_numpy()
    assert (found.table["chrom"].to_numpy() == home).mean() > 0.8
    assert "chrM" not in set(found.table["chrom"])


def test_a_seed_repeats_everything_and_another_does_not(genome, positives):
    one, again, other = (matched_negatives(positives, genome, s, LOOSE).table for s in (1, 1, 2))
    pd.testing.assert_frame_equal(one, again)
    assert not one["start"].equals(other["start"])


def test_a_positive_that_nothing_is_like_is_named_and_not_dropped(tmp_path, rng, caplog):
    text = bytearray(chromosome(rng, soft=False))
    text[5000:5300] = b"CG" * 150
    genome = genome_of(tmp_path, {"chr1": bytes(text)})
    bed = pd.DataFrame({"chrom": "chr1", "start": [9000, 5000, 30000], "end": [9100, 5300, 30100]})
    wide = NegativeSettings(gc_tolerance=0.1, cpg_tolerance=0.1)
    with caplog.at_level(logging.INFO, "findna"):
        found = matched_negatives(bed, genome, 0, wide)
    assert found.unmatched.tolist() == [1] and found.table["positive"].tolist() == [0, 2]
    assert "1 of 3 positives: rows 2" in caplog.text and "CpG" in caplog.text
    assert found.quality.matched_on == "CpG share"
    with pytest.raises(BadInput, match="no negative was found for any of 1"):
        matched_negatives(bed.iloc[1:2], genome, 0, wide)


def test_where_the_chromosome_has_none_another_one_answers(tmp_path, rng):
    rich, poor = (
        rng.choice(np.frombuffer(b"ACGT", np.uint8), 50_000, p=p).tobytes()
        for p in ([0.15, 0.35, 0.35, 0.15], [0.35, 0.15, 0.15, 0.35])
    )
    text = bytearray(poor)
    text[1000:1300] = rich[1000:1300]
    genome = genome_of(tmp_path, {"rich": rich, "poor": bytes(text)})
    bed = pd.DataFrame({"chrom": ["poor"], "start": [1000], "end": [1300]})
    settings = NegativeSettings(flank=0, cpg_tolerance=0.2)
    assert matched_negatives(bed, genome, 0, settings).table["chrom"].tolist() == ["rich"]


def test_sequences_without_places_are_matched_on_cpg_and_never_found_again(tmp_path, rng):
    unit = rng.choice(np.frombuffer(b"ACGT", np.uint8), 200).tobytes()
    turned = decode(reverse_complement(encode(unit))).encode()
    genome = genome_of(
        tmp_path, {"chr1": (unit + b"N" + turned + b"N") * 50 + b"N" + unit[:-1] + b"A"}
    )
    with pytest.raises(BadInput, match="no negative"):
        # Every place of this length without N is the positive itself, but for one.
        matched_negatives(
            [encode(unit)], genome, 0, NegativeSettings(gc_tolerance=0, cpg_tolerance=0)
        )
    genome = genome_of(tmp_path, {"chr1": chromosome(rng)})
    positives = [genome.fetch("chr1", at, at + 150).codes for at in range(1000, 40_000, 2000)]
    positives = [codes for codes in positives if codes.max() < 4]
    found = matched_negatives(positives, genome, 0)
    assert found.quality.matched_on == "CpG share" and len(found.codes) >= len(positives) - 1
    for at, codes in zip(found.table["positive"], found.codes, strict=True):
        mine, theirs = (decode(c) for c in (codes, positives[at]))
        assert mine not in {decode(p) for p in positives}
        assert abs(mine.count("CG") - theirs.count("CG")) / 149 <= 0.01 + 1e-6


def test_shares_by_hand():
    codes = np.concatenate([encode("ACGC"), encode("GNNA"), encode("CG")])
    soft = np.array([1, 1, 0, 0] + [0] * 4 + [1, 1], bool)
    gc, masked, cpg = shares_of(codes, soft, np.array([4, 4, 2]))
    assert gc.tolist() == [3 / 4, 1 / 2, 1] and masked.tolist() == [1 / 2, 0, 1]
    # The step from the first window's last C to the second's G is none.
    assert cpg.tolist() == [1 / 3, 0, 1]
    assert bases_of(np.array([5, 0]), np.array([2, 3])).tolist() == [5, 6, 0, 1, 2]


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([("chr1", 10, 10)], "row 1 is empty"),
        ([], "there is no row"),
        ([("chr9", 10, 50)], "has no chromosome 'chr9'"),
        ([("chr1", 119_990, 120_050)], "extends beyond the chromosome"),
    ],
)
def test_positives_that_are_none_are_refused(genome, rows, problem):
    bed = pd.DataFrame(rows, columns=["chrom", "start", "end"])
    with pytest.raises(BadInput, match=problem):
        matched_negatives(bed, genome, 0)


def test_a_bed_and_a_fasta_become_a_binary_task(genome, positives, tmp_path):
    bed = tmp_path / "peaks.bed"
    positives.assign(name=".", score=0)[
        ["chrom", "start", "end", "name", "score", "strand"]
    ].to_csv(bed, sep="\t", header=False, index=False)
    data = with_negatives(bed, genome, 0, LOOSE)
    rows = data.splits["train"]
    half = len(rows) // 2
    assert data.kind == "binary" and data.classes == ("negative", "positive")
    assert rows.labels.tolist() == [1] * half + [0] * half
    assert (rows.lengths[:half] == rows.lengths[half:]).all()
    for i in (0, half - 1, half, 2 * half - 1):
        place = rows.places
        fetched = genome.fetch(place.chrom[i], place.start[i], place.end[i], place.strand[i])
        assert np.array_equal(fetched.codes, rows.codes[i])
    write_task(data, tmp_path / "task.csv")
    read = read_labelled(tmp_path / "task.csv").splits["train"]
    assert read.ids == rows.ids and list(read.places.chrom) == list(rows.places.chrom)
    assert read.labels.tolist() == rows.labels.tolist()
    assert all(map(np.array_equal, read.codes, rows.codes))
    renamed = positives.assign(chrom=positives["chrom"].str.removeprefix("chr"), name=".", score=0)
    renamed[["chrom", "start", "end", "name", "score", "strand"]].to_csv(
        bed, sep="\t", header=False, index=False
    )
    other = with_negatives(bed, genome, 0, LOOSE).splits["train"]
    assert other.places is not None and list(other.places.chrom) == list(rows.places.chrom)
    fasta = tmp_path / "peaks.fa"
    fasta.write_text("".join(f">p{i}\n{decode(rows.codes[i])}\n" for i in range(5)))
    again = with_negatives(fasta, genome, 0).splits["train"]
    assert again.places is None and again.ids[0] == "p0" and "negative-p0" in again.ids


def getfasta(genome, positives, path, chrom="{}"):
    """As `bedtools getfasta -s -name` writes it."""
    lines = []
    for i, row in enumerate(positives.itertuples()):
        codes = genome.fetch(row.chrom, row.start, row.end, row.strand).codes
        name = f"p{i}::{chrom.format(row.chrom)}:{row.start}-{row.end}({row.strand})"
        lines.append(f">{name}\n{decode(codes)}\n")
    path.write_text("".join(lines))
    return path


def test_positions_in_the_names_of_a_fasta_keep_negatives_away(genome, positives, tmp_path, caplog):
    fasta = getfasta(genome, positives, tmp_path / "peaks.fa")
    rows = with_negatives(fasta, genome, 0, LOOSE).splits["train"]
    half = len(rows) // 2
    table = rows.places.frame()
    drawn = table[half:].itertuples()
    assert not any(
        ((table.chrom == n.chrom) & (table.start < n.end) & (table.end > n.start))[:half].any()
        for n in drawn
    )
    assert table.strand[:half].tolist() == positives.strand.tolist()[:half]
    assert "look like" not in caplog.text
    for chrom in ("other{}", "chrM"):
        strange = getfasta(genome, positives, tmp_path / "strange.fa", chrom)
        assert with_negatives(strange, genome, 0, LOOSE).splits["train"].places is None
        assert "the names look like regions" in caplog.text
        caplog.clear()


def test_rows_of_one_name_are_told_apart_here_and_in_the_file(genome, positives, tmp_path):
    bed = tmp_path / "peaks.bed"
    positives[["chrom", "start", "end"]].assign(name="peak").to_csv(
        bed, sep="\t", index=False, header=False
    )
    data = with_negatives(bed, genome, 0, LOOSE)
    write_task(data, tmp_path / "task.csv")
    names, again = (
        each.named().splits["train"].ids for each in (data, read_labelled(tmp_path / "task.csv"))
    )
    assert names == again and len(set(names)) == len(names)


def test_rows_with_two_labels_are_no_positives(genome, positives, tmp_path):
    bed = tmp_path / "peaks.bed"
    labels = np.where(np.arange(len(positives)) % 2, "bound", "not bound")
    table = positives.assign(name=".", score=0, label=labels)
    columns = ["chrom", "start", "end", "name", "score", "strand", "label"]
    table[columns].to_csv(bed, sep="\t", index=False)
    with pytest.raises(BadInput, match="has 2 labels in column label: bound, not bound"):
        with_negatives(bed, genome, 0, LOOSE)
    table.assign(label="bound")[columns].to_csv(bed, sep="\t", index=False)
    assert with_negatives(bed, genome, 0, LOOSE).classes == ("negative", "positive")
    heights = table.rename(columns={"label": "value"}).assign(value=np.arange(len(table)) / 7)
    heights[[*columns[:-1], "value"]].to_csv(bed, sep="\t", index=False)
    assert with_negatives(bed, genome, 0, LOOSE).classes == ("negative", "positive")


def test_real_yeast_promoters_find_their_match(shared_data):
    genome = Genome.open(next(iter(sorted(shared_data("yeast").glob("*.fa.gz")))))
    rng = np.random.default_rng(0)
    chroms = rng.choice([c for c in genome.names if c != "chrM"], 100)
    ends = dict(zip(genome.names, genome.lengths, strict=True))
    start = np.array([rng.integers(0, ends[c] - 300) for c in chroms])
    bed = pd.DataFrame({"chrom": chroms, "start": start, "end": start + 300})
    found = matched_negatives(bed, genome, 0)
    assert len(found.unmatched) <= 5 and abs(found.quality.gc) < 0.005
