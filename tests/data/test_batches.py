"""Batches: parts equal the whole, no view repeats, the same seed repeats everything."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import findna
from findna.data.batches import PretrainBatch, _weights, by_length, make_batch, pad
from findna.data.masking import HidingSettings, embedding_noise, hide
from findna.data.sampling import SamplingSettings, usable_runs
from findna.data.views import ViewSettings, student_view, teacher_view
from findna.data.windows import WindowSampler
from findna.files import BadInput
from findna.model.model import new_model
from findna.sequence.alphabet import MASK, PAD, N, encode
from findna.sequence.genome import Genome

SampleWith = Callable[..., WindowSampler]


@pytest.fixture
def sampler_with(tmp_path: Path) -> SampleWith:
    """A sampler over 40 kb, half of it in lower case; arguments are settings."""
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)
    text = letters[np.random.default_rng(0).integers(0, 4, 40_000)].tobytes().decode()
    path = tmp_path / "genome.fa"
    path.write_text(f">a\n{text[:20_000]}\n{text[20_000:].lower()}\n")
    genome = Genome.open(path)

    def make(seed: int = 0, **settings: Any) -> WindowSampler:
        chosen = SamplingSettings(**({"window": 128, "batch_bases": 4096} | settings))
        return WindowSampler(genome, usable_runs(genome, chosen), chosen, seed)

    return make


def batch_of(
    sampler: WindowSampler, epoch: int = 0, batch: int = 0, rows: slice | None = None
) -> PretrainBatch:
    return make_batch(
        sampler, epoch, batch, "cpu", ViewSettings(), HidingSettings(), width=8, rows=rows
    )


def tensors(batch: PretrainBatch) -> list[torch.Tensor]:
    assert batch.noise is not None
    return [
        batch.student, batch.hidden, batch.targets, batch.weights, batch.teacher, batch.noise,
    ]  # fmt: skip


def test_shapes_and_types(sampler_with: SampleWith) -> None:
    sampler = sampler_with()
    batch = batch_of(sampler, 1, 2)
    shape = (sampler.batch_windows(1, 2), sampler.batch_length(1, 2))
    for name in ("student", "targets", "teacher"):
        tensor = getattr(batch, name)
        assert tensor.shape == shape and tensor.dtype == torch.int64
    assert batch.hidden.shape == batch.weights.shape == shape
    assert batch.weights.dtype == torch.float32 and (batch.weights == 1).all()
    assert batch.noise is not None and batch.noise.shape == (*shape, 8)
    assert batch.length == shape[1] and len(batch.ids) == shape[0]
    assert batch.student.max() <= MASK and batch.targets.max() <= N and batch.teacher.max() <= N


def test_no_noise_when_none_is_asked_for(sampler_with: SampleWith) -> None:
    quiet = ViewSettings(noise=0)
    batch = make_batch(sampler_with(), 0, 0, "cpu", quiet, HidingSettings(), width=8)
    assert batch.noise is None


def test_a_cropped_student_is_shorter_than_its_teacher(sampler_with: SampleWith) -> None:
    half = ViewSettings(crop=0.5)
    sampler = sampler_with(one_length=True)
    batch = make_batch(sampler, 0, 0, "cpu", half, HidingSettings(), width=8)
    assert batch.student.shape == batch.weights.shape == (32, 64) and batch.length == 64
    assert batch.teacher.shape == (32, 128)
    whole = make_batch(sampler, 0, 0, "cpu", ViewSettings(), HidingSettings(), width=8)
    assert torch.equal(batch.teacher, whole.teacher)


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_parts_for_ranks_and_accumulation_equal_the_whole(
    sampler_with: SampleWith, parts: int
) -> None:
    whole = batch_of(sampler_with(), 3, 4)
    edges = np.linspace(0, len(whole.ids), parts + 1).astype(int).tolist()
    # Each rank has a sampler of its own, as it has a process of its own.
    pieces = [batch_of(sampler_with(), 3, 4, slice(a, b)) for a, b in pairwise(edges)]
    for index, tensor in enumerate(tensors(whole)):
        joined = torch.cat([tensors(piece)[index] for piece in pieces])
        assert torch.equal(joined, tensor)


def test_the_same_seed_repeats_everything_and_another_nothing(sampler_with: SampleWith) -> None:
    first, again = batch_of(sampler_with(), 2, 5), batch_of(sampler_with(), 2, 5)
    assert all(map(torch.equal, tensors(first), tensors(again)))
    one_length: dict[str, Any] = {"one_length": True}
    first = batch_of(sampler_with(0, **one_length))
    other = batch_of(sampler_with(1, **one_length))
    assert (first.student != other.student).any(1).all()


def test_no_view_repeats_over_epochs_batches_and_ranks(sampler_with: SampleWith) -> None:
    """The views of two epochs, read by two ranks, are all different, and so is what they hide."""
    students: set[bytes] = set()
    teachers: set[bytes] = set()
    patterns: list[bytes] = []
    rows = 0
    for epoch in (0, 1):
        for batch in range(20):
            for rank in (slice(0, 16), slice(16, 32)):
                made = batch_of(sampler_with(one_length=True), epoch, batch, rank)
                rows += len(made.ids)
                students |= {row.tobytes() for row in made.student.numpy()}
                teachers |= {row.tobytes() for row in made.teacher.numpy()}
                patterns += [row.tobytes() for row in made.hidden.numpy() if row.sum() > 5]
    assert rows == len(students) == len(teachers) == 1280
    assert len(set(patterns)) == len(patterns) > 1200


def test_student_and_teacher_see_the_same_window(sampler_with: SampleWith) -> None:
    sampler = sampler_with(one_length=True)
    plain = ViewSettings(reverse_complement=0, n_runs=0, indel=0, translocation=0)
    made = make_batch(sampler, 0, 0, "cpu", plain, HidingSettings(), width=8)
    assert torch.equal(made.targets, made.teacher)
    starts = sampler.draw(0, made.ids, 128)
    assert torch.equal(made.teacher, sampler.read(starts, 128).codes[:, :128].long())


def test_a_batch_is_its_parts_put_together(sampler_with: SampleWith) -> None:
    sampler = sampler_with(seed=6)
    views, hiding = ViewSettings(n_runs=0.5), HidingSettings(max_rate=0.4)
    made = make_batch(sampler, 3, 7, "cpu", views, hiding, width=8)
    ids = sampler.sample_ids(3, 7)
    starts = sampler.draw(3, ids, made.length)
    raw = sampler.read(starts, made.length)
    student = student_view(raw, 6, 3, ids, views).codes
    shown = hide(student, 6, 3, ids, hiding)
    assert torch.equal(made.targets, student.long())
    assert torch.equal(made.student, shown.codes) and torch.equal(made.hidden, shown.hidden)
    assert torch.equal(made.teacher, teacher_view(raw, 6, 3, ids, views).codes.long())
    assert made.noise is not None
    assert torch.equal(made.noise, embedding_noise(6, 3, ids, made.length, 8, 0.2))


def test_soft_mask_weights_follow_the_students_view(sampler_with: SampleWith) -> None:
    sampler = sampler_with(soft_mask="downweight", one_length=True)
    views = ViewSettings(n_runs=0.5)
    made = make_batch(sampler, 0, 1, "cpu", views, HidingSettings(), width=8)
    assert made.weights.unique().tolist() == [pytest.approx(0.1), 1.0]
    assert (made.weights[made.targets == N] == 1).all()
    # A window across the border between upper and lower case shows that weights turn with the view.
    border = sampler.read(np.full(64, 20_000 - 30), 128)
    view = student_view(border, 0, 0, np.arange(64), ViewSettings(n_runs=0))
    forward = torch.tensor([1.0] * 30 + [0.1] * 98)
    weights = _weights(border, view, 0.1)
    turned = view.provenance[:, 0] > 0
    assert turned.any() and not turned.all()
    for row, back in zip(weights, turned.tolist(), strict=True):
        assert torch.equal(row, forward.flip(0) if back else forward)


def test_pad() -> None:
    codes, lengths = pad([encode("ACG"), encode("T"), encode("NNACGT")])
    assert codes.dtype == lengths.dtype == torch.int64 and lengths.tolist() == [3, 1, 6]
    assert codes.tolist() == [[0, 1, 2, PAD, PAD, PAD], [3] + [PAD] * 5, [4, 4, 0, 1, 2, 3]]
    empty, none = pad([])
    assert empty.shape == (0, 0) and none.shape == (0,)


@given(lengths=st.lists(st.integers(1, 400), max_size=60), max_bases=st.integers(1, 1000))
def test_by_length_takes_every_row_once_within_the_limit(
    lengths: list[int], max_bases: int
) -> None:
    sizes = np.array(lengths, dtype=np.int64)
    batches = by_length(sizes, max_bases)
    assert sorted(np.concatenate([*batches, sizes[:0]]).tolist()) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * sizes[batch].max() <= max_bases
    longest = [int(sizes[batch].max()) for batch in batches]
    assert longest == sorted(longest)


@pytest.mark.gpu
def test_cuda_makes_the_same_batch(sampler_with: SampleWith) -> None:
    here = batch_of(sampler_with(), 1, 1)
    there = make_batch(sampler_with(), 1, 1, "cuda", ViewSettings(), HidingSettings(), width=8)
    assert all(torch.equal(a, b.cpu()) for a, b in zip(tensors(here), tensors(there), strict=True))


def test_text_becomes_what_a_model_reads() -> None:
    codes, lengths = findna.encode_batch(["ACGT", "nu", "acgtry"])
    assert lengths.tolist() == [4, 2, 6] and codes.dtype == torch.int64
    assert codes.tolist() == [[0, 1, 2, 3, PAD, PAD], [N, 3, *[PAD] * 4], [0, 1, 2, 3, N, N]]
    model = new_model("tiny", 0).eval()
    with torch.no_grad():
        together = model.embed(codes, lengths)
        alone = model.embed(*findna.encode_batch(["nu"]))
    torch.testing.assert_close(together[1:2], alone)
    with pytest.raises(BadInput, match="record 2: the sequence is empty"):
        findna.encode_batch(["A", ""])
    with pytest.raises(BadInput, match="record 1: unknown letter 'L'"):
        findna.encode_batch(["ACL"])
