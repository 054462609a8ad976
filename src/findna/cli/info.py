"""`findna info`: what is this file, this model, this run?"""

from pathlib import Path
from typing import Annotated

import typer

import findna
from findna.cli.running import say, verb


@verb()
def info(
    path: Annotated[
        Path | None,
        typer.Argument(
            help="A FASTA, FASTQ, BED, VCF or label file, a model or its name, a run, or another"
            " file or folder that findna wrote; without one the models that are known by name are"
            " listed."
        ),
    ] = None,
) -> None:
    """Say what a file, a model or a run is, one `name<TAB>value` a line."""
    say(findna.info(path))
