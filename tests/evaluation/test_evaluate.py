"""The whole evaluation on small data: who takes part, who reads what, and how it goes on."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from findna.data.labelled import LabelledData, LabelledSplit
from findna.evaluation import evaluate as module
from findna.evaluation.contenders.cnn import CnnContender, CnnSettings
from findna.evaluation.contenders.external import HuggingFaceEmbedder
from findna.evaluation.contenders.kept import KeptVectors
from findna.evaluation.contenders.lineup import contenders, starts
from findna.evaluation.contenders.tables import EmbeddingTable, PredictionTable
from findna.evaluation.contenders.words import KmerContender, WordSettings
from findna.evaluation.evaluate import EvaluateSettings, evaluate
from findna.evaluation.preparation import ProtocolSettings, prepare
from findna.files import BadInput, FindnaError, FullDisk
from findna.inference import precision
from findna.model.chordmixer import ChordMixerConfig
from findna.model.loading import DEFAULT
from findna.model.model import new_model
from findna.model.presets import PRESETS, ModelConfig
from findna.training import run_state
from findna.training.run_state import environment

SMALL = ModelConfig(
    preset="tiny", backbone=ChordMixerConfig(width=16, hidden=16, track_size=4, depth=3)
)
QUICK = EvaluateSettings(
    seeds=2, epochs=2, learning_rates=(3e-3,), modes=("linear", "finetune"), resamples=200,
    precision="fp32",
)  # fmt: skip
ALWAYS = {"majority", "composition", "places", "kmer", "cnn"}


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Small grids for the baselines: their own tests are elsewhere."""
    quick = CnnSettings(learning_rates=(1e-3,), epochs=2)
    words = WordSettings(ks=(2,), canonical=(False,), strengths=(0.01,))
    monkeypatch.setattr(
        "findna.evaluation.contenders.lineup.KmerContender", lambda: KmerContender(words)
    )
    monkeypatch.setitem(PRESETS, "tiny", SMALL)
    monkeypatch.setattr("findna.evaluation.evaluate.DEFAULT", "tiny")
    monkeypatch.setattr(
        "findna.evaluation.contenders.lineup.CnnContender", lambda **how: CnnContender(quick, **how)
    )


def rows_of(n, seed):
    """Class b is rich in A."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    codes = [
        random.choice(4, 70, p=[0.55, 0.15, 0.15, 0.15] if label else [0.25] * 4).astype(np.uint8)
        for label in labels
    ]
    return LabelledSplit([f"{seed}-{i}" for i in range(n)], codes, labels, np.arange(1, n + 1))


@pytest.mark.parametrize(("asked", "read"), [("auto", "both"), ("forward", "forward")])
def test_probes_read_both_strands_unless_one_is_asked_for(asked, read):
    settings = EvaluateSettings(strand=asked, modes=("linear", "knn"))
    probes = contenders(starts(["tiny"]), settings, torch.device("cpu"))[len(ALWAYS) :]
    assert [probe.kind for probe in probes] == ["linear", "knn"]
    assert [probe.source.strand for probe in probes] == [read] * 2


def task_data(**changed):
    splits = {"train": rows_of(80, 1), "dev": rows_of(40, 2), "test": rows_of(50, 3)}
    return LabelledData({**splits, **changed}, "binary", ("a", "b"), "own.csv")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "small"
    new_model(SMALL, 5).save(folder)
    return folder


class Composition:
    """Features of somebody else."""

    name, draws, parts = "letters", False, ("all",)

    def __init__(self):
        self.forgotten = 0

    def vectors(self, rows, seed, part):
        return np.array([np.bincount(c, minlength=4)[:4] for c in rows.codes], np.float32)

    def forget(self):
        self.forgotten += 1


def test_without_a_model_the_one_that_comes_with_findna_is_judged_and_said(
    tmp_path, monkeypatch, caplog
):
    caplog.set_level("INFO", logger="findna")
    monkeypatch.setattr("findna.evaluation.evaluate.DEFAULT", DEFAULT)
    found = evaluate(task_data(), tmp_path / "out", settings=_linear(1), device="cpu")
    assert f"linear-{DEFAULT}" in set(found.table["contender"]) and not found.failed
    assert f"no model given: using {DEFAULT}, trained on human" in caplog.text


def test_features_of_anybody_forget_a_task_when_it_is_done(tmp_path):
    theirs = Composition()
    found = evaluate(task_data(), tmp_path / "out", settings=QUICK, features=[theirs], device="cpu")
    assert "linear-letters" in set(found.table["contender"]) and theirs.forgotten >= 1


def test_everyone_takes_part_and_every_answer_is_kept(tmp_path, model):
    out = tmp_path / "out"
    found = evaluate(task_data(), out, models=[f"mine={model}"], settings=QUICK, device="cpu")
    contenders = set(found.table["contender"])
    networks = {f"{m}-{s}" for m in ("linear", "finetune") for s in ("mine", "random-tiny")}
    assert contenders == ALWAYS | networks and not found.failed
    seeds = found.results.query("primary").groupby("contender")["seed"].nunique()
    assert seeds["kmer"] == seeds["linear-mine"] == 1  # nothing is drawn: one run stands for all
    assert seeds["cnn"] == seeds["linear-random-tiny"] == seeds["finetune-mine"] == 2
    for file in out.rglob("runs/**/*.json"):
        answers = pd.read_parquet(file.with_suffix(".parquet"))
        assert answers["id"].tolist() == task_data().splits["test"].ids
    assert {p.name for p in out.iterdir()} == {
        "settings.yaml", "command.txt", "environment.json", "runs", "leakage", "results.tsv",
        "table.tsv", "across.tsv", "published.tsv", "table.md",
    }  # fmt: skip
    assert (found.table["reference"].dropna() == "finetune-mine").all()
    text = (out / "table.md").read_text()
    assert "official validation split, test read once" in text
    assert "* mine: " in text and "* random-tiny: weights drawn from the seed of each run" in text


def test_test_rows_are_read_once_a_run_and_after_learning(tmp_path, model, monkeypatch):
    """A spy for the test split: contenders get none, and each run scores it exactly once."""
    events = []
    real = module.contenders

    class Spy:
        def __init__(self, inner):
            self.inner = inner

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def learn(self, data, seed, settled=None):
            assert set(data.splits) == {"train", "dev"}
            events.append(("learn", self.inner.name, seed))
            learned = self.inner.learn(data, seed, settled)
            scores = learned.scores

            def once(rows):
                if len(rows) == 50:
                    events.append(("test", self.inner.name, seed))
                return scores(rows)

            return _Forwarded(learned, once)

    class _Forwarded:
        def __init__(self, learned, scores):
            self.learned, self.scores = learned, scores

        def __getattr__(self, name):
            return getattr(self.learned, name)

    monkeypatch.setattr(module, "contenders", lambda *a: [Spy(c) for c in real(*a)])
    evaluate(task_data(), tmp_path / "out", models=[str(model)], settings=QUICK, device="cpu")
    learned = [e[1:] for e in events if e[0] == "learn"]
    judged = [e[1:] for e in events if e[0] == "test"]
    assert learned == judged and len(set(judged)) == len(judged)


def test_it_goes_on_where_it_stopped_and_grows(tmp_path, model):
    out = tmp_path / "out"
    one = QUICK.model_copy(update={"seeds": 1})
    evaluate(task_data(), out, models=[str(model)], settings=one, device="cpu")
    before = {f: f.stat().st_mtime_ns for f in out.rglob("runs/**/*.json")}
    lost = next(f for f in before if "kmer" in str(f))
    lost.unlink()
    evaluate(task_data(), out, models=[str(model)], settings=QUICK, device="cpu")
    after = {f: f.stat().st_mtime_ns for f in out.rglob("runs/**/*.json")}
    assert lost in after and set(before) < set(after)
    assert all(after[f] == before[f] for f in before if f != lost)


@pytest.mark.parametrize("split", ["auto", "stratified"])  # the latter drawn for each seed
def test_an_evaluation_stopped_and_resumed_equals_one_without_a_stop(tmp_path, model, split):
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    for out, seeds in ((straight, 3), (resumed, 1), (resumed, 3)):
        settings = _linear(seeds).model_copy(update={"split": split})
        evaluate(task_data(), out, models=[f"m={model}"], settings=settings, device="cpu")
    tables = [pd.read_csv(f / "table.tsv", sep="\t") for f in (straight, resumed)]
    pd.testing.assert_frame_equal(*(t.drop(columns="settings_tried") for t in tables))
    for run in straight.glob("runs/own/*/*.parquet"):
        same = resumed / run.relative_to(straight)
        pd.testing.assert_frame_equal(pd.read_parquet(run), pd.read_parquet(same), rtol=0, atol=0)


def _linear(seeds):
    return QUICK.model_copy(update={"seeds": seeds, "modes": ("linear",)})


def test_every_start_leaves_its_command_and_where_it_computed(tmp_path, monkeypatch):
    out = tmp_path / "out"
    said = ["findna evaluate own.csv -o out", "findna evaluate own.csv -o out --seeds 2"]
    for seeds, command in enumerate(said, 1):
        monkeypatch.setattr(run_state, "command_line", lambda words=command: words)
        evaluate(task_data(), out, settings=_linear(seeds), device="cpu")
    with pytest.raises(BadInput, match="holds runs that differ in"):
        evaluate(task_data(test=rows_of(50, 4)), out, settings=_linear(2), device="cpu")
    assert (out / "command.txt").read_text().splitlines() == said
    assert json.loads((out / "environment.json").read_text()).keys() == environment("cpu").keys()


def _settings_file(folder):
    return yaml.safe_load((folder / "settings.yaml").read_text())


def test_an_evaluation_keeps_the_precision_it_began_with(tmp_path, monkeypatch):
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    named = _linear(2).model_copy(update={"precision": "bf16"})
    evaluate(task_data(), straight, settings=named, device="cpu")
    for seeds, prefers in ((1, True), (2, False)):
        monkeypatch.setattr(precision, "_cpu_prefers_bf16", lambda found=prefers: found)
        auto = _linear(seeds).model_copy(update={"precision": "auto"})
        evaluate(task_data(), resumed, settings=auto, device="cpu")
        assert _settings_file(resumed)["settings"]["precision"] == "bf16"
    second = "runs/own/linear-random-tiny/1.parquet"
    pd.testing.assert_frame_equal(*(pd.read_parquet(f / second) for f in (straight, resumed)))
    with pytest.raises(BadInput, match=r"precision \(was 'bf16', now 'fp32'\)"):
        evaluate(task_data(), resumed, settings=_linear(2), device="cpu")
    evaluate(task_data(), resumed, settings=auto, device="cpu", overwrite=True)
    assert _settings_file(resumed)["settings"]["precision"] == "fp32"


def test_a_folder_that_does_not_say_its_precision_goes_on(tmp_path):
    out = tmp_path / "out"
    auto = _linear(1).model_copy(update={"precision": "auto"})
    evaluate(task_data(), out, settings=auto, device="cpu")
    described = _settings_file(out)
    described["settings"]["precision"] = "auto"
    (out / "settings.yaml").write_text(yaml.safe_dump(described))
    evaluate(task_data(), out, settings=auto, device="cpu")
    assert _settings_file(out)["settings"]["precision"] == "auto"


def test_other_settings_or_another_folder_are_refused(tmp_path):
    out = tmp_path / "out"
    evaluate(task_data(), out, settings=_linear(1), device="cpu")
    other = _linear(1).model_copy(update={"validation_fraction": 0.2})
    with pytest.raises(BadInput, match=r"validation_fraction \(was 0.1, now 0.2\)"):
        evaluate(task_data(), out, settings=other, device="cpu")
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "thesis.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(BadInput, match="is not an evaluation"):
            evaluate(task_data(), strange, settings=_linear(1), overwrite=overwrite)
    assert (strange / "thesis.txt").read_text() == "mine"
    evaluate(task_data(), out, settings=other, device="cpu", overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_two_processes_do_not_write_one_evaluation(tmp_path, monkeypatch, overwrite):
    out, tables = tmp_path / "out", module.tabulate

    def meanwhile(folder, *rest):
        monkeypatch.setattr(module, "tabulate", tables)
        before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        with pytest.raises(BadInput, match="another process is writing"):
            evaluate(task_data(), out, settings=_linear(1), device="cpu", overwrite=overwrite)
        assert {f: f.read_bytes() for f in folder.rglob("*") if f.is_file()} == before
        return tables(folder, *rest)

    monkeypatch.setattr(module, "tabulate", meanwhile)
    evaluate(task_data(), out, settings=_linear(1), device="cpu")
    evaluate(task_data(), out, settings=_linear(1), device="cpu", overwrite=overwrite)
    assert len((out / "command.txt").read_text().splitlines()) == (1 if overwrite else 2)


def test_an_evaluation_that_was_stopped_while_it_was_removed_or_begun_is_no_obstacle(
    tmp_path, monkeypatch
):
    out = tmp_path / "out"
    evaluate(task_data(), out, settings=_linear(1), device="cpu")
    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        stopped.setattr("shutil.rmtree", _interrupted)
        evaluate(task_data(), out, settings=_linear(1), device="cpu", overwrite=True)
    evaluate(task_data(), out, settings=_linear(1), device="cpu", overwrite=True)
    begun = tmp_path / "begun"
    begun.mkdir()
    for left in ("command.txt", ".tmp-1-aa-settings.yaml"):
        (begun / left).touch()
    evaluate(task_data(), begun, settings=_linear(1), device="cpu")


def _interrupted(*_):
    raise KeyboardInterrupt


def test_a_name_that_means_another_model_or_other_rows_is_refused(tmp_path, model):
    out = tmp_path / "out"
    evaluate(task_data(), out, models=[f"mine={model}"], settings=_linear(1), device="cpu")
    other = tmp_path / "other"
    new_model(SMALL, 6).save(other)
    with pytest.raises(BadInput, match="differ in model mine 0"):
        evaluate(task_data(), out, models=[f"mine={other}"], settings=_linear(1), device="cpu")
    with pytest.raises(BadInput, match="differ in test rows of own"):
        evaluate(task_data(test=rows_of(50, 4)), out, settings=_linear(1), device="cpu")
    renamed = LabelledData(task_data().splits, "binary", ("x", "y"), "own.csv")
    with pytest.raises(BadInput, match="differ in classes of own"):
        evaluate(renamed, out, settings=_linear(1), device="cpu")
    evaluate(task_data(), out, models=[f"new={other}"], settings=_linear(1), device="cpu")


def test_what_cannot_be_evaluated_leaves_no_folder(tmp_path):
    data = task_data(test=task_data().splits["dev"])
    with pytest.raises(BadInput, match="same sequences as dev"):
        evaluate(data, tmp_path / "out", settings=QUICK)
    with pytest.raises(BadInput, match="-g is for your own labelled intervals"):
        evaluate(None, tmp_path / "out", suite="gue", genome=tmp_path / "none.fa", settings=QUICK)
    with pytest.raises(BadInput, match="either labelled data or a suite"):
        evaluate(None, tmp_path / "out", settings=QUICK)
    for given in ({"tasks": ["tf/0"]}, {"root": tmp_path}):
        with pytest.raises(BadInput, match="belong to a suite"):
            evaluate(task_data(), tmp_path / "out", settings=QUICK, **given)
    with pytest.raises(BadInput, match="tf/0"):
        evaluate(None, tmp_path / "out", suite="gue", tasks=["tf/00"], settings=QUICK)
    with pytest.raises(BadInput, match="no such model"):
        evaluate(data, tmp_path / "out", models=["nowhere"], settings=QUICK)
    assert not (tmp_path / "out").exists()


def test_every_seed_judges_with_what_the_first_one_chose(tmp_path):
    settings = QUICK.model_copy(update={"modes": ("finetune",), "learning_rates": (1e-4, 3e-3)})
    out = tmp_path / "out"
    evaluate(task_data(), out, models=["tiny"], settings=settings, device="cpu")
    runs = [
        json.loads(f.read_text()) for f in sorted(out.glob("runs/own/finetune-random-tiny/*.json"))
    ]
    assert [run["settings_tried"] for run in runs] == [2, 1]
    assert runs[0]["chosen"]["learning_rate"] == runs[1]["chosen"]["learning_rate"]


def test_the_selected_epoch_is_told_and_changes_no_answer(tmp_path):
    settings = QUICK.model_copy(update={"modes": ("finetune",), "seeds": 1})
    plain, kept = tmp_path / "plain", tmp_path / "kept"
    evaluate(task_data(), plain, models=["tiny"], settings=settings, device="cpu")
    every = settings.model_copy(update={"every_epoch": True})
    evaluate(task_data(), kept, models=["tiny"], settings=every, device="cpu")
    name = "runs/own/finetune-random-tiny/0"
    one, two = (pd.read_parquet(f / f"{name}.parquet") for f in (plain, kept))
    pd.testing.assert_frame_equal(one, two)
    selected = json.loads((kept / f"{name}.json").read_text())["selected_epoch"]
    assert selected["best_value"] >= selected["value"]
    assert "inflation by selection on the test split" in (kept / "table.md").read_text()


def test_a_table_of_predictions_takes_part(tmp_path):
    data = task_data()
    ids = [id for split in data.splits.values() for id in split.ids]
    labels = np.concatenate([split.labels for split in data.splits.values()])
    frame = pd.DataFrame({"id": ids, "p_a": 1.0 - labels, "p_b": labels * 1.0})
    table = PredictionTable("oracle", tmp_path / "oracle.tsv", frame)
    found = evaluate(data, tmp_path / "out", settings=_linear(1), others=[table], device="cpu")
    assert found.table.set_index("contender").loc["oracle", "mean"] == 1.0


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_table_that_lacks_rows_is_refused_before_any_run(tmp_path, split):
    data = task_data()
    ids = [id for rows in data.splits.values() for id in rows.ids]
    ids.remove(data.splits[split].ids[0])
    said = pd.DataFrame({"id": ids, "p_a": 0.5, "p_b": 0.5})
    tables = {"features": EmbeddingTable("t", tmp_path / "t", pd.DataFrame({"id": ids, "v": 0.0}))}
    if split == "test":  # nothing is asked of training rows
        tables["others"] = PredictionTable("t", tmp_path / "t", said)
    for how, table in tables.items():
        with pytest.raises(BadInput, match="lacks 1 of"):
            evaluate(data, tmp_path / "out", settings=_linear(1), device="cpu", **{how: [table]})
    assert not (tmp_path / "out").exists()


def test_rows_are_called_as_in_the_files_when_some_of_them_are_dropped(tmp_path):
    """Dropping the one row whose id stands in two splits must not rename all others."""
    data = task_data()
    test = data.splits["test"]
    twin = replace(data.splits["train"].where(np.arange(80) < 1), ids=test.ids[:1])
    data = task_data(train=data.splits["train"].and_then(replace(twin, codes=test.codes[:1])))
    ids = [id for rows in data.named().splits.values() for id in rows.ids]
    table = PredictionTable("t", tmp_path / "t", pd.DataFrame({"id": ids, "p_a": 0.5, "p_b": 0.5}))
    settings = _linear(1).model_copy(update={"drop": True})
    found = evaluate(data, tmp_path / "out", settings=settings, others=[table], device="cpu")
    assert found.table.set_index("contender").loc["t", "train_rows"] == 80


def test_contenders_are_named_apart(tmp_path, model):
    data = task_data()
    ids = [id for split in data.splits.values() for id in split.ids]
    scores = pd.DataFrame({"id": ids, "p_a": 0.5, "p_b": 0.5})
    vectors = pd.DataFrame({"id": ids, "v0": 0.0})
    kmer = PredictionTable("kmer", tmp_path / "kmer.tsv", scores)
    twice = [EmbeddingTable("mine", tmp_path / f"{n}.tsv", vectors) for n in "ab"]
    for others, features, name in (([kmer], [], "kmer"), ([], twice, "linear-mine")):
        with pytest.raises(BadInput, match=f"several contenders have the name {name}"):
            evaluate(
                data, tmp_path / "out", settings=_linear(1), others=others, features=features,
                device="cpu",
            )  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_an_embedder_is_known_by_its_digest_not_its_name(tmp_path):
    class Vectors(HuggingFaceEmbedder):
        def __init__(self, digest):
            self.name, self.digest, self._kept = "dna", digest, KeptVectors()

        def embed(self, codes):
            return np.array([np.bincount(each, minlength=5)[:5] for each in codes], np.float32)

    for digest in ("sha256:a", "sha256:a"):
        evaluate(
            task_data(), tmp_path / "out", settings=_linear(1), features=[Vectors(digest)],
            device="cpu",
        )  # fmt: skip
    with pytest.raises(BadInput, match="differ in embedder dna"):
        evaluate(
            task_data(), tmp_path / "out", settings=_linear(1), features=[Vectors("sha256:b")],
            device="cpu",
        )  # fmt: skip


def test_models_are_named_apart(tmp_path, model):
    with pytest.raises(BadInput, match="two models have the same name"):
        evaluate(task_data(), tmp_path / "out", models=[str(model), str(model)], settings=QUICK)


def test_a_path_may_have_what_ends_a_name(tmp_path, monkeypatch):
    new_model(SMALL, 5).save(tmp_path / "sweep" / "rate=0.1")
    monkeypatch.chdir(tmp_path / "sweep")
    for words in (str(tmp_path / "sweep" / "rate=0.1"), "./rate=0.1", "rate=0.1"):
        assert [start.name for start in starts([words])] == ["random-tiny", "rate=0.1"]
        assert starts([f"mine={words}"])[1].name == "mine"


def test_a_preset_is_random_weights_whatever_folder_lies_here(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    new_model(SMALL, 5).save("tiny")
    assert [(s.name, len(s.models)) for s in starts(["tiny"])] == [("random-tiny", 0)]
    assert "for the folder write ./tiny" in caplog.text
    assert [len(s.models) for s in starts(["./tiny"])] == [0, 1]


def test_one_model_a_pretraining_seed(tmp_path, model):
    second = tmp_path / "second"
    new_model(SMALL, 6).save(second)
    pair = [f"both={model},{second}"]
    with pytest.raises(BadInput, match="both is 2 models, one per seed, but there are 1 seeds"):
        evaluate(task_data(), tmp_path / "out", models=pair, settings=_linear(1), device="cpu")
    with pytest.raises(BadInput, match="two models of both have the same weights"):
        starts([f"both={model},{second},{model}"])
    # A third seed would be the first model once more.
    found = evaluate(
        task_data(), tmp_path / "out", models=pair, settings=_linear(3), device="cpu"
    ).table.set_index("contender")
    assert found.loc["linear-both", "seeds"] == 2
    assert bool(found.loc["linear-both", "pretraining_seeds"])
    drawn = found.index.str.startswith("linear-random")
    assert found.loc[drawn, "seeds"].tolist() == [3]


@pytest.mark.parametrize("first", [0, 1])
def test_a_seed_that_one_model_answered_is_not_taken_for_the_next_models(tmp_path, first):
    for seed in (5, 6):
        new_model(SMALL, seed).save(tmp_path / str(seed))
    settings = _linear(2).model_copy(update={"modes": ("finetune",), "first_seed": first})
    models = [f"m={','.join(str(tmp_path / str(seed)) for seed in (5, 6)[:n])}" for n in (1, 2)]
    for begun, went_on in (models, models[::-1]):
        out = tmp_path / f"out-{len(begun)}"
        evaluate(task_data(), out, models=[begun], settings=settings, device="cpu")
        with pytest.raises(BadInput, match=r"differ in model m [01]"):
            evaluate(task_data(), out, models=[went_on], settings=settings, device="cpu")


def test_leaking_training_rows_can_be_left_out(tmp_path):
    data = task_data()
    train, test = data.splits["train"], data.splits["test"]
    leaking = replace(train, codes=[*test.codes[:10], *train.codes[10:]], labels=train.labels)
    settings = _linear(1).model_copy(update={"drop": True})
    evaluate(task_data(train=leaking), tmp_path / "out", settings=settings, device="cpu")
    run = json.loads((tmp_path / "out" / "runs" / "own" / "kmer" / "0.json").read_text())
    assert run["sizes"] == {"train": 70, "dev": 40, "test": 50}


def test_a_budget_ends_between_two_runs_and_the_next_start_goes_on(tmp_path):
    out = tmp_path / "out"
    short = _linear(1).model_copy(update={"budget": "0.001s", "reference": "majority"})
    first = evaluate(task_data(), out, settings=_linear(1).model_copy(update={"budget": "1h"}))
    (out / "runs" / "own" / "kmer" / "0.json").unlink()
    cut = evaluate(task_data(), out, settings=short, device="cpu")
    assert (first.left, cut.left) == (0, 1)
    assert "kmer" not in set(cut.table["contender"])
    for named in (None, "linear-random-tiny"):
        for run in out.glob("runs/own/*/0.json"):
            if run.parent.name != "majority":
                run.unlink()
        early = short.model_copy(update={"reference": named})
        alone = evaluate(task_data(), out, settings=early, device="cpu")
        assert alone.left and set(alone.table["contender"]) == {"majority"}
    assert evaluate(task_data(), out, settings=_linear(1), device="cpu").left == 0
    nothing = evaluate(task_data(), tmp_path / "new", settings=short, device="cpu")
    assert nothing.left == len(ALWAYS) + 1 and not len(nothing.table)
    with pytest.raises(BadInput, match="not a duration"):
        EvaluateSettings.parse({"budget": "soon"}, source="here")


def test_a_reference_that_failed_costs_no_table(tmp_path, monkeypatch):
    def failing(*_, **__):
        raise FindnaError("the loss was not finite")

    monkeypatch.setattr(CnnContender, "learn", failing)
    settings = _linear(1).model_copy(update={"reference": "cnn"})
    found = evaluate(task_data(), tmp_path / "out", settings=settings, device="cpu")
    assert len(found.failed) == 1 and "cnn" not in set(found.table["contender"])
    text = (tmp_path / "out" / "table.md").read_text()
    assert "**No run of cnn**: differences are to linear-random-tiny." in text
    assert "## Not run\n\n* own, cnn, seed 0: the loss was not finite" in text


def test_a_full_disk_ends_it_before_more_is_trained_for_nothing(tmp_path, monkeypatch):
    written = []

    def full(folder, facts, *_, **__):
        written.append(facts.contender)
        raise FullDisk(folder)

    monkeypatch.setattr(module, "write_run", full)
    with pytest.raises(FullDisk):
        evaluate(task_data(), tmp_path / "out", settings=_linear(1), device="cpu")
    assert written == ["majority"]


# ---------------------------------------------------------------- what must not be mixed


def test_other_training_rows_are_not_mixed_with_those_of_before(tmp_path):
    evaluate(task_data(), tmp_path / "out", settings=_linear(1), device="cpu")
    for split in ("train", "dev"):
        changed = task_data(**{split: rows_of(60, 9)})
        with pytest.raises(BadInput, match=f"differ in {split} rows of own"):
            evaluate(changed, tmp_path / "out", settings=_linear(2), device="cpu")


def test_two_shapes_have_two_controls(tmp_path):
    for depth in (3, 4):
        shape = ChordMixerConfig(width=16, hidden=16, track_size=4, depth=depth)
        new_model(ModelConfig(preset="tiny", backbone=shape), 1).save(tmp_path / f"d{depth}")
    begun = starts([f"{name}={tmp_path / name}" for name in ("d3", "d4")])
    names = [start.name for start in begun]
    assert names[0] == "random-tiny" and re.fullmatch("random-tiny-[0-9a-f]{6}", names[1])
    assert [start.config.backbone.depth for start in begun] == [3, 4, 3, 4]
    with pytest.raises(BadInput, match="the same name"):
        starts([f"random-tiny={tmp_path / 'd3'}"])
    with pytest.raises(BadInput, match="cannot be used as a file name"):
        starts([f"my model={tmp_path / 'd3'}"])


def test_leakage_is_looked_for_again_where_more_is_known(tmp_path):
    out = tmp_path / "out"
    fasta = tmp_path / "g.fa"
    fasta.write_text(">chr1\n" + "ACGT" * 1000 + "\n")
    evaluate(task_data(), out, settings=_linear(1), device="cpu")
    before = (out / "leakage" / "own.tsv").read_text()
    evaluate(task_data(), out, settings=_linear(1), device="cpu", pretraining_genome=fasta)
    assert "pretraining" in (out / "leakage" / "own.tsv").read_text().removeprefix(before)


# ---------------------------------------------------------------- what is said before the first run


def test_few_rows_are_said_before_the_first_run(tmp_path):
    alike = rows_of(1, 1)
    many = [alike.codes[0]] * 20
    train = LabelledSplit([str(i) for i in range(20)], many, np.arange(20) % 2, np.arange(1, 21))
    data = task_data(train=train)
    del data.splits["dev"]
    with pytest.raises(BadInput, match="too few or too similar to set some aside"):
        evaluate(data, tmp_path / "out", settings=_linear(1), device="cpu")
    assert not (tmp_path / "out").exists()


def test_a_few_shot_task_has_a_row_of_each_class_to_choose_by(tmp_path):
    settings = ProtocolSettings(few_shot=2)
    prepared = prepare("own", task_data(), settings)
    for seed in range(20):
        splits = prepared.parts(seed).splits
        assert {len(rows) for rows in splits.values()} == {2}
        assert all(set(rows.labels) == {0, 1} for rows in splits.values())


def test_a_reference_that_nobody_is_and_a_file_as_output(tmp_path):
    wrong = _linear(1).model_copy(update={"reference": "finetune-humn"})
    with pytest.raises(BadInput, match="there is no contender finetune-humn"):
        evaluate(task_data(), tmp_path / "out", settings=wrong, device="cpu")
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="is a file; a folder is needed"):
        evaluate(task_data(), tmp_path / "file", settings=_linear(1), device="cpu")


def test_dev_rows_that_join_train_are_dropped_too(tmp_path):
    data = task_data()
    dev, test = data.splits["dev"], data.splits["test"]
    leaking = replace(dev, codes=[*test.codes[:10], *dev.codes[10:]])
    settings = _linear(1).model_copy(update={"drop": True, "split": "stratified"})
    evaluate(task_data(dev=leaking), tmp_path / "out", settings=settings, device="cpu")
    run = json.loads((tmp_path / "out" / "runs" / "own" / "kmer" / "0.json").read_text())
    assert run["sizes"]["train"] + run["sizes"]["dev"] == 110
