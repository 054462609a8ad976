"""Alleles of VCF rows against a genome: what is a variant, and why the others are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from findna.files import BadInput
from findna.sequence.genome import Genome
from findna.sequence.variants import REASONS, SCORED, AlleleReader, Tally, Variant, words

#           1234567890123456
SEQUENCE = "ACGTacgtNNRTTTGA"


@pytest.fixture
def genome(tmp_path: Path) -> Genome:
    fasta = tmp_path / "genome.fa"
    fasta.write_text(f">chr1\n{SEQUENCE}\n>chrM\nACGTACGT\n")
    return Genome.open(fasta)


ROWS = {
    "SNV": ("chr1", 2, "C", ["T"], [Variant("chr1", 1, "C", "T")]),
    "lower-case REF and ALT": ("chr1", 2, "c", ["t"], [Variant("chr1", 1, "C", "T")]),
    "soft-masked genome": ("chr1", 5, "AC", ["TC"], [Variant("chr1", 4, "AC", "TC")]),
    "name without chr": ("1", 2, "C", ["T"], [Variant("chr1", 1, "C", "T")]),
    "MT": ("MT", 8, "T", ["C"], [Variant("chrM", 7, "T", "C")]),
    "insertion": ("chr1", 1, "A", ["ACC"], [Variant("chr1", 0, "A", "ACC")]),
    "deletion at the end": ("chr1", 15, "GA", ["G"], [Variant("chr1", 14, "GA", "G")]),
    "several": (
        "chr1",
        2,
        "C",
        ["T", "*", "<DEL>", "C[chr1:9[", "]chr1:3]C", "C.", ".C", "<NON_REF>", "N", "C", ""],
        [
            Variant("chr1", 1, "C", "T"),
            *("star", "symbolic", "breakend", "breakend", "breakend", "breakend", "symbolic"),
            *("alt_not_acgt", "same_as_ref", "no_alt"),
        ],
    ),
    "no ALT": ("chr1", 2, "C", [], ["no_alt"]),
    "mismatch": ("chr1", 2, "G", ["T", "<DEL>"], ["ref_mismatch", "ref_mismatch"]),
    "mismatch without ALT": ("chr1", 2, "G", [], ["ref_mismatch"]),
    "mismatch beside N": ("chr1", 8, "GN", ["T"], ["ref_mismatch"]),
    "REF N": ("chr1", 2, "N", ["T"], ["ref_not_acgt"]),
    "genome N": ("chr1", 9, "A", ["T"], ["ref_not_acgt"]),
    "genome IUPAC": ("chr1", 11, "A", ["T"], ["ref_not_acgt"]),
    "REF is not a sequence": ("chr1", 2, "<X>", ["T"], ["ref_not_acgt"]),
    "empty REF": ("chr1", 2, "", ["T"], ["ref_not_acgt"]),
    "no such chromosome": ("chr9", 2, "C", ["T"], ["contig_missing"]),
    "position 0": ("chr1", 0, "C", ["T"], ["position_0"]),
    "behind the end": ("chr1", 17, "C", ["T"], ["off_the_end"]),
    "across the end": ("chr1", 15, "GAC", ["G"], ["off_the_end"]),
    "far behind the end": ("chr1", 9_999_999_999, "C", ["T"], ["off_the_end"]),
}


@pytest.mark.parametrize("what", ROWS)
def test_what_a_row_says(what: str, genome: Genome) -> None:
    chrom, pos, ref, alts, expected = ROWS[what]
    assert AlleleReader(genome).read(chrom, pos, ref, alts) == expected
    assert all(word in {*REASONS, SCORED} for word in words(expected))


@given(
    start=st.integers(0, 199),
    length=st.integers(1, 30),
    change=st.none() | st.integers(0, 29),
)
def test_ref_agrees_exactly_where_the_letters_do(
    start: int, length: int, change: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    letters = "".join(np.random.default_rng(3).choice(list("ACGTacgt"), 200))
    fasta = tmp_path_factory.getbasetemp() / "random.fa"
    if not fasta.exists():
        fasta.write_text(f">c\n{letters}\n")
    ref = letters[start : start + length]
    if change is not None and change < len(ref):
        other = {"A": "C", "C": "G", "G": "T", "T": "A"}[ref[change].upper()]
        ref = ref[:change] + other + ref[change + 1 :]
    same = ref.upper() == letters[start : start + len(ref)].upper()
    found = AlleleReader(Genome.open(fasta)).read("c", start + 1, ref, ["<X>"])
    assert found == (["symbolic"] if same else ["ref_mismatch"])


def test_regions_know_no_ends(tmp_path: Path) -> None:
    fasta = tmp_path / "regions.fa"
    fasta.write_text(">chr1:100-116\nACGTACGTACGTACGT\n")
    reader = AlleleReader(Genome.open(fasta))
    assert reader.read("chr1", 101, "A", ["T"]) == [Variant("chr1", 100, "A", "T")]
    assert reader.read("chr1", 117, "A", ["T"]) == ["outside_regions"]
    assert reader.read("chr1", 100, "TA", ["T"]) == ["outside_regions"]


def counted(right: int, wrong: int, others: int = 0) -> Tally:
    tally = Tally()
    for word, times in ((SCORED, right), ("ref_mismatch", wrong), ("contig_missing", others)):
        for _ in range(times):
            tally.add("chr1", [word])
    return tally


@pytest.mark.parametrize(
    ("right", "wrong", "stops"),
    [(18, 2, False), (17, 3, True), (0, 19, False), (0, 20, True), (900, 100, False)],
)
def test_the_build_is_wrong_above_a_tenth_of_twenty(right: int, wrong: int, stops: bool) -> None:
    tally = counted(right, wrong, others=500)
    if stops:
        with pytest.raises(BadInput, match="wrong genome build") as error:
            tally.refuse_wrong_build("x.vcf")
        assert f"x.vcf: {wrong} of {right + wrong} REF alleles" in str(error.value)
    else:
        tally.refuse_wrong_build("x.vcf")


def test_a_row_is_compared_once_however_many_alleles_it_has() -> None:
    tally = Tally()
    for _ in range(19):
        tally.add("chr1", ["ref_mismatch", "ref_mismatch"])
    tally.refuse_wrong_build("x.vcf")
    assert (tally.rows, tally.checked, tally.reasons["ref_mismatch"]) == (19, 19, 38)


def test_the_summary_counts_every_allele() -> None:
    tally = counted(3, 1, 2)
    tally.add("chr1", [SCORED, "star"])
    assert tally.summary() == (
        "scored 4 of 8 alternative alleles in 7 rows; not scored: 2 contig_missing, 1 ref_mismatch,"
        " 1 star"
    )
    assert counted(1, 0).summary() == "scored 1 of 1 alternative alleles in 1 rows"
    assert counted(0, 0, 5).all_missing and not counted(1, 0, 5).all_missing
    assert not Tally().all_missing
