"""Fine-tuning as a contender."""

import numpy as np
import pytest
import torch

from findna.data.labelled import LabelledData, LabelledSplit
from findna.evaluation.contenders import networks
from findna.evaluation.contenders.networks import FinetuneContender, Start
from findna.model.chordmixer import ChordMixerConfig
from findna.model.model import new_model
from findna.model.presets import ModelConfig
from findna.training.finetune_settings import FinetuneSettings
from findna.training.stopping import NonFiniteLoss

CPU = torch.device("cpu")
SMALL = ModelConfig(backbone=ChordMixerConfig(width=16, hidden=16, track_size=4, depth=3))


def rows_of(n, seed):
    """Class 1 is rich in A."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    codes = [
        random.choice(4, 40, p=[0.55, 0.15, 0.15, 0.15] if label else [0.25] * 4).astype(np.uint8)
        for label in labels
    ]
    return LabelledSplit([f"{seed}-{i}" for i in range(n)], codes, labels, np.arange(1, n + 1))


DATA = LabelledData({"train": rows_of(96, 1), "dev": rows_of(48, 2)}, "binary", ("0", "1"))
TEST = rows_of(60, 3)


def contender(**changed):
    settings = FinetuneSettings(epochs=3, strand="forward", precision="fp32")
    given = {"rates": (1e-3, 3e-3), "device": CPU, "keep_epochs": True, **changed}
    return FinetuneContender(Start("random", SMALL), settings, **given)


def test_it_learns_and_names_what_validation_chose():
    learned = contender().learn(DATA, 0)
    assert set(learned.chosen) == {"learning_rate", "epoch", "strand", "pooling"}
    right = (learned.scores(TEST)[:, 1] >= learned.threshold) == TEST.labels
    assert right.mean() > 0.7


@pytest.mark.parametrize("train", ["auto", "probe", "head"])
def test_everything_is_trained_whatever_finetune_would_choose(train):
    how = {"epochs": 1, "strand": "forward", "precision": "fp32"}
    one, other = (
        FinetuneContender(Start("random", SMALL), FinetuneSettings(**how, train=t), (3e-3,), CPU)
        for t in (train, "full")
    )
    mine = one.learn(DATA, 0)
    assert (mine.scores(TEST) == other.learn(DATA, 0).scores(TEST)).all()
    before, after = new_model(SMALL, 0).state_dict(), mine.fitted.model.state_dict()
    assert not torch.equal(before["encoder.embedding.weight"], after["encoder.embedding.weight"])


def test_a_settled_rate_gives_the_run_that_was_chosen():
    both = contender().learn(DATA, 0)
    rate = {"learning_rate": both.chosen["learning_rate"]}
    alone = contender().learn(DATA, 0, settled=rate)
    assert (alone.scores(TEST) == both.scores(TEST)).all()
    assert (contender().learn(DATA, 1, settled=rate).scores(TEST) != both.scores(TEST)).any()


@pytest.mark.parametrize("rates", [(3e-3, 1e-6), (1e-6, 3e-3)])
def test_the_rate_is_the_best_on_validation_wherever_it_stands(rates):
    alone = [contender().learn(DATA, 0, settled={"learning_rate": rate}) for rate in rates]
    best = max(alone, key=lambda one: one.fitted.score)
    assert alone[0].fitted.score != alone[1].fitted.score
    assert contender(rates=rates).learn(DATA, 0).chosen == best.chosen


def test_validation_may_choose_the_strand(monkeypatch):
    asked, begin = [], networks.begin

    def spy(*given, **how):
        asked.append(how["strands"])
        return begin(*given, **how)

    monkeypatch.setattr(networks, "begin", spy)
    for strand in ("auto", "forward"):
        settings = FinetuneSettings(epochs=1, strand=strand, precision="fp32")
        FinetuneContender(Start("random", SMALL), settings, (1e-3,), CPU).learn(DATA, 0)
    assert asked == [("both", "forward"), ("forward",)]


def test_a_seed_begins_with_weights_of_its_own_the_one_model_or_its_own_model():
    one, two = (new_model(SMALL, seed) for seed in (5, 6))
    drawn, fixed, several = (Start("s", SMALL, models) for models in ((), (one,), (one, two)))
    assert [each.draws for each in (drawn, fixed, several)] == [True, False, True]
    assert [each.pretraining_seeds for each in (drawn, fixed, several)] == [False, False, True]
    for seed in range(3):
        wanted = new_model(SMALL, seed).state_dict()
        found = drawn.network(seed).state_dict()
        assert all(torch.equal(wanted[name], found[name]) for name in wanted)
        assert fixed.network(seed) is one and several.network(seed) is (one, two, one)[seed]


def test_the_chosen_epoch_stands_among_the_kept_ones():
    learned = contender().learn(DATA, 0)
    every = list(learned.scores_by_epoch(TEST))
    assert len(every) == 3
    assert (every[learned.fitted.epoch - 1] == learned.scores(TEST)).all()
    assert all((every[a] != every[b]).any() for a, b in ((0, 1), (1, 2)))
    assert list(contender(keep_epochs=False).learn(DATA, 0).scores_by_epoch(TEST)) == []


def test_a_start_is_not_changed_by_training():
    model = new_model(SMALL, 0)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    start = Start("fixed", SMALL, (model,))
    settings = FinetuneSettings(epochs=1, strand="both", precision="fp32")
    FinetuneContender(start, settings, (1e-2,), CPU).learn(DATA, 0)
    assert all((before[k] == v).all() for k, v in model.state_dict().items())


def test_a_rate_that_breaks_down_is_passed_over(caplog):
    settings = {"rates": (float("inf"), 3e-3)}
    assert contender(**settings).learn(DATA, 0).chosen["learning_rate"] == 3e-3
    assert "not finite" in caplog.text
    with pytest.raises(NonFiniteLoss):
        contender(rates=(float("inf"),)).learn(DATA, 0)
