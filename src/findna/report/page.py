"""report.html of a run, from the files of its folder."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, select_autoescape
from markupsafe import Markup

from findna.files import BadInput, atomic_file, read_json
from findna.report.figures import Chart, draw_chart, draw_table, short

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """A titled part of the page: a sentence, figures as SVG, a table of rows with a header."""

    title: str
    text: str = ""
    figures: Sequence[Markup] = ()
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


@dataclass(frozen=True, slots=True)
class RunFiles:
    """What a run folder says about itself; parts that are missing are empty."""

    folder: Path
    settings: Row
    metrics: Sequence[Row]
    environment: Row
    commands: Sequence[str]

    def points(self, name: str) -> list[tuple[float, float]]:
        """(step, value) of a number, as `rows_with` has it."""
        return [(row["step"], row[name]) for row in self.rows_with(name)]

    def rows_with(self, name: str) -> list[Row]:
        """Rows with a number that was written during training.

        The closing check is on other windows: its numbers are no points of a curve, but all there
        is where training was too short for another check.
        """
        rows = [row for row in self.metrics if row.get(name) is not None and "step" in row]
        return [row for row in rows if "by_length" not in row] or rows

    def last(self, name: str) -> Any:
        """The value written last, None where there is none."""
        found = [row[name] for row in self.metrics if row.get(name) is not None]
        return found[-1] if found else None

    @property
    def distilling(self) -> bool:
        """Whether pretraining taught the projection: without, its numbers are those of chance."""
        settings = self.settings.get("settings") or {}
        weight = (settings.get("distillation") or {}).get("distillation_weight")
        return weight is None or weight > 0


def write_report(run: str | Path, stopped: str = "") -> Path:
    """Write `report.html` into a run folder, again if it is there, and return its path.

    Args:
        run: the folder.
        stopped: why the run ended before its end, which does not stand in its folder.

    Raises:
        BadInput: the folder holds no settings.yaml, or a file of it is damaged.
    """
    files = read_run(Path(run))
    verb = str(files.settings.get("verb", "run"))
    parts = [*_PARTS.get(verb, _no_parts)(files), *_common_parts(files)]
    name, verdict = files.folder.resolve().name, _verdict(files, stopped)
    return write_page(files.folder / "report.html", f"findna {verb}", name, verdict, parts)


def write_page(file: Path, title: str, folder: str, verdict: str, parts: Sequence[Part]) -> Path:
    """Write a page of parts, over what was there; `folder` says in its heading what it is about."""
    loader = PackageLoader("findna.report", package_path="")
    pages = Environment(loader=loader, autoescape=select_autoescape(["j2", "html"]))
    template = pages.get_template("page.html.j2")
    text = template.render(title=title, folder=folder, verdict=verdict, parts=parts)
    with atomic_file(file, overwrite=True) as made:
        made.write_text(text, encoding="utf-8")
    return file


def read_run(folder: Path) -> RunFiles:
    """Read the small files of a run folder."""
    settings = folder / "settings.yaml"
    if not settings.is_file():
        raise BadInput("is no run folder: it has no settings.yaml", file=folder)
    environment = folder / "environment.json"
    commands = folder / "command.txt"
    return RunFiles(
        folder,
        _read_settings(settings),
        _read_lines(folder / "metrics.jsonl"),
        read_json(environment) if environment.is_file() else {},
        commands.read_text(encoding="utf-8").splitlines() if commands.is_file() else [],
    )


def _read_settings(path: Path) -> Row:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"is not YAML: {error}", file=path) from None
    if not isinstance(found, Mapping):
        raise BadInput("holds no settings", file=path)
    return found


def _read_lines(path: Path) -> list[Row]:
    """Rows of a metrics file; a last line cut off by a crash is left out."""
    rows: list[Row] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def _chart(chart: Chart) -> list[Markup]:
    """The chart as a list of one figure, or of none where there is nothing to draw."""
    return [Markup(draw_chart(chart))] if any(chart.lines.values()) else []


# Pretraining ---------------------------------------------------------------------------------


def _pretraining_parts(files: RunFiles) -> list[Part]:
    losses = [*_held_out_chart(files), *_length_chart(files)]
    health = _health_charts(files)
    return [
        Part("Held-out DNA", _HELD_OUT if losses else "", losses),
        Part("Health", _health_words(files) if health else "", health),
        Part("Training", "", _training_charts(files)),
        Part("Last check", "", (), ("number", "value"), _last_numbers(files)),
    ]


_HELD_OUT = (
    "Cross-entropy in nats at bases hidden by MASK, on regions that training never reads. Below"
    " the letter entropy something is learned; below the two-sided Markov model more than short"
    " words is."
)
_COLLAPSE = "Collapse: all windows get the same embedding, and the effective rank falls towards 1."
_HEALTH = (
    "Self-distillation dies by collapse: all windows get the same embedding (effective rank falls"
    " towards 1) or the teacher says the same of every window (information falls to 0)."
)
_OF_THE_PROJECTION = (
    "distillation_loss", "teacher_entropy", "token_information", "least_token_information",
    "silent_tokens", "tokens",
)  # fmt: skip


def _held_out_chart(files: RunFiles) -> list[Markup]:
    band = [
        (row["step"], row["mask_loss_low"], row["mask_loss_high"])
        for row in files.rows_with("mask_loss")
        if row.get("mask_loss_low") is not None
    ]
    return _chart(
        Chart(
            "MASK-only loss on held-out DNA",
            "step",
            "nats a base",
            {"model": files.points("mask_loss")},
            _yardsticks(files),
            {"model": band},
        )
    )


def _yardsticks(files: RunFiles) -> dict[str, float]:
    """Losses of what knows letters alone, or short words."""
    levels = {
        "letter entropy": files.last("letter_entropy"),
        "two-sided Markov model": files.last("markov_loss"),
    }
    return {name: level for name, level in levels.items() if level is not None}


def _length_chart(files: RunFiles) -> list[Markup]:
    lengths = files.last("by_length") or {}
    points = sorted((int(length), score["loss"]) for length, score in lengths.items())
    band = sorted((int(n), s["low"], s["high"]) for n, s in lengths.items())
    title = "MASK-only loss by window length, at the end"
    levels = _yardsticks(files)
    return _chart(Chart(title, "bp", "nats a base", {"model": points}, levels, {"model": band}))


def _health_words(files: RunFiles) -> str:
    return _HEALTH if files.distilling else _COLLAPSE


def _health_charts(files: RunFiles) -> list[Markup]:
    wanted = (
        ("Effective rank of embeddings", "dimensions", "effective_rank"),
        ("Entropy of the teacher", "nats", "teacher_entropy"),
        ("What the teacher says of a window", "nats", "token_information"),
        ("Agreement of the two strands", "cosine", "strand_agreement"),
        ("Distillation loss, held out", "nats", "distillation_loss"),
    )
    return [
        figure
        for title, unit, name in wanted
        if files.distilling or name not in _OF_THE_PROJECTION
        for figure in _chart(Chart(title, "step", unit, {title: files.points(name)}))
    ]


def _training_charts(files: RunFiles) -> list[Markup]:
    losses = {"masked bases": files.points("masked_loss")}
    if files.distilling:
        losses["distillation"] = files.points("train_distillation_loss")
    name = "Training losses" if files.distilling else "Training loss at masked bases"
    rate = {"learning rate": files.points("learning_rate")}
    norm = {"gradient": files.points("gradient_norm")}
    return [
        *_chart(Chart(name, "step", "nats", losses, smooth=True)),
        *_chart(Chart("Learning rate", "step", "", rate)),
        *_chart(Chart("Gradient norm", "step", "", norm, smooth=True)),
    ]


def _last_numbers(files: RunFiles) -> list[tuple[str, str]]:
    checks = [row for row in files.metrics if row.get("mask_loss") is not None]
    last = checks[-1] if checks else {}
    unlearned = () if files.distilling else _OF_THE_PROJECTION
    return [
        (key, _shown(value))
        for key, value in last.items()
        if not isinstance(value, dict) and key not in unlearned
    ]


# Fine-tuning ---------------------------------------------------------------------------------


def _finetuning_parts(files: RunFiles) -> list[Part]:
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
            "How it was judged" if found.get("intervals") else "How it was made",
            str(found.get("intervals") or ""),
            (),
            ("what", "value"),
            _flat(facts),
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


_CHOOSING = "Figures are means over so many parts of the rows that choose, and no result."
_ONE_WINS = (
    "Of what was heard on all parts the highest {ranking} wins, of equals the lowest loss, and of"
    " those the cheaper one."
)
_FOLDS_CHOOSE = (
    "Each fold chose for itself, and what most folds chose was then learned from all rows,"
    " whichever line is best: lines of different strands come from different folds and do not"
    " compare."
)
_STRANDS = {"both": " It reads both strands.", "forward": " It reads the given strand alone."}
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
    rows = [[_score(value) for value in one.values()] for one in tried]
    values = found.get("task", {}).get("kind") == "regression"
    header = [
        "squared error in variances" if values and name == "loss" else name for name in tried[0]
    ]
    return [Part("What was trained", " ".join(rules), (), header, rows)]


def _rules_of_reading(trained: Sequence[str], settings: Row) -> list[str]:
    """How strands and bins are chosen where the settings leave them open: not by the ranking."""
    strand = "auto" in settings.get("strand", "auto")
    pooling = "auto" in settings.get("pooling", "auto")
    rules = []
    if "probe" in trained:
        told = [*(["strand"] if strand else []), *(["poolings"] if pooling else []), "C"]
        rules.append(f"A probe takes the {_listed(told, 'and')} of the lowest loss.")
    told = [
        *(["the given strand alone"] if strand else []),
        *(["bins", "deviations", "k-mers", "pairs at places"] if pooling else []),
    ]
    if told and set(trained) - {"probe"} and settings.get("begin", "probe") == "probe":
        rules.append(
            f"A network reads {_listed(told, 'or')} only where that is clearly better: where the"
            " loss of a linear probe is lower for it by more than a standard error (two, of fewer"
            " than 100 rows)."
        )
    return rules


def _listed(words: Sequence[str], last: str) -> str:
    """`a, b and c`."""
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


_CALIBRATION = (
    " Of rows with a probability of 0.8 of {asked}, 8 in 10 should be so: on the dashed line they"
    " are. The expected calibration error is the mean distance from it."
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
    chart = Chart(
        "Reliability", f"mean probability of {asked}", share, lines, agreement="as it should be"
    )
    names = [name for name in judged["before"] if name != "reliability"]
    rows = [(name, *(_score(each[name]) for each in judged.values())) for name in names]
    text = f"{str(calibration.get('what', '')).capitalize()}.{_CALIBRATION.format(asked=asked)}"
    text += _harm(judged)
    return [Part("Calibration", text, _chart(chart), ("number", *judged), rows)]


def _harm(judged: Row) -> str:
    """A sentence where calibration made probabilities worse, by a score that rewards honesty."""
    before, after = judged.get("before", {}), judged.get("after", {})
    worse = [
        f"{name.replace('_', ' ')} {_score(before[name])} → {_score(after[name])}"
        for name in ("log_loss", "brier")
        if name in before and name in after and after[name] > before[name]
    ]
    return f" On these rows calibration did harm: {_listed(worse, 'and')}." if worse else ""


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
    title = "True class and answer of judged rows"
    return [Markup(draw_table(counts, names, title))] if names else []


def _counts_part(files: RunFiles) -> list[Part]:
    """Right and wrong answers to each label of a multi-label task."""
    header, lines = _counts(files)
    if header[1:] == [line[0] for line in lines]:
        return []
    return [Part("Answers to each label", "Numbers of judged rows.", (), header, lines)]


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
    chosen = f"Validation rows choose {_listed(told, 'and')}. " if told else ""
    return f"{chosen}Scores on validation rows are no result."


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
        for figure in _chart(Chart(name.replace("_", " "), "epoch", "", _by_run(fits, name)))
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
        return _shown(metric), ""
    if metric.get("value") is None:
        return "undefined", str(metric.get("reason", ""))
    low, high = metric.get("low"), metric.get("high")
    return f"{metric['value']:.3f}", "" if low is None else f"{low:.3f} to {high:.3f}"


# Every run -----------------------------------------------------------------------------------


def _common_parts(files: RunFiles) -> list[Part]:
    return [
        Part("Settings", "", (), ("setting", "value"), _flat(files.settings)),
        Part("Environment", "", (), ("what", "value"), _flat(files.environment)),
        Part("Command", "", (), ("command",), [(command,) for command in files.commands]),
    ]


def _flat(values: Row, prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as rows of dotted names."""
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        rows += _flat(value, f"{name}.") if isinstance(value, Mapping) else [(name, _shown(value))]
    return rows


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, list):
        return ", ".join(_shown(item) for item in value)
    return str(value)


def _score(value: Any) -> str:
    """A score or loss, to as many digits as it is worth."""
    return f"{value:.4g}" if isinstance(value, float) else _shown(value)


def _verdict(files: RunFiles, stopped: str) -> str:
    """What the last check said; first that the run is not finished, where it is not."""
    said = str(files.last("verdict") or "")
    unfinished = _unfinished(files)
    if not unfinished:
        return said
    why = f" Stopped: {stopped}." if stopped else ""
    return f"Not finished: {unfinished}.{why}" + (f" At the last check: {said}" if said else "")


def _unfinished(files: RunFiles) -> str:
    """How far a run came that has no model, or a model of fewer steps than planned."""
    config = files.folder / "model" / "config.json"
    if files.settings.get("verb") not in _PARTS:
        return ""
    if config.is_file():
        seen = read_json(config).get("provenance", {})
        finished = seen.get("finished") is not False
        return "" if finished else f"step {seen['steps']:,} of {seen['planned_steps']:,}"
    checkpoint = files.folder / "checkpoints" / "last" / "state.json"
    state = read_json(checkpoint) if checkpoint.is_file() else {}
    step = max(state.get("step", 0), files.last("step") or 0)
    settings = files.settings.get("settings") or {}
    planned = state.get("plan", {}).get("steps") or settings.get("steps")
    if not step:
        return "it has written no model"
    return f"step {step:,}" + (f" of {planned:,}" if planned else "")


def _no_parts(files: RunFiles) -> list[Part]:
    return []


_PARTS: Mapping[str, Callable[[RunFiles], list[Part]]] = {
    "pretrain": _pretraining_parts,
    "finetune": _finetuning_parts,
}
