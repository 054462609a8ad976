"""Pretraining: from a genome to a model, one straight line, stopped and resumed anywhere.

Here stands what a run begins with, and what is refused before it; `training.job` is the run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from findna.data.holdout import Split, split_genome
from findna.data.sampling import digests_of_beds
from findna.files import BadInput, log, refuse_stream
from findna.sequence.genome import Genome
from findna.sequence.intervals import bases_in, intersect
from findna.sequence.regions import RegionHeaders
from findna.training.engine import agreed, open_engine
from findna.training.job import PretrainJob, PretrainResult
from findna.training.recipes import PretrainSettings
from findna.training.run_state import Run, open_run, refuse_start
from findna.training.seen import pretraining_of, seen_part
from findna.training.starting import preset_of, starting_model

__all__ = ["PretrainResult", "pretrain"]


def pretrain(
    genome: Genome | str | Path | Sequence[str | Path],
    output: str | Path,
    settings: PretrainSettings | Mapping[str, Any] | None = None,
    *,
    regions: RegionHeaders | str | Path = "auto",
    start_from: str | Path | None = None,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
) -> PretrainResult:
    """Pretrain a model on a genome: restore hidden bases and, where it has a weight, agree with a
    teacher.

    Args:
        genome: FASTA files, or an opened genome.
        output: the run folder.
        settings: resolved settings, or a mapping of those that differ from the preset's recipe. A
            budget counts from here on, the indexing of FASTA files included.
        regions: how FASTA files of cut regions are placed, as for `Genome.open`.
        start_from: a model whose weights to continue from (a new species, a task's unlabelled
            sequences).
        device: auto, cpu, cuda or mps.
        resume: go on from the last checkpoint of ``output``; 2n steps equal n steps, stop, resume,
            n steps.
        overwrite: replace an existing run.

    Raises:
        BadInput: what a user can mend, with file and remedy.
        NonFiniteLoss: the last good checkpoint is kept.
        KeyboardInterrupt: after a checkpoint was written.
    """
    began = time.monotonic()
    if not isinstance(settings, PretrainSettings):
        settings = PretrainSettings.resolve({**preset_of(start_from), **(settings or {})})
    accelerator = open_engine(device)
    if accelerator.is_main_process:
        refuse_start(Path(output), overwrite=overwrite, resume=resume)
    genome = _genome(accelerator, genome, regions)
    model = starting_model(settings, start_from)
    # Not by the run's seed: a model that is continued under another seed must not train on what it
    # was validated on. Under other settings it may, which is said.
    split = split_genome(genome, settings.sampling)
    log.info(split.text)
    known = _known_before(genome, split, start_from)
    _check_parts(settings, accelerator.num_processes)
    job = PretrainJob(settings, genome, split, known, model, accelerator, began)
    described = _described(settings, genome, start_from)
    # Only now, when nothing the user gave can be wrong any more, is a folder made or replaced.
    with _opened(accelerator, output, described, overwrite=overwrite, resume=resume) as run:
        return job.work(run)


def _genome(
    accelerator: Accelerator,
    genome: Genome | str | Path | Sequence[str | Path],
    regions: RegionHeaders | str | Path,
) -> Genome:
    """The genome, the same for all ranks."""
    if not isinstance(genome, Genome):
        if accelerator.num_processes > 1:
            for path in [genome] if isinstance(genome, str | Path) else genome:
                refuse_stream(path, f"pretraining in {accelerator.num_processes} processes")
        genome = Genome.open(genome, regions=regions)
    if agreed(accelerator, genome.digest) != genome.digest:
        raise BadInput(
            f"is a different genome for process {accelerator.process_index} than for the first",
            file=genome.source,
            remedy="let all processes read the same files",
        )
    return genome


def _known_before(genome: Genome, split: Split, start_from: str | Path | None) -> int | None:
    """Held-out bases that the weights which are continued were trained on, said aloud; None without
    such weights.
    """
    if start_from is None:
        return None
    before = pretraining_of(start_from)
    if not before.on(genome):
        return 0
    seen, held = seen_part(genome, before), bases_in(split.validation)
    known = bases_in(intersect(split.validation, seen.runs))
    if known:
        log.warning(
            "%s of %s held-out bases were training data of %s, from which this run continues"
            " (%s): their loss is optimistic; hold out what it held out (--validation-chroms, or"
            " the same --window)",
            f"{known:,}", f"{held:,}", start_from, seen.note,
        )  # fmt: skip
    return known


def _check_parts(settings: PretrainSettings, processes: int) -> None:
    pieces, sampling = processes * settings.accumulate, settings.sampling
    if sampling.batch_bases // sampling.window < pieces:
        raise BadInput(
            f"a batch of {sampling.batch_bases:,} bases has fewer windows of {sampling.window} bp"
            f" than there are parts ({pieces} = processes x accumulate)",
            remedy="use a larger --batch-bases or a smaller --window",
        )


def _described(
    settings: PretrainSettings, genome: Genome, start_from: str | Path | None
) -> dict[str, Any]:
    cased = settings.sampling.soft_mask != "keep"
    return {
        "verb": "pretrain",
        "genome": {
            "source": genome.source,
            "digest": genome.digest,
            "bases": int(genome.total),
            **({"placing": genome.placing} if genome.mapped else {}),
            **({"soft_masking": genome.soft_masking} if cased else {}),
        },
        "start_from": str(start_from) if start_from else None,
        **digests_of_beds(settings.sampling),
        "settings": settings.model_dump(mode="json"),
    }


@contextmanager
def _opened(
    accelerator: Accelerator, output: str | Path, described: dict[str, Any], **how: bool
) -> Iterator[Run]:
    """The first rank makes the folder and holds it; the others hear whether the run goes on."""
    with ExitStack() as held:
        resumed = False
        if accelerator.is_main_process:
            run = open_run(output, settings=described, device=accelerator.device, **how)
            resumed = held.enter_context(run).resumed
        yield Run(Path(output), agreed(accelerator, resumed))
