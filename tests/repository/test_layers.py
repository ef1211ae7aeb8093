"""The order of imports, read from the source: no module imports what is built upon it.

1. Inside `ivcore` a module may import itself and modules of earlier rows of ORDER.
2. Between the parts of the repository, MAY_NOT says which names never appear.

All imports count: inside functions, under TYPE_CHECKING, relative ones, and `import_module("literal")`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

# Each row may import the rows above it. The package itself imports none of them, so that one module can be had alone.
ORDER = (
    ("__init__",),
    ("errors",),
    ("stats",),
    ("metrics", "store", "prompts", "models"),
    ("activations", "published"),
    ("patching", "paths", "heads", "probes", "behaviour"),
    ("check",),
    ("runs",),
    ("run_commands", "cache_command"),
    ("__main__",),
)
ROW = {name: row for row, names in enumerate(ORDER) for name in names}

MODEL_CODE = ("torch", "nnsight", "transformers", "safetensors", "tokenizers")
MAY_NOT = {
    "ivcore": ("streamlit", "ui", "pages", "app", "ivy"),
    "ivy": ("streamlit", "ui", "pages", "app"),
    "ui": ("pages", "app", "ivy"),
    "pages": (*MODEL_CODE, "app", "ivy"),
    "app.py": (*MODEL_CODE, "ivy"),
}


def imported(tree: ast.AST, package: tuple[str, ...]) -> Iterator[str]:
    """Dotted names a module of `package` imports, made absolute; `from a import b` gives `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = ".".join((*base, *filter(None, [node.module])))
            yield from (f"{stem}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield from (str(a.value) for a in node.args[:1] if isinstance(a, ast.Constant))


def component(parts: tuple[str, ...]) -> str:
    """The row's name for a module of ivcore, given its path below `ivcore`."""
    return parts[0].removesuffix(".py")


def violations(repository: Path) -> list[str]:
    """One sentence for each import that the order forbids."""
    found = []
    for part, forbidden in MAY_NOT.items():
        top = repository / part
        for path in sorted(top.rglob("*.py")) if top.is_dir() else filter(Path.is_file, [top]):
            relative = path.relative_to(repository)
            names = list(imported(ast.parse(path.read_text(encoding="utf-8")), relative.parent.parts))
            found += [f"{relative} imports {n}" for n in names if n.split(".")[0] in forbidden]
            if part == "ivcore":
                found += order_violations(relative, names)
    return found


def order_violations(relative: Path, names: list[str]) -> list[str]:
    own = component(relative.parts[1:])
    if own not in ROW:
        return [f"{relative} has no row in ORDER"]
    found = []
    for name in names:
        parts = tuple(name.split("."))
        # `from ivcore import __version__` and the like name no module.
        if parts[0] != "ivcore" or len(parts) < 2 or component(parts[1:]) in (own, "__version__"):
            continue
        other = component(parts[1:])
        if ROW.get(other, len(ORDER)) >= ROW[own]:
            found.append(f"{relative} imports {name}, which is not below it")
    return found


def test_imports_follow_the_order() -> None:
    assert violations(REPOSITORY) == []


def test_every_part_is_there_to_be_read() -> None:
    for part in MAY_NOT:
        top = REPOSITORY / part
        assert top.is_file() or any(top.rglob("*.py")), f"{part} has no source: the rule would prove nothing"


ALLOWED = {
    "ivcore/__init__.py": "",
    "ivcore/errors.py": "import tomllib",
    "ivcore/models/loading.py": "from ivcore.errors import E\nfrom .families import F\nfrom . import network",
    "ivcore/patching.py": "from ivcore.activations import source_vectors\nfrom ivcore import metrics",
    "ivcore/check.py": "from ivcore.patching import patch",
    "ivy/train.py": "import torch\nfrom ivcore.prompts import tasks",
    "ui/calls.py": "import streamlit\nfrom ivcore.check import check_model",
    "pages/patch.py": "import streamlit\nfrom ui import charts",
    "app.py": "import streamlit",
}


def plant(folder: Path, files: dict[str, str]) -> Path:
    for name, source in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(source)
    return folder


def test_allowed_imports_are_allowed(tmp_path: Path) -> None:
    assert violations(plant(tmp_path, ALLOWED)) == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("ivcore/metrics.py", "from ivcore.patching import patch"),
        ("ivcore/metrics.py", "def f():\n    import ivcore.check"),
        ("ivcore/metrics.py", "from .activations import source_vectors"),
        ("ivcore/metrics.py", "from . import prompts"),
        ("ivcore/metrics.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ivcore import models"),
        ("ivcore/models/loading.py", "from ..patching import patch"),
        ("ivcore/patching/core.py", "from ivcore.check import check_model"),
        ("ivcore/patching/core.py", "from ivcore.unheard import of"),
        ("ivcore/check.py", "from ivcore.__main__ import main"),
        ("ivcore/__init__.py", "from ivcore.patching import patch"),
        ("ivcore/unheard.py", "import math"),
        ("ivcore/errors.py", "import streamlit as st"),
        ("ivcore/errors.py", "import importlib\nimportlib.import_module('streamlit.runtime')"),
        ("ivcore/errors.py", "from ivy.corpus import facts"),
        ("ivy/train.py", "import streamlit"),
        ("pages/patch.py", "def page():\n    import torch.nn"),
        ("pages/patch.py", "from nnsight import save"),
        ("pages/patch.py", "from transformers import AutoTokenizer"),
        ("app.py", "import torch"),
        ("ui/calls.py", "from pages.patch import form"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, file: str, source: str) -> None:
    found = violations(plant(tmp_path, ALLOWED | {file: source}))
    assert len(found) == 1 and found[0].startswith(file), found
