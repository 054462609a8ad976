"""The embedded example: a small simulated genome, its annotation, labelled tasks and variants.

Nothing in it was observed in nature. It exists so that every command can be tried within
minutes, without a download, on data whose truth is known: see `elements` for what a gene, a
repeat and a promoter are made of, `assembly` for how they are laid out, `tasks` for what is cut
from them, `writing` for the files.
"""

from dataclasses import dataclass
from pathlib import Path

from findna.files import BadInput, atomic_folder
from findna.sequence.simulate.assembly import Chromosome, chromosomes
from findna.sequence.simulate.tasks import Task, Variant, cut_tasks, cut_variants
from findna.sequence.simulate.writing import write_files

__all__ = ["Example", "simulate_example", "write_example"]


@dataclass(frozen=True, slots=True)
class Example:
    """A simulated genome and what was cut from it, a function of the seed alone."""

    seed: int
    chromosomes: list[Chromosome]
    tasks: dict[str, Task]
    variants: list[Variant]


def simulate_example(seed: int = 1) -> Example:
    """Simulate the example of a seed in memory; two to three seconds.

    Raises BadInput for a negative seed.
    """
    if seed < 0:
        raise BadInput(f"a seed is not negative: {seed}", remedy="give 0 or a positive number")
    genome = chromosomes(seed)
    return Example(seed, genome, cut_tasks(seed, genome), cut_variants(seed, genome))


def write_example(output: str | Path, seed: int = 1, overwrite: bool = False) -> Path:
    """Write the example of a seed as a folder (about 6 MB) and return its path.

    The folder holds `genome.fa` (repeats in lower case), `genes.gff3`, four BED files, the tasks
    `promoters`, `coding` and `repeats` as `train.csv`, `dev.csv` and `test.csv`, `variants.vcf`
    and a README. Raises BadInput if it exists and `overwrite` is not given.
    """
    example = simulate_example(seed)
    with atomic_folder(output, overwrite, known_by="genes.gff3") as folder:
        write_files(folder, seed, example.chromosomes, example.tasks, example.variants)
    return Path(output)
