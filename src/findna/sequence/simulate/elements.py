"""The pieces a simulated genome is made of: background, motifs, repeats, promoters, genes.

Everything here is invented, with the strengths that are known from real genomes: CpG decays by
deamination, motifs are imperfect and often missing, repeats are old copies of a common ancestor
and genes prefer some codons. Codes are those of `alphabet` (uint8, A C G T = 0 1 2 3); places
are 0-based half-open and relative to the piece; chance is always the generator handed in.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from findna.sequence.alphabet import A, C, G, T, encode, reverse_complement

Codes = NDArray[np.uint8]
Rng = np.random.Generator

_IUPAC = {
    "A": (A,), "C": (C,), "G": (G,), "T": (T,), "R": (A, G), "Y": (C, T), "W": (A, T), "S": (C, G),
    "K": (G, T), "M": (A, C), "B": (C, G, T), "D": (A, G, T), "H": (A, C, T), "V": (A, C, G),
    "N": (A, C, G, T),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Feature:
    """A named place; `owner` is the gene it belongs to, `age` the divergence of a repeat copy."""

    kind: str
    name: str
    start: int
    end: int
    strand: str = "+"
    owner: str = ""
    age: float = 0.0

    def moved(self, by: int) -> "Feature":
        """The same feature `by` bases further on."""
        return replace(self, start=self.start + by, end=self.end + by)

    def flipped(self, length: int) -> "Feature":
        """The same feature on the reverse complement of a piece of that length."""
        strand = "-" if self.strand == "+" else "+"
        return replace(self, start=length - self.end, end=length - self.start, strand=strand)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of sequence, codes (L,), and the features on it."""

    codes: Codes
    features: tuple[Feature, ...] = ()

    def reversed(self) -> "Piece":
        """The reverse complement, features included."""
        length = len(self.codes)
        flipped = tuple(feature.flipped(length) for feature in reversed(self.features))
        return Piece(reverse_complement(self.codes), flipped)


def join(pieces: list[Piece]) -> Piece:
    """One piece from several, in order."""
    starts = np.cumsum([0, *(len(piece.codes) for piece in pieces)])
    moved = (
        f.moved(int(at)) for at, piece in zip(starts, pieces, strict=False) for f in piece.features
    )
    return Piece(np.concatenate([piece.codes for piece in pieces]), tuple(moved))


# Background ---------------------------------------------------------------------------------


def background(rng: Rng, length: int, gc: float, cpg_kept: float = 0.2) -> Codes:
    """Independent bases with a GC share, of whose CpG only a share escaped deamination."""
    bounds = np.cumsum([(1 - gc) / 2, gc / 2, gc / 2])
    codes = np.searchsorted(bounds, rng.random(length)).astype(np.uint8)
    return deaminate(rng, codes, 1 - cpg_kept)


def deaminate(rng: Rng, codes: Codes, rate: float) -> Codes:
    """Turn that share of CpG into TpG or CpA, as methylation does over time."""
    at = np.flatnonzero((codes[:-1] == C) & (codes[1:] == G))
    at = at[rng.random(len(at)) < rate]
    top_strand = rng.random(len(at)) < 0.5
    codes[at[top_strand]] = T
    codes[at[~top_strand] + 1] = A
    return codes


def microsatellite(rng: Rng) -> Piece:
    """A short unit repeated in tandem, with a few slips."""
    unit = ("A", "CA", "AT", "GAA", "TTTA", "GATA")[rng.integers(6)]
    codes = encode(unit * int(rng.integers(14, 40) // len(unit)))
    return Piece(substitute(rng, codes, 0.04))


def island(rng: Rng, length: int) -> Codes:
    """CpG island: GC-rich, and CpG as frequent as its letters make it."""
    return background(rng, length, gc=float(rng.uniform(0.55, 0.66)), cpg_kept=0.9)


# Mutation -----------------------------------------------------------------------------------


def substitute(rng: Rng, codes: Codes, rate: float) -> Codes:
    """Replace that share of bases by another base."""
    hit = rng.random(len(codes)) < rate
    shift = rng.integers(1, 4, len(codes), dtype=np.uint8)
    return np.where(hit, (codes + shift) % 4, codes).astype(np.uint8)


def indel(rng: Rng, codes: Codes, rate: float) -> Codes:
    """Delete single bases, and insert 1 to 5 random ones, each at half that rate."""
    copies = np.ones(len(codes), dtype=np.int64)
    draw = rng.random(len(codes))
    copies[draw < rate / 2] = 0
    longer = draw > 1 - rate / 2
    copies[longer] += rng.integers(1, 6, int(longer.sum()))
    kept = np.repeat(codes, copies)
    first = np.zeros(len(kept), dtype=bool)
    first[(np.cumsum(copies) - copies)[copies > 0]] = True
    return np.where(first, kept, rng.integers(0, 4, len(kept))).astype(np.uint8)


# Motifs -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Motif:
    """A short pattern of IUPAC letters; an instance follows each letter with `fidelity`."""

    name: str
    consensus: str
    fidelity: float = 0.9

    def draw(self, rng: Rng) -> Codes:
        """One imperfect instance, codes (len(consensus),)."""
        bases = [_IUPAC[letter][rng.integers(len(_IUPAC[letter]))] for letter in self.consensus]
        codes = np.array(bases, dtype=np.uint8)
        wrong = rng.random(len(codes)) > self.fidelity
        return np.where(wrong, rng.integers(0, 4, len(codes)), codes).astype(np.uint8)

    def agrees(self, position: int, code: int) -> bool:
        """Whether a base is one the pattern allows there."""
        return code in _IUPAC[self.consensus[position]]

    def fixed(self) -> list[int]:
        """Positions at which the pattern allows one base only."""
        return [i for i, letter in enumerate(self.consensus) if len(_IUPAC[letter]) == 1]


TATA = Motif("TATA", "STATAWAWR", 0.92)
INR = Motif("Inr", "YYANWYYK", 0.88)
DPE = Motif("DPE", "RGWCGTG", 0.9)
CAAT = Motif("CAAT", "RRCCAATSR", 0.92)
GC_BOX = Motif("GC-box", "GGGGCGGGG", 0.9)
NRF = Motif("NRF", "TGCGCATGCGC", 0.92)
ETS = Motif("ETS", "ACCGGAAGTG", 0.92)
CRE = Motif("CRE", "TGACGTCA", 0.92)
GAGA = Motif("GAGA", "GAGAGAGCG", 0.9)
MOTIFS = {m.name: m for m in (TATA, INR, DPE, CAAT, GC_BOX, NRF, ETS, CRE, GAGA)}


def plant(rng: Rng, codes: Codes, motif: Motif, start: int, strand: str = "+") -> Feature:
    """Write one instance into `codes` at `start` and say where it is."""
    drawn = motif.draw(rng)
    codes[start : start + len(drawn)] = drawn if strand == "+" else reverse_complement(drawn)
    return Feature("motif", motif.name, start, start + len(drawn), strand)


def plant_loners(rng: Rng, codes: Codes, per_base: float) -> list[Feature]:
    """Single motifs without a promoter around them: what makes a motif alone worth little."""
    names = list(MOTIFS)
    count = int(rng.poisson(len(codes) * per_base))
    starts = np.sort(rng.integers(0, max(1, len(codes) - 12), count))
    apart = np.diff(starts, prepend=-20) >= 12
    return [
        plant(rng, codes, MOTIFS[names[rng.integers(len(names))]], int(at), "+-"[rng.integers(2)])
        for at in starts[apart & (starts + 12 <= len(codes))]
    ]


# Repeats ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RepeatFamily:
    """An ancestor (L,) and what became of its copies: mean divergence, and how they are cut."""

    name: str
    ancestor: Codes
    divergence: float
    truncation: str  # "5'" keeps the end, "any" a random part, "none" everything

    def copy(self, rng: Rng) -> Piece:
        """One copy on either strand, mutated by its own age."""
        age = float(np.clip(rng.gamma(6.0, self.divergence / 6.0), 0.02, 0.4))
        codes = substitute(rng, self._part(rng), age)
        codes = deaminate(rng, indel(rng, codes, age / 4), 0.6)
        piece = Piece(codes, (Feature("repeat", self.name, 0, len(codes), age=age),))
        return piece if rng.random() < 0.5 else piece.reversed()

    def _part(self, rng: Rng) -> Codes:
        length = len(self.ancestor)
        if self.truncation == "none":
            return self.ancestor
        kept = int(rng.integers(min(length, 130), length + 1))
        start = length - kept if self.truncation == "5'" else int(rng.integers(length - kept + 1))
        return self.ancestor[start : start + kept]


def repeat_families(rng: Rng) -> list[RepeatFamily]:
    """Six families; the two SINEs share an ancestor, the DNA element has inverted ends."""
    sine = np.concatenate([background(rng, 240, 0.56, 0.8), encode("A" * 22)])
    sister = indel(rng, substitute(rng, sine, 0.14), 0.03)
    ends = background(rng, 60, 0.42, 0.5)
    element = np.concatenate([ends, background(rng, 180, 0.4, 0.5), reverse_complement(ends)])
    return [
        RepeatFamily("DNA", element, 0.2, "any"),
        RepeatFamily("LINE", background(rng, 900, 0.41, 0.5), 0.16, "5'"),
        RepeatFamily("LTR", background(rng, 420, 0.46, 0.6), 0.12, "any"),
        RepeatFamily("SINE1", sine, 0.17, "none"),
        RepeatFamily("SINE2", sister, 0.12, "none"),
        RepeatFamily("tRNA-SINE", background(rng, 170, 0.5, 0.8), 0.2, "none"),
    ]


# Promoters ----------------------------------------------------------------------------------

UPSTREAM = 220  # bases of promoter before the transcription start
LEADER = 60  # bases of promoter after it


def promoter(rng: Rng, gc: float) -> tuple[str, Piece]:
    """One of three kinds, with the transcription start at `UPSTREAM`; elements may be missing."""
    kind = ("island", "tata", "dpe")[rng.choice(3, p=[0.45, 0.35, 0.2])]
    length = UPSTREAM + LEADER
    codes = island(rng, length) if kind == "island" else background(rng, length, gc + 0.04, 0.4)
    plan = {"island": _island_plan, "tata": _tata_plan, "dpe": _dpe_plan}[kind](rng)
    return kind, Piece(codes, tuple(plant(rng, codes, *site) for site in plan))


def _maybe(rng: Rng, chance: float, *sites: tuple[Motif, int, str]) -> list[tuple[Motif, int, str]]:
    return list(sites) if rng.random() < chance else []


def _pair(
    rng: Rng, first: Motif, second: Motif, low: int, high: int
) -> list[tuple[Motif, int, str]]:
    """Two motifs in fixed order, 5 or 6 bases apart: grammar that counting words cannot see."""
    at = UPSTREAM - int(rng.integers(low, high))
    gap = len(first.consensus) + int(rng.integers(5, 7))
    return [(first, at, "+"), (second, at + gap, "+")]


def _tata_plan(rng: Rng) -> list[tuple[Motif, int, str]]:
    start = UPSTREAM - 31 + int(rng.integers(-1, 2))
    return [
        *_maybe(rng, 0.85, (TATA, start, "+")),
        *_maybe(rng, 0.85, (INR, UPSTREAM - 2, "+")),
        *_maybe(rng, 0.7, (CAAT, UPSTREAM - int(rng.integers(70, 95)), "+")),
        *_maybe(rng, 0.6, *_pair(rng, CRE, ETS, 130, 180)),
    ]


def _island_plan(rng: Rng) -> list[tuple[Motif, int, str]]:
    boxes = [UPSTREAM - 40 - 18 * i - int(rng.integers(8)) for i in range(int(rng.integers(1, 4)))]
    return [
        *[(GC_BOX, at, "+-"[rng.integers(2)]) for at in boxes],
        *_maybe(rng, 0.5, (INR, UPSTREAM - 2, "+")),
        *_maybe(rng, 0.7, *_pair(rng, NRF, ETS, 120, 190)),
    ]


def _dpe_plan(rng: Rng) -> list[tuple[Motif, int, str]]:
    return [
        *_maybe(rng, 0.9, (INR, UPSTREAM - 2, "+")),
        *_maybe(rng, 0.85, (DPE, UPSTREAM + 28, "+")),
        *_maybe(rng, 0.8, *_pair(rng, GAGA, CAAT, 70, 120)),
        *_maybe(rng, 0.5, (GAGA, UPSTREAM - int(rng.integers(150, 190)), "+")),
    ]


# Genes --------------------------------------------------------------------------------------

_AMINO_ACIDS = "KNKNTTTTRSRSIIMIQHQHPPPPRRRRLLLLEDEDAAAAGGGGVVVV*Y*YSSSS*CWCLFLF"
_ENVIRONMENTS = {"buried": "AVLIFMCGW", "exposed": "KREDQNSTHP", "loop": "GPSTNDYKAQ"}


_ACIDS = np.array(list(_AMINO_ACIDS))
_CODONS = np.array([[i // 16, i // 4 % 4, i % 4] for i in range(64)], dtype=np.uint8)
_STOPS = np.flatnonzero(_ACIDS == "*")


@dataclass(frozen=True, slots=True)
class CodonUse:
    """The genome's taste among codons (64,), before composition and CpG have their say."""

    taste: NDArray[np.float64]

    def probabilities(self, gc: float) -> NDArray[np.float64]:
        """Codon probabilities (3, 64) in three protein environments, at a local GC share."""
        odds = gc / (1 - gc)
        third_is_gc = np.isin(_CODONS[:, 2], (C, G))
        weight = self.taste * np.where(third_is_gc, odds, 1.0) * np.where(_HAS_CPG, 0.3, 1.0)
        share = np.array(
            [weight[i] / weight[acid == _ACIDS].sum() for i, acid in enumerate(_ACIDS)]
        )
        liked = np.array([np.isin(_ACIDS, list(acids)) for acids in _ENVIRONMENTS.values()])
        table = share * np.where(liked, LIKING, 1.0) * (_ACIDS != "*")
        return np.asarray(table / table.sum(1, keepdims=True))


LIKING = 2.5  # how much more often an environment uses the amino acids it likes
TASTE = 0.5  # sd of the log preference among codons
_HAS_CPG = np.array([(C, G) in pairwise(c) for c in _CODONS.tolist()])


def codon_use(rng: Rng) -> CodonUse:
    """A genome's own preference among codons."""
    return CodonUse(np.exp(TASTE * rng.normal(size=64)))


def open_reading_frame(rng: Rng, use: CodonUse, gc: float, codons: int) -> Codes:
    """ATG, then codons in runs of one environment, then a stop; codes (3 * codons,)."""
    runs = rng.integers(6, 16, codons // 6 + 1)
    states = np.repeat(rng.integers(0, 3, len(runs)), runs)[: codons - 2]
    cumulated = np.cumsum(use.probabilities(gc), axis=1)
    draw = rng.random(len(states))[:, None]
    chosen = np.minimum((draw > cumulated[states]).sum(1), 63)
    body = _CODONS[chosen].reshape(-1)
    _deaminate_between_codons(rng, body)
    return np.concatenate([encode("ATG"), body, _CODONS[_STOPS[rng.integers(3)]]])


def _deaminate_between_codons(rng: Rng, frame: Codes) -> None:
    """NNC|GNN to NNT|GNN, in place and mostly: CpG decays here too, and NNT is synonymous."""
    at = np.arange(2, len(frame) - 1, 3)
    at = at[(frame[at] == C) & (frame[at + 1] == G) & (rng.random(len(at)) < 0.7)]
    frame[at] = T


def intron(rng: Rng, gc: float) -> Piece:
    """GT...AG with the splice signals and a branch point."""
    middle = background(rng, int(rng.integers(40, 220)), gc - 0.04)
    donor = Motif("donor", "GTRAGT", 0.93).draw(rng)
    donor[:2] = (G, T)
    acceptor = Motif("acceptor", "CTRAYNNNNYYYYYYYYYYNCAG", 0.93).draw(rng)
    acceptor[-2:] = (A, G)
    codes = np.concatenate([donor, middle, acceptor])
    return Piece(codes, (Feature("intron", "intron", 0, len(codes)),))


def gene(rng: Rng, name: str, gc: float, use: CodonUse) -> Piece:
    """Promoter, 5' UTR, exons and introns, 3' UTR, on the plus strand of the piece."""
    kind, start = promoter(rng, gc)
    leader = Piece(background(rng, int(rng.integers(5, 60)), gc))
    body = _coding_part(rng, gc, use)
    trailer = Piece(_trailer(rng, gc))
    whole = join([start, leader, body, trailer])
    places = [
        Feature("promoter", kind, 0, UPSTREAM + LEADER),
        Feature("gene", name, UPSTREAM, len(whole.codes)),
        *([Feature("cpg_island", "promoter", 0, UPSTREAM + LEADER)] if kind == "island" else []),
    ]
    return Piece(whole.codes, tuple(replace(f, owner=name) for f in (*places, *whole.features)))


def _coding_part(rng: Rng, gc: float, use: CodonUse) -> Piece:
    """The reading frame, cut by zero to two introns."""
    frame = open_reading_frame(rng, use, gc, int(np.clip(rng.gamma(3.0, 70.0), 70, 600)))
    introns = int(rng.choice(3, p=[0.6, 0.25, 0.15]))
    cuts = [0, *sorted(rng.choice(np.arange(40, len(frame) - 40), introns, False)), len(frame)]
    pieces: list[Piece] = []
    for left, right in pairwise(cuts):
        pieces += [intron(rng, gc)] if pieces else []
        pieces.append(Piece(frame[left:right], (Feature("CDS", "CDS", 0, int(right - left)),)))
    return join(pieces)


def _trailer(rng: Rng, gc: float) -> Codes:
    """3' UTR with a polyadenylation signal 20 bases before its end, mostly."""
    codes = background(rng, int(rng.integers(60, 180)), gc - 0.06)
    if rng.random() < 0.8:
        codes[-26:-20] = encode("AATAAA")
    return codes
