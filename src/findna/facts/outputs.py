"""What findna's own outputs say of themselves: models, runs, embeddings, tracks and folders.

Everything is read from what was stored beside the numbers; of the numbers only shapes are looked
at.
"""

import json
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias
from zipfile import BadZipFile, ZipFile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from findna.files import BadInput, read_json
from findna.metrics import Metric
from findna.sequence.records import span_of
from findna.sequence.tables import PARQUET_MAGIC

Facts = Mapping[str, object]

# Names beyond this are counted, not listed.
_NAMES = 12
# Key of an embedding's facts, in every format (docs/file-formats.md).
_MADE_BY = "findna"
_INDEX = "index.json"
_PARTS = (".json", ".jsonl", ".yaml", ".html", ".xml", ".md", ".txt", ".safetensors")
# None for what turns out to be something else.
_Reader: TypeAlias = Callable[[Path], Facts | None]
# What is told of a model that another one began with.
_BEFORE = ("started_from", "continued_from")
_ORIGIN = {
    "name": "{}",
    "species": "{}",
    "genome": "genome {}",
    "steps": "{} steps",
    "task_data": "fine-tuned on {}",
    "started_from": "itself from {}",
    "continued_from": "itself from {}",
}


# ---------------------------------------------------------------- values as a person reads them


def listed(names: Sequence[object]) -> str:
    """The first names, and how many more there are."""
    shown = ", ".join(map(said, names[:_NAMES]))
    return f"{shown} and {len(names) - _NAMES:,} more" if len(names) > _NAMES else shown


def said(value: object) -> str:
    """One line: numbers rounded and with commas, lists and mappings without their brackets."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        parts = (f"{name.replace('_', ' ')} {text}" for name, text in told(value).items())
        return ", ".join(parts)
    if isinstance(value, list | tuple):
        return listed(value)
    return " ".join(str(value).split())


def told(facts: Mapping[str, Any], *but: str) -> dict[str, str]:
    """Every fact in words, without those named and those that say nothing."""
    return {
        name: str(value) if name == "seed" else said(value)
        for name, value in facts.items()
        if name not in but and value not in (None, "", [], {})
    }


# ---------------------------------------------------------------- which of them it is


def output_facts(path: Path) -> Facts | None:
    """What a file or folder that findna wrote is; None for anything else."""
    if path.is_dir():
        kinds = (read for name, read in _FOLDERS.items() if _holds(path, name))
        return _read(next(kinds, None), path)
    if not path.is_file():
        return None
    with open(path, "rb") as stream:
        start = stream.read(8)
    kinds = (read for magic, read in _FILES.items() if start.startswith(magic))
    return _read(next(kinds, None), path) or _part_of(path)


def _part_of(path: Path) -> Facts | None:
    """A file that is nothing by itself, beside others that findna wrote."""
    folder = path.resolve().parent
    if path.suffix not in _PARTS or not any(_holds(folder, name) for name in _FOLDERS):
        return None
    return {"kind": "part of a folder", "folder": str(folder), "read by": f"findna info {folder}"}


def _read(read: _Reader | None, path: Path) -> Facts | None:
    """What a reader finds; what is damaged, or of another program, fails in as many ways as there
    are readers.
    """
    try:
        return read(path) if read else None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        kind = type(error).__name__
        raise BadInput(
            f"is damaged, or was written by another program ({kind}: {error})", file=path
        ) from None


def _holds(folder: Path, name: str) -> bool:
    """Whether it is the folder that findna puts this file into; other programs have files of the
    same names, and a genome in the cache an index.json as well.
    """
    file = folder / name
    if not file.is_file():
        return False
    if name == "settings.yaml":
        return (folder / "command.txt").is_file()
    told_by = {"config.json": "format_version", _INDEX: "made_from"}.get(name)
    held = read_json(file) if told_by else None
    return told_by is None or (isinstance(held, dict) and told_by in held)


# ---------------------------------------------------------------- models


def model_facts(path: Path) -> Facts:
    """What a model is, has learned from, and how well it was found to answer."""
    about, learned = _model(path)
    return {**about, **learned}


def _model(path: Path) -> tuple[dict[str, object], dict[str, object]]:
    """What a model is, and what training and judging it gave."""
    # Here, since files that are no models are told without torch.
    from findna.model.loading import load_model

    model = load_model(path)
    task, backbone, provenance = model.config.task, model.config.backbone, model.provenance
    about: dict[str, object] = {
        "kind": "model",
        "preset": model.config.preset,
        "parameters": f"{model.parameters_count:,}",
        "shape": f"{backbone.depth} layers, width {backbone.width}",
        "reach": "{:,} bases to the left and {:,} to the right of a base".format(*backbone.reach),
        "task": f"{task.kind} over {listed(task.classes)}" if task else "none (pretrained)",
    }
    if task:
        about |= {"reads": ", ".join(task.pooling), "strand": task.strand}
    if task and task.kind == "binary":
        about["threshold"] = f"{task.threshold:.4g}"
    about |= told(provenance, "software", "tried", "metrics", *_BEFORE)
    if model.trained_lengths:
        about["trained_lengths"] = span_of(*model.trained_lengths)
    about |= {key: _origin(provenance[key]) for key in _BEFORE if provenance.get(key)}
    return about, {**dict(_tried(provenance)), **dict(_judged(provenance))}


def _origin(start: Any) -> str:
    """What training began with: its name, genome and steps, or what it was fine-tuned on."""
    if not isinstance(start, Mapping):
        return said(start)
    known = {key: start[key] for key in _ORIGIN if start.get(key)}
    words = {key: _origin(v) if key in _BEFORE else said(v) for key, v in known.items()}
    told_of = [_ORIGIN[key].format(word) for key, word in words.items()]
    return ", ".join(told_of) or "a model of unknown origin"


def _tried(provenance: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A line a candidate, with its figures on validation rows."""
    for one in provenance.get("tried") or []:
        figures = {key: value for key, value in one.items() if key not in ("train", "strand")}
        words = [f"{key} {_figure(value)}" for key, value in figures.items()]
        yield f"tried {one['train']} ({one['strand']})", ", ".join(words)


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3g}"


def _judged(provenance: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A line a metric, with its interval."""
    by_test = str(provenance.get("protocol", "")).startswith("test")
    rows = "test" if by_test else "cross-validation"
    for name, metric in (provenance.get("metrics") or {}).items():
        yield f"{rows} {name}", str(Metric(**metric))


# ---------------------------------------------------------------- runs


def run_facts(path: Path) -> Facts:
    """How far a run is, what it began with, and its model."""
    from findna.training.run_state import can_go_on, described_in

    settings = described_in(path)
    if settings.get("verb") == "evaluate":
        return _evaluation(path)
    config = path / "model" / "config.json"
    past = read_json(config).get("provenance", {}) if config.is_file() else {"finished": False}
    checkpoint = path / "checkpoints" / "last" / "state.json"
    state = read_json(checkpoint) if checkpoint.is_file() else {}
    unfinished = "can be resumed" if can_go_on(path) else "has no checkpoint"
    begun_with = settings.get("model") or settings.get("start_from")
    facts: dict[str, object] = {
        "kind": "run",
        "verb": settings.get("verb", "?"),
        "state": unfinished if past.get("finished") is False else "finished",
        **told({"started from": begun_with}),
    }
    if state:
        facts["steps"] = f"{state['step']:,} of {state['plan']['steps']:,}"
    if not config.is_file():
        return facts
    about, learned = _model(path / "model")
    facts |= {f"model {key}": value for key, value in about.items() if key != "kind"}
    return {**facts, **_rows(path), **learned}


def _rows(path: Path) -> dict[str, str]:
    """Rows of a fine-tuning, by what they were for."""
    file = path / "metrics.json"
    return told({"rows": read_json(file).get("rows")}) if file.is_file() else {}


def _evaluation(path: Path) -> Facts:
    # A process that was killed leaves temporary files, whose names begin with a dot.
    found = (path / "runs").rglob("[!.]*.json")
    # TASK/CONTENDER/SEED.json, where the name of a task of a suite may have a slash of its own.
    runs = [p for file in found if len(p := file.relative_to(path / "runs").parts) > 2]
    state = "has tables" if (path / "table.md").is_file() else "continued by the same command"
    tasks = sorted({"/".join(parts[:-2]) for parts in runs})
    contenders = sorted({parts[-2] for parts in runs})
    facts: dict[str, object] = {"kind": "evaluation", "runs": f"{len(runs):,}", "state": state}
    return {**facts, **told({"tasks": tasks, "contenders": contenders})}


# ---------------------------------------------------------------- embeddings


def _embeddings(kind: str, rows: int, facts: Mapping[str, Any]) -> Facts:
    a_base = facts.get("pooling") == "base"
    return {
        "kind": f"embeddings ({kind})",
        "rows": f"{rows:,}",
        "vectors": "one per base" if a_base else "one per row",
        **told(facts),
    }


def _npz(path: Path) -> Facts | None:
    """Embeddings, or arrays of another kind; None for an archive that holds no arrays."""
    try:
        with ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            if not names or not all(name.endswith(".npy") for name in archive.namelist()):
                return None
            if _MADE_BY in names:
                with np.load(path, allow_pickle=False) as held:
                    return _embeddings("npz", len(held["id"]), json.loads(str(held[_MADE_BY])))
            shown = {name: _shape(archive, name) for name in names[:_NAMES]}
    except (BadZipFile, ValueError, KeyError):
        return None
    return {"kind": "arrays (npz)", "arrays": f"{len(names):,}", **shown}


def _shape(archive: ZipFile, name: str) -> str:
    """Type and shape of an array, from its header alone."""
    header = np.lib.format
    with archive.open(f"{name}.npy") as member:
        later = header.read_magic(member) > (1, 0)
        read = header.read_array_header_2_0 if later else header.read_array_header_1_0
        shape, _, dtype = read(member)
    return f"{dtype} {' x '.join(f'{n:,}' for n in shape)}".rstrip()


def _parquet(path: Path) -> Facts | None:
    """Embeddings or scored variants; None for any other table, or one that cannot be read."""
    try:
        with pq.ParquetFile(path) as file:
            rows, schema = file.metadata.num_rows, file.schema_arrow
    except (pa.ArrowInvalid, OSError):
        return None
    # What other programs put there need not be text.
    ours = {k: v for k, v in (schema.metadata or {}).items() if k.startswith(_MADE_BY.encode())}
    stored = {key.decode(): value.decode() for key, value in ours.items()}
    if _MADE_BY in stored:
        return _embeddings("parquet", rows, json.loads(stored[_MADE_BY]))
    made = {key: value for key, value in stored.items() if key.startswith(f"{_MADE_BY}_")}
    if not made:
        return None
    columns = listed(schema.names)
    return {"kind": "scored variants (parquet)", "alleles": f"{rows:,}", "columns": columns, **made}


def _h5ad(path: Path) -> Facts:
    try:
        anndata = import_module("anndata")
    except ImportError:
        raise BadInput(
            "is HDF5: reading .h5ad needs the library anndata",
            file=path,
            remedy="pip install 'findna[anndata]'",
        ) from None
    try:
        with warnings.catch_warnings():
            # Of names that stand twice, which embed was given.
            warnings.filterwarnings("ignore", message="Observation names are not unique")
            held = anndata.read_h5ad(path, backed="r")
    except Exception as error:
        # h5py and anndata raise whatever they met; each means that it is something else.
        raise BadInput(f"is HDF5, but not a readable .h5ad: {error}", file=path) from None
    rows, width = held.shape
    facts = held.uns.get(_MADE_BY)
    held.file.close()
    if facts is None:
        return {"kind": "annotated data (h5ad)", "rows": f"{rows:,}", "width": f"{width:,}"}
    return _embeddings("h5ad", rows, {key: _plain(value) for key, value in facts.items()})


def _plain(value: Any) -> Any:
    """A number of HDF5 as one of Python."""
    return value.item() if isinstance(value, np.generic) else value


# ---------------------------------------------------------------- tracks

# Of a bigWig, little-endian (Kent et al. 2010, supplement): magic, version, zoom levels, offsets of
# chromosomes, data and index, field counts, offsets of autoSql and of the summary; and the summary
# of the whole file: bases with a value, least, greatest, sum.
_BIGWIG = b"\x26\xfc\x8f\x88"
_HEADER, _SUMMARY = struct.Struct("<4sHHQQQHHQQ"), struct.Struct("<Qddd")


def _bigwig(path: Path) -> Facts:
    with open(path, "rb") as stream:
        try:
            *_, at = _HEADER.unpack(stream.read(_HEADER.size))
            stream.seek(at)
            bases, low, high, total = _SUMMARY.unpack(stream.read(_SUMMARY.size))
        except struct.error:
            raise BadInput("is a truncated bigWig", file=path) from None
    values = {"min": low, "mean": total / max(bases, 1), "max": high} if bases else {}
    facts: dict[str, object] = {
        "kind": "track (bigWig)",
        "bases with a value": f"{bases:,}",
        **{name: f"{value:.4g}" for name, value in values.items()},
    }
    return {**facts, **_chromosomes(path)}


def _chromosomes(path: Path) -> Facts:
    try:
        figwig = import_module("figwig")
    except ImportError:
        return {"chromosomes": "not read without figwig: pip install 'findna[tracks]'"}
    try:
        sizes = figwig.BigWigReader(str(path)).chrom_sizes
    except ValueError as error:
        raise BadInput(f"is a bigWig that cannot be read: {error}", file=path) from None
    return {
        "bases": f"{sum(sizes.values()):,}",
        "chromosomes": f"{len(sizes):,}",
        "names": listed(list(sizes)),
    }


# ---------------------------------------------------------------- folders


def _scan(path: Path) -> Facts:
    facts = told(read_json(path / "scan.json"))
    return {"kind": "scan", **facts, **dict(_tracks(path / "tracks.tsv"))}


def _tracks(file: Path) -> Iterator[tuple[str, str]]:
    """A line a track: what it is, and how its values lie."""
    if not file.is_file():
        return
    for row in pd.read_csv(file, sep="\t").to_dict("records"):
        numbers = [f"{key} {row[key]:.3g}" for key in ("mean", "sd") if pd.notna(row.get(key))]
        windows = [f"{int(row['windows']):,} windows"] if pd.notna(row.get("windows")) else []
        yield f"track {row['file']}", ", ".join([str(row["what"]), *numbers, *windows])


def _mutagenesis(path: Path) -> Facts:
    facts = read_json(path / "mutagenesis.json")
    models = [f"{model['name']} (strand {model['strand']})" for model in facts.pop("models", [])]
    genome = facts.pop("genome", None) or {}
    about = {"models": models, "genome": genome.get("source")}
    return {"kind": "mutagenesis", **told(about), **told(facts, "kind")}


def _index(path: Path) -> Facts:
    facts = read_json(path / _INDEX)
    made_from = facts.pop("made_from")
    digests = {f"{key} digest": made_from.pop(key, None) for key in ("model", "genome", "regions")}
    return {"kind": "search index", **told({**facts, **made_from, **digests})}


_FOLDERS: dict[str, _Reader] = {
    "settings.yaml": run_facts,
    "config.json": model_facts,
    "scan.json": _scan,
    "mutagenesis.json": _mutagenesis,
    _INDEX: _index,
}
_FILES: dict[bytes, _Reader] = {
    b"PK\x03\x04": _npz,
    PARQUET_MAGIC: _parquet,
    b"\x89HDF\r\n\x1a\n": _h5ad,
    _BIGWIG: _bigwig,
}
