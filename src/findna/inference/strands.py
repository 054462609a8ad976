"""The strand that is asked for."""

from __future__ import annotations

from typing import get_args

from findna.sequence.alphabet import Strand


def refuse_unknown_strand(strand: str | None) -> None:
    """`ValueError` for a name that is no `Strand`, which would be read as one of them."""
    if strand is not None and strand not in get_args(Strand):
        raise ValueError(f"no such strand: {strand!r}; choose of {', '.join(get_args(Strand))}")
