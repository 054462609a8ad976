"""The bootstrap over seeds and rows: closed forms, a second implementation in loops, coverage."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from findna.evaluation.comparison import (
    Scored,
    _key,
    across_tasks,
    bootstrap_p_value,
    difference,
    holm,
    interval,
    resample,
    selected_epoch,
)
from findna.metrics import Answers, Metric, resampled, value
from findna.resampling import percentile_interval, resample_counts


def binary(labels, said):
    p = np.asarray(said, float)
    return Answers("binary", ("no", "yes"), np.asarray(labels), np.stack([1 - p, p], 1))


def right_with(random, labels, chance):
    """Answers that are right with that probability, drawn row by row."""
    return binary(labels, np.where(random.random(len(labels)) < chance, labels, 1 - labels))


def contender(name, chances, n=120, task="t", seeds=None, draw=0, **more):
    """One seed for each entry of `chances`; the labels depend on the task and n alone."""
    labels = np.random.default_rng([len(task), n]).integers(0, 2, n)
    random = np.random.default_rng([draw, *map(ord, name)])
    answers = tuple(right_with(random, labels, chance) for chance in chances)
    return Scored(task, name, seeds or tuple(range(len(chances))), answers, **more)


def order_statistics(drawn):
    """The values that leave less than 2.5 % of B + 1 places outside, by plain sorting."""
    ordered = sorted(drawn)
    outside = 1
    while (outside + 1) / (len(ordered) + 1) < 0.025:
        outside += 1
    return ordered[outside - 1], ordered[len(ordered) - outside]


# ---------------------------------------------------------------- laws


@pytest.mark.parametrize("metric", ["mcc", "accuracy", "auroc"])
def test_identical_contenders_differ_by_exactly_nothing(metric):
    scored = contender("a", [0.7, 0.8, 0.75])
    a, b = resample(scored, metric, resamples=200), resample(scored, metric, resamples=200)
    found = difference(a, b)
    assert (found.mean.value, found.mean.low, found.mean.high) == (0, 0, 0)
    assert found.p_value == 1.0


def test_swapping_two_contenders_negates():
    a = resample(contender("a", [0.7, 0.8, 0.9]), resamples=300)
    b = resample(contender("b", [0.6, 0.7, 0.7]), resamples=300)
    one, other = difference(a, b), difference(b, a)
    assert one.mean.value == -other.mean.value
    assert one.mean.low == pytest.approx(-other.mean.high)
    assert one.mean.high == pytest.approx(-other.mean.low)
    assert one.p_value == other.p_value
    np.testing.assert_array_equal(one.drawn, -other.drawn)


def test_the_mean_and_sd_are_those_of_the_seeds():
    scored = contender("a", [0.7, 0.8, 0.9])
    found = interval(resample(scored, "accuracy", resamples=100))
    values = [value("accuracy", a) for a in scored.answers]
    assert found.mean.value == pytest.approx(np.mean(values))
    assert found.sd == pytest.approx(scipy.stats.tstd(values))
    assert found.mean.low < found.mean.value < found.mean.high
    assert (found.seeds, found.pretraining_seeds) == (3, False)


def test_one_answer_stands_for_every_seed():
    alone, several = contender("kmer", [0.7]), contender("cnn", [0.8, 0.8, 0.9])
    a, b = resample(several, resamples=300), resample(alone, resamples=300)
    found = difference(a, b)
    assert found.seeds == (3, 1)
    assert interval(b).sd is None
    # The lone contender moves with the rows only.
    (counts,) = resample_counts(120, 300, _key("t", 0))
    np.testing.assert_array_equal(b.drawn[0], resampled("mcc", alone.answers[0], counts))


# ---------------------------------------------------------------- a second implementation


@pytest.mark.parametrize("metric", ["mcc", "accuracy"])
@pytest.mark.parametrize("grouped", [False, True])
def test_the_same_numbers_by_plain_loops(metric, grouped):
    """Copied rows, seeds one by one, differences at the end: no counts, no tables."""
    n, resamples = 60, 40
    groups = np.repeat(np.arange(15), 4) if grouped else None
    a = contender("a", [0.9, 0.8, 0.7, 0.8], n, groups=groups)
    b = contender("b", [0.6, 0.7, 0.7, 0.6], n, groups=groups)
    found = difference(
        resample(a, metric, resamples=resamples, seed=7),
        resample(b, metric, resamples=resamples, seed=7),
    )
    (counts,) = resample_counts(n, resamples, _key("t", 7), groups)
    seeds = np.random.default_rng([7, 0, 1, 2, 3, _key("t", 0)]).integers(0, 4, (3, resamples))
    for at in range(resamples):
        rows = [row for row in range(n) for _ in range(int(counts[at, row]))]
        means = []
        for scored in (a, b):
            drawn = []
            for s in seeds[:, at]:
                of_seed = scored.answers[s]
                part = Answers(
                    "binary", of_seed.classes, of_seed.labels[rows], of_seed.scores[rows]
                )
                drawn.append(value(metric, part))
            means.append(sum(drawn) / len(drawn))
        assert found.drawn[at] == pytest.approx(means[0] - means[1], abs=1e-12)
    assert (found.mean.low, found.mean.high) == order_statistics(found.drawn)


def test_an_interval_of_rows_alone_has_the_closed_form():
    """A share p of n rows: ± 1.96 sqrt(p (1 - p) / n)."""
    scored = contender("a", [0.8], n=1000)
    found = interval(resample(scored, "accuracy", resamples=4000)).mean
    half = 1.96 * np.sqrt(found.value * (1 - found.value) / 1000)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.06)


def test_seeds_alone_have_the_variance_of_a_mean_of_seeds():
    """Rows that all agree leave seeds only: the variance of the bootstrap is s² / S."""
    labels = np.tile([0, 1], 2000)
    shares = (0.6, 0.7, 0.9)
    answers = []
    for share in shares:
        wrong = np.arange(4000) >= share * 4000
        answers.append(binary(labels, np.where(wrong, 1 - labels, labels)))
    scored = Scored("t", "a", (0, 1, 2), tuple(answers), groups=np.arange(4000) % 10)
    drawn = resample(scored, "accuracy", resamples=200)
    assert np.ptp(drawn.drawn, axis=1) == pytest.approx(0)  # groups are alike: rows do not vary
    zero = Scored("t", "z", (0,), (binary(labels, 1 - labels),), scored.groups)
    many = difference(
        resample(scored, "accuracy", resamples=2000),
        resample(zero, "accuracy", resamples=2000),
    )
    assert many.drawn.var() == pytest.approx(np.var(shares, ddof=1) / 3, rel=0.1)


def test_whole_groups_widen_the_interval():
    labels = np.tile([0, 1], 200)
    right = np.repeat(np.random.default_rng(5).random(40) < 0.7, 10)
    answers = (binary(labels, np.where(right, labels, 1 - labels)),)
    width = []
    for groups in (None, np.repeat(np.arange(40), 10)):
        found = interval(resample(Scored("t", "a", (0,), answers, groups), "accuracy")).mean
        width.append(found.high - found.low)
    assert width[1] > 2 * width[0]


# ---------------------------------------------------------------- coverage


def test_the_interval_of_a_known_difference_covers_it():
    """200 experiments of 5 seeds and 150 rows, row and seed effects, true difference known.

    Nominal 95 %; between 91 % and 99.5 % is accepted (three standard errors of 200 trials are 4.6 %
    and the pigeonhole bootstrap is meant to be rather too wide).
    """
    spread = np.sqrt(1 + 1 + 0.25**2)
    true = scipy.stats.norm.cdf(0.8 / spread) - scipy.stats.norm.cdf(0.5 / spread)
    covered = rejected = 0
    for trial in range(200):
        random = np.random.default_rng([11, trial])
        labels, ease = random.integers(0, 2, 150), random.normal(size=150)

        def answers(level, random=random, labels=labels, ease=ease):
            for _ in range(5):
                skill = level + 0.25 * random.normal()
                right = skill + ease + random.normal(size=150) > 0
                yield binary(labels, np.where(right, labels, 1 - labels))

        a, b, c = (
            resample(
                Scored(f"trial {trial}", name, tuple(range(5)), tuple(answers(level))),
                "accuracy",
                resamples=200,
            )
            for name, level in (("a", 0.8), ("b", 0.5), ("c", 0.5))
        )
        found = difference(a, b).mean
        covered += found.low <= true <= found.high
        rejected += difference(b, c).p_value < 0.05
    assert 0.91 <= covered / 200 <= 0.995
    # Two contenders that do not differ are told apart in about one of twenty experiments, or fewer.
    assert rejected / 200 <= 0.09


# ---------------------------------------------------------------- pairing


def test_seeds_are_paired_where_they_are_the_same():
    """Two contenders that share what a seed does have a difference without spread over seeds."""
    labels = np.tile([0, 1], 500)
    shares = np.array([0.55, 0.65, 0.75, 0.85])

    def scored(name, shift, seeds):
        answers = []
        for share in shares + shift:
            wrong = np.arange(1000) >= share * 1000
            answers.append(binary(labels, np.where(wrong, 1 - labels, labels)))
        return Scored("t", name, seeds, tuple(answers), np.arange(1000) % 10)

    a = resample(scored("a", 0.1, (0, 1, 2, 3)), "accuracy", resamples=200)
    same = resample(scored("b", 0.0, (0, 1, 2, 3)), "accuracy", resamples=200)
    others = resample(scored("b", 0.0, (4, 5, 6, 7)), "accuracy", resamples=200)
    assert difference(a, same).drawn == pytest.approx(np.full(200, 0.1))
    assert difference(a, others).drawn.std() > 0.05


def test_pretraining_seeds_are_named_and_drawn_once_for_all_tasks():
    def drawn(task, flag):
        labels = np.tile([0, 1], 50)
        answers = []
        for share in (0.5, 0.7, 0.9):
            wrong = np.arange(100) >= share * 100
            answers.append(binary(labels, np.where(wrong, 1 - labels, labels)))
        one_group = np.zeros(100, np.int64)
        model = Scored(task, "model", (0, 1, 2), tuple(answers), one_group, flag)
        base = Scored(task, "base", (0,), (answers[0],), one_group)
        return difference(
            resample(model, "accuracy", resamples=100), resample(base, "accuracy", resamples=100)
        )

    one, two = drawn("first", True), drawn("second", True)
    assert one.pretraining_seeds == ("model",)
    np.testing.assert_array_equal(one.drawn, two.drawn)
    free, other = drawn("first", False), drawn("second", False)
    assert free.pretraining_seeds == ()
    assert (free.drawn != other.drawn).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "other"}, "different tasks"),
        ({"n": 60}, "different rows"),
        ({"groups": np.zeros(120, np.int64)}, "different rows or groups"),
    ],
)
def test_what_cannot_be_paired_is_refused(change, message):
    a = resample(contender("a", [0.8]), resamples=20)
    b = resample(contender("b", [0.8], **change), resamples=20)
    with pytest.raises(ValueError, match=message):
        difference(a, b)


def test_different_metrics_and_resamples_are_refused():
    scored = contender("a", [0.8])
    a = resample(scored, resamples=20)
    with pytest.raises(ValueError, match="metrics"):
        difference(a, resample(scored, "auroc", resamples=20))
    with pytest.raises(ValueError, match="resamples"):
        difference(a, resample(scored, resamples=20, seed=1))


def test_seeds_that_do_not_fit_are_refused():
    answers = contender("a", [0.8, 0.8]).answers
    with pytest.raises(ValueError, match="distinct"):
        Scored("t", "a", (1, 1), answers)
    with pytest.raises(ValueError, match="2 answers for 3 seeds"):
        Scored("t", "a", (1, 2, 3), answers)
    with pytest.raises(ValueError, match="different rows"):
        Scored("t", "a", (1, 2), (answers[0], binary(1 - answers[0].labels, [0] * 120)))


def test_an_undefined_metric_has_a_reason_and_no_p_value():
    ones = Scored("t", "a", (0,), (binary([1, 1, 1], [0.2, 0.7, 0.9]),))
    found = difference(resample(ones, "mcc", resamples=20), resample(ones, "mcc", resamples=20))
    assert found.mean.value is None and found.p_value is None
    assert found.mean.reason == "only class yes in these 3 rows"


# ---------------------------------------------------------------- p-values


def test_the_p_value_by_hand():
    # 2 of 9 are at or below 0: 2 (1 + 2) / (9 + 1).
    assert bootstrap_p_value(np.array([-1, 0, 1, 2, 3, 4, 5, 6, 7.0])) == pytest.approx(0.6)
    assert bootstrap_p_value(np.arange(1.0, 100)) == pytest.approx(2 / 100)
    assert bootstrap_p_value(-np.arange(1.0, 100)) == pytest.approx(2 / 100)
    assert bootstrap_p_value(np.array([np.nan, -1, 1])) == 1.0


def test_p_below_a_twentieth_and_an_interval_without_zero_say_the_same():
    random = np.random.default_rng(3)
    for many in (500, 1999, 2000):
        for below in range(many // 50, many // 30):
            drawn = np.where(np.arange(many) < below, -1, 1) * (0.01 + random.random(many))
            found = percentile_interval(0.0, drawn, "")
            assert (bootstrap_p_value(drawn) < 0.05) == (found.low > 0)
            assert (bootstrap_p_value(-drawn) < 0.05) == (
                percentile_interval(0.0, -drawn, "").high < 0
            )


def test_holm_by_hand_and_by_its_definition():
    # 3 * .01, 2 * .02, 1 * .03 -> .03, .04, and never below the one before.
    assert holm([0.02, 0.01, 0.03]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, None, 0.6]) == [1.0, None, 1.0]
    assert holm([]) == []
    random = np.random.default_rng(0)
    for _ in range(20):
        p = random.random(6) ** 3
        by_rank = np.argsort(p)
        expected = np.empty(6)
        for rank in range(6):
            expected[by_rank[rank]] = max(min(1, (6 - j) * p[by_rank[j]]) for j in range(rank + 1))
        assert holm(list(p)) == pytest.approx(expected)
        # Between scipy's false discovery rate, which is weaker, and Bonferroni.
        assert (np.array(holm(list(p))) >= scipy.stats.false_discovery_control(p) - 1e-12).all()
        assert (np.array(holm(list(p))) <= np.minimum(1, 6 * p) + 1e-12).all()


def test_a_rank_test_over_five_seeds_cannot_speak():
    assert scipy.stats.wilcoxon([1, 2, 3, 4, 5]).pvalue == pytest.approx(0.0625)
    assert scipy.stats.wilcoxon([1, 2, 3]).pvalue == pytest.approx(0.25)


# ---------------------------------------------------------------- over tasks


def _differences(levels, n=300):
    for task, (better, worse) in levels.items():
        a = contender("a", [better] * 3, n, task)
        b = contender("b", [worse] * 3, n, task)
        yield difference(
            resample(a, "accuracy", resamples=500), resample(b, "accuracy", resamples=500)
        )


def test_a_task_that_compares_nothing_is_no_tie():
    found = list(_differences({"t": (0.9, 0.6), "tt": (0.75, 0.75)}))
    undefined = replace(found[1], task="ttt", mean=Metric(None, reason="one class"), p_value=None)
    over = across_tasks([*found, undefined])
    assert (over.wins, over.losses, over.ties, over.tasks) == (1, 0, 1, 3)


def test_over_tasks_wins_losses_and_ties_are_counted():
    found = list(
        _differences({"t": (0.9, 0.6), "tt": (0.6, 0.9), "ttt": (0.75, 0.75), "tttt": (0.9, 0.7)})
    )
    over = across_tasks(found)
    assert (over.wins, over.losses, over.ties, over.tasks) == (2, 1, 1, 4)
    assert over.mean.value == pytest.approx(np.mean([d.mean.value for d in found]))
    assert over.mean.low < over.mean.value < over.mean.high
    # Tasks that disagree: the interval over tasks is wider than that of any task.
    assert over.mean.high - over.mean.low > max(d.mean.high - d.mean.low for d in found)


def test_the_interval_over_tasks_by_hand():
    found = list(_differences({"t": (0.9, 0.6), "tt": (0.6, 0.9), "ttt": (0.75, 0.75)}))
    over = across_tasks(found)
    values = [d.mean.value for d in found]
    # t of two degrees of freedom is 4.303; rows and seeds are drawn for each task on its own.
    half = 4.3027 * np.std(values, ddof=1) / math.sqrt(3)
    assert over.mean.low == pytest.approx(np.mean(values) - half, rel=0.01)
    assert over.mean.high == pytest.approx(np.mean(values) + half, rel=0.01)
    assert over.p_value == pytest.approx(scipy.stats.ttest_1samp(values, 0).pvalue, rel=0.01)


def test_what_moves_all_tasks_is_in_the_interval_over_tasks():
    def drawn(task, each):
        labels = np.tile([0, 1], 50)
        answers = [
            binary(labels, np.where(np.arange(100) >= share * 100, 1 - labels, labels))
            for share in (0.5, 0.7, 0.9)
        ]
        whole = {"groups": np.repeat(np.arange(10), 10)}
        model = Scored(task, "model", (0, 1, 2), tuple(answers), pretraining_seeds=each, **whole)
        base = Scored(task, "base", (0,), (answers[0],), **whole)
        return difference(
            resample(model, "accuracy", resamples=2000), resample(base, "accuracy", resamples=2000)
        )

    tasks = ["first", "second", "third", "fourth"]
    wide, narrow = (
        across_tasks([drawn(task, each) for task in tasks]).mean for each in (True, False)
    )
    # Four tasks of one and the same table: nothing but the three seeds leaves the mean open.
    spread = np.std([0, 0.2, 0.4], ddof=1) / math.sqrt(3)
    assert wide.high - wide.low > 2 * 3.1824 * spread * 0.9
    assert narrow.high - narrow.low < 0.7 * (wide.high - wide.low)


def test_one_task_is_its_own_mean():
    (only,) = _differences({"t": (0.9, 0.6)})
    over = across_tasks([only])
    assert (over.mean, over.p_value) == (only.mean, only.p_value)


def test_over_tasks_refuses_what_does_not_belong_together():
    one, two = _differences({"t": (0.9, 0.6), "tt": (0.9, 0.6)})
    with pytest.raises(ValueError, match="distinct tasks"):
        across_tasks([one, one])
    with pytest.raises(ValueError, match="distinct tasks"):
        across_tasks([])
    mixed = difference(
        *(resample(contender(n, [0.8], task="tt"), "mcc", resamples=500) for n in "ab")
    )
    with pytest.raises(ValueError, match="one metric"):
        across_tasks([one, mixed])
    assert two.task == "tt"


# ---------------------------------------------------------------- selection on test rows


def _epochs(*right):
    labels = np.tile([0, 1], 50)
    for count in right:
        wrong = np.arange(100) >= count
        yield binary(labels, np.where(wrong, 1 - labels, labels))


def test_selection_on_test_rows_by_hand():
    found = selected_epoch(list(_epochs(60, 80, 70, 90, 75)), 2, "accuracy")
    assert (found.chosen_epoch, found.value) == (2, pytest.approx(0.8))
    assert (found.best_epoch, found.best_value) == (4, pytest.approx(0.9))
    assert found.inflation == pytest.approx(0.1)


@pytest.mark.parametrize("right", list(itertools.permutations([60, 70, 80])))
def test_inflation_is_never_negative_and_nothing_for_the_best(right):
    for chosen in (1, 2, 3):
        found = selected_epoch(list(_epochs(*right)), chosen, "accuracy")
        assert found.inflation == pytest.approx((80 - right[chosen - 1]) / 100)


def test_among_equal_epochs_the_chosen_one_is_the_best():
    found = selected_epoch(list(_epochs(80, 70, 80)), 3, "accuracy")
    assert (found.best_epoch, found.inflation) == (3, 0.0)


def test_an_epoch_that_is_not_there_is_refused_an_undefined_one_not_told():
    with pytest.raises(ValueError, match="epoch 4 of 3"):
        selected_epoch(list(_epochs(1, 2, 3)), 4)
    assert selected_epoch([binary([1, 1], [0.5, 0.6])], 1, "mcc") is None


def test_wins_are_counted_in_the_family_that_is_named():
    found = list(_differences({"t": (0.9, 0.6), "tt": (0.9, 0.6)}))
    assert across_tasks(found).wins == 2
    assert across_tasks(found, [0.2, 0.01]).wins == 1
