"""What fine-tuning trains, how fast, and the average of the weights that it may keep."""

import numpy as np
import pytest
import torch
from labelled_rows import gc_split, small_model
from no_waiting import NoWaiting

from findna.model.heads import TaskConfig
from findna.model.model import new_model
from findna.model.presets import PRESETS, ModelConfig
from findna.training.beginning import begin
from findna.training.finetune_settings import FinetuneSettings
from findna.training.fit import _Training, fit
from findna.training.rates import finetuning_adamw
from findna.training.recipes import PretrainSettings
from findna.training.schedules import averaging

PLAIN = {
    "batch_rows": 8, "learning_rate": 0.1, "head_learning_rate": 0.7, "strand": "both",
    "precision": "fp32", "train": "full",
}  # fmt: skip
TASK = TaskConfig(kind="binary", classes=("at", "gc"))


def settings(**given):
    return FinetuneSettings(**{**PLAIN, **given})


def rates(model, optimizer):
    """Rate of every parameter that is trained, by name."""
    names = {id(p): name for name, p in model.named_parameters()}
    listed = [(names[id(p)], g["lr"]) for g in optimizer.param_groups for p in g["params"]]
    assert len(dict(listed)) == len(listed), "a parameter stands in two groups"
    return dict(listed)


def with_stem():
    backbone = small_model().config.backbone.model_copy(update={"stem": 2})
    return new_model(small_model().config.model_copy(update={"backbone": backbone}), 0)


def test_each_layer_has_its_share_of_the_rate_of_the_next():
    model = with_stem().with_task(TASK, 0)
    found = rates(model, finetuning_adamw(model, settings(layer_decay=0.5)))
    expected = {"norm": 0.1, "layers.2": 0.1, "layers.1": 0.05, "layers.0": 0.025}
    for name, rate in found.items():
        part = name.removeprefix("encoder.")
        if name.startswith("task_head"):
            assert rate == 0.7
        else:
            where = next((key for key in expected if part.startswith(f"{key}.")), None)
            assert rate == pytest.approx(expected.get(where, 0.0125)), name
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert set(found) == trained
    assert {"encoder.summary", "encoder.embedding.weight", "encoder.stem.linear.weight"} <= trained
    assert not any(name.startswith("projection") for name in trained)


def test_without_decay_the_backbone_has_one_rate():
    model = with_stem().with_task(TASK, 0)
    found = rates(model, finetuning_adamw(model, settings()))
    assert {rate for name, rate in found.items() if name.startswith("encoder")} == {0.1}


def test_a_head_has_three_tenths_of_the_rate_of_the_backbone():
    model = with_stem().with_task(TASK, 0)
    found = rates(model, finetuning_adamw(model, settings(head_learning_rate=None)))
    head = {rate for name, rate in found.items() if name.startswith("task_head")}
    assert list(head) == [pytest.approx(0.03)]


@pytest.mark.parametrize("preset", ["tiny", "small", "medium", "base"])
def test_a_backbone_has_the_rate_of_its_pretraining_if_none_is_given(preset):
    shape = PRESETS[preset].backbone.model_copy(update={"depth": 1})
    model = new_model(ModelConfig(backbone=shape), 0).with_task(TASK, 0)
    found = rates(model, finetuning_adamw(model, FinetuneSettings(train="full")))
    pretraining = PretrainSettings.resolve({"preset": preset}).distillation.learning_rate
    for name, rate in found.items():
        wanted = 0.3 * pretraining if name.startswith("task_head") else pretraining
        assert rate == pytest.approx(wanted), name


def test_the_last_layers_keep_their_place_in_the_decay():
    model = small_model().with_task(TASK, 0)
    optimizer = finetuning_adamw(model, settings(train="last", last_layers=2, layer_decay=0.5))
    backbone = {n: r for n, r in rates(model, optimizer).items() if n.startswith("encoder")}
    assert set(backbone.values()) == {0.1, 0.05}
    assert all(
        n.startswith(("encoder.layers.1", "encoder.layers.2", "encoder.norm")) for n in backbone
    )


def training(rows=None, **given):
    model = small_model().with_task(TASK, 0)
    return _Training(
        model, TASK, rows or gc_split(40, 0), settings(learning_rate=3e-3, **given), "fp32"
    )


def test_the_average_is_that_of_the_weights_after_each_step():
    torch.manual_seed(0)
    run, momentum = training(average=0.8), 0.8
    expected = {n: p.detach().numpy().copy() for n, p in run.model.named_parameters()}
    for step, (rows, turned) in enumerate(run._batches(1), 1):
        run._learn(rows, turned)
        share = min(momentum, (1 + step) / (10 + step))
        for name, parameter in run.model.named_parameters():
            expected[name] = share * expected[name] + (1 - share) * parameter.detach().numpy()
    assert step == 5
    for name, parameter in run.kept.named_parameters():
        np.testing.assert_allclose(parameter.detach().numpy(), expected[name], atol=1e-6)
    head = "task_head.linear.weight"
    assert np.abs(expected[head] - run.model.get_parameter(head).detach().numpy()).max() > 1e-4


def test_without_a_momentum_the_weights_themselves_are_kept():
    run = training()
    assert run.kept is run.model


def test_the_average_is_what_is_judged_and_kept():
    rows, seen = gc_split(40, 0), []

    def kept(model):
        seen.append({k: v.clone() for k, v in model.state_dict().items()})

    def learned(**how):
        given = settings(epochs=1, learning_rate=3e-3, **how)
        begun = begin(small_model(), TASK, rows, None, given, precision="fp32")
        judges, note = gc_split(20, 1), lambda **_: None
        return fit(begun, rows, judges, given, precision="fp32", note=note, after_epoch=kept)

    found, plain = learned(average=0.9), learned()
    for name, value in found.model.state_dict().items():
        torch.testing.assert_close(value, seen[0][name])
    weight = "task_head.linear.weight"
    assert not torch.allclose(found.model.state_dict()[weight], plain.model.state_dict()[weight])


def test_a_young_average_forgets_its_first_weights():
    assert averaging(0, 0.99) == pytest.approx(0.1)
    assert averaging(1000, 0.99) == 0.99


def test_a_step_over_rows_of_one_length_waits_for_no_device():
    run = training(rows=gc_split(40, 0, low=30, high=30))
    (rows, turned), (more, more_turned) = list(run._batches(1))[:2]
    run._learn(rows, turned)
    with NoWaiting():
        run._learn(more, more_turned)
