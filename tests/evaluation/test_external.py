"""A tiny random transformer saved to disk, as a model that somebody else made."""

import json
import logging
import shutil
import sys
import warnings

import numpy as np
import pytest
import safetensors.torch
import torch

from findna.data.labelled import LabelledData, LabelledSplit
from findna.evaluation.contenders.external import HuggingFaceEmbedder, _alike
from findna.evaluation.contenders.probes import LinearProbe
from findna.files import BadInput
from findna.sequence.alphabet import decode, encode, reverse_complement

CODE = """
import pathlib
import torch
from transformers import BertConfig, BertForMaskedLM
pathlib.Path({marker!r}).write_text("this code ran")
class TheirConfig(BertConfig):
    model_type = "their-dna"
class TheirModel(BertForMaskedLM):
    config_class = TheirConfig
"""


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers", reason="the optional extra hf is not installed")


@pytest.fixture(scope="module")
def folder(transformers, tmp_path_factory):
    """BERT of two layers over single letters, at most 64 tokens."""
    tokenizers = pytest.importorskip("tokenizers", reason="the optional extra hf is not installed")
    place = tmp_path_factory.mktemp("hub") / "tiny-dna"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "A", "C", "G", "T", "N"]
    backend = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]")
    )
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex("."), "isolated")
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]",
        sep_token="[SEP]", mask_token="[MASK]", model_max_length=64,
    ).save_pretrained(place)  # fmt: skip
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.BertConfig(
        vocab_size=10, intermediate_size=32, max_position_embeddings=80, **shape
    )
    transformers.BertModel(config).save_pretrained(place)
    return place


def sequences(rng, lengths):
    return [rng.integers(0, 5, n).astype(np.uint8) for n in lengths]


def by_hand(transformers, folder, codes):
    """Mean of the last layer over the letters of one sequence, without first and last token."""
    model = transformers.BertModel.from_pretrained(folder).eval()
    ids = torch.tensor([[2, *(5 + int(c) for c in codes), 3]])
    with torch.no_grad():
        return model(ids).last_hidden_state[0, 1:-1].mean(0).numpy()


def test_vectors_are_means_over_letters_and_averages_over_strands(transformers, folder, rng):
    codes = sequences(rng, (7, 30, 7, 12))
    forward = HuggingFaceEmbedder(folder, strand="forward", device="cpu").embed(codes)
    want = [by_hand(transformers, folder, c) for c in codes]
    assert forward.shape == (4, 16) and forward.dtype == np.float32
    assert np.allclose(forward, want, atol=1e-5)
    both = HuggingFaceEmbedder(folder, device="cpu").embed(codes)
    turned = [by_hand(transformers, folder, reverse_complement(c)) for c in codes]
    assert np.allclose(both, (np.array(want) + turned) / 2, atol=1e-5)
    again = HuggingFaceEmbedder(folder, device="cpu").embed([reverse_complement(c) for c in codes])
    assert np.allclose(both, again, atol=1e-6)


def test_order_and_company_change_nothing(folder, rng):
    model = HuggingFaceEmbedder(folder, device="cpu")
    codes = sequences(rng, rng.integers(3, 40, 20))
    together = model.embed(codes)
    assert np.allclose(together, np.concatenate([model.embed([c]) for c in codes]), atol=1e-5)
    assert np.allclose(model.embed(codes[::-1])[::-1], together, atol=1e-5)


def test_longer_sequences_are_cut_and_it_is_said(folder, rng, caplog):
    model = HuggingFaceEmbedder(folder, strand="forward", device="cpu")
    assert model.max_tokens == 64 and model.name == "tiny-dna"
    (long,) = sequences(rng, (100,))
    with caplog.at_level(logging.WARNING, "findna"):
        cut = model.embed([long, long[:20]])
    assert "1 of 2 sequences have more than 64 tokens" in caplog.text
    other = np.concatenate([long[:63], encode("ACGTACGT")])
    assert np.array_equal(cut[:1], model.embed([other]))
    assert HuggingFaceEmbedder(folder, max_tokens=32, device="cpu").max_tokens == 32


def test_positions_that_begin_after_padding_are_counted(transformers, folder, tmp_path, rng):
    place = shutil.copytree(folder, tmp_path / "roberta")
    config = transformers.RobertaConfig(
        vocab_size=10, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=40, pad_token_id=1,
    )  # fmt: skip
    transformers.RobertaModel(config).save_pretrained(place)
    model = HuggingFaceEmbedder(place, strand="forward", device="cpu")
    assert model.max_tokens == 38
    assert model.embed(sequences(rng, (36, 37, 60))).shape == (3, 16)


def test_words_that_the_tokenizer_does_not_know_are_no_vectors(folder, rng, caplog):
    tokenizers = pytest.importorskip("tokenizers")
    model = HuggingFaceEmbedder(folder, strand="forward", device="cpu")
    backend = model.tokenizer.backend_tokenizer
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()  # as k-mers are told apart
    with pytest.raises(BadInput, match="recognises no word in 2 of 2 sequences") as refused:
        model.embed(sequences(rng, (20, 30)))
    assert "--table" in str(refused.value)
    model.embed(sequences(rng, (1, 30)))
    assert "recognises no word in 1 of 2 sequences" in caplog.text


def test_a_sequence_of_which_the_tokenizer_leaves_nothing_is_refused(folder):
    tokenizers = pytest.importorskip("tokenizers")
    model = HuggingFaceEmbedder(folder, strand="forward", device="cpu")
    backend = model.tokenizer.backend_tokenizer
    backend.model = tokenizers.models.BPE({letter: 5 + n for n, letter in enumerate("ACGT")}, [])
    backend.post_processor = tokenizers.processors.Sequence([])
    with pytest.raises(BadInput, match="recognises no word in 1 of 2 sequences"):
        model.embed([encode("NNN"), encode("ACGT")])


@pytest.mark.parametrize("kind", ["decoder", "vocabulary"])
def test_a_model_that_cannot_read_a_sequence_is_refused(transformers, folder, tmp_path, kind):
    place = shutil.copytree(folder, tmp_path / "mute")
    if kind == "decoder":
        sizes = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
        config = transformers.T5Config(vocab_size=10, decoder_start_token_id=0, **sizes)
        transformers.T5ForConditionalGeneration(config).save_pretrained(place)
    else:
        shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        config = transformers.BertConfig(vocab_size=6, intermediate_size=16, **shape)
        transformers.BertModel(config).save_pretrained(place)
    with pytest.raises(BadInput, match="mute: cannot read a sequence"):
        HuggingFaceEmbedder(place, device="cpu")


def test_it_passes_through_the_probe_and_is_computed_once(folder, rng, monkeypatch):
    model = HuggingFaceEmbedder(folder, device="cpu")
    computed = []
    embed = model.embed
    monkeypatch.setattr(model, "embed", lambda codes: computed.append(len(codes)) or embed(codes))
    splits = {}
    for name, n in (("train", 60), ("dev", 30)):
        labels = np.arange(n) % 2
        codes = [
            rng.choice(4, 20, p=[[0.4, 0.1, 0.1, 0.4], [0.1, 0.4, 0.4, 0.1]][k]) for k in labels
        ]
        codes = [c.astype(np.uint8) for c in codes]
        splits[name] = LabelledSplit([decode(c) for c in codes], codes, labels, np.arange(n) + 1)
    data = LabelledData(splits, "binary", ("at", "gc"))
    for seed in (0, 1):
        learned = LinearProbe(model).learn(data, seed)
    assert computed == [60, 30]
    assert (learned.scores(splits["dev"])[:, 1].round() == splits["dev"].labels).mean() > 0.9
    model.forget()
    model.vectors(splits["dev"], 0, "mean")
    assert computed == [60, 30, 30]


def test_rows_of_one_length_come_together_within_the_limit():
    parts = list(_alike([5, 9000, 5, 9000, 9000]))
    assert [p.tolist() for p in parts] == [[0, 2], [1], [3], [4]]


def test_code_of_a_model_runs_only_when_it_is_trusted(transformers, folder, tmp_path, monkeypatch):
    place, marker = tmp_path / "their-dna", tmp_path / "ran"
    model = transformers.BertForMaskedLM(transformers.BertConfig.from_pretrained(folder))
    model.save_pretrained(place)
    for file in folder.glob("tokenizer*"):
        (place / file.name).write_bytes(file.read_bytes())
    (place / "their.py").write_text(CODE.format(marker=str(marker)))
    config = json.loads((place / "config.json").read_text())
    config["model_type"] = "their-dna"
    config["auto_map"] = {
        "AutoConfig": "their.TheirConfig",
        "AutoModelForMaskedLM": "their.TheirModel",
    }
    (place / "config.json").write_text(json.dumps(config))
    monkeypatch.setattr(transformers.dynamic_module_utils, "HF_MODULES_CACHE", tmp_path / "modules")
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(BadInput, match="needs code from the hub") as caught:
        HuggingFaceEmbedder(place, device="cpu")
    assert "--trust-remote-code" in str(caught.value) and not marker.exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trusted = HuggingFaceEmbedder(place, trust_remote_code=True, device="cpu")
    assert marker.exists() and trusted.embed([encode("ACGT")]).shape == (1, 16)


def test_weights_that_the_files_lack_are_said(folder, tmp_path, caplog):
    place = tmp_path / "half"
    place.mkdir()
    for file in folder.iterdir():
        (place / file.name).write_bytes(file.read_bytes())
    weights = safetensors.torch.load_file(place / "model.safetensors")
    for name in ("pooler.dense.weight", "encoder.layer.1.output.dense.weight"):
        del weights[name]
    safetensors.torch.save_file(weights, place / "model.safetensors", {"format": "pt"})
    with caplog.at_level(logging.WARNING, "findna"):
        HuggingFaceEmbedder(folder, device="cpu")
        assert "lack" not in caplog.text
        HuggingFaceEmbedder(place, device="cpu")
    assert "half: its files lack 1 weights" in caplog.text and "layer.1.output" in caplog.text


def test_a_model_that_is_not_here_is_not_asked_for_elsewhere(transformers):
    with pytest.raises(BadInput, match=r"(?s)neither a folder nor .*hf download some/model"):
        HuggingFaceEmbedder("some/model", device="cpu")


def test_what_is_no_model_is_refused(transformers, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="empty") as caught:
        HuggingFaceEmbedder(tmp_path / "empty", device="cpu")
    assert "check the name" in str(caught.value)


@pytest.mark.parametrize("how", ["cut", "shape"])
def test_broken_weights_are_refused(folder, tmp_path, how):
    broken = tmp_path / "broken-dna"
    shutil.copytree(folder, broken)
    if how == "cut":
        weights = broken / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:200])
    else:
        config = json.loads((broken / "config.json").read_text())
        (broken / "config.json").write_text(json.dumps({**config, "hidden_size": 32}))
    with pytest.raises(BadInput, match="broken-dna"):
        HuggingFaceEmbedder(broken, device="cpu")


def test_a_digest_is_of_weights_words_and_how_they_are_read(transformers, folder, tmp_path):
    ours = HuggingFaceEmbedder(folder, device="cpu").digest
    assert ours == HuggingFaceEmbedder(folder, device="cpu").digest
    other = tmp_path / "tiny-dna"
    shutil.copytree(folder, other)
    model = transformers.BertModel.from_pretrained(other)
    model.embeddings.word_embeddings.weight.data[7] += 0.01
    model.save_pretrained(other)
    digests = {
        ours,
        HuggingFaceEmbedder(other, device="cpu").digest,
        HuggingFaceEmbedder(folder, device="cpu", strand="forward").digest,
        HuggingFaceEmbedder(folder, device="cpu", max_tokens=20).digest,
    }
    assert len(digests) == 4


def test_without_the_library_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(BadInput, match=r"pip install 'findna\[hf\]'"):
        HuggingFaceEmbedder(tmp_path)
