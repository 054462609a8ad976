"""`findna info`: what is this file, this model, this run, this task?"""

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
            help="A FASTA, FASTQ, BED, VCF or label file, a model or its name, a run, another"
            " file or folder that findna wrote, or a public suite or task by name (gue/tf/0)."
            " Default: list the models known by name."
        ),
    ] = None,
) -> None:
    """Describe a file, a model, a run or a task, one `name<TAB>value` per line."""
    say(findna.info(path))
