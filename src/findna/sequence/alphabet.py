"""The alphabet: characters to codes and back, and the complement as a table.

Codes are `A C G T N MASK PAD` = 0 to 6; a model never sees another numbering. Lower case (soft
mask) has no code of its own: stores keep it as `SOFT_BIT` next to the code.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args, overload

import numpy as np
import numpy.typing as npt

from findna.files import BadInput, log

Codes = npt.NDArray[np.uint8]
# Which strands are read: both, averaged, or only the given one.
Strand = Literal["both", "forward"]
Flags = npt.NDArray[np.bool_]

A, C, G, T, N, MASK, PAD = range(7)
LETTERS = "ACGTN"
VOCABULARY = 7
BASES = 4  # A C G T, codes 0 to 3; N, MASK and PAD are never predicted
ALPHABET_NAME = "ACGTN-MASK-PAD/1"
COMPLEMENT: Codes = np.array([T, G, C, A, N, MASK, PAD], dtype=np.uint8)
COMPLEMENT.setflags(write=False)

# A byte of a store is `code | SOFT_BIT` for a lower-case base, `code` for an upper-case one.
CODE_BITS = 7
SOFT_BIT = 8
# Flags of a byte while it is being read; never stored.
AMBIGUOUS_BIT = 16
URACIL_BIT = 32
UNKNOWN_BYTE = 255

AMBIGUOUS_LETTERS = "RYSWKMBDHV"
_SHOWN = "ACGTN?-"
_PROTEIN = "EFILPQZJOX*"
# A larger share of IUPAC codes suggests protein: half of the amino acids have such a letter.
_MANY_AMBIGUOUS = 0.1


def refuse_unknown_strand(strand: str | None, *, needed: bool = False) -> None:
    """`ValueError` for a name that is not a `Strand`; None is accepted unless one is `needed`."""
    if (needed or strand is not None) and strand not in get_args(Strand):
        raise ValueError(f"no such strand: {strand!r}; choose from {', '.join(get_args(Strand))}")


def _reading_table() -> bytes:
    """256 bytes: character -> code with the flags above; 255 for anything but DNA or RNA."""
    table = bytearray([UNKNOWN_BYTE] * 256)
    upper = {letter: code for code, letter in enumerate(LETTERS)}
    upper |= dict.fromkeys(AMBIGUOUS_LETTERS, N | AMBIGUOUS_BIT)
    upper["U"] = T | URACIL_BIT
    for letter, byte in upper.items():
        table[ord(letter)] = byte
        table[ord(letter.lower())] = byte | SOFT_BIT
    return bytes(table)


READING_TABLE = _reading_table()
# The same without flags, for callers that count nothing: one pass instead of three.
_CODES_TABLE = bytes(b if b == UNKNOWN_BYTE else b & CODE_BITS for b in READING_TABLE)


@dataclass(frozen=True, slots=True)
class LetterCounts:
    """How many characters were not plain upper-case A, C, G, T, N, and how many there were in
    all.
    """

    ambiguous: int = 0
    uracil: int = 0
    soft_masked: int = 0
    letters: int = 0

    def __add__(self, other: LetterCounts) -> LetterCounts:
        """The counts of two pieces together."""
        return LetterCounts(
            self.ambiguous + other.ambiguous,
            self.uracil + other.uracil,
            self.soft_masked + other.soft_masked,
            self.letters + other.letters,
        )


def encode(
    letters: bytes | bytearray | str | Codes,
    *,
    source: str | Path | None = None,
    record: str | None = None,
) -> Codes:
    """Codes, uint8 (L,), of a sequence of L bases; an array is taken as ASCII bytes.

    Case is ignored, IUPAC codes become N and U becomes T. Any other character raises `BadInput`
    with `source`, `record` and its 1-based position.
    """
    codes = np.frombuffer(bytearray(_as_bytes(letters)).translate(_CODES_TABLE), dtype=np.uint8)
    if codes.size and codes.max() == UNKNOWN_BYTE:
        raise _unknown(letters, int(codes.argmax()), source, record)
    return codes


def encode_counted(
    letters: bytes | bytearray | str | Codes,
    *,
    source: str | Path | None = None,
    record: str | None = None,
    line: int | None = None,
) -> tuple[Codes, LetterCounts]:
    """As `encode`, with the counts of IUPAC codes, U and lower-case bases."""
    marked = np.frombuffer(bytearray(_as_bytes(letters)).translate(READING_TABLE), dtype=np.uint8)
    if marked.size and marked.max() == UNKNOWN_BYTE:
        raise _unknown(letters, int(marked.argmax()), source, record, line)
    return codes_of(marked), count_marks(marked)


def codes_of(stored: Codes) -> Codes:
    """The codes of bytes of a store, any shape."""
    return np.bitwise_and(stored, CODE_BITS, dtype=np.uint8)


def soft_of(stored: Codes) -> Flags:
    """Which bytes of a store were lower case, any shape."""
    return np.bitwise_and(stored, SOFT_BIT, dtype=np.uint8) > 0


def count_marks(marked: Codes) -> LetterCounts:
    """The counts of bytes translated by `READING_TABLE`, any shape."""
    highest = marked.max(initial=0)
    if highest < SOFT_BIT:
        return LetterCounts(letters=marked.size)
    rare = highest >= AMBIGUOUS_BIT
    return LetterCounts(
        ambiguous=int(np.count_nonzero(marked & AMBIGUOUS_BIT)) if rare else 0,
        uracil=int(np.count_nonzero(marked & URACIL_BIT)) if rare else 0,
        soft_masked=int(np.count_nonzero(marked & SOFT_BIT)),
        letters=marked.size,
    )


def tell_counts(counts: LetterCounts, source: str) -> None:
    """Log what reading changed: U became T, IUPAC codes became N."""
    if counts.uracil:
        log.warning("%s: %s U read as T (RNA)", source, f"{counts.uracil:,}")
    # A store written by an older findna does not know how many characters there were.
    if counts.letters and counts.ambiguous > _MANY_AMBIGUOUS * counts.letters:
        log.warning(
            "%s: %s of %s letters are IUPAC codes and read as N; is this DNA, not protein?",
            source, f"{counts.ambiguous:,}", f"{counts.letters:,}",
        )  # fmt: skip
    elif counts.ambiguous:
        log.info("%s: %s IUPAC letters read as N", source, f"{counts.ambiguous:,}")


def _as_bytes(letters: bytes | bytearray | str | Codes) -> bytes | bytearray:
    if isinstance(letters, str):
        # latin-1 keeps one byte per character, so that positions in errors stay correct.
        return letters.encode("latin-1", "replace")
    if isinstance(letters, np.ndarray):
        if letters.dtype != np.uint8 or letters.ndim != 1:
            raise ValueError(f"letters must be uint8 (L,), not {letters.dtype} {letters.shape}")
        return letters.tobytes()
    return letters


def _unknown(
    letters: bytes | bytearray | str | Codes,
    index: int,
    source: str | Path | None,
    record: str | None,
    line: int | None = None,
) -> BadInput:
    shown = letters[index] if isinstance(letters, str) else chr(_as_bytes(letters)[index])
    return unknown_letter(shown, index + 1, source=source, record=record, line=line)


def unknown_letter(
    letter: str,
    position: int,
    *,
    source: str | Path | None = None,
    record: str | None = None,
    line: int | None = None,
) -> BadInput:
    """The error for a character that is not DNA; `position` in the record, 1-based."""
    if letter in "-.":
        remedy = "remove the gaps of the alignment first"
    elif letter.upper() == "X":
        remedy = "X means an unknown amino acid in protein; if it is an unknown base, write N"
    elif letter.upper() in _PROTEIN:
        remedy = "this looks like protein; DNA or RNA is needed"
    else:
        remedy = "letters may be A, C, G, T, U, N and the IUPAC codes " + AMBIGUOUS_LETTERS
    problem = f"unknown letter {letter!r} at position {position:,}"
    return BadInput(problem, file=source, record=record, line=line, remedy=remedy)


def decode(codes: Codes) -> str:
    """The sequence of codes (L,) as text: `?` for MASK, `-` for PAD."""
    if codes.ndim != 1 or (codes.size and codes.max() >= VOCABULARY):
        raise ValueError("decode needs codes 0 to 6 in one dimension")
    return codes.astype(np.uint8).tobytes().translate(_SHOWN.encode().ljust(256)).decode("ascii")


_PAIRS = str.maketrans("ACGTRYSWKMBDHVNacgtryswkmbdhvn", "TGCAYRSWMKVHDBNtgcayrswmkvhdbn")
_RNA_PAIRS = _PAIRS | {ord("A"): "U", ord("a"): "u", ord("U"): "A", ord("u"): "a"}


@overload
def reverse_complement(sequence: str) -> str: ...
@overload
def reverse_complement(sequence: Codes) -> Codes: ...
def reverse_complement(sequence: str | Codes) -> str | Codes:
    """The reverse complement of a string (case and IUPAC codes kept), or of codes (..., L).

    A string with U and no T is RNA and stays RNA. Unknown characters raise `BadInput` with their
    1-based position.
    """
    if isinstance(sequence, str):
        encode(sequence)
        rna = "U" in sequence.upper()
        if rna and "T" in sequence.upper():
            raise BadInput("a sequence holds both T and U", remedy="write either T or U throughout")
        return sequence.translate(_RNA_PAIRS if rna else _PAIRS)[::-1]
    if sequence.dtype != np.uint8:
        raise ValueError(f"codes must be uint8, not {sequence.dtype}")
    # Not ascontiguousarray: it takes a single base for contiguous, and torch refuses stride -1.
    return COMPLEMENT[sequence][..., ::-1].copy()
