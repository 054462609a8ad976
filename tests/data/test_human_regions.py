"""The BED of the human regions, and that a genome with it reads like the FASTA cut from it."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from findna.data.holdout import split_genome
from findna.data.sampling import SamplingSettings
from findna.data.windows import WindowSampler
from findna.sequence.genome import Genome
from findna.sequence.intervals import read_bed

BED = Path(__file__).resolve().parents[2] / "models" / "human-regions.bed"
SIZES = {"chr1": 6000, "chr2": 5000, "chr10": 3000}
# Sorted, one at the start and one at the end of a chromosome, one with N.
REGIONS = (("chr1", 0, 700), ("chr1", 1500, 4000), ("chr2", 2200, 5000), ("chr10", 400, 2400))
SETTINGS = SamplingSettings(window=128, min_window=32, validation_chroms=("chr10",))


def test_the_bed_is_the_regions_of_the_fasta(shared_data) -> None:
    """Names, lengths of the records counted letter by letter, and order."""
    table = read_bed(BED)
    lengths: dict[str, int] = {}
    with gzip.open(shared_data("human_hg38/hg38_regions.fa.gz"), "rt") as lines:
        for line in lines:
            if line.startswith(">"):
                name = line[1:].split()[0]
                lengths[name] = 0
            else:
                lengths[name] += len(line.strip())
    named = [f"{row.chrom}:{row.start}-{row.end}" for row in table.itertuples()]
    assert named == list(lengths)
    assert (table["end"] - table["start"]).tolist() == list(lengths.values())


def test_the_bed_is_sorted_and_its_regions_stand_apart() -> None:
    table = read_bed(BED)
    assert len(table) == 684
    assert int((table["end"] - table["start"]).sum()) == 63_093_212
    for _, part in table.groupby("chrom"):
        assert (part["start"].to_numpy()[1:] > part["end"].to_numpy()[:-1]).all()


@pytest.fixture
def genomes(tmp_path: Path) -> dict[str, Genome]:
    """A small genome, the same in another order of chromosomes, and the regions cut from it."""
    rng = np.random.default_rng(7)
    letters = {name: "".join(rng.choice(list("ACGT"), size)) for name, size in SIZES.items()}
    letters["chr2"] = letters["chr2"][:3000] + "N" * 60 + letters["chr2"][3060:]
    cut = {f"{c}:{s}-{e}": letters[c][s:e] for c, s, e in REGIONS}
    turned = dict(reversed(letters.items()))
    opened = {}
    for name, records in (("whole", letters), ("turned", turned), ("cut", cut)):
        path = tmp_path / f"{name}.fa"
        path.write_text("".join(f">{record}\n{bases}\n" for record, bases in records.items()))
        opened[name] = Genome.open(path)
    (tmp_path / "regions.bed").write_text("".join(f"{c}\t{s}\t{e}\n" for c, s, e in REGIONS))
    return opened


def windows(genome: Genome, bed: Path | None) -> list[tuple[bytes, bytes]]:
    """Codes and margins of the first windows of training, as bytes."""
    settings = SETTINGS.model_copy(update={"include": bed})
    sampler = WindowSampler(genome, split_genome(genome, settings).train, settings, seed=3)
    found = []
    for batch in range(3):
        length = sampler.batch_length(0, batch)
        starts = sampler.draw(0, np.arange(200) + (batch << 20), length)
        raw = sampler.read(starts, length)
        found += [
            (c.numpy().tobytes(), i.numpy().tobytes())
            for c, i in zip(raw.codes, raw.inside, strict=True)
        ]
    return found


def test_include_reads_what_the_cut_fasta_reads(genomes: dict[str, Genome], tmp_path: Path) -> None:
    """Same seed, same windows, and the same bases behind them; where chromosomes stand in another
    order the numbers draw other windows, from the same runs.
    """
    bed = tmp_path / "regions.bed"
    assert windows(genomes["whole"], bed) == windows(genomes["cut"], None)
    assert windows(genomes["turned"], bed) != windows(genomes["cut"], None)
    assert runs(genomes["turned"], bed) == runs(genomes["cut"], None)


def runs(genome: Genome, bed: Path | None) -> list[list[bytes]]:
    """Codes of the runs that are trained on and held out, whatever their order."""
    split = split_genome(genome, SETTINGS.model_copy(update={"include": bed}))
    return [
        sorted(genome.store[low:high].tobytes() for low, high in part)
        for part in (split.train, split.validation)
    ]
