"""Which windows are read: usable runs, the hold-out, uniform starts, what is never read."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from findna.data.holdout import split_genome
from findna.data.sampling import MAX_ROWS, SamplingSettings, usable_runs
from findna.data.starts import Starts, _Coverage, _Limit, fixed_windows
from findna.data.windows import WindowSampler
from findna.files import BadInput
from findna.sequence.alphabet import N
from findna.sequence.genome import Genome

Make = Callable[..., Genome]
SMALL = {"window": 100, "min_window": 20, "batch_bases": 2000}


def dna(length: int, seed: int = 0) -> str:
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)
    return letters[np.random.default_rng(seed).integers(0, 4, length)].tobytes().decode()


@pytest.fixture
def genome_of(tmp_path: Path) -> Make:
    """Records -> an opened genome; further arguments go to `Genome.open`."""

    def make(records: Mapping[str, str], **kwargs: Any) -> Genome:
        path = tmp_path / f"genome{len(list(tmp_path.iterdir()))}.fa"
        path.write_text("".join(f">{name}\n{text}\n" for name, text in records.items()))
        return Genome.open(path, **kwargs)

    return make


def bed(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "regions.bed"
    path.write_text(text)
    return path


def covered(runs: np.ndarray, total: int) -> np.ndarray:
    """Runs -> bool (total,)."""
    mask = np.zeros(total, dtype=bool)
    for start, end in runs.tolist():
        assert not mask[start:end].any()
        mask[start:end] = True
    return mask


def source_places(genome: Genome, runs: np.ndarray) -> set[tuple[str, int]]:
    """Every base of the runs as (chromosome, position)."""
    places = set()
    for start, end in runs.tolist():
        record = int(genome.record_at(np.array([start]))[0])
        assert end <= genome.offsets[record] + genome.lengths[record]
        first = int(genome.starts[record] + start - genome.offsets[record])
        places |= {(genome.chroms[record], first + i) for i in range(end - start)}
    return places


# Usable runs


def test_records_stay_apart_and_short_ones_give_no_window(genome_of: Make) -> None:
    genome = genome_of({"a": dna(300), "b": dna(15), "c": dna(50), "d": dna(200)})
    runs = usable_runs(genome, SamplingSettings(**SMALL))
    assert runs.tolist() == [[0, 300], [315, 365], [365, 565]]


def test_organelles_are_left_out_unless_asked_for(genome_of: Make) -> None:
    genome = genome_of({"chr1": dna(300), "chrM": dna(200)})
    assert usable_runs(genome, SamplingSettings(**SMALL)).tolist() == [[0, 300]]
    assert len(usable_runs(genome, SamplingSettings(**SMALL, organelles=True))) == 2
    assert usable_runs(genome, SamplingSettings(**SMALL, contigs=("MT",))).tolist() == [[300, 500]]
    with pytest.raises(BadInput, match="has only organelle contigs"):
        usable_runs(genome_of({"MT": dna(500)}), SamplingSettings(**SMALL))


def test_what_is_left_out_as_an_organelle_is_named(
    genome_of: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    usable_runs(genome_of({"chr1": dna(300), "chrM": dna(200)}), SamplingSettings(**SMALL))
    assert "excluded as organelles: chrM (--organelles reads them)" in caplog.text
    caplog.clear()
    lettered = genome_of({f"chr{letter}": dna(300) for letter in "ABCD"})
    assert len(usable_runs(lettered, SamplingSettings(**SMALL))) == 4
    assert "organelles" not in caplog.text


def test_include_exclude_and_contigs(genome_of: Make, tmp_path: Path) -> None:
    genome = genome_of({"chr1": dna(1000), "chr2": dna(1000)})
    path = bed(tmp_path, "chr1\t100\t400\nchr2\t0\t300\n")
    assert usable_runs(genome, SamplingSettings(**SMALL, include=path)).tolist() == [
        [100, 400], [1000, 1300],
    ]  # fmt: skip
    assert usable_runs(genome, SamplingSettings(**SMALL, exclude=path)).tolist() == [
        [0, 100], [400, 1000], [1300, 2000],
    ]  # fmt: skip
    only = SamplingSettings(**SMALL, exclude=path, contigs=("2",))
    assert usable_runs(genome, only).tolist() == [[1300, 2000]]


def test_a_run_as_long_as_the_shortest_window_is_kept(genome_of: Make) -> None:
    genome = genome_of({"a": dna(300), "b": dna(20), "c": dna(19)})
    assert usable_runs(genome, SamplingSettings(**SMALL)).tolist() == [[0, 300], [300, 320]]


def test_runs_of_n_that_no_window_may_hold_are_cut_out(genome_of: Make) -> None:
    genome = genome_of({"a": dna(200) + "N" * 6 + dna(200) + "N" * 5 + dna(200)})
    assert usable_runs(genome, SamplingSettings(**SMALL)).tolist() == [[0, 200], [206, 611]]


def test_a_genome_shorter_than_the_window_is_refused_with_numbers(genome_of: Make) -> None:
    with pytest.raises(BadInput, match=r"no window of 512 bp fits.*300 bp") as error:
        split_genome(genome_of({"a": dna(300), "b": dna(200)}), SamplingSettings())
    assert "--window" in str(error.value) and error.value.exit_code == 3


def test_impossible_settings_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="min_window 64 is longer than window 50"):
        SamplingSettings(window=50)
    assert SamplingSettings(window=50, one_length=True).shortest == 50
    with pytest.raises(ValueError, match="batch_bases"):
        SamplingSettings(batch_bases=65 * MAX_ROWS)


# Hold-out


def test_named_chromosomes_take_all_their_regions(genome_of: Make) -> None:
    genome = genome_of(
        {"chr10:0-400": dna(400), "chr2:5000-8000": dna(3000), "chr10:9000-9300": dna(300)},
        regions="0-based",
    )
    split = split_genome(genome, SamplingSettings(**SMALL, validation_chroms=("10",)))
    assert (split.how, split.validation_chroms) == ("named", ("chr10",))
    assert split.validation.tolist() == [[0, 400], [3400, 3700]]
    assert split.train.tolist() == [[400, 3400]]
    assert split.fraction == pytest.approx(700 / 3700)
    assert "chr10" in split.text and "700 bases, 18.9 %" in split.text


def test_a_named_share_outside_the_usual_is_said(
    genome_of: Make, caplog: pytest.LogCaptureFixture
) -> None:
    genome = genome_of({"a": dna(3000), "b": dna(1000), "c": dna(16_000, 1)})
    split_genome(genome, SamplingSettings(**SMALL, validation_chroms=("b",)))
    assert "2 to 10 %" not in caplog.text
    split_genome(genome, SamplingSettings(**SMALL, validation_chroms=("a",)))
    assert "a holds 15 % of the usable bases" in caplog.text


def test_named_chromosomes_that_leave_nothing_are_refused(genome_of: Make) -> None:
    genome = genome_of({"a": dna(300), "b": dna(90)})
    for all_or_nearly in (("a",), ("a", "b")):
        with pytest.raises(BadInput, match="for training"):
            split_genome(genome, SamplingSettings(**SMALL, validation_chroms=all_or_nearly))
    with pytest.raises(BadInput, match="for validation"):
        split_genome(genome, SamplingSettings(**SMALL, validation_chroms=("b",)))
    with pytest.raises(BadInput, match="chr9"):
        split_genome(genome, SamplingSettings(**SMALL, validation_chroms=("chr9",)))


def test_twenty_contigs_are_held_out_whole_whatever_their_order(genome_of: Make) -> None:
    records = {f"contig{i}": dna(150 + 37 * i % 400, i) for i in range(40)}
    settings = SamplingSettings(**SMALL)
    split = split_genome(genome_of(records), settings)
    assert split.how == "contigs" and 0.02 <= split.fraction <= 0.10
    turned = genome_of(dict(reversed(records.items())))
    assert set(split_genome(turned, settings).validation_chroms) == set(split.validation_chroms)
    names = {turned.chroms[i] for i in turned.record_at(split_genome(turned, settings).train[:, 0])}
    assert names == set(records) - set(split.validation_chroms)
    assert split_genome(genome_of(records), settings, seed=1).validation_chroms != (
        split.validation_chroms
    )


def test_a_contig_shorter_than_a_window_is_not_held_out(genome_of: Make) -> None:
    records = {f"long{i}": dna(1000, i) for i in range(30)}
    records |= {f"short{i}": dna(60, i) for i in range(300)}
    genome = genome_of(records)
    for seed in range(5):
        split = split_genome(genome, SamplingSettings(**SMALL), seed)
        assert split.how == "contigs"
        assert all(name.startswith("long") for name in split.validation_chroms)


def test_chromosomes_are_counted_and_not_regions(genome_of: Make) -> None:
    records = {f"chr{1 + i % 5}:{1000 * i}-{1000 * i + 800}": dna(800, i) for i in range(60)}
    genome = genome_of(records, regions="0-based")
    assert split_genome(genome, SamplingSettings(**SMALL)).how == "blocks"


def test_contigs_too_unequal_for_a_tenth_fall_back_to_blocks(genome_of: Make) -> None:
    records = {"giant": dna(100_000)} | {f"small{i}": dna(100, i) for i in range(19)}
    split = split_genome(genome_of(records), SamplingSettings(**SMALL))
    assert split.how == "blocks" and 0.02 <= split.fraction <= 0.10


def test_contigs_that_a_window_fits_into_are_not_all_held_out(genome_of: Make) -> None:
    """As in a draft assembly: 40 contigs of 120 bp, 5 % of the bases, and 1,500 of 60 bp."""
    long = {f"long{i}": dna(120, i) for i in range(40)}
    genome = genome_of(long | {f"short{i}": dna(60, i) for i in range(1500)})
    settings = SamplingSettings(**SMALL)
    split = split_genome(genome, settings)
    assert split.how == "contigs" and len(split.validation_chroms) == 20
    assert split.fraction >= 0.02
    WindowSampler(genome, split.train, settings, 0)


@pytest.mark.parametrize("length", [1100, 3000, 20_000, 300_000])
def test_blocks_keep_their_guard(genome_of: Make, length: int) -> None:
    genome = genome_of({"a": dna(length * 3 // 4), "b": dna(length // 4, 1)})
    split = split_genome(genome, SamplingSettings(**SMALL))
    assert split.how == "blocks" and 0.02 <= split.fraction <= 0.10
    assert split.validation_chroms == ()
    train, held = covered(split.train, genome.total), covered(split.validation, genome.total)
    assert not (train & held).any()
    for start, end in split.validation.tolist():
        record = int(genome.record_at(np.array([start]))[0])
        first, last = genome.offsets[record], genome.offsets[record] + genome.lengths[record]
        assert not train[max(first, start - 100) : min(last, end + 100)].any()
    assert train.sum() > 0.6 * genome.total


def test_a_held_out_piece_has_room_for_a_window(genome_of: Make) -> None:
    genome = genome_of({"a": "".join(dna(330, i) + "N" * 20 for i in range(100))})
    runs = usable_runs(genome, SamplingSettings(**SMALL))
    assert len(runs) == 100
    for seed in range(3):
        split = split_genome(genome, SamplingSettings(**SMALL), seed)
        assert split.how == "blocks"
        assert np.diff(split.validation).min() >= 100 and np.diff(split.train).min() >= 20


def test_blocks_do_not_depend_on_the_order_of_the_file(genome_of: Make) -> None:
    records = {"a": dna(60_000), "b": dna(40_000, 1)}
    settings = SamplingSettings(**SMALL)
    genome, turned = genome_of(records), genome_of(dict(reversed(records.items())))
    split, other = split_genome(genome, settings), split_genome(turned, settings)
    assert source_places(genome, split.validation) == source_places(turned, other.validation)
    assert source_places(genome, split.train) == source_places(turned, other.train)


def test_blocks_lie_anywhere_and_elsewhere_with_another_seed(genome_of: Make) -> None:
    genome = genome_of({"a": dna(300_000)})
    first = [split_genome(genome, SamplingSettings(**SMALL), seed).validation for seed in range(3)]
    for runs in first:
        assert runs[0, 0] < 100_000 and runs[-1, 1] > 200_000
    assert not np.array_equal(first[0], first[1]) and not np.array_equal(first[1], first[2])


def test_guard_reaches_across_regions_that_meet_or_overlap(genome_of: Make) -> None:
    """Regions are places: a base held out in one region is not trained on in another."""
    text = dna(40_000)
    cuts = [(0, 15_000), (14_000, 22_000), (22_000, 33_000), (32_500, 40_000)]
    records = {f"chr1:{a}-{b}": text[a:b] for a, b in cuts}
    genome = genome_of(records, regions="0-based")
    split = split_genome(genome, SamplingSettings(**SMALL))
    held = {place for _, place in source_places(genome, split.validation)}
    near = {place + step for place in held for step in range(-100, 101)}
    assert not near & {place for _, place in source_places(genome, split.train)}


def test_too_little_for_a_hold_out_is_refused(genome_of: Make) -> None:
    with pytest.raises(BadInput, match="too few to hold out 2 to 10 %"):
        split_genome(genome_of({"a": dna(700)}), SamplingSettings(**SMALL))


# Starts


def sampler_of(genome: Genome, **settings: Any) -> WindowSampler:
    chosen = SamplingSettings(**{**SMALL, **settings})
    return WindowSampler(genome, usable_runs(genome, chosen), chosen, seed=7)


def test_starts_are_uniform_and_chromosomes_follow_their_length(genome_of: Make) -> None:
    sizes = {"a": 5000, "b": 1000, "c": 300, "d": 120}
    genome = genome_of({name: dna(size) for name, size in sizes.items()})
    starts = sampler_of(genome).draw(0, np.arange(60_000), 100)
    counts = np.bincount(genome.record_at(starts), minlength=4)
    allowed = np.array([size - 99 for size in sizes.values()])
    assert stats.chisquare(counts, 60_000 * allowed / allowed.sum()).pvalue > 1e-3
    inside = starts[genome.record_at(starts) == 0]
    assert inside.min() < 20 and inside.max() > 4880
    assert stats.chisquare(np.bincount(inside // 50, minlength=98)[:98]).pvalue > 1e-3


def test_whole_windows_within_one_record_and_below_the_n_limit(genome_of: Make) -> None:
    rng = np.random.default_rng(0)
    text = np.array(list(dna(4000)))
    text[rng.random(4000) < 0.04] = "N"
    genome = genome_of({"a": "".join(text), "b": dna(150)})
    sampler = sampler_of(genome)
    for length in (20, 57, 100):
        starts = sampler.draw(0, np.arange(20_000), length)
        assert (genome.record_at(starts) == genome.record_at(starts + length - 1)).all()
        codes = genome.store[starts[:, None] + np.arange(length)] & 7
        assert (codes == N).sum(1).max() <= int(0.05 * length + 1e-9)


def test_a_window_at_the_limit_of_n_is_as_likely_as_any_other(genome_of: Make) -> None:
    genome = genome_of({"a": dna(100) + "N" + dna(100, 1)})
    starts = sampler_of(genome, window=20).draw(0, np.arange(20_000), 20)
    counts = np.bincount(starts, minlength=182)
    assert len(counts) == 182 and stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("name", ["include", "exclude"])
def test_a_bed_that_can_be_read_once_is_refused(genome_of: Make, name: str) -> None:
    """`--exclude <(command)`: a run that is resumed could not tell another BED from it."""
    genome = genome_of({"a": dna(5000)})
    read, write = os.pipe()
    os.write(write, b"a\t0\t2000\n")
    os.close(write)
    settings = SamplingSettings(**SMALL, **{name: Path(f"/dev/fd/{read}")})
    with pytest.raises(BadInput, match=f"/dev/fd/{read}: pretraining reads its input more than o"):
        usable_runs(genome, settings)
    os.close(read)


def test_rare_allowed_starts_are_found_and_uniform(genome_of: Make) -> None:
    """998 of 1,000 starts are refused, so that many windows come from the exact search."""
    text = ("N" * 5 + "A") * 3000 + dna(150) + ("N" * 5 + "A") * 3000
    genome = genome_of({"a": text})
    sampler = sampler_of(genome)
    starts = sampler.draw(0, np.arange(20_000), 100)
    everywhere = np.lib.stride_tricks.sliding_window_view(genome.store & 7 == N, 100).sum(1)
    allowed = np.flatnonzero(everywhere <= 5)
    assert len(allowed) < 0.01 * genome.total
    counts = np.bincount(starts, minlength=genome.total)
    assert counts[allowed].sum() == 20_000 and stats.chisquare(counts[allowed]).pvalue > 1e-3


def test_rare_starts_are_worked_out_once_a_length(
    genome_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = sampler_of(genome_of({"a": ("N" * 5 + "A") * 3000 + dna(150)}))
    worked_out, lengths = _Limit.allowed, []

    def counted(limit: _Limit, among: np.ndarray, length: int) -> np.ndarray:
        lengths.append(length)
        return worked_out(limit, among, length)

    monkeypatch.setattr(_Limit, "allowed", counted)
    for batch, length in enumerate([90, 80, 90, 80, 90]):
        sampler.draw(0, np.arange(1000) + 1000 * batch, length)
    assert lengths == [90, 80]


def test_no_allowed_window_is_refused(genome_of: Make) -> None:
    with pytest.raises(BadInput, match=r"at most 5 % N"):
        sampler_of(genome_of({"a": "NACGT" * 1000}))


@given(
    runs=st.lists(st.tuples(st.integers(0, 150), st.integers(1, 12)), max_size=12),
    length=st.integers(1, 40),
    share=st.floats(0, 1),
    cut=st.integers(1, 199),
)
def test_allowed_starts_equal_counting(
    runs: list[tuple[int, int]], length: int, share: float, cut: int
) -> None:
    mask = np.zeros(200, dtype=bool)
    for start, size in runs:
        mask[start : start + size] = True
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask, [0]])))
    limit = _Limit(_Coverage(edges.reshape(-1, 2).astype(np.int64)), share)
    pieces = [(low, high - length + 1) for low, high in ((0, cut), (cut, 200))]
    among = np.array([p for p in pieces if p[1] > p[0]], dtype=np.int64).reshape(-1, 2)
    allowed = {s for low, high in limit.allowed(among, length).tolist() for s in range(low, high)}
    expected = {
        start
        for low, high in among.tolist()
        for start in range(low, high)
        if mask[start : start + length].sum() <= int(share * length + 1e-9)
    }
    assert allowed == expected


def test_soft_masked_windows_are_excluded_by_choice(genome_of: Make) -> None:
    genome = genome_of({"a": (dna(400) + dna(400, 1).lower()) * 20})
    starts = sampler_of(genome, soft_mask="exclude").draw(0, np.arange(5000), 100)
    soft = (genome.store[starts[:, None] + np.arange(100)] & 8 > 0).mean(1)
    assert soft.max() <= 0.5 and (soft > 0.4).any()
    kept = sampler_of(genome).draw(0, np.arange(5000), 100)
    assert abs((genome.store[kept[:, None] + np.arange(100)] & 8 > 0).mean() - 0.5) < 0.03


def test_a_genome_of_repeats_is_drawn_from_without_working_out_all_starts(
    genome_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in maize, nine of ten bases are lower case; each length would take seconds."""
    genome = genome_of({"a": (dna(400) + dna(3600, 1).lower()) * 20})
    sampler = sampler_of(genome, soft_mask="exclude")
    monkeypatch.setattr(Starts, "allowed", None)
    starts = sampler.draw(0, np.arange(5000), 100)
    assert (genome.store[starts[:, None] + np.arange(100)] & 8 > 0).mean(1).max() <= 0.5


def test_windows_of_less_weight_are_read_all_the_same(genome_of: Make) -> None:
    genome = genome_of({"a": dna(400).lower()})
    sampler = sampler_of(genome, soft_mask="downweight", soft_mask_weight=0.25)
    starts = sampler.draw(0, np.arange(500), 100)
    np.testing.assert_array_equal(starts, sampler_of(genome).draw(0, np.arange(500), 100))
    assert sampler.soft_weight == 0.25 and sampler_of(genome).soft_weight == 1


def test_none_in_excluded_or_held_out_places(genome_of: Make, tmp_path: Path) -> None:
    genome = genome_of({"a": dna(30_000), "b": dna(10_000)})
    settings = SamplingSettings(**SMALL, exclude=bed(tmp_path, "a\t5000\t9000\n"))
    split = split_genome(genome, settings)
    forbidden = covered(split.validation, genome.total)
    forbidden[5000:9000] = True
    starts = WindowSampler(genome, split.train, settings, 3).draw(0, np.arange(20_000), 100)
    assert not forbidden[starts[:, None] + np.arange(100)].any()


def test_offsets_beyond_32_and_40_bits() -> None:
    base = 1 << 41
    runs = np.array([[base, base + 10_000], [base * 3, base * 3 + (1 << 42)]], dtype=np.int64)
    gaps = np.array([[base * 3 + 500, base * 3 + (1 << 41)]], dtype=np.int64)
    genome = SimpleNamespace(
        source="fake", store=None, n_runs=gaps, soft_runs=np.empty((0, 2), dtype=np.int64)
    )
    sampler = WindowSampler(genome, runs, SamplingSettings(), 0)  # type: ignore[arg-type]
    starts = sampler.draw(0, np.arange(4000), 512)
    assert starts.min() > base * 3 + (1 << 41) - 26 and starts.max() < base * 3 + (1 << 42) - 511
    quarters = np.bincount((starts - base * 3 - (1 << 41)) // (1 << 39), minlength=4)
    assert stats.chisquare(quarters[:4]).pvalue > 1e-3
    fixed = fixed_windows(genome, runs, 512, 300, 0, 0.05)  # type: ignore[arg-type]
    assert (np.diff(fixed) > 0).all() and fixed.max() > base * 3 + (1 << 41)


# Validation windows


def test_fixed_windows_are_spread_evenly_and_never_change(genome_of: Make) -> None:
    genome = genome_of({"a": dna(1000) + "N" * 300 + dna(700), "b": dna(99), "c": dna(500)})
    runs = usable_runs(genome, SamplingSettings(**SMALL))
    starts = fixed_windows(genome, runs, 100, 200, 0, 0.05)
    assert (np.diff(starts) > 0).all() and len(starts) == 200
    np.testing.assert_array_equal(starts, fixed_windows(genome, runs, 100, 200, 0, 0.05))
    assert (starts != fixed_windows(genome, runs, 100, 200, 1, 0.05)).any()
    codes = genome.store[starts[:, None] + np.arange(100)] & 7
    assert (codes == N).sum(1).max() <= 5
    assert len(fixed_windows(genome, runs[-1:], 500, 7, 0, 0.05)) == 7
    with pytest.raises(BadInput, match="no window of 1,200 bp fits"):
        fixed_windows(genome, runs, 1200, 10, 0, 0.05)


def test_fixed_windows_keep_the_limit_of_n(genome_of: Make) -> None:
    genome = genome_of({"a": dna(100) + "NN" + dna(100, 1)})
    runs = genome.runs
    assert max(fixed_windows(genome, runs, 20, 500, 0, 0.1)) == 182
    held = {int((genome.store[s : s + 20] & 7 == N).sum()) for s in range(183)}
    assert held == {0, 1, 2}
    for most, share in ((0, 0.0), (1, 0.05), (2, 0.1)):
        starts = fixed_windows(genome, runs, 20, 500, 0, share)
        seen = (genome.store[starts[:, None] + np.arange(20)] & 7 == N).sum(1)
        assert set(seen.tolist()) == set(range(most + 1))


# Batches of windows


def test_lengths_are_log_uniform_and_batches_hold_their_bases(genome_of: Make) -> None:
    sampler = sampler_of(genome_of({"a": dna(3000)}))
    lengths = np.array([sampler.batch_length(1, batch) for batch in range(3000)])
    assert lengths.min() == 20 and lengths.max() == 100
    halves = np.log(lengths / 20) / np.log(101 / 20)
    assert stats.kstest(halves, "uniform").statistic < 0.05
    for batch in range(20):
        windows = sampler.batch_windows(1, batch)
        assert windows == max(1, 2000 // lengths[batch])
        ids = sampler.sample_ids(1, batch)
        assert len(ids) == windows and ids[0] == batch * MAX_ROWS
    one = sampler_of(genome_of({"a": dna(3000)}), one_length=True)
    assert {one.batch_length(0, batch) for batch in range(50)} == {100}


def test_a_batch_has_at_least_one_window(genome_of: Make) -> None:
    sampler = sampler_of(genome_of({"a": dna(300)}), batch_bases=50, one_length=True)
    assert sampler.batch_windows(0, 0) == 1 and sampler.sample_ids(0, 3).tolist() == [3 * MAX_ROWS]


def test_a_window_is_a_function_of_seed_epoch_and_number(genome_of: Make) -> None:
    genome = genome_of({"a": dna(5000)})
    sampler, again = sampler_of(genome), sampler_of(genome)
    ids = sampler.sample_ids(4, 9)
    starts = sampler.draw(4, ids, 80)
    np.testing.assert_array_equal(starts, again.draw(4, ids, 80))
    np.testing.assert_array_equal(starts[5:8], again.draw(4, ids[5:8], 80))
    np.testing.assert_array_equal(starts[::-1], again.draw(4, ids[::-1], 80))
    assert (starts != sampler.draw(5, ids, 80)).mean() > 0.9


def test_reading_gives_the_bases_and_a_margin_up_to_the_end_of_the_run(genome_of: Make) -> None:
    text = dna(200).lower() + dna(300, 1)
    genome = genome_of({"a": text, "b": dna(120, 2)})
    sampler = sampler_of(genome)
    starts = np.array([0, 150, 390, 400, 500, 520])
    raw = sampler.read(starts, 100, margin=20)
    assert raw.codes.shape == raw.inside.shape == raw.soft.shape == (6, 120)
    assert raw.codes.dtype == torch.uint8 and raw.length == 100
    for row, start in enumerate(starts.tolist()):
        record = 0 if start < 500 else 1
        first = start - int(genome.offsets[record])
        fetched = genome.fetch("ab"[record], first, first + 120)
        np.testing.assert_array_equal(raw.codes[row].numpy(), fetched.codes)
        np.testing.assert_array_equal(raw.inside[row].numpy(), fetched.inside)
        np.testing.assert_array_equal(raw.soft[row].numpy(), fetched.soft)
    assert sampler.read(starts, 100, margin=0).codes.shape == (6, 100)


def test_the_margin_stays_out_of_held_out_neighbours(genome_of: Make) -> None:
    genome = genome_of({"a": dna(1000)})
    runs = np.array([[0, 300], [310, 1000]], dtype=np.int64)
    sampler = WindowSampler(genome, runs, SamplingSettings(**SMALL), 0)
    raw = sampler.read(np.array([195, 200]), 100, margin=20)
    assert raw.inside.sum(1).tolist() == [105, 100]
    assert (raw.codes[:, 105:] == N).all()


def test_pages_are_handed_back_and_read_again(
    genome_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("findna.data.windows._RELEASE_EVERY", 1)
    genome = genome_of({"a": dna(50_000)})
    sampler = sampler_of(genome)
    starts = sampler.draw(0, np.arange(50), 100)
    first = sampler.read(starts, 100)
    assert torch.equal(first.codes, sampler.read(starts, 100).codes)


def test_pages_are_handed_back_when_enough_was_read(
    genome_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("findna.data.windows._RELEASE_EVERY", 250)
    genome = genome_of({"a": dna(5000)})
    sampler, told = sampler_of(genome), []
    monkeypatch.setattr(genome.store, "_mmap", SimpleNamespace(madvise=told.append))
    counts = []
    for _ in range(5):
        sampler.read(np.array([7]), 80, margin=20)
        counts.append(len(told))
    assert counts == [0, 0, 1, 1, 1]


# Real data


def test_human_regions_by_name_and_yeast_by_blocks(shared_data: Callable[[str], Path]) -> None:
    human = Genome.open(shared_data("human_hg38/hg38_regions.fa.gz"))
    split = split_genome(human, SamplingSettings(validation_chroms=("chr10", "chr21")))
    held = {human.chroms[i] for i in human.record_at(split.validation[:, 0])}
    assert held == {"chr10", "chr21"}
    assert not held & {human.chroms[i] for i in human.record_at(split.train[:, 0])}
    yeast = Genome.open(shared_data("yeast/Saccharomyces_cerevisiae.R64-1-1.dna.toplevel.fa.gz"))
    split = split_genome(yeast, SamplingSettings())
    assert split.how == "blocks" and 0.02 <= split.fraction <= 0.10
    assert "Mito" not in {yeast.chroms[i] for i in yeast.record_at(split.train[:, 0])}
