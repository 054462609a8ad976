"""The views against a plain re-implementation, and the laws that every view keeps."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from findna.data.randomness import Purpose, counter_hash_numpy, integers, row_hash, uniform
from findna.data.views import (
    ViewSettings,
    cropped,
    reverse_complement,
    student_view,
    teacher_view,
)
from findna.data.windows import RawWindows
from findna.sequence import alphabet

PAIRED = {0: 3, 1: 2, 2: 1, 3: 0, 4: 4}


def windows(
    rng: np.random.Generator, rows: int, length: int, margin: int, share_n: float = 0.1
) -> RawWindows:
    """Random windows with N inside and margins that end early in some rows."""
    codes = rng.integers(0, 4, (rows, length + margin)).astype(np.uint8)
    codes[rng.random(codes.shape) < share_n] = alphabet.N
    reach = rng.integers(0, margin + 1, rows)
    inside = np.arange(length + margin) < length + reach[:, None]
    return RawWindows(
        torch.from_numpy(codes),
        torch.from_numpy(inside),
        torch.zeros(codes.shape, dtype=torch.bool),
        length,
    )


def draw(purpose: Purpose, seed: int, epoch: int, sample: int) -> np.ndarray:
    return row_hash(seed, epoch, np.array([sample]), purpose)


def plain_student(
    codes: list[int], length: int, seed: int, epoch: int, sample: int, settings: ViewSettings
) -> tuple[list[int], list[int]]:
    """One student view, base by base: codes and provenance."""
    view = [(code, place) for place, code in enumerate(codes[:length])]
    if uniform(draw(Purpose.N_RUN, seed, epoch, sample))[0] < settings.n_runs:
        longest = min(settings.n_run_longest, max(1, length // 4))
        size = 1 + int(integers(draw(Purpose.N_RUN_LENGTH, seed, epoch, sample), longest)[0])
        place = int(integers(draw(Purpose.N_RUN_PLACE, seed, epoch, sample), length - size + 1)[0])
        view = (view[:place] + [(alphabet.N, -1)] * size + view[place:])[:length]
    if uniform(draw(Purpose.STRAND, seed, epoch, sample))[0] < settings.reverse_complement:
        view = [(PAIRED[code], place) for code, place in reversed(view)]
    return [code for code, _ in view], [place for _, place in view]


def plain_teacher(
    codes: list[int],
    inside: list[bool],
    length: int,
    seed: int,
    epoch: int,
    sample: int,
    settings: ViewSettings,
) -> tuple[list[int], list[int]]:
    """One teacher view, base by base: codes and provenance."""
    longest = min(settings.indel, length // 2)
    keys = draw(Purpose.DRAWN_BASES, seed, epoch, sample)
    words = [int(word) for word in counter_hash_numpy(keys, 4)[0]]
    drawn = [words[i // 16] >> (2 * (i % 16)) & 3 for i in range(2 * longest)]
    view = [(code, place) for place, code in enumerate(codes[:length])]
    for step in range(longest):
        place = length + step
        readable = inside[place] and codes[place] < alphabet.N
        view.append((codes[place], place) if readable else (drawn[step], -1))
    deleted = int(integers(draw(Purpose.DELETION_LENGTH, seed, epoch, sample), longest + 1)[0])
    cut = int(integers(draw(Purpose.DELETION_PLACE, seed, epoch, sample), length - deleted + 1)[0])
    del view[cut : cut + deleted]
    inserted = int(integers(draw(Purpose.INSERTION_LENGTH, seed, epoch, sample), longest + 1)[0])
    put = int(
        integers(draw(Purpose.INSERTION_PLACE, seed, epoch, sample), length - inserted + 1)[0]
    )
    view[put:put] = [(base, -1) for base in drawn[longest : longest + inserted]]
    view = view[:length]
    furthest = min(settings.translocation, length - 1)
    turn = (
        int(integers(draw(Purpose.ROTATION, seed, epoch, sample), 2 * furthest + 1)[0]) - furthest
    )
    view = view[-turn % length :] + view[: -turn % length]
    return [code for code, _ in view], [place for _, place in view]


@given(
    length=st.integers(1, 90),
    seed=st.integers(0, 99),
    indel=st.integers(0, 25),
    translocation=st.integers(0, 25),
    n_runs=st.sampled_from([0.0, 0.5, 1.0]),
    n_run_longest=st.integers(1, 30),
)
def test_views_equal_the_plain_reimplementation(
    length: int, seed: int, indel: int, translocation: int, n_runs: float, n_run_longest: int
) -> None:
    settings = ViewSettings(
        indel=indel, translocation=translocation, n_runs=n_runs, n_run_longest=n_run_longest
    )
    raw = windows(np.random.default_rng(seed), 6, length, 25)
    ids = np.array([0, 1, 7, 8, 2**20, 2**33])
    student = student_view(raw, seed, 3, ids, settings)
    teacher = teacher_view(raw, seed, 3, ids, settings)
    for row, sample in enumerate(ids.tolist()):
        codes, inside = raw.codes[row].tolist(), raw.inside[row].tolist()
        expected = plain_student(codes, length, seed, 3, sample, settings)
        assert student.codes[row].tolist() == expected[0]
        assert student.provenance[row].tolist() == expected[1]
        expected = plain_teacher(codes, inside, length, seed, 3, sample, settings)
        assert teacher.codes[row].tolist() == expected[0]
        assert teacher.provenance[row].tolist() == expected[1]


@pytest.fixture
def raw(rng: np.random.Generator) -> RawWindows:
    return windows(rng, 3000, 120, 20, share_n=0.02)


IDS = np.arange(3000)
SETTINGS = ViewSettings()


def test_provenance_leads_every_base_back_to_the_window(raw: RawWindows) -> None:
    student = student_view(raw, 1, 0, IDS, SETTINGS)
    read = student.provenance
    found = raw.codes.gather(1, read.clamp(min=0))
    backwards = (read.diff(dim=1) == -1).any(1, keepdim=True)
    found = torch.where(backwards, torch.from_numpy(alphabet.COMPLEMENT)[found.long()], found)
    assert torch.equal(student.codes[read >= 0], found[read >= 0])
    assert (student.codes[read < 0] == alphabet.N).all()
    assert (read < raw.length).all()

    teacher = teacher_view(raw, 1, 0, IDS, SETTINGS)
    read = teacher.provenance
    assert torch.equal(teacher.codes[read >= 0], raw.codes.gather(1, read.clamp(min=0))[read >= 0])
    assert (teacher.codes[read < 0] < alphabet.N).all()


def test_teacher_reads_on_in_usable_known_bases_only_and_adds_no_n(raw: RawWindows) -> None:
    view = teacher_view(raw, 1, 0, IDS, SETTINGS)
    read = view.provenance
    behind = read >= raw.length
    assert behind.any()
    assert raw.inside.gather(1, read.clamp(min=0))[behind].all()
    assert (view.codes[behind] < alphabet.N).all()
    assert ((view.codes == alphabet.N) <= ((read >= 0) & ~behind)).all()


def test_no_base_of_a_window_is_read_twice(raw: RawWindows) -> None:
    for view in (student_view(raw, 1, 0, IDS, SETTINGS), teacher_view(raw, 1, 0, IDS, SETTINGS)):
        sorted_, _ = view.provenance.sort(dim=1)
        repeated = (sorted_.diff(dim=1) == 0) & (sorted_[:, 1:] >= 0)
        assert not repeated.any()


def test_half_of_the_students_are_reversed(raw: RawWindows) -> None:
    read = student_view(raw, 1, 0, IDS, SETTINGS).provenance
    reversed_ = (read.diff(dim=1) == -1).any(1)
    assert 0.46 < reversed_.float().mean() < 0.54


def test_runs_of_n_are_inserted_now_and_then(rng: np.random.Generator) -> None:
    raw = windows(rng, 20_000, 120, 20, share_n=0)
    view = student_view(raw, 1, 0, np.arange(20_000), SETTINGS)
    sizes = (view.codes == alphabet.N).sum(1)
    assert 0.044 < (sizes > 0).float().mean() < 0.056
    counts = torch.bincount(sizes[sizes > 0])
    assert len(counts) == SETTINGS.n_run_longest + 1
    assert (counts[1:] > 25).all()


def test_teacher_draws_cover_their_ranges(rng: np.random.Generator) -> None:
    raw = windows(rng, 8000, 200, 20, share_n=0)
    ids = np.arange(8000)
    inserted = teacher_view(raw, 1, 0, ids, ViewSettings(translocation=0)).provenance
    # Bases cut out and pushed out are missing, so that sizes follow from what was read.
    assert ((inserted[:, 0] == 0) | (inserted[:, 0] == -1) | (inserted[:, 0] <= 20)).all()
    rotated = teacher_view(raw, 1, 0, ids, ViewSettings(indel=0)).provenance
    turn = -rotated[:, 0]
    turn = torch.where(turn < -100, turn + 200, turn)
    counts = torch.bincount(turn + 20, minlength=41)
    assert len(counts) == 41 and (counts > 120).all()
    settings = ViewSettings(translocation=0, indel=20)
    whole = windows(rng, 8000, 200, 20, share_n=0)
    whole.inside.fill_(True)
    whole.codes.copy_(torch.from_numpy(rng.integers(0, 4, whole.codes.shape).astype(np.uint8)))
    read = teacher_view(whole, 1, 0, ids, settings).provenance
    sizes = torch.bincount((read == -1).sum(1), minlength=21)
    assert len(sizes) == 21 and (sizes > 280).all()


def test_same_address_same_view_and_other_address_other_view(raw: RawWindows) -> None:
    for make in (student_view, teacher_view):
        first = make(raw, 1, 0, IDS, SETTINGS).codes
        assert torch.equal(first, make(raw, 1, 0, IDS, SETTINGS).codes)
        for other in (make(raw, 2, 0, IDS, SETTINGS), make(raw, 1, 1, IDS, SETTINGS)):
            assert (first != other.codes).any(1).float().mean() > 0.4


def test_views_leave_the_windows_alone(raw: RawWindows) -> None:
    before = raw.codes.clone()
    student_view(raw, 1, 0, IDS, SETTINGS)
    teacher_view(raw, 1, 0, IDS, SETTINGS)
    assert torch.equal(raw.codes, before)


def test_nothing_asked_nothing_changed(raw: RawWindows) -> None:
    settings = ViewSettings(reverse_complement=0, n_runs=0, indel=0, translocation=0)
    for make in (student_view, teacher_view):
        view = make(raw, 1, 0, IDS, settings)
        assert torch.equal(view.codes, raw.codes[:, : raw.length])
        assert torch.equal(view.provenance[0], torch.arange(raw.length))


def test_a_margin_that_is_too_short_is_a_programming_error(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="margin"):
        teacher_view(windows(rng, 2, 100, 5), 0, 0, np.arange(2), SETTINGS)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_reverse_complement(dtype: torch.dtype) -> None:
    codes = torch.tensor([[0, 0, 1, 1, 2, 3, 4]], dtype=dtype)
    turned = reverse_complement(codes)
    assert alphabet.decode(turned[0].numpy().astype(np.uint8)) == "NACGGTT"
    assert torch.equal(reverse_complement(turned), codes)
    every = torch.arange(7, dtype=dtype)
    np.testing.assert_array_equal(reverse_complement(every).flip(0), alphabet.COMPLEMENT)


@pytest.mark.gpu
def test_cuda_makes_the_same_views(raw: RawWindows) -> None:
    for make in (student_view, teacher_view):
        there = make(raw.to("cuda"), 1, 0, IDS, SETTINGS)
        here = make(raw, 1, 0, IDS, SETTINGS)
        assert torch.equal(there.codes.cpu(), here.codes)
        assert torch.equal(there.provenance.cpu(), here.provenance)


def test_a_crop_is_drawn_anew_by_seed_and_epoch(raw: RawWindows) -> None:
    half = ViewSettings(crop=0.5)
    first = cropped(raw, 1, 0, IDS, half).codes
    assert torch.equal(first, cropped(raw, 1, 0, IDS, half).codes)
    for other in (cropped(raw, 2, 0, IDS, half), cropped(raw, 1, 1, IDS, half)):
        assert (first != other.codes).any(1).float().mean() > 0.4


def test_a_crop_is_a_stretch_of_the_window_anywhere_in_it() -> None:
    codes = torch.arange(40, dtype=torch.uint8).repeat(2000, 1)
    raw = RawWindows(codes, torch.ones(2000, 40, dtype=torch.bool), codes % 3 == 0, 32)
    ids = np.arange(2000)
    crop = cropped(raw, 0, 0, ids, ViewSettings(crop=0.25))
    assert crop.length == 8 and crop.codes.shape == crop.soft.shape == (2000, 8)
    starts = crop.codes[:, 0].long()
    assert (crop.codes.long() == starts[:, None] + torch.arange(8)).all()
    assert (crop.soft == (crop.codes % 3 == 0)).all()
    assert sorted(set(starts.tolist())) == list(range(32 - 8 + 1))
    assert cropped(raw, 0, 0, ids, ViewSettings()) is raw
