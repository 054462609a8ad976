"""The model card: what the files say, in the order in which a reader asks; unknown is said to be.

It begins with YAML in the convention of Hugging Face model cards, so that the folder can be
uploaded as it is.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import yaml

from findna.evaluation.sharing.evidence import Evidence
from findna.evaluation.sharing.halving import Agreement
from findna.evaluation.sharing.known import Known, Regions, RunFacts
from findna.metrics import Metric
from findna.model.heads import PLACED_PARTS
from findna.model.model import as_code, earlier_pretrainings, software_versions
from findna.sequence.records import span_of

_COLLAPSING = "COLLAPSING"
_UNKNOWN = "unknown: the run folder was not available when this card was written"


@dataclass(frozen=True)
class Sharing:
    """What stands on a card beside what the model itself says."""

    name: str
    licence: str
    digest: str
    agreement: Agreement | None
    regions: Regions | None
    evidence: Sequence[Evidence]


def model_card(known: Known, sharing: Sharing) -> str:
    """The README.md of a model folder that is given away."""
    parts = (
        ("", _opening(known, sharing)),
        ("How to use it", _use(known, sharing.name)),
        ("Data", _data(known, sharing.regions)),
        ("Recipe", _recipe(known)),
        ("Cost", _cost(known)),
        ("Results", "\n\n".join(_results(known, sharing.evidence))),
        ("Leakage", "\n\n".join(_leakage(known, sharing.evidence))),
        ("Limits", _bullets(_limits(known, sharing.regions))),
        ("Licence", f"The weights are under {sharing.licence}."),
        ("Versions", _bullets(_versions(known, sharing))),
    )
    body = "\n\n".join(f"## {title}\n\n{text}" if title else text for title, text in parts)
    return f"{_front_matter(known, sharing)}\n{body}\n"


def _front_matter(known: Known, sharing: Sharing) -> str:
    """The metadata block of https://huggingface.co/docs/hub/model-cards."""
    task = known.model.config.task
    tags = ["dna", "genomics", "biology", "chordmixer", "masked-language-model"]
    facts = {
        "license": sharing.licence.lower(),
        "library_name": "findna",
        "pipeline_tag": "feature-extraction" if task is None else "text-classification",
        "tags": [*tags, *([] if task is None else ["fine-tuned"])],
    }
    if task is not None and task.kind == "regression":
        del facts["pipeline_tag"]
    return f"---\n{yaml.safe_dump(facts, sort_keys=False)}---\n"


# What it is -----------------------------------------------------------------------------------


def _opening(known: Known, sharing: Sharing) -> str:
    model = known.model
    shape = model.config.backbone
    task = model.config.task
    what = (
        "pretrained without labels"
        if task is None
        else f"fine-tuned for a {task.kind} task ({', '.join(map(as_code, task.classes))})"
    )
    text = (
        f"A DNA model {what}: ChordMixer, {shape.depth} layers of width {shape.width} (preset"
        f" `{model.config.preset}`), {model.parameters_count:,} parameters."
    )
    if about := _said(known, "trained_on"):
        text += f" Pretrained on {_escaped(about)}."
    warnings = [f"> **Warning:** {line}" for line in _warnings(known)]
    return "\n\n".join([f"# {_escaped(sharing.name)}", *warnings, text])


def _said(known: Known, what: str) -> str | None:
    """What was said of the model when it was given away, or of the one it began from."""
    said: str | None = {**known.model.pretraining, **known.model.provenance}.get(what)
    return said


def _warnings(known: Known) -> Iterable[str]:
    """What a reader must know before anything else."""
    seen = known.model.pretraining
    if seen.get("finished") is False:
        yield (
            f"pretraining did not finish: {seen['steps']:,} of {seen['planned_steps']:,} steps."
            " The weights are those of a run that was stopped."
        )
    verdict = str(known.run.check.get("verdict", "")) if known.run else ""
    if verdict.startswith(_COLLAPSING):
        yield f"the run ended as {verdict}. The model is not usable."


def _use(known: Known, name: str) -> str:
    """Three commands, by the name of the folder; those of a task where there is one."""
    verbs = (
        (f"findna embed my.fa -m {name} -o vectors.parquet", "a vector per sequence"),
        (f"findna score-variants calls.vcf.gz -g genome.fa -m {name} -o scored.vcf.gz", "variants"),
        (f"findna finetune task/ -m {name} -o tuned", "your labels: train.csv, test.csv"),
    )
    if known.model.config.task is not None:
        verbs = (
            (f"findna predict my.fa -m {name} -o answers.tsv", "a prediction per sequence"),
            (f"findna mutagenesis my.fa -m {name} -o bases", "the effect of each base"),
            (f"findna embed my.fa -m {name} -o vectors.parquet", "a vector per sequence"),
        )
    width = max(len(command) for command, _ in verbs)
    lines = "\n".join(f"{command:<{width}}  # {what}" for command, what in verbs)
    path = "`-m` takes the path of this folder or, for a published model, its name."
    return f"```sh\n{lines}\n```\n\n{path}"


# Where it comes from --------------------------------------------------------------------------


def _data(known: Known, regions: Regions | None) -> str:
    seen, run = known.model.pretraining, known.run
    genome = _escaped(seen.get("genome", "unknown"))
    lines = [
        f"Genome file: {genome}, {seen.get('genome_digest', 'no digest')} (digest of bases and"
        " names, not of the file)",
        f"{_held_out_words(seen)}: {_escaped(_held_out_places(seen))}",
        f"Lengths trained in pretraining: {_span(seen.get('trained_lengths'))}",
    ]
    if run is not None and run.verb == "pretrain":
        lines.insert(1, f"Bases in it: {int(run.described['genome']['bases']):,}")
    if species := _said(known, "species"):
        lines.insert(0, f"Species: {_escaped(species)}")
    if regions is not None:
        lines.append(
            f"Regions: {_escaped(regions.name)}, {regions.intervals:,} intervals,"
            f" {regions.bases:,} bp, {regions.digest}" + _told(regions, "what")
        )
    for before in earlier_pretrainings(seen):
        named = f"{before.get('genome', '')} {before.get('genome_digest')}".strip()
        lines.append(f"Continued from weights that had seen the genome {_escaped(named)}")
    if known.model.config.task is not None:
        labels = known.model.provenance
        lines += [
            f"Labels: {_escaped(labels.get('task_data', 'unknown'))}",
            f"Lengths of the labelled rows: {_span(labels.get('trained_lengths'))}",
        ]
    return _bullets(lines) if seen else "Only labelled data: training started from random weights."


def _held_out_words(seen: Mapping[str, Any]) -> str:
    """Whether what this run held out had taught the weights that it went on from."""
    if not seen.get("continued_from") or seen.get("held_out_known_before") == 0:
        return "Held out, never used in training"
    known = seen.get("held_out_known_before")
    before = f"{known:,} bases of it" if known else "possibly part of it"
    return f"Held out in this run, {before} used for training before it continued"


def _held_out_places(seen: Mapping[str, Any]) -> str:
    """Names of chromosomes, or of what else was held out with its wanted share of the bases."""
    if names := seen.get("held_out_chromosomes"):
        return ", ".join(names)
    share = (seen.get("sampling") or {}).get("validation_fraction")
    about = f", about {100 * share:.2g} % of the bases" if share else ""
    return f"{seen['held_out']}{about}" if seen.get("held_out") else "unknown"


def _told(regions: Regions, note: str) -> str:
    return f" ({_escaped(regions.notes[note])})" if note in regions.notes else ""


def _span(lengths: Sequence[int] | None) -> str:
    return span_of(*lengths) if lengths else "unknown"


def _recipe(known: Known) -> str:
    if known.run is None:
        seed = known.model.provenance.get("seed", "unknown")
        return f"Settings {_UNKNOWN}. Seed: {seed}."
    settings = yaml.safe_dump(dict(known.run.settings), sort_keys=False)
    seed = known.run.settings.get("seed", "unknown")
    return (
        f"Seed {seed}: one run, one seed. Every setting, as `findna {known.run.verb} --config`"
        f" takes them:\n\n```yaml\n{settings}```"
    )


def _cost(known: Known) -> str:
    seen, run = known.model.pretraining, known.run
    lines = []
    if "steps" in seen:
        before = [each for each in earlier_pretrainings(seen) if "steps" in each]
        after = sum(each["steps"] for each in before)
        lines.append(
            f"{seen['steps']:,} steps, {seen['bases_seen']:,} bases read in pretraining"
            + (f", after {after:,} steps before it continued" if before else "")
        )
    lines.append(_spent(run) if run else f"Time and hardware {_UNKNOWN}")
    return _bullets(lines)


def _spent(run: RunFacts) -> str:
    environment = run.environment
    where = f"{environment.get('device', 'unknown device')} ({environment.get('device_name', '?')})"
    if environment.get("device") == "cpu":
        where += f", threads: {environment.get('threads')}, cores: {environment.get('cores')}"
    starts = "" if run.starts == 1 else f"; in {run.starts} starts, hardware is that of the last"
    if not run.seconds:
        return f"Wall-clock time for {run.verb} not recorded; on {where}{starts}"
    epochs = " in epochs of training," if run.verb == "finetune" else ""
    return f"{run.seconds:,.0f} s of wall-clock time{epochs} for {run.verb} on {where}{starts}"


# What it can do -------------------------------------------------------------------------------


def _results(known: Known, evidence: Sequence[Evidence]) -> Iterable[str]:
    if known.model.config.task is not None:
        yield _judged(known.model.provenance)
        if known.model.config.task.kind != "regression":
            said = known.model.provenance.get("calibration", "unknown")
            yield f"Calibration of its probabilities: {said}."
    yield from _held_out(known)
    for found in evidence:
        yield "On labelled sequences. " + " ".join(
            f"Protocol: {protocol}." for protocol in found.protocols
        )
        head = ("task", "used as", "metric", "train rows", "seeds", "score, 95 % interval",
                "random weights", "k-mers")  # fmt: skip
        yield _table(head, found.table.to_numpy().tolist())
    if not evidence and known.model.config.task is None:
        yield "On labelled sequences: not evaluated for this card."


def _judged(provenance: Mapping[str, Any]) -> str:
    """Metrics of a fine-tuned model, as its run judged them."""
    found = (provenance.get("metrics") or {}).items()
    rows = [(name, str(Metric(**metric))) for name, metric in found]
    protocol = f"Of the task, judged by: {provenance.get('protocol', 'unknown')}."
    return f"{protocol}\n\n{_table(('metric', 'value, 95 % interval'), rows)}" if rows else protocol


def _held_out(known: Known) -> Iterable[str]:
    """MASK-only loss beside its yardsticks, at the window of training and at other lengths."""
    seen = known.model.pretraining
    if "mask_loss" not in seen:
        return
    check = known.run.check if known.run and known.run.verb == "pretrain" else {}
    interval = (
        f"[{check['mask_loss_low']:.4f}, {check['mask_loss_high']:.4f}]"
        if "mask_loss_low" in check
        else "interval unknown"
    )
    k = f" (k = {check['markov_k']})" if "markov_k" in check else ""
    yield (
        f"MASK-only loss on held-out DNA, nats per base: **{seen['mask_loss']:.4f}** {interval};"
        f" letter entropy {seen['letter_entropy']:.4f}, two-sided Markov model"
        f" {seen['markov_loss']:.4f}{k}."
        + (f" Verdict of the run: {check['verdict']}." if "verdict" in check else "")
    )
    by_length = check.get("by_length") or {}
    if by_length:
        rows = [
            (f"{int(length):,} bp", f"{s['loss']:.4f} [{s['low']:.4f}, {s['high']:.4f}]")
            for length, s in sorted(by_length.items(), key=lambda item: int(item[0]))
        ]
        yield _table(("window", "MASK-only loss, 95 % interval"), rows)


def _leakage(known: Known, evidence: Sequence[Evidence]) -> Iterable[str]:
    """Test rows that training or pretraining has read."""
    rows: Mapping[str, Any] = (known.run.judged.get("rows") or {}) if known.run else {}
    if rows.get("test_also_in_train") is not None:
        yield (
            f"{rows['test_also_in_train']:,} of {rows['test']:,} test rows of the task also occur"
            " in its training rows, on either strand."
        )
    if not evidence:
        yield (
            "What pretraining read was not checked against any task. Before you report a score,"
            " run `findna doctor TASK -m MODEL -g GENOME` with the genome above."
        )
    for found in evidence:
        if found.leaks is None:
            yield f"Not checked for this model: {found.unknown}."
            continue
        head = (
            "task",
            "test rows in the pretraining genome",
            "of these, in the part used for pretraining",
        )
        yield _table(head, found.leaks.to_numpy().tolist())
        if _any(found.leaks):
            yield (
                "Scores of tasks with such rows are optimistic: the model may have memorised them."
            )


def _any(leaks: pd.DataFrame) -> bool:
    return any(not cell.startswith(("0 ", "not checked")) for cell in leaks["seen"])


def _limits(known: Known, regions: Regions | None) -> Iterable[str]:
    """Only what follows from the facts above."""
    seen = known.model.pretraining
    yield "Research use only: its variant scores are not a pathogenicity classifier."
    if known.model.trained_lengths:
        span = _span(known.model.trained_lengths)
        of = "pretraining" if known.model.config.task is None else "its labelled rows"
        yield f"Sequences outside {span}, the lengths of {of}, are predicted with a warning."
    task = known.model.config.task
    if task is not None and PLACED_PARTS & set(task.pooling):
        yield "It depends on positions: cut sequences as its labelled rows were cut."
    if regions is not None and "limits" in regions.notes:
        yield f"What it has seen is {_escaped(regions.notes['limits'])}."
    if "genome_digest" in seen:
        digests = {each.get("genome_digest") for each in (seen, *earlier_pretrainings(seen))}
        of = "one genome" if len(digests) == 1 else f"{len(digests)} genomes, one after the other"
        species = "this species" if len(digests) == 1 else "the last one first"
        yield (
            f"It has seen {of}: expect words and composition of {species}, not"
            " conservation, and no variation between individuals."
        )
        yield "One pretraining seed: how much another run would differ is not known."
    if "mask_loss" in seen and seen["mask_loss"] >= seen["markov_loss"]:
        yield "It does not beat the two-sided Markov model: it knows short words at most."


def _versions(known: Known, sharing: Sharing) -> Iterable[str]:
    trained: Mapping[str, Any] = known.run.environment if known.run else {}
    trained = trained or known.model.provenance.get("software") or {}
    names = ("findna", "torch", "python", "safetensors")
    told = ", ".join(f"{name} {trained[name]}" for name in names if name in trained)
    yield f"Trained with {told or 'unknown versions'}"
    yield "Exported with " + ", ".join(f"{n} {v}" for n, v in software_versions().items())
    yield f"Digest of the weights by name, as `findna evaluate` records it: {sharing.digest}"
    yield sharing.agreement.text if sharing.agreement else "Weights in full precision"


# Markdown -------------------------------------------------------------------------------------


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"* {line}" for line in lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    told = [[_escaped(str(cell)).replace("|", "\\|") for cell in cells] for cells in rows]
    lines = [head, ["---"] * len(head), *told]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _escaped(text: str) -> str:
    """Free text, in which a tag is text."""
    return html.escape(text, quote=False)
