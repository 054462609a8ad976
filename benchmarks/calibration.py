"""Is a fine-tuned network's probability worth more after calibration on validation rows?

For each run of fine-tuning on a task with official dev and test rows: calibrate on dev, judge on
test. Prints a Markdown table; the settings of the runs are in their folders.

    python benchmarks/calibration.py TASK_FOLDER=RUN ...
"""

from __future__ import annotations

import argparse

from findna.data.labels import read_labelled
from findna.inference.answers import scores_of, task_outputs
from findna.model.loading import load_model
from findna.training.calibration import OutOfFold, calibrate, measured

_NUMBERS = ("expected_calibration_error", "brier", "log_loss")


def judged(folder: str, run: str) -> str:
    """One row of the table."""
    data, model = read_labelled(folder), load_model(run)
    task = model.config.task
    if task is None:
        raise SystemExit(f"{run} is not fine-tuned")
    dev, test = data.splits["dev"], data.splits["test"]
    logits = task_outputs(model, dev.codes)[None]
    fitted, _ = calibrate(task, OutOfFold(logits, dev.labels, "dev rows"))
    answers = task_outputs(model, test.codes)
    before, after = (
        measured(task.kind, test.labels, scores_of(answers, each)[None]) for each in (task, fitted)
    )
    cells = [f"{before[name]:.4f} → {after[name]:.4f}" for name in _NUMBERS]
    return f"| {folder.rsplit('/', 1)[-1]} | {len(dev):,} | {len(test):,} | {' | '.join(cells)} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairs", nargs="+", metavar="TASK_FOLDER=RUN")
    print("| task | dev rows | test rows | expected calibration error | Brier | log loss, nats |")
    print("|---|---|---|---|---|---|")
    for pair in parser.parse_args().pairs:
        folder, _, run = pair.partition("=")
        print(judged(folder, run), flush=True)


if __name__ == "__main__":
    main()
