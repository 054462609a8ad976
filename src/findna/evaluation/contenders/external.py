"""A DNA model from the Hugging Face hub, or a folder in its format, as a source of vectors.

Sequences are written out in letters, tokenised by the model's own tokenizer, and the last hidden
layer is averaged over the tokens that are not special ones; strands are averaged by default. Rows
of the same number of tokens are computed together, so that nothing is ever padded: no mask or pad
token is needed, which some models lack, and no vector depends on the company of its row.

Code from the hub runs only with `trust_remote_code`. The library `transformers` is an optional
dependency (`pip install 'findna[hf]'`) that nothing else imports.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from torch import Tensor, nn

from findna.data.labelled import LabelledSplit
from findna.evaluation.contenders.kept import KeptVectors
from findna.files import BadInput, first_of, log
from findna.inference.devices import pick_device
from findna.model.model import weights_digest
from findna.sequence.alphabet import Codes, Strand, decode, encode, reverse_complement

Embeddings = NDArray[np.float32]
Ints = NDArray[np.int64]

_TOKENS_AT_ONCE = 16_384


class HuggingFaceEmbedder:
    """Vectors of sequences from a pretrained model; the `Features` of the probes.

    Attributes: `name`, safe in a file name; `max_tokens`, what the model reads of a sequence at
    most, special tokens included.
    """

    draws = False
    parts = ("mean",)

    def __init__(
        self,
        name_or_folder: str | Path,
        *,
        trust_remote_code: bool = False,
        revision: str | None = None,
        strand: Strand = "both",
        max_tokens: int | None = None,
        device: str = "auto",
    ) -> None:
        """Load tokenizer and model.

        Args:
            name_or_folder: name on the hub of a model that `hf download` has brought to this
                machine, or a folder that `save_pretrained` wrote.
            trust_remote_code: run the code that comes with the model.
            revision: commit, tag or branch on the hub; a commit makes the result repeatable.
            strand: average both strands, or read the given one.
            max_tokens: None takes the limit from tokenizer and model.
            device: auto, cpu, cuda or mps.

        Raises:
            BadInput: transformers is not installed, there is no such model, it needs code that is
                not trusted or a package that is not here, or it cannot read a sequence.
        """
        library = _transformers()
        source = str(name_or_folder)
        # Nothing is downloaded in passing: what a comparison rests on is fetched knowingly.
        options = {
            "trust_remote_code": trust_remote_code,
            "revision": revision,
            "local_files_only": True,
        }
        self.name = re.sub(r"[^A-Za-z0-9_-]+", "-", source.rstrip("/").split("/")[-1])
        self.strand, self.device = strand, pick_device(device)
        classes = (library.AutoModel, library.AutoModelForMaskedLM)
        with _offline():
            self.tokenizer = _loaded((library.AutoTokenizer,), source, options)
            model, found = _loaded(classes, source, {**options, "output_loading_info": True})
        _tell_missing(found["missing_keys"], self.name)
        self.model = model.to(self.device).float().eval()
        self.max_tokens = max_tokens or _limit(self.tokenizer, self.model)
        self.digest = self._digest()
        self._kept = KeptVectors()
        self._refuse_mute()

    def _refuse_mute(self) -> None:
        """Read one sequence before time is spent: models that also want what a decoder has said, or
        whose tokenizer is that of another, cannot.
        """
        try:
            self.embed([encode("ACGTACGT")])
        except (ValueError, TypeError, IndexError, RuntimeError) as error:
            raise BadInput(f"cannot read a sequence: {error}", file=self.name) from error

    def _digest(self) -> str:
        """Of all that vectors depend on: weights, words of the tokenizer, what is read and how."""
        words = sorted(self.tokenizer.get_vocab().items())
        read = json.dumps([weights_digest(self.model), words, self.max_tokens, self.strand])
        return f"sha256:{hashlib.sha256(read.encode()).hexdigest()}"

    def vectors(self, rows: LabelledSplit, seed: int, part: str) -> Embeddings:
        """Vectors (n, D) of rows in their order, computed once."""
        return self._kept.of(rows.codes, self.embed)

    def forget(self) -> None:
        """Free what was kept, when a task is done."""
        self._kept = KeptVectors()

    def embed(self, codes: Sequence[Codes]) -> Embeddings:
        """Vectors (n, D) of n sequences in their order."""
        forward = self._pooled([decode(each) for each in codes])
        if self.strand == "forward":
            return forward
        turned = self._pooled([decode(reverse_complement(each)) for each in codes])
        return np.asarray((forward + turned) / 2, np.float32)

    def _pooled(self, texts: list[str]) -> Embeddings:
        """Means (n, D) over the tokens of each text."""
        tokens, special = self._tokens(texts)
        parts = list(_alike([len(ids) for ids in tokens]))
        found: list[Tensor] = []
        with torch.inference_mode():
            for rows in parts:
                ids = torch.tensor([tokens[row] for row in rows], device=self.device)
                counts = ~torch.tensor([special[row] for row in rows], device=self.device).bool()
                found.append(_mean(self._hidden(ids), counts).cpu())
        order = np.argsort(np.concatenate(parts), kind="stable")
        return np.asarray(torch.cat(found).numpy()[order], np.float32)

    def _tokens(self, texts: list[str]) -> tuple[list[list[int]], list[list[int]]]:
        """Token numbers of each text, and 1 where a token is a special one."""
        read = self.tokenizer(texts, return_special_tokens_mask=True, verbose=False)
        tokens, special = read["input_ids"], read["special_tokens_mask"]
        self._refuse_unknown(tokens, special)
        long = sum(len(ids) > self.max_tokens for ids in tokens)
        if long:
            log.warning(
                "%s: %s of %s sequences have more than %s tokens: only the first ones are read",
                self.name,
                f"{long:,}",
                f"{len(texts):,}",
                f"{self.max_tokens:,}",
            )
        cut = self.max_tokens
        return [ids[:cut] for ids in tokens], [mask[:cut] for mask in special]

    def _refuse_unknown(self, tokens: list[list[int]], special: list[list[int]]) -> None:
        """Refuse sequences whose words the tokenizer does not know: all their vectors would be one.

        Some of them, such as runs of N, are told.
        """
        unknown = self.tokenizer.unk_token_id
        blank = sum(
            all(mark or id == unknown for id, mark in zip(ids, marks, strict=True))
            for ids, marks in zip(tokens, special, strict=True)
        )
        told = f"its tokenizer recognises no word in {blank:,} of {len(tokens):,} sequences"
        if blank == len(tokens) or not all(tokens):
            raise BadInput(
                told,
                file=self.name,
                remedy="it may expect k-mers separated by spaces, as DNABERT does: embed the rows"
                " as its authors do, and give the vectors with --table",
            )
        if blank:
            log.warning("%s: %s", self.name, told)

    def _hidden(self, ids: Tensor) -> Tensor:
        """The last hidden layer (B, L, D)."""
        answer = self.model(ids, output_hidden_states=True)
        layers = getattr(answer, "hidden_states", None)
        hidden: Tensor = layers[-1] if layers else answer[0]
        return hidden.float()


def _mean(hidden: Tensor, counts: Tensor) -> Tensor:
    """Means (B, D) over the places where `counts` (B, L) is true, or over all where none is."""
    weights = torch.where(counts.any(1, keepdim=True), counts, True).float()
    return (hidden * weights[..., None]).sum(1) / weights.sum(1, keepdim=True)


def _alike(lengths: list[int]) -> Iterator[Ints]:
    """Rows of one number of tokens, as many together as memory allows."""
    sizes = np.array(lengths, np.int64)
    for length in np.unique(sizes):
        rows = np.flatnonzero(sizes == length)
        step = max(1, _TOKENS_AT_ONCE // max(int(length), 1))
        yield from np.split(rows, range(step, len(rows), step))


# ---------------------------------------------------------------- loading


def _transformers() -> ModuleType:
    try:
        # Only here, and by name: it takes seconds, and most users have no need of it.
        return importlib.import_module("transformers")
    except ImportError as error:
        raise BadInput(
            f"a Hugging Face model needs the package transformers: {error}",
            remedy="install it with: pip install 'findna[hf]'",
        ) from None


@contextmanager
def _offline() -> Iterator[None]:
    """No connection at all: for the header of a request that `local_files_only` then does not make,
    huggingface_hub asks its server which programs are agents.
    """
    constants: Any = importlib.import_module("huggingface_hub.constants")
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _loaded(classes: Sequence[Any], source: str, options: dict[str, Any]) -> Any:
    """What the first of the classes that knows the model makes of it."""
    problems: list[Exception] = []
    for each in classes:
        try:
            return each.from_pretrained(source, **options)
        # Weights that are cut, or of another shape, are a SafetensorError or a RuntimeError.
        except (
            OSError, ValueError, ImportError, KeyError, RuntimeError, SafetensorError
        ) as error:  # fmt: skip
            problems.append(error)
    reason = str(problems[0]).strip() or type(problems[0]).__name__
    remedy = (
        f"check the name; findna evaluate downloads nothing: run hf download {source} first, or"
        " give its folder"
    )
    if "cached files" in reason:
        reason = "is neither a folder nor a downloaded model"
    if "trust_remote_code" in reason:
        remedy = "it brings its own code: read it, then give --trust-remote-code to run it"
        reason = "the model needs code from the hub, which is not run unless you ask for it"
    raise BadInput(reason, file=source, remedy=remedy) from problems[0]


def _tell_missing(names: Iterable[str], model: str) -> None:
    """Say which weights the files lack, but for the pooler, of which nothing is read here."""
    missing = sorted(name for name in names if "pooler" not in name)
    if missing:
        log.warning(
            "%s: its files lack %d weights, which are now random: %s",
            model,
            len(missing),
            first_of(missing, 3),
        )


def _limit(tokenizer: Any, model: Any) -> int:
    """The most tokens that both take; tokenizers without limit name a huge number."""
    known = [
        getattr(tokenizer, "model_max_length", None),
        getattr(model.config, "max_position_embeddings", None),
        *_numbered_after_padding(model),
    ]
    return min((int(n) for n in known if n is not None and n > 0), default=1 << 62)


def _numbered_after_padding(model: nn.Module) -> Iterator[int]:
    """Tokens that tables of positions have room for, where the first comes after that of padding,
    as in RoBERTa and ESM.
    """
    for name, table in model.named_modules():
        numbered = name.endswith("position_embeddings") and isinstance(table, nn.Embedding)
        if numbered and table.padding_idx is not None:
            yield table.num_embeddings - table.padding_idx - 1
