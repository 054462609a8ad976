"""BCF, the binary form of VCF, to and from text by htslib."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from itertools import islice
from pathlib import Path

import pysam
import pysam.bcftools

from findna.files import STDIN, BadInput, log, no_room


class NoBcf(BadInput):
    """VCF rows that cannot be written as BCF."""


@contextmanager
def quiet_htslib() -> Iterator[None]:
    """Keep htslib from writing to standard error; failures still raise."""
    before = pysam.set_verbosity(0)
    try:
        yield
    finally:
        pysam.set_verbosity(before)


@contextmanager
def bcf_lines(stream: BufferedIOBase, path: str | Path) -> Iterator[Iterator[str]]:
    """The lines of a BCF as text; one from a pipe is first written to a file, unpacked."""
    with quiet_htslib(), tempfile.TemporaryDirectory() as folder:
        file = Path(path)
        if str(path) == STDIN or not file.is_file():
            file = Path(folder) / "piped.bcf"
            with file.open("wb") as copy:
                shutil.copyfileobj(stream, copy)
        yield _record_lines(file, path, Path(folder))


def _record_lines(file: Path, path: str | Path, folder: Path) -> Iterator[str]:
    told = 0
    try:
        with pysam.VariantFile(str(file)) as records:
            header = str(records.header).rstrip("\n").split("\n")
            yield from header
            told = len(header)
            for record in records:
                yield str(record).removesuffix("\n")
                told += 1
    except UnicodeDecodeError:
        yield from islice(_lines_as_they_are(file, folder), told, None)
    except (OSError, ValueError, NotImplementedError) as error:
        raise BadInput(
            f"the BCF is truncated or damaged ({error})",
            file=path,
            remedy="the download or copy is incomplete: fetch it again",
        ) from None


def _lines_as_they_are(file: Path, folder: Path) -> Iterator[str]:
    """The lines of a BCF with bytes that are not UTF-8, kept as surrogates. pysam cannot format
    such a row, so htslib writes the whole text.
    """
    text = folder / "text.vcf"
    pysam.bcftools.view("--no-version", "-Ov", "-o", str(text), str(file), catch_stdout=False)
    with text.open(encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
        for line in lines:
            yield line.removesuffix("\n")


def vcf_to_bcf(text: Path, bcf: Path) -> None:
    """Write a VCF as BCF; its header must declare everything that its rows use.

    htslib reports on standard error what it changes, except for a non-numeric value where the
    header declares a number: that silently becomes missing. Rows it cannot write raise `NoBcf`.
    """
    log.info("a BCF holds values as the header types them; .vcf.gz keeps every byte of the input")
    # pysam's own writer adds an END that the header lacks to rows with symbolic alleles.
    try:
        pysam.bcftools.view("--no-version", "-Ob", "-o", str(bcf), str(text), catch_stdout=False)
    except pysam.utils.SamtoolsError as error:
        if "No space left" in str(error) or no_room(bcf.parent):
            raise OSError(errno.ENOSPC, str(error), str(bcf)) from error
        raise NoBcf(
            f"the rows cannot be written as BCF ({' '.join(str(error).split())[-200:]})",
            remedy="a value does not fit its type in the header; .vcf.gz keeps it as it is",
        ) from None
