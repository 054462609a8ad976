"""What is trained is chosen on rows that do not teach, and no class is shut out."""

import json

import numpy as np
import pytest
import torch
from labelled_rows import gc_data, gc_split, relabelled, small_model, stranded_data

from findna.data.labelled import LabelledData
from findna.files import read_json_lines
from findna.inference import precision
from findna.inference.answers import scores_of
from findna.metrics import Answers, value
from findna.model.loading import load_model
from findna.training import learning
from findna.training.beginning import begin
from findna.training.choices import (
    Candidate,
    Choice,
    HeldAnswers,
    Tried,
    figures,
    in_words,
    most_chosen,
)
from findna.training.finetune import FinetuneSettings, finetune
from findna.training.fit import logits_of
from findna.training.learning import (
    FEW_ROWS,
    MANY_ROWS,
    Learner,
    batch_rows,
    trainings,
)
from findna.training.probe import FrozenRows
from findna.training.tasks import task_of

AUTO = {"epochs": 4, "batch_rows": 8, "learning_rate": 3e-3, "strand": "both", "precision": "fp32"}


def learner_for(data, notes=None, **how):
    notes = [] if notes is None else notes
    return Learner(
        small_model(), data, FinetuneSettings(**{**AUTO, **how}), device=torch.device("cpu"),
        precision="fp32", note=lambda bases, **numbers: notes.append(numbers),
    )  # fmt: skip


def alone(rows):
    return np.arange(len(rows))


# ---------------------------------------------------------------- what is tried


@pytest.mark.parametrize(
    ("train", "strand", "rows", "given", "runs"),
    [
        ("auto", "both", 100, False, 2 + 3),  # both networks on a part, one on two more, all rows
        ("auto", "auto", 100, False, 2 + 3),
        ("auto", "auto", FEW_ROWS, False, 2),
        ("auto", "auto", 100, True, 2),
        ("auto", "auto", MANY_ROWS, False, 1),
        ("full", "auto", MANY_ROWS, True, 1),
        ("full", "both", 100, False, 1 + 3),
        ("probe", "auto", 100, False, 0),
    ],
)
def test_the_number_of_training_runs(train, strand, rows, given, runs):
    assert trainings(rows, given, FinetuneSettings(train=train, strand=strand)) == runs


@pytest.mark.parametrize(
    ("kind", "said"),
    [("binary", "auroc 0.750, loss 0.5"), ("regression", "r2 0.750, squared error 0.5")],
)
def test_figures_of_a_choice_are_told(kind, said):
    tried = [
        Tried(Choice("full", "both"), 0.75, 0.5, 1),
        Tried(Choice("last", "both"), np.nan, 2.0, 1),
    ]
    told = in_words(tried[0].choice, tried, kind)
    assert told.startswith(f"chosen: full, strand both; validation: full (both) {said};")
    assert "last (both)" in told and "undefined" in told


@pytest.mark.parametrize("strand", ["both", "auto"])
def test_with_many_rows_a_choice_costs_at_most_twice_a_full_fit(strand):
    """Of the last two of six layers a step costs less than one of everything."""
    for rows in (FEW_ROWS, MANY_ROWS - 1, MANY_ROWS, 100_000):
        auto, full = (
            trainings(rows, False, FinetuneSettings(train=train, strand=strand))
            for train in ("auto", "full")
        )
        assert auto <= 2 * full
        assert rows < MANY_ROWS or auto == full


def test_with_many_rows_only_everything_is_trained(monkeypatch):
    monkeypatch.setattr(learning, "FEW_ROWS", 10)
    monkeypatch.setattr(learning, "MANY_ROWS", 64)
    for rows, expected in ((63, {"probe", "last", "full"}), (64, {"full"})):
        data = gc_data(train=rows, dev=0, test=0)
        learned = learner_for(data, epochs=1).learn(data.splits["train"], alone(range(rows)))
        assert {one.choice.train for one in learned.tried} == expected


def test_steps_are_enough_where_rows_are_few():
    settings = FinetuneSettings()
    assert batch_rows(100, settings) == 8 and batch_rows(320, settings) == 16
    assert batch_rows(640, settings) == 32 == batch_rows(100_000, settings)
    for given in (4, 64):
        assert batch_rows(100, FinetuneSettings(batch_rows=given)) == given


def test_what_is_named_is_read_by_the_probe_too():
    data = gc_data(train=60, dev=0, test=0)
    rows = data.splits["train"]
    named = learner_for(data, train="probe", pooling=("max",)).learn(rows, alone(range(60)))
    assert {one.choice.parts for one in named.tried} == {("max",)}


def test_rows_of_many_labels_choose_too():
    random = np.random.default_rng(0)
    rows = gc_split(120, 0)
    labels = random.integers(0, 2, (120, 20)).astype(np.float64)
    data = LabelledData(
        {"train": relabelled(rows, labels)}, "multilabel", tuple("abcdefghijklmnopqrst")
    )
    learned = learner_for(data, train="probe").learn(data.splits["train"], alone(range(120)))
    assert learned.chosen_by == "validation_in_turn" and len(learned.held.labels) > 100


# ---------------------------------------------------------------- which rows choose


def test_parts_that_choose_in_turn_are_whole_groups_and_every_row_chooses_once():
    data = gc_data(train=60, dev=0, test=0)
    groups = np.arange(60) // 4
    rounds = learner_for(data)._rounds(data.splits["train"], groups, None)
    assert rounds.in_turn and len(rounds.held) == 3
    assert (np.sum(rounds.held, axis=0) == 1).all() and rounds.teaching.all()
    assert all(not set(groups[held]) & set(groups[~held]) for held in rounds.held)


def test_a_class_of_a_single_group_always_teaches():
    labels = np.append(np.arange(57) % 2, [2, 2, 2])
    rows = relabelled(gc_split(60, 0), labels)
    data = LabelledData({"train": rows}, "multiclass", ("a", "b", "c"))
    groups = np.minimum(np.arange(60), 57)
    rounds = learner_for(data)._rounds(rows, groups, None)
    assert np.sum(rounds.held, axis=0).tolist() == [1] * 57 + [0] * 3


def test_a_group_with_all_of_a_class_is_not_torn_by_the_parts():
    """Near-duplicates of rows that choose would teach."""
    groups = np.repeat(np.arange(10), 6)
    rows = relabelled(gc_split(60, 0), np.where(groups == 4, np.arange(60) % 2, 0))
    data = LabelledData({"train": rows}, "binary", ("a", "b"))
    rounds = learner_for(data)._rounds(rows, groups, None)
    assert all(not set(groups[held]) & set(groups[~held]) for held in rounds.held)
    assert np.array_equal(np.sum(rounds.held, axis=0), groups != 4)


def test_of_more_rows_a_share_in_whole_groups_chooses_and_the_rest_teaches(monkeypatch):
    monkeypatch.setattr(learning, "FEW_ROWS", 50)
    data = gc_data(train=60, dev=0, test=0)
    groups = np.arange(60) // 4
    rounds = learner_for(data, validation_fraction=0.25)._rounds(data.splits["train"], groups, None)
    (held,) = rounds.held
    assert not rounds.in_turn and 12 <= held.sum() <= 20
    assert not set(groups[held]) & set(groups[~held])
    assert (rounds.teaching == ~held).all()


def test_networks_begin_with_rows_that_know_their_groups(monkeypatch):
    seen = []

    def begins(start, task, train, *given, **how):
        seen.append(train)
        return begin(start, task, train, *given, **how)

    monkeypatch.setattr(learning, "begin", begins)
    data = gc_data(train=60, dev=0, test=0)
    rows, groups = data.splits["train"], np.random.default_rng(0).permutation(60) // 4
    known = dict(zip(rows.ids, groups.tolist(), strict=True))
    learner_for(data, train="full", epochs=1).learn(rows, groups)
    assert [len(train) for train in seen] == [40, 40, 40, 60]
    for train in seen:
        assert train.groups.tolist() == [known[id] for id in train.ids]


def test_a_probe_is_told_values_by_the_rows_that_teach_it(monkeypatch):
    values = np.arange(60.0)[:, None] ** 2
    rows = relabelled(gc_split(60, 0), values)
    data = LabelledData({"train": rows}, "regression", ("height",))
    seen, choose = [], FrozenRows.choose

    def spy(self, held, strands, tasks):
        seen.extend(zip(held, tasks, strict=True))
        return choose(self, held, strands, tasks)

    monkeypatch.setattr(FrozenRows, "choose", spy)
    learner_for(data, train="probe").learn(rows, alone(rows))
    assert len(seen) == 3
    for held, task in seen:
        assert task.target_mean == (pytest.approx(values[~held].mean()),)
        assert task.target_sd == (pytest.approx(values[~held].std()),)


@pytest.fixture(scope="module")
def few():
    data = gc_data(train=60, dev=0, test=40)
    notes = []
    learned = learner_for(data, notes, strand="auto").learn(
        data.splits["train"], alone(range(60)), stage="fit"
    )
    return data, learned, notes


def test_few_rows_choose_in_turn_and_then_all_teach(few):
    data, learned, notes = few
    assert learned.taught == 60 and learned.chosen_by == "validation_in_turn"
    assert sorted(map(tuple, learned.held.labels.reshape(-1, 1))) == sorted(
        map(tuple, data.splits["train"].labels.reshape(-1, 1))
    )
    by_part = {}
    for note in notes:
        if "epoch" in note:
            by_part.setdefault(note.get("part"), set()).add((note["train"], note["strand"]))
    assert len(by_part[1]) == 2 and {train for train, _ in by_part[1]} == {"full", "last"}
    winner = by_part[2]
    assert len(winner) == 1 and by_part[3] == winner <= by_part[1]
    assert all("validation_mcc" not in note for note in notes)


def test_the_winner_is_the_best_of_those_that_answered_all_parts(few):
    _, learned, _ = few
    answers = [one for one in learned.tried if len(one.answers) == 3]
    assert len(answers) == 2
    best = max(answers, key=lambda one: (one.ranking, -one.loss))
    assert best.choice == learned.choice
    for one in answers:
        each = [
            value("auroc", Answers("binary", ("a", "b"), h.labels, h.scores)) for h in one.answers
        ]
        assert one.ranking == pytest.approx(np.mean(each))


def test_given_validation_rows_choose_and_never_teach():
    data = gc_data(train=48, dev=24, test=0)
    train, dev = data.splits["train"], data.splits["dev"]
    turned = relabelled(dev, 1 - dev.labels)
    one, other = (
        learner_for(data, train="probe", epochs=1).learn(train, alone(train), valid)
        for valid in (dev, turned)
    )
    assert one.taught == 48 and one.chosen_by == "validation"
    both = learner_for(data).learn(train, alone(train), dev)
    probe = next(c for c in both.tried if c.choice.train == "probe")
    assert probe.choice == one.choice and probe.loss == one.tried[0].loss
    assert other.tried[0].loss > one.tried[0].loss


@pytest.mark.parametrize("wins", ["probe", "last", "full"])
def test_what_wins_is_what_is_kept(monkeypatch, wins):
    """Validation figures are set: the model that comes back is the one that was said to win."""
    data = gc_data(train=40, dev=16, test=0)
    original = Learner._candidate

    def favoured(self, choice, answers):
        return learning.replace(
            original(self, choice, answers), ranking=1.0 if choice.train == wins else 0.1
        )

    monkeypatch.setattr(Learner, "_candidate", favoured)
    start = small_model()
    learner = learner_for(data, epochs=1)
    learned = learner.learn(data.splits["train"], alone(range(40)), data.splits["dev"])
    assert learned.choice.train == wins
    before, after = start.state_dict(), learned.model.state_dict()
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    assert bool(moved) == (wins != "probe")
    assert any(k.startswith("encoder.layers.0") for k in moved) == (wins == "full")


def test_one_row_teaches_what_is_named():
    row = gc_split(1, 0)
    learned = learner_for(gc_data(), train="full", epochs=1).learn(row, alone(row))
    assert (learned.choice.train, learned.taught, len(learned.held.labels)) == ("full", 1, 0)


def test_rows_that_are_all_alike_teach_without_a_choice(caplog):
    data = gc_data(train=16, dev=0, test=0)
    learned = learner_for(data).learn(data.splits["train"], np.zeros(16, np.int64))
    assert learned.choice.train == "probe" and learned.tried == ()
    assert "too similar to hold any out" in caplog.text
    named = learner_for(data, train="head").learn(data.splits["train"], np.zeros(16, np.int64))
    assert named.choice.train == "head"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("train", ["auto", "full", "probe"])
def test_labels_of_chance_do_not_end_in_one_class(train, seed):
    """Nothing can be learned, so that a threshold has nothing to go by: both classes stay."""
    rows = gc_split(40, seed)
    data = LabelledData(
        {"train": relabelled(rows, np.random.default_rng(seed).permutation(rows.labels))},
        "binary",
        ("a", "b"),
    )
    learned = learner_for(data, train=train, epochs=2, seed=seed).learn(
        data.splits["train"], alone(rows)
    )
    new = gc_split(100, 50 + seed)
    scores = scores_of(logits_of(learned.model, new, "fp32"), task_of(learned.model))
    share = (scores[:, 1] >= task_of(learned.model).threshold).mean()
    assert 0.02 < share < 0.98


# ---------------------------------------------------------------- the whole verb


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("auto") / "run"
    data = gc_data(train=60, dev=0, test=40)
    return finetune(
        data, folder, model=small_model(), settings=FinetuneSettings(**AUTO), device="cpu"
    )


def test_the_default_learns_and_says_what_it_chose(run):
    assert FinetuneSettings().train == "auto"
    found = json.loads((run.folder / "metrics.json").read_text())
    assert found["metrics"]["accuracy"]["value"] >= 0.9
    assert found["rows"] == {
        "train": 60, "validation_in_turn": 60, "test": 40, "test_also_in_train": 0,
    }  # fmt: skip
    assert {one["train"] for one in found["tried"]} == {"probe", "last", "full"}
    assert all(0.5 < one["auroc"] <= 1 and one["loss"] > 0 for one in found["tried"])
    assert found["chosen"]["train"] in {"probe", "last", "full"}
    past = load_model(run.folder).provenance
    assert past["trained"] == found["chosen"]["train"] and past["asked_to_train"] == "auto"
    assert past["tried"] == found["tried"]


def test_the_seed_repeats_the_choice_and_the_model(run, tmp_path):
    data = gc_data(train=60, dev=0, test=40)
    again = finetune(
        data, tmp_path / "run", model=small_model(), settings=FinetuneSettings(**AUTO), device="cpu"
    )
    one, two = run.model.state_dict(), again.model.state_dict()
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert again.metrics == run.metrics


def test_a_probe_run_trains_nothing_by_steps(tmp_path):
    data = gc_data(train=60, dev=0, test=40)
    settings = FinetuneSettings(**{**AUTO, "train": "probe", "strand": "auto"})
    done = finetune(data, tmp_path / "run", model=small_model(), settings=settings, device="cpu")
    assert done.metrics["chosen"]["train"] == "probe" and done.metrics["chosen"]["epoch"] == 0
    assert set(done.metrics["chosen"]) >= {"pooling", "strength", "strand", "threshold"}
    assert done.metrics["metrics"]["auroc"]["value"] > 0.9
    assert all("epoch" not in row for row in read_json_lines(tmp_path / "run" / "metrics.jsonl"))


@pytest.mark.parametrize(("train", "answers_in"), [("full", "bf16"), ("probe", "fp32")])
def test_a_run_says_which_precision_auto_was(tmp_path, monkeypatch, train, answers_in):
    monkeypatch.setattr(precision, "_cpu_prefers_bf16", lambda: True)
    data = gc_data(train=40, dev=20, test=20)
    settings = FinetuneSettings(**{**AUTO, "train": train, "precision": "auto", "epochs": 1})
    done = finetune(data, tmp_path / "run", model=small_model(), settings=settings, device="cpu")
    chosen = done.metrics["chosen"]
    assert (chosen["precision"], chosen["answers_in"]) == ("bf16", answers_in)


def test_cross_validation_delivers_what_most_folds_chose(tmp_path):
    data = gc_data(train=40, dev=0, test=0)
    settings = FinetuneSettings(**{**AUTO, "folds": 3, "repeats": 1, "epochs": 2})
    done = finetune(data, tmp_path / "run", model=small_model(), settings=settings, device="cpu")
    assert done.metrics["chosen"]["train"] in {"probe", "last", "full"}
    by_train = {one["train"]: one["parts"] for one in done.metrics["tried"]}
    assert by_train["probe"] == 9
    assert done.metrics["calibration"]["what"].startswith("skipped, fewer than 100 rows")


@pytest.mark.parametrize("kind", ["multiclass", "multilabel", "regression"])
def test_other_tasks_choose_too(tmp_path, kind):
    def labelled(n, seed):
        rows = gc_split(n, seed, low=20, high=40)
        gc = np.array([np.isin(c, (1, 2)).mean() for c in rows.codes])
        long = np.array([len(c) > 30 for c in rows.codes])
        labels = {
            "multiclass": np.where(rows.labels == 1, 2, long.astype(int)),
            "multilabel": np.stack([rows.labels, long.astype(int)], 1),
            "regression": np.stack([10 + 100 * gc], 1),
        }[kind]
        return relabelled(rows, labels)

    names = {"multiclass": "xyz", "multilabel": "xy", "regression": "x"}[kind]
    splits = {"train": labelled(60, 0), "test": labelled(24, 1)}
    done = finetune(
        LabelledData(splits, kind, tuple(names)), tmp_path / "run", model=small_model(),
        settings=FinetuneSettings(**AUTO), device="cpu",
    )  # fmt: skip
    assert {one["train"] for one in done.metrics["tried"]} == {"probe", "last", "full"}
    first = {"multiclass": "mcc", "multilabel": "mcc_macro", "regression": "r2"}[kind]
    assert done.metrics["metrics"][first]["value"] > 0.3


def test_a_strand_is_found_by_the_default(tmp_path):
    splits = {"train": stranded_data(120, 0), "test": stranded_data(60, 2)}
    settings = FinetuneSettings(**{**AUTO, "strand": "auto", "epochs": 5})
    done = finetune(
        LabelledData(splits, "binary", ("0", "1")), tmp_path / "run", model=small_model(),
        settings=settings, device="cpu",
    )  # fmt: skip
    assert done.metrics["chosen"]["strand"] == "forward"
    assert done.metrics["metrics"]["auroc"]["value"] > 0.8


# ---------------------------------------------------------------- over several choices


def test_most_chosen_by_hand():
    probe = Choice("probe", "both", 0, ("mean",), 0.1)
    choices = [
        probe, Choice("full", "both", 4), Choice("full", "forward", 8),
        Choice("full", "forward", 6), Choice("last", "both", 2),
    ]  # fmt: skip
    assert most_chosen(choices) == Choice("full", "forward", 6)
    assert most_chosen([probe, probe, choices[1]]) == probe


def test_figures_by_hand():
    answers = HeldAnswers(np.zeros((2, 1)), np.zeros((2, 2)), np.array([0, 1]))
    tried = [
        Candidate(Choice("full", "both", 4), (answers,), 0.75, 0.5),
        Candidate(Choice("full", "both", 6), (answers, answers), 0.25, 1.5),
        Candidate(Choice("last", "both", 6), (answers,), -np.inf, 0.5),
    ]
    assert figures(tried, "binary") == [
        {"train": "full", "strand": "both", "auroc": 0.5, "loss": 1.0, "parts": 3},
        {"train": "last", "strand": "both", "auroc": None, "loss": 0.5, "parts": 1},
    ]
