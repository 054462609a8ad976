"""Precision: told by the hardware once, never by how busy it is."""

import pytest
import torch

from findna.inference import precision

CPU = torch.device("cpu")


@pytest.fixture
def timed(monkeypatch):
    """Products that take as long as is said, fp32 1.0; and the sides of those that were timed."""
    asked = []

    def says(**bf16):
        def product_time(dtype, side):
            asked.append(side)
            return bf16[f"side_{side}"] if dtype is torch.bfloat16 else 1.0

        monkeypatch.setattr(precision, "_product_time", product_time)
        return asked

    precision._cpu_prefers_bf16.cache_clear()
    yield says
    precision._cpu_prefers_bf16.cache_clear()


def test_auto_is_decided_once_a_process(timed):
    asked = timed(side_128=1.5, side_1024=0.3)
    assert [precision.resolve_precision("auto", CPU) for _ in range(3)] == ["bf16"] * 3
    assert asked == [128, 128, 1024, 1024]


def test_a_large_product_is_not_timed_where_bf16_is_emulated(timed):
    asked = timed(side_128=30.0)
    assert precision.resolve_precision("auto", CPU) == "fp32"
    assert asked == [128, 128]


def test_bf16_has_to_be_clearly_faster(timed):
    timed(side_128=1.0, side_1024=0.8)
    assert precision.resolve_precision("auto", CPU) == "fp32"


@pytest.mark.parametrize(("fast", "chosen"), [(True, "bf16"), (False, "fp32")])
def test_a_card_that_emulates_bf16_gets_fp32(monkeypatch, fast, chosen):
    def supported(including_emulation=True):
        return including_emulation or fast

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert precision.resolve_precision("auto", torch.device("cuda")) == chosen


def test_what_is_asked_for_is_done(monkeypatch):
    monkeypatch.setattr(precision, "_product_time", lambda dtype, side: 1 / 0)
    assert precision.resolve_precision("fp32", CPU) == "fp32"
    assert precision.resolve_precision("bf16", CPU) == "bf16"
    assert precision.resolve_precision("auto", torch.device("mps")) == "fp32"
