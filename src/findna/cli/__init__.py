"""The command line: `findna VERB ...`, one module a verb.

This module is all that `findna --help` loads: verbs are named here with one sentence each, and a
verb's module is imported when the verb is called. That module imports at its top what its options
are made of, and what does the work (mostly torch) where it is done: `findna embed --help` waits for
none of it.
"""

import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from findna.model.published import PUBLISHED

VERBS = {
    "example": "Write a small simulated genome with tasks and variants to try every command on.",
    "pretrain": "Pretrain a model on a genome, without labels.",
    "finetune": "Train a model on labelled sequences and test it once.",
    "predict": "Predict for every sequence of a file, in file order.",
    "embed": "Write a vector for every sequence of a file, in file order.",
    "score-variants": "Score every allele of a VCF; its rows are written in the same order.",
    "mutagenesis": "Mutate every base of sequences and show the effect on the prediction.",
    "scan": "Turn a genome into browser tracks: surprise, components, classes.",
    "search": "Find the regions of a genome most similar to a region or a sequence.",
    "evaluate": "Compare models with random weights and cheap baselines, on equal terms.",
    "doctor": "Check data, genome and model before time is spent.",
    "fetch": "Download genomes, benchmark data and models to the cache folder.",
    "export": "Write a model folder to share, with a model card of what is known.",
    "info": "Describe a file, a model, a run or a task.",
}

_CONTEXT = {"help_option_names": ["-h", "--help"]}


class _Verbs(TyperGroup):
    """A group whose commands are imported when they are called."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.commands.update({name: TyperCommand(name, short_help=VERBS[name]) for name in VERBS})

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """The verb that `args` names, now with its options."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, verb_command(str(name)), rest


def verb_command(name: str) -> Any:
    """The command of a verb, from the function of the same name in the module of that name."""
    module = name.replace("-", "_")
    function = getattr(import_module(f"findna.cli.{module}"), module)
    alone = typer.Typer(
        add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False
    )
    alone.command(name, context_settings=_CONTEXT, help=function.__doc__)(function)
    return typer.main.get_command(alone)


def _show_version(asked: bool) -> None:
    if asked:
        from findna import __version__

        typer.echo(f"findna {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=_Verbs,
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings=_CONTEXT,
    epilog=f"Models by name, for -m: {', '.join(PUBLISHED)}. findna info says which are installed.",
)


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """From a genome to an answer: DNA models, one command per step."""


def main() -> None:
    """Entry point of the console script; exits with 0, 1, 2, 3, 130, 141 or 143."""
    try:
        app(prog_name="findna")
    except OSError as error:
        # What a verb ends with it says itself: this is --help or --version, into a full disk.
        from findna.cli.running import verdict

        code, message = verdict(error)
        print(message, file=sys.stderr)
        sys.exit(code)
