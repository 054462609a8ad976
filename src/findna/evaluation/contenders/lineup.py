"""Who takes part: findna's models in every mode, the same shapes from random weights, and the rest.

Random initialisation, words counted, composition, letters at places, the convolutional network and
the commonest answer are always there: a score means nothing without them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, PositiveFloat

from findna.evaluation.contenders.baselines import MajorityContender
from findna.evaluation.contenders.cnn import CnnContender
from findna.evaluation.contenders.composition import CompositionContender
from findna.evaluation.contenders.networks import FinetuneContender, Start
from findna.evaluation.contenders.places import PlacesContender
from findna.evaluation.contenders.probes import (
    Features,
    LinearProbe,
    NeighbourProbe,
    NetworkFeatures,
)
from findna.evaluation.contenders.words import KmerContender
from findna.evaluation.preparation import ProtocolSettings
from findna.evaluation.protocol import Contender
from findna.evaluation.results import CONTENDER_NAME
from findna.files import BadInput
from findna.inference.precision import Precision
from findna.model.loading import is_preset, load_model, say_shadowed
from findna.model.model import weights_digest
from findna.model.presets import PRESETS
from findna.sequence.alphabet import Strand
from findna.training.finetune_settings import FinetuneSettings

Mode = Literal["linear", "knn", "finetune"]


class ContenderSettings(ProtocolSettings):
    """How models are used, and what each may choose from on validation rows."""

    modes: tuple[Mode, ...] = Field(
        ("linear", "knn", "finetune"),
        min_length=1,
        description="How a model is used: linear probe, kNN probe, full fine-tuning.",
    )
    epochs: int = Field(5, ge=1, description="Passes over the training rows in fine-tuning.")
    learning_rates: tuple[PositiveFloat, ...] = Field(
        (1e-3, 3e-3, 6e-3),
        min_length=1,
        description="Learning rates from which fine-tuning chooses.",
    )
    batch_rows: int = Field(32, ge=1, description="Sequences per optimizer step in fine-tuning.")
    strand: Literal["auto", "both", "forward"] = Field(
        "auto",
        description="both: average both strands; forward: read only the given one; auto: both,"
        " and for fine-tuning forward where validation is clearly better with it.",
    )
    precision: Precision = Field(
        "auto", description="fp32, bf16, or auto, whichever is faster here."
    )
    every_epoch: bool = Field(
        False,
        description="Keep the weights of every epoch and, once validation has chosen, show what"
        " choosing on the test split would have added.",
    )

    def finetuning(self) -> FinetuneSettings:
        """The settings of one fine-tuning run."""
        return FinetuneSettings(
            epochs=self.epochs,
            batch_rows=self.batch_rows,
            strand=self.strand,
            precision=self.precision,
        )

    def vector_strand(self) -> Strand:
        """What probes read: vectors of both strands tell where something stands, as those of the
        given one do.
        """
        return "forward" if self.strand == "forward" else "both"


def starts(models: Sequence[str]) -> tuple[Start, ...]:
    """Random weights of every shape that takes part, and then the pretrained models.

    Each of `models` is a folder, `name=folder`, `name=folder,folder` with one model a pretraining
    seed, or the name of a preset, which stands for random weights alone.

    Raises:
        BadInput: a name twice, folders of one name with different shapes or the same weights, or no
            model folder.
    """
    found = [_start(words) for words in models]
    random = {start.shape_digest: start for start in map(_random, found)}
    everyone = (*random.values(), *(start for start in found if start.models))
    names = [start.name for start in found if not start.models]
    names += [start.name for start in everyone]
    if len(set(names)) < len(names):
        raise BadInput(
            f"two models have the same name: {', '.join(names)}",
            remedy="name them: -m first=FOLDER -m second=FOLDER",
        )
    return everyone


def _start(words: str) -> Start:
    if is_preset(words):
        say_shadowed(words)
        return Start(words, PRESETS[words])
    folders = folders_of(words)
    models = tuple(load_model(folder) for folder in folders)
    name = _parted(words)[0] or _folder_name(folders[0])
    if not re.fullmatch(CONTENDER_NAME, name):
        raise BadInput(
            f"{name!r} cannot be used as a file name, which the name of a contender becomes",
            remedy="give another name: -m name=FOLDER, without spaces and slashes",
        )
    each = [Start(name, model.config.model_copy(update={"task": None})) for model in models]
    if len({one.shape_digest for one in each}) > 1:
        raise BadInput(
            f"the models of {name} have different shapes", remedy="give them different names"
        )
    if len(set(map(weights_digest, models))) < len(models):
        raise BadInput(
            f"two models of {name} have the same weights, but each must be a pretraining seed of"
            " its own",
            remedy="give each model once",
        )
    return Start(name, each[0].config, models)


def folders_of(words: str) -> list[Path]:
    """The folders in `name=folder,folder`."""
    return [Path(folder) for folder in _parted(words)[1].split(",")]


def _parted(words: str) -> tuple[str, str]:
    """The name, empty if none is given, and the rest; paths such as sweep/rate=0.1 have a = too."""
    name, _, rest = words.partition("=")
    return ("", words) if not rest or "/" in name or Path(words).is_dir() else (name, rest)


def _folder_name(folder: Path) -> str:
    """The name of the run where the model folder is called `model`."""
    folder = folder.resolve()
    return folder.parent.name if folder.name == "model" else folder.name


def _random(start: Start) -> Start:
    config = start.config.model_copy(update={"task": None})
    name = "random" if config.preset == "custom" else f"random-{config.preset}"
    digest, preset = Start(name, config).shape_digest, PRESETS.get(config.preset)
    if preset is not None and Start(name, preset).shape_digest == digest:
        return Start(name, config)
    # Shapes that are no preset, or no longer are, may meet in one evaluation.
    return Start(f"{name}-{digest.removeprefix('sha256:')[:6]}", config)


def contenders(
    begun: Sequence[Start],
    settings: ContenderSettings,
    device: torch.device,
    others: Sequence[Contender] = (),
    features: Sequence[Features] = (),
) -> list[Contender]:
    """Every contender, cheap ones first.

    Args:
        begun: what `starts` made of the models.
        settings: modes and grids.
        device: where networks compute.
        others: more contenders, such as tables of predictions.
        features: vectors made elsewhere, which pass through the probes.
    """
    cheap: list[Contender] = [
        MajorityContender(),
        CompositionContender(),
        PlacesContender(),
        KmerContender(),
        CnnContender(device=str(device)),
    ]
    strand = settings.vector_strand()
    networks = (NetworkFeatures(start, device, strand, settings.precision) for start in begun)
    vectors = [*networks, *features]
    probes: Mapping[Mode, list[Contender]] = {
        "linear": [LinearProbe(each) for each in vectors],
        "knn": [NeighbourProbe(each) for each in vectors],
        "finetune": [
            FinetuneContender(
                start, settings.finetuning(), settings.learning_rates, device, settings.every_epoch
            )
            for start in begun
        ],
    }
    return [*cheap, *others, *(c for mode in settings.modes for c in probes[mode])]
