"""The model: backbone and heads, and the folder it is kept in.

A model folder holds ``model.safetensors``, ``config.json`` and ``README.md`` (the model card);
nothing in it is ever unpickled. Loading is into a structure built from the config: anything
missing, extra or of another shape is refused.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import safetensors
import torch
from pydantic import Field
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from findna.files import BadInput, Settings, atomic_folder, read_json, write_json
from findna.model.chordmixer import ChordMixer, ChordMixerConfig
from findna.model.encoded import Encoded
from findna.model.heads import BASES, ProjectionConfig, ProjectionHead, TaskConfig, TaskHead
from findna.model.published import PUBLISHED
from findna.sequence.alphabet import ALPHABET_NAME, COMPLEMENT

FORMAT_VERSION = 1
Distilled = Literal["summary", "mean", "bases"]
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"


class ModelConfig(Settings):
    """Everything that fixes the names and shapes of a model's weights."""

    preset: str = Field("custom", description="Name of the preset this shape comes from.")
    backbone: ChordMixerConfig = Field(ChordMixerConfig(), description="Shape of the backbone.")
    projection: ProjectionConfig = Field(ProjectionConfig(), description="Shape of the projection.")
    task: TaskConfig | None = Field(None, description="The task of a fine-tuned model.")


def _preset(name: str, backbone: dict[str, Any], **projection: Any) -> ModelConfig:
    return ModelConfig(
        preset=name,
        backbone=ChordMixerConfig(**backbone),
        projection=ProjectionConfig(**projection),
    )


PRESETS: dict[str, ModelConfig] = {
    config.preset: config
    for config in (
        _preset("tiny", {"width": 128, "hidden": 256, "track_size": 16, "depth": 6, "stem": 4}),
        _preset("small", {"width": 192, "hidden": 384, "track_size": 16, "depth": 14, "stem": 4}),
        # Eight tracks reach 64 bases a layer; sixteen layers, half of them either way, make that a
        # window of 1 kb, and its fp16 weights take 8.8 MB.
        _preset("medium", {"width": 256, "hidden": 512, "track_size": 32, "depth": 16, "stem": 4}),
        _preset(
            "base",
            {"width": 384, "hidden": 512, "track_size": 32, "depth": 32, "stem": 4},
            hidden=512,
            bottleneck=128,
            prototypes=2048,
        ),
        _preset(
            "paper",
            {
                "width": 308,
                "hidden": 512,
                "track_size": 28,
                "depth": 40,
                "direction": "forward",
                "norm": "none",
            },
            hidden=512,
            bottleneck=128,
            prototypes=2048,
        ),
        _preset(
            "long",
            {
                "width": 288,
                "hidden": 576,
                "track_size": 16,
                "depth": 18,
                "checkpointing": True,
            },
        ),
    )
}


def reverse_complement(codes: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The other strand of padded codes (B, L): valid bases turned round in place, padding left at
    the end.
    """
    table = torch.tensor(COMPLEMENT, dtype=codes.dtype, device=codes.device)
    if lengths is None:
        return table[codes.flip(-1)]
    place = torch.arange(codes.shape[1], device=codes.device)
    source = lengths[:, None] - 1 - place
    return table[codes.gather(1, torch.where(source >= 0, source, place))]


class Model(nn.Module):
    """Backbone, base head, projection head and, once fine-tuned, a task head.

    Attributes:
        config: names and shapes.
        provenance: what the weights have seen (genome digest, held-out chromosomes, trained
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
        """Where the weights lie."""
        return self.base_head.weight.device

    @property
    def parameters_count(self) -> int:
        """Number of trained numbers in backbone and heads."""
        return sum(p.numel() for p in self.parameters())

    @property
    def prototypes(self) -> int:
        """Scores a summary token, K."""
        projection = self.config.projection
        return projection.prototypes if projection.kind == "prototypes" else BASES

    def encode(
        self,
        codes: Tensor,
        lengths: Tensor | None = None,
        noise: Tensor | None = None,
        moments: int = 0,
    ) -> Encoded:
        """Codes (B, L) int64 with valid ``lengths`` (B,) → vectors of bases and summary tokens;
        with as many ``moments`` of all layers (1: means, 2: deviations as well) as are asked for
        or as the task head reads.
        """
        if self.task_head is not None:
            moments = max(moments, self.task_head.moments)
        encoded: Encoded = self.encoder(codes, lengths, noise, moments)
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
        """What a projection is made of, (n, S, D): the S summary rows of each of n sequences, their
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
        """Pretraining's two answers: base logits (B, L, 4), and prototype scores (n, S, K) of
        ``target``, or an empty tensor where that is None.
        """
        encoded = self.encode(codes, lengths, noise)
        logits = self.base_logits(encoded.bases)
        if target is None:
            return logits, logits.new_empty(0)
        return logits, self.project(self.distilled(encoded, target, hidden))

    def embed(self, codes: Tensor, lengths: Tensor | None = None, strand: str = "both") -> Tensor:
        """Mean over valid bases (B, D), averaged over both strands unless ``strand`` is
        "forward".
        """
        embedding = self.encode(codes, lengths).mean()
        if strand == "forward":
            return embedding
        turned = reverse_complement(codes, lengths)
        return (embedding + self.encode(turned, lengths).mean()) / 2

    def task_logits(
        self, codes: Tensor, lengths: Tensor | None = None, strand: str | None = None
    ) -> Tensor:
        """Logits of the task (B, outputs); ``strand`` None obeys the task's own setting.

        Raises:
            ValueError: the model has no task head.
        """
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
        """Write the model folder, all of it or nothing; ``half`` keeps 16 bits a weight."""
        dtype = torch.float16 if half else None
        weights = {
            name: tensor.detach().to("cpu", dtype, copy=True).contiguous()
            for name, tensor in self.state_dict().items()
            if not (self.config.projection.kind == "shared" and name.startswith("projection."))
        }
        with atomic_folder(folder, overwrite, known_by=CONFIG) as made:
            save_file(weights, made / WEIGHTS, metadata={"format": "pt"})
            # safetensors writes for the owner alone; models are shared with colleagues.
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
        facts = "\n".join(f"* {key}: {value}" for key, value in self.provenance.items())
        task = self.config.task
        answers = f"{task.kind} over {', '.join(task.classes)}" if task else "no task (pretrained)"
        return (
            f"# findna model ({self.config.preset})\n\n"
            f"{self.parameters_count:,} parameters, ChordMixer backbone, {answers}.\n\n"
            f"## What it has seen\n\n{facts or '* nothing: random initialisation'}\n\n"
            "## Limits\n\nResearch use: variant scores are no pathogenicity classifier. Sequences"
            " outside the trained lengths are answered with a warning.\n"
        )


def weights_digest(model: Model) -> str:
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


def new_model(config: ModelConfig | str, seed: int) -> Model:
    """A model with random weights drawn from ``seed``; ``config`` may be the name of a preset."""
    if isinstance(config, str):
        if config not in PRESETS:
            raise BadInput(
                f"there is no preset {config!r}", remedy=f"use one of {', '.join(PRESETS)}"
            )
        config = PRESETS[config]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Model(config)


def is_preset(name: object) -> bool:
    """Whether random weights of a preset are meant: nothing of that name lies here."""
    return str(name) in PRESETS and not Path(str(name)).exists()


def model_or_preset(name: str | Path, seed: int) -> Model:
    """A model folder, run or published name as it was trained, or a preset with random weights.

    Raises:
        BadInput: it is neither.
    """
    return new_model(str(name), seed) if is_preset(name) else load_model(name)


def model_folder(path: str | Path) -> Path:
    """The model folder that ``path`` means: itself, ``model/`` of a run folder, or that of a
    published name.

    Raises:
        BadInput: it is none, or a published model is absent or not what was published.
    """
    if str(path) in PUBLISHED and not Path(path).exists():
        return PUBLISHED[str(path)].folder()
    path = Path(path)
    for folder in (path, path / "model"):
        if (folder / CONFIG).is_file():
            return folder
    raise BadInput(
        "this is no model folder: it has no config.json",
        file=path,
        remedy="give a folder written by findna pretrain or finetune, or the name of a published"
        f" model: {', '.join(PUBLISHED)}",
    )


def load_model(path: str | Path, device: str | torch.device = "cpu") -> Model:
    """Load a model folder, the model of a run folder or a published name, in evaluation mode.

    Raises:
        BadInput: no such model, a published one that differs, an unknown format version or
        alphabet, or a tensor that is missing, extra, of another shape or not finite.
    """
    folder = model_folder(path)
    described = read_json(folder / CONFIG)
    if not isinstance(described, dict):
        raise BadInput("holds no model", file=folder / CONFIG, remedy="copy the whole folder again")
    config = _read_config(described, folder / CONFIG)
    model = new_model(config, seed=0)
    _load_weights(model, folder / WEIGHTS)
    model.provenance = dict(described.get("provenance") or {})
    return model.to(device).eval()


def _read_config(described: Mapping[str, Any], file: Path) -> ModelConfig:
    version = described.get("format_version")
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise BadInput(
            f"format version {version!r} is unknown; this findna reads 1 to {FORMAT_VERSION}",
            file=file,
            remedy="update findna, or save the model again with this version",
        )
    if described.get("alphabet") != ALPHABET_NAME:
        raise BadInput(
            f"alphabet {described.get('alphabet')!r} is not {ALPHABET_NAME!r}",
            file=file,
            remedy="the model was trained on other codes and cannot be used",
        )
    config = ModelConfig.parse(described.get("model", {}), source=str(file))
    if described.get("offsets") != list(config.backbone.offsets):
        raise BadInput(
            f"rotation offsets {described.get('offsets')} differ from those of the"
            f" configured shape, {list(config.backbone.offsets)}",
            file=file,
            remedy="restore config.json: another shape would make other numbers of the same"
            " weights",
        )
    return config


def _load_weights(model: Model, file: Path) -> None:
    try:
        found = load_file(file)
    except FileNotFoundError:
        raise BadInput(
            "the weights are missing", file=file, remedy="copy the whole folder"
        ) from None
    except (safetensors.SafetensorError, OSError) as error:
        raise BadInput(
            f"the weights cannot be read ({error})", file=file, remedy="copy the file again"
        ) from None
    wanted = model.state_dict()
    if model.config.projection.kind == "shared":
        found |= {
            name: found[name.replace("projection.", "base_head.")]
            for name in wanted
            if name.startswith("projection.") and name.replace("projection.", "base_head.") in found
        }
    problems = [f"tensor {name} is missing" for name in wanted.keys() - found.keys()]
    problems += [
        f"tensor {name} is not part of this model" for name in found.keys() - wanted.keys()
    ]
    problems += [
        f"tensor {name} has shape {tuple(found[name].shape)}, expected {tuple(wanted[name].shape)}"
        for name in wanted.keys() & found.keys()
        if found[name].shape != wanted[name].shape
    ]
    problems += [
        f"tensor {name} holds values that are not finite"
        for name in wanted.keys() & found.keys()
        if not torch.isfinite(found[name]).all()
    ]
    if problems:
        raise BadInput(
            "; ".join(sorted(problems)[:5]),
            file=file,
            remedy="use the weights and config.json that were saved together",
        )
    model.load_state_dict(found)
