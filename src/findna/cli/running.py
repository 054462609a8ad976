"""What every verb shares: how it speaks, how many threads it takes, how it ends.

Exit codes: 0 done, 1 failed, 2 usage, 3 something to mend first (input, place, settings of a
run that diverged), 130 interrupted, 141 reader gone away, 143 terminated.
"""

import errno
import inspect
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from itertools import chain
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from findna.allocation import keep_freed_memory
from findna.cli.options import SettingsOptions
from findna.files import STDIN, BadInput, FindnaError, FullDisk, log
from findna.settings import Settings


def no_stream(output: Path | None) -> Path | None:
    """The folder a verb is to write."""
    if str(output) == STDIN:
        raise typer.BadParameter("the output is a folder, which cannot go to standard output")
    return output


# The folder a verb writes. A verb that writes one file has an option of its own.
Output = Annotated[
    Path, typer.Option("-o", "--output", callback=no_stream, help="Folder for the results.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing output.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
SomeModel = Annotated[
    str | None,
    typer.Option(
        "-m",
        "--model",
        help="A model, its run or its name. Default: the one that comes with findna.",
    ),
]
BatchBases = Annotated[
    int | None,
    typer.Option(
        "-b",
        "--batch-bases",
        min=1,
        help="Bases per batch, which limits memory. Default: what suits the device.",
    ),
]
GenomeOfBed = Annotated[
    Path | None, typer.Option("-g", "--genome", help="FASTA that a BED refers to.")
]
SequenceColumn = Annotated[
    str | None, typer.Option("--sequence-column", help="Column of a table. Default: guessed.")
]
IdColumn = Annotated[
    str | None, typer.Option("--id-column", help="Column of a table. Default: guessed.")
]

_S = TypeVar("_S", bound=Settings)

_SHARED = {
    "threads": (
        Annotated[int | None, typer.Option("-@", "--threads", min=1, help="CPU threads.")],
        None,
    ),
    "verbose": (Annotated[bool, typer.Option("-v", "--verbose", help="Print more.")], False),
    "quiet": (
        Annotated[bool, typer.Option("-q", "--quiet", help="Print only warnings and errors.")],
        False,
    ),
    "debug": (Annotated[bool, typer.Option("--debug", help="Show where an error arose.")], False),
}


def verb(
    settings: type[Settings] | None = None, *, several: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a verb: shared options, errors as one sentence, and flags from `settings`.

    With settings, the function takes a keyword `given`: the nested mapping of what the person
    set, by file, by `--set` or by flag, and nothing else. `several` processes that torchrun starts
    may work on one run; other verbs each of them would do by itself, all into one output.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = [p for p in _signature(function) if p.name != "given"]
        flags = SettingsOptions(settings, {p.name for p in own}) if settings else None

        @wraps(function)
        def run(**values: Any) -> None:
            shared = {name: values.pop(name) for name in _SHARED}
            with_settings = {"given": flags.take(values)} if flags else {}
            _refuse_closed_stdout(values)
            _prepare(shared["threads"], shared["verbose"], shared["quiet"])
            _refuse_stdin_twice(values)
            if not several:
                _refuse_several(function.__name__.replace("_", "-"))
            function(**values, **with_settings)

        @wraps(function)
        def guarded(**values: Any) -> None:
            debug = bool(values["debug"])
            try:
                with _terminable():
                    run(**values)
                    sys.stdout.flush()
            except BaseException as error:
                _end(error, debug)

        parameters = [*own, *(flags.parameters() if flags else []), *_shared_parameters()]
        guarded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        guarded.__annotations__ = {p.name: p.annotation for p in parameters}
        return guarded

    return decorate


def _refuse_closed_stdout(values: Mapping[str, Any]) -> None:
    """Answers that are asked for there would be lost; asked before a null device stands in."""
    if str(values.get("output")) == STDIN and sys.stdout is None:
        raise BadInput("standard output is closed", remedy="name a file to write to")


def _refuse_stdin_twice(values: Mapping[str, Any]) -> None:
    """Whoever reads standard input second finds nothing there."""
    inputs = (value for name, value in values.items() if name not in ("output", "rows_file"))
    given = chain.from_iterable(v if isinstance(v, list | tuple) else [v] for v in inputs)
    if sum(str(value) == STDIN for value in given) > 1:
        raise typer.BadParameter("standard input (-) can be read only once, but is named twice")


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a verb as Ctrl-C does: all that is half-written goes."""


@contextmanager
def _terminable() -> Iterator[None]:
    """Raise `_Terminated` at SIGTERM, once; a training loop has its own answer meanwhile."""

    def terminate(number: int, frame: FrameType | None) -> NoReturn:
        # A second one would end the clearing up.
        signal.signal(number, signal.SIG_IGN)
        raise _Terminated

    try:
        before = signal.signal(signal.SIGTERM, terminate)
    except ValueError:  # not in the main thread: somebody else owns the signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _refuse_several(name: str) -> None:
    count = os.environ.get("WORLD_SIZE", "")
    if count.isdigit() and int(count) > 1:
        raise BadInput(
            f"findna {name} runs in one process, not in {count}",
            remedy="start it without torchrun (which sets WORLD_SIZE); only pretrain takes several",
        )


def _signature(function: Callable[..., None]) -> list[inspect.Parameter]:
    """The function's own parameters, all by keyword."""
    found = inspect.signature(function, eval_str=True).parameters.values()
    return [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in found]


def _shared_parameters() -> list[inspect.Parameter]:
    kind = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(name, kind, annotation=annotation, default=default)
        for name, (annotation, default) in _SHARED.items()
    ]


def resolved(make: Callable[[], _S]) -> _S:
    """Settings made from the command line; one that is refused is a usage error."""
    try:
        return make()
    except BadInput as error:
        raise typer.BadParameter(str(error)) from None


def refuse_both(resume: bool, overwrite: bool) -> None:
    """A run goes on or begins anew."""
    if resume and overwrite:
        raise typer.BadParameter("give either --resume, which continues, or --overwrite")


def _prepare(threads: int | None, verbose: bool, quiet: bool) -> None:
    """Notices go to stderr; freed memory is kept; libraries get their threads."""
    _open_streams()
    keep_freed_memory()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Plain())
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO)
    if threads is not None:
        _take_threads(threads)


def _open_streams() -> None:
    """What starts a process without a standard stream (a daemon, `>&-`) leaves None in its place,
    and its number to the next file that is opened.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))


def _take_threads(count: int) -> None:
    """Libraries that are still to be loaded read the environment, and MKL and OpenBLAS their own
    names before that of OpenMP; those that are there, numpy's first, are told.
    """
    from threadpoolctl import threadpool_limits

    for library in ("OMP", "MKL", "OPENBLAS"):
        os.environ[f"{library}_NUM_THREADS"] = str(count)
    threadpool_limits(count)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)


class _Plain(logging.Formatter):
    """The message alone, with its level in front when it is a warning or worse."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        serious = record.levelno >= logging.WARNING
        return f"{record.levelname.lower()}: {text}" if serious else text


def _end(error: BaseException, debug: bool) -> NoReturn:
    """Say what ended the verb and leave with its exit code."""
    if _is_typers(error):
        raise error
    if debug and not isinstance(error, BrokenPipeError):
        traceback.print_exception(error)
    code, message = verdict(error)
    if code == 141:
        # The interpreter flushes stdout once more at exit; give it a place to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if message:
        print(message, file=sys.stderr)
    raise typer.Exit(code) from None


def _is_typers(error: BaseException) -> bool:
    return isinstance(error, typer.Exit | typer.Abort | typer.BadParameter | SystemExit)


def verdict(error: BaseException) -> tuple[int, str]:
    """The exit code of an error, and what is said of it."""
    if isinstance(error, FindnaError):
        return error.exit_code, f"error: {error}"
    if isinstance(error, _Terminated):
        return 143, "terminated"
    if isinstance(error, KeyboardInterrupt):
        return 130, "interrupted"
    if isinstance(error, BrokenPipeError):
        return 141, ""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return verdict(FullDisk(error.filename or "standard output"))
    if _peer_is_gone(error):
        return 1, "error: another process of this run ended; its own message says why"
    if _out_of_memory(error):
        return (
            1,
            "error: out of memory\n  try a smaller batch, a shorter window or a smaller preset",
        )
    kind = type(error).__name__
    return 1, f"error: unexpected {kind}: {error}\n  --debug shows where; please report it"


def _out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: of a CPU and of Apple's GPU torch has no error of its own."""
    words = ("DefaultCPUAllocator: can't allocate memory", "MPS backend out of memory")
    told = isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    return told or isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _peer_is_gone(error: BaseException) -> bool:
    """Whether processes that compute together lost one: gloo and NCCL have no error of its own."""
    words = ("Connection closed by peer", "Connection reset by peer", "Socket closed")
    gone = isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    return gone or type(error).__name__ in ("DistBackendError", "DistNetworkError")


def say(facts: Mapping[str, object]) -> None:
    """Print facts to stdout, one `name<TAB>value` a line."""
    for name, value in facts.items():
        typer.echo(f"{name}\t{value}")
