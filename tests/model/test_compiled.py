import logging

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from findna.inference.precision import autocast
from findna.model import chordmixer, compiled, rotation
from findna.model.compiled import compile_layers
from findna.model.model import Model, new_model
from findna.model.presets import ModelConfig
from findna.model.rotation import CACHED_ROWS, Rings

SHAPE = {"width": 24, "hidden": 32, "track_size": 8, "depth": 2, "summary_tokens": 2}


def model():
    return new_model(ModelConfig.parse({"backbone": SHAPE}, source="test"), seed=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the compiler warns of its own code
def test_compiled_layers_give_the_same_numbers_at_every_length():
    plain, fast = model(), model()
    assert compile_layers(fast, "on")
    assert all(layer._compiled_call_impl is not None for layer in fast.encoder.layers)
    for length in (5, 64, 97):
        codes = torch.randint(0, 5, (3, length), generator=torch.Generator().manual_seed(length))
        ours, theirs = plain.encode(codes).bases, fast.encode(codes).bases
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
        for network, bases in ((plain, ours), (fast, theirs)):
            network.zero_grad()
            bases.square().mean().backward()
        for a, b in zip(plain.encoder.parameters(), fast.encoder.parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad, atol=1e-5, rtol=1e-4)
    assert plain.state_dict().keys() == fast.state_dict().keys()


@pytest.mark.filterwarnings("ignore")
def test_one_graph_serves_any_number_of_rows():
    layer, counted = model().encoder.layers[1], CompileCounter()
    fast = torch.compile(layer, backend=counted, dynamic=True)
    with torch.inference_mode():
        for length in (CACHED_ROWS, CACHED_ROWS + 1, 5 * CACHED_ROWS):
            rows, rings = torch.randn(length, SHAPE["width"]), Rings(1, length)
            torch.testing.assert_close(fast(rows, rings), layer(rows, rings), atol=1e-5, rtol=1e-5)
    assert counted.frame_count == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_forms_for_a_gpu_compile_and_give_the_same_numbers(monkeypatch):
    """Rotation by look-up and padded products, compiled here for the CPU."""
    config = ModelConfig.parse(
        {"backbone": {**SHAPE, "width": 20, "track_size": 4, "direction": "both", "depth": 1}},
        source="test",
    )
    plain, fast = new_model(config, seed=0), new_model(config, seed=0)
    monkeypatch.setattr(chordmixer, "_GATHERED_ON", "cpu")
    looked_up = []
    gathered = rotation._gathered
    monkeypatch.setattr(rotation, "_gathered", lambda *a: looked_up.append(1) or gathered(*a))
    with monkeypatch.context() as padded:
        padded.setattr(chordmixer, "_PADDED_ON", "cpu")
        assert compile_layers(fast, "on") and looked_up
        for length in (5, 97):
            codes = torch.randint(0, 5, (3, length), generator=torch.Generator().manual_seed(0))
            found = fast.encode(codes).bases
            fast.zero_grad()
            found.square().mean().backward()
            padded.setattr(chordmixer, "_PADDED_ON", "cuda")
            wanted = plain.encode(codes).bases
            plain.zero_grad()
            wanted.square().mean().backward()
            padded.setattr(chordmixer, "_PADDED_ON", "cpu")
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
            for a, b in zip(plain.encoder.parameters(), fast.encoder.parameters(), strict=True):
                torch.testing.assert_close(a.grad, b.grad, atol=1e-5, rtol=1e-4)


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_on_a_gpu_it_gives_the_numbers_of_the_plain_form(precision):
    device = torch.device("cuda")
    plain, fast = (new_model("tiny", seed=0).to(device) for _ in range(2))
    with autocast(device, precision):
        assert compile_layers(fast, "on", 65_536)
    close = {"fp32": 1e-4, "bf16": 3e-2}[precision]
    for windows, length in ((64, 1000), (3, 97), (1, 2048)):
        codes = torch.randint(0, 5, (windows, length), device=device)
        found = []
        for network in (plain, fast):
            network.zero_grad()
            with autocast(device, precision):
                bases = network.encode(codes).bases
            bases.float().square().mean().backward()
            found.append([bases.detach().float(), *(p.grad for p in network.encoder.parameters())])
        for ours, theirs in zip(*found, strict=True):
            assert (ours - theirs).norm() <= close * ours.norm().clamp(min=1e-6)


def test_the_first_graph_is_of_a_batch_as_the_run_has_it(monkeypatch):
    """How sums over rows are cut up is fixed then; on a CPU it makes no difference."""
    seen = []
    monkeypatch.setattr(Model, "encode", lambda self, codes: seen.append(tuple(codes.shape)) or 1)
    for bases in (65_536, 300, 0):
        with pytest.raises(AttributeError):  # 1 has no bases
            compiled._try_out(model(), bases)
    assert seen == [(65, 1000), (2, 150), (2, 48)]


def test_nothing_is_compiled_unasked_on_a_cpu(monkeypatch):
    monkeypatch.setattr(compiled, "_try_out", lambda network, bases: 1 / 0)
    assert not compile_layers(model(), "off") and not compile_layers(model(), "auto")


def test_trying_out_leaves_no_gradient(monkeypatch):
    network = model()
    compiled._try_out(network, 0)
    assert all(p.grad is None for p in network.parameters())
    encode = network.encode

    def breaks_at_the_second_length(codes):
        if codes.shape[1] == 65:
            raise RuntimeError("no kernel for this shape")
        return encode(codes)

    monkeypatch.setattr(network, "encode", breaks_at_the_second_length)
    with pytest.raises(RuntimeError, match="this shape"):
        compiled._try_out(network, 0)
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("no C++ compiler\nlong story", "no C++ compiler"),
        ("inductor raised:\nNo module named 'setuptools'\n\nlong story", "No module named 'set"),
        ("", "RuntimeError"),
    ],
)
def test_a_compiler_that_fails_is_told_and_left(monkeypatch, caplog, said, told):
    def broken(network, bases):
        raise RuntimeError(said)

    monkeypatch.setattr(compiled, "_try_out", broken)
    network = model()
    with caplog.at_level(logging.WARNING, "findna"):
        assert not compile_layers(network, "on")
    assert "continuing without it: " in caplog.text and "long story" not in caplog.text
    assert told in caplog.text
    codes = torch.zeros((1, 9), dtype=torch.long)
    torch.testing.assert_close(network.encode(codes).bases, model().encode(codes).bases)
