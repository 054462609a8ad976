"""Fine-tuning: it learns, chooses on validation only, and tells what it did."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from labelled_rows import gc_data, gc_split, relabelled, small_model, stranded_data

import findna.training.finetune as finetuning
from findna.data.labelled import LabelledData, LabelledSplit
from findna.data.labels import read_labelled
from findna.data.splits import Fold
from findna.files import BadInput, read_json_lines
from findna.inference.answers import scores_of
from findna.inference.predict import predict
from findna.metrics import Answers, value
from findna.model.heads import TaskConfig
from findna.model.loading import DEFAULT, load_model
from findna.report.run import write_report
from findna.sequence.alphabet import reverse_complement
from findna.sequence.records import Record
from findna.training import fit as fitting
from findna.training.beginning import begin
from findna.training.choices import Choice, Tried
from findna.training.finetune import FinetuneSettings, finetune
from findna.training.folds import FoldAnswer, KeptFolds, usual_threshold
from findna.training.learning import Learner
from findna.training.pretrain import pretrain
from findna.training.rates import trained_parts
from findna.training.run_state import METRICS
from findna.training.stopping import NonFiniteLoss
from findna.training.tasks import row_losses, task_for, task_of
from findna.training.thresholds import choose_threshold

QUICK = {
    "epochs": 4, "batch_rows": 8, "learning_rate": 3e-3, "strand": "both", "precision": "fp32",
    "train": "full",
}  # fmt: skip


class ReadTooEarly(Exception):
    """The spy's complaint."""


class SpySplits(dict):
    """Splits whose test part may be taken once, when validation has chosen, and says how often."""

    taken = 0
    allowed = False

    def __getitem__(self, name):
        if name == "test":
            if not self.allowed:
                raise ReadTooEarly
            SpySplits.taken += 1
        return super().__getitem__(name)

    def values(self):
        raise ReadTooEarly

    def items(self):
        raise ReadTooEarly


def test_a_test_split_that_chooses_is_refused_and_shared_rows_are_said(tmp_path, caplog):
    for split, seed in (("train", 1), ("dev", 2), ("test", 2)):
        random = np.random.default_rng(seed)
        rows = ["".join(random.choice(list("ACGT"), 40)) + f",{n % 2}" for n in range(24)]
        (tmp_path / f"{split}.csv").write_text("\n".join(["sequence,label", *rows, ""]))
    settings = FinetuneSettings(**QUICK | {"train": "probe"})
    how = {"model": small_model(), "settings": settings, "device": "cpu"}
    with pytest.raises(BadInput, match="the test split has the same sequences as dev"):
        finetune(tmp_path, tmp_path / "run", **how)
    assert not (tmp_path / "run").exists()
    test = tmp_path / "test.csv"
    test.write_text(test.read_text() + "ACGTACGTACGTACGT,1\n")
    found = finetune(tmp_path, tmp_path / "run", **how).metrics["rows"]
    assert (found["test_also_in_validation"], found["test_also_in_train"]) == (24, 0)
    assert "24 of 25 test rows also occur in the validation" in caplog.text


# ---------------------------------------------------------------- the straight line


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finetune") / "run"
    return finetune(
        gc_data(), folder, model=small_model(), settings=FinetuneSettings(**QUICK), device="cpu"
    )


def test_a_learnable_task_is_learned_and_judged_on_the_test_split(run):
    metrics = json.loads((run.folder / "metrics.json").read_text())
    assert metrics == run.metrics
    assert metrics["metrics"]["accuracy"]["value"] >= 0.9
    assert metrics["metrics"]["mcc"]["low"] > 0.5
    assert metrics["rows"] == {
        "train": 96, "validation": 24, "test": 40, "test_also_in_train": 0,
        "test_also_in_validation": 0,
    }  # fmt: skip
    assert metrics["protocol"].startswith("test split, read once")
    assert set(metrics["metrics"]) == {
        "accuracy", "balanced_accuracy", "macro_f1", "mcc", "auroc", "auprc",
    }  # fmt: skip


def test_the_run_folder_holds_everything(run):
    names = {p.name for p in run.folder.iterdir()}
    assert names >= {
        "settings.yaml", "command.txt", "environment.json", "metrics.jsonl", "metrics.json",
        "model", "predictions.tsv", "confusion.tsv",
    }  # fmt: skip
    table = pd.read_csv(run.folder / "predictions.tsv", sep="\t")
    assert table["id"].tolist() == [f"s{i}" for i in range(40)]
    assert table["row"].tolist() == list(range(1, 41))
    right = (table["label"] == table["prediction"]).mean()
    assert right == pytest.approx(run.metrics["metrics"]["accuracy"]["value"])
    crossed = pd.read_csv(run.folder / "confusion.tsv", sep="\t", index_col="label")
    assert crossed.to_numpy().sum() == 40 and list(crossed.columns) == ["at", "gc"]
    assert np.trace(crossed.to_numpy()) == round(40 * right)


def test_the_learning_curve_names_what_it_is(run):
    rows = read_json_lines(run.folder / "metrics.jsonl")
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert {"stage", "validation_loss", "validation_mcc"} <= set(rows[0])


def test_the_chosen_epoch_is_best_on_validation_and_its_weights_are_kept(run):
    rows = read_json_lines(run.folder / "metrics.jsonl")
    best = max(rows, key=lambda r: (r["validation_mcc"], -r["validation_loss"]))
    assert run.metrics["chosen"]["epoch"] == best["epoch"]
    model = load_model(run.folder)
    dev = gc_data().splits["dev"]
    from findna.inference.answers import task_outputs

    logits = torch.from_numpy(task_outputs(model, dev.codes)).float()
    targets = torch.from_numpy(dev.labels.astype(np.float32))[:, None]
    loss = float(row_losses(logits, targets, "binary").mean())
    assert loss == pytest.approx(best["validation_loss"], rel=1e-4)
    task = task_of(model)
    answers = Answers(task.kind, task.classes, dev.labels, scores_of(logits.numpy(), task))
    assert value("mcc", answers) == pytest.approx(best["validation_mcc"]) and value("mcc", answers)


def fitted(monkeypatch=None, checks=(), valid=True, **how):
    """A fit on a small task; `checks` replaces what validation finds after each epoch."""
    if monkeypatch:
        found = iter(checks)
        monkeypatch.setattr(fitting, "_check", lambda *_: next(found))
    data = gc_data(train=32, dev=8, test=0)
    settings = FinetuneSettings(**QUICK)
    task = TaskConfig(kind="binary", classes=data.classes)
    train, dev = data.splits["train"], data.splits["dev"]
    begun = begin(small_model(), task, train, dev, settings, precision="fp32")
    judges, note = dev if valid else None, lambda **_: None
    return fitting.fit(begun, train, judges, settings, precision="fp32", note=note, **how)


@pytest.mark.parametrize(
    ("checks", "epoch"),
    [
        ([(0.5, -1.0), (0.9, -0.9), (0.3, -0.1), (0.2, -0.1)], 2),
        ([(0.5, -1.0), (0.5, -0.5), (0.5, -0.7), (0.5, -0.5)], 2),
        ([(-np.inf, -1.0), (-np.inf, -0.9), (-np.inf, -0.8), (-np.inf, -0.9)], 3),
    ],
    ids=["metric", "loss among equals", "loss where the metric is undefined"],
)
def test_the_best_epoch_is_kept(monkeypatch, checks, epoch):
    best = fitted(monkeypatch, checks)
    assert best.epoch == epoch and best.score == checks[epoch - 1]
    stopped = fitted(valid=False, stop_after=epoch)
    one, two = best.model.state_dict(), stopped.model.state_dict()
    assert all(torch.equal(one[k], two[k]) for k in one)


def test_an_undefined_metric_is_below_all_others():
    best = fitted()
    dev = gc_data(train=32, dev=8, test=0).splits["dev"]
    for some, defined in ((dev, True), (dev.where(dev.labels == 1), False)):
        metric, minus_loss = fitting._check(best.model, task_of(best.model), some, "fp32", "none")
        assert np.isfinite(metric) == defined and minus_loss < 0
    assert metric == -np.inf


def test_the_threshold_is_that_of_validation_rows():
    best = fitted()
    dev = gc_data(train=32, dev=8, test=0).splits["dev"]
    task = task_of(best.model)
    scores = scores_of(fitting.logits_of(best.model, dev, "fp32"), task)[:, 1]
    assert task.threshold == choose_threshold(dev.labels, scores)
    assert task_of(fitted(valid=False).model).threshold == 0.5


def test_half_of_the_rows_are_read_from_the_other_strand_anew_in_each_epoch():
    settings = FinetuneSettings(**QUICK)
    turned = {}
    for strand in ("both", "forward"):
        task = TaskConfig(kind="binary", classes=("a", "b"), strand=strand)
        model = small_model().with_task(task, 0)
        training = fitting._Training(model, task, gc_split(400, 0), settings, "fp32")
        turned[strand] = [list(training._batches(epoch)) for epoch in (1, 2)]
        rows = np.concatenate([rows for rows, _ in turned[strand][0]])
        assert sorted(rows.tolist()) == list(range(400)) and rows.tolist() != list(range(400))
    assert all(back is None for _, back in turned["forward"][0])
    shares = []
    for epoch in turned["both"]:
        back = np.zeros(400, bool)
        for rows, strands in epoch:
            back[rows] = strands
        shares.append(back)
    assert all(0.4 < share.mean() < 0.6 for share in shares)
    assert 0.4 < (shares[0] != shares[1]).mean() < 0.6


def test_predict_says_what_the_run_said(run):
    test = gc_data().splits["test"]
    records = [Record(i, c) for i, c in zip(test.ids, test.codes, strict=True)]
    told = predict(records, run.folder, device="cpu").table
    wrote = pd.read_csv(run.folder / "predictions.tsv", sep="\t")
    assert told["prediction"].tolist() == wrote["prediction"].tolist()
    assert np.allclose(told["p_gc"], wrote["p_gc"], atol=1e-5)


def test_the_model_knows_its_past(run):
    model = load_model(run.folder)
    assert model.config.task.classes == ("at", "gc")
    assert model.config.task.threshold == run.metrics["chosen"]["threshold"]
    assert model.provenance["trained_lengths"] == [20, 40]
    assert model.provenance["started_from"] == "random initialisation"


# ---------------------------------------------------------------- laws


def test_the_test_split_is_read_once_and_only_at_the_end(tmp_path, monkeypatch):
    plain = gc_data(train=24, dev=8, test=8)
    splits = SpySplits(plain.splits)
    SpySplits.taken = 0
    data = LabelledData(splits, "binary", plain.classes)
    settings = FinetuneSettings(**{**QUICK, "epochs": 1, "train": "auto"})
    with pytest.raises(ReadTooEarly):
        finetune(data, tmp_path / "never", model=small_model(), settings=settings, device="cpu")
    # Training is over once both networks were fitted; then it may be read.
    fits = []
    original = fitting.fit

    def counted(*args, **kwargs):
        done = original(*args, **kwargs)
        fits.append(done)
        splits.allowed = len(fits) == 2
        return done

    monkeypatch.setattr("findna.training.learning.fit", counted)
    finetune(data, tmp_path / "run", model=small_model(), settings=settings, device="cpu")
    assert SpySplits.taken == 1 and len(fits) == 2


def test_a_different_test_split_changes_nothing_but_the_judgement(tmp_path):
    one, two = gc_data(train=32, dev=8, test=8), gc_data(train=32, dev=8, test=8)
    flipped = relabelled(two.splits["test"], 1 - two.splits["test"].labels)
    two = LabelledData({**two.splits, "test": flipped}, "binary", two.classes)
    settings = FinetuneSettings(**{**QUICK, "epochs": 2})
    runs = [
        finetune(d, tmp_path / n, model=small_model(), settings=settings, device="cpu")
        for n, d in (("one", one), ("two", two))
    ]
    states = [r.model.state_dict() for r in runs]
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    assert runs[0].metrics["chosen"] == runs[1].metrics["chosen"]
    assert runs[0].metrics["metrics"] != runs[1].metrics["metrics"]


def test_the_seed_repeats_everything_and_leaves_global_chance_alone(tmp_path):
    data, settings = gc_data(train=32, dev=8, test=8), FinetuneSettings(**{**QUICK, "epochs": 2})
    torch.manual_seed(5)
    expected = torch.rand(3)
    states = []
    for name in ("one", "two"):
        torch.manual_seed(5)
        done = finetune(data, tmp_path / name, model=small_model(), settings=settings, device="cpu")
        assert torch.equal(torch.rand(3), expected)
        states.append(done.model.state_dict())
    torch.manual_seed(99)
    done = finetune(data, tmp_path / "x", model=small_model(), settings=settings, device="cpu")
    states[1] = done.model.state_dict()
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    other = settings.model_copy(update={"seed": 1})
    done = finetune(data, tmp_path / "three", model=small_model(), settings=other, device="cpu")
    assert any(not torch.equal(done.model.state_dict()[k], states[0][k]) for k in states[0])


def test_batches_taken_in_parts_learn_the_same(tmp_path):
    data = gc_data(train=24, dev=8, test=8)
    settings = FinetuneSettings(**{**QUICK, "epochs": 1, "dropout": 0.0})
    parts = settings.model_copy(update={"batch_bases": 60})
    whole, cut = (
        finetune(
            data, tmp_path / n, model=small_model(), settings=s, device="cpu"
        ).model.state_dict()
        for n, s in (("whole", settings), ("parts", parts))
    )
    assert all(torch.allclose(whole[k], cut[k], atol=2e-4) for k in whole)


def test_shuffled_labels_give_chance(tmp_path):
    data = gc_data(train=64, dev=16, test=200)
    random = np.random.default_rng(9)
    splits = {k: relabelled(v, random.permutation(v.labels)) for k, v in data.splits.items()}
    done = finetune(
        LabelledData(splits, "binary", data.classes),
        tmp_path / "run",
        model=small_model(),
        settings=FinetuneSettings(**QUICK),
        device="cpu",
    )
    found = done.metrics["metrics"]["auroc"]
    assert found["low"] < 0.5 < found["high"]


@pytest.mark.parametrize("train", ["full", "last", "head"])
def test_only_what_is_named_is_trained(tmp_path, train):
    start = small_model()
    settings = FinetuneSettings(**{**QUICK, "epochs": 1, "train": train, "last_layers": 1})
    data = gc_data(train=16, dev=8, test=8)
    done = finetune(data, tmp_path / "run", model=start, settings=settings, device="cpu")
    before, after = start.state_dict(), done.model.state_dict()
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    expected = {
        "full": {"embedding", "summary", "layers.0", "layers.1", "layers.2", "norm"},
        "last": {"layers.2", "norm"},
        "head": set(),
    }[train]
    encoder = {k.removeprefix("encoder.") for k in moved}
    assert {e for e in expected if any(k.startswith(e) for k in encoder)} == expected
    assert all(any(k.startswith(e) for e in expected) for k in encoder)
    assert len(trained_parts(done.model, settings)) == {"full": 1, "last": 2, "head": 0}[train]


# ---------------------------------------------------------------- strand, threshold, weights


def test_auto_finds_that_labels_have_a_strand_and_predict_obeys(tmp_path):
    splits = {
        "train": stranded_data(160, 0),
        "dev": stranded_data(40, 1),
        "test": stranded_data(60, 2),
    }
    data = LabelledData(splits, "binary", ("0", "1"))
    settings = FinetuneSettings(**{**QUICK, "strand": "auto", "epochs": 6})
    done = finetune(data, tmp_path / "run", model=small_model(), settings=settings, device="cpu")
    assert done.metrics["chosen"]["strand"] == "forward"
    assert done.metrics["metrics"]["accuracy"]["value"] > 0.8
    record = Record("x", splits["test"].codes[0])
    turned = Record("y", reverse_complement(splits["test"].codes[0]))
    table = predict([record, turned], tmp_path / "run", device="cpu").table
    assert abs(table["p_1"][0] - table["p_1"][1]) > 0.1
    both = predict([record, turned], tmp_path / "run", device="cpu", strand="both").table
    assert both["p_1"][0] == pytest.approx(both["p_1"][1], abs=1e-5)


def test_balanced_weights_move_the_answers_towards_the_rare_class(tmp_path):
    train = gc_split(400, 0, noise=0.2)
    keep = (train.labels == 0) | (np.arange(400) % 6 == 0)
    data = LabelledData(
        {"train": train.where(keep), "dev": gc_split(16, 1), "test": gc_split(40, 2)},
        "binary",
        ("a", "b"),
    )
    means = {}
    for how in ("none", "balanced"):
        settings = FinetuneSettings(
            **{**QUICK, "epochs": 2, "learning_rate": 1e-3, "class_weights": how}
        )
        finetune(data, tmp_path / how, model=small_model(), settings=settings, device="cpu")
        means[how] = pd.read_csv(tmp_path / how / "predictions.tsv", sep="\t")["p_b"].mean()
    assert means["balanced"] > means["none"] + 0.05


# ---------------------------------------------------------------- other kinds of task


def test_regression(tmp_path):
    def split(n, seed):
        rows = gc_split(n, seed, low=30, high=30)
        share = np.array([[10 + 100 * np.isin(c, (1, 2)).mean()] for c in rows.codes])
        return relabelled(rows, share)

    data = LabelledData(
        {"train": split(96, 0), "dev": split(24, 1), "test": split(24, 2)}, "regression", ("gc",)
    )
    done = finetune(
        data,
        tmp_path / "run",
        model=small_model(),
        settings=FinetuneSettings(**QUICK),
        device="cpu",
    )
    assert done.metrics["metrics"]["r2"]["value"] > 0.7
    assert set(done.metrics["metrics"]) == {"r2", "pearson", "spearman"}
    table = pd.read_csv(tmp_path / "run" / "predictions.tsv", sep="\t")
    assert list(table.columns) == ["id", "row", "length", "label", "prediction"]
    assert table["prediction"].between(0, 130).all()
    assert not (tmp_path / "run" / "confusion.tsv").exists()


def test_multilabel_and_multiclass(tmp_path):
    rows = {
        name: gc_split(n, seed)
        for name, n, seed in (("train", 96, 0), ("dev", 24, 1), ("test", 24, 2))
    }
    long = {k: np.array([len(c) > 30 for c in v.codes]) for k, v in rows.items()}
    tags = {k: relabelled(v, np.stack([v.labels, 1 - v.labels], 1)) for k, v in rows.items()}
    settings = FinetuneSettings(**QUICK)
    multi = finetune(
        LabelledData(tags, "multilabel", ("gc", "at")),
        tmp_path / "tags",
        model=small_model(),
        settings=settings,
        device="cpu",
    )
    assert multi.metrics["metrics"]["mcc_macro"]["value"] > 0.7
    three = {
        k: relabelled(v, np.where(v.labels == 1, 2, long[k].astype(int))) for k, v in rows.items()
    }
    many = finetune(
        LabelledData(three, "multiclass", ("x", "y", "z")),
        tmp_path / "many",
        model=small_model(),
        settings=settings,
        device="cpu",
    )
    table = pd.read_csv(tmp_path / "many" / "predictions.tsv", sep="\t")
    assert np.allclose(table[["p_x", "p_y", "p_z"]].sum(axis=1), 1, atol=1e-5)
    assert many.metrics["metrics"]["macro_f1"]["value"] > 0.4


# ---------------------------------------------------------------- without a test split


def test_one_file_is_judged_by_cross_validation_and_refitted(tmp_path, caplog):
    caplog.set_level("INFO", "findna")
    data = gc_data(train=60, dev=0, test=0)
    settings = FinetuneSettings(**{**QUICK, "folds": 3, "repeats": 2})
    done = finetune(data, tmp_path / "run", model=small_model(), settings=settings, device="cpu")
    assert "3-fold cross-validation repeated 2 times" in done.metrics["protocol"]
    assert done.metrics["metrics"]["accuracy"]["value"] > 0.8
    assert done.metrics["permutation_p_values"]["mcc"] == pytest.approx(1 / 1001)
    table = pd.read_csv(tmp_path / "run" / "predictions.tsv", sep="\t")
    assert table["row"].tolist() == [*range(1, 61), *range(1, 61)]
    assert set(table["fold"]) == {1, 2, 3} and table["repeat"].tolist() == [1] * 60 + [2] * 60
    stages = [row["stage"] for row in read_json_lines(tmp_path / "run" / "metrics.jsonl")]
    # In each fold three parts choose in turn, and then all of its rows teach.
    assert stages.count("fold") == 6 * (3 + 1) * 4
    assert stages.count("all rows") == done.metrics["chosen"]["epoch"]
    # Figures of validation stand where a choice is told, and nowhere as a result.
    told = [m for m in caplog.messages if "validation" in m.replace("cross-validation", "")]
    assert len(told) == 1 and told[0].startswith("chosen: full")
    assert load_model(tmp_path / "run").provenance["metrics"]["mcc"]["value"] is not None


def test_labels_of_chance_are_not_significant_in_cross_validation(tmp_path):
    data = gc_data(train=60, dev=0, test=0)
    train = data.splits["train"]
    shuffled = relabelled(train, np.random.default_rng(3).permutation(train.labels))
    settings = FinetuneSettings(**{**QUICK, "folds": 3, "repeats": 1})
    done = finetune(
        LabelledData({"train": shuffled}, "binary", data.classes), tmp_path / "run",
        model=small_model(), settings=settings, device="cpu",
    )  # fmt: skip
    assert done.metrics["permutation_p_values"]["mcc"] > 0.05


def test_groups_and_copies_never_straddle_a_fold(tmp_path):
    base = gc_split(24, 0, low=40, high=40)
    doubled = base.and_then(relabelled(base, base.labels))
    groups = np.tile(np.arange(24) // 2, 2)
    split = LabelledSplit(
        [str(i) for i in range(48)], doubled.codes, doubled.labels, np.arange(1, 49), groups
    )
    settings = FinetuneSettings(**{**QUICK, "epochs": 1, "folds": 3, "repeats": 1})
    finetune(
        LabelledData({"train": split}, "binary", ("a", "b")), tmp_path / "run",
        model=small_model(), settings=settings, device="cpu",
    )  # fmt: skip
    table = pd.read_csv(tmp_path / "run" / "predictions.tsv", sep="\t")
    folds = table["fold"].to_numpy()
    assert all(len(set(folds[groups == g])) == 1 for g in range(12))


def test_a_label_of_one_row_is_no_obstacle_to_folds(tmp_path):
    """Held rows without it have no ranking: JSON has no −inf."""
    rows = gc_split(24, 0, low=40, high=40)
    tags = np.stack([rows.labels, 1 - rows.labels, np.arange(24) == 5], 1).astype(np.int64)
    data = LabelledData({"train": relabelled(rows, tags)}, "multilabel", ("a", "b", "c"))
    settings = FinetuneSettings(**{**QUICK, "train": "probe", "folds": 3, "repeats": 1})
    done = finetune(
        data, tmp_path / "run", model=small_model(), settings=settings, device="cpu"
    ).metrics
    assert done["metrics"]["accuracy_macro"]["value"] > 0.7
    fold, answers = Fold(0, 0, np.ones(24, np.bool_)), np.zeros((24, 3))
    tried = Tried(Choice("probe", "both", 0), -np.inf, 0.5, 1)
    kept = KeptFolds(tmp_path / "other")
    kept.keep(fold, FoldAnswer(tried.choice, 0.5, (tried,), answers, answers))
    found = kept.found(fold)
    assert found is not None and found.tried == (tried,)


def test_the_final_threshold_is_that_of_folds_which_train_the_same():
    answers = np.zeros((1, 1))
    folds = [
        FoldAnswer(Choice(train, "both", 0), threshold, (), answers, answers)
        for train, threshold in [("full", 0.9), ("probe", 0.2), ("probe", 0.3), ("probe", 0.7)]
    ]
    assert usual_threshold(folds, Choice("probe", "forward", 0)) == 0.3
    assert usual_threshold(folds, Choice("full", "both", 4)) == 0.9


def test_a_cross_validated_model_answers_by_the_usual_threshold_of_its_folds(tmp_path, monkeypatch):
    asked = []

    def spied(folds, choice):
        asked.append((len(folds), choice.train))
        return 0.437

    monkeypatch.setattr("findna.training.finetune.usual_threshold", spied)
    data = LabelledData({"train": gc_split(24, 0, low=40, high=40)}, "binary", ("a", "b"))
    settings = FinetuneSettings(**{**QUICK, "train": "probe", "folds": 3, "repeats": 1})
    done = finetune(data, tmp_path / "run", model=small_model(), settings=settings, device="cpu")
    assert asked == [(3, "probe")]
    assert done.metrics["chosen"]["threshold"] == pytest.approx(0.437)


@pytest.mark.parametrize("damaged", ["1-1.json", "1-1.npz"])
@pytest.mark.parametrize("cut", [None, 0, 40])
def test_a_damaged_fold_is_told(tmp_path, damaged, cut):
    fold, answers = Fold(0, 0, np.ones(24, np.bool_)), np.zeros((24, 3))
    choice = Choice("probe", "both", 0)
    kept = KeptFolds(tmp_path)
    kept.keep(fold, FoldAnswer(choice, 0.5, (Tried(choice, 0.9, 0.5, 1),), answers, answers))
    file = kept.folder / damaged
    if cut is not None:
        file.write_bytes(file.read_bytes()[:cut])
    elif damaged.endswith("json"):
        file.write_text("{}")
    else:
        file.unlink()
    with pytest.raises(BadInput, match=r"1-1.json: this fold is damaged(.|\n)*delete it and 1-1"):
        kept.found(fold)


def test_rows_of_dev_that_join_are_told_from_those_of_train(tmp_path):
    data = gc_data(train=24, dev=12, test=0)
    named = {
        name: replace(rows, ids=[str(i) for i in range(len(rows))])
        for name, rows in data.splits.items()
    }
    settings = FinetuneSettings(**{**QUICK, "train": "probe", "folds": 2, "repeats": 1})
    finetune(
        replace(data, splits={k: v for k, v in named.items() if len(v)}), tmp_path / "run",
        model=small_model(), settings=settings, device="cpu",
    )  # fmt: skip
    ids = pd.read_csv(tmp_path / "run" / "predictions.tsv", sep="\t")["id"]
    assert ids.is_unique and set(ids) >= {"train:0", "dev:0", "dev:11"}


@pytest.mark.parametrize("train", ["full", "probe"])
def test_a_cross_validation_that_was_stopped_goes_on_as_one_run(tmp_path, monkeypatch, train):
    settings = FinetuneSettings(**{**QUICK, "train": train, "epochs": 1, "folds": 3, "repeats": 1})
    rows, start = gc_data(train=36, dev=0, test=0).splits["train"], small_model()

    def tuned(name, rows=rows, **how):
        data = LabelledData({"train": rows}, "binary", ("a", "b"))
        finetune(data, tmp_path / name, model=start, settings=settings, device="cpu", **how)
        return tmp_path / name

    whole = tuned("whole")
    learn, asked = Learner.learn, []

    def stopped(self, *args, **stage):
        asked.append(stage["fold"])
        if len(asked) == 3:
            raise KeyboardInterrupt
        return learn(self, *args, **stage)

    monkeypatch.setattr(Learner, "learn", stopped)
    with pytest.raises(KeyboardInterrupt):
        tuned("cut")
    with pytest.raises(BadInput, match="--resume continues it"):
        tuned("cut")
    with pytest.raises(BadInput, match="settings differ from those of the run: digests"):
        tuned("cut", rows.where(np.arange(36) > 1), resume=True)
    cut = tuned("cut", resume=True)
    assert asked == [1, 2, 3, 3]
    for name in ("metrics.json", "predictions.tsv", "confusion.tsv"):
        assert (cut / name).read_text() == (whole / name).read_text()
    lines = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in read_json_lines(run / METRICS)]
        for run in (cut, whole)
    ]
    assert lines[0] == lines[1]
    weights = [load_model(run).state_dict() for run in (cut, whole)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])


def test_a_run_that_goes_on_computes_in_the_precision_it_began_with(tmp_path, monkeypatch):
    rows, start = gc_data(train=36, dev=0, test=0).splits["train"], small_model()
    given = {**QUICK, "train": "probe", "folds": 3, "repeats": 1, "precision": "auto"}
    data = LabelledData({"train": rows}, "binary", ("a", "b"))
    for found, how in (("bf16", {}), ("fp32", {"resume": True})):
        monkeypatch.setattr(
            finetuning,
            "resolve_precision",
            lambda asked, _, f=found: f if asked == "auto" else asked,
        )
        done = finetune(
            data,
            tmp_path / "run",
            model=start,
            settings=FinetuneSettings(**given),
            device="cpu",
            **how,
        )
        assert done.metrics["chosen"]["precision"] == "bf16"


def test_nothing_is_resumed_where_no_fold_is_finished(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "settings.yaml").write_text("verb: finetune\n")
    with pytest.raises(BadInput, match="no checkpoint to resume from"):
        finetune(gc_data(), tmp_path / "run", model=small_model(), device="cpu", resume=True)


def test_without_folds_nothing_is_claimed(tmp_path):
    settings = FinetuneSettings(**{**QUICK, "epochs": 1, "folds": 0})
    done = finetune(
        gc_data(train=30, dev=0, test=0),
        tmp_path / "run",
        model=small_model(),
        settings=settings,
        device="cpu",
    )
    assert done.metrics["metrics"] == {} and done.metrics["protocol"].startswith("not judged")
    page = write_report(done.folder).read_text()
    assert done.metrics["intervals"] is None and "bootstrap" not in page
    assert "How it was trained" in page and "How it was tested" not in page
    assert not (tmp_path / "run" / "predictions.tsv").exists()


# ---------------------------------------------------------------- refusals


def test_a_loss_that_is_not_finite_stops_and_keeps_the_best_weights(tmp_path, monkeypatch):
    original, steps = fitting.row_losses, []

    def broken(logits, targets, kind):
        steps.append(1)
        return original(logits, targets, kind) * (float("nan") if len(steps) > 20 else 1.0)

    monkeypatch.setattr(fitting, "row_losses", broken)
    with pytest.raises(NonFiniteLoss, match="not finite in epoch"):
        finetune(
            gc_data(train=64, dev=8, test=8), tmp_path / "run", model=small_model(),
            settings=FinetuneSettings(**QUICK), device="cpu",
        )  # fmt: skip
    kept = load_model(tmp_path / "run" / "checkpoints" / "last-good")
    assert all(torch.isfinite(p).all() for p in kept.parameters())
    assert (
        not (tmp_path / "run" / "model").exists()
        and not (tmp_path / "run" / "metrics.json").exists()
    )


def test_a_last_step_that_breaks_the_network_is_noticed_without_validation_rows():
    data = gc_data(train=8, dev=0, test=0)
    task, rows = TaskConfig(kind="binary", classes=data.classes), data.splits["train"]
    settings = FinetuneSettings(**{**QUICK, "epochs": 1, "warmup": 0, "learning_rate": 1e30})
    begun = begin(small_model(), task, rows, None, settings, precision="fp32")
    with pytest.raises(NonFiniteLoss, match="not finite in epoch 1"):
        fitting.fit(begun, rows, None, settings, precision="fp32", note=lambda **_: None)


def test_an_existing_run_is_kept_unless_told_otherwise(tmp_path):
    data = gc_data(train=16, dev=8, test=8)
    settings = FinetuneSettings(**{**QUICK, "epochs": 1})
    how = {"model": small_model(), "settings": settings, "device": "cpu"}
    finetune(data, tmp_path / "run", **how)
    before = (tmp_path / "run" / "metrics.json").read_bytes()
    with pytest.raises(BadInput, match="exists"):
        finetune(data, tmp_path / "run", **how)
    assert (tmp_path / "run" / "metrics.json").read_bytes() == before
    finetune(data, tmp_path / "run", overwrite=True, **how)


def test_wrong_input_makes_no_folder(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("sequence,label\nACGT,1\nACGT,1\n")
    with pytest.raises(BadInput, match="the same class"):
        finetune(file, tmp_path / "run", model=small_model(), device="cpu")
    with pytest.raises(BadInput, match=r"no config\.json"):
        finetune(gc_data(), tmp_path / "run", model=tmp_path, device="cpu")
    balanced = FinetuneSettings(class_weights="balanced")
    values = relabelled(gc_split(8, 0), np.arange(8.0)[:, None])
    with pytest.raises(BadInput, match="no classes to balance"):
        finetune(
            LabelledData({"train": values}, "regression", ("y",)), tmp_path / "run",
            model=small_model(), settings=balanced, device="cpu",
        )  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_lengths_outside_the_pretrained_range_are_said(tmp_path, caplog):
    start = small_model()
    start.provenance = {"trained_lengths": [64, 512]}
    settings = FinetuneSettings(**{**QUICK, "epochs": 1})
    finetune(
        gc_data(train=16, dev=8, test=8),
        tmp_path / "run",
        model=start,
        settings=settings,
        device="cpu",
    )
    assert "is outside the 64 to 512 bp" in caplog.text


def test_from_a_csv_folder_with_a_preset(tmp_path):
    for name, split in gc_data(train=16, dev=8, test=8).splits.items():
        rows = "".join(
            f"{''.join('ACGT'[c] for c in code)},{y}\n"
            for code, y in zip(split.codes, split.labels, strict=True)
        )
        (tmp_path / f"{name}.csv").write_text("sequence,label\n" + rows)
    settings = FinetuneSettings(**{**QUICK, "epochs": 1})
    done = finetune(tmp_path, tmp_path / "run", model="tiny", settings=settings, device="cpu")
    assert done.metrics["rows"]["test"] == 8
    assert read_labelled(tmp_path).classes == done.model.config.task.classes == ("0", "1")


def test_without_a_model_it_starts_from_the_one_that_comes_with_findna(tmp_path):
    settings = {"train": "probe", "pooling": ("mean",), "strand": "forward"}
    rows = gc_data(train=16, dev=8, test=8)
    done = finetune(rows, tmp_path / "run", settings=settings, device="cpu")
    assert yaml.safe_load((tmp_path / "run/settings.yaml").read_text())["model"] == DEFAULT
    shipped = load_model(DEFAULT)
    assert done.model.provenance["started_from"] == shipped.provenance
    assert torch.equal(done.model.encoder.norm.weight, shipped.encoder.norm.weight)


def test_losses_by_hand():
    binary = row_losses(torch.zeros(2, 1), torch.tensor([[0.0], [1.0]]), "binary")
    assert binary.tolist() == pytest.approx([np.log(2)] * 2)
    many = row_losses(torch.zeros(1, 4), torch.tensor([2]), "multiclass")
    assert many.tolist() == pytest.approx([np.log(4)])
    values = row_losses(torch.tensor([[1.0, 3.0]]), torch.tensor([[0.0, 0.0]]), "regression")
    assert values.tolist() == pytest.approx([5.0])


def test_a_task_config_is_made_of_training_rows_only():
    train = relabelled(gc_split(4, 0), np.array([[1.0], [3.0], [1.0], [3.0]]))
    far = relabelled(gc_split(2, 1), np.array([[100.0], [200.0]]))
    data = LabelledData({"train": train, "dev": far}, "regression", ("y",))
    task = task_for(data, train, "both", FinetuneSettings())
    assert isinstance(task, TaskConfig)
    assert (task.target_mean, task.target_sd) == ((2.0,), (1.0,))


@pytest.mark.parametrize(
    ("weights", "prevalence"), [("none", (4 / 6, 2 / 6)), ("balanced", (0.5, 0.5))]
)
def test_before_calibration_classes_are_as_common_as_training_made_them(weights, prevalence):
    train = relabelled(gc_split(4, 0), np.array([0, 0, 0, 1]))
    data = LabelledData({"train": train}, "binary", ("no", "yes"))
    task = task_for(data, train, "both", FinetuneSettings(class_weights=weights))
    assert task.prevalence == pytest.approx(prevalence)


def test_dev_rows_choose_where_nothing_judges(tmp_path):
    data = gc_data(train=40, dev=20, test=0)
    how = FinetuneSettings(**QUICK, folds=0)
    found = finetune(data, tmp_path / "run", model=small_model(), settings=how, device="cpu")
    assert found.metrics["rows"] == {"train": 40, "validation": 20}


def test_one_fold_is_refused():
    with pytest.raises(BadInput, match="one fold leaves no row to train on"):
        FinetuneSettings.parse({"folds": 1}, source="here")


def test_padding_counts_as_bases(monkeypatch, tmp_path):
    long = np.zeros(4000, np.uint8)
    rows = gc_split(31, 0)
    data = LabelledSplit([*rows.ids, "long"], [*rows.codes, long],
                         np.append(rows.labels, 1), np.arange(1, 33))  # fmt: skip
    how = FinetuneSettings(**{**QUICK, "batch_rows": 32}, batch_bases=8192, begin="zeros",
                           pooling=("mean",))  # fmt: skip
    task = task_for(LabelledData({"train": data}, "binary", ("a", "b")), data, "forward", how)
    begun = begin(small_model(), task, data, None, how, precision="fp32")
    parts = fitting._Training(begun, task, data, how, "fp32")._parts(np.arange(32))
    assert sorted(np.concatenate(parts)) == list(range(32))
    assert all(len(p) * data.lengths[p].max() <= 8192 for p in parts)


def test_a_place_that_is_taken_is_told_before_anything_is_read(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    for work in (finetune, pretrain):
        with pytest.raises(BadInput, match="was not written by findna"):
            work(tmp_path / "nothing.csv", tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ("probe", "none, only probes"),
        ("full", "at most 13 of 1 epochs each; fewer with a test split"),
    ],
)
def test_how_much_training_is_ahead_is_said(tmp_path, caplog, train, said):
    """Three folds of four trainings (three parts, and what they chose), and the last one."""
    caplog.set_level("INFO")
    settings = FinetuneSettings(**{**QUICK, "train": train, "epochs": 1, "folds": 3})
    finetune(gc_data(train=60, test=0), tmp_path / "run", model=small_model(), settings=settings)
    assert f"training runs: {said}" in caplog.text
