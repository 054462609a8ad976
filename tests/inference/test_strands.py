"""A strand that nobody knows is refused by every verb, not read as one of the two."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import findna
from findna.model.heads import TaskConfig
from findna.model.model import Model


@pytest.fixture
def model() -> Model:
    task = TaskConfig(kind="binary", classes=("no", "yes"))
    return findna.load("findna-human-tiny").with_task(task, 0)


@pytest.fixture
def fasta(tmp_path: Path) -> Path:
    path = tmp_path / "g.fa"
    path.write_text(">chr1\n" + "ACGTTGCA" * 40 + "\n")
    return path


SNV = pd.DataFrame({"chrom": ["chr1"], "pos": [1], "ref": ["A"], "alt": ["C"]})


@pytest.mark.parametrize(
    "ask",
    [
        lambda model, fasta, **how: findna.embed(fasta, model, **how),
        lambda model, fasta, **how: findna.predict(fasta, model, **how),
        lambda model, fasta, **how: findna.mutagenesis(fasta, model, **how),
        lambda model, fasta, **how: findna.scan(fasta, model, **how),
        lambda model, fasta, **how: findna.score_variants(SNV, fasta, model, **how),
        lambda model, fasta, **how: findna.search("chr1:1-90", fasta, model, **how),
        lambda model, fasta, **how: findna.index_genome(fasta, model, **how),
    ],
)
def test_another_strand_is_refused(ask: Callable[..., Any], model: Model, fasta: Path) -> None:
    with pytest.raises(ValueError, match="no such strand: 'reverse'; choose from both, forward"):
        ask(model, fasta, strand="reverse", device="cpu")
