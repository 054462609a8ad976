"""Files that open a folder of tracks in genome browsers: UCSC hub, IGV session, README."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from xml.sax.saxutils import quoteattr

from findna.files import STDIN

Kind = Literal["surprise", "components", "classes"]
KINDS: tuple[Kind, ...] = get_args(Kind)

SIZES, HUB, GENOMES, TRACKS, SESSION, README = (
    "genome.chrom.sizes",
    "hub.txt",
    "genomes.txt",
    "trackDb.txt",
    "igv_session.xml",
    "README.txt",
)
_SHOWN_BASES = 100_000
_COLOURS = ("31,119,180", "214,39,40", "44,160,44", "148,103,189", "255,127,14", "23,190,207")


@dataclass(frozen=True)
class Track:
    """One track: its name, its file and a description with the unit."""

    name: str
    file: str
    what: str


@dataclass(frozen=True)
class Browsed:
    """What browsers need of a genome: its FASTA files, its name at UCSC or None, and bases of every
    chromosome; `partial` for a region FASTA. `opened` is the interval (chromosome, start, end;
    0-based half-open) that is shown first, or None.
    """

    fastas: Sequence[str]
    assembly: str | None
    sizes: Mapping[str, int]
    partial: bool
    opened: tuple[str, int, int] | None = None

    @property
    def locus(self) -> str:
        """The interval that is shown first, 1-based closed: at most 100,000 bases."""
        longest = max(self.sizes, key=lambda chrom: self.sizes[chrom])
        chrom, start, end = self.opened or (longest, 0, self.sizes[longest])
        return f"{chrom}:{start + 1}-{min(end, start + _SHOWN_BASES)}"

    @property
    def name(self) -> str:
        """The UCSC name, or one word derived from the name of the FASTA."""
        stem = re.sub(r"\.(gz|bgz)$|\.(fa|fasta|fna|fas)(?=$|\.)", "", Path(self.fastas[0]).name)
        return self.assembly or re.sub(r"\W", "_", stem).strip("_") or "genome"


def write_browser_files(folder: Path, genome: Browsed, tracks: Sequence[Track]) -> None:
    """Write the files next to the tracks in `folder`, with relative paths to them.

    A UCSC hub is written for bigWig tracks only; UCSC reads no other format from a hub.
    """
    texts = {
        SIZES: "".join(f"{chrom}\t{size}\n" for chrom, size in genome.sizes.items()),
        SESSION: _session(genome, tracks, folder),
        README: _readme(genome, tracks),
    }
    if all(track.file.endswith(".bw") for track in tracks):
        texts |= {HUB: _hub(genome), GENOMES: _genomes(genome), TRACKS: _track_db(tracks)}
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def _hub(genome: Browsed) -> str:
    return _stanza(
        hub="findna",
        shortLabel="findna",
        longLabel=f"findna scan of {genome.name}",
        genomesFile=GENOMES,
        email="unknown@example.org",
    )


def _genomes(genome: Browsed) -> str:
    """A genome that UCSC has, or an assembly hub that brings its own sequence."""
    if genome.assembly:
        return _stanza(genome=genome.assembly, trackDb=TRACKS)
    return _stanza(
        genome=genome.name,
        trackDb=TRACKS,
        twoBitPath="genome.2bit",
        organism=genome.name,
        description=genome.name,
        defaultPos=genome.locus,
    )


def _track_db(tracks: Sequence[Track]) -> str:
    return "\n".join(
        _stanza(
            track=name,
            bigDataUrl=track.file,
            shortLabel=track.name[:17],
            longLabel=track.what[:76],
            type="bigWig",
            visibility="full",
            autoScale="on",
            color=_COLOURS[number % len(_COLOURS)],
        )
        for number, (name, track) in enumerate(zip(_hub_names(tracks), tracks, strict=True))
    )


def _hub_names(tracks: Sequence[Track]) -> list[str]:
    """Unique names of letters and digits, all that UCSC allows: CD4+ and CD4- stay different."""
    names: list[str] = []
    for track in tracks:
        name = f"findna_{re.sub(r'[^A-Za-z0-9_]', '_', track.name)}"
        while name in names:
            name += "_"
        names.append(name)
    return names


def _stanza(**lines: str) -> str:
    return "".join(f"{key} {value}\n" for key, value in lines.items())


def _session(genome: Browsed, tracks: Sequence[Track], folder: Path) -> str:
    locus = genome.locus if genome.opened else "All"
    first = genome.fastas[0]
    # A FASTA from a pipe has no path: the user may put a file of this name next to the session.
    fasta = genome.assembly or ("genome.fa" if first == STDIN else os.path.relpath(first, folder))
    resources = "\n".join(
        f"    <Resource name={quoteattr(track.name)} path={quoteattr(track.file)}/>"
        for track in tracks
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<Session genome={quoteattr(fasta)} locus={quoteattr(locus)} version="8">\n'
        f"  <Resources>\n{resources}\n  </Resources>\n</Session>\n"
    )


def _readme(genome: Browsed, tracks: Sequence[Track]) -> str:
    paragraphs = [
        f"Tracks along {genome.name}, written by findna scan. Coordinates are 0-based, ends not\n"
        "included.",
        "\n".join(f"{track.file}\t{track.what}" for track in tracks),
        "tracks.tsv: correlation of each track with GC, lower case and N; scan.json: how all were"
        " made.",
        _igv_note(genome),
        _ucsc_note(genome, tracks),
    ]
    if genome.partial:
        paragraphs.append(
            f"The FASTA holds regions of a genome: {SIZES} gives the end of the last region of"
            " each\n"
            "chromosome, which is not the end of the chromosome."
        )
    return "\n\n".join(paragraphs) + "\n"


def _igv_note(genome: Browsed) -> str:
    named = (
        f"names the genome {genome.assembly}"
        if genome.assembly
        else "names the genome by the path of its FASTA,\n"
        "which must be plain or bgzipped for IGV, with an index (samtools faidx)"
    )
    return (
        f"IGV: File > Open Session > {SESSION}. It {named}.\n"
        "Or load the genome yourself and drop the tracks in."
    )


def _ucsc_note(genome: Browsed, tracks: Sequence[Track]) -> str:
    if not all(track.file.endswith(".bw") for track in tracks):
        return "UCSC: bedGraph files are uploaded as custom tracks; a hub needs --format bigwig."
    serve = (
        f"UCSC: put this folder on a web server and enter the address of {HUB}\n"
        "under My Data > Track Hubs."
    )
    if genome.assembly:
        return f"{serve} Chromosomes must be named as in {genome.assembly}."
    return (
        f"{serve} The hub brings its own sequence: make it with\n"
        "faToTwoBit genome.fa genome.2bit. If UCSC has this genome, scan with --assembly NAME\n"
        "(sacCer3, hg38, ...), or write that name into genomes.txt."
    )
