"""What the report of a pretraining run shows: losses on held-out DNA, health, training."""

from markupsafe import Markup

from findna.report.figures import Chart
from findna.report.page import Part, figures_of, shown
from findna.report.run_files import RunFiles


def pretraining_parts(files: RunFiles) -> list[Part]:
    """The parts that only a pretraining run has."""
    losses = [*_held_out_chart(files), *_length_chart(files)]
    health = _health_charts(files)
    return [
        Part("Held-out DNA", _HELD_OUT if losses else "", losses),
        Part("Health", _health_words(files) if health else "", health),
        Part("Training", "", _training_charts(files)),
        Part("Final check", "", (), ("number", "value"), _last_numbers(files)),
    ]


_HELD_OUT = (
    "Cross-entropy in nats at bases shown as MASK, on regions never used for training. Below the"
    " letter entropy something was learned; below the two-sided Markov model, more than short"
    " words."
)
_COLLAPSE = "Collapse: all windows get the same embedding, and the effective rank falls towards 1."
_HEALTH = (
    "Collapse is how self-distillation fails: all windows get the same embedding (effective rank"
    " falls towards 1) or the teacher gives the same output for every window (information falls"
    " to 0)."
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
    return figures_of(
        Chart(
            "MASK-only loss on held-out DNA",
            "step",
            "nats per base",
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
    return figures_of(
        Chart(title, "bp", "nats per base", {"model": points}, levels, {"model": band})
    )


def _health_words(files: RunFiles) -> str:
    return _HEALTH if files.distilling else _COLLAPSE


def _health_charts(files: RunFiles) -> list[Markup]:
    wanted = (
        ("Effective rank of embeddings", "dimensions", "effective_rank"),
        ("Entropy of the teacher", "nats", "teacher_entropy"),
        ("Information in the teacher's output", "nats", "token_information"),
        ("Agreement of the two strands", "cosine", "strand_agreement"),
        ("Distillation loss, held out", "nats", "distillation_loss"),
    )
    return [
        figure
        for title, unit, name in wanted
        if files.distilling or name not in _OF_THE_PROJECTION
        for figure in figures_of(Chart(title, "step", unit, {title: files.points(name)}))
    ]


def _training_charts(files: RunFiles) -> list[Markup]:
    losses = {"masked bases": files.points("masked_loss")}
    if files.distilling:
        losses["distillation"] = files.points("train_distillation_loss")
    name = "Training losses" if files.distilling else "Training loss at masked bases"
    rate = {"learning rate": files.points("learning_rate")}
    norm = {"gradient": files.points("gradient_norm")}
    return [
        *figures_of(Chart(name, "step", "nats", losses, smooth=True)),
        *figures_of(Chart("Learning rate", "step", "", rate)),
        *figures_of(Chart("Gradient norm", "step", "", norm, smooth=True)),
    ]


def _last_numbers(files: RunFiles) -> list[tuple[str, str]]:
    checks = [row for row in files.metrics if row.get("mask_loss") is not None]
    last = checks[-1] if checks else {}
    unlearned = () if files.distilling else _OF_THE_PROJECTION
    return [
        (key, shown(value))
        for key, value in last.items()
        if not isinstance(value, dict) and key not in unlearned
    ]
