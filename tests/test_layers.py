"""Each package imports only those above it: corpus <- index <- rag <- evals <- ui."""

import ast
from pathlib import Path

import pytest

LAYERS = ("corpus", "index", "rag", "evals", "ui")
ROOT = Path(__file__).parents[1]


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("layer", LAYERS)
def test_a_package_imports_only_those_above_it(layer):
    below = set(LAYERS[LAYERS.index(layer) + 1 :])
    files = list((ROOT / layer).rglob("*.py"))
    assert files
    for path in files:
        assert not {name.split(".")[0] for name in imported(path)} & below, path


def test_only_the_model_adapters_touch_llama_cpp():
    users = {
        p.name for layer in LAYERS for p in (ROOT / layer).rglob("*.py") if "llama_cpp" in set(imported(p))
    }
    assert users <= {"llama.py", "embed.py", "reader.py", "models.py", "generate.py", "answers.py"}
