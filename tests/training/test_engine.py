"""One engine for every device, also for several devices one after another."""

import pytest
import torch
from accelerate.state import PartialState

from findna.files import BadInput
from findna.training.engine import agreed, one_device, open_engine


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


def test_alone_a_process_agrees_with_itself() -> None:
    assert agreed(open_engine("cpu"), "bf16") == "bf16"


def test_work_of_one_process_is_refused_to_several(monkeypatch: pytest.MonkeyPatch) -> None:
    open_engine("cpu")
    monkeypatch.setitem(PartialState._shared_state, "num_processes", 2)
    with pytest.raises(BadInput, match="evaluation runs in one process, not in 2"):
        one_device("cpu", "evaluation")
