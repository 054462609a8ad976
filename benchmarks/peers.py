"""Forward passes of findna beside peers of the same size, at 1 kb, 16 kb and 131 kb.

    python benchmarks/peers.py [--hyena standalone_hyenadna.py] [--threads 1] [--longest 131072]

All have random weights and as many parameters as `tiny` (0.4 M in the backbone, within a fifth):

* a transformer as BERT builds it (pre-norm, GELU, PyTorch's scaled dot-product attention);
* HyenaDNA, from a local copy of its public file (github.com/HazyResearch/hyena-dna), which needs
  einops; what the file imports for training and tokens alone is stood in for;
* the CNN of GenomicBenchmarks as this package re-implements it, at 1 kb only (its dense layer
  belongs to one length), by bases a second and parameter.

Forward only, fp32, in turn in one process, best of many; a batch has about 16 kb, or one sequence.
Prints a line of JSON and a table; exit code 1 where a peer of the same size is faster.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lengths import codes
from timing import best_times
from torch import Tensor, nn

from findna.evaluation.contenders.cnn import network
from findna.model.model import new_model

WIDTH, LAYERS, INNER, HEADS = 128, 2, 512, 4
LENGTHS = (1024, 16_384, 131_072)
BATCH_BASES = 16_384
QUADRATIC_LIMIT = 16_384  # above it a transformer would take minutes a pass on a CPU


class Transformer(nn.Module):
    """Embedding and encoder of the usual kind."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(8, WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, INNER, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)

    def forward(self, windows: Tensor) -> Tensor:
        """Codes (B, L) -> (B, L, D)."""
        out: Tensor = self.encoder(self.embedding(windows))
        return out


class Cnn(nn.Module):
    """The CNN of GenomicBenchmarks, fed with codes."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.network = network(length, 1)

    def forward(self, windows: Tensor) -> Tensor:
        """Codes (B, L) -> logits (B, 1)."""
        logits: Tensor = self.network(nn.functional.one_hot(windows, 4).float().mT)
        return logits


def hyena(file: Path, longest: int) -> nn.Module:
    """HyenaDNA in the shape of its smallest published model, for sequences up to `longest`."""
    for name, attributes in (
        ("torchvision", {}),
        ("torchvision.ops", {"StochasticDepth": lambda *a, **k: nn.Identity()}),
        ("transformers", {}),
        ("transformers.tokenization_utils", {"AddedToken": str, "PreTrainedTokenizer": object}),
    ):
        module = types.ModuleType(name)
        vars(module).update(attributes)
        sys.modules[name] = module
    spec = importlib.util.spec_from_file_location("standalone_hyenadna", file)
    assert spec is not None and spec.loader is not None
    code: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(code)
    layer = {
        "emb_dim": 5, "filter_order": 64, "local_order": 3, "l_max": longest + 2,
        "modulate": True, "w": 10, "lr": 6e-4, "wd": 0.0, "lr_pos_emb": 0.0,
    }  # fmt: skip
    model: nn.Module = code.HyenaDNAModel(
        d_model=WIDTH, n_layer=LAYERS, d_inner=INNER, vocab_size=12, layer=layer, embed_dropout=0.0
    )
    return model


def parameters(module: nn.Module) -> int:
    """Trained numbers."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def passes(model: Callable[[Tensor], object], length: int) -> Callable[[], object]:
    """A forward pass over a batch of windows."""
    windows = codes(max(1, BATCH_BASES // length), length)

    def run() -> None:
        with torch.inference_mode():
            model(windows)

    return run


def main() -> int:
    """Measure, print, and fail where a peer is faster."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hyena", type=Path, help="standalone_hyenadna.py of a local clone")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--longest", type=int, default=LENGTHS[-1])
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    tiny = new_model("tiny", 0).eval()
    sizes = {"findna tiny": parameters(tiny.encoder), "transformer": parameters(Transformer())}
    rates: dict[str, dict[int, float]] = {}
    for length in (n for n in LENGTHS if n <= given.longest):
        forms: dict[str, Callable[[Tensor], object]] = {"findna tiny": tiny.encode}
        if length <= QUADRATIC_LIMIT:
            forms["transformer"] = Transformer().eval()
        if given.hyena:
            forms["HyenaDNA"] = hyena(given.hyena, length).eval()
            sizes["HyenaDNA"] = parameters(hyena(given.hyena, LENGTHS[0]))
        if length == LENGTHS[0]:
            forms["CNN"] = Cnn(length).eval()
            sizes["CNN"] = parameters(Cnn(length))
        jobs = {name: passes(form, length) for name, form in forms.items()}
        best_times(jobs, 1)
        times = best_times(jobs, given.repeats if length < LENGTHS[-1] else 2)
        for name, seconds in times.items():
            bases = max(1, BATCH_BASES // length) * length
            rates.setdefault(name, {})[length] = bases / seconds
    ours = rates["findna tiny"]
    print(json.dumps({"benchmark": "peers", "parameters": sizes, "bases_per_s": rates}))
    print(f"| model | parameters | {' | '.join(f'{n:,} bp' for n in ours)} |")
    print("|---" * (len(ours) + 2) + "|")
    for name, found in rates.items():
        cells = [f"{found[n] / ours[n]:.2f}" if n in found else "not run" for n in ours]
        print(f"| {name} | {sizes[name]:,} | {' | '.join(cells)} |")
    print("forward bases a second over those of findna")
    peers = [found for name, found in rates.items() if name in ("transformer", "HyenaDNA")]
    slower = any(found[n] > ours[n] for found in peers for n in found)
    a_parameter = {name: rates[name][LENGTHS[0]] * sizes[name] for name in ("findna tiny", "CNN")}
    print(f"CNN, bases a second times parameters, over findna: "
          f"{a_parameter['CNN'] / a_parameter['findna tiny']:.2f}")  # fmt: skip
    return int(slower)


if __name__ == "__main__":
    sys.exit(main())
