"""One engine for every device, also for several devices one after another."""

from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import PartialState
from labelled_rows import small_model
from pretend_gpu import HAS_PRETEND, PRETEND, OnPretend, PretendGpu

from findna.files import BadInput
from findna.model.heads import TaskConfig
from findna.training.engine import agreed, one_device, open_engine
from findna.training.probe import _Head
from findna.training.validation import effective_rank


def test_a_device_that_is_not_here_is_refused() -> None:
    with pytest.raises(BadInput, match="no device 'tpu'"):
        open_engine("tpu")


def test_a_process_may_change_its_device() -> None:
    assert open_engine("cpu").device.type == "cpu"
    # As after a run on a GPU.
    PartialState._shared_state["device"] = torch.device("cuda")
    engine = open_engine("cpu")
    assert engine.device.type == "cpu" and engine.num_processes == 1
    assert one_device("cpu", "this") == torch.device("cpu")


@pytest.mark.gpu
def test_a_gpu_after_a_cpu() -> None:
    for name in ("cpu", "cuda", "cpu", "cuda:0"):
        assert open_engine(name).device.type == name.split(":")[0]


@pytest.mark.skipif(not HAS_PRETEND, reason="torch knows no device made in Python")
def test_training_asks_no_device_for_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of a Mac has none."""
    make = OnPretend.__new__

    def narrow(cls: type[OnPretend], held: torch.Tensor) -> Any:
        assert held.dtype != torch.float64
        return make(cls, held)

    monkeypatch.setattr(OnPretend, "__new__", staticmethod(narrow))
    model = small_model().with_task(TaskConfig(kind="binary", classes=("a", "b")), 0)
    assert model.task_head is not None
    read = len(model.task_head.mean)
    with PretendGpu():
        assert effective_rank(torch.eye(3, 2).to(PRETEND)) == effective_rank(torch.eye(3, 2))
        head = _Head(np.zeros(read), np.ones(read), np.ones((1, read)), np.zeros(1))
        head.begin(model.to(PRETEND))
        assert model.task_head.linear.weight.sum().item() == read


def test_alone_a_process_agrees_with_itself() -> None:
    assert agreed(open_engine("cpu"), "bf16") == "bf16"


def test_work_of_one_process_is_refused_to_several(monkeypatch: pytest.MonkeyPatch) -> None:
    open_engine("cpu")
    monkeypatch.setitem(PartialState._shared_state, "num_processes", 2)
    with pytest.raises(BadInput, match="evaluation runs in one process, not in 2"):
        one_device("cpu", "evaluation")
