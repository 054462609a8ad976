"""The two losses of self-distillation.

Letters in shape comments: B sequences, L bases, S summary tokens, K prototypes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def masked_nucleotide_sum(
    logits: Tensor, targets: Tensor, hidden: Tensor, weights: Tensor
) -> Tensor:
    """Sum of the cross-entropy in nats over hidden bases; the caller divides by their number.

    Args:
        logits: (B, L, 4) over A C G T.
        targets: (B, L) codes before hiding, on the strand of the view.
        hidden: (B, L) True where a base was chosen for hiding; nothing else sends gradient.
        weights: (B, L) weight of each base.
    """
    known = targets.clamp(max=logits.shape[-1] - 1)
    each = F.cross_entropy(logits.float().flatten(0, 1), known.flatten(), reduction="none")
    kept = torch.where(hidden, weights, torch.zeros_like(weights))
    return (each.view_as(weights) * kept).sum()


def teacher_distribution(scores: Tensor, centre: Tensor, temperature: float) -> Tensor:
    """softmax((q - c) / τ_t) over prototypes, (B, S, K); the centre (S, K) is one per summary
    token.
    """
    return F.softmax((scores.float() - centre) / temperature, dim=-1)


def balanced_distribution(
    scores: Tensor,
    temperature: float,
    spread: float,
    windows: Tensor,
    add_up: Callable[[Tensor], Tensor],
    rounds: int = 3,
) -> Tensor:
    """The teacher's answers when they must differ between windows, (B, S, K).

    For each summary token, scores are standardised over the windows of the whole batch (mean by
    prototype, one spread a token), and Sinkhorn-Knopp makes every prototype used equally often
    (SwAV, Caron et al. 2020, appendix A; DINOv2, Oquab et al. 2023). Without the spread a young
    teacher that hardly tells windows apart asks for the same answer everywhere, the student gives
    it, and both stay there.

    Args:
        scores: (B, S, K) of this rank's windows.
        temperature: of scores whose spread over windows is ``spread``.
        spread: what every token's scores are brought to; cosines of random directions in n
        dimensions have n^-0.5.
        windows: number of windows of all ranks, a scalar tensor.
        add_up: sum over all ranks.
    """
    off = scores.float() - add_up(scores.float().sum(0)) / windows
    found = (add_up(off.square().mean(-1).sum(0)) / windows).sqrt().clamp(min=1e-6)
    logits = off * (spread / temperature / found)[:, None]
    weights = (logits - logits.amax(-1, keepdim=True)).exp()
    for _ in range(rounds):
        used = add_up(weights.sum(0)).clamp(min=1e-12)
        weights = weights * (windows / used.shape[-1]) / used
        weights = weights / weights.sum(-1, keepdim=True).clamp(min=1e-12)
    return weights


def distillation_sum(
    student_scores: Tensor, teacher_probabilities: Tensor, temperature: float
) -> Tensor:
    """Cross-entropy of student against teacher, summed over sequences, mean over summary tokens.

    −Σ_k t_k · log softmax(p / τ_s)_k  (DINO, Caron et al. 2021, equation 2; both (B, S, K)).
    """
    log_student = F.log_softmax(student_scores.float() / temperature, dim=-1)
    each = -(teacher_probabilities * log_student).sum(-1)
    return each.mean(1).sum()
