"""Files of runs go round whole, broken ones are named, and the tables say what the files hold."""

import json
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from findna.data.labelled import LabelledSplit
from findna.evaluation import results
from findna.evaluation.comparison import (
    SelectedEpoch,
    difference,
    holm,
    interval,
    resample,
    selected_epoch,
)
from findna.evaluation.contenders.lineup import starts
from findna.evaluation.markdown import to_markdown
from findna.evaluation.results import RunFacts, read_runs, run_file, scored, tidy, write_run
from findna.evaluation.settings import EvaluateSettings
from findna.evaluation.summary import shortcut_warnings, summary
from findna.evaluation.tabulate import tabulate
from findna.files import BadInput, OutputExists
from findna.metrics import Answers, metric_names
from findna.resampling import measure

N = 80


def split(labels, groups=None):
    n = len(labels)
    codes = [np.zeros(4, np.uint8)] * n
    return LabelledSplit([f"row-{k}" for k in range(n)], codes, labels, np.arange(1, n + 1), groups)


def facts(task="gue/tf/0", contender="kmer", seed=0, **more):
    given = {
        "suite": "gue",
        "task": task,
        "contender": contender,
        "seed": seed,
        "mode": "probe",
        "protocol": "official splits; test rows read once",
        "primary_metric": "mcc",
        "sizes": {"train": 1000, "dev": 100, "test": N},
    }
    return RunFacts(**(given | more))


def labels_of(task):
    return np.random.default_rng(sum(map(ord, task))).integers(0, 2, N)


def binary(labels, chance, *draw):
    random = np.random.default_rng(draw)
    right = random.random(len(labels)) < chance
    p = np.where(right == (labels == 1), 0.6, 0.1) + 0.3 * random.random(len(labels))
    return Answers("binary", ("no", "yes"), labels, np.stack([1 - p, p], 1), 0.5)


def write(folder, task, contender, seed, chance, **more):
    labels = labels_of(task)
    answers = binary(labels, chance, seed, *map(ord, contender))
    return write_run(
        folder, facts(task, contender, seed, **more), answers, split(labels), resamples=20
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two tasks, four contenders; the linear model is far better than k-mers on one of them."""
    for task, best in (("gue/tf/0", 0.98), ("gue/tf/1", 0.72)):
        for seed in range(3):
            write(tmp_path, task, "linear", seed, best, settings_tried=4)
            write(tmp_path, task, "kmer", seed, 0.7)
        write(tmp_path, task, "composition", 0, 0.69, draws=False)
        write(tmp_path, task, "majority", 0, 0.5, draws=False)
    return tmp_path


# ---------------------------------------------------------------- files


def every_kind():
    random = np.random.default_rng(1)
    shares = random.dirichlet(np.ones(3), N)
    values = random.normal(size=(N, 2))
    names = ("a", "b", "c")
    return {
        "binary": binary(labels_of("t"), 0.8, 1),
        "multiclass": Answers("multiclass", names, random.integers(0, 3, N), shares),
        "multilabel": Answers("multilabel", names, random.integers(0, 2, (N, 3)), shares),
        "regression": Answers(
            "regression", ("x", "y"), values, values + random.normal(size=(N, 2))
        ),
    }


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
@pytest.mark.parametrize("grouped", [False, True])
def test_what_is_read_gives_the_metrics_that_were_written(tmp_path, kind, grouped):
    answers = every_kind()[kind]
    groups = np.arange(N) // 4 if grouped else None
    rows = split(answers.labels, groups)
    metric = metric_names(kind)[0]
    written = write_run(tmp_path, facts(primary_metric=metric), answers, rows, resamples=50)
    (run,) = read_runs(tmp_path)
    assert run == written
    again = measure(run.answers(), resamples=50, groups=run.groups())
    assert {k: m.as_dict() for k, m in again.items()} == run.record.metrics
    np.testing.assert_array_equal(run.answers().labels, answers.labels)
    assert run.answers().labels.dtype == answers.labels.dtype
    np.testing.assert_allclose(run.answers().scores, answers.scores, rtol=1e-6)
    assert run.table()["id"].tolist() == rows.ids
    assert (run.groups() is None) == (not grouped)


def test_the_stored_table_has_words_and_all_digits(tmp_path):
    run = write(tmp_path, "gue/tf/0", "kmer", 3, 0.8)
    assert run.file == tmp_path / "runs" / "gue" / "tf" / "0" / "kmer" / "3.json"
    table = pd.read_parquet(run.file.with_suffix(".parquet"))
    assert list(table) == ["id", "row", "label", "p_no", "p_yes"]
    assert table["p_yes"].dtype == np.float64
    assert set(table["label"]) == {"no", "yes"}


def test_answers_are_judged_as_they_are_stored(tmp_path):
    """Below 0.3 by less than float32 tells, and close to 1 by less: neither changes in the file."""
    labels = np.array([0, 1, 0, 1])
    p = np.array([0.3 - 1e-10, 1 - 1e-12, 1 - 1e-11, 1 - 1e-13])
    answers = Answers("binary", ("no", "yes"), labels, np.stack([1 - p, p], 1), 0.3)
    run = write_run(tmp_path, facts(), answers, split(labels), resamples=5)
    assert run.answers().scores.tolist() == answers.scores.tolist()
    assert run.record.metrics["accuracy"]["value"] == 0.75
    assert run.record.metrics["auroc"]["value"] == 1


def test_facts_survive_and_undefined_numbers_have_a_reason(tmp_path):
    ones = np.ones(N, np.int64)
    epochs = [binary(labels_of("t"), chance, 5) for chance in (0.6, 0.9)]
    given = facts(
        chosen={"rate": 1e-3, "k": 5},
        notes=("reduced training data",),
        seconds=1.5,
        selected_epoch=selected_epoch(epochs, 1),
    )
    write_run(tmp_path, given, binary(ones, 0.8, 1), split(ones), resamples=5)
    (run,) = read_runs(tmp_path)
    assert run.record.chosen == {"rate": 1e-3, "k": 5}
    assert run.record.selected_epoch == given.selected_epoch
    assert run.record.metrics["mcc"] == {"value": None, "reason": "only class yes in these 80 rows"}


def test_a_finished_run_is_not_written_over(tmp_path):
    run = write(tmp_path, "gue/tf/0", "kmer", 0, 0.8)
    before = run.file.read_bytes(), run.file.with_suffix(".parquet").read_bytes()
    with pytest.raises(OutputExists, match="another process has written this run"):
        write(tmp_path, "gue/tf/0", "kmer", 0, 0.6)
    assert (run.file.read_bytes(), run.file.with_suffix(".parquet").read_bytes()) == before


def test_an_interruption_leaves_an_unfinished_run_that_is_named_and_done_again(
    tmp_path, monkeypatch, caplog
):
    write(tmp_path, "gue/tf/0", "kmer", 0, 0.8)

    def cut(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(results, "write_json", cut)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path, "gue/tf/0", "kmer", 1, 0.8)
    assert not run_file(tmp_path, "gue/tf/0", "kmer", 1).exists()
    with caplog.at_level(logging.WARNING, "findna"):
        assert [run.record.seed for run in read_runs(tmp_path)] == [0]
    assert "1.parquet: predictions of an unfinished run" in caplog.text
    write(tmp_path, "gue/tf/0", "kmer", 1, 0.8)
    assert [run.record.seed for run in read_runs(tmp_path)] == [0, 1]


def _truncate(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _edit(**changes):
    def edit(file):
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))

    return edit


BREAKAGES = {
    "half a JSON": (_truncate, "0.json.*is not JSON"),
    "another version": (_edit(format=2), "0.json: format"),
    "an unknown key": (_edit(colour="red"), "0.json: colour: unknown setting"),
    "a list": (lambda f: f.write_text("[1]"), "0.json: is not the record of a run"),
    "another seed": (_edit(seed=4), "moved or renamed"),
    "half the answers": (lambda f: _truncate(f.with_suffix(".parquet")), "0.parquet: is broken"),
    "no answers": (lambda f: f.with_suffix(".parquet").unlink(), "0.parquet: is missing"),
    "other rows": (_edit(rows=7), "0.parquet: holds 80 rows, but 7 were judged"),
    "other classes": (_edit(classes=["no", "maybe"]), "0.parquet: has no column p_maybe"),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_a_broken_run_is_named(tmp_path, name):
    breaks, message = BREAKAGES[name]
    run = write(tmp_path, "gue/tf/0", "kmer", 0, 0.8)
    write(tmp_path, "gue/tf/0", "kmer", 1, 0.8)
    breaks(run.file)
    with pytest.raises(BadInput, match=message):
        read_runs(tmp_path)


def test_every_broken_run_is_named_at_once(tmp_path):
    for seed in range(3):
        _truncate(write(tmp_path, "gue/tf/0", "kmer", seed, 0.8).file)
    with pytest.raises(BadInput) as caught:
        read_runs(tmp_path)
    assert all(f"{seed}.json" in str(caught.value) for seed in range(3))


def test_no_runs_is_an_empty_list(tmp_path):
    assert read_runs(tmp_path) == []


@pytest.mark.parametrize("name", ["../up", "/root", "a//b", "a b", "", ".hidden", "a/.."])
def test_names_that_leave_the_folder_are_refused(name):
    with pytest.raises(ValueError):
        facts(task=name)
    with pytest.raises(ValueError):
        facts(contender=name)


def test_answers_to_other_rows_are_refused(tmp_path):
    with pytest.raises(ValueError, match="all test rows"):
        write_run(tmp_path, facts(), binary(labels_of("t"), 0.8, 1), split(np.zeros(3, np.int64)))


# ---------------------------------------------------------------- tables


def test_tidy_has_one_row_a_number(folder):
    runs = read_runs(folder)
    table = tidy(runs)
    assert len(table) == len(runs) * len(metric_names("binary"))
    assert not table.duplicated(["task", "contender", "seed", "metric"]).any()
    assert table.loc[table["primary"], "metric"].unique().tolist() == ["mcc"]
    first = runs[0].record
    found = table[(table["task"] == first.task) & (table["contender"] == first.contender)]
    assert found.set_index("metric").loc["auroc", "value"] == first.metrics["auroc"]["value"]


def test_the_summary_says_what_the_bootstrap_says(folder):
    runs = read_runs(folder)
    table = summary(runs, "kmer", resamples=400).table.set_index(["task", "contender"])
    p_values = []
    for task in ("gue/tf/0", "gue/tf/1"):
        a, b = (
            resample(
                scored([r for r in runs if (r.record.task, r.record.contender) == (task, name)]),
                "mcc",
                resamples=400,
            )
            for name in ("linear", "kmer")
        )
        row, alone, against = table.loc[(task, "linear")], interval(a), difference(a, b)
        assert (row["mean"], row["sd"]) == (alone.mean.value, alone.sd)
        assert (row["low"], row["high"]) == (alone.mean.low, alone.mean.high)
        assert row["difference"] == against.mean.value
        assert (row["difference_low"], row["p"]) == (against.mean.low, against.p_value)
        p_values.append(against.p_value)
    found = [table.loc[(task, "linear"), "p_holm"] for task in ("gue/tf/0", "gue/tf/1")]
    assert found == pytest.approx(holm(p_values))
    assert table.loc[("gue/tf/0", "linear"), "settings_tried"] == 4
    assert pd.isna(table.loc[("gue/tf/0", "kmer"), "difference"])


def test_over_tasks_each_contender_has_one_row(folder):
    across = summary(read_runs(folder), "kmer", resamples=200).across.set_index("contender")
    assert sorted(across.index) == ["composition", "linear", "majority"]
    assert (across["wins"] + across["losses"] + across["ties"] == 2).all()
    assert across.loc["linear", "wins"] >= 1
    assert across.loc["majority", "losses"] >= 1


def test_p_values_are_adjusted_within_a_suite_and_over_all_its_metrics(tmp_path):
    """A family is all tasks of a suite that a contender answers; another suite is another."""
    for suite, task, metric in (
        ("gue", "gue/a", "mcc"),
        ("gue", "gue/b", "mcc"),
        ("gue", "gue/c", "accuracy"),
        ("own", "own/a", "mcc"),
    ):
        for name, chance in (("linear", 0.8), ("knn", 0.72), ("kmer", 0.7)):
            write(tmp_path, task, name, 0, chance, suite=suite, primary_metric=metric)
    found = summary(read_runs(tmp_path), "kmer", resamples=400)
    table = found.table.set_index(["contender", "task"])
    for name in ("linear", "knn"):
        gue = [(name, f"gue/{task}") for task in "abc"]
        assert table.loc[gue, "p_holm"].tolist() == holm(table.loc[gue, "p"].tolist())
        assert table.loc[(name, "own/a"), "p_holm"] == table.loc[(name, "own/a"), "p"]
    # One task of a metric or of a suite is no mean over tasks.
    across = found.across.set_index("contender")
    assert (len(across), set(across["suite"]), set(across["metric"])) == (2, {"gue"}, {"mcc"})
    assert set(across["tasks"]) == {2}
    for name, row in across.iterrows():
        said = table.loc[[(name, "gue/a"), (name, "gue/b")]]
        clear = said["p_holm"] < 0.05
        assert row["wins"] == (clear & (said["difference"] > 0)).sum()
        assert row["losses"] == (clear & (said["difference"] < 0)).sum()


def test_what_seeds_tried_and_would_have_gained_is_told_of_all(tmp_path):
    labels = labels_of("gue/tf/0")
    for seed, (tried, best) in enumerate(((1, 0.6), (4, 0.9))):
        chosen = SelectedEpoch("mcc", 1, 0.5, 2, best)
        given = facts(contender="tiny", seed=seed, settings_tried=tried, selected_epoch=chosen)
        write_run(tmp_path, given, binary(labels, 0.8, seed), split(labels), resamples=5)
    (row,) = summary(read_runs(tmp_path), "tiny", resamples=5).table.to_dict("records")
    assert row["settings_tried"] == 4 and row["inflation"] == pytest.approx((0.1 + 0.4) / 2)


def test_one_task_has_no_comparison_over_tasks(tmp_path):
    for name in ("kmer", "cnn"):
        write(tmp_path, "gue/tf/0", name, 0, 0.8)
    found = summary(read_runs(tmp_path), "kmer", resamples=50)
    assert len(found.across) == 0
    assert "Across tasks" not in to_markdown(found)


def test_a_reference_that_did_not_run_is_refused(folder):
    with pytest.raises(BadInput, match=r"no run of kmers\n.*composition, kmer, linear, majority"):
        summary(read_runs(folder), "kmers")
    with pytest.raises(BadInput, match="contenders are: none"):
        summary([], "kmer")


def test_a_task_without_the_reference_keeps_its_rows(folder):
    write(folder, "gue/tf/2", "cnn", 0, 0.8)
    table = summary(read_runs(folder), "kmer", resamples=50).table
    row = table[table["task"] == "gue/tf/2"].iloc[0]
    assert row["mean"] > 0 and pd.isna(row["difference"]) and pd.isna(row["p_holm"])


def test_contenders_on_other_rows_are_refused(folder):
    other = 1 - labels_of("gue/tf/0")
    write_run(folder, facts(contender="cnn"), binary(other, 0.8, 1), split(other), resamples=5)
    with pytest.raises(BadInput, match="cnn and kmer answer different rows"):
        summary(read_runs(folder), "kmer", resamples=20)
    write_run(folder, facts(seed=9), binary(other, 0.8, 1), split(other), resamples=5)
    with pytest.raises(BadInput, match="seeds answer different rows"):
        summary(read_runs(folder), "kmer", resamples=20)


# ---------------------------------------------------------------- composition


def _scores(metric="mcc", **scores):
    return pd.DataFrame(
        [
            {"task": "t", "metric": metric, "contender": name, "mean": mean}
            for name, mean in scores.items()
        ]
    )


def warned(scores, shortcut="composition"):
    return shortcut_warnings(scores, shortcut)


def test_composition_that_explains_most_is_warned_of_by_hand():
    (line,) = warned(_scores(model=0.5, cnn=0.9, composition=0.41, majority=0.0))
    assert line == (
        "t: composition alone scores 0.410, 46 % of the best contender (cnn, 0.900)"
        " and 82 % of the best model given (model, 0.500)"
    )
    (line,) = warned(_scores(model=0.5, cnn=0.4, composition=0.41, majority=0.0))
    assert line == "t: composition alone scores 0.410, 82 % of the best contender (model, 0.500)"
    assert warned(_scores(model=0.9, composition=0.41, majority=0.0)) == []
    # GUE prom_core_all: a GC threshold reaches 0.410, HyenaDNA's published figure is 0.370.
    (line,) = warned(_scores(hyena=0.370, composition=0.410))
    assert line.endswith("0.410, no less than the best contender (hyena, 0.370)")


def test_places_that_explain_most_are_warned_of():
    # GUE prom_300_tata: pairs of letters at their places, and DNABERT-2's published figure.
    scores = _scores(dnabert2=0.716, places=0.79, composition=0.24, majority=0.0)
    (line,) = warned(scores, "places")
    assert line == (
        "t: the base at each position alone scores 0.790, no less than the best contender"
        " (dnabert2, 0.716)"
    )
    assert warned(scores) == [] and warned(_scores(dnabert2=0.716), "places") == []


def test_a_weak_baseline_near_composition_is_no_matter():
    """Only the best contender and the best model that somebody gave are compared with it."""
    weak = {"kmer": 0.345, "linear-random-tiny": 0.3, "knn-random": 0.2, "cnn": 0.83}
    others = {"composition": 0.28, "majority": 0.0}
    assert warned(_scores(**weak, **others)) == []
    assert warned(_scores(**weak, **others, model=0.5)) == []
    (line,) = warned(_scores(**weak, **others, **{"knn-own": 0.1, "linear-own": 0.3}))
    assert line.count("%") == 2 and "93 % of the best model given (linear-own, 0.300)" in line


def test_chance_is_that_of_the_commonest_answer():
    # 0.55 of 0.9 looks like 61 %; above a chance of 0.5 it is 12 %. 0.86 is 90 %.
    low, high = (_scores("accuracy", model=0.9, composition=c, majority=0.5) for c in (0.55, 0.86))
    assert warned(low) == []
    assert "above chance (0.500) that is 90 % of the best" in warned(high)[0]
    (line,) = warned(_scores("accuracy", model=0.9, composition=0.85))
    assert "not compared" in line
    assert warned(_scores(model=0.0, composition=0.2)) == []
    assert warned(_scores(model=0.5)) == []


# ---------------------------------------------------------------- Markdown

PUBLISHED = pd.DataFrame(
    [
        ("gue/tf/0", "DNABERT-2", 117e6, "mcc", 0.7199, "dev-selected", "paper | table 2"),
        ("gue/tf/9", "NT", 5e8, "mcc", 0.5555, "dev-selected", "paper"),
        ("gue/tf/0", "small", np.nan, "mcc", -0.9, "dev-selected", "paper"),
        ("gue/tf/0", "small", np.nan, "mcc", 0.95, "dev-selected", "a rerun"),
        ("gue/tf/1", "small", np.nan, "mcc", 0.9499, "dev-selected", "a rerun"),
        ("gue/tf/0", "DNABERT-2", 117e6, "accuracy", 0.86, "author-reported", "letter"),
    ],
    columns=["task", "model", "parameters", "metric", "value", "protocol", "source"],
)


def _blocks(text):
    """Tables of the page as lists of rows of cells, by their first head cell and second."""
    blocks = [b.splitlines() for b in text.split("\n\n") if b.startswith("|")]
    return [[[c.strip() for c in line.strip("|").split("|")] for line in b] for b in blocks]


def test_the_page_keeps_published_figures_in_a_block_of_their_own(folder):
    found = summary(read_runs(folder), "kmer", resamples=200)
    text = to_markdown(found, PUBLISHED)
    ours, over, theirs, other = _blocks(text)
    assert all(len(row) == len(block[0]) for block in (ours, over, theirs) for row in block)
    assert len(ours) == 2 + 8
    means = [row[4].split(" ")[0] for row in ours[2:] if row[1] == "kmer"]
    tasks = list(dict.fromkeys(row[0].split(" ")[0] for row in ours[2:] if row[0]))
    assert tasks == ["gue/tf/0", "gue/tf/1"] and all(0.7199 > float(m) > -0.9 for m in means)
    assert theirs[:1] + theirs[2:] == [
        ["model", "parameters", "tf/0", "tf/1", "kmer ahead", "source"],
        ["kmer, measured here", "–", *means, "–", "–"],
        ["DNABERT-2", "117,000,000", "0.720", "–", "0 of 1", "paper / table 2"],
        ["small", "–", "-0.900", "–", "1 of 1", "paper"],
        ["small", "–", "0.950", "0.950", "0 of 2", "a rerun"],
    ]
    # No accuracy was the metric here.
    assert other[2:] == [
        ["kmer, measured here", "–", "–", "–", "–"],
        ["DNABERT-2", "117,000,000", "0.860", "0 of 0", "letter"],
    ]
    assert "dev-selected. mcc:" in text and "learned from fewer rows" not in text
    found.table["notes"] = "reduced: 5 of 9 training rows"
    assert "kmer of this evaluation, trained on fewer rows" in to_markdown(found, PUBLISHED)
    assert "0.720" not in {cell for row in ours for cell in row} and "0.556" not in text
    assert over[2][0] == "composition"
    assert "Protocol: official splits; test rows read once." in text
    assert "Seeds do not include pretraining" in text
    assert "200 resamples of seeds and test rows, paired with kmer" in text


def test_the_page_shows_each_number_of_the_table(folder):
    found = summary(read_runs(folder), "kmer", resamples=200)
    rows = _blocks(to_markdown(found))[0][2:]
    for cells, row in zip(rows, found.table.to_dict("records"), strict=True):
        assert cells[1] == row["contender"]
        assert cells[3] == (str(row["seeds"]) if row["draws"] else "deterministic")
        assert cells[4].startswith(f"{row['mean']:.3f}")
        assert cells[5] == f"[{row['low']:.3f}, {row['high']:.3f}]"
        assert cells[8] == str(row["settings_tried"])
        if row["contender"] != "kmer":
            assert cells[6].startswith(f"{row['difference']:+.3f} [")
    assert [cells[0] for cells in rows] == ["gue/tf/0 (mcc)", "", "", "", "gue/tf/1 (mcc)"] + [
        ""
    ] * 3


def test_warnings_notes_pretraining_seeds_and_selection_are_on_the_page(tmp_path):
    labels = labels_of("gue/tf/0")
    epochs = [binary(labels, chance, 5) for chance in (0.6, 0.95)]
    chosen = selected_epoch(epochs, 1)
    more = {"notes": ("5,000 training rows",), "pretraining_seeds": True, "selected_epoch": chosen}
    given = facts(contender="tiny", **more)
    write_run(tmp_path, given, epochs[0], split(labels), resamples=5)
    write_run(
        tmp_path, facts(contender="composition", draws=False), epochs[0], split(labels), resamples=5
    )
    found = summary(read_runs(tmp_path), "composition", resamples=50)
    text = to_markdown(found)
    assert "at least 80 % of what the best contender" in text
    assert "\n* gue/tf/0: composition alone scores" in text
    assert "no less than the best contender (tiny" in text
    assert "Seeds differ" not in text and "Not finished" not in text
    assert "Note: 5,000 training rows." in text
    assert "Seeds include pretraining for tiny only." in text
    assert "inflation by selection on the test split" in text
    assert found.table.set_index("contender").loc["tiny", "inflation"] == chosen.inflation
    assert f"+{chosen.inflation:.3f}" in text


def test_unequal_numbers_of_seeds_are_told_under_the_table(folder):
    """Contenders without a draw have one run, which is no inequality."""
    found = summary(read_runs(folder), "kmer", resamples=50)
    assert "Seeds differ" not in to_markdown(found)
    write(folder, "gue/tf/1", "linear", 3, 0.8)
    text = to_markdown(summary(read_runs(folder), "kmer", resamples=50))
    assert "**Seeds differ**: kmer 3, linear 3 to 4. Means over unequal numbers" in text
    assert text.index("| gue/tf/1") < text.index("Seeds differ") < text.index("### Across tasks")


def test_a_makeshift_reference_is_told_until_the_evaluation_is_finished(folder):
    settings, begun = EvaluateSettings(resamples=100), starts(["tiny"])
    for left, told in ((20, "20 runs are left"), (1, "1 run is left")):
        tabulate(folder, settings, begun, [], left)
        text = (folder / "table.md").read_text(encoding="utf-8")
        assert f"**Not finished**: {told}" in text
        assert "minus kmer is provisional: differences will be to finetune-random-tiny," in text
    write(folder, "gue/tf/0", "finetune-random-tiny", 0, 0.8)
    tabulate(folder, settings, begun, [], 3)
    text = (folder / "table.md").read_text(encoding="utf-8")
    assert "3 runs are left" in text and "makeshift" not in text
    tabulate(folder, settings, begun, [], 0)
    assert "Not finished" not in (folder / "table.md").read_text(encoding="utf-8")
