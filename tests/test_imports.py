"""Imports go one way, no module hides one, and asking for help costs nothing."""

import ast
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from findna.cli import VERBS

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "findna"
ORDER = [
    "allocation", "files", "settings", "sequence", "data", "model", "inference", "metrics",
    "resampling", "training", "evaluation", "report", "facts", "cli",
]  # fmt: skip
MODULES = {
    ".".join(("findna", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def _imports(module: str, *, inside_functions: bool) -> Iterator[str]:
    """Modules of the package that a module imports, at its top or inside functions."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    hidden = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if (id(node) in hidden) == inside_functions:
            yield from _targets(node)


def _targets(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        inner = [f"{node.module}.{alias.name}" for alias in node.names]
        names = [name if name in MODULES else str(node.module) for name in inner]
    else:
        return
    yield from (name for name in dict.fromkeys(names) if name.split(".")[0] == "findna")


def _rank(module: str) -> int:
    return ORDER.index(module.split(".")[1])


@pytest.mark.parametrize("module", [m for m in MODULES if m not in ("findna", "findna.__main__")])
def test_imports_go_one_way(module: str) -> None:
    for target in _imports(module, inside_functions=False):
        if target == "findna":  # the public functions
            assert module.startswith("findna.cli"), f"{module} imports what stands above it"
        else:
            assert _rank(target) <= _rank(module), f"{module} imports {target}"


# Help, and what a file is, are asked for too often to wait for torch.
QUICK = ("findna.facts", "findna.cli")


@pytest.mark.parametrize("module", [m for m in MODULES if not m.startswith(QUICK)])
def test_no_import_is_hidden_in_a_function(module: str) -> None:
    assert list(_imports(module, inside_functions=True)) == []


def test_no_modules_import_each_other_in_a_loop() -> None:
    below = {
        module: {t for t in _imports(module, inside_functions=False) if t != "findna"} - {module}
        for module in MODULES
        if module not in ("findna", "findna.__main__")
    }
    while below:
        free = [module for module, targets in below.items() if not targets & below.keys()]
        assert free, f"import loop among {sorted(below)}"
        below = {module: targets for module, targets in below.items() if module not in free}


def test_inference_does_not_know_training_and_report_only_metrics() -> None:
    for module in MODULES:
        parts = {t.split(".")[1] for t in _imports(module, inside_functions=False) if "." in t}
        if module.startswith("findna.inference"):
            assert "training" not in parts
        if module.startswith("findna.report"):
            assert parts <= {"files", "metrics", "report"}


def _loaded_by(code: str) -> set[str]:
    program = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import findna",
        "import findna.cli",
        "from findna import Genome",
        "from findna import example",
    ],
)
def test_light_parts_load_no_torch(code: str) -> None:
    assert "torch" not in _loaded_by(code)


@pytest.mark.parametrize(
    "verb",
    sorted(set(VERBS) - {"pretrain", "finetune", "evaluate", "doctor", "fetch"}),  # settings
)
def test_help_of_a_verb_waits_for_no_library(verb: str) -> None:
    loaded = _loaded_by(f"import findna.cli.{verb.replace('-', '_')}")
    assert not loaded & {"torch", "pandas", "pyarrow", "scipy", "sklearn", "matplotlib"}


def test_every_verb_is_a_public_function() -> None:
    import findna

    verbs = {name.replace("-", "_") for name in VERBS}
    assert verbs | {"merge_shards"} <= set(findna.__all__)


def test_every_public_name_exists() -> None:
    import findna

    for name in findna.__all__:
        assert getattr(findna, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = findna.nothing


def test_help_is_quick() -> None:
    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "findna", "--help"], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # Processor time, and the best of three: another process on the machine must not fail this.
    assert min(once() for _ in range(3)) < 0.5


def test_a_type_checker_notices_a_misspelt_name(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    user = tmp_path / "user.py"
    user.write_text("import findna\n\nfindna.predict\nfindna.predikt\n")
    command = [
        sys.executable, "-m", "mypy", "--config-file=", "--follow-imports=skip",
        f"--cache-dir={tmp_path}", str(user), str(PACKAGE / "__init__.py"),
    ]  # fmt: skip
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    assert "user.py:4: error" in told and "predikt" in told
    assert "user.py:3" not in told
