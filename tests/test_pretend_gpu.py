"""Verbs on a device that is not the CPU, without one: the same answers as on the CPU."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from pretend_gpu import HAS_PRETEND, PRETEND, PretendGpu

import findna
from findna.data import on_device
from findna.evaluation.evaluate import evaluate
from findna.inference.embed import EmbedPooling, embed
from findna.inference.mutagenesis import mutagenesis
from findna.inference.predict import predict
from findna.inference.scan import scan
from findna.inference.score_variants import score_variants
from findna.inference.search import search
from findna.model import chordmixer
from findna.model.heads import TaskConfig
from findna.model.model import new_model
from findna.model.presets import PRESETS
from findna.sequence.alphabet import decode
from findna.sequence.genome import Genome
from findna.training import pretrain as pretraining
from findna.training.finetune import finetune
from findna.training.pretrain import pretrain

pytestmark = pytest.mark.skipif(not HAS_PRETEND, reason="torch knows no device made in Python")

MODEL = "findna-human-tiny"
BASES = 6000


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The pretended device as `--device`, with what the package does on CUDA only."""
    for name, module in list(sys.modules.items()):
        if name.startswith("findna.") and hasattr(module, "pick_device"):
            monkeypatch.setattr(module, "pick_device", torch.device)
    monkeypatch.setattr(pretraining, "open_engine", _engine_on)
    monkeypatch.setattr(on_device, "_STORED_ON", PRETEND)
    monkeypatch.setattr(on_device, "_free", lambda device: 1 << 30)
    monkeypatch.setattr(chordmixer, "_PADDED_ON", PRETEND)
    with PretendGpu():
        yield PRETEND
    AcceleratorState._reset_state(reset_partial_state=True)


def _engine_on(device: str) -> Accelerator:
    """An engine on a device that accelerate would not find."""
    engine = Accelerator(cpu=True, mixed_precision="no")
    engine.state.device = torch.device(device)
    return engine


@pytest.fixture
def genome(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A chromosome of random letters, with a gap."""
    letters = rng.choice(list("ACGT"), BASES)
    letters[900:930] = "N"
    file = tmp_path / "genome.fa"
    file.write_text(f">chr1\n{''.join(letters)}\n")
    return file


@pytest.fixture
def task(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Ragged rows, of which the second class has a motif."""
    folder = tmp_path / "task"
    folder.mkdir()
    for split, rows in (("train", 40), ("dev", 20), ("test", 20)):
        lines = ["sequence,label"]
        for row in range(rows):
            letters = "".join(rng.choice(list("ACGT"), 40 + int(rng.integers(30))))
            lines.append(f"{'GGGGATCCCC' * (row % 2)}{letters},{row % 2}")
        (folder / f"{split}.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_the_device_refuses_what_a_gpu_refuses(device: str) -> None:
    there, here = torch.arange(6.0, device=device), torch.ones(6)
    assert (there + 1).device.type == device and (there * 2).sum().item() == 30
    assert (there + torch.tensor(1.0)).cpu().tolist() == [1, 2, 3, 4, 5, 6]
    assert there[torch.tensor([1, 2])].tolist() == [1, 2]
    with pytest.raises(RuntimeError, match="on the host"):
        _ = there + here
    with pytest.raises(RuntimeError, match="on the host"):
        _ = here[torch.tensor([1], device=device)]
    with pytest.raises(RuntimeError, match="on the host"):
        torch.cat([there, here])
    with pytest.raises((RuntimeError, TypeError)):
        there.numpy()
    with pytest.raises((RuntimeError, TypeError)):
        np.asarray(there)


@pytest.mark.parametrize("preset", ["tiny", "paper"])
def test_a_network_learns_there_what_it_learns_on_the_cpu(preset: str, device: str) -> None:
    shape = {"backbone": PRESETS[preset].backbone.model_copy(update={"depth": 3})}
    codes = torch.arange(2 * 70).view(2, 70) % 4
    lengths = torch.tensor([70, 45])
    found = []
    for where in ("cpu", device):
        model = new_model(PRESETS[preset].model_copy(update=shape), 0).to(where)
        bases = model.encode(codes.to(where), lengths.to(where)).bases
        bases.square().mean().backward()
        gradients = [p.grad.cpu() for p in model.encoder.parameters() if p.grad is not None]
        found.append([bases.detach().cpu(), *gradients])
    for here, there in zip(*found, strict=True):
        torch.testing.assert_close(there, here)


def _close(here: pd.DataFrame, there: pd.DataFrame) -> None:
    assert len(here) and here.select_dtypes("number").shape[1]
    pd.testing.assert_frame_equal(here, there, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pooling", [("mean", "max", "summary"), ("layers", "deviations")])
def test_embed(pooling: Sequence[EmbedPooling], device: str, task: Path, genome: Path) -> None:
    here, there = (
        [
            embed(task / "test.csv", MODEL, pooling=pooling, device=where).vectors,
            embed(genome, MODEL, pooling=pooling, window=500, device=where).vectors,
        ]
        for where in ("cpu", device)
    )
    for one, other in zip(here, there, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_embed_every_base(device: str, genome: Path) -> None:
    here, there = (
        embed(genome, MODEL, pooling="base", window=500, device=where).vectors
        for where in ("cpu", device)
    )
    assert here is not None and there is not None and here[0].shape[0] == BASES
    np.testing.assert_allclose(here[0], there[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("train", ["probe", "last", "full"])
def test_finetune_and_predict(train: str, device: str, task: Path, tmp_path: Path) -> None:
    settings = {"train": train, "epochs": 2, "precision": "fp32"}
    tables = []
    for where in ("cpu", device):
        finetune(task, tmp_path / where, model=MODEL, settings=settings, device=where)
        tables.append(predict(task / "test.csv", tmp_path / where, device=where).table)
    _close(*tables)


def test_score_variants(device: str, genome: Path) -> None:
    letters = Genome.open(genome)
    places = (1, 300, 850, 3000, BASES)
    rows = [("chr1", at, decode(letters.fetch("chr1", at - 1, at).codes)) for at in places]
    table = pd.DataFrame(rows, columns=["chrom", "pos", "ref"])
    table["alt"] = table["ref"].map({"A": "C", "C": "CTT", "G": "T", "T": "A"})
    _close(
        *(
            score_variants(table, genome, MODEL, percentiles=False, device=where).table
            for where in ("cpu", device)
        )
    )


def test_mutagenesis(device: str, genome: Path) -> None:
    here, there = (
        mutagenesis("chr1:2,001-2,040", MODEL, genome=genome, device=where).attributions
        for where in ("cpu", device)
    )
    assert here and there
    np.testing.assert_allclose(here[0].effects, there[0].effects, rtol=1e-3, atol=1e-4)


def test_mutagenesis_of_a_task(device: str) -> None:
    task = TaskConfig(kind="binary", classes=("no", "yes"))
    model = findna.load(MODEL).with_task(task, 0)
    assert model.task_head is not None
    torch.nn.init.ones_(model.task_head.linear.weight)
    here, there = (
        mutagenesis(["ACGTTGCA" * 3], model, device=where).attributions for where in ("cpu", device)
    )
    assert here and there
    np.testing.assert_allclose(here[0].effects, there[0].effects, rtol=1e-3, atol=1e-3)


def test_scan(device: str, genome: Path) -> None:
    here, there = (
        scan(genome, MODEL, regions="chr1:1-3000", window=500, device=where)
        for where in ("cpu", device)
    )
    assert here.values and there.values
    surprise = [found["surprise"]["chr1"] for found in (here.values, there.values)]
    _close(*surprise)


def test_search(device: str, genome: Path, tmp_path: Path) -> None:
    tables = [
        search("chr1:2,001-2,200", genome, MODEL, window=200, index=tmp_path / where, device=where)
        for where in ("cpu", device)
    ]
    _close(*(found.table for found in tables))


def test_pretrain_and_resume(device: str, genome: Path, tmp_path: Path) -> None:
    """The genome lies on the device, too."""
    settings = {
        "steps": 3,
        "precision": "fp32",
        "sampling": {"window": 128, "batch_bases": 1024},
        "validation": {"bases": 1024, "final_bases": 1024, "checks": 1},
        "distillation": {"distillation_weight": 0.2},
    }
    here, there = (
        pretrain(genome, tmp_path / where, settings, device=where).metrics
        for where in ("cpu", device)
    )
    for name in ("mask_loss", "teacher_mask_loss", "distillation_loss", "strand_agreement"):
        assert there[name] == pytest.approx(here[name], rel=1e-3)
    again = pretrain(genome, tmp_path / device, settings, device=device, resume=True)
    assert again.metrics == there


def test_evaluate(device: str, task: Path, tmp_path: Path) -> None:
    settings = {"seeds": 1, "epochs": 1, "precision": "fp32"}
    found = evaluate(task, tmp_path / "out", models=[MODEL], settings=settings, device=device)
    assert not found.failed and len(found.table)
