"""Pretraining: it learns, resumes bit for bit, stops in time, and refuses what it must."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from findna.cli import app
from findna.data.holdout import split_genome
from findna.data.windows import WindowSampler
from findna.files import BadInput, read_json_lines
from findna.model.chordmixer import ChordMixerConfig
from findna.model.heads import TaskConfig
from findna.model.loading import load_model
from findna.model.model import Distilled, new_model
from findna.model.presets import PRESETS, ModelConfig
from findna.sequence.alphabet import decode
from findna.sequence.genome import Genome
from findna.training import examination, stopping
from findna.training import pretrain as pretrain_module
from findna.training.examination import Examiner
from findna.training.pretrain import PretrainResult, pretrain
from findna.training.recipes import PretrainSettings, seconds
from findna.training.run_state import Run, load_checkpoint
from findna.training.seen import pretraining_of, seen_part
from findna.training.self_distillation import SelfDistillation
from findna.training.starting import preset_of, starting_model
from findna.training.stopping import NonFiniteLoss, StopRequest
from findna.training.validation import held_out, masked_score

GOLDEN_MASK_LOSS = 0.7788
SAMPLING = {"window": 128, "min_window": 64, "batch_bases": 2048}


def settings(**given: Any) -> PretrainSettings:
    given = {
        "steps": 6,
        "precision": "fp32",
        "sampling": SAMPLING,
        "validation": {"bases": 2048, "final_bases": 4096, "checks": 2},
        "distillation": {"distillation_weight": 0.2},
        **given,
    }
    return PretrainSettings.resolve(given)


@pytest.fixture(scope="module")
def genome(tmp_path_factory: pytest.TempPathFactory) -> Genome:
    """Four chromosomes of words from a small dictionary, each stretch with its own favourites."""
    folder = tmp_path_factory.mktemp("genome")
    rng = np.random.default_rng(0)
    words = ["ACGTTGCA", "TTTTGGGG", "CACACACG", "GGATCCAA"]
    with (folder / "toy.fa").open("w") as out:
        for number in range(4):
            liked = rng.dirichlet([0.3] * len(words), size=25)
            drawn = [i for share in liked for i in rng.choice(len(words), 60, p=share)]
            out.write(f">chr{number + 1}\n" + "".join(words[i] for i in drawn) + "\n")
    return Genome.open(folder / "toy.fa", cache=folder / "cache")


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(Run(folder, False))[0]


def same(one: Path, two: Path) -> bool:
    left, right = tensors(one), tensors(two)
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def test_it_learns_what_letters_cannot_tell(genome: Genome, tmp_path: Path) -> None:
    given = settings(steps=60, validation={"bases": 4096, "final_bases": 8192, "checks": 2})
    result = pretrain(genome, tmp_path / "run", given, device="cpu")
    assert result.finished and result.steps == 60
    assert result.metrics["mask_loss"] < result.metrics["letter_entropy"] - 0.1
    assert result.metrics["markov_loss"] < 0.6 * result.metrics["letter_entropy"]
    assert result.verdict.startswith("learning")
    model = load_model(tmp_path / "run")
    assert model.provenance["genome_digest"] == genome.digest
    assert model.provenance["trained_lengths"] == [64, 128]
    sampler = WindowSampler(genome, split_genome(genome, given.sampling).train, given.sampling, 0)
    mean = sampler.usual_batch_bases
    an_epoch = int(np.diff(sampler._runs).sum() / mean)
    read = [
        sampler.draw(e, sampler.sample_ids(e, b), n).size * n
        for e, b in (divmod(step, an_epoch) for step in range(60))
        for n in [sampler.batch_length(e, b)]
    ]
    assert model.provenance["bases_seen"] == sum(read) < 60 * given.sampling.batch_bases
    assert mean == pytest.approx(np.mean(read), rel=0.01)
    # Hold-out blocks of 128 bp have no room for the longer ones.
    assert set(result.metrics["by_length"]) == {"70", "101"}
    split = split_genome(genome, given.sampling)
    bases = min(8192, int(np.diff(split.validation).sum())) // 4
    for length, found in result.metrics["by_length"].items():
        data = held_out(genome, split.validation, length=int(length), bases=bases, max_n=0.05,
                        hidden=given.validation.hidden, seed=given.seed)  # fmt: skip
        score = masked_score(model, data, precision="fp32")
        assert found == pytest.approx({"loss": score.loss, "low": score.low, "high": score.high})


def test_run_folder_holds_what_it_promises(genome: Genome, tmp_path: Path) -> None:
    pretrain(genome, tmp_path / "run", settings(), device="cpu")
    names = {p.name for p in (tmp_path / "run").iterdir()}
    assert names >= {"settings.yaml", "command.txt", "environment.json", "metrics.jsonl", "model"}
    rows = read_json_lines(tmp_path / "run" / "metrics.jsonl")
    assert (
        rows[-1]["step"] == 6 and {"mask_loss", "token_information", "verdict"} <= rows[-1].keys()
    )


@pytest.mark.parametrize(("steps", "checks", "at"), [(5, 3, [2, 4, 5]), (2, 20, [1, 2])])
def test_checks_are_as_many_as_asked_for(
    steps: int, checks: int, at: list[int], genome: Genome, tmp_path: Path
) -> None:
    small = {"validation": {"bases": 512, "final_bases": 512, "checks": checks}}
    pretrain(genome, tmp_path / "run", settings(steps=steps, **small), device="cpu")
    rows = read_json_lines(tmp_path / "run" / "metrics.jsonl")
    assert [row["step"] for row in rows if "mask_loss" in row] == at


@pytest.mark.parametrize("given", [{"steps": 3}, {"steps": None, "epochs": 0.1}])
def test_what_counts_steps_is_not_ended_by_the_clock(
    given: dict[str, Any], genome: Genome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("findna.training.job.seconds", lambda _: 0.0)
    assert pretrain(genome, tmp_path / "run", settings(**given), device="cpu").finished


def test_info_says_how_far_a_run_is(genome: Genome, tmp_path: Path) -> None:
    pretrain(genome, tmp_path / "run", settings(), device="cpu")
    result = CliRunner().invoke(app, ["info", str(tmp_path / "run")])
    assert result.exit_code == 0, result.stderr
    facts = dict(line.split("\t") for line in result.stdout.splitlines())
    assert (facts["verb"], facts["state"], facts["steps"]) == ("pretrain", "finished", "6 of 6")
    assert facts["model preset"] == "tiny"


def test_the_same_seed_repeats_everything_and_another_does_not(
    genome: Genome, tmp_path: Path
) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        pretrain(genome, tmp_path / name, settings(seed=seed), device="cpu")
    assert same(tmp_path / "a", tmp_path / "b")
    assert not same(tmp_path / "a", tmp_path / "c")


def interrupt_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C during ``step``."""
    learn = SelfDistillation.step

    def stopping(self: Any, parts: Any, at: int, steps: int) -> Any:
        if at == step:
            import signal

            signal.raise_signal(signal.SIGINT)
        return learn(self, parts, at, steps)

    monkeypatch.setattr(SelfDistillation, "step", stopping)


def test_stop_and_resume_equal_one_run_bit_for_bit(
    genome: Genome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretrain(genome, tmp_path / "whole", settings(steps=8), device="cpu")
    with monkeypatch.context() as patch:
        interrupt_at(3, patch)
        with pytest.raises(KeyboardInterrupt):
            pretrain(genome, tmp_path / "cut", settings(steps=8), device="cpu")
    assert load_checkpoint(Run(tmp_path / "cut", True))[1]["step"] == 4
    pretrain(genome, tmp_path / "cut", settings(steps=8), device="cpu", resume=True)
    assert same(tmp_path / "whole", tmp_path / "cut")
    rows = read_json_lines(tmp_path / "cut" / "metrics.jsonl")
    steps = [row["step"] for row in rows]
    assert steps == sorted(steps)
    pretrain(genome, tmp_path / "cut", settings(steps=8), device="cpu", resume=True)
    again = read_json_lines(tmp_path / "cut" / "metrics.jsonl")
    assert [row["step"] for row in again] == steps


def test_resume_with_other_settings_is_refused(genome: Genome, tmp_path: Path) -> None:
    pretrain(genome, tmp_path / "run", settings(), device="cpu")
    with pytest.raises(BadInput, match="settings differ"):
        pretrain(genome, tmp_path / "run", settings(seed=3), device="cpu", resume=True)


def test_existing_run_is_refused_then_overwritten(genome: Genome, tmp_path: Path) -> None:
    pretrain(genome, tmp_path / "run", settings(), device="cpu")
    with pytest.raises(BadInput, match="--resume continues it, --overwrite"):
        pretrain(genome, tmp_path / "run", settings(), device="cpu")
    pretrain(genome, tmp_path / "run", settings(seed=2), device="cpu", overwrite=True)


def test_a_folder_of_somebody_else_is_never_overwritten(genome: Genome, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(BadInput, match="not written by findna"):
        pretrain(genome, tmp_path, settings(), device="cpu", overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize("target", get_args(Distilled))
def test_accumulation_changes_nothing_but_rounding(
    genome: Genome, tmp_path: Path, target: str
) -> None:
    given = {"steps": 3, "distillation": {"target": target, "distillation_weight": 1.0}}
    results = [
        pretrain(genome, tmp_path / str(n), settings(accumulate=n, **given), device="cpu")
        for n in (1, 4)
    ]
    # Health is that of what is distilled.
    tokens = load_model(tmp_path / "1").config.backbone.summary_tokens
    assert results[0].metrics["tokens"] == (tokens if target == "summary" else 1)
    one, four = (tensors(result.folder) for result in results)
    for name, value in one.items():
        if name.startswith("student."):
            torch.testing.assert_close(value, four[name], atol=2e-3, rtol=1e-3, msg=name)


def test_validation_changes_neither_teacher_nor_centre(
    genome: Genome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = Examiner.figures

    def examined(self: Any) -> dict[str, Any]:
        before = {k: v.clone() for k, v in self.learner.state().items()}
        numbers = figures(self)
        after = self.learner.state()
        assert all(torch.equal(before[k], after[k]) for k in before)
        return numbers

    monkeypatch.setattr(Examiner, "figures", examined)
    pretrain(genome, tmp_path / "run", settings(), device="cpu")


def test_without_distillation_no_teacher_is_asked_and_the_student_learns_the_same(
    genome: Genome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A weight of nothing and no weight at all move the student alike; the second costs less."""
    nearly = settings(distillation={"distillation_weight": 1e-30})
    pretrain(genome, tmp_path / "nearly", nearly, device="cpu")

    def asked(*_: Any) -> None:
        raise AssertionError("the teacher was asked")

    monkeypatch.setattr(SelfDistillation, "_teacher_scores", asked)
    without = settings(distillation={"distillation_weight": 0.0})
    result = pretrain(genome, tmp_path / "without", without, device="cpu")
    assert result.metrics["mask_loss"] < 1.5
    left, right = tensors(tmp_path / "nearly"), tensors(tmp_path / "without")
    for name, value in right.items():
        if name.startswith(("student.encoder", "student.base_head", "teacher.encoder")):
            torch.testing.assert_close(left[name], value, msg=name)


def test_what_each_target_distils() -> None:
    model = new_model("tiny", 0)
    codes = torch.randint(0, 4, (3, 40))
    hidden = torch.rand(3, 40) < 0.3
    encoded = model.encode(codes)
    assert model.distilled(encoded, "summary") is encoded.summary
    mean = model.distilled(encoded, "mean")
    torch.testing.assert_close(mean, encoded.bases.mean(1, keepdim=True))
    bases = model.distilled(encoded, "bases", hidden)
    wanted = [encoded.bases[b, at] for b in range(3) for at in range(40) if hidden[b, at]]
    torch.testing.assert_close(bases[:, 0], torch.stack(wanted))
    with pytest.raises(ValueError, match="which of them were hidden"):
        model.distilled(encoded, "bases")


def test_not_finite_loss_stops_and_keeps_the_last_good_checkpoint(
    genome: Genome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = SelfDistillation.step

    def breaking(self: Any, parts: Any, at: int, steps: int) -> Any:
        if at == 2:
            with torch.no_grad():
                self.model.base_head.bias.fill_(torch.nan)
        return learn(self, parts, at, steps)

    monkeypatch.setattr(SelfDistillation, "step", breaking)
    with pytest.raises(NonFiniteLoss, match="not finite at step") as caught:
        pretrain(genome, tmp_path / "run", settings(checkpoint_minutes=0), device="cpu")
    kept, numbers = load_checkpoint(Run(tmp_path / "run", True))
    assert numbers["step"] == 2 and caught.value.exit_code == 3
    assert all(torch.isfinite(v).all() for v in kept.values())
    assert not (tmp_path / "run" / "model").exists()
    assert f"is kept in {tmp_path / 'run' / 'checkpoints'}" in str(caught.value)


def test_no_checkpoint_is_promised_before_there_is_one(genome: Genome, tmp_path: Path) -> None:
    given = settings(steps=None, budget="1h", distillation={"learning_rate": 1e30})
    with pytest.raises(NonFiniteLoss, match="not finite at step 0\n"):
        pretrain(genome, tmp_path / "run", given, device="cpu")


def test_refused_input_makes_no_folder(tmp_path: Path) -> None:
    file = tmp_path / "soft.fa"
    file.write_text(">chr1\n" + "acgtta" * 2000 + "\n")
    soft = Genome.open(file, cache=tmp_path / "cache")
    without = settings(sampling={**SAMPLING, "soft_mask": "exclude"})
    for chosen, device in ((without, "cpu"), (settings(), "nonsense")):
        with pytest.raises(BadInput, match=r"lower case|no device 'nonsense'"):
            pretrain(soft, tmp_path / "run", chosen, device=device)
        assert not (tmp_path / "run").exists()


def test_a_budget_ends_in_time_with_a_model(genome: Genome, tmp_path: Path) -> None:
    start = time.monotonic()
    result: PretrainResult = pretrain(
        genome, tmp_path / "run", settings(steps=None, budget="12s"), device="cpu"
    )
    assert time.monotonic() - start < 18
    assert 1 <= result.steps <= result.planned_steps
    assert load_model(tmp_path / "run").provenance["planned_steps"] == result.planned_steps


class Clock:
    """Stands still but for what is said to take its time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.patch = 0.0, monkeypatch
        for module in ("pretrain", "job", "examination"):
            name = f"findna.training.{module}.time"
            monkeypatch.setattr(name, SimpleNamespace(monotonic=lambda: self.now))

    def slow(self, owner: Any, name: str, seconds: Callable[[], float]) -> None:
        work = getattr(owner, name)

        def slowly(*given: Any, **named: Any) -> Any:
            self.now += seconds()
            return work(*given, **named)

        self.patch.setattr(owner, name, slowly)


@pytest.mark.parametrize("slower", [1, 2])
def test_a_budget_pays_for_the_yardsticks_of_the_closing_check(
    slower: int, genome: Genome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether steps take as long as they did when they were timed, or not."""
    clock, steps = Clock(monkeypatch), count()
    clock.slow(SelfDistillation, "step", lambda: 2 if next(steps) < 20 else 2 * slower)
    clock.slow(examination, "health", lambda: 1)
    clock.slow(examination, "reference", lambda: 15)
    small = {"validation": {"bases": 512, "final_bases": 1024, "checks": 2}}
    small["sampling"] = {**SAMPLING, "batch_bases": 256}
    given = settings(steps=None, budget="2m", **small)
    result = pretrain(genome, tmp_path / "run", given, device="cpu")
    assert result.finished == (slower == 1)
    assert 110 < clock.now < 120 + 2 * slower


def test_slow_steps_are_timed_for_a_tenth_of_a_budget(
    genome: Genome,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock(monkeypatch)
    clock.slow(SelfDistillation, "step", lambda: 4)
    clock.slow(examination, "health", lambda: 1)
    monkeypatch.setattr("findna.training.job.FEW_STEPS", 10)
    small = {"validation": {"bases": 512, "final_bases": 512}}
    result = pretrain(
        genome, tmp_path / "run", settings(steps=None, budget="100s", **small), device="cpu"
    )
    assert "leaves time for few steps" not in caplog.text
    # Three steps and a check were timed; eight checks and the closing ones are paid for.
    assert (result.planned_steps, result.finished) == (int((100 - 12 - 1 - 8 - 1.625) / 4), True)
    assert 90 < clock.now <= 100
    clock.now = 0
    little = settings(steps=None, budget="1s", **small)
    result = pretrain(genome, tmp_path / "little", little, device="cpu")
    # Two steps and a check to time them, one step, and the closing check.
    assert (result.planned_steps, clock.now) == (1, 2 * 4 + 1 + 4 + 1)
    assert "a budget of 1s leaves time for few steps" in caplog.text
    # Out of time behind the last step that was planned: nothing is missing.
    assert (result.steps, result.finished) == (1, True)


def test_the_clock_of_the_command_runs_while_a_genome_is_indexed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = "".join(np.random.default_rng(0).choice(list("ACGT"), 6000))
    (tmp_path / "g.fa").write_text(f">chr1:10000-16000\n{letters}\n")
    small = {"steps": 2, "sampling": SAMPLING, "validation": {"bases": 512, "final_bases": 512}}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(small))
    clock = Clock(monkeypatch)
    clock.slow(Genome, "open", lambda: 3600)
    call = ["pretrain", tmp_path / "g.fa", "-o", tmp_path / "run", "--config"]
    call += [tmp_path / "small.yaml", "--regions", "0-based", "--device", "cpu"]
    done = CliRunner().invoke(app, [str(word) for word in call])
    assert done.exit_code == 0, done.stderr
    assert read_json_lines(tmp_path / "run" / "metrics.jsonl")[-1]["seconds"] == 3600
    with pytest.raises(BadInput, match="does not fit the length"):
        pretrain(tmp_path / "g.fa", tmp_path / "two", settings(), regions="1-based", device="cpu")


def test_the_clock_goes_on_where_a_run_is_resumed(
    genome: Genome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    clock.slow(SelfDistillation, "step", lambda: 10)
    given = settings(steps=8)
    with monkeypatch.context() as patch:
        interrupt_at(5, patch)
        with pytest.raises(KeyboardInterrupt):
            pretrain(genome, tmp_path / "run", given, device="cpu")
    clock.now += 3600
    pretrain(genome, tmp_path / "run", given, device="cpu", resume=True)
    rows = read_json_lines(tmp_path / "run" / "metrics.jsonl")
    assert [row["seconds"] for row in rows] == [40, 80, 80]


def test_timing_steps_leave_no_trace(genome: Genome, tmp_path: Path) -> None:
    result = pretrain(genome, tmp_path / "timed", settings(steps=None, budget="8s"), device="cpu")
    again = pretrain(genome, tmp_path / "fixed", settings(steps=result.planned_steps), device="cpu")
    if result.finished:
        assert same(result.folder, again.folder)


def test_continuing_from_a_model(genome: Genome, tmp_path: Path) -> None:
    pretrain(genome, tmp_path / "first", settings(steps=30), device="cpu")
    fresh = pretrain(genome, tmp_path / "fresh", settings(steps=2, seed=4), device="cpu")
    continued = pretrain(
        genome,
        tmp_path / "more",
        settings(steps=2, seed=4),
        device="cpu",
        start_from=tmp_path / "first",
    )
    assert continued.metrics["mask_loss"] < fresh.metrics["mask_loss"]
    assert (
        load_model(tmp_path / "more").provenance["continued_from"]["genome_digest"] == genome.digest
    )


def test_held_out_bases_that_taught_the_weights_are_said(
    genome: Genome, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def run(name: str, held: str, start: str | None = None) -> int | None:
        given = settings(steps=1, sampling={**SAMPLING, "validation_chroms": [held]})
        begin = None if start is None else tmp_path / start
        pretrain(genome, tmp_path / name, given, device="cpu", start_from=begin)
        found: int | None = load_model(tmp_path / name).provenance["held_out_known_before"]
        return found

    size = int(genome.lengths[1])
    assert run("one", "chr1") is None and run("same", "chr1", "one") == 0
    assert "taught" not in caplog.text
    assert run("other", "chr2", "one") == size
    assert f"{size:,} of {size:,} held-out bases were training data of" in caplog.text
    # What taught the first weights counts at the third run, too.
    assert run("third", "chr2", "other") == size


def test_lengths_of_crops_are_those_that_were_trained(genome: Genome, tmp_path: Path) -> None:
    given = settings(steps=1, views={"crop": 0.5})
    pretrain(genome, tmp_path / "run", given, device="cpu")
    assert load_model(tmp_path / "run").trained_lengths == (32, 64)


def test_continuing_from_a_fine_tuned_model_tells_its_pretraining(
    genome: Genome, tmp_path: Path
) -> None:
    shape = ChordMixerConfig(width=16, hidden=16, track_size=4, depth=2)
    tuned = new_model(ModelConfig(backbone=shape), 0)
    tuned.provenance = {"task_data": "task", "started_from": {"genome_digest": "sha256:abc"}}
    tuned.save(tmp_path / "tuned")
    given = settings(steps=1)
    pretrain(genome, tmp_path / "more", given, device="cpu", start_from=tmp_path / "tuned")
    past = load_model(tmp_path / "more").provenance
    assert past["continued_from"] == {"genome_digest": "sha256:abc"}


def test_recipes_give_way_to_what_is_given() -> None:
    paper = PretrainSettings.resolve({"preset": "paper"})
    assert paper.hiding.fixed_rate == 0.3 and paper.epochs == 30
    mine = PretrainSettings.resolve(
        {"preset": "paper", "steps": 5, "sampling": {"window": 500, "min_window": 500}}
    )
    assert mine.steps == 5 and mine.epochs is None
    assert mine.sampling.window == 500 and mine.sampling.batch_bases == 64_000


def test_a_largest_rate_takes_the_place_of_the_fixed_rate_of_a_recipe() -> None:
    drawn = PretrainSettings.resolve({"preset": "paper", "hiding": {"max_rate": 0.8}})
    assert (drawn.hiding.max_rate, drawn.hiding.fixed_rate) == (0.8, None)
    with pytest.raises(BadInput, match=r"one of max_rate, 0\.8, and fixed_rate, 0\.2"):
        PretrainSettings.resolve({"hiding": {"max_rate": 0.8, "fixed_rate": 0.2}})
    for made in (drawn, PretrainSettings.resolve({"preset": "paper"})):
        assert PretrainSettings.resolve(made.model_dump(mode="json")) == made


def test_settings_that_contradict_are_refused_by_name() -> None:
    with pytest.raises(BadInput, match="nothing is learned"):
        PretrainSettings.resolve({"distillation": {"masked_weight": 0}})
    with pytest.raises(BadInput, match="steps, epochs and budget"):
        PretrainSettings.resolve({"steps": 5, "budget": "10m"})
    with pytest.raises(BadInput, match="huge"):
        PretrainSettings.resolve({"preset": "huge"})
    with pytest.raises(BadInput, match="stpes"):
        PretrainSettings.resolve({"stpes": 5})
    with pytest.raises(BadInput, match="is not a duration"):
        PretrainSettings.resolve({"budget": "soon"})


def test_too_few_windows_for_the_parts(genome: Genome, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--batch-bases"):
        pretrain(genome, tmp_path / "run", settings(accumulate=64), device="cpu")


def test_seconds() -> None:
    assert [seconds(t) for t in ("90s", "10m", "1.5h", "45")] == [90, 600, 5400, 45]


def test_metrics_hold_no_nan(genome: Genome, tmp_path: Path) -> None:
    pretrain(genome, tmp_path / "run", settings(), device="cpu")
    text = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert "NaN" not in text and all(json.loads(line) for line in text.splitlines())


def by_torchrun(genome: Genome, out: Path, given: PretrainSettings, before: str = "") -> None:
    """Two processes, started as a user would on a machine without a GPU; `before` runs in each."""
    script = out.parent / f"{out.name}.py"
    script.write_text(
        "import json, os, signal, sys\n"
        "from findna.training import job, pretrain as module\n"
        "from findna.training.recipes import PretrainSettings\n"
        "settings = PretrainSettings.parse(json.loads(sys.argv[3]), source='x')\n"
        f"{before}\n"
        "module.pretrain(sys.argv[1], sys.argv[2], settings, device='auto')\n"
    )
    command = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    told = json.dumps(given.model_dump(mode="json"))
    done = subprocess.run(
        [sys.executable, *command, str(script), str(genome.source), str(out), told],
        env={**os.environ, "OMP_NUM_THREADS": "1", "USE_LIBUV": "0", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_two_processes_equal_one(genome: Genome, tmp_path: Path) -> None:
    """Windows, losses and weights are those of one."""
    pretrain(genome, tmp_path / "one", settings(steps=3), device="cpu")
    by_torchrun(genome, tmp_path / "two", settings(steps=3))
    one, two = tensors(tmp_path / "one"), tensors(tmp_path / "two")
    for name, value in one.items():
        if name.startswith(("student.", "teacher.", "centre")):
            torch.testing.assert_close(value, two[name], atol=2e-3, rtol=1e-3, msg=name)
    found = [
        json.loads((tmp_path / out / "environment.json").read_text()) for out in ("one", "two")
    ]
    assert [each["processes"] for each in found] == [1, 2]


def test_processes_stop_together_and_compute_alike(genome: Genome, tmp_path: Path) -> None:
    """One of two is asked to stop, and would compute in another precision."""
    second = """
first = os.environ['RANK'] == '0'
job.resolve_precision = lambda *_: 'fp32' if first else 'bf16'
learn = job.PretrainJob._learn
def asked(self, step, steps):
    assert self.learner.precision == 'fp32'
    if step == 2 and not first:
        os.kill(os.getpid(), signal.SIGTERM)
    return learn(self, step, steps)
job.PretrainJob._learn = asked
def told():
    module.pretrain(sys.argv[1], sys.argv[2], settings, device='auto')
try:
    told()
except KeyboardInterrupt:
    sys.exit(0)
sys.exit(1)
"""
    by_torchrun(genome, tmp_path / "two", settings(steps=60), second)
    kept = json.loads((tmp_path / "two" / "checkpoints" / "last" / "state.json").read_text())
    # At the very step: twenty of a large network may take longer than torchrun waits.
    assert (kept["step"], kept["precision"]) == (3, "fp32")


def test_processes_leave_the_timing_together(genome: Genome, tmp_path: Path) -> None:
    """The clock of one of two says that steps take long."""
    second = """
import time, types
first = os.environ['RANK'] == '0'
learn, gone = job.PretrainJob._learn, [0]
def slow(self, step, steps):
    gone[0] += 0 if first else 2
    return learn(self, step, steps)
job.PretrainJob._learn = slow
job.time = types.SimpleNamespace(monotonic=lambda: time.monotonic() + gone[0])
"""
    small = {"validation": {"bases": 512, "final_bases": 512}}
    by_torchrun(genome, tmp_path / "two", settings(steps=None, budget="40s", **small), second)
    assert load_model(tmp_path / "two").provenance["steps"] < 20


def test_two_processes_go_on_where_only_one_sees_the_folder(
    genome: Genome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretrain(genome, tmp_path / "one", settings(steps=4), device="cpu")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupt_at(1, patch)
        pretrain(genome, tmp_path / "two", settings(steps=4), device="cpu")
    elsewhere = """
if os.environ['RANK'] == '1':
    sys.argv[2] += '-of-another-machine'
module.pretrain(sys.argv[1], sys.argv[2], settings, device='auto', resume=True)
sys.exit(0)
"""
    by_torchrun(genome, tmp_path / "two", settings(steps=4), elsewhere)
    one, two = tensors(tmp_path / "one"), tensors(tmp_path / "two")
    for name, value in one.items():
        if name.startswith(("student.", "teacher.", "centre")):
            torch.testing.assert_close(value, two[name], atol=2e-3, rtol=1e-3, msg=name)
    assert not (tmp_path / "two-of-another-machine").exists()


def test_all_processes_read_the_same_genome(
    genome: Genome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, str] = {genome.digest: "sha256:of the first"}
    monkeypatch.setattr(pretrain_module, "agreed", lambda _, value: told.get(value, value))
    with pytest.raises(BadInput, match="a different genome for process 0 than for the first"):
        pretrain(genome, tmp_path / "run", settings(), device="cpu")
    assert not (tmp_path / "run").exists()


def test_several_processes_cannot_share_a_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = SimpleNamespace(num_processes=2, process_index=0, is_main_process=True)
    monkeypatch.setattr(pretrain_module, "open_engine", lambda _: several)
    for given in ("-", ["-"]):
        with pytest.raises(BadInput, match="in 2 processes reads its input more than once"):
            pretrain(given, tmp_path / "run", settings())


def test_the_shared_head_belongs_to_the_paper() -> None:
    with pytest.raises(BadInput, match="works only with preset paper"):
        PretrainSettings.resolve({"head": "shared"})
    assert PretrainSettings.resolve({"preset": "paper", "head": "shared"}).head == "shared"


def test_golden_run(genome: Genome, tmp_path: Path) -> None:
    """Six steps in fp32 on one seed: changes of the method show here, and must be meant."""
    result = pretrain(genome, tmp_path / "run", settings(), device="cpu")
    assert result.metrics["mask_loss"] == pytest.approx(GOLDEN_MASK_LOSS, abs=2e-3)


@pytest.mark.gpu
def test_gpu_run_equals_cpu_run(genome: Genome, tmp_path: Path) -> None:
    here = pretrain(genome, tmp_path / "cpu", settings(steps=3), device="cpu")
    there = pretrain(genome, tmp_path / "gpu", settings(steps=3), device="cuda")
    assert there.metrics["mask_loss"] == pytest.approx(here.metrics["mask_loss"], abs=5e-3)


def test_a_continued_model_keeps_the_recipe_of_its_preset(tmp_path):
    shape = {"width": 16, "hidden": 16, "track_size": 4, "depth": 2}
    for preset in ("base", "custom"):
        config = ModelConfig(preset=preset, backbone=ChordMixerConfig(**shape))
        new_model(config, 0).save(tmp_path / preset)
    assert preset_of(tmp_path / "base") == {"preset": "base", "head": "prototypes"}
    assert preset_of(tmp_path / "custom") == preset_of(None) == {}
    shared = PRESETS["paper"].projection.model_copy(update={"kind": "shared"})
    config = ModelConfig(preset="paper", backbone=ChordMixerConfig(**shape), projection=shared)
    new_model(config, 0).save(tmp_path / "shared")
    start = preset_of(tmp_path / "shared")
    assert (
        PretrainSettings.resolve({**start, "distillation": {"balance": "centre"}}).head == "shared"
    )
    with pytest.raises(BadInput, match="no prototypes to balance"):
        PretrainSettings.resolve({**start, "distillation": {"balance": "sinkhorn"}})


def test_a_bed_that_changed_is_not_resumed(genome: Genome, tmp_path: Path) -> None:
    bed = tmp_path / "out.bed"
    bed.write_text("chr1\t0\t1000\n")
    given = settings(sampling={**SAMPLING, "exclude": str(bed)})
    pretrain(genome, tmp_path / "run", given, device="cpu")
    bed.write_text("chr1\t0\t5000\n")
    with pytest.raises(BadInput, match="settings differ"):
        pretrain(genome, tmp_path / "run", given, device="cpu", resume=True)


def test_regions_that_are_placed_otherwise_are_not_resumed(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    records = [(name, decode(random.integers(0, 4, 9000).astype(np.uint8))) for name in "ab"]
    fasta = tmp_path / "cut.fa"
    fasta.write_text("".join(f">{name}\n{bases}\n" for name, bases in records))
    table = tmp_path / "cut.fa.regions.tsv"
    table.write_text("chrom\tstart\tend\nchr1\t500\t9500\nchr2\t0\t9000\n")
    pretrain(fasta, tmp_path / "run", settings(), device="cpu")
    model = load_model(tmp_path / "run")
    assert model.provenance["placing"] == Genome.open(fasta).placing
    table.unlink()
    with pytest.raises(BadInput, match="settings differ"):
        pretrain(fasta, tmp_path / "run", settings(), device="cpu", resume=True)


@pytest.mark.parametrize("soft_mask", ["keep", "exclude", "downweight"])
def test_other_lower_case_is_another_genome_where_it_counts(soft_mask: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    bases = [decode(random.integers(0, 4, 9000).astype(np.uint8)) for _ in "ab"]
    fasta, given = tmp_path / "soft.fa", settings(sampling={**SAMPLING, "soft_mask": soft_mask})

    def write(lower: int) -> None:
        cased = [each[:lower].lower() + each[lower:] for each in bases]
        fasta.write_text("".join(f">chr{n}\n{each}\n" for n, each in enumerate(cased)))

    write(2000)
    pretrain(fasta, tmp_path / "run", given, device="cpu")
    write(4000)
    refused = pytest.raises(BadInput, match="soft_masking")
    with nullcontext() if soft_mask == "keep" else refused:
        pretrain(fasta, tmp_path / "run", given, device="cpu", resume=True)


def test_a_model_tells_which_windows_it_was_trained_on(genome: Genome, tmp_path: Path) -> None:
    """Its folder alone, away from the run, is enough to split the genome as the run did."""
    first = genome.chroms[0]
    bed = tmp_path / "out.bed"
    bed.write_text(f"{first}\t0\t1000\n")
    sampling = {**SAMPLING, "contigs": [first], "validation_fraction": 0.1, "exclude": str(bed)}
    given = settings(sampling=sampling)
    pretrain(genome, tmp_path / "run", given, device="cpu")
    model = load_model(tmp_path / "run")
    wanted = split_genome(genome, given.sampling).train
    seen = seen_part(genome, pretraining_of(model))
    assert np.array_equal(seen.runs, wanted) and "the model card, with exclude" in seen.note
    bed.write_text(f"{first}\t0\t5000\n")
    assert "(not here)" in seen_part(genome, pretraining_of(model)).note


def test_settings_of_a_run_that_are_broken_are_told(genome: Genome, tmp_path: Path) -> None:
    pretrain(genome, tmp_path / "run", settings(), device="cpu")
    (tmp_path / "run" / "settings.yaml").write_text("verb: [pretrain\n")
    with pytest.raises(BadInput, match="does not say what the run was started with"):
        pretraining_of(tmp_path / "run")


def test_weights_keep_their_shape(genome: Genome, tmp_path: Path) -> None:
    new_model("tiny", 0).save(tmp_path / "model")
    for asked in ({"preset": "small"}, {"preset": "paper", "head": "shared"}):
        with pytest.raises(BadInput, match="also in a --config file: the shape comes from --from"):
            pretrain(genome, tmp_path / "run", {"steps": 1, **asked}, start_from=tmp_path / "model")


def test_a_section_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match="sampling"):
        PretrainSettings.resolve({"sampling": 3})


def test_a_new_network_is_that_of_the_preset_the_head_and_the_seed() -> None:
    one, other = (starting_model(PretrainSettings.resolve({"seed": n}), None) for n in (1, 2))
    for seed, model in ((1, one), (2, other)):
        wanted = new_model("tiny", seed).state_dict()
        assert all(torch.equal(wanted[name], value) for name, value in model.state_dict().items())
    assert one.config.projection.kind == "prototypes"
    shared = PretrainSettings.resolve({"preset": "paper", "head": "shared"})
    assert starting_model(shared, None).projection is not one.projection
    assert starting_model(shared, None).config.projection.kind == "shared"


def test_a_continued_network_leaves_its_task_and_keeps_its_past(tmp_path: Path) -> None:
    shape = ChordMixerConfig(width=16, hidden=16, track_size=4, depth=2)
    task = TaskConfig(kind="binary", classes=("no", "yes"))
    model = new_model(ModelConfig(backbone=shape), 0).with_task(task, 0)
    model.provenance = {"genome_digest": "sha256:abc"}
    model.save(tmp_path / "mine")
    # A shape of one's own goes by the recipe of the usual preset, also where that is named.
    for given in ({}, {"preset": "tiny"}):
        found = starting_model(PretrainSettings.resolve(given), tmp_path / "mine")
        assert found.task_head is None and found.config.task is None
        assert found.provenance["genome_digest"] == "sha256:abc"
        assert torch.equal(found.encoder.summary, model.encoder.summary)
    with pytest.raises(BadInput, match="the shape comes from --from"):
        starting_model(PretrainSettings.resolve({"preset": "small"}), tmp_path / "mine")


@pytest.mark.parametrize("asks", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_once_and_stops_at_a_later_one(
    asks: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mine(*_: Any) -> None:
        raise AssertionError("not while a run listens")

    before = {each: signal.signal(each, mine) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        with StopRequest().listening() as stop:
            assert not stop.asked
            signal.raise_signal(asks)
            assert stop.asked
            # torchrun hands on what the terminal has sent to all.
            signal.raise_signal(asks)
            monkeypatch.setattr(stopping, "_ONE_PRESS", 0.0)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(asks)
        assert {signal.getsignal(each) for each in before} == {mine}
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def test_signals_are_left_to_others_outside_the_main_thread() -> None:
    asked: list[bool] = []

    def listen() -> None:
        with StopRequest().listening() as stop:
            asked.append(stop.asked)

    before = signal.getsignal(signal.SIGINT)
    other = threading.Thread(target=listen)
    other.start()
    other.join()
    assert asked == [False] and signal.getsignal(signal.SIGINT) is before
