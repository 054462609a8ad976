"""A genome on the device gives the batches that the memory map gives, and a step waits for
nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from no_waiting import NoWaiting

from findna.data import on_device
from findna.data.batches import PretrainBatch, make_batch
from findna.data.masking import HidingSettings
from findna.data.on_device import DeviceStore, device_store, sent
from findna.data.sampling import SamplingSettings, usable_runs
from findna.data.views import ViewSettings
from findna.data.windows import WindowSampler
from findna.model.model import new_model
from findna.model.presets import ModelConfig
from findna.sequence.genome import Genome
from findna.training.engine import open_engine
from findna.training.self_distillation import DistillationSettings, SelfDistillation

SHAPE = {"width": 16, "hidden": 16, "track_size": 4, "depth": 2, "summary_tokens": 2}
NAMES = ("student", "hidden", "targets", "weights", "teacher", "noise")
# Strict: the mark must go once the line has changed.
SampleWith = Callable[..., WindowSampler]


@pytest.fixture
def sampler_with(tmp_path: Path) -> SampleWith:
    """A sampler over two records with N, lower case and runs that end near each other."""
    rng = np.random.default_rng(0)
    letters = np.frombuffer(b"ACGT" * 20 + b"N" + b"acgt" * 5, dtype=np.uint8)
    path = tmp_path / "genome.fa"
    texts = (letters[rng.integers(0, len(letters), n)].tobytes().decode() for n in (9000, 700))
    path.write_text("".join(f">{name}\n{text}\n" for name, text in zip("ab", texts, strict=True)))
    genome = Genome.open(path)

    def make(**settings: Any) -> WindowSampler:
        chosen = SamplingSettings(**({"window": 128, "batch_bases": 4096} | settings))
        return WindowSampler(genome, usable_runs(genome, chosen), chosen, 3)

    return make


@pytest.fixture
def stored_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU stands in for a CUDA device with memory."""
    monkeypatch.setattr(on_device, "_STORED_ON", "cpu")
    monkeypatch.setattr(on_device, "_free", lambda device: 1 << 30)
    monkeypatch.setattr(on_device, "_PIECE", 1000)


def batch_of(sampler: WindowSampler, number: int, device: str = "cpu") -> PretrainBatch:
    views = ViewSettings(n_runs=0.5, crop=0.8)
    return make_batch(sampler, 0, number, device, views, HidingSettings(span=3), width=8)


@pytest.mark.parametrize("soft_mask", ["keep", "downweight"])
def test_batches_are_the_same_bit_for_bit(
    sampler_with: SampleWith, soft_mask: str, request: pytest.FixtureRequest
) -> None:
    mapped = sampler_with(soft_mask=soft_mask)
    wanted = [batch_of(mapped, number) for number in range(8)]
    assert mapped._placed == {torch.device("cpu"): None}
    request.getfixturevalue("stored_here")
    sampler = sampler_with(soft_mask=soft_mask)
    for number, here in enumerate(wanted):
        there = batch_of(sampler, number)
        assert all(torch.equal(getattr(here, name), getattr(there, name)) for name in NAMES)
        assert all(getattr(here, name).dtype == getattr(there, name).dtype for name in NAMES)
    assert isinstance(sampler._placed[torch.device("cpu")], DeviceStore)


def test_margins_end_with_their_run(
    sampler_with: SampleWith, request: pytest.FixtureRequest
) -> None:
    mapped = sampler_with(max_n=1.0)
    ends = mapped._runs[:, 1]
    starts = np.concatenate([ends - 100, ends - 105, ends - 119, ends - 120, ends - 125])
    here = mapped.read(starts, 100, margin=20)
    assert here.inside[:, :100].all() and not here.inside[0, 100:].any()
    request.getfixturevalue("stored_here")
    there = sampler_with(max_n=1.0).read(starts, 100, margin=20)
    for name in ("codes", "inside", "soft"):
        assert torch.equal(getattr(here, name), getattr(there, name)), name


def test_a_store_that_would_fill_the_device_stays_where_it_is(
    stored_here: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = np.arange(2500, dtype=np.int64).astype(np.uint8)
    monkeypatch.setattr(on_device, "_free", lambda device: 10_000)
    found = device_store(store, "cpu")
    assert found is not None and np.array_equal(found.bases.numpy(), store)
    with caplog.at_level(logging.INFO, "findna"):
        assert device_store(np.append(store, store[:1]), "cpu") is None
    assert "stays in main memory" in caplog.text
    monkeypatch.setattr(on_device, "_STORED_ON", "cuda")
    assert device_store(store, "cpu") is None


# Nobody waits


def steps(sampler: WindowSampler, device: str, watching: AbstractContextManager[Any]) -> None:
    """Two steps with their batches, the second one watched: the first may fill caches."""
    learner = SelfDistillation(
        new_model(ModelConfig.parse({"backbone": SHAPE}, source="test"), 0),
        DistillationSettings(distillation_weight=0.2),
        open_engine(device),
        "bf16",
    )
    for number, watch in enumerate((nullcontext(), watching)):
        with watch:
            views, hiding = ViewSettings(n_runs=0.5, crop=0.8), HidingSettings(span=3)
            batch = make_batch(sampler, 0, number, learner.device, views, hiding, width=16)
            learner.step([batch], number, 10)


def test_no_operator_of_a_batch_waits_for_its_device(
    sampler_with: SampleWith, stored_here: None
) -> None:
    sampler = sampler_with(one_length=True)
    batch_of(sampler, 0)
    with NoWaiting():
        batch_of(sampler, 1)


def test_no_operator_of_a_step_waits_for_its_device(
    sampler_with: SampleWith, stored_here: None
) -> None:
    steps(sampler_with(one_length=True), "cpu", NoWaiting())


@pytest.mark.parametrize(
    "wait",
    [
        lambda: torch.ones(3).sum().item(),
        lambda: bool(torch.ones(1) > 0),
        lambda: torch.arange(4)[torch.arange(4) > 1],
        lambda: torch.ones(3).nonzero(),
        lambda: torch.ones(3).new_tensor(4.0),
        lambda: torch.tensor([1, 2]),
        lambda: torch.from_numpy(np.ones(2)).to("cpu"),
    ],
)
def test_what_waits_is_noticed(wait: Callable[[], object]) -> None:
    with pytest.raises(AssertionError, match="would wait"), NoWaiting():
        wait()


@pytest.mark.gpu
def test_a_gpu_reads_the_same_batches(sampler_with: SampleWith) -> None:
    here, sampler = batch_of(sampler_with(), 1), sampler_with()
    there = batch_of(sampler, 1, "cuda")
    assert all(torch.equal(getattr(here, name), getattr(there, name).cpu()) for name in NAMES)
    (store,) = sampler._placed.values()
    assert store is not None and store.bases.is_cuda


class _NoSynchronising:
    """CUDA's own check: whatever synchronises raises."""

    def __enter__(self) -> None:
        torch.cuda.set_sync_debug_mode("error")

    def __exit__(self, *error: object) -> None:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
def test_a_step_never_synchronises_with_a_gpu(sampler_with: SampleWith) -> None:
    steps(sampler_with(one_length=True), "cuda", _NoSynchronising())


@pytest.mark.gpu
def test_sent_arrays_arrive() -> None:
    array = np.arange(1_000_000)
    assert np.array_equal(sent(array, "cuda").cpu().numpy(), array)
