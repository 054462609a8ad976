"""Windows of variants: a plain second implementation, equivalent spellings, ends and circles."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from findna.files import BadInput
from findna.inference.variants.windows import (
    bases_at,
    check_references,
    circles_of,
    haplotypes,
    left_aligned,
    trimmed,
)
from findna.sequence.alphabet import decode
from findna.sequence.genome import Genome
from findna.sequence.variants import Variant


def genome_of(folder, **chroms):
    file = folder / "genome.fa"
    file.write_text("".join(f">{name}\n{letters}\n" for name, letters in chroms.items()))
    return Genome.open(file, cache=folder)


def changed(letters, variant):
    assert letters[variant.start : variant.end] == variant.ref
    return letters[: variant.start] + variant.alt + letters[variant.end :]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("A", "C"), (10, "A", "C")),
        (("GAT", "GCT"), (11, "A", "C")),
        (("GAT", "GCA"), (11, "AT", "CA")),
        (("CA", "C"), (11, "A", "")),
        (("C", "CAA"), (11, "", "AA")),
        (("ATA", "A"), (10, "AT", "")),
        (("GATTC", "GCC"), (11, "ATT", "C")),
        (("ACG", "ACG"), (10, "", "")),
    ],
)
def test_trimming_by_hand(given, expected):
    assert trimmed(Variant("c", 10, *given)) == Variant("c", *expected)


def test_left_alignment_by_hand(tmp_path):
    #                            0123456789
    genome = genome_of(tmp_path, c="GGCACACATTTT", n="GGNAAAAC")
    aligned = [
        (Variant("c", 6, "CA", ""), Variant("c", 2, "CA", "")),
        (Variant("c", 5, "AC", ""), Variant("c", 2, "CA", "")),
        (Variant("c", 8, "", "CA"), Variant("c", 2, "", "CA")),
        (Variant("c", 7, "", "CAC"), Variant("c", 4, "", "CAC")),
        (Variant("c", 12, "", "T"), Variant("c", 8, "", "T")),
        (Variant("c", 2, "CA", "T"), Variant("c", 2, "CA", "T")),
        # The first base of a chromosome, and N, stop it.
        (Variant("c", 1, "G", ""), Variant("c", 0, "G", "")),
        (Variant("n", 6, "A", ""), Variant("n", 3, "A", "")),
    ]
    for spelled, expected in aligned:
        assert left_aligned(genome, spelled, {}) == expected


def test_a_long_repeat_is_walked_to_its_start(tmp_path):
    letters = "G" + "ACT" * 700 + "G"
    genome = genome_of(tmp_path, c=letters)
    found = left_aligned(genome, Variant("c", 1 + 3 * 650 + 1, "CTA", ""), {})
    assert found == Variant("c", 1, "ACT", "")


repeats = st.builds(
    lambda head, unit, times, tail: head + unit * times + tail,
    st.text("ACGT", max_size=8),
    st.text("ACG", min_size=1, max_size=3),
    st.integers(1, 6),
    st.text("ACGT", max_size=8),
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("spellings")


@settings(max_examples=25)
@given(repeats, st.data())
def test_all_spellings_of_an_indel_become_one(scratch, letters, data):
    """Every pair of padded alleles, anywhere, that makes the same haplotype is the same variant."""
    start = data.draw(st.integers(0, len(letters)))
    end = data.draw(st.integers(start, min(len(letters), start + 4)))
    alt = data.draw(st.text("ACG", max_size=4))
    assume(end - start != len(alt))
    haplotype = letters[:start] + alt + letters[end:]
    grown = len(haplotype) - len(letters)
    genome = genome_of(scratch, c=letters)
    found = set()
    for left in range(len(letters) + 1):
        for right in range(left, min(len(letters), left + 9) + 1):
            if right + grown < left:
                continue
            there = haplotype[left : right + grown]
            if letters[:left] + there + letters[right:] == haplotype:
                spelled = Variant("c", left, letters[left:right], there)
                found.add(left_aligned(genome, trimmed(spelled), {}))
    assert len(found) == 1
    assert changed(letters, found.pop()) == haplotype


def test_spellings_across_the_origin_of_a_circle_become_one(tmp_path):
    letters = "AATGCCGTGA"
    genome, circle = genome_of(tmp_path, c=letters), {"c": 10}
    spelled = [Variant("c", place, "A", "") for place in (9, 0, 1)]
    assert {left_aligned(genome, v, circle) for v in spelled} == {Variant("c", 9, "A", "")}
    added = [Variant("c", place, "", "A") for place in (9, 10, 0, 1, 2)]
    assert {left_aligned(genome, v, circle) for v in added} == {Variant("c", 9, "", "A")}
    assert left_aligned(genome, Variant("c", 1, "A", ""), {}) == Variant("c", 0, "A", "")
    # A chromosome that repeats all the way round has no leftmost spelling: it ends all the same.
    whole = genome_of(tmp_path, c="A" * 10)
    assert left_aligned(whole, Variant("c", 3, "A", ""), circle).ref == "A"


def plain_window(letters, variant, window, circle=False):
    """By strings: the haplotype with N, or itself again, far beyond both ends."""
    left = (window - max(len(variant.ref), len(variant.alt))) // 2
    around = letters if circle else "N" * window
    ref = around + letters + around
    alt = around + changed(letters, variant) + around
    begin = len(around) + variant.start - left
    return ref[begin : begin + window], alt[begin : begin + window]


CHROM = "acgtTGCAccgtaNNGATTACAgattacaCCGGTTAAgtcagtcaTTGACGT"


@pytest.fixture(scope="module")
def two_chromosomes(tmp_path_factory):
    return genome_of(tmp_path_factory.mktemp("two"), b="ACGT" * 30, c=CHROM)


@settings(max_examples=80)
@given(st.integers(4, 60), st.booleans(), st.data())
def test_windows_equal_plain_strings(two_chromosomes, window, circle, data):
    letters = CHROM.upper()
    start = data.draw(st.integers(0, len(letters)))
    end = data.draw(st.integers(start, min(len(letters), start + window // 2)))
    alt = data.draw(st.text("ACGT", max_size=window // 2))
    assume(not circle or len(letters) + min(0, len(alt) - (end - start)) >= window)
    variant = Variant("c", start, letters[start:end], alt)
    genome = two_chromosomes
    circles = circles_of(genome, ["c"]) if circle else {}
    other = Variant("b", 3, "TACG", "")
    pairs = haplotypes(genome, [other, variant], window, circles)
    expected = plain_window(letters, variant, window, circle)
    assert (decode(pairs.ref[1]), decode(pairs.alt[1])) == expected
    at, ref_end, alt_end = pairs.left[1], pairs.left[1] + end - start, pairs.left[1] + len(alt)
    assert decode(pairs.ref[1, at:ref_end]) == variant.ref
    assert decode(pairs.alt[1, at:alt_end]) == alt


def test_reading_equals_fetching_in_cut_regions(tmp_path):
    """Regions that touch, overlap and leave gaps: N between them, the first one answers."""
    parts = {"chr1:10-18": "ACGTACGT", "chr1:16-22": "GTCCCC", "chr1:30-34": "TTTT"}
    genome = genome_of(tmp_path, **parts)
    assert genome.mapped
    expected = genome.fetch("chr1", 5, 40).codes
    places = np.arange(5, 40)
    assert np.array_equal(bases_at(genome, "chr1", places, {}), expected)
    shuffled = np.random.default_rng(0).permutation(35).reshape(5, 7)
    assert np.array_equal(bases_at(genome, "chr1", places[shuffled], {}), expected[shuffled])
    with pytest.raises(BadInput, match="only regions of chr1"):
        circles_of(genome, ["chr1"])


def test_a_wrong_ref_is_never_passed(tmp_path):
    genome = genome_of(tmp_path, c="acgtACGT", d="TTTT")
    right = [Variant("c", 0, "ACG", "A"), Variant("d", 4, "", "G"), Variant("c", 7, "T", "A")]
    check_references(genome, right, {})
    check_references(genome, [Variant("c", 6, "GTAC", "G")], {"c": 8})
    for wrong, there in ((Variant("c", 1, "CGA", "C"), "CGT"), (Variant("d", 3, "TT", "T"), "TN")):
        with pytest.raises(ValueError, match=f"has {there} there") as error:
            check_references(genome, [*right, wrong, *right], {})
        assert repr(wrong) in str(error.value)
