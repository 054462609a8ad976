"""What the report of a fine-tuning run shows: result, choices, calibration, learning curves."""

import csv
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from findna.files import read_json
from findna.report.figures import Chart, draw_table, short
from findna.report.page import Part, figures_of, flat, listed, score, shown
from findna.report.run_files import Row, RunFiles


def finetuning_parts(files: RunFiles) -> list[Part]:
    """The parts that only a fine-tuning run has."""
    path = files.folder / "metrics.json"
    found = read_json(path) if path.is_file() else {}
    settings = files.settings.get("settings") or {}
    metrics = found.get("metrics", {})
    rows = [(name, *_metric_cells(metric)) for name, metric in metrics.items()]
    facts = {key: found[key] for key in ("task", "rows") if key in found}
    facts["chosen"] = _said_of_choice(found.get("chosen", {}))
    chances = found.get("permutation_p_values") or {}
    facts |= {f"permutation p-value of {name}": chance for name, chance in chances.items()}
    return [
        Part(
            "Result",
            _sentence(found),
            _confusion(files),
            ("metric", "value", "95 % interval"),
            rows,
        ),
        *_counts_part(files),
        Part(
            "How it was tested" if found.get("intervals") else "How it was trained",
            str(found.get("intervals") or ""),
            (),
            ("what", "value"),
            flat(facts),
        ),
        *_choice_part(found, settings),
        *_calibration_part(found),
        *_learning_part(files, found, settings),
    ]


def _said_of_choice(chosen: Row) -> Row:
    """What was chosen, without what has no meaning: epochs of a probe, a threshold of values."""
    said = {key: value for key, value in chosen.items() if value is not None}
    epoch, epochs = said.pop("epoch", None), said.pop("epochs", None)
    if epoch and epochs:
        said["epoch"] = f"{epoch} of {epochs}"
    if "strength" in said:
        said["C (larger: less regularised)"] = said.pop("strength")
    return said


_CHOOSING = (
    "Figures are means over the parts of the rows that took turns as validation rows;"
    " they are not results."
)
_ONE_WINS = (
    "Of the candidates trained in all parts, the one with the highest {ranking} is chosen; at a"
    " tie that with the lower loss, then the cheaper one."
)
_FOLDS_CHOOSE = (
    "Each fold chose for itself, and what most folds chose was then trained on all rows,"
    " whichever line is best: lines for different strands come from different folds and cannot be"
    " compared."
)
_STRANDS = {"both": " It reads both strands.", "forward": " It reads only the given strand."}
_NO_RANKING = ("train", "strand", "loss", "parts")


def _choice_part(found: Row, settings: Row) -> list[Part]:
    """What could be trained, how it did on validation rows and by which rules one was taken;
    nothing for a run without.
    """
    tried = found.get("tried") or []
    if not tried:
        return []
    chosen = found.get("chosen", {})
    trained = list(dict.fromkeys(one["train"] for one in tried))
    ranking = next((name for name in tried[0] if name not in _NO_RANKING), "ranking")
    rules = [
        f"Chosen: {chosen.get('train', '')}.{_STRANDS.get(chosen.get('strand'), '')}",
        _CHOOSING,
        *([_ONE_WINS.format(ranking=ranking)] if len(trained) > 1 else []),
        *_rules_of_reading(trained, settings),
        *([_FOLDS_CHOOSE] if "cross-validation" in str(found.get("protocol", "")) else []),
    ]
    rows = [[score(value) for value in one.values()] for one in tried]
    values = found.get("task", {}).get("kind") == "regression"
    header = [
        "squared error (in variances)" if values and name == "loss" else name for name in tried[0]
    ]
    return [Part("What was trained", " ".join(rules), (), header, rows)]


def _rules_of_reading(trained: Sequence[str], settings: Row) -> list[str]:
    """How strands and bins are chosen where the settings leave them open: not by the ranking."""
    strand = "auto" in settings.get("strand", "auto")
    pooling = "auto" in settings.get("pooling", "auto")
    rules = []
    if "probe" in trained:
        told = [*(["strand"] if strand else []), *(["poolings"] if pooling else []), "C"]
        rules.append(f"A probe uses the {listed(told, 'and')} with the lowest loss.")
    told = [
        *(["the given strand alone"] if strand else []),
        *(["bins", "deviations", "k-mers", "dinucleotides by position"] if pooling else []),
    ]
    if told and set(trained) - {"probe"} and settings.get("begin", "probe") == "probe":
        rules.append(
            f"A network reads {listed(told, 'or')} only where that is clearly better: where it"
            " lowers the loss of a linear probe by more than a standard error (two, with fewer"
            " than 100 rows)."
        )
    return rules


_CALIBRATION = (
    " The curve compares the mean probability of {asked} with the share of rows that belong to it;"
    " on the dashed line the two agree. The expected calibration error is the mean distance from"
    " it."
)


def _calibration_part(found: Row) -> list[Part]:
    """Judged probabilities before and after calibration; nothing for a run that has none."""
    calibration = found.get("calibration") or {}
    judged = {when: calibration[when] for when in ("before", "after") if when in calibration}
    if not judged:
        return []
    asked, share = _asked(found.get("task", {}))
    lines = {
        f"{when} calibration": [(p, so) for p, so, _ in each["reliability"]]
        for when, each in judged.items()
    }
    chart = Chart("Reliability", f"mean probability of {asked}", share, lines, agreement="ideal")
    names = [name for name in judged["before"] if name != "reliability"]
    rows = [(name, *(score(each[name]) for each in judged.values())) for name in names]
    text = f"{str(calibration.get('what', '')).capitalize()}.{_CALIBRATION.format(asked=asked)}"
    text += _harm(judged)
    return [Part("Calibration", text, figures_of(chart), ("number", *judged), rows)]


def _harm(judged: Row) -> str:
    """A sentence where calibration made probabilities worse, by a score that rewards honesty."""
    before, after = judged.get("before", {}), judged.get("after", {})
    worse = [
        f"{name.replace('_', ' ')} {score(before[name])} → {score(after[name])}"
        for name in ("log_loss", "brier")
        if name in before and name in after and after[name] > before[name]
    ]
    return f" On these rows calibration made it worse: {listed(worse, 'and')}." if worse else ""


def _asked(task: Row) -> tuple[str, str]:
    """Whose probability is judged, and the name of the share to compare it with. The first class of
    two mirrors the second; several are taken together.
    """
    kind, classes = task.get("kind"), task.get("classes") or [""]
    if kind == "binary":
        name = short(str(classes[-1]))
        return f"class {name}", f"share of rows of class {name}"
    if kind == "multilabel":
        return "a label (all labels together)", "share of rows with that label"
    return "a class (all classes together)", "share of rows of that class"


def _sentence(found: Row) -> str:
    """The protocol as a sentence of its own."""
    protocol = str(found.get("protocol", ""))
    return f"{protocol[:1].upper()}{protocol[1:]}." if protocol else ""


def _confusion(files: RunFiles) -> list[Markup]:
    """The confusion table as a figure; classes in columns, the true one in the first column."""
    header, lines = _counts(files)
    # Of several labels a row the columns are four kinds of counts.
    if header[1:] != [line[0] for line in lines]:
        return []
    counts = [[int(float(cell)) for cell in line[1:]] for line in lines]
    # No font has a tab.
    names = [" ".join(name.split()) for name in header[1:]]
    title = "True and predicted class of the evaluated rows"
    return [Markup(draw_table(counts, names, title))] if names else []


def _counts_part(files: RunFiles) -> list[Part]:
    """Right and wrong answers to each label of a multi-label task."""
    header, lines = _counts(files)
    if header[1:] == [line[0] for line in lines]:
        return []
    return [Part("Predictions for each label", "Numbers of evaluated rows.", (), header, lines)]


def _counts(files: RunFiles) -> tuple[list[str], list[list[str]]]:
    """Header and lines of confusion.tsv; none where nothing was judged."""
    path = files.folder / "confusion.tsv"
    if not path.is_file():
        return [], []
    with path.open(encoding="utf-8", newline="") as stream:
        header, *lines = csv.reader(stream, delimiter="\t")
    return header, lines


def _learning_part(files: RunFiles, found: Row, settings: Row) -> list[Part]:
    """Curves by epoch; nothing for a probe, which has none."""
    charts = _learning_charts(files)
    return [Part("Learning", _learning_words(files, found, settings), charts)] if charts else []


def _learning_words(files: RunFiles, found: Row, settings: Row) -> str:
    """What validation rows choose: where they choose in turn, no epoch."""
    if not any("validation_loss" in row or "part" in row for row in files.metrics):
        return ""
    in_turn = any("part" in row for row in files.metrics)
    binary = found.get("task", {}).get("kind") == "binary"
    told = [
        *(["what is trained"] if settings.get("train", "auto") == "auto" else []),
        *([] if in_turn else ["the epoch"]),
        *(["the strand"] if "auto" in settings.get("strand", "auto") else []),
        *(["the threshold"] if binary else []),
    ]
    chosen = f"Validation rows choose {listed(told, 'and')}. " if told else ""
    return f"{chosen}Scores on validation rows are not results."


def _learning_charts(files: RunFiles) -> list[Markup]:
    """Curves of every training run that took part to its end, one line for what is trained and a
    strand; folds of cross-validation, and parts that choose in turn, are left out.
    """
    fits = [
        row
        for row in files.metrics
        if row.get("stage") in ("fit", "all rows") and "epoch" in row and "part" not in row
    ]
    names = [name for row in fits[:1] for name in row if name not in _NO_CURVE]
    return [
        figure
        for name in names
        for figure in figures_of(Chart(name.replace("_", " "), "epoch", "", _by_run(fits, name)))
    ]


_NO_CURVE = ("stage", "epoch", "train", "strand", "seconds", "repeat", "fold")


def _by_run(rows: Sequence[Row], name: str) -> dict[str, list[tuple[float, float]]]:
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row.get(name) is not None:
            what = ", ".join([*filter(None, [row.get("train")]), f"strand: {row['strand']}"])
            lines.setdefault(what, []).append((row["epoch"], row[name]))
    return lines


def _metric_cells(metric: Any) -> tuple[str, str]:
    """Value and interval of one metric as `Metric.as_dict` writes it."""
    if not isinstance(metric, Mapping):
        return shown(metric), ""
    if metric.get("value") is None:
        return "undefined", str(metric.get("reason", ""))
    low, high = metric.get("low"), metric.get("high")
    return f"{metric['value']:.3f}", "" if low is None else f"{low:.3f} to {high:.3f}"
