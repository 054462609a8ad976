"""The shapes of models, and the presets."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from findna.model.chordmixer import ChordMixerConfig
from findna.model.heads import ProjectionConfig, TaskConfig
from findna.settings import Settings


class ModelConfig(Settings):
    """Everything that fixes the names and shapes of a model's weights."""

    preset: str = Field("custom", description="Name of the preset with this shape.")
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
        # Eight tracks reach 64 bases per layer; sixteen layers, half of them in each direction,
        # span 1 kb. The fp16 weights take 8.8 MB.
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
