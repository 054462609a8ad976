import numpy as np
import torch

from findna.inference.masked import hidden_log_probs, masked_log_probs
from findna.model.model import new_model
from findna.model.presets import ModelConfig
from findna.sequence.alphabet import COMPLEMENT, MASK, N, reverse_complement

SHAPE = {"width": 24, "hidden": 32, "track_size": 8, "depth": 3, "summary_tokens": 2}


def model():
    return new_model(ModelConfig.parse({"backbone": SHAPE}, source="test"), seed=1).eval()


def windows(n, length, seed=0):
    return np.random.default_rng(seed).integers(0, 4, (n, length)).astype(np.uint8)


def test_forward_answers_equal_one_pass_a_base():
    net, codes = model(), windows(2, 30)
    found = masked_log_probs(net, codes, sets=30, strand="forward")
    for row in range(2):
        for place in range(30):
            shown = codes[row].astype(np.int64)
            shown[place] = MASK
            logits = net.base_logits(net.encode(torch.from_numpy(shown)[None]).bases)[0, place]
            expected = logits.log_softmax(-1).detach().numpy()
            assert np.allclose(found[row, place], expected, atol=1e-5)


def test_both_strands_are_the_mean_of_the_strands():
    net, codes = model(), windows(3, 41)
    hidden = np.random.default_rng(5).random(codes.shape) < 0.3
    both = hidden_log_probs(net, codes, hidden)
    ahead = hidden_log_probs(net, codes, hidden, strand="forward")
    back = hidden_log_probs(
        net, reverse_complement(codes), np.ascontiguousarray(hidden[:, ::-1]), strand="forward"
    )[:, ::-1][..., COMPLEMENT[:4]]
    assert np.allclose(both[hidden], (ahead[hidden] + back[hidden]) / 2, atol=1e-5)
    assert np.isnan(both[~hidden]).all() and not np.allclose(ahead[hidden], back[hidden])
    # The given strand makes no difference.
    turned = hidden_log_probs(net, reverse_complement(codes), np.ascontiguousarray(hidden[:, ::-1]))
    assert np.allclose(turned[:, ::-1][..., COMPLEMENT[:4]][hidden], both[hidden], atol=1e-5)


def test_batches_change_nothing_and_n_is_never_asked():
    net, codes = model(), windows(9, 40)
    codes[4, 7:20] = N
    alone = masked_log_probs(net, codes, batch_bases=1)
    together = masked_log_probs(net, codes, batch_bases=10_000)
    assert np.allclose(alone, together, atol=1e-5, equal_nan=True)
    assert np.array_equal(np.isnan(alone[..., 0]), codes == N)


def test_what_is_hidden_is_not_seen():
    net, codes = model(), windows(1, 24)
    other = codes.copy()
    other[0, 3::8] = (other[0, 3::8] + 1) % 4
    asked = np.zeros(codes.shape, bool)
    asked[0, 3::8] = True
    assert np.array_equal(
        hidden_log_probs(net, codes, asked), hidden_log_probs(net, other, asked), equal_nan=True
    )
