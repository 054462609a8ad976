"""ChordMixer: position-wise MLPs and parameter-free rotations (Khalitov et al., ICLR 2023,
openreview E8mzu3JbdR).

Letters in shapes: B sequences, L bases (padded), S summary tokens, R rows (valid bases and summary
rows of all sequences, concatenated), D width, K tracks, V vocabulary.

A *ring* is one sequence's valid bases followed by its S summary rows. Rotations stay within a ring,
so a sequence depends neither on padding nor on the rest of the batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from findna.model.encoded import Encoded
from findna.model.layout import Equal, Layout, Packed, Padded
from findna.model.rotation import CACHED_ROWS, Rings, rotate_add
from findna.sequence.alphabet import PAD, VOCABULARY
from findna.settings import Settings

Direction = Literal["alternating", "forward", "both"]

# Tensor cores read bf16 in lines of 8 channels and are fastest with multiples of 64; on a CPU the
# width does not matter (measured: docs/performance.md).
_PADDED_ON, _LINE, _LINES = "cuda", 8, 64
_GATHERED_ON = "cuda"


class ChordMixerConfig(Settings):
    """Shape of the backbone. Nothing here depends on the length of the input."""

    width: int = Field(128, ge=1, description="Channels per base.")
    hidden: int = Field(256, ge=1, description="Hidden channels of a layer's MLP.")
    track_size: int = Field(
        16, ge=1, description="Channels of a track; track i is rotated by 2^(i-1)."
    )
    depth: int = Field(6, ge=1, description="Layers.")
    direction: Direction = Field(
        "alternating",
        description="Direction of rotation: alternating by layer, one way only as published, or"
        " half of each track either way in every layer.",
    )
    stem: int = Field(
        0,
        ge=0,
        description="Bases on either side that the embedding of a base also reads (a"
        " convolution); 0: none.",
    )
    norm: Literal["layer", "none"] = Field(
        "layer", description="Normalise the input of every MLP, or not, as in the reference."
    )
    summary_tokens: int = Field(
        10, ge=1, description="Summary tokens: learned elements appended to every sequence."
    )
    checkpointing: bool = Field(
        False, description="Recompute layers in the backward pass: less memory, a third more time."
    )

    @model_validator(mode="after")
    def _tracks_fill_width(self) -> ChordMixerConfig:
        if self.width % self.track_size:
            raise ValueError(
                f"width {self.width} is not a multiple of track_size {self.track_size}"
            )
        if self.direction == "both" and self.track_size % 2:
            raise ValueError(f"half of a track needs an even track_size, not {self.track_size}")
        return self

    @property
    def offsets(self) -> tuple[int, ...]:
        """Rotation of each track in rows: 0, 1, 2, 4, 8, ... (length width / track_size); of each
        half track where they go both ways: 0, 0, 1, -1, 2, -2, ...
        """
        tracks = (0, *(2**i for i in range(self.width // self.track_size - 1)))
        if self.direction == "both":
            return tuple(sign * offset for offset in tracks for sign in (1, -1))
        return tracks

    @property
    def reach(self) -> tuple[int, int]:
        """How many bases to its left and to its right the vector of a base can depend on."""
        layers = np.outer(self.signs, self.offsets)
        left, right = -layers.min(1).sum(), layers.max(1).sum()
        return int(left) + self.stem, int(right) + self.stem

    @property
    def signs(self) -> tuple[int, ...]:
        """Direction in which each layer rotates: 1 brings information from the right."""
        turn = -1 if self.direction == "alternating" else 1
        return tuple(turn**layer for layer in range(self.depth))


class Layer(nn.Module):
    """x + rotate(MLP(norm(x))) on packed rows (R, D)."""

    shifts: Tensor

    def __init__(self, config: ChordMixerConfig, sign: int) -> None:
        super().__init__()
        self.offsets, self.sign = config.offsets, sign
        self.spare = -config.width % _LINES if config.width % _LINE else 0
        shifts = torch.tensor(config.offsets).repeat_interleave(config.width // len(config.offsets))
        self.register_buffer("shifts", shifts, persistent=False)
        self.norm = nn.LayerNorm(config.width) if config.norm == "layer" else nn.Identity()
        self.up = nn.Linear(config.width, config.hidden)
        self.down = nn.Linear(config.hidden, config.width)
        nn.init.normal_(self.up.weight, std=config.width**-0.5)
        nn.init.normal_(self.down.weight, std=(config.hidden * config.depth) ** -0.5)
        nn.init.zeros_(self.up.bias)
        nn.init.zeros_(self.down.bias)

    def forward(self, rows: Tensor, rings: Rings) -> Tensor:
        """Rows (R, D) → (R, D)."""
        gathered = torch.compiler.is_compiling() and rows.device.type == _GATHERED_ON
        shifts = self.shifts if gathered else None
        return rotate_add(rows, self._update(rows), rings, self.offsets, self.sign, shifts)

    def _mlp(self, rows: Tensor) -> Tensor:
        if self.spare and rows.device.type == _PADDED_ON:
            return self._padded_mlp(rows)
        update: Tensor = self.down(F.gelu(self.up(self.norm(rows))))
        return update

    def _padded_mlp(self, rows: Tensor) -> Tensor:
        """The same result with the width padded by ``spare`` channels of zeros."""
        normed = F.pad(self.norm(rows), (0, self.spare))
        up = F.pad(self.up.weight, (0, self.spare))
        down = F.pad(self.down.weight, (0, 0, 0, self.spare))
        hidden = F.gelu(F.linear(normed, up, self.up.bias))
        update = F.linear(hidden, down, F.pad(self.down.bias, (0, self.spare)))
        return update[..., : -self.spare]

    def _update(self, rows: Tensor) -> Tensor:
        """The MLP of all rows; for many rows on a CPU, block by block, so that the hidden channels
        stay in the cache.
        """
        # Compiled, every number of blocks would need its own graph.
        whole = torch.is_grad_enabled() or torch.compiler.is_compiling()
        if whole or rows.device.type != "cpu" or len(rows) <= CACHED_ROWS:
            return self._mlp(rows)
        blocks = rows.split(CACHED_ROWS)
        first = self._mlp(blocks[0])
        update = first.new_empty(rows.shape)
        update[: len(first)] = first
        for number, block in enumerate(blocks[1:], 1):
            update[number * CACHED_ROWS :][: len(block)] = self._mlp(block)
        return update


class Stem(nn.Module):
    """What the neighbours of a base add to its embedding: a convolution over one-hot codes.

    Past the ends of a sequence it reads PAD, whatever padding follows.
    """

    def __init__(self, reach: int, width: int) -> None:
        super().__init__()
        self.reach = reach
        self.linear = nn.Linear(VOCABULARY * (2 * reach + 1), width, bias=False)
        nn.init.normal_(self.linear.weight, std=(2 * reach + 1) ** -0.5)

    def forward(self, letters: Tensor) -> Tensor:
        """One-hot codes (B, L, V), or mixtures of them, → (B, L, D)."""
        beyond = letters.new_zeros(len(letters), self.reach, VOCABULARY)
        beyond[..., PAD] = 1
        around = torch.cat([beyond, letters, beyond], 1).unfold(1, 2 * self.reach + 1, 1)
        added: Tensor = self.linear(around.transpose(2, 3).flatten(2))
        return added


class ChordMixer(nn.Module):
    """Embedding, layers and a final norm: codes to one vector per base and per summary token."""

    def __init__(self, config: ChordMixerConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(VOCABULARY, config.width)
        self.stem = Stem(config.stem, config.width) if config.stem else None
        self.summary = nn.Parameter(torch.randn(config.summary_tokens, config.width))
        self.layers = nn.ModuleList(Layer(config, sign) for sign in config.signs)
        self.norm = nn.LayerNorm(config.width) if config.norm == "layer" else nn.Identity()

    def forward(
        self,
        codes: Tensor,
        lengths: Tensor | None = None,
        noise: Tensor | None = None,
        moments: int = 0,
        early: bool = False,
    ) -> Encoded:
        """Encode padded codes.

        Args:
            codes: (B, L) int64, PAD after the valid bases of each row.
            lengths: (B,) int64 valid bases; None means that every row is full.
            noise: (B, L, D) added to the embeddings of the bases.
            moments: also return moments of every layer: 1 for means, 2 for means and deviations.
            early: also return the output of the first layer.
        """
        layout, rows = self._laid_out(codes, lengths, noise)
        found, first = [], None
        for mixed in self._mix(rows, layout.rings(self.config.offsets), every=early or moments > 0):
            if moments:
                found.append(layout.moments(mixed, moments))
            if early and first is None:
                first = layout.encoded(mixed).bases
        layers = torch.stack(found, 1) if found else None
        return replace(layout.encoded(mixed), layers=layers, early=first)

    def each_layer(
        self, codes: Tensor, lengths: Tensor | None = None, noise: Tensor | None = None
    ) -> Iterator[Encoded]:
        """The output of each layer in turn, and last that of :meth:`forward`: only one of them
        needs to be in memory.
        """
        layout, rows = self._laid_out(codes, lengths, noise)
        for mixed in self._mix(rows, layout.rings(self.config.offsets), every=True):
            yield layout.encoded(mixed)

    def forward_packed(self, codes: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode concatenated sequences.

        Args:
            codes: (sum of lengths,) int64 without padding.
            lengths: (B,) int64 valid bases of each sequence.

        Returns:
            bases (sum of lengths, D) and summary (B, S, D).
        """
        if int(lengths.sum()) != len(codes):
            raise ValueError(f"lengths add up to {int(lengths.sum())}, codes hold {len(codes)}")
        if self.stem is None:
            letters = self.embedding(codes)
        else:
            # The stem must not read across sequences.
            each = [self._letters(one[None])[0] for one in codes.split(lengths.tolist())]
            letters = torch.cat(each)
        packed = Packed(lengths, self.config.summary_tokens)
        rows = packed.rows(letters, self.summary)
        (mixed,) = self._mix(rows, packed.rings(self.config.offsets), every=False)
        return mixed[packed.bases], mixed[packed.summary]

    def mixed(self, letters: Tensor) -> Tensor:
        """Mixtures of bases (B, L, V) → the vectors (B, L, D) that the first layer reads; for
        one-hot codes, those of the codes. For gradients with respect to the sequence.
        """
        vectors: Tensor = letters @ self.embedding.weight
        return vectors if self.stem is None else vectors + self.stem(letters)

    def _letters(self, codes: Tensor) -> Tensor:
        """Codes (B, L) → the vectors (B, L, D) that the first layer reads."""
        letters: Tensor = self.embedding(codes)
        if self.stem is not None:
            letters = letters + self.stem(F.one_hot(codes, VOCABULARY).to(letters.dtype))
        return letters

    def _laid_out(
        self, codes: Tensor, lengths: Tensor | None, noise: Tensor | None
    ) -> tuple[Layout, Tensor]:
        """The layout of a batch, and the rows (R, D) that the first layer reads."""
        letters = self._letters(codes)
        if noise is not None:
            letters = letters + noise.to(letters.dtype)
        tokens = self.config.summary_tokens
        layout = Equal(codes, tokens) if lengths is None else Padded(codes, Packed(lengths, tokens))
        return layout, layout.rows(letters, self.summary)

    def _mix(self, rows: Tensor, rings: Rings, every: bool) -> Iterator[Tensor]:
        """Rows after the final norm, preceded, with ``every``, by those after each layer."""
        for layer in self.layers:
            if self.config.checkpointing and torch.is_grad_enabled():
                rows = checkpoint(layer, rows, rings, use_reentrant=False)
            else:
                rows = layer(rows, rings)
            if every:
                yield rows
        yield self.norm(rows)
