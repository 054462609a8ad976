"""`findna example`: write the simulated example."""

from typing import Annotated

import typer

import findna
from findna.cli.running import Output, Overwrite, verb
from findna.files import log


@verb()
def example(
    output: Output,
    seed: Annotated[int, typer.Option("--seed", help="Another seed gives another genome.")] = 1,
    overwrite: Overwrite = False,
) -> None:
    """Write a small simulated genome, its annotation, labelled tasks and variants.

    Three megabases on six chromosomes, about 6 MB on disk, the same for the same seed.
    """
    folder = findna.example(output, seed=seed, overwrite=overwrite)
    log.info(f"wrote {folder}: see {folder / 'README.md'}")
