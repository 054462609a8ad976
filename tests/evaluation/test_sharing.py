"""A model to give away: what the card says, what it says is unknown, and what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

import findna
from findna.evaluation.sharing.card import _spent
from findna.evaluation.sharing.evidence import read_evidence
from findna.evaluation.sharing.halving import agreement, halved
from findna.evaluation.sharing.known import RunFacts, known_model, without_paths
from findna.files import BadInput
from findna.model.chordmixer import ChordMixerConfig
from findna.model.heads import ProjectionConfig, TaskConfig
from findna.model.loading import load_model
from findna.model.model import Model, new_model, weights_digest
from findna.model.presets import PRESETS, ModelConfig
from findna.training.pretrain import pretrain

SMALL = ModelConfig(
    preset="tiny",
    backbone=ChordMixerConfig(width=16, hidden=16, track_size=4, depth=2, summary_tokens=2),
    projection=ProjectionConfig(hidden=8, bottleneck=4, prototypes=6),
)
SETTINGS = {
    "steps": 3,
    "seed": 5,
    "sampling": {
        "window": 64,
        "min_window": 32,
        "batch_bases": 512,
        "validation_chroms": ["chr2"],
    },
    "validation": {"bases": 256, "final_bases": 512, "checks": 1},
}


def parts(text: str) -> dict[str, str]:
    """Sections of a card by title; what stands before the first is under ""."""
    first, *rest = text.split("\n## ")
    return {"": first, **dict(part.split("\n", 1) for part in rest)}


def front(text: str) -> dict[str, object]:
    """The YAML between the first two lines of three dashes, as the Hub reads it."""
    before, block, _ = text.split("---\n", 2)
    assert before == ""
    return dict(yaml.safe_load(block))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with genome.fa, regions.bed and a finished run."""
    place = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    sizes = {"chr1": 4000, "chr2": 600}
    (place / "genome.fa").write_text(
        "".join(f">{c}\n{''.join(rng.choice(list('ACGT'), n))}\n" for c, n in sizes.items())
    )
    (place / "regions.bed").write_text(
        "# what: two pieces of a small genome\n# limits: a sample of genes alone\n"
        + "".join(f"{c}\t0\t{n}\n" for c, n in sizes.items())
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", SMALL)
        pretrain(place / "genome.fa", place / "run", SETTINGS, device="cpu")
    return place


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of the run that a test may change."""
    return Path(shutil.copytree(made / "run", tmp_path / "run"))


def card(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


# What a card says -----------------------------------------------------------------------------


def test_the_card_of_a_run_holds_its_facts(made: Path, run: Path, tmp_path: Path) -> None:
    result = findna.export(
        run,
        tmp_path / "small-model",
        half=True,
        regions=made / "regions.bed",
        genome=made / "genome.fa",
        species="Nulla nulla",
        trained_on="a genome of 4,600 bp",
    )
    text = card(result.folder)
    said = parts(text)
    check = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()][-1]
    assert text.index("# small-model") < text.index("a genome of 4,600 bp")
    assert "Warning" not in text
    assert said["How to use it"].count("\nfindna ") == 3
    for fact in (
        "Nulla nulla",
        "genome.fa, sha256:",
        "Bases in it: 4,600",
        "chr2",
        "32 to 64 bp",
        "regions.bed, 2 intervals, 4,600 bp, sha256:",
        "two pieces of a small genome",
    ):
        assert fact in said["Data"]
    block = said["Recipe"].split("```yaml\n")[1].split("```")[0]
    settings = yaml.safe_load((run / "settings.yaml").read_text())["settings"]
    assert yaml.safe_load(block) == settings
    assert "Seed 5" in said["Recipe"]
    assert (
        f"3 steps, {load_model(run).provenance['bases_seen']:,} bases" in said["Cost"]
        and ", threads: " in said["Cost"]
    )
    interval = f"[{check['mask_loss_low']:.4f}, {check['mask_loss_high']:.4f}]"
    assert f"**{check['mask_loss']:.4f}** {interval}" in said["Results"]
    assert f"two-sided Markov model {check['markov_loss']:.4f}" in said["Results"]
    for length, score in check["by_length"].items():
        assert f"| {int(length):,} bp | {score['loss']:.4f} [" in said["Results"]
    assert "was not checked against any task" in said["Leakage"]
    assert "a sample of genes alone" in said["Limits"]
    assert "Apache-2.0" in said["Licence"]
    assert result.digest in said["Versions"] and torch.__version__ in said["Versions"]


def test_the_front_matter_is_what_the_hub_reads(run: Path, tmp_path: Path) -> None:
    findna.export(run, tmp_path / "m", licence="CC-BY-4.0")
    facts = front(card(tmp_path / "m"))
    assert facts["license"] == "cc-by-4.0" and facts["library_name"] == "findna"
    assert isinstance(facts["tags"], list) and "dna" in facts["tags"]


def test_no_path_of_this_machine_is_given_away(run: Path, tmp_path: Path) -> None:
    findna.export(run, tmp_path / "m")
    given = card(tmp_path / "m") + (tmp_path / "m" / "config.json").read_text()
    assert "genome.fa" in given and str(run.parent) not in given
    assert str(Path(findna.__file__).parent) not in given
    assert "/" not in load_model(tmp_path / "m").provenance["genome"]
    facts = {"genome": "/a/b.fa, c/d.fa", "started_from": {"include": "/x/y.bed"}, "seed": 1}
    assert without_paths(facts) == {
        "genome": "b.fa, d.fa",
        "started_from": {"include": "y.bed"},
        "seed": 1,
    }


def test_an_exported_model_answers_as_before_and_can_be_exported_again(
    run: Path, tmp_path: Path
) -> None:
    findna.export(run, tmp_path / "m", species="Nulla nulla", name="called-so")
    before, after = load_model(run), load_model(tmp_path / "m")
    assert weights_digest(before) == weights_digest(after)
    findna.export(tmp_path / "m", tmp_path / "again")
    text = card(tmp_path / "again")
    assert "Nulla nulla" in text and "# again" in text
    assert load_model(tmp_path / "again").provenance["name"] == "again"


def test_a_model_without_its_run_says_what_is_unknown(run: Path, tmp_path: Path) -> None:
    moved = Path(shutil.move(run / "model", tmp_path / "alone"))
    findna.export(moved, tmp_path / "m")
    said = parts(card(tmp_path / "m"))
    assert "unknown: the run folder was not available" in said["Recipe"]
    assert "Seed: 5" in said["Recipe"]
    assert "unknown" in said["Cost"] and "interval unknown" in said["Results"]


def test_the_model_folder_of_a_run_is_its_run(run: Path, tmp_path: Path) -> None:
    findna.export(run / "model", tmp_path / "m")
    assert "Seed 5" in parts(card(tmp_path / "m"))["Recipe"]


def test_a_run_that_did_not_finish_or_collapsed_says_so_at_the_top(
    run: Path, tmp_path: Path
) -> None:
    config = run / "model" / "config.json"
    described = json.loads(config.read_text())
    described["provenance"] |= {"finished": False, "planned_steps": 9}
    config.write_text(json.dumps(described))
    rows = (run / "metrics.jsonl").read_text().splitlines()
    last = json.loads(rows[-1]) | {"verdict": "COLLAPSING: all windows are the same"}
    (run / "metrics.jsonl").write_text("\n".join([*rows[:-1], json.dumps(last)]) + "\n")
    findna.export(run, tmp_path / "m")
    top = parts(card(tmp_path / "m"))[""]
    assert "**Warning:** pretraining did not finish: 3 of 9 steps" in top
    assert "**Warning:** the run ended as COLLAPSING: all windows are the same" in top
    assert top.index("Warning") < top.index("A DNA model")


def test_the_card_of_a_task_has_its_metrics_and_its_pretraining(tmp_path: Path) -> None:
    task = TaskConfig(kind="binary", classes=("<i>a</i>", "b`|c"))
    model = new_model(SMALL.model_copy(update={"task": task}), 0)
    metric = {"value": 0.41, "low": 0.33, "high": 0.47}
    undefined = {"value": None, "reason": "one class only"}
    alone = {"value": 0.594, "low": None, "high": None}
    model.provenance = {
        "task_data": "/somewhere/task",
        "trained_lengths": [300, 300],
        "protocol": "test split, read once at the end",
        "metrics": {"mcc": metric, "auroc": undefined, "f1": alone},
        "calibration": "fitted on 274 validation rows",
        "started_from": {
            "genome": "g.fa", "genome_digest": "sha256:1", "finished": True, "held_out": "blocks",
            "sampling": {"validation_fraction": 0.05}, "trained_lengths": [64, 512],
        },
    }  # fmt: skip
    model.save(tmp_path / "tuned")
    said = {"species": "Homo sapiens", "trained_on": "a few <regions>"}
    findna.export(tmp_path / "tuned", tmp_path / "m", half=True, **said)
    text = card(tmp_path / "m")
    assert "Pretrained on a few &lt;regions&gt;." in text and "* Species: Homo sapiens" in text
    assert "| f1 | 0.594 |" in text
    assert front(text)["pipeline_tag"] == "text-classification"
    assert "fine-tuned for a binary task (`<i>a</i>`, `` b`|c ``)" in text
    assert "Calibration of its probabilities: fitted on 274 validation rows." in text
    assert "Lengths trained in pretraining: 64 to 512 bp" in text
    assert "Lengths of the labelled rows: 300 bp" in text
    assert "blocks, about 5 % of the bases" in text
    first = (tmp_path / "tuned" / "README.md").read_text(encoding="utf-8")
    assert "binary over `<i>a</i>`, `` b`|c ``." in first and "{" not in first
    assert "* trained_lengths: 300, 300" in first and "`config.json`, under `provenance`" in first
    assert "| mcc | 0.410 [0.330, 0.470] |" in text
    assert "| auroc | undefined (one class only) |" in text
    assert "Labels: task" in text and "g.fa, sha256:1" in text
    assert "outside 300 bp" in text and "findna predict my.fa -m m" in text
    assert "logits of the task" in text
    assert "cut sequences as" not in text
    placed = task.model_copy(update={"pooling": ("mean", "placed-pairs"), "places": 299})
    reading = new_model(SMALL.model_copy(update={"task": placed}), 0)
    reading.provenance = model.provenance
    reading.save(tmp_path / "placed")
    findna.export(tmp_path / "placed", tmp_path / "p", **said)
    assert "cut sequences as its labelled rows were cut" in card(tmp_path / "p")


def test_a_card_of_weights_that_went_on_does_not_claim_too_much(made: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", SMALL)
        for name, chrom in (("same", "chr2"), ("other", "chr1")):
            sampling = {**SETTINGS["sampling"], "validation_chroms": [chrom]}  # type: ignore[dict-item]
            pretrain(
                made / "genome.fa", tmp_path / name, {**SETTINGS, "sampling": sampling},
                device="cpu", start_from=made / "run",
            )  # fmt: skip
            findna.export(tmp_path / name, tmp_path / f"{name}-model")
    same, other = (card(tmp_path / f"{name}-model") for name in ("same", "other"))
    assert "Held out, never used in training: chr2" in same
    assert (
        "Held out in this run, 4,000 bases of it used for training before it continued: chr1"
        in other
    )
    assert "after 3 steps before it continued" in other and "seen one genome" in other


def test_regions_that_changed_since_are_refused(made: Path, tmp_path: Path) -> None:
    bed = tmp_path / "in.bed"
    bed.write_text("chr1\t0\t3000\nchr2\t0\t600\n")
    sampling = {**SETTINGS["sampling"], "include": str(bed)}  # type: ignore[dict-item]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", SMALL)
        pretrain(
            made / "genome.fa", tmp_path / "run", {**SETTINGS, "sampling": sampling}, device="cpu"
        )
    findna.export(tmp_path / "run", tmp_path / "good")
    bed.write_text("chr1\t0\t2000\nchr2\t0\t600\n")
    with pytest.raises(BadInput, match=r"in\.bed: has changed since"):
        findna.export(tmp_path / "run", tmp_path / "bad")
    # As a run that was moved, whose model no longer says so, would have it.
    with pytest.raises(BadInput, match=r"in\.bed: has changed since"):
        findna.export(
            tmp_path / "run", tmp_path / "bad", half=True, genome=made / "genome.fa",
            regions=made / "regions.bed",
        )  # fmt: skip


def test_seconds_are_summed_over_starts() -> None:
    clock = [5.0, 9.0, 2.0, 4.0, 1.0, 7.5]
    rows = [{"step": i, "seconds": s} for i, s in enumerate(clock)]
    facts = RunFacts({}, {}, [*rows[:3], {"step": 3}, *rows[3:]], {}, 3)
    assert facts.seconds == 9.0 + 4.0 + 7.5
    assert RunFacts({}, {}, [], {}, 1).seconds == 0
    epochs = [{"epoch": 1, "seconds": 5.0}, {"epoch": 2, "seconds": 9.0}, {"validation_loss": 0.5}]
    assert RunFacts({"verb": "finetune"}, {}, epochs, {}, 1).seconds == 14.0


def test_a_probe_that_noted_no_time_does_not_say_none_was_needed() -> None:
    run = RunFacts({"verb": "finetune"}, {"device": "cpu"}, [{"validation_loss": 0.5}], {}, 1)
    assert _spent(run).startswith("Wall-clock time for finetune not recorded; on cpu")


# Half precision -------------------------------------------------------------------------------


def test_half_weights_are_the_nearest_16_bits(tmp_path: Path) -> None:
    model = new_model(SMALL, 3).eval()
    half = halved(model)
    for name, weight in model.state_dict().items():
        kept = half.state_dict()[name].numpy()
        assert np.array_equal(kept, weight.numpy().astype(np.float16).astype(np.float32))
    model.save(tmp_path / "m", half=True)
    assert weights_digest(load_model(tmp_path / "m")) == weights_digest(half)


def test_agreement_is_the_difference_of_log_probabilities() -> None:
    """Only the bias of one letter differs, by d: every ln P moves by a number done by hand."""
    model, other = new_model(SMALL, 0).eval(), new_model(SMALL, 0).eval()
    for each in (model, other):
        torch.nn.init.zeros_(each.base_head.weight)
        torch.nn.init.zeros_(each.base_head.bias)
    d = 0.008
    with torch.no_grad():
        other.base_head.bias[0] = d
    normaliser = np.log((3 + np.exp(d)) / 4)
    found = agreement(model, other)
    assert found.largest == pytest.approx(d - normaliser, rel=1e-3)
    assert found.mean == pytest.approx(((d - normaliser) + 3 * normaliser) / 4, rel=1e-3)
    assert "simulated sequence" in found.text


def test_a_model_that_16_bits_change_too_much_or_cannot_hold_is_refused() -> None:
    model = new_model(SMALL, 0).eval()
    with torch.no_grad():
        model.base_head.bias[0] = 70_000.0
    with pytest.raises(BadInput, match="65,504"):
        halved(model)
    for change in (1.0, float("nan")):
        other = new_model(SMALL, 0).eval()
        with torch.no_grad():
            other.base_head.bias[0] += change
        with pytest.raises(BadInput, match="half precision changes the predictions"):
            agreement(new_model(SMALL, 0).eval(), other)


def test_held_out_windows_are_used_where_the_genome_is_given(made: Path, run: Path) -> None:
    known = known_model(run)
    genome = findna.Genome.open(made / "genome.fa")
    found = agreement(known.model, halved(known.model), known.run, genome)
    assert found.losses is not None and "held-out windows" in found.text
    assert f"{found.losses[0]:.5f} in full, {found.losses[1]:.5f} in half" in found.text
    assert found.losses[0] == pytest.approx(found.losses[1], abs=1e-3)


def test_another_genome_is_refused(made: Path, run: Path, tmp_path: Path) -> None:
    (tmp_path / "other.fa").write_text(">chr1\nACGTACGTACGT\n")
    with pytest.raises(BadInput, match=r"other\.fa: is not the genome of the run"):
        findna.export(run, tmp_path / "m", half=True, genome=tmp_path / "other.fa")
    with pytest.raises(BadInput, match="leave out --genome"):
        findna.export(
            shutil.copytree(run / "model", tmp_path / "alone"),
            tmp_path / "m",
            half=True,
            genome=made / "genome.fa",
        )
    assert not (tmp_path / "m").exists()


def test_a_bed_of_other_regions_is_refused(run: Path, tmp_path: Path) -> None:
    (tmp_path / "other.bed").write_text("chr1\t0\t4000\n")
    with pytest.raises(BadInput, match=r"other\.bed: covers 4,000 bases, but .* has 4,600"):
        findna.export(run, tmp_path / "m", regions=tmp_path / "other.bed")


def test_the_include_of_a_run_is_its_regions(made: Path, run: Path, tmp_path: Path) -> None:
    settings = yaml.safe_load((run / "settings.yaml").read_text())
    settings["settings"]["sampling"]["include"] = str(made / "regions.bed")
    (run / "settings.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    described = json.loads((run / "model" / "config.json").read_text())
    described["provenance"]["include"] = str(made / "regions.bed")
    (run / "model" / "config.json").write_text(json.dumps(described))
    findna.export(run, tmp_path / "m")
    said = parts(card(tmp_path / "m"))
    assert "regions.bed, 2 intervals" in said["Data"]
    assert "include: regions.bed" in said["Recipe"]


# Evaluations ----------------------------------------------------------------------------------


@pytest.fixture
def model() -> Model:
    return new_model(SMALL, 11).eval()


def evaluation(folder: Path, *models: tuple[str, Model]) -> Path:
    """A folder as findna evaluate publishes it, by hand."""
    folder.mkdir()
    digests = {f"model {name} 0": weights_digest(model) for name, model in models}
    described = {"verb": "evaluate", "settings": {}, "digests": digests}
    (folder / "settings.yaml").write_text(yaml.safe_dump(described, sort_keys=False))
    columns: dict[str, object] = {"task": "s/t", "metric": "mcc", "train_rows": 1000, "seeds": 3}
    columns |= {"draws": True, "low": 0.1, "high": 0.3, "undefined": "NA"}
    columns |= {"protocol": "official split"}
    scores = {"linear-random-tiny": 0.11, "knn-random-tiny": 0.05, "kmer": 0.17}
    scores |= {f"linear-{name}": 0.2 for name, _ in models}
    rows = [
        columns | {"contender": name, "mode": name.split("-")[0], "mean": mean}
        for name, mean in scores.items()
    ]
    pd.DataFrame(rows).to_csv(folder / "table.tsv", sep="\t", index=False)
    (folder / "leakage" / "s").mkdir(parents=True)
    leaks = [
        ("in pretraining genome", "test", 7, 90, ""),
        ("in pretraining, seen", "test", 4, 90, ""),
        ("in pretraining, seen", "train", 50, 900, ""),
    ]
    table = pd.DataFrame(leaks, columns=["check", "split", "rows", "of", "note"])
    table.to_csv(folder / "leakage" / "s" / "t.tsv", sep="\t", index=False)
    return folder


def test_rows_are_found_by_the_weights_not_by_the_name(model: Model, tmp_path: Path) -> None:
    folder = evaluation(tmp_path / "e", ("mine", model), ("yours", new_model(SMALL, 12)))
    found = read_evidence(folder, [weights_digest(model)])
    assert found.table.to_dict("records") == [
        {
            "task": "s/t",
            "contender": "linear-mine",
            "metric": "mcc",
            "train_rows": "1,000",
            "seeds": "3",
            "score": "0.200 [0.100, 0.300]",
            "random": "0.110 [0.100, 0.300]",
            "words": "0.170 [0.100, 0.300]",
        }
    ]
    assert found.protocols == ("official split",)
    assert found.leaks is not None
    assert found.leaks.to_dict("records") == [
        {"task": "s/t", "genome": "7 of 90", "seen": "4 of 90"}
    ]


def test_a_model_whose_name_begins_so_is_no_random_weights(model: Model, tmp_path: Path) -> None:
    folder = evaluation(tmp_path / "e", ("randomised", model))
    (row,) = read_evidence(folder, [weights_digest(model)]).table.to_dict("records")
    assert (row["contender"], row["random"]) == ("linear-randomised", "0.110 [0.100, 0.300]")


def test_one_of_several_models_under_a_name_is_told_as_such(model: Model, tmp_path: Path) -> None:
    second = new_model(SMALL, 12)
    folder = evaluation(tmp_path / "e", ("both", model))
    file = folder / "settings.yaml"
    described = yaml.safe_load(file.read_text())
    described["digests"]["model both 1"] = weights_digest(second)
    file.write_text(yaml.safe_dump(described, sort_keys=False))
    for one in (model, second):
        found = read_evidence(folder, [weights_digest(one)])
        assert found.protocols == ("official split", "means over 2 models, of which this is one")


def test_settings_that_are_broken_are_told(model: Model, tmp_path: Path) -> None:
    folder = evaluation(tmp_path / "e", ("mine", model))
    (folder / "settings.yaml").write_text("verb: [evaluate\n")
    with pytest.raises(BadInput, match="does not say what the run was started with"):
        read_evidence(folder, [weights_digest(model)])


def test_a_score_without_an_interval_or_a_value_is_told_as_it_is(
    model: Model, tmp_path: Path
) -> None:
    folder = evaluation(tmp_path / "e", ("mine", model))
    table = pd.read_csv(folder / "table.tsv", sep="\t", keep_default_na=False, na_values="")
    own = table["contender"] == "linear-mine"
    table.loc[own, ["low", "high"]] = float("nan")
    table.loc[table["contender"] == "kmer", "mean"] = float("nan")
    table.loc[table["contender"] == "kmer", "undefined"] = "one class"
    table.to_csv(folder / "table.tsv", sep="\t", index=False, na_rep="NA")
    (row,) = read_evidence(folder, [weights_digest(model)]).table.to_dict("records")
    assert (row["score"], row["words"]) == ("0.200", "undefined (one class)")


def test_leaks_of_another_models_pretraining_are_not_claimed(model: Model, tmp_path: Path) -> None:
    folder = evaluation(tmp_path / "e", ("yours", new_model(SMALL, 12)), ("mine", model))
    found = read_evidence(folder, [weights_digest(model)])
    assert found.leaks is None and "pretraining of yours" in found.unknown


def test_leaks_are_those_of_the_model_that_a_report_was_made_from(
    model: Model, tmp_path: Path
) -> None:
    """A folder that went on with another model first: the report is about that one now."""
    other = new_model(SMALL, 12)
    folder = evaluation(tmp_path / "e", ("yours", other), ("mine", model))
    made_from = folder / "leakage" / "s" / "t.json"
    made_from.write_text(json.dumps({"model": weights_digest(model)}))
    found = read_evidence(folder, [weights_digest(model)])
    assert found.leaks is not None and found.leaks["seen"].tolist() == ["4 of 90"]
    found = read_evidence(folder, [weights_digest(other)])
    assert found.leaks is None and "pretraining of mine" in found.unknown


@pytest.mark.parametrize("half", [False, True])
def test_an_evaluation_goes_on_the_card_in_full_and_in_half(
    model: Model, tmp_path: Path, half: bool
) -> None:
    """What was evaluated is the full model, or the one with 16 bits that is given away."""
    model.save(tmp_path / "mine")
    folder = evaluation(tmp_path / "e", ("mine", halved(model) if half else model))
    findna.export(tmp_path / "mine", tmp_path / "m", half=True, evaluation=[folder])
    said = parts(card(tmp_path / "m"))
    assert "Protocol: official split." in said["Results"]
    assert "| s/t | linear-mine | mcc | 1,000 | 3 | 0.200 [0.100, 0.300] |" in said["Results"]
    assert "| s/t | 7 of 90 | 4 of 90 |" in said["Leakage"]
    assert "optimistic" in said["Leakage"]


def test_an_evaluation_of_other_models_is_refused(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path / "mine")
    folder = evaluation(tmp_path / "e", ("yours", new_model(SMALL, 12)))
    with pytest.raises(BadInput, match="evaluates yours, and none of them"):
        findna.export(tmp_path / "mine", tmp_path / "m", evaluation=[folder])
    assert not (tmp_path / "m").exists()
