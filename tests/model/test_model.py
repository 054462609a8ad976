"""Heads, strands, and the model folder: what is saved is loaded whole or refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from findna.files import BadInput
from findna.model.chordmixer import ChordMixerConfig
from findna.model.heads import Pooling, ProjectionConfig, TaskConfig, channels, pool
from findna.model.loading import is_preset, load_model, model_or_preset
from findna.model.model import Model, new_model, reverse_complement
from findna.model.presets import PRESETS, ModelConfig
from findna.model.words import placed_pairs, word_shares
from findna.sequence.alphabet import PAD
from findna.training.recipes import PretrainSettings

SMALL = ModelConfig(
    backbone=ChordMixerConfig(width=16, hidden=24, track_size=4, depth=2, summary_tokens=3),
    projection=ProjectionConfig(hidden=16, bottleneck=8, prototypes=12),
)
TASK = TaskConfig(kind="multiclass", classes=("a", "b", "c"))


@pytest.fixture
def model() -> Model:
    made = new_model(SMALL, seed=1).with_task(TASK, seed=2).eval()
    torch.nn.init.normal_(made.task_head.linear.weight)  # type: ignore[union-attr]
    made.provenance = {"genome_digest": "sha256:abc", "trained_lengths": [64, 512]}
    return made


@pytest.fixture
def folder(model: Model, tmp_path: Path) -> Path:
    model.save(tmp_path / "model")
    return tmp_path / "model"


CODES = torch.tensor([[0, 0, 1, 1, 2, 3, 4], [3, 1, 2, PAD, PAD, PAD, PAD]])
VALID = torch.tensor([7, 3])


def test_presets_have_the_sizes_they_promise() -> None:
    backbone = {
        name: sum(p.numel() for p in new_model(name, 0).encoder.parameters()) / 1e6
        for name in PRESETS
    }
    assert backbone["tiny"] == pytest.approx(0.4, abs=0.05)
    assert backbone["small"] == pytest.approx(2.0, abs=0.2)
    assert backbone["medium"] == pytest.approx(4.2, abs=0.2)
    assert backbone["base"] == pytest.approx(12.65, abs=0.2)
    assert backbone["paper"] == pytest.approx(12.65, abs=0.2)


def test_paper_preset_is_the_published_shape() -> None:
    shape = PRESETS["paper"].backbone
    assert (shape.width, shape.hidden, shape.track_size, shape.depth) == (308, 512, 28, 40)
    assert shape.offsets == (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


def test_large_presets_project_onto_more_prototypes() -> None:
    shapes = {
        name: (preset.projection.hidden, preset.projection.bottleneck, preset.projection.prototypes)
        for name, preset in PRESETS.items()
    }
    assert shapes["base"] == shapes["paper"] == (512, 128, 2048)
    assert shapes["tiny"] == shapes["small"] == shapes["medium"] == (256, 64, 512)


def test_presets_hear_all_of_the_windows_they_are_trained_on() -> None:
    for name, config in PRESETS.items():
        sampling = PretrainSettings.resolve({"preset": name}).sampling
        ring = sampling.window + config.backbone.summary_tokens
        left, right = config.backbone.reach
        # But for tiny, whose six layers hear 196 bases either way: docs/decisions.md.
        assert (left + right + 1 >= ring) == (name != "tiny")


def test_long_preset_reaches_131_kb_in_one_pass_of_its_rotations() -> None:
    assert max(PRESETS["long"].backbone.offsets) >= 131_072 // 2


def test_reverse_complement_turns_valid_bases_and_leaves_padding() -> None:
    turned = reverse_complement(CODES, VALID)
    assert turned.tolist() == [[4, 0, 1, 2, 2, 3, 3], [1, 2, 0, PAD, PAD, PAD, PAD]]
    assert reverse_complement(turned, VALID).tolist() == CODES.tolist()
    assert reverse_complement(CODES[:1]).tolist() == turned[:1].tolist()


def test_embeddings_and_logits_of_both_strands_agree(model: Model) -> None:
    turned = reverse_complement(CODES, VALID)
    torch.testing.assert_close(model.embed(CODES, VALID), model.embed(turned, VALID))
    torch.testing.assert_close(model.task_logits(CODES, VALID), model.task_logits(turned, VALID))
    forward = model.task_logits(CODES, VALID, "forward")
    assert not torch.allclose(forward, model.task_logits(turned, VALID, "forward"))


def test_the_task_decides_the_strand(model: Model) -> None:
    stranded = new_model(SMALL, 1).with_task(TASK.model_copy(update={"strand": "forward"}), 2)
    stranded.load_state_dict(model.state_dict())
    stranded.eval()
    torch.testing.assert_close(
        stranded.task_logits(CODES, VALID), model.task_logits(CODES, VALID, "forward")
    )


def test_embedding_is_the_mean_over_bases_only(model: Model) -> None:
    bases = model.encode(CODES[1:, :3]).bases[0]
    torch.testing.assert_close(model.embed(CODES, VALID, "forward")[1], bases.mean(0))


def test_pooling_leaves_padding_out(model: Model) -> None:
    encoded = model.encode(CODES, VALID)
    bases = encoded.bases[1, :3]
    wanted = torch.cat([bases.mean(0), bases.amax(0), encoded.summary[1].mean(0)])
    torch.testing.assert_close(pool(encoded, ("mean", "max", "summary"))[1], wanted)


def test_bins_of_turned_sequences_are_counted_from_the_end(model: Model) -> None:
    encoded = model.encode(CODES, VALID, early=True)
    for part in ("bins", "early-bins"):
        bins, turned = (
            pool(encoded, (part,), 3, turned).view(2, 3, -1) for turned in (False, True)
        )
        assert torch.equal(turned, bins.flip(1)) and not torch.equal(turned, bins)


@pytest.mark.parametrize(("part", "layer"), [("bins", -1), ("early-bins", 0)])
def test_bins_are_means_of_equal_parts_in_order(model: Model, part: Pooling, layer: int) -> None:
    codes = torch.tensor([[0, 1, 2, 3, 0, 1, 2], [3, 2, 1, 6, 6, 6, 6]])
    lengths = torch.tensor([7, 3])
    encoded = model.encode(codes, lengths, early=True)
    read = list(model.encoder.each_layer(codes, lengths))[layer]
    binned = pool(encoded, (part,), 4).view(2, 4, -1)
    for row, length in enumerate(lengths.tolist()):
        bases = read.bases[row, :length]
        places = np.arange(length) * 4 // length
        for number in range(4):
            kept = bases[torch.from_numpy(places == number)]
            wanted = kept.mean(0) if len(kept) else torch.zeros(bases.shape[1])
            torch.testing.assert_close(binned[row, number], wanted)
    torch.testing.assert_close(pool(encoded, (part,), 1), read.mean())


def test_the_first_layer_is_given_only_where_asked_for(model: Model) -> None:
    plain, asked = model.encode(CODES, VALID), model.encode(CODES, VALID, early=True)
    assert plain.early is None and torch.equal(plain.bases, asked.bases)
    with pytest.raises(ValueError, match="encoded with its first layer"):
        pool(plain, ("early-bins",))


def test_layers_and_deviation_stand_side_by_side_in_order(model: Model) -> None:
    encoded = model.encode(CODES, VALID, moments=2)
    pooled = pool(encoded, ("deviation", "layers"))
    assert pooled.shape == (2, channels(("deviation", "layers"), SMALL.backbone)) == (2, 4 * 16)
    bases = encoded.bases[1, :3]
    torch.testing.assert_close(pooled[1, :16], bases.std(0, correction=0))
    torch.testing.assert_close(pooled[1, 48:], bases.mean(0))
    first, *_ = model.encoder.each_layer(CODES[1:, :3])
    torch.testing.assert_close(pooled[1, 16:32], first.bases[0].mean(0))
    spread = pool(encoded, ("deviations",))
    assert spread.shape == (2, channels(("deviations",), SMALL.backbone))
    torch.testing.assert_close(spread[1, :16], first.bases[0].std(0, correction=0))
    torch.testing.assert_close(spread[1, -16:], pooled[1, :16])
    with pytest.raises(ValueError, match="moments"):
        pool(model.encode(CODES, VALID), ("layers",))


def test_a_head_over_layers_learns_answers_and_is_kept(tmp_path: Path) -> None:
    parts = ("layers", "deviation", "bins", "early-bins")
    task = TASK.model_copy(update={"pooling": parts, "bins": 4})
    model = new_model(SMALL, 1).with_task(task, 2).eval()
    assert model.task_head is not None and model.task_head.asked == (1, True)
    assert model.task_head.linear.in_features == (3 + 1 + 4 + 4) * 16
    torch.nn.init.normal_(model.task_head.linear.weight)
    logits = model.task_logits(CODES, VALID)
    alone = model.task_logits(CODES[1:, :3])
    torch.testing.assert_close(logits[1:], alone)
    logits.sum().backward()
    assert all(p.grad is not None for p in model.encoder.layers.parameters())
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    torch.testing.assert_close(again.task_logits(CODES, VALID), logits.detach())


def test_a_head_over_words_reads_them_beside_the_network(tmp_path: Path) -> None:
    parts = ("mean", "4-mers", "6-mers")
    task = TASK.model_copy(update={"pooling": parts})
    model = new_model(SMALL, 1).with_task(task, 2).eval()
    assert model.task_head is not None
    assert model.task_head.linear.in_features == 16 + 136 + 2080
    torch.nn.init.normal_(model.task_head.linear.weight)
    codes = torch.tensor([[0, 1, 2, 3, 0, 1, 2], [3, 2, 1, 0, 0, 6, 6]])
    lengths = torch.tensor([7, 5])
    encoded = model.encode(codes, lengths)
    pooled = pool(encoded, parts)
    torch.testing.assert_close(pooled[:, :16], encoded.mean())
    torch.testing.assert_close(pooled[:, 16:152], 136 * word_shares(codes, 4))
    torch.testing.assert_close(pooled[:, 152:], 2080 * word_shares(codes, 6))
    torch.testing.assert_close(
        model.task_logits(codes, lengths)[1:], model.task_logits(codes[1:, :5])
    )
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    torch.testing.assert_close(again.task_logits(codes, lengths), model.task_logits(codes, lengths))


def test_a_head_over_places_reads_rows_of_any_length(tmp_path: Path) -> None:
    parts = ("mean", "placed-pairs")
    task = TASK.model_copy(update={"pooling": parts, "places": 4})
    model = new_model(SMALL, 1).with_task(task, 2).eval()
    assert model.task_head is not None
    assert model.task_head.linear.in_features == 16 + 4 * 16
    torch.nn.init.normal_(model.task_head.linear.weight)
    codes = torch.tensor([[0, 1, 2, 3, 0, 1, 2], [3, 2, 1, 6, 6, 6, 6]])
    lengths = torch.tensor([7, 3])
    pooled = pool(model.encode(codes, lengths), parts, places=4)
    torch.testing.assert_close(pooled[:, 16:], placed_pairs(codes, 4).float())
    alone = model.task_logits(codes[1:, :3])
    torch.testing.assert_close(model.task_logits(codes, lengths)[1:], alone)
    model.save(tmp_path / "model")
    again = load_model(tmp_path / "model")
    torch.testing.assert_close(again.task_logits(codes, lengths), model.task_logits(codes, lengths))
    with pytest.raises(ValueError, match="number of positions"):
        TaskConfig(kind="binary", classes=("a", "b"), pooling=parts)


def test_a_rare_pair_is_not_blown_up(model: Model) -> None:
    """One row in 200 has it: it would be read as 14 deviations, and a row's name be learned."""
    task = TASK.model_copy(update={"pooling": ("mean", "placed-pairs"), "places": 1})
    head = new_model(SMALL, 1).with_task(task, 2).task_head
    assert head is not None
    pooled = torch.zeros(200, 32)
    pooled[0, [0, 16]] = 1
    pooled[:100, 17] = 1
    head.standardise(pooled)
    spread = pooled.std(0, correction=0)
    torch.testing.assert_close(head.deviation[[0, 17]], spread[[0, 17]])
    assert head.deviation[16] == pytest.approx(0.1) and head.deviation[1] == pytest.approx(1e-3)


def test_projection_scores_are_cosines(model: Model) -> None:
    scores = model.project(model.encode(CODES, VALID).summary)
    assert scores.shape == (2, 3, 12)
    assert scores.abs().max() <= 1 + 1e-6


def test_shared_head_is_the_base_head(tmp_path: Path) -> None:
    config = SMALL.model_copy(update={"projection": ProjectionConfig(kind="shared")})
    shared = new_model(config, 0).eval()
    summary = torch.randn(1, 3, 16)
    torch.testing.assert_close(shared.project(summary), shared.base_logits(summary))
    shared.save(tmp_path / "shared")
    again = load_model(tmp_path / "shared")
    torch.testing.assert_close(again.project(summary), shared.project(summary))


def test_same_seed_same_weights_other_seed_other_weights() -> None:
    one, two, three = new_model(SMALL, 5), new_model(SMALL, 5), new_model(SMALL, 6)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.encoder.embedding.weight, three.encoder.embedding.weight)


def test_making_a_model_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(9)
    wanted = torch.rand(1)
    torch.manual_seed(9)
    new_model(SMALL, 5)
    assert torch.equal(torch.rand(1), wanted)


def test_making_a_model_leaves_the_generators_of_gpus_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: False)
    new_model(SMALL, 5)
    assert seeded == []


def test_folder_round_trip(model: Model, folder: Path) -> None:
    again = load_model(folder)
    assert not again.training
    assert again.config == model.config
    assert again.provenance["genome_digest"] == "sha256:abc"
    torch.testing.assert_close(again.task_logits(CODES, VALID), model.task_logits(CODES, VALID))
    assert {p.name for p in folder.iterdir()} == {"model.safetensors", "config.json", "README.md"}
    assert (folder / "model.safetensors").stat().st_mode & 0o777 == 0o644


def test_a_run_folder_stands_for_its_model(folder: Path) -> None:
    assert load_model(folder.parent).config.task == TASK


def test_a_model_folder_stands_for_itself_whatever_lies_in_it(folder: Path) -> None:
    new_model(SMALL, seed=4).save(folder / "model")
    assert load_model(folder).config.task == TASK


def test_a_folder_of_a_presets_name_does_not_change_what_the_name_means(
    model: Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_preset("tiny") and not is_preset("tinier")
    assert model_or_preset("tiny", seed=0).config.task is None and not caplog.messages
    model.save("tiny")
    assert is_preset("tiny")
    assert model_or_preset("tiny", seed=0).config.task is None
    assert caplog.messages == [
        "tiny is the preset, with random weights; for the folder write ./tiny"
    ]
    for folder in ("./tiny", Path("tiny")):
        assert model_or_preset(folder, seed=0).config.task == TASK


def test_half_a_model_is_the_same_numbers_in_16_bits(model: Model, tmp_path: Path) -> None:
    model.save(tmp_path / "half", half=True)
    kept = load_file(tmp_path / "half" / "model.safetensors")
    assert {tensor.dtype for tensor in kept.values()} == {torch.float16}
    again = load_model(tmp_path / "half").task_logits(CODES, VALID)
    torch.testing.assert_close(again, model.task_logits(CODES, VALID), atol=0.05, rtol=0.01)


def test_a_folder_that_holds_no_model_is_never_replaced(model: Model, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("precious")
    with pytest.raises(BadInput, match="is not replaced"):
        model.save(tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "precious"


def test_pretraining_is_found_however_often_a_model_was_tuned(model: Model) -> None:
    pretrained = {"genome_digest": "sha256:abc", "steps": 5}
    model.provenance = {"task_data": "b", "started_from": {"started_from": pretrained}}
    assert model.pretraining == pretrained
    model.provenance = {"started_from": "random initialisation"}
    assert model.pretraining == {}


def test_another_task_keeps_what_the_weights_have_seen(model: Model) -> None:
    other = model.with_task(None, seed=0)
    assert other.task_head is None and other.provenance == model.provenance
    other.provenance["genome_digest"] = "sha256:other"
    assert model.provenance["genome_digest"] == "sha256:abc"


def test_the_dropout_of_a_head_is_that_of_its_task(model: Model) -> None:
    for share in (0.0, 0.5):
        head = model.with_task(TASK.model_copy(update={"dropout": share}), seed=0).task_head
        assert head is not None and head.dropout.p == share


def test_an_existing_folder_is_refused_and_kept(model: Model, folder: Path) -> None:
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(BadInput, match="--overwrite"):
        model.save(folder)
    assert (folder / "model.safetensors").read_bytes() == before


def test_no_folder_no_weights_broken_weights(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such model"):
        load_model(tmp_path / "nothing")
    (folder / "model.safetensors").write_bytes(b"not a tensor")
    with pytest.raises(BadInput, match="cannot be read"):
        load_model(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(BadInput, match="weights are missing"):
        load_model(folder)


def edit_weights(folder: Path, change: str) -> None:
    tensors = load_file(folder / "model.safetensors")
    if change == "missing":
        del tensors["base_head.weight"]
    elif change == "shape":
        tensors["base_head.weight"] = torch.zeros(4, 17)
    elif change == "nan":
        tensors["base_head.weight"][1, 2] = torch.nan
    else:
        tensors["base_head.extra"] = torch.zeros(1)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("missing", "base_head.weight is missing"),
        ("shape", r"base_head.weight has shape \(4, 17\), expected \(4, 16\)"),
        ("nan", "base_head.weight has values that are not finite"),
        ("extra", "base_head.extra is not part of this model"),
    ],
)
def test_changed_weights_are_refused_by_name(folder: Path, change: str, words: str) -> None:
    edit_weights(folder, change)
    with pytest.raises(BadInput, match=words):
        load_model(folder)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("format_version", 99, "format version 99 is unknown"),
        ("format_version", None, "format version None is unknown"),
        ("format_version", True, "format version True is unknown"),
        ("alphabet", "acgnt", "alphabet 'acgnt' is not"),
        ("offsets", [0, 1, 2, 5], "offsets"),
        ("model", None, "model is not a table"),
        ("model", [], "model is not a table"),
        ("provenance", "human", "provenance is not a table"),
    ],
)
def test_changed_description_is_refused_by_name(
    folder: Path, key: str, value: object, words: str
) -> None:
    described = json.loads((folder / "config.json").read_text())
    described[key] = value
    (folder / "config.json").write_text(json.dumps(described))
    with pytest.raises(BadInput, match=words):
        load_model(folder)


def test_unknown_config_key_is_refused_by_name(folder: Path) -> None:
    described = json.loads((folder / "config.json").read_text())
    described["model"]["backbone"]["widht"] = 5
    (folder / "config.json").write_text(json.dumps(described))
    with pytest.raises(BadInput, match="widht"):
        load_model(folder)


def test_a_description_of_something_else_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text("[1, 2]")
    with pytest.raises(BadInput, match="has no model"):
        load_model(folder)


def test_the_card_says_what_the_model_has_seen(model: Model, tmp_path: Path) -> None:
    facts = {"bases_seen": 16_384, "finished": False, "one_length": True, "bed": None}
    nested = {"sampling": {"window": 8}, "lengths": [64, 1512], "genome": "<a>.fa"}
    model.provenance = {**facts, **nested}
    model.save(tmp_path / "told")
    card = (tmp_path / "told" / "README.md").read_text()
    listed = card.partition("## What it has seen")[2].partition("## Limits")[0].split("\n")
    assert [line for line in listed if line] == [
        "* bases_seen: 16,384", "* finished: no", "* one_length: yes", "* lengths: 64, 1,512",
        "* genome: &lt;a&gt;.fa", "* all of it: `config.json`, under `provenance`",
    ]  # fmt: skip


def test_a_model_without_provenance_loads(folder: Path) -> None:
    described = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**described, "provenance": None}))
    assert load_model(folder).provenance == {}


def test_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(BadInput, match="tiny, small, medium, base, paper, long"):
        new_model("huge", 0)


@pytest.mark.parametrize(
    ("kind", "classes"), [("binary", ("a",)), ("multiclass", ("a",)), ("regression", ())]
)
def test_impossible_tasks_are_refused(kind: str, classes: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="class"):
        TaskConfig(kind=kind, classes=classes)  # type: ignore[arg-type]


def test_a_folder_of_format_1_still_gives_the_same_numbers() -> None:
    """Written once with format version 1 and never again: it must load for ever."""
    old = Path(__file__).parent / "format-1"
    expected = json.loads((old / "expected.json").read_text())
    model, codes = load_model(old), torch.tensor(expected["codes"])
    encoded = model.encode(codes)
    for found, key in (
        (model.task_logits(codes), "task_logits"),
        (model.base_logits(encoded.bases)[0, :2], "base_logits"),
        (model.project(encoded.summary)[0, 0, :4], "scores"),
    ):
        torch.testing.assert_close(found, torch.tensor(expected[key]), atol=1e-5, rtol=1e-4)


def test_a_standardised_head_reads_every_channel_at_mean_0_and_deviation_1(model: Model) -> None:
    head = model.task_head
    assert head is not None
    codes = torch.randint(0, 4, (64, 20), generator=torch.Generator().manual_seed(0))
    encoded = model.encode(codes)
    pooled = pool(encoded, head.parts).detach()
    head.standardise(pooled)
    seen = []
    head.linear.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    head(encoded)
    torch.testing.assert_close(seen[0].mean(0), torch.zeros(48), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen[0].std(0, correction=0), torch.ones(48), atol=1e-3, rtol=0)


def test_a_channel_that_hardly_varies_is_not_blown_up(model: Model) -> None:
    head = model.task_head
    assert head is not None
    pooled = torch.full((4, 48), 7.0)
    pooled[:2, 0] = 5.0
    head.standardise(pooled)
    assert head.mean.tolist() == [6.0] + [7.0] * 47
    assert head.deviation.tolist() == [1.0] + [pytest.approx(1e-3)] * 47


def test_a_fresh_head_says_nothing(model: Model) -> None:
    assert not model.with_task(TASK, seed=3).eval().task_logits(CODES, VALID).any()


def test_prototypes_stay_where_they_were_drawn(model: Model) -> None:
    model.project(model.encode(CODES, VALID).summary).sum().backward()
    trained = {name for name, p in model.projection.named_parameters() if p.grad is not None}
    assert trained and not any("prototypes" in name for name in trained)
