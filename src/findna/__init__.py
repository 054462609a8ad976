"""findna: from a genome to an answer, one public function a verb.

    import findna

    findna.example("example")
    findna.pretrain("example/genome.fa", "run", {"preset": "tiny", "budget": "10m"})
    findna.finetune("example/promoters", "task", model="run")
    findna.predict("example/promoters/test.csv", "task", "answers.tsv")

`import findna` is cheap: a name is imported from its module at first use, so that asking for
the version or opening a genome never loads torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# One public name -> the module that owns it and its name there.
_PUBLIC = {
    "BadInput": ("findna.files", "BadInput"),
    "FindnaError": ("findna.files", "FindnaError"),
    "Genome": ("findna.sequence.genome", "Genome"),
    "Model": ("findna.model.model", "Model"),
    "doctor": ("findna.evaluation.doctor.diagnosis", "doctor"),
    "embed": ("findna.inference.embed", "embed"),
    "encode_batch": ("findna.data.batches", "encode_batch"),
    "evaluate": ("findna.evaluation.evaluate", "evaluate"),
    "example": ("findna.sequence.simulate", "write_example"),
    "export": ("findna.evaluation.sharing.export", "export"),
    "fetch": ("findna.evaluation.fetch.suites", "fetch"),
    "finetune": ("findna.training.finetune", "finetune"),
    "index_genome": ("findna.inference.searching.build", "index_genome"),
    "info": ("findna.facts.info", "info"),
    "load": ("findna.model.loading", "load_model"),
    "merge_shards": ("findna.inference.variants.shards", "merge_shards"),
    "mutagenesis": ("findna.inference.mutagenesis", "mutagenesis"),
    "predict": ("findna.inference.predict", "predict"),
    "pretrain": ("findna.training.pretrain", "pretrain"),
    "rows_to_answer": ("findna.evaluation.tasks", "rows_to_answer"),
    "scan": ("findna.inference.scan", "scan"),
    "score_variants": ("findna.inference.score_variants", "score_variants"),
    "search": ("findna.inference.search", "search"),
}

if TYPE_CHECKING:
    from findna.data.batches import encode_batch
    from findna.evaluation.doctor.diagnosis import doctor
    from findna.evaluation.evaluate import evaluate
    from findna.evaluation.fetch.suites import fetch
    from findna.evaluation.sharing.export import export
    from findna.evaluation.tasks import rows_to_answer
    from findna.facts.info import info
    from findna.files import BadInput, FindnaError
    from findna.inference.embed import embed
    from findna.inference.mutagenesis import mutagenesis
    from findna.inference.predict import predict
    from findna.inference.scan import scan
    from findna.inference.score_variants import score_variants
    from findna.inference.search import search
    from findna.inference.searching.build import index_genome
    from findna.inference.variants.shards import merge_shards
    from findna.model.loading import load_model as load
    from findna.model.model import Model
    from findna.sequence.genome import Genome
    from findna.sequence.simulate import write_example as example
    from findna.training.finetune import finetune
    from findna.training.pretrain import pretrain
else:
    # Hidden from type checkers, which would take any misspelt name for `Any`.
    def __getattr__(name: str) -> Any:
        """Import a public name from its module at first use."""
        if name not in _PUBLIC:
            raise AttributeError(f"module 'findna' has no attribute {name!r}")
        module, attribute = _PUBLIC[name]
        value = getattr(import_module(module), attribute)
        globals()[name] = value
        return value


__all__ = [
    "BadInput",
    "FindnaError",
    "Genome",
    "Model",
    "__version__",
    "doctor",
    "embed",
    "encode_batch",
    "evaluate",
    "example",
    "export",
    "fetch",
    "finetune",
    "index_genome",
    "info",
    "load",
    "merge_shards",
    "mutagenesis",
    "predict",
    "pretrain",
    "rows_to_answer",
    "scan",
    "score_variants",
    "search",
]


def __dir__() -> list[str]:
    """The public names, imported or not."""
    return sorted(__all__)
