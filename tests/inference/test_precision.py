"""Precision: told by the hardware once, never by how busy it is."""

import torch

from findna.inference import precision

CPU = torch.device("cpu")


def test_auto_is_decided_once_a_process(monkeypatch):
    precision._cpu_prefers_bf16.cache_clear()
    times = iter([1.0, 3.0])  # bf16 a third of fp32, and then nothing more may be timed
    monkeypatch.setattr(precision, "_product_time", lambda dtype: next(times))
    assert [precision.resolve_precision("auto", CPU) for _ in range(3)] == ["bf16"] * 3
    precision._cpu_prefers_bf16.cache_clear()


def test_what_is_asked_for_is_done(monkeypatch):
    monkeypatch.setattr(precision, "_product_time", lambda dtype: 1 / 0)
    assert precision.resolve_precision("fp32", CPU) == "fp32"
    assert precision.resolve_precision("bf16", CPU) == "bf16"
    assert precision.resolve_precision("auto", torch.device("mps")) == "fp32"
