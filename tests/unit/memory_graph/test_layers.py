"""What the layers may import, where import-linter cannot say it."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
PACKAGES = ("service", "evaluation", "ingest", "retrieval", "memory_graph")
KERNEL_MAY_IMPORT = {"numpy", "scipy", "numba", *PACKAGES, *sys.stdlib_module_names}


def _imported(source: str) -> set[str]:
    """Return the top-level names of everything that a module imports, wherever it stands."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module.split(".")[0] if node.module else ".")
    return found


@pytest.mark.parametrize("kernel", ["growing", "edges", "graph", "push", "walk", "flow", "synonymy"])
def test_a_kernel_imports_only_arrays(kernel: str) -> None:
    imported = _imported((REPOSITORY / "memory_graph" / f"{kernel}.py").read_text())
    assert "numpy" in imported
    assert imported <= KERNEL_MAY_IMPORT


def test_imports_are_found_wherever_they_stand() -> None:
    source = "import os.path, numpy as np\ndef f():\n    from scipy.sparse import x\n    from . import y\n"
    assert _imported(source) == {"os", "numpy", "scipy", "."}
    assert "torch" not in KERNEL_MAY_IMPORT


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_the_one_of_this_repository(package: str) -> None:
    """The names are flat and common: another distribution's package must not be taken for ours."""
    file = importlib.import_module(package).__file__
    assert file is not None
    assert Path(file).resolve().parent == REPOSITORY / package


@pytest.mark.parametrize("package", PACKAGES[1:])
def test_a_layer_imports_no_layer_above_it(package: str) -> None:
    above = set(PACKAGES[: PACKAGES.index(package)])
    for file in (REPOSITORY / package).rglob("*.py"):
        assert not _imported(file.read_text()) & above, file
