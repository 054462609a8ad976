"""What is said of a model: whose rows, groups and seed its numbers are, and their tables."""

import numpy as np
import pandas as pd
import pytest
from labelled_rows import gc_split, relabelled

from findna.data.labelled import LabelledData
from findna.data.splits import Fold
from findna.metrics import Answers
from findna.model.heads import TaskConfig
from findna.resampling import measure, permutation_p_value
from findna.training.judgement import PERMUTATIONS, RESAMPLES, Folded, Judgement, write_table

TASK = TaskConfig(kind="binary", classes=("at", "gc"))
LABELS = np.arange(40) // 2 % 2
ROWS = relabelled(gc_split(40, 0), LABELS)
GROUPS = np.arange(40) // 2


def said(seed, right=0.7):
    random = np.random.default_rng(seed)
    p = np.where(random.random(40) < right, LABELS, 1 - LABELS) * 0.6 + 0.2
    return Answers("binary", TASK.classes, LABELS, np.stack([1 - p, p], 1))


def test_numbers_are_those_of_its_groups_and_its_seed():
    answers, folds = [said(0, 0.6), said(1, 0.6)], [np.arange(40) % 5] * 2
    judged = Judgement("how", ROWS, answers, GROUPS, folds)
    how = {"seed": 3, "groups": GROUPS}
    assert judged.metrics(3) == measure(answers, resamples=RESAMPLES, **how)
    assert judged.metrics(3) != judged.metrics(4)
    wanted = permutation_p_value("mcc", answers, permutations=PERMUTATIONS, **how)
    assert judged.p_values(3) == {"mcc": wanted} != judged.p_values(4)
    assert Judgement("how", ROWS, answers, GROUPS).p_values(3) == {}


def test_tables_hold_every_repeat_with_its_folds_and_calibrated_scores():
    answers, folds = [said(0), said(1)], [np.arange(40) % 5, np.arange(40) // 8]
    calibrated = [np.stack([1 - p, p], 1) for p in (np.full(40, 0.25), np.full(40, 0.75))]
    table = Judgement("how", ROWS, answers, None, folds, calibrated).predictions(TASK)
    assert table["id"].tolist() == ROWS.ids * 2
    assert table["repeat"].tolist() == [1] * 40 + [2] * 40
    assert table["fold"].tolist() == [*(folds[0] + 1), *(folds[1] + 1)]
    assert table["p_gc"].tolist() == [0.25] * 40 + [0.75] * 40
    # Decisions are those of the network, whatever the probabilities are then called.
    words = [TASK.classes[k] for each in answers for k in each.predicted]
    assert table["prediction"].tolist() == words
    plain = Judgement("how", ROWS, answers, None, folds).predictions(TASK)
    assert plain["p_gc"].tolist() == [*answers[0].scores[:, 1], *answers[1].scores[:, 1]]


def test_labels_of_a_regression_are_written_as_they_were_given(tmp_path):
    given = ["123456789.123", "123456790.123", "0.1", "5", "1e-300"] * 8
    rows = relabelled(ROWS, np.array(given, np.float64)[:, None])
    task = TaskConfig(kind="regression", classes=("y",))
    scores = rows.labels + 1 / 3
    judged = Judgement("how", rows, [Answers("regression", ("y",), rows.labels, scores)], None)
    write_table(judged.predictions(task), tmp_path / "predictions.tsv")
    lines = (tmp_path / "predictions.tsv").read_text().splitlines()
    header, *cells = (line.split("\t") for line in lines)
    assert [row[header.index("label")] for row in cells] == given
    said = [float(row[header.index("prediction")]) for row in cells]
    assert said == scores[:, 0].tolist()
    shares = pd.DataFrame({"p_y": [1 / 3]})
    write_table(shares, tmp_path / "shares.tsv")
    assert (tmp_path / "shares.tsv").read_text() == "p_y\n0.333333\n"


def test_confusion_is_the_sum_over_repeats():
    found = Judgement("how", ROWS, [said(0, 1.0), said(1, 0.0)], None).confusion()
    assert found.to_numpy().tolist() == [[20, 20], [20, 20]]


def test_each_row_is_decided_by_the_threshold_of_its_fold():
    data = LabelledData({"train": ROWS}, "binary", TASK.classes)
    even, first = np.arange(40) % 2 == 0, np.arange(40) < 20
    plan = [Fold(0, 0, even), Fold(0, 1, ~even), Fold(1, 0, first), Fold(1, 1, ~first)]
    answered = Folded(data, ROWS, GROUPS, plan)
    for fold, p, threshold in zip(plan, (0.3, 0.4, 0.5, 0.6), (0.2, 0.5, 0.7, 0.6), strict=True):
        answered.add(fold, np.tile([1 - p, p], (20, 1)), threshold)
    one, two = answered.judgement().answers
    assert one.scores[:, 1].tolist() == [0.3, 0.4] * 20
    assert one.predicted.tolist() == [1, 0] * 20
    assert two.predicted.tolist() == [0] * 20 + [1] * 20
    judged = answered.judgement()
    assert [each.tolist() for each in judged.folds] == [[0, 1] * 20, [0] * 20 + [1] * 20]
    assert judged.groups is GROUPS and "repeated 2 times" in judged.protocol


@pytest.mark.parametrize("kind", ["regression", "multilabel"])
def test_values_have_no_confusion_and_labels_one_row_each(kind):
    labels = np.stack([LABELS, LABELS], 1)
    answers = Answers(kind, ("a", "b"), labels, np.stack([LABELS, 1 - LABELS], 1) * 0.8 + 0.1)
    found = Judgement("how", ROWS, [answers, answers], None).confusion()
    if kind == "regression":
        assert found is None
    else:
        assert found.loc["a"].tolist() == [40, 0, 0, 40]
        assert found.loc["b"].tolist() == [0, 40, 40, 0]
