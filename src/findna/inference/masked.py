"""Log-probabilities of bases at hidden positions.

As in the validation of pretraining, every asked base is shown as MASK. Hiding many bases at once
saves passes; hiding every `sets`-th base leaves each its neighbours (12.5 % hidden with eight sets,
close to the 15 % of the validation).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from findna.inference.devices import usual_batch_bases
from findna.model.model import Model, reverse_complement
from findna.sequence.alphabet import BASES, COMPLEMENT, MASK, Codes, Flags, Strand

LogProbs = NDArray[np.float32]

SETS = 8


def hidden_log_probs(
    model: Model,
    windows: Codes,
    hidden: Flags,
    *,
    strand: Strand = "both",
    batch_bases: int | None = None,
) -> LogProbs:
    """Natural log-probabilities (n, L, 4) of A C G T at the hidden bases of n windows.

    Args:
        model: used in its current mode and on its current device.
        windows: codes uint8 (n, L), all of one length.
        hidden: bool (n, L), the bases to predict; all of a window are hidden at once.
        strand: "both" averages the log-probabilities of the two strands, "forward" reads the given
            one.
        batch_bases: bases per batch; None chooses by device.

    Returns:
        NaN at all other bases. The mean over strands is not normalised: differences of two bases,
        the log-likelihood ratios, are the means of the differences on either strand.
    """
    answers = np.full((*windows.shape, BASES), np.nan, np.float32)
    rows = max(1, (batch_bases or usual_batch_bases(model.device)) // max(1, windows.shape[1]))
    with torch.inference_mode():
        for first in range(0, len(windows), rows):
            part = slice(first, first + rows)
            asked = torch.from_numpy(hidden[part]).to(model.device)
            codes = torch.from_numpy(windows[part]).to(model.device).long()
            shown = codes.masked_fill(asked, MASK)
            found = _log_probs(model, shown, asked)
            if strand == "both":
                turned = _log_probs(model, reverse_complement(shown), asked.flip(1))
                found = (found + _turn_back(turned, asked)) / 2
            answers[part][hidden[part]] = found.float().cpu().numpy()
    return answers


def masked_log_probs(
    model: Model,
    windows: Codes,
    *,
    sets: int = SETS,
    strand: Strand = "both",
    batch_bases: int | None = None,
) -> LogProbs:
    """As `hidden_log_probs` for every known base of n windows (n, L), each hidden once.

    Base i is hidden in pass `i % sets`, so a window costs `sets` passes. N is NaN.
    """
    known = windows < BASES
    answers = np.full((*windows.shape, BASES), np.nan, np.float32)
    for phase in range(min(sets, windows.shape[1])):
        hidden = np.zeros_like(known)
        hidden[:, phase::sets] = known[:, phase::sets]
        found = hidden_log_probs(model, windows, hidden, strand=strand, batch_bases=batch_bases)
        answers[hidden] = found[hidden]
    return answers


def _log_probs(model: Model, shown: Tensor, asked: Tensor) -> Tensor:
    """(k, 4) at the asked bases, in row order; the head reads nothing else."""
    return model.base_logits(model.encode(shown).bases[asked]).float().log_softmax(-1)


def _turn_back(turned: Tensor, asked: Tensor) -> Tensor:
    """Log-probabilities (k, 4) of the other strand, in the order and bases of the given strand."""
    order = torch.arange(len(turned), device=turned.device)
    place = torch.full(asked.shape, -1, device=turned.device)
    place[asked.flip(1)] = order
    complement = torch.from_numpy(COMPLEMENT[:BASES].astype(np.int64)).to(turned.device)
    return turned[place.flip(1)[asked]][:, complement]
