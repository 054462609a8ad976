"""Laws of letters: complement, codes, counts, refusal."""

import string

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from findna.files import BadInput
from findna.sequence import alphabet
from findna.sequence.alphabet import (
    COMPLEMENT,
    LetterCounts,
    codes_of,
    count_marks,
    decode,
    encode,
    encode_counted,
    reverse_complement,
    soft_of,
    tell_counts,
)

dna = st.text(alphabet="ACGTN", max_size=60)
any_case = st.text(alphabet="ACGTNacgtnRYSWKMBDHVryswkmbdhv", max_size=60)


def test_codes_are_all_different() -> None:
    codes = [getattr(alphabet, name) for name in ("A", "C", "G", "T", "N", "MASK", "PAD")]
    assert codes == list(range(alphabet.VOCABULARY))
    assert encode("ACGTN").tolist() == [0, 1, 2, 3, 4]


def test_reverse_complement_of_the_law() -> None:
    assert reverse_complement("AACCGTN") == "NACGGTT"
    assert decode(reverse_complement(encode("AACCGTN"))) == "NACGGTT"


@pytest.mark.parametrize("shape", [(0,), (1,), (5,), (3, 1), (3, 2)])
def test_the_other_strand_lies_forwards_in_memory(shape: tuple[int, ...]) -> None:
    turned = reverse_complement(np.zeros(shape, np.uint8))
    assert turned.flags.c_contiguous and min(turned.strides) >= 0  # 0 where there is nothing
    assert (turned == 3).all()


def test_complement_is_a_table_with_fixed_n_mask_and_pad() -> None:
    assert COMPLEMENT.tolist() == [3, 2, 1, 0, 4, 5, 6]
    with pytest.raises(ValueError, match="read-only"):
        COMPLEMENT[0] = 0


@given(any_case)
def test_twice_is_the_identity(letters: str) -> None:
    assert reverse_complement(reverse_complement(letters)) == letters
    codes = encode(letters)
    assert np.array_equal(reverse_complement(reverse_complement(codes)), codes)


@given(st.lists(st.text(alphabet="ACGTN", min_size=7, max_size=7), min_size=1, max_size=5))
def test_strings_codes_and_batches_agree(rows: list[str]) -> None:
    batch = np.stack([encode(row) for row in rows])
    turned = reverse_complement(batch)
    assert [decode(row) for row in turned] == [reverse_complement(row) for row in rows]


@given(any_case)
def test_iupac_letters_complement_as_sets(letters: str) -> None:
    """Second implementation: a IUPAC letter is a set of bases; its complement that of each."""
    meanings = "A C G T ACGT AG CT CG AT GT AC CGT AGT ACT ACG"
    sets = dict(zip("ACGTNRYSWKMBDHV", meanings.split(), strict=True))
    letter_of = {frozenset(bases): letter for letter, bases in sets.items()}
    pair = dict(zip("ACGT", "TGCA", strict=True))

    def complement(letter: str) -> str:
        found = letter_of[frozenset(pair[base] for base in sets[letter.upper()])]
        return found if letter.isupper() else found.lower()

    assert reverse_complement(letters) == "".join(map(complement, reversed(letters)))


def test_rna_stays_rna_and_a_mixture_is_refused() -> None:
    assert reverse_complement("AACCGuN") == "NaCGGUU"
    with pytest.raises(BadInput, match="both T and U"):
        reverse_complement("ATU")


@pytest.mark.parametrize("mixed", ["ATu", "AtU", "atu"])
def test_case_hides_no_mixture_of_rna_and_dna(mixed: str) -> None:
    with pytest.raises(BadInput, match="both T and U"):
        reverse_complement(mixed)


@given(dna)
def test_round_trip(letters: str) -> None:
    assert decode(encode(letters)) == letters


def test_decode_shows_mask_and_pad_and_refuses_more() -> None:
    assert decode(np.arange(7, dtype=np.uint8)) == "ACGTN?-"
    for wrong in (np.array([7], dtype=np.uint8), np.zeros((2, 2), dtype=np.uint8)):
        with pytest.raises(ValueError):
            decode(wrong)


@given(any_case)
def test_every_form_of_letters_gives_the_same(letters: str) -> None:
    raw = letters.encode()
    codes = encode(letters).tolist()
    for form in (raw, bytearray(raw), np.frombuffer(raw, dtype=np.uint8)):
        assert encode(form).tolist() == codes
    assert codes == ["ACGTN".find(c) if c in "ACGTN" else 4 for c in letters.upper()]


def test_codes_are_writable_and_free_of_their_source() -> None:
    raw = bytearray(b"ACGT")
    codes = encode(raw)
    codes[0] = 3
    assert raw == b"ACGT" and codes.tolist() == [3, 1, 2, 3]


def test_what_is_changed_is_counted() -> None:
    codes, counts = encode_counted("ACgtRyUun")
    assert decode(codes) == "ACGTNNTTN"
    assert counts == LetterCounts(ambiguous=2, uracil=2, soft_masked=5, letters=9)
    assert counts + LetterCounts(1, 0, 0, 2) == LetterCounts(3, 2, 5, 11)
    assert encode_counted("")[1] == LetterCounts() == count_marks(encode(""))


@pytest.mark.parametrize(("ambiguous", "level"), [(0, []), (1, ["INFO"]), (2, ["WARNING"])])
def test_more_than_a_tenth_of_iupac_letters_may_be_protein(
    ambiguous: int, level: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    tell_counts(LetterCounts(ambiguous=ambiguous, letters=10), "a.fa")
    assert [record.levelname for record in caplog.records] == level


def test_store_bytes() -> None:
    stored = np.array([0, 3 | alphabet.SOFT_BIT, 4 | alphabet.SOFT_BIT], dtype=np.uint8)
    assert codes_of(stored).tolist() == [0, 3, 4]
    assert soft_of(stored).tolist() == [False, True, True]


@given(st.characters(), st.integers(0, 20))
def test_an_unknown_letter_is_refused_with_its_position(letter: str, before: int) -> None:
    known = set("ACGTUNRYSWKMBDHVacgtunryswkmbdhv")
    for encoder in (encode, encode_counted):
        if letter in known:
            assert encoder("A" * before + letter) is not None
            continue
        with pytest.raises(BadInput) as caught:
            encoder("A" * before + letter + "C", source="a.fa", record="chr1")
        assert str(caught.value).startswith(
            f"a.fa, record chr1: unknown letter {letter!r} at position {before + 1}\n"
        )


@pytest.mark.parametrize(
    ("letter", "remedy"), [("E", "protein"), ("X", "write N"), ("-", "gaps"), ("7", "IUPAC")]
)
def test_the_remedy_fits_the_letter(letter: str, remedy: str) -> None:
    with pytest.raises(BadInput, match=remedy):
        encode(f"AC{letter}")


def test_protein_letters_are_all_refused() -> None:
    refused = [c for c in string.ascii_uppercase if _is_refused(c)]
    assert "".join(refused) == "EFIJLOPQXZ"


def _is_refused(letter: str) -> bool:
    try:
        encode(letter)
    except BadInput:
        return True
    return False


def test_wrong_arrays_are_programming_errors() -> None:
    with pytest.raises(ValueError):
        encode(np.zeros(3, dtype=np.int64))  # type: ignore[arg-type]
    with pytest.raises(ValueError):
        reverse_complement(np.zeros(3, dtype=np.int64))  # type: ignore[call-overload]
