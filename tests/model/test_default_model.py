import logging

import torch

from findna.model.loading import DEFAULT, load_model, model_folder, pick_model
from findna.model.model import new_model


def test_the_default_model_is_there_small_and_knows_what_it_has_seen(caplog):
    assert sum(f.stat().st_size for f in model_folder(DEFAULT).iterdir()) < 2_000_000
    with caplog.at_level(logging.INFO, logger="findna"):
        model = pick_model(None)
    assert f"using {DEFAULT}, trained on human GRCh38" in caplog.text
    assert model.provenance["held_out_chromosomes"] == ["chr10", "chr21"]
    assert {p.dtype for p in model.parameters()} == {torch.float32} and not model.training


def test_a_model_is_taken_as_it_is_by_folder_or_by_name(tmp_path):
    model = new_model("tiny", seed=3)
    assert pick_model(model) is model
    model.save(tmp_path / "m", half=True)
    found = pick_model(tmp_path / "m")
    for ours, kept in zip(model.parameters(), found.parameters(), strict=True):
        assert torch.equal(ours.half().float(), kept)
    assert torch.equal(pick_model(DEFAULT).base_head.weight, load_model(DEFAULT).base_head.weight)
