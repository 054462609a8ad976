"""The backbone's contract: rings, padding, packing, and a second implementation."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from findna.model import chordmixer
from findna.model.chordmixer import ChordMixer, ChordMixerConfig, Rings, rotate_add
from findna.sequence.alphabet import PAD

CONFIG = ChordMixerConfig(width=24, hidden=32, track_size=4, depth=4, summary_tokens=3)
LENGTHS = [50, 7, 1, 33]


@pytest.fixture
def encoder() -> ChordMixer:
    torch.manual_seed(0)
    return ChordMixer(CONFIG).eval()


def sequences() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(0, 5, (n,), generator=generator) for n in LENGTHS]


def padded(parts: list[Tensor], width: int) -> Tensor:
    codes = torch.full((len(parts), width), PAD)
    for row, part in zip(codes, parts, strict=True):
        row[: len(part)] = part
    return codes


def plain_rotate_add(
    residual: Tensor, update: Tensor, offsets: tuple[int, ...], sign: int
) -> Tensor:
    """One ring (T, D), written the slow way: roll, concatenate, add."""
    tracks = update.chunk(len(offsets), dim=-1)
    turned = [track.roll(-sign * offset, 0) for track, offset in zip(tracks, offsets, strict=True)]
    return residual + torch.cat(turned, dim=-1)


def plain_encode(encoder: ChordMixer, codes: Tensor) -> Tensor:
    """One sequence (L,) through the same weights, from the definition; rows of bases and summary
    tokens.
    """
    rows = torch.cat([encoder.embedding(codes), encoder.summary])
    for number, layer in enumerate(encoder.layers):
        update = layer.down(torch.nn.functional.gelu(layer.up(layer.norm(rows))))
        rows = plain_rotate_add(rows, update, CONFIG.offsets, 1 if number % 2 == 0 else -1)
    return encoder.norm(rows)


def test_offsets_are_zero_then_powers_of_two() -> None:
    assert CONFIG.offsets == (0, 1, 2, 4, 8, 16)


def test_hand_computed_rotation_of_a_ring_of_three() -> None:
    update = torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    out = rotate_add(torch.zeros(3, 2), update, Rings(1, 3), (0, 1), 1)
    assert out.tolist() == [[1, 20], [2, 30], [3, 10]]
    back = rotate_add(torch.zeros(3, 2), update, Rings(1, 3), (0, 1), -1)
    assert back.tolist() == [[1, 30], [2, 10], [3, 20]]


@pytest.mark.parametrize("sign", [1, -1])
def test_both_forms_of_rotation_equal_the_plain_one_forward_and_backward(sign: int) -> None:
    lengths = torch.tensor([5, 9, 1])
    torch.manual_seed(2)
    residual = torch.randn(15, 24, dtype=torch.float64, requires_grad=True)
    update = torch.randn(15, 24, dtype=torch.float64, requires_grad=True)
    rings = Rings.of(lengths, CONFIG.offsets, equal=None)
    out = rotate_add(residual, update, rings, CONFIG.offsets, sign)
    weight = torch.randn_like(out)
    grads = torch.autograd.grad((out * weight).sum(), [residual, update])
    at, plain = 0, []
    for length in lengths.tolist():
        ring = slice(at, at + length)
        plain.append(plain_rotate_add(residual[ring], update[ring], CONFIG.offsets, sign))
        single = rotate_add(residual[ring], update[ring], Rings(1, length), CONFIG.offsets, sign)
        torch.testing.assert_close(single, plain[-1])
        at += length
    torch.testing.assert_close(out, torch.cat(plain))
    wanted = torch.autograd.grad((torch.cat(plain) * weight).sum(), [residual, update])
    torch.testing.assert_close(grads, wanted)


def test_gradient_of_the_equal_form() -> None:
    torch.manual_seed(3)
    residual = torch.randn(14, 24, dtype=torch.float64, requires_grad=True)
    update = torch.randn(14, 24, dtype=torch.float64, requires_grad=True)

    def run(a: Tensor, b: Tensor) -> Tensor:
        return rotate_add(a, b, Rings(2, 7), CONFIG.offsets, -1)

    assert torch.autograd.gradcheck(run, (residual, update))


def test_encoder_equals_the_second_implementation(encoder: ChordMixer) -> None:
    for codes in sequences():
        encoded = encoder(codes[None])
        wanted = plain_encode(encoder, codes)
        torch.testing.assert_close(encoded.bases[0], wanted[: len(codes)])
        torch.testing.assert_close(encoded.summary[0], wanted[len(codes) :])


@pytest.mark.parametrize("pads", [0, 50, 322])
def test_padding_and_batch_mates_change_nothing(encoder: ChordMixer, pads: int) -> None:
    parts = sequences()
    batch = encoder(padded(parts, max(LENGTHS) + pads), torch.tensor(LENGTHS))
    for row, codes in enumerate(parts):
        alone = encoder(codes[None])
        torch.testing.assert_close(batch.bases[row, : len(codes)], alone.bases[0])
        torch.testing.assert_close(batch.summary[row], alone.summary[0])
        torch.testing.assert_close(batch.mean()[row], alone.mean()[0])
        torch.testing.assert_close(batch.maximum()[row], alone.maximum()[0])
        assert not batch.bases[row, len(codes) :].any()


def test_packed_form_equals_padded_form(encoder: ChordMixer) -> None:
    parts = sequences()
    lengths = torch.tensor(LENGTHS)
    bases, summary = encoder.forward_packed(torch.cat(parts), lengths)
    batch = encoder(padded(parts, 60), lengths)
    torch.testing.assert_close(bases, batch.bases[batch.valid])
    torch.testing.assert_close(summary, batch.summary)


@pytest.mark.parametrize("rows", [1, 7, 16, 61])
def test_blocks_of_rows_change_nothing(
    encoder: ChordMixer, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long inputs are computed block by block where no gradient is wanted."""
    parts = sequences()
    lengths, same = torch.tensor(LENGTHS), torch.stack([parts[-1], parts[-1].flip(0)])
    with torch.no_grad():
        whole, ragged = encoder(same), encoder(padded(parts, 60), lengths)
        monkeypatch.setattr(chordmixer, "_CACHED_ROWS", rows)
        blocks, ragged_blocks = encoder(same), encoder(padded(parts, 60), lengths)
    torch.testing.assert_close(blocks.bases, whole.bases)
    torch.testing.assert_close(blocks.summary, whole.summary)
    torch.testing.assert_close(ragged_blocks.bases, ragged.bases)
    graph = encoder(same)
    torch.testing.assert_close(graph.bases.detach(), whole.bases)


def test_packed_lengths_must_add_up(encoder: ChordMixer) -> None:
    with pytest.raises(ValueError, match="add up to 5, codes hold 6"):
        encoder.forward_packed(torch.zeros(6, dtype=torch.long), torch.tensor([2, 3]))


def test_both_neighbours_are_reached_when_the_direction_alternates() -> None:
    """Two layers reach one base either way; one-way rotation reaches the left only round the
    ring.
    """
    torch.manual_seed(0)
    reached = {}
    for direction in ("alternating", "forward"):
        config = CONFIG.model_copy(update={"depth": 2, "direction": direction})
        model = ChordMixer(config).eval()
        codes = torch.randint(0, 4, (1, 100))
        changed = codes.clone()
        changed[0, 50] = (codes[0, 50] + 1) % 4
        moved = (model(codes).bases - model(changed).bases).abs().sum(-1)[0] > 0
        reached[direction] = moved.nonzero()[:, 0] - 50
    assert {-1, 1} <= set(reached["alternating"].tolist())
    assert max(reached["forward"].tolist()) == 0


def test_checkpointing_gives_the_same_gradient(encoder: ChordMixer) -> None:
    codes = sequences()[0][None]
    slim = ChordMixer(CONFIG.model_copy(update={"checkpointing": True}))
    slim.load_state_dict(encoder.state_dict())
    grads = []
    for model in (encoder, slim):
        model(codes).bases.square().sum().backward()
        grads.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(*grads)


def test_noise_is_added_to_the_bases(encoder: ChordMixer) -> None:
    codes = sequences()[0][None]
    noise = torch.zeros(1, 50, CONFIG.width)
    torch.testing.assert_close(encoder(codes, None, noise).bases, encoder(codes).bases)
    assert not torch.allclose(encoder(codes, None, noise + 1).bases, encoder(codes).bases)


def test_a_width_that_tracks_do_not_fill_is_refused() -> None:
    with pytest.raises(ValueError, match="not a multiple"):
        ChordMixerConfig(width=30, track_size=4)


@pytest.mark.gpu
def test_gpu_equals_cpu(encoder: ChordMixer) -> None:
    parts = sequences()
    codes, lengths = padded(parts, 60), torch.tensor(LENGTHS)
    here = encoder(codes, lengths).bases
    there = encoder.cuda()(codes.cuda(), lengths.cuda()).bases.cpu()
    torch.testing.assert_close(here, there, atol=1e-4, rtol=1e-4)
