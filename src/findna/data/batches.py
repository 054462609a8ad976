"""Batches: two views of windows for pretraining, padded sequences for everything else."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from findna.data.masking import HidingSettings, embedding_noise, hide
from findna.data.views import View, ViewSettings, cropped, student_view, teacher_view
from findna.data.windows import RawWindows, WindowSampler
from findna.sequence.alphabet import PAD
from findna.sequence.inputs import records_from


@dataclass(frozen=True)
class PretrainBatch:
    """B windows of L bases in two views, and what the losses need.

    student, targets, teacher: int64 (B, L) codes; hidden: bool (B, L), the bases to predict;
    weights: float32 (B, L), 1 except where soft-masked bases are down-weighted; noise: float32 (B,
    L, width) for the student's embeddings, or None; ids: int64 (B,) numpy, the windows' numbers in
    the epoch. If the student reads a crop, its L is shorter than the teacher's.
    """

    student: Tensor
    hidden: Tensor
    targets: Tensor
    weights: Tensor
    teacher: Tensor
    noise: Tensor | None
    ids: NDArray[np.int64]

    @property
    def length(self) -> int:
        """Bases of each window that the student reads."""
        return self.student.shape[1]


def make_batch(
    sampler: WindowSampler,
    epoch: int,
    batch: int,
    device: torch.device | str,
    views: ViewSettings,
    hiding: HidingSettings,
    *,
    width: int,
    rows: slice | None = None,
) -> PretrainBatch:
    """Batch number `batch` of `epoch`, made on `device`, for a model of `width` channels.

    `rows` selects a part of it, for one rank or one accumulation step: a row does not depend on the
    others.
    """
    seed, length = sampler.seed, sampler.batch_length(epoch, batch)
    ids = sampler.sample_ids(epoch, batch)[rows or slice(None)]
    starts = sampler.draw(epoch, ids, length)
    raw = sampler.read(starts, length, margin=views.indel, device=device)
    seen = cropped(raw, seed, epoch, ids, views)
    student = student_view(seen, seed, epoch, ids, views)
    teacher = teacher_view(raw, seed, epoch, ids, views)
    shown = hide(student.codes, seed, epoch, ids, hiding)
    return PretrainBatch(
        student=shown.codes,
        hidden=shown.hidden,
        targets=shown.targets,
        weights=_weights(seen, student, sampler.soft_weight),
        teacher=teacher.codes.to(torch.int64),
        noise=embedding_noise(seed, epoch, ids, seen.length, width, views.noise, device)
        if views.noise
        else None,
        ids=ids,
    )


def _weights(raw: RawWindows, student: View, soft_weight: float) -> Tensor:
    """Loss weight of each base of the student's view: `soft_weight` where it was lower case."""
    if soft_weight == 1:
        return torch.ones((1, 1), device=raw.codes.device).expand(student.codes.shape)
    read = student.provenance
    soft = raw.soft.gather(1, read.clamp(min=0)) & (read >= 0)
    return torch.ones(soft.shape, device=soft.device).masked_fill_(soft, soft_weight)


def pad(sequences: Sequence[NDArray[np.uint8]]) -> tuple[Tensor, Tensor]:
    """Codes (B, longest) int64, padded with PAD, and lengths (B,) int64."""
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    codes = np.full((len(sequences), int(lengths.max(initial=0))), PAD, dtype=np.int64)
    for row, sequence in zip(codes, sequences, strict=True):
        row[: len(sequence)] = sequence
    return torch.from_numpy(codes), torch.from_numpy(lengths)


def encode_batch(sequences: Iterable[str]) -> tuple[Tensor, Tensor]:
    """Sequences as text → what `Model` reads: codes (B, longest) int64, padded with PAD, and the
    lengths (B,) without the padding.

    U is read as T, IUPAC codes as N, lower case as upper case.

    Raises:
        BadInput: an empty sequence or a character that is not a nucleotide, with the row number,
            from 1.
        TypeError: one sequence instead of several.
    """
    if isinstance(sequences, str):
        raise TypeError("a single sequence is not a batch: give a list of sequences")
    return pad([record.codes for record in records_from(sequences)])


def by_length(lengths: NDArray[np.int64], max_bases: int) -> list[NDArray[np.int64]]:
    """Row numbers of batches of similar length, shortest first.

    A batch has at most `max_bases`, padding included; a longer sequence is a batch of its own.
    Every row is in exactly one batch.
    """
    order = np.argsort(lengths, kind="stable")
    batches: list[NDArray[np.int64]] = []
    start = 0
    for end in range(1, len(order) + 1):
        full = end == len(order) or (end - start + 1) * lengths[order[end]] > max_bases
        if full:
            batches.append(order[start:end])
            start = end
    return batches
