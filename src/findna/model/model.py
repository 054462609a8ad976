"""The model: backbone and heads, and its folder.

A model folder holds ``model.safetensors``, ``config.json`` and ``README.md`` (the model card);
nothing in it is pickled. `model.loading` reads it, `model.presets` has the shapes.
"""

from __future__ import annotations

import hashlib
import html
import platform
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from findna.files import BadInput, atomic_folder, write_json
from findna.model.chordmixer import ChordMixer
from findna.model.encoded import Encoded
from findna.model.heads import ProjectionHead, TaskConfig, TaskHead
from findna.model.presets import PRESETS, ModelConfig
from findna.sequence.alphabet import ALPHABET_NAME, BASES, COMPLEMENT, refuse_unknown_strand

Distilled = Literal["summary", "mean", "bases"]
FORMAT_VERSION = 1
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"


def reverse_complement(codes: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The reverse complement of padded codes (B, L); the padding stays at the end."""
    table = torch.tensor(COMPLEMENT, dtype=codes.dtype, device=codes.device)
    if lengths is None:
        return table[codes.flip(-1)]
    place = torch.arange(codes.shape[1], device=codes.device)
    source = lengths[:, None] - 1 - place
    return table[codes.gather(1, torch.where(source >= 0, source, place))]


class Model(nn.Module):
    """Backbone, base head, projection head and, once fine-tuned, a task head.

    Codes (B, L) int64 and lengths (B,) come from `findna.encode_batch`. Without lengths, PAD counts
    as a base: a padded batch needs them.

    Attributes:
        config: names and shapes.
        provenance: what the weights were trained on (genome digest, held-out chromosomes, trained
            lengths, versions).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.provenance: dict[str, Any] = {}
        width = config.backbone.width
        self.encoder = ChordMixer(config.backbone)
        self.base_head = nn.Linear(width, BASES)
        self.projection = (
            ProjectionHead(width, config.projection)
            if config.projection.kind == "prototypes"
            else self.base_head
        )
        self.task_head = TaskHead(config.backbone, config.task) if config.task else None

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.base_head.weight.device

    @property
    def parameters_count(self) -> int:
        """Number of parameters in backbone and heads."""
        return sum(p.numel() for p in self.parameters())

    @property
    def prototypes(self) -> int:
        """Scores per summary token, K."""
        projection = self.config.projection
        return projection.prototypes if projection.kind == "prototypes" else BASES

    @property
    def trained_lengths(self) -> tuple[int, int] | None:
        """Shortest and longest training sequence in bp, if known."""
        told = self.provenance.get("trained_lengths")
        return (int(told[0]), int(told[1])) if told else None

    @property
    def pretraining(self) -> Mapping[str, Any]:
        """Provenance of the pretraining, also for a fine-tuned model; empty if there was none."""
        found: Any = self.provenance
        while isinstance(found, dict) and "started_from" in found:
            found = found["started_from"]
        return found if isinstance(found, dict) else {}

    def encode(
        self,
        codes: Tensor,
        lengths: Tensor | None = None,
        noise: Tensor | None = None,
        moments: int = 0,
        early: bool = False,
    ) -> Encoded:
        """Codes (B, L) int64 with valid ``lengths`` (B,) → vectors of bases and summary tokens.

        ``moments`` of all layers (1: means, 2: also deviations) and the output of the first layer
        (``early``) are included if requested or if the task head reads them.
        """
        if self.task_head is not None:
            asked = self.task_head.asked
            moments, early = max(moments, asked.moments), early or asked.early
        encoded: Encoded = self.encoder(codes, lengths, noise, moments, early)
        return encoded

    def base_logits(self, bases: Tensor) -> Tensor:
        """Vectors (..., D) → logits over A C G T (..., 4)."""
        logits: Tensor = self.base_head(bases)
        return logits

    def project(self, summary: Tensor) -> Tensor:
        """Summary rows (B, S, D) → scores over prototypes (B, S, K)."""
        scores: Tensor = self.projection(summary)
        return scores

    def distilled(
        self, encoded: Encoded, target: Distilled, hidden: Tensor | None = None
    ) -> Tensor:
        """The input of the projection, (n, S, D): the S summary rows of each of n sequences, their
        mean over bases (S = 1; DINO, Caron et al. 2021), or each of n ``hidden`` bases (S = 1;
        iBOT, Zhou et al. 2022), where ``hidden`` is (B, L) bool.
        """
        if target == "summary":
            return encoded.summary
        if target == "mean":
            return encoded.mean()[:, None]
        if hidden is None:
            raise ValueError("distilling bases needs to know which of them were hidden")
        return encoded.bases[hidden][:, None]

    def forward(
        self,
        codes: Tensor,
        lengths: Tensor | None = None,
        noise: Tensor | None = None,
        target: Distilled | None = "summary",
        hidden: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The two outputs for pretraining: base logits (B, L, 4), and prototype scores (n, S, K) of
        ``target``, or an empty tensor if that is None.
        """
        encoded = self.encode(codes, lengths, noise)
        logits = self.base_logits(encoded.bases)
        if target is None:
            return logits, logits.new_empty(0)
        return logits, self.project(self.distilled(encoded, target, hidden))

    def embed(self, codes: Tensor, lengths: Tensor | None = None, strand: str = "both") -> Tensor:
        """Mean over valid bases (B, D), averaged over both strands unless ``strand`` is
        "forward".

        Raises:
            ValueError: another strand.
        """
        refuse_unknown_strand(strand)
        embedding = self.encode(codes, lengths).mean()
        if strand == "forward":
            return embedding
        turned = reverse_complement(codes, lengths)
        return (embedding + self.encode(turned, lengths).mean()) / 2

    def task_logits(
        self, codes: Tensor, lengths: Tensor | None = None, strand: str | None = None
    ) -> Tensor:
        """Logits of the task (B, outputs); ``strand`` None uses the task's own setting.

        Raises:
            ValueError: the model has no task head; another strand.
        """
        refuse_unknown_strand(strand or "both")
        if self.task_head is None or self.config.task is None:
            raise ValueError("this model has no task head: fine-tune it first")
        logits: Tensor = self.task_head(self.encode(codes, lengths))
        if (strand or self.config.task.strand) == "forward":
            return logits
        turned = reverse_complement(codes, lengths)
        other: Tensor = self.task_head(self.encode(turned, lengths))
        return (logits + other) / 2

    def with_task(self, task: TaskConfig | None, seed: int) -> Model:
        """A copy with the same backbone and a fresh head for ``task``, or without one."""
        fresh = new_model(self.config.model_copy(update={"task": task}), seed)
        state = {k: v for k, v in self.state_dict().items() if not k.startswith("task_head.")}
        head = {k: v for k, v in fresh.state_dict().items() if k.startswith("task_head.")}
        fresh.load_state_dict({**state, **head})
        fresh.provenance = dict(self.provenance)
        return fresh

    def save(
        self, folder: str | Path, *, card: str = "", overwrite: bool = False, half: bool = False
    ) -> None:
        """Write the model folder, whole or not at all; ``half`` stores weights in 16 bits."""
        dtype = torch.float16 if half else None
        weights = {
            name: tensor.detach().to("cpu", dtype, copy=True).contiguous()
            for name, tensor in self.state_dict().items()
            if not (self.config.projection.kind == "shared" and name.startswith("projection."))
        }
        with atomic_folder(folder, overwrite, known_by=CONFIG) as made:
            save_file(weights, made / WEIGHTS, metadata={"format": "pt"})
            # safetensors makes files readable by the owner only; models are shared.
            (made / WEIGHTS).chmod(0o644)
            write_json(made / CONFIG, self._description())
            (made / CARD).write_text(card or self._card(), encoding="utf-8")

    def _description(self) -> dict[str, Any]:
        return {
            "format_version": FORMAT_VERSION,
            "alphabet": ALPHABET_NAME,
            "model": self.config.model_dump(mode="json"),
            "offsets": list(self.config.backbone.offsets),
            "provenance": {**self.provenance, "software": software_versions()},
        }

    def _card(self) -> str:
        told = {key: _in_words(value) for key, value in self.provenance.items()}
        lines = [f"* {key}: {words}" for key, words in told.items() if words]
        if self.provenance:
            lines.append("* all of it: `config.json`, under `provenance`")
        facts = "\n".join(lines)
        task = self.config.task
        answers = (
            f"{task.kind} over {', '.join(map(as_code, task.classes))}"
            if task
            else "no task (pretrained)"
        )
        return (
            f"# findna model ({self.config.preset})\n"
            "\n"
            f"{self.parameters_count:,} parameters, ChordMixer backbone, {answers}.\n"
            "\n"
            "## What it has seen\n"
            "\n"
            f"{facts or '* nothing: random initialisation'}\n"
            "\n"
            "## Limits\n"
            "\n"
            "Research use: variant scores are not a pathogenicity classifier. Sequences outside"
            " the trained lengths are predicted with a warning.\n"
        )


def earlier_pretrainings(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Provenances of the pretrainings that this one continued, newest first; an older model records
    only the genome of the last.
    """
    before = told.get("continued_from")
    if not before:
        return []
    last = {"genome_digest": before} if isinstance(before, str) else dict(before)
    return [last, *earlier_pretrainings(last)]


def _in_words(value: Any) -> str:
    """A fact as text for a line of a card; empty if it is nested or unknown."""
    if isinstance(value, list):
        words = [_in_words(item) for item in value]
        return ", ".join(words) if all(words) else ""
    if value is None or isinstance(value, dict):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else html.escape(str(value), quote=False)


def as_code(text: str) -> str:
    """Free text as a Markdown code span, in which no character has a special meaning."""
    line = " ".join(text.split())
    longest = max(map(len, re.findall("`+", line)), default=0)
    fence, blank = "`" * (longest + 1), " " if longest else ""
    return f"{fence}{blank}{line}{blank}{fence}"


def weights_digest(model: nn.Module) -> str:
    """Digest of the weights by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return f"sha256:{digest.hexdigest()}"


def software_versions() -> dict[str, str]:
    """Versions that a result may depend on."""
    from importlib.metadata import version

    return {
        "findna": version("findna"),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "safetensors": safetensors.__version__,
    }


_DRAWING = threading.Lock()


def new_model(config: ModelConfig | str, seed: int) -> Model:
    """A model with random weights drawn from ``seed``; ``config`` may be the name of a preset."""
    if isinstance(config, str):
        if config not in PRESETS:
            raise BadInput(
                f"there is no preset {config!r}", remedy=f"use one of {', '.join(PRESETS)}"
            )
        config = PRESETS[config]
    # The generator is global: without a lock, one thread could draw with the seed of another.
    with _DRAWING, torch.device("cpu"), torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which would also reseed every GPU, permanently.
        torch.default_generator.manual_seed(seed)
        return Model(config)
