"""Scoring a VCF: rows in, rows out, checks of the genome, shards, memory, whatever scores.

The scorer here is a fake that satisfies the contract of `VariantScorer` and answers at once, from
the letters alone; what the true one answers is tested beside it.
"""

from __future__ import annotations

import gzip
import logging
import random
import re
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pysam
import pytest

import findna
from findna.files import BadInput
from findna.inference import score_variants as module
from findna.inference.score_variants import score_variants
from findna.inference.variants.scores import ScoreField
from findna.inference.variants.shards import merge_shards, parse_shard, rows_a_block
from findna.model.chordmixer import ChordMixerConfig
from findna.model.heads import ProjectionConfig
from findna.model.model import Model, new_model
from findna.model.presets import ModelConfig
from findna.sequence.genome import Genome
from findna.sequence.variants import Variant

SMALL = ModelConfig(
    backbone=ChordMixerConfig(width=16, hidden=16, track_size=4, depth=2, summary_tokens=2),
    projection=ProjectionConfig(hidden=8, bottleneck=4, prototypes=6),
)
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS1"
LENGTH = 40_000


def value(variant: Variant) -> float:
    """What the fake says of a variant: its letters and place, as a number in [-5, 5)."""
    text = f"{variant.chrom}{variant.start}{variant.ref}{variant.alt}"
    return zlib.crc32(text.encode()) / 2**32 * 10 - 5


class FakeScorer:
    """Two numbers a variant; the second applies to single bases only."""

    fields = (
        ScoreField("FINDNA_LLR", "ln P(ALT) - ln P(REF)"),
        ScoreField("FINDNA_SNV", "of SNVs"),
    )
    calls: list[int]

    def __init__(self, model: Model, genome: Genome, **settings: Any) -> None:
        self.window, self.settings = settings["window"] or 64, settings
        FakeScorer.calls = []

    def score(self, variants: Sequence[Variant]) -> pd.DataFrame:
        FakeScorer.calls.append(len(variants))
        values = np.array([value(v) for v in variants])
        single = np.array([len(v.ref) == len(v.alt) == 1 for v in variants], bool)
        return pd.DataFrame({"FINDNA_LLR": values, "FINDNA_SNV": np.where(single, 1.0, np.nan)})

    def reason(self, variant: Variant) -> str | None:
        longer = max(len(variant.ref), len(variant.alt)) > self.window
        return "longer than the window; not scored" if longer else None


class FakeBackground:
    fields = (ScoreField("FINDNA_LLR_PCT", "percentile"),)

    @classmethod
    def of(cls, scorer: FakeScorer) -> FakeBackground:
        return cls()

    def percentiles(self, variants: Sequence[Variant], scores: pd.DataFrame) -> pd.DataFrame:
        assert len(variants) == len(scores)
        return pd.DataFrame({"FINDNA_LLR_PCT": (scores["FINDNA_LLR"] + 5) * 10})


@pytest.fixture(autouse=True)
def fake_scorer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VariantScorer", FakeScorer)
    monkeypatch.setattr(module, "Background", FakeBackground)
    monkeypatch.setattr(logging.getLogger("findna"), "propagate", True)


@pytest.fixture(scope="session")
def model() -> Model:
    return new_model(SMALL, 0)


LETTERS = "".join(random.Random(7).choices("ACGT", k=LENGTH))


@pytest.fixture
def genome(tmp_path: Path) -> Genome:
    fasta = tmp_path / "genome.fa"
    fasta.write_text(f">chr1\n{LETTERS}\n>chr2\n{LETTERS[:900].lower()}N\n")
    return Genome.open(fasta)


def snvs(count: int, wrong: Callable[[int], bool] = lambda k: False) -> Iterator[str]:
    """Rows of chr1, sorted, of which some have a REF that is not there."""
    for k in range(count):
        at = k * LENGTH // count
        ref = LETTERS[at]
        other = {"A": "C", "C": "G", "G": "T", "T": "A"}[ref]
        pair = f"{other}\t{ref}" if wrong(k) else f"{ref}\t{other}"
        yield f"chr1\t{at + 1}\tv{k}\t{pair}\t.\tPASS\tDP={k};X\tGT:ZZ\t0|1:a b"


def vcf(path: Path, rows: Sequence[str] | Iterator[str], *header: str) -> Path:
    path.write_text("\n".join(["##fileformat=VCFv4.3", *header, COLUMNS, *rows]) + "\n")
    return path


R, Q = LETTERS[0], {"A": "C", "C": "G", "G": "T", "T": "A"}
KINDS = [
    f"chr1\t1\ta\t{R}\t{Q[R]},<DEL>,*\t9\t.\tAC=1,2,3;FINDNA_OLD=1\tGT\t0|1",
    f"1\t1\t.\t{R.lower()}\t.\t.\t.\t.\tGT\t./.",
    f"chr1\t1\t.\t{R}\t{R}{'A' * 70}\t.\t.\t.\tGT\t0/1",
    f"chr1\t2\t.\t{LETTERS[1:3]}\t{LETTERS[1]},<NON_REF>\t.\tLowQual\tEND=3\tGT\t0/1",
    f"chr7\t1\t.\t{R}\t{Q[R]}\t.\t.\t.\tGT\t0/1",
    f"chr1\t0\t.\tN\t{R}\t.\t.\t.\tGT\t0/1",
    f"chr1\t{LENGTH + 1}\t.\tA\tC\t.\t.\t.\tGT\t0/1",
    f"chr1\t1\t.\t{Q[R]}\t{R}\t.\t.\t.\tGT\t0/1",
    "chr2\t901\t.\tN\tC\t.\t.\t.\tGT\t0/1",
    f"chr2\t1\t.\t{R}\t{Q[R]}\t.\t.\t.\tGT\t0/1",
]
REASONS = [
    ".,symbolic,star", "no_alt", "longer_than_the_window%3B_not_scored", ".,symbolic",
    "contig_missing", "position_0", "off_the_end", "ref_mismatch", "ref_not_acgt", ".",
]  # fmt: skip


def test_every_row_comes_out_with_a_score_or_a_reason(
    genome: Genome, model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    file = vcf(tmp_path / "x.vcf", KINDS, "##reference=mine", "##contig=<ID=chr1>")
    found = score_variants(file, genome, model, tmp_path / "y.vcf")
    assert (found.rows, found.scored, found.output) == (len(KINDS), 3, tmp_path / "y.vcf")
    with pytest.raises(ValueError, match="the scores went to the given output"):
        _ = found.table
    before, after = file.read_text().splitlines(), (tmp_path / "y.vcf").read_text().splitlines()
    kept = [line for line in after if line in before]
    assert kept[:3] == before[:3] and COLUMNS in kept
    assert len(after) - len([x for x in after if x.startswith("#")]) == len(KINDS)
    for old, new, reasons in zip(KINDS, after[-len(KINDS) :], REASONS, strict=True):
        a, b = old.split("\t"), new.split("\t")
        assert a[:7] + a[8:] == b[:7] + b[8:]
        info = dict(x.partition("=")[::2] for x in b[7].split(";"))
        assert info.get("FINDNA_REASON", ".") == reasons and "FINDNA_OLD" not in info
        scores = info.get("FINDNA_LLR", ",".join("." * len(reasons.split(",")))).split(",")
        assert [s == "." for s in scores] == [r != "." for r in reasons.split(",")]
    first = dict(x.partition("=")[::2] for x in after[-len(KINDS)].split("\t")[7].split(";"))
    expected = value(Variant("chr1", 0, R, Q[R]))
    assert first["AC"] == "1,2,3" and first["FINDNA_LLR"] == f"{expected:.6g},.,."
    assert first["FINDNA_LLR_PCT"] == f"{(expected + 5) * 10:.6g},.,."
    assert "FINDNA_ fields of an earlier run are replaced" in caplog.text
    assert (
        "scored 3 of 13 alternative alleles in 10 rows; not scored: 2 symbolic, 1 star"
        in caplog.text
    )
    with pysam.VariantFile(str(tmp_path / "y.vcf")) as records:
        assert len(list(records)) == len(KINDS)


def test_the_header_says_what_made_the_scores(genome: Genome, model: Model, tmp_path: Path) -> None:
    file = vcf(tmp_path / "x.vcf", snvs(3), "##reference=mine")
    score_variants(file, genome, model, tmp_path / "y.vcf", window=32, circular=["chr2"])
    header = [x for x in (tmp_path / "y.vcf").read_text().splitlines() if x.startswith("#")]
    assert header[:2] == ["##fileformat=VCFv4.3", "##reference=mine"] and header[-1] == COLUMNS
    said = dict(line[2:].split("=", 1) for line in header if line.startswith("##findna_"))
    assert said["findna_command"] == (
        f"findna score-variants {file} -g {genome.source} -m in-memory --strand both --window 32"
        " --circular chr2"
    )
    assert said["findna_version"] == findna.__version__
    assert said["findna_model"].startswith("in-memory sha256:")
    assert said["findna_reference"] == f"{genome.source} {genome.digest}"
    assert "on its own against the reference" in said["findna_scoring"]
    assert said["findna_use"] == "research use, not a pathogenicity classifier"
    assert (
        '##INFO=<ID=FINDNA_LLR,Number=A,Type=Float,Description="ln P(ALT) - ln P(REF)">' in header
    )
    again = tmp_path / "z.vcf"
    score_variants(tmp_path / "y.vcf", genome, model, again, window=32, circular=["chr2"])
    same = (tmp_path / "y.vcf").read_text().replace(f"{file}", f"{tmp_path / 'y.vcf'}")
    assert again.read_text() == same


def test_the_scorer_gets_what_was_asked(
    genome: Genome, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    class Asked(FakeScorer):
        def __init__(self, model: Model, genome: Genome, **settings: Any) -> None:
            super().__init__(model, genome, **settings)
            given.update(settings)

    monkeypatch.setattr(module, "VariantScorer", Asked)
    frame = pd.DataFrame({"chrom": "chr1", "pos": [1], "ref": R, "alt": Q[R]})
    asked = {"window": 32, "strand": "forward", "circular": ["chr2"], "batch_bases": 640}
    score_variants(frame, genome, model, **asked)
    assert given == asked


def test_only_alleles_without_a_score_are_a_warning(
    genome: Genome, model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    said = []
    for rows in (list(snvs(2)), KINDS[:1]):
        caplog.clear()
        score_variants(vcf(tmp_path / "x.vcf", rows), genome, model)
        said += [(r.levelname, r.message) for r in caplog.records if "scored " in r.message]
    assert [level for level, _ in said] == ["INFO", "WARNING"]
    assert said[0][1].endswith("scored 2 of 2 alternative alleles in 2 rows")


def test_zero_has_one_spelling(
    genome: Genome, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(scorer: FakeScorer, variants: Sequence[Variant]) -> pd.DataFrame:
        return pd.DataFrame(-0.0, range(len(variants)), ["FINDNA_LLR", "FINDNA_SNV"])

    monkeypatch.setattr(FakeScorer, "score", nothing)
    score_variants(vcf(tmp_path / "x.vcf", snvs(1)), genome, model, tmp_path / "y.vcf")
    assert ";FINDNA_LLR=0;" in (tmp_path / "y.vcf").read_text()


def test_tables_have_a_row_an_allele(genome: Genome, model: Model, tmp_path: Path) -> None:
    table = score_variants(vcf(tmp_path / "x.vcf", KINDS), genome, model).table
    assert len(table) == 13
    assert table["alt"].tolist()[:4] == [Q[R], "<DEL>", "*", "."]
    assert table["FINDNA_LLR"].notna().sum() == 3
    frame = pd.DataFrame({"chrom": "1", "pos": [1, 1], "ref": R, "alt": [Q[R], "<DEL>"]})
    small = score_variants(frame, genome, model, percentiles=False).table
    assert "FINDNA_LLR_PCT" not in small
    assert small["FINDNA_LLR"].tolist()[0] == pytest.approx(table["FINDNA_LLR"][0])
    assert small["FINDNA_REASON"].tolist()[1] == "symbolic"
    assert small["id"].tolist() == [".", "."]
    named = score_variants(frame.assign(id=["rs1", "rs2"]), genome, model, percentiles=False).table
    assert named["id"].tolist() == ["rs1", "rs2"]
    gaps = frame.assign(id=["rs1", None], pos=[1.0, 1.0], alt=[Q[R], None])
    gappy = score_variants(gaps, genome, model, percentiles=False).table
    assert gappy["id"].tolist() == ["rs1", "."]
    assert gappy["pos"].tolist() == [1, 1] and gappy["alt"].tolist() == [Q[R], "."]
    for pos in (None, 1.5):
        with pytest.raises(BadInput, match=r"the data frame, record 2: pos is .*, not a whole"):
            score_variants(frame.assign(pos=[1, pos]), genome, model)
    score_variants(tmp_path / "x.vcf", genome, model, tmp_path / "y.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "y.parquet"), table)
    with pytest.raises(BadInput, match="the data frame: has no column pos, alt"):
        score_variants(frame.drop(columns=["pos", "alt"]), genome, model)


# The genome is the right one ------------------------------------------------------------------


def refused(words: str, variants: Path, genome: Genome, model: Model, **more: Any) -> None:
    place = variants.parent
    before = sorted(place.iterdir())
    for name in ("out.vcf.gz", "out.bcf", "out.parquet"):
        with pytest.raises(BadInput, match=words):
            score_variants(variants, genome, model, place / name, **more)
    assert sorted(place.iterdir()) == before


@pytest.mark.parametrize("count", [30, 3000])
def test_a_wrong_build_stops_before_anything_is_scored(
    count: int, genome: Genome, model: Model, tmp_path: Path
) -> None:
    FakeScorer.calls = []
    file = vcf(tmp_path / "x.vcf", snvs(count, wrong=lambda k: k % 8 == 0))
    refused("wrong genome build", file, genome, model)
    assert FakeScorer.calls == []


def test_a_wrong_build_further_down_leaves_no_file(
    genome: Genome, model: Model, tmp_path: Path
) -> None:
    file = vcf(tmp_path / "x.vcf", snvs(3000, wrong=lambda k: k > 2000))
    refused("999 of 3,000 REF alleles compared", file, genome, model)
    kept = vcf(tmp_path / "y.vcf", snvs(3000, wrong=lambda k: k % 11 == 0))
    score_variants(kept, genome, model, tmp_path / "out.vcf")


def test_few_rows_are_no_verdict(genome: Genome, model: Model, tmp_path: Path) -> None:
    table = score_variants(
        vcf(tmp_path / "x.vcf", snvs(19, wrong=lambda k: True)), genome, model
    ).table
    assert set(table["FINDNA_REASON"]) == {"ref_mismatch"}


def test_lengths_in_the_header_are_compared(
    genome: Genome, model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    right = f"##contig=<ID=1,length={LENGTH}>"
    for wrong, words in (
        ("##contig=<ID=chr2,length=5>", "chr2 has 5 bases here and 901 there"),
        (f"##contig=<ID=chr1,length={LENGTH + 1}>", "chr1 has 40,001 bases here and 40,000"),
    ):
        file = vcf(tmp_path / "x.vcf", snvs(3), right, wrong)
        refused(words, file, genome, model)
    others = "##contig=<ID=chr9,length=5>"
    score_variants(vcf(tmp_path / "y.vcf", snvs(3), right, others), genome, model)
    assert caplog.text.count("chromosome names differ") == 1
    (tmp_path / "regions.fa").write_text(f">chr1:0-20000\n{LETTERS[:20_000]}\n")
    regions = Genome.open(tmp_path / "regions.fa")
    table = score_variants(vcf(tmp_path / "z.vcf", snvs(4), right), regions, model).table
    assert "the genome has only regions" in caplog.text
    assert table["FINDNA_REASON"].fillna(".").tolist() == [".", ".", *["outside_regions"] * 2]


def test_a_contig_that_only_has_a_like_name_is_missing(
    genome: Genome, model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    right, other = f"##contig=<ID=1,length={LENGTH}>", "##contig=<ID=2,length=16571>"
    rows = [row.replace("chr1", "1") for row in snvs(4)]
    mixed = [*rows, *(row.replace("1", "2", 1) for row in rows[:2])]
    table = score_variants(vcf(tmp_path / "x.vcf", mixed, right, other), genome, model).table
    assert table["FINDNA_REASON"].fillna(".").tolist() == [*"....", *["contig_missing"] * 2]
    assert "2 has 16,571 bases here and 901 there: rows on them are not scored" in caplog.text
    # Where most lengths differ it is another build, whatever the names are like.
    wrong = f"##contig=<ID=1,length={LENGTH + 1}>"
    refused(r"1 has 40,001 bases.*2 has 16,571", vcf(tmp_path / "y.vcf", rows, wrong, other),
            genome, model)  # fmt: skip
    file = vcf(tmp_path / "z.vcf", snvs(4), "##contig=<ID=chr2,length=16571>")
    with pytest.raises(BadInput) as caught:
        score_variants(file, genome, model)
    pattern = str(caught.value).split("grep -v '")[1].split("'")[0]
    lines = [line for line in file.read_text().splitlines() if not re.match(pattern, line)]
    file.write_text("\n".join(lines) + "\n")
    assert score_variants(file, genome, model).scored == 4


def test_a_place_beyond_bcf_is_refused_before_its_block_is_scored(
    genome: Genome, model: Model, tmp_path: Path
) -> None:
    rows = [*snvs(3), f"chr1\t{1 << 31}\t.\tA\tC\t.\t.\t.\tGT\t0/1"]
    file = vcf(tmp_path / "x.vcf", rows)
    with pytest.raises(BadInput, match=r"x\.vcf, line 6: POS is 2,147,483,648"):
        score_variants(file, genome, model, tmp_path / "out.bcf")
    assert score_variants(file, genome, model, tmp_path / "out.vcf.gz").rows == 4


def test_no_common_chromosome_stops_and_shows_both(
    genome: Genome, model: Model, tmp_path: Path
) -> None:
    rows = [row.replace("chr1", "NC_1") for row in snvs(1500)]
    file = vcf(tmp_path / "x.vcf", rows[:30])
    refused("has no chromosome of .*NC_1 here, chr1, chr2 there", file, genome, model)
    file = vcf(tmp_path / "x.vcf", rows)
    refused("has no chromosome of .*NC_1 here", file, genome, model)


def test_a_first_block_of_unknown_chromosomes_is_no_verdict(
    genome: Genome, model: Model, tmp_path: Path
) -> None:
    rows = [row.replace("chr1", "decoy") for row in snvs(1024)]
    table = score_variants(vcf(tmp_path / "x.vcf", [*rows, *snvs(1)]), genome, model).table
    assert table["FINDNA_REASON"].fillna(".").tolist() == [*["contig_missing"] * 1024, "."]


# Shards and memory ----------------------------------------------------------------------------

MANY = 3300


@pytest.mark.parametrize("ending", ["vcf", "vcf.gz", "bcf", "tsv.gz", "parquet"])
def test_shards_merge_to_what_one_job_writes(
    ending: str, genome: Genome, model: Model, tmp_path: Path
) -> None:
    rows = [*snvs(MANY, wrong=lambda k: k % 50 == 3)]
    rows[7] = rows[7].replace("DP=7;X", "X;")
    file = vcf(tmp_path / "x.vcf", rows, "##contig=<ID=chr1>")
    score_variants(file, genome, model, tmp_path / f"one.{ending}")
    shards = [tmp_path / f"s{k}.vcf.gz" for k in (3, 1, 2)]
    for path in shards:
        score_variants(file, genome, model, path, shard=f"{path.name[1]}/3")
        with pysam.VariantFile(str(path)) as records:
            assert 0 < len(list(records)) < MANY
    merge_shards(shards, tmp_path / f"all.{ending}")
    assert (tmp_path / f"all.{ending}").read_bytes() == (tmp_path / f"one.{ending}").read_bytes()
    for index in (".tbi", ".csi"):
        one, merged = tmp_path / f"one.{ending}{index}", tmp_path / f"all.{ending}{index}"
        assert merged.exists() == one.exists()
        assert not one.exists() or merged.read_bytes() == one.read_bytes()


def test_a_shard_leaves_no_index_of_what_it_replaces(
    genome: Genome, model: Model, tmp_path: Path
) -> None:
    file, out = vcf(tmp_path / "x.vcf", snvs(20)), tmp_path / "o.vcf.gz"
    score_variants(file, genome, model, out)
    assert Path(f"{out}.tbi").exists()
    score_variants(file, genome, model, out, shard="1/2", overwrite=True)
    assert not Path(f"{out}.tbi").exists()


def test_a_shard_without_rows_is_no_empty_vcf(
    genome: Genome, model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = vcf(tmp_path / "x.vcf", snvs(20))
    caplog.set_level(logging.INFO)
    score_variants(file, genome, model, tmp_path / "o.vcf", shard="2/2")
    assert "shard 2/2 holds no rows" in caplog.text and "no variants" not in caplog.text


def test_more_shards_than_blocks_and_an_empty_vcf(
    genome: Genome, model: Model, tmp_path: Path
) -> None:
    for count in (0, 1, 1024, 1025):
        file = vcf(tmp_path / "x.vcf", snvs(count))
        score_variants(file, genome, model, tmp_path / "one.vcf", overwrite=True)
        shards = [tmp_path / f"s{k}.vcf" for k in (1, 2, 3)]
        for path in shards:
            score_variants(file, genome, model, path, shard=f"{path.name[1]}/3", overwrite=True)
        merge_shards(shards, tmp_path / "all.vcf", overwrite=True)
        assert (tmp_path / "all.vcf").read_bytes() == (tmp_path / "one.vcf").read_bytes()


def test_shards_of_nothing_but_a_contig_of_a_like_name(
    genome: Genome, model: Model, tmp_path: Path
) -> None:
    header = f"##contig=<ID=chr1,length={LENGTH}>", "##contig=<ID=2,length=16571>"
    rows = [row.replace("chr1", "2", 1) for row in snvs(1500)]
    file = vcf(tmp_path / "x.vcf", rows, *header)
    score_variants(file, genome, model, tmp_path / "one.vcf")
    shards = [tmp_path / f"s{k}.vcf" for k in (1, 2)]
    for k, path in enumerate(shards, 1):
        score_variants(file, genome, model, path, shard=f"{k}/2")
    merge_shards(shards, tmp_path / "all.vcf")
    assert (tmp_path / "all.vcf").read_bytes() == (tmp_path / "one.vcf").read_bytes()


def test_shards_without_a_common_chromosome_are_refused(
    genome: Genome, model: Model, tmp_path: Path
) -> None:
    file = vcf(tmp_path / "x.vcf", [row.replace("chr1", "NC_1") for row in snvs(1500)])
    shards = [tmp_path / f"s{k}.vcf" for k in (1, 2)]
    for k, path in enumerate(shards, 1):
        score_variants(file, genome, model, path, shard=f"{k}/2")
    with pytest.raises(BadInput, match="have no chromosome of the genome: NC_1"):
        merge_shards(shards, tmp_path / "all.vcf")


@pytest.fixture
def shards(genome: Genome, model: Model, tmp_path: Path) -> list[Path]:
    file = vcf(tmp_path / "x.vcf", snvs(3000))
    made = [tmp_path / f"s{k}.vcf.gz" for k in (1, 2, 3)]
    for k, path in enumerate(made, 1):
        score_variants(file, genome, model, path, shard=f"{k}/3")
    return made


def test_a_missing_or_foreign_shard_is_refused(
    shards: list[Path], genome: Genome, model: Model, tmp_path: Path
) -> None:
    out = tmp_path / "out.vcf"
    other = vcf(tmp_path / "x.vcf", [*snvs(2999), "chr1\t40000\t.\tN\tC\t.\t.\t.\tGT\t0"])
    score_variants(other, genome, model, tmp_path / "o2.vcf.gz", shard="2/3")
    score_variants(other, genome, model, tmp_path / "w2.vcf.gz", shard="2/3", window=32)
    score_variants(other, genome, model, tmp_path / "n2.vcf.gz", shard="2/4")
    whole = gzip.decompress(shards[0].read_bytes()).split(b"\n")
    (tmp_path / "cut.vcf").write_bytes(b"\n".join(whole[:-2]) + b"\n")
    (tmp_path / "more.vcf").write_bytes(b"\n".join([*whole[:-1], whole[-2]]) + b"\n")
    first, second, third = shards
    for given, words in (
        ([], "no shard is given"),
        ([first, third], "of 3 shards are missing: 2"),
        ([third], "of 3 shards are missing: 1, 2"),
        ([*shards, first], "s1.vcf.gz: is given twice"),
        ([first, tmp_path / "o2.vcf.gz", third], "o2.vcf.gz: is from another run"),
        ([first, tmp_path / "w2.vcf.gz", third], "w2.vcf.gz: is from another run"),
        ([first, tmp_path / "n2.vcf.gz", third], "n2.vcf.gz: is from another run"),
        ([first, tmp_path / "x.vcf", third], "x.vcf: is not a shard"),
        ([tmp_path / "cut.vcf", second, third], "cut.vcf: does not have the rows"),
        ([tmp_path / "more.vcf", second, third], "more.vcf: does not have the rows"),
    ):
        with pytest.raises(BadInput, match=words):
            merge_shards(given, out)
        assert not out.exists()


@pytest.mark.parametrize(
    "other", [{"window": 32}, {"strand": "forward"}, {"circular": ["chr2"]}, {"percentiles": False}]
)
def test_a_shard_of_other_settings_is_refused(
    other: dict[str, Any], genome: Genome, model: Model, tmp_path: Path
) -> None:
    file = vcf(tmp_path / "x.vcf", snvs(3))
    score_variants(file, genome, model, tmp_path / "s1.vcf", shard="1/2")
    score_variants(file, genome, model, tmp_path / "s2.vcf", shard="2/2", **other)
    with pytest.raises(BadInput, match=r"s2.vcf: is from another run than .*s1.vcf"):
        merge_shards([tmp_path / "s1.vcf", tmp_path / "s2.vcf"], tmp_path / "out.vcf")


def test_a_wrong_build_is_judged_over_all_shards(
    genome: Genome, model: Model, tmp_path: Path
) -> None:
    file = vcf(tmp_path / "x.vcf", snvs(3000, wrong=lambda k: k >= 2048 and k % 2 == 0))
    for k in (1, 2, 3):  # the third has 476 mismatches in 952 rows, all together 476 in 3,000
        score_variants(file, genome, model, tmp_path / f"s{k}.vcf", shard=f"{k}/3")
    with pytest.raises(BadInput, match="the shards together: 476 of 3,000 REF"):
        merge_shards([tmp_path / f"s{k}.vcf" for k in (1, 2, 3)], tmp_path / "out.vcf")


def test_shards_are_written_i_of_n(genome: Genome, model: Model, tmp_path: Path) -> None:
    assert parse_shard("2/8") == (1, 8)
    file = vcf(tmp_path / "x.vcf", snvs(3))
    for text in ("0/3", "4/3", "1", "a/b", "1/0", "-1/2"):
        with pytest.raises(BadInput, match="is not a shard"):
            score_variants(file, genome, model, tmp_path / "y.vcf", shard=text)
    for output in (None, "-", tmp_path / "y.bcf", tmp_path / "y.parquet"):
        with pytest.raises(BadInput, match="a shard is a VCF file"):
            score_variants(file, genome, model, output, shard="1/2")


def test_wide_rows_make_small_blocks() -> None:
    assert rows_a_block([COLUMNS]) == 1024
    assert rows_a_block([COLUMNS + "\tS" * 100_000]) == 32


def peak(rows: int, genome: Genome, model: Model, tmp_path: Path) -> int:
    file = vcf(tmp_path / f"{rows}.vcf", snvs(rows))
    tracemalloc.start()
    score_variants(file, genome, model, tmp_path / f"{rows}.vcf.gz")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return most


def test_memory_does_not_grow_with_the_file(genome: Genome, model: Model, tmp_path: Path) -> None:
    peak(10, genome, model, tmp_path)
    # Of more than two blocks, two are held: the one at work and the one that is read.
    small = peak(3_000, genome, model, tmp_path)
    assert peak(12_000, genome, model, tmp_path) < 1.1 * small
    assert max(FakeScorer.calls) == 1024


def test_real_variants_agree_with_the_genome(
    shared_data: Callable[[str], Path], model: Model, tmp_path: Path
) -> None:
    sample = pd.read_csv(shared_data("variants/clinvar_vepeval_sample1000_grch38.csv.gz"))
    frame = sample.rename(columns={"pos_1based": "pos"})
    genome = Genome.open(shared_data("human_hg38/hg38_regions.fa.gz"))
    table = score_variants(frame, genome, model).table
    assert len(table) == 1000
    reasons = table["FINDNA_REASON"].fillna(".").value_counts()
    assert reasons["."] > 250 and "ref_mismatch" not in reasons
