"""The embedded example: one seed, one truth, and files other tools accept."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pysam
import pytest

from findna.files import BadInput
from findna.sequence.alphabet import decode, encode, reverse_complement
from findna.sequence.simulate import Example, simulate_example, write_example
from findna.sequence.simulate.elements import (
    UPSTREAM,
    Feature,
    Motif,
    Piece,
    background,
    codon_use,
    gene,
    indel,
    join,
    open_reading_frame,
    plant,
    substitute,
)
from findna.sequence.simulate.tasks import SPLITS

STOPS = {"TAA", "TAG", "TGA"}


@pytest.fixture(scope="module")
def example() -> Example:
    return simulate_example(3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_example(tmp_path_factory.mktemp("example") / "example", seed=3)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def _splice(genome: dict[str, str], lines: list[list[str]]) -> str:
    """Coding sequence of one gene from its GFF lines."""
    parts = "".join(genome[f[0]][int(f[3]) - 1 : int(f[4])] for f in lines).upper()
    return parts if lines[0][6] == "+" else reverse_complement(parts)


def _genome(folder: Path) -> dict[str, str]:
    with pysam.FastxFile(str(folder / "genome.fa")) as file:
        return {record.name: record.sequence for record in file}


# Elements -----------------------------------------------------------------------------------


def test_a_reversed_piece_carries_its_features_along() -> None:
    piece = Piece(encode("AACGT"), (Feature("motif", "m", 1, 3, "+"),))
    back = piece.reversed()
    assert decode(back.codes) == "ACGTT"
    assert back.features == (Feature("motif", "m", 2, 4, "-"),)
    assert back.reversed().features == piece.features


def test_joined_pieces_shift_their_features() -> None:
    first = Piece(encode("AAAA"))
    second = Piece(encode("CC"), (Feature("x", "y", 0, 2),))
    assert join([first, second]).features == (Feature("x", "y", 4, 6),)


def test_motif_on_the_minus_strand_reads_backwards() -> None:
    codes = encode("AAAAAAAAAA")
    motif = Motif("m", "ACCG", fidelity=1.0)
    feature = plant(np.random.default_rng(0), codes, motif, 3, "-")
    assert decode(codes) == "AAACGGTAAA"
    assert (feature.start, feature.end, feature.strand) == (3, 7, "-")


def test_substitution_and_indel_rates() -> None:
    rng = np.random.default_rng(0)
    codes = background(rng, 40_000, 0.5, 1.0)
    assert abs((substitute(rng, codes, 0.2) != codes).mean() - 0.2) < 0.01
    # Half the events delete one base, half insert three on average: +2 bases per two events.
    longer = len(indel(rng, codes, 0.1)) / len(codes)
    assert abs(longer - 1.1) < 0.01


def test_background_has_its_gc_and_lost_its_cpg() -> None:
    codes = background(np.random.default_rng(0), 100_000, 0.4, cpg_kept=0.2)
    text = decode(codes)
    gc = (text.count("C") + text.count("G")) / len(text)
    observed = text.count("CG") / (text.count("C") * text.count("G") / len(text))
    assert 0.33 < gc < 0.4
    assert 0.15 < observed < 0.35


def test_reading_frame_is_open_and_uneven_in_its_codons() -> None:
    rng = np.random.default_rng(0)
    use = codon_use(rng)
    text = decode(open_reading_frame(rng, use, 0.45, 3_000))
    codons = [text[i : i + 3] for i in range(0, len(text), 3)]
    assert len(codons) == 3_000
    assert codons[0] == "ATG" and codons[-1] in STOPS
    assert not STOPS & set(codons[:-1])
    counts = Counter(codons)
    assert max(counts.values()) > 5 * min(counts.values())


def test_gene_starts_after_its_promoter() -> None:
    rng = np.random.default_rng(0)
    piece = gene(rng, "g1", 0.45, codon_use(rng))
    kinds = {feature.kind: feature for feature in piece.features}
    assert kinds["gene"].start == UPSTREAM
    assert kinds["gene"].end == len(piece.codes)
    assert {feature.owner for feature in piece.features} == {"g1"}


# The whole -----------------------------------------------------------------------------------


def test_one_seed_one_example(example: Example) -> None:
    again = simulate_example(3)
    assert all(
        np.array_equal(a.codes, b.codes)
        for a, b in zip(example.chromosomes, again.chromosomes, strict=True)
    )
    assert again.tasks == example.tasks and again.variants == example.variants
    other = simulate_example(4)
    assert not np.array_equal(example.chromosomes[0].codes, other.chromosomes[0].codes)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(BadInput, match="seed"):
        simulate_example(-1)


def test_rows_lie_on_the_chromosomes_of_their_split(example: Example) -> None:
    for task in example.tasks.values():
        for split, rows in task.items():
            assert {row.chrom for row in rows} <= set(SPLITS[split])


def test_rows_are_the_genome_at_their_place(example: Example) -> None:
    genome = {c.name: c.codes for c in example.chromosomes}
    for task in example.tasks.values():
        for row in task["test"]:
            text = decode(genome[row.chrom][row.start : row.end])
            assert row.sequence == (text if row.strand == "+" else reverse_complement(text))


def test_promoter_task_is_balanced_and_matched(example: Example) -> None:
    for rows in example.tasks["promoters"].values():
        gc: dict[str, list[float]] = {"promoter": [], "background": []}
        cpg: dict[str, list[float]] = {"promoter": [], "background": []}
        for row in rows:
            gc[row.label].append(sum(row.sequence.count(x) for x in "GC") / len(row.sequence))
            cpg[row.label].append(row.sequence.count("CG"))
        assert len(gc["promoter"]) == len(gc["background"]) > 100
        assert abs(np.mean(gc["promoter"]) - np.mean(gc["background"])) < 0.015
        assert abs(np.mean(cpg["promoter"]) - np.mean(cpg["background"])) < 0.8


def test_background_rows_touch_no_promoter_and_no_other_row(example: Example) -> None:
    for chromosome in example.chromosomes:
        taken = np.zeros(len(chromosome.codes), dtype=bool)
        for feature in chromosome.of_kind("promoter"):
            taken[feature.start : feature.end] = True
        for split in example.tasks["promoters"].values():
            for row in split:
                if row.label == "background" and row.chrom == chromosome.name:
                    assert not taken[row.start : row.end].any()
                    taken[row.start : row.end] = True


def test_no_sequence_stands_in_two_splits(example: Example) -> None:
    for task in example.tasks.values():
        seen: dict[str, str] = {}
        for split, rows in task.items():
            for row in rows:
                assert seen.setdefault(row.sequence, split) == split


def test_variants_come_in_pairs_of_effects(example: Example) -> None:
    effects = Counter(variant.effect for variant in example.variants)
    assert effects["motif_breaking"] == effects["neutral"] > 100
    assert len({(v.chrom, v.pos) for v in example.variants}) == len(example.variants)


# Files ---------------------------------------------------------------------------------------


def test_fasta_has_the_repeats_in_lower_case(folder: Path, example: Example) -> None:
    genome = _genome(folder)
    assert list(genome) == [c.name for c in example.chromosomes]
    for chromosome in example.chromosomes:
        letters = np.frombuffer(genome[chromosome.name].encode(), np.uint8)
        assert np.array_equal(encode(genome[chromosome.name]), chromosome.codes)
        lower = np.zeros(len(letters), dtype=bool)
        for repeat in chromosome.of_kind("repeat"):
            lower[repeat.start : repeat.end] = True
        assert np.array_equal(letters >= ord("a"), lower)


def test_coding_lines_of_the_gff_splice_to_open_frames(folder: Path) -> None:
    genome = _genome(folder)
    genes: dict[str, list[list[str]]] = {}
    for text in (folder / "genes.gff3").read_text().splitlines():
        fields = text.split("\t")
        if len(fields) == 9 and fields[2] == "CDS":
            genes.setdefault(fields[8], []).append(fields)
    assert len(genes) > 1_000
    for lines in genes.values():
        frame = _splice(genome, lines)
        codons = [frame[i : i + 3] for i in range(0, len(frame), 3)]
        assert codons[0] == "ATG" and codons[-1] in STOPS and not STOPS & set(codons[:-1])
        in_order = lines if lines[0][6] == "+" else lines[::-1]
        done = 0
        for fields in in_order:
            assert int(fields[7]) == -done % 3
            done += int(fields[4]) - int(fields[3]) + 1


def test_vcf_opens_and_its_ref_is_the_genome(folder: Path) -> None:
    genome = _genome(folder)
    with pysam.VariantFile(str(folder / "variants.vcf")) as file:
        assert {name: c.length for name, c in file.header.contigs.items()} == {
            name: len(text) for name, text in genome.items()
        }
        records = list(file)
    assert len(records) > 200
    for record in records:
        assert genome[record.chrom][record.start : record.stop].upper() == record.ref
        assert record.alts is not None and record.alts[0] != record.ref
    places = [(list(genome).index(r.chrom), r.pos) for r in records]
    assert places == sorted(places)


def test_tables_and_readme(folder: Path, example: Example) -> None:
    rows = _rows(folder / "coding" / "train.csv")
    assert list(rows[0])[:2] == ["sequence", "label"]
    assert [row["sequence"] for row in rows] == [
        r.sequence for r in example.tasks["coding"]["train"]
    ]
    assert "simulated" in (folder / "README.md").read_text()
    bed = [line.split("\t") for line in (folder / "repeats.bed").read_text().splitlines()]
    assert all(len(line) == 6 and int(line[1]) < int(line[2]) for line in bed)


def test_an_existing_folder_is_refused_and_kept(folder: Path) -> None:
    before = (folder / "README.md").read_bytes()
    with pytest.raises(BadInput, match="exists"):
        write_example(folder, seed=1)
    assert (folder / "README.md").read_bytes() == before
