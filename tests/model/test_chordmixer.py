"""The backbone's contract: rings, padding, packing, and a second implementation."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, library

from findna.model import chordmixer, rotation
from findna.model.chordmixer import ChordMixer, ChordMixerConfig, Direction
from findna.model.encoded import Encoded
from findna.model.layout import Packed
from findna.model.rotation import Rings, rotate_add
from findna.sequence.alphabet import PAD, VOCABULARY

CONFIG = ChordMixerConfig(width=24, hidden=32, track_size=4, depth=4, summary_tokens=3)
LENGTHS = [50, 7, 1, 33]


@pytest.fixture(params=[{}, {"direction": "forward"}, {"direction": "both"}, {"stem": 2}], ids=str)
def encoder(request: pytest.FixtureRequest) -> ChordMixer:
    torch.manual_seed(0)
    return ChordMixer(CONFIG.model_copy(update=request.param)).eval()


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
    config = encoder.config
    rows = torch.cat([encoder.embedding(codes) + plain_stem(encoder, codes), encoder.summary])
    for number, layer in enumerate(encoder.layers):
        update = layer.down(torch.nn.functional.gelu(layer.up(layer.norm(rows))))
        sign = -1 if config.direction == "alternating" and number % 2 else 1
        rows = plain_rotate_add(rows, update, config.offsets, sign)
    return encoder.norm(rows)


def plain_stem(encoder: ChordMixer, codes: Tensor) -> Tensor:
    """What the letters around each base add, place by place."""
    added = torch.zeros(len(codes), encoder.config.width)
    if encoder.stem is None:
        return added
    reach, weight = encoder.config.stem, encoder.stem.linear.weight
    for at in range(len(codes)):
        for step in range(-reach, reach + 1):
            inside = 0 <= at + step < len(codes)
            letter = int(codes[at + step]) if inside else PAD
            added[at] += weight[:, (step + reach) * VOCABULARY + letter]
    return added


def test_offsets_are_zero_then_powers_of_two() -> None:
    assert CONFIG.offsets == (0, 1, 2, 4, 8, 16)
    assert CONFIG.model_copy(update={"direction": "both"}).offsets == (
        0, 0, 1, -1, 2, -2, 4, -4, 8, -8, 16, -16,
    )  # fmt: skip


def test_half_a_track_must_be_whole_channels() -> None:
    with pytest.raises(ValueError, match="even track_size"):
        ChordMixerConfig(width=9, track_size=3, direction="both")


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
    rings = Rings.of(lengths, CONFIG.offsets)
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


def test_every_form_keeps_to_the_plain_one_in_half_precision(
    encoder: ChordMixer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Products are rounded to eight bits; what is added up and rotated stays in full."""
    parts, lengths = sequences(), torch.tensor(LENGTHS)
    wanted = torch.cat([plain_encode(encoder, codes)[: len(codes)] for codes in parts])
    forms = []
    with torch.autocast("cpu", torch.bfloat16):
        forms.append(encoder.forward_packed(torch.cat(parts), lengths)[0])
        for pads in (0, 50):
            batch = encoder(padded(parts, max(LENGTHS) + pads), lengths)
            forms.append(batch.bases[batch.valid])
        forms.append(torch.cat([encoder(codes[None]).bases[0] for codes in parts]))
        monkeypatch.setattr(chordmixer, "CACHED_ROWS", 7)
        monkeypatch.setattr(rotation, "CACHED_ROWS", 7)
        with torch.no_grad():
            forms.append(encoder.forward_packed(torch.cat(parts), lengths)[0])
    for form in forms:
        assert form.dtype == torch.float32
        torch.testing.assert_close(form, wanted, atol=0.02, rtol=0)
        torch.testing.assert_close(form, forms[0], atol=0.01, rtol=0)


@pytest.mark.parametrize("rows", [1, 7, 16, 61])
def test_blocks_of_rows_change_nothing(
    encoder: ChordMixer, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long inputs are computed block by block where no gradient is wanted."""
    parts = sequences()
    lengths, same = torch.tensor(LENGTHS), torch.stack([parts[-1], parts[-1].flip(0)])
    with torch.no_grad():
        whole, ragged = encoder(same), encoder(padded(parts, 60), lengths)
        monkeypatch.setattr(chordmixer, "CACHED_ROWS", rows)
        monkeypatch.setattr(rotation, "CACHED_ROWS", rows)
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


@pytest.mark.parametrize("direction", ["alternating", "forward", "both"])
@pytest.mark.parametrize("depth", [1, 3])
def test_a_base_hears_as_far_as_its_shape_says(direction: Direction, depth: int) -> None:
    """On a ring that is longer than the reach, by changing one base."""
    torch.manual_seed(1)
    config = CONFIG.model_copy(update={"depth": depth, "direction": direction, "stem": 2})
    model = ChordMixer(config).double().eval()
    left, right = config.reach
    assert left + right < 140
    codes = torch.randint(0, 4, (1, 300))
    changed = codes.clone()
    changed[0, 150] = (codes[0, 150] + 1) % 4
    moved = (model(codes).bases - model(changed).bases).abs().sum(-1)[0] > 0
    hearing = moved.nonzero()[:, 0] - 150
    assert (-int(hearing.min()), int(hearing.max())) == (right, left)


def test_checkpointing_gives_the_same_gradient(encoder: ChordMixer) -> None:
    codes = sequences()[0][None]
    slim = ChordMixer(encoder.config.model_copy(update={"checkpointing": True}))
    slim.load_state_dict(encoder.state_dict())
    grads = []
    for model in (encoder, slim):
        model(codes).bases.square().sum().backward()
        grads.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_checkpointing_makes_each_layer_twice_where_it_learns(checkpointing: bool) -> None:
    encoder = ChordMixer(CONFIG.model_copy(update={"checkpointing": checkpointing}))
    made: list[int] = []
    for layer in encoder.layers:
        layer.norm.register_forward_hook(lambda *_: made.append(1))
    encoder(sequences()[0][None]).bases.sum().backward()
    assert len(made) == CONFIG.depth * (2 if checkpointing else 1)
    with torch.no_grad():
        made.clear()
        encoder(sequences()[0][None])
    assert len(made) == CONFIG.depth


def test_updates_of_all_layers_together_begin_as_large_as_one_channel() -> None:
    config = ChordMixerConfig(width=64, hidden=256, track_size=16, depth=9)
    torch.manual_seed(0)
    for layer in ChordMixer(config).layers:
        assert float(layer.up.weight.detach().std()) == pytest.approx(1 / 8, rel=0.05)
        assert float(layer.down.weight.detach().std()) == pytest.approx(1 / (16 * 3), rel=0.05)
        assert not layer.up.bias.any() and not layer.down.bias.any()


def test_noise_is_added_to_the_bases(encoder: ChordMixer) -> None:
    codes = sequences()[0][None]
    noise = torch.zeros(1, 50, CONFIG.width)
    torch.testing.assert_close(encoder(codes, None, noise).bases, encoder(codes).bases)
    assert not torch.allclose(encoder(codes, None, noise + 1).bases, encoder(codes).bases)


def test_noise_is_added_to_the_bases_of_a_padded_batch_too(encoder: ChordMixer) -> None:
    noise = torch.randn(len(LENGTHS), 60, CONFIG.width, generator=torch.Generator().manual_seed(2))
    together = encoder(padded(sequences(), 60), torch.tensor(LENGTHS), noise).bases
    for row, one in enumerate(sequences()):
        alone = encoder(one[None], None, noise[row : row + 1, : len(one)]).bases[0]
        torch.testing.assert_close(together[row, : len(one)], alone)


def test_a_width_that_tracks_do_not_fill_is_refused() -> None:
    with pytest.raises(ValueError, match="not a multiple"):
        ChordMixerConfig(width=30, track_size=4)


def both_passes(encoder: ChordMixer, codes: Tensor, lengths: Tensor) -> list[Tensor]:
    """Outputs of a ragged and of an equal batch, and the gradients of both together."""
    encoder.zero_grad()
    ragged, equal = encoder(codes, lengths), encoder(codes[:, :7])
    outputs = [ragged.bases, ragged.summary, equal.bases, equal.summary]
    torch.autograd.backward([out.square().sum() for out in outputs])
    return [
        *(out.detach() for out in outputs),
        *(p.grad.clone() for p in encoder.parameters() if p.grad is not None),
    ]


@pytest.mark.parametrize("norm", ["none", "layer"])
@pytest.mark.parametrize("seed", range(3))
def test_padded_products_give_the_same_outputs_and_gradients(
    norm: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A width that bf16 products on a GPU do not like is padded inside, as 308 of `paper` is."""
    torch.manual_seed(seed)
    config = ChordMixerConfig(width=28, hidden=32, track_size=4, depth=3, norm=norm)
    encoder = ChordMixer(config).double()
    assert {layer.spare for layer in encoder.layers} == {36}
    lengths = torch.randint(1, 60, (4,))
    codes = torch.randint(0, 5, (4, int(lengths.max())))
    plain = both_passes(encoder, codes, lengths)
    monkeypatch.setattr(chordmixer, "_PADDED_ON", "cpu")
    padded_too = both_passes(encoder, codes, lengths)
    torch.testing.assert_close(padded_too, plain)
    update = encoder.layers[0]._padded_mlp(torch.randn(5, 28, dtype=torch.float64))
    assert update.shape == (5, 28) and update.stride(0) == 64


def test_only_widths_that_are_no_lines_are_padded_and_files_do_not_show_it() -> None:
    def spare(width: int, track_size: int) -> int:
        config = ChordMixerConfig(width=width, track_size=track_size, depth=1)
        return chordmixer.Layer(config, 1).spare

    assert spare(308, 28) == 12 and spare(288, 16) == spare(128, 16) == 0
    layer = chordmixer.Layer(ChordMixerConfig(width=308, track_size=28, depth=1), 1)
    assert {k: tuple(v.shape) for k, v in layer.state_dict().items() if "weight" in k} == {
        "norm.weight": (308,), "up.weight": (256, 308), "down.weight": (308, 256),
    }  # fmt: skip
    assert "shifts" not in layer.state_dict()


@pytest.mark.parametrize("direction", ["alternating", "forward", "both"])
def test_rotation_by_one_look_up_gives_the_same_outputs_and_gradients(
    direction: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The form that is compiled for a GPU."""
    torch.manual_seed(0)
    encoder = ChordMixer(CONFIG.model_copy(update={"direction": direction})).double()
    codes, lengths = padded(sequences(), 60), torch.tensor(LENGTHS)
    slices = both_passes(encoder, codes, lengths)
    seen = []
    gathered = rotation._gathered
    monkeypatch.setattr(rotation, "_gathered", lambda *a: seen.append(1) or gathered(*a))
    monkeypatch.setattr(chordmixer, "_GATHERED_ON", "cpu")
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    torch.testing.assert_close(both_passes(encoder, codes, lengths), slices)
    assert len(seen) == 2 * CONFIG.depth


def test_a_compiler_for_a_cpu_sees_the_rotation_as_one_operation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    encoder = ChordMixer(CONFIG).double()
    codes, lengths = padded(sequences(), 60), torch.tensor(LENGTHS)
    slices = both_passes(encoder, codes, lengths)
    seen = []
    whole = rotation._as_one_operation
    monkeypatch.setattr(rotation, "_as_one_operation", lambda *a: seen.append(1) or whole(*a))
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    torch.testing.assert_close(both_passes(encoder, codes, lengths), slices)
    assert len(seen) == 2 * CONFIG.depth
    base, moved = torch.randn(2, 1, 9, 24)
    for given in (base, None):
        asked = (given, moved, [0, 1, 2], -1, torch.float32)
        # The other checks ask each device for its random state, that of other tests too.
        library.opcheck(whole, asked, test_utils=("test_schema", "test_faketensor"))


def test_on_a_gpu_slices_are_not_cut_into_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are for a CPU's cache; a compiled graph of 131 kb would have thousands of copies."""
    copies = []
    plain = rotation._sources
    monkeypatch.setattr(rotation, "_sources", lambda *a: copies.append(a) or plain(*a))
    moved = torch.empty(1, 10_000, 24, device="meta")
    rotation._add_rotated(None, moved, CONFIG.offsets, 1, torch.float32)
    assert len(copies) == len(CONFIG.offsets)


@pytest.mark.gpu
def test_gpu_equals_cpu(encoder: ChordMixer) -> None:
    parts = sequences()
    codes, lengths = padded(parts, 60), torch.tensor(LENGTHS)
    here = encoder(codes, lengths).bases
    there = encoder.cuda()(codes.cuda(), lengths.cuda()).bases.cpu()
    torch.testing.assert_close(here, there, atol=1e-4, rtol=1e-4)


def outputs_of_layers(encoder: ChordMixer, codes: Tensor) -> list[Tensor]:
    """What each layer puts out for the bases of one sequence (L,), caught on its way, and last what
    the closing norm does.
    """
    caught: list[Tensor] = []
    parts = [*encoder.layers, encoder.norm]
    hooks = [part.register_forward_hook(lambda *call: caught.append(call[-1])) for part in parts]
    encoder(codes[None])
    for hook in hooks:
        hook.remove()
    return [rows[: len(codes)] for rows in caught]


@pytest.mark.parametrize("pads", [0, 50])
def test_every_layer_is_read_whatever_stands_around_a_sequence(
    encoder: ChordMixer, pads: int
) -> None:
    parts, lengths = sequences(), torch.tensor(LENGTHS)
    codes = padded(parts, max(LENGTHS) + pads)
    every = list(encoder.each_layer(codes, lengths))
    told = encoder(codes, lengths, moments=2).layers
    assert len(every) == CONFIG.depth + 1 and told.shape == (4, CONFIG.depth + 1, 2, CONFIG.width)
    for row, one in enumerate(parts):
        wanted = outputs_of_layers(encoder, one)
        alone = list(encoder.each_layer(one[None]))
        for number, (rows, layer) in enumerate(zip(wanted, every, strict=True)):
            torch.testing.assert_close(layer.bases[row, : len(one)], rows)
            torch.testing.assert_close(alone[number].bases[0], rows)
            torch.testing.assert_close(told[row, number, 0], rows.mean(0))
            torch.testing.assert_close(told[row, number, 1], rows.std(0, correction=0))
            assert not layer.bases[row, len(one) :].any()
        torch.testing.assert_close(encoder(one[None], moments=2).layers[0], told[row])


def test_means_of_layers_are_given_only_where_asked_for(encoder: ChordMixer) -> None:
    codes, lengths = padded(sequences(), 60), torch.tensor(LENGTHS)
    plain, asked = encoder(codes, lengths), encoder(codes, lengths, moments=2)
    assert plain.layers is None
    assert torch.equal(plain.bases, asked.bases) and torch.equal(plain.summary, asked.summary)
    torch.testing.assert_close(asked.layers[:, -1, 0], plain.mean())
    torch.testing.assert_close(asked.layers[:, -1, 1], plain.deviation())
    means = encoder(codes, lengths, moments=1).layers
    assert torch.equal(means, asked.layers[:, :, :1])


def test_one_layer_is_held_at_a_time(encoder: ChordMixer) -> None:
    seen: list[weakref.ref[Tensor]] = []
    with torch.no_grad():
        for encoded in encoder.each_layer(padded(sequences(), 60), torch.tensor(LENGTHS)):
            seen.append(weakref.ref(encoded.bases))
            # The one before lives on in the name of the loop until this one takes its place.
            assert all(earlier() is None for earlier in seen[:-1])
    assert len(seen) == CONFIG.depth + 1


def test_moments_of_layers_are_those_of_each_sequence(encoder: ChordMixer) -> None:
    parts = sequences()
    found = encoder(padded(parts, 60), torch.tensor(LENGTHS), moments=2).layers
    for row, codes in enumerate(parts):
        each = [encoded.bases[0] for encoded in encoder.each_layer(codes[None])]
        wanted = torch.stack([torch.stack([b.mean(0), b.std(0, correction=0)]) for b in each])
        torch.testing.assert_close(found[row], wanted)
        torch.testing.assert_close(encoder(codes[None], moments=2).layers[0], wanted)


def test_moments_of_long_sequences_keep_their_digits() -> None:
    lengths = torch.tensor([131_072, 1000, 1])
    packed = Packed(lengths, tokens=3)
    bases = torch.randn(int(lengths.sum()), 8, generator=torch.Generator().manual_seed(0)) + 3
    found = packed.moments(packed.rows(bases, torch.zeros(3, 8)), 2)
    for row, own in zip(found, bases.double().split(lengths.tolist()), strict=True):
        wanted = torch.stack([own.mean(0), own.std(0, correction=0)])
        torch.testing.assert_close(row.double(), wanted, rtol=2e-6, atol=1e-9)


def test_means_of_layers_send_gradient_with_and_without_checkpointing(encoder: ChordMixer) -> None:
    codes, lengths = padded(sequences(), 60), torch.tensor(LENGTHS)
    slim = ChordMixer(encoder.config.model_copy(update={"checkpointing": True}))
    slim.load_state_dict(encoder.state_dict())
    grads = []
    for model in (encoder, slim):
        model(codes, lengths, moments=2).layers[:, :-1, 0].square().sum().backward()
        grads.append([p.grad for p in model.layers.parameters()])
    torch.testing.assert_close(*grads)
    assert all(grad.abs().sum() > 0 for grad in grads[0])


def test_deviation_is_that_of_the_valid_bases(encoder: ChordMixer) -> None:
    encoded = encoder(padded(sequences(), 80), torch.tensor(LENGTHS))
    for row, length in enumerate(LENGTHS):
        wanted = encoded.bases[row, :length].std(0, correction=0)
        torch.testing.assert_close(encoded.deviation()[row], wanted)
        alone = encoder(sequences()[row][None]).deviation()[0]
        torch.testing.assert_close(encoded.deviation()[row], alone)


def of_padded(bases: Tensor, lengths: Tensor) -> Tensor:
    valid = torch.arange(5) < lengths[:, None]
    codes = torch.where(valid, 0, PAD)
    return Encoded(bases * valid[..., None], bases[:, :1], lengths, codes).deviation()


def of_packed(bases: Tensor, lengths: Tensor) -> Tensor:
    valid, packed = torch.arange(5) < lengths[:, None], Packed(lengths, tokens=2)
    return packed.moments(packed.rows(bases[valid], bases[0, :2].detach()), 2)[:, 1]


@pytest.mark.parametrize("deviation", [of_padded, of_packed])
def test_a_deviation_of_nought_has_slope_nought(
    deviation: Callable[[Tensor, Tensor], Tensor],
) -> None:
    alike = torch.ones(2, 5, 3, dtype=torch.float64, requires_grad=True)
    found = deviation(alike, torch.tensor([5, 1]))
    (slope,) = torch.autograd.grad(found.sum(), alike)
    assert not found.any() and not slope.any()
    apart = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: deviation(x, torch.tensor([5, 3])), (apart,))
