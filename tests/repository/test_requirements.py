"""What the source imports is pinned, the pins agree with the lock, and this environment is the pinned one."""

from __future__ import annotations

import ast
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = ("requirements.txt", "requirements-test.txt", "requirements-train.txt")
OWN = {"ivcore", "ui", "pages", "ivy", "app", "tests", "benchmarks", "conftest"}
# Which requirements files together must pin what a part of the repository imports.
NEEDS = {
    "ivcore": FILES[:1],
    "ui": FILES[:1],
    "pages": FILES[:1],
    "app.py": FILES[:1],
    "benchmarks": FILES[:1],
    "ivy": (FILES[0], FILES[2]),
    "tests": FILES,
}
# Import name -> distributions that provide it, for what is installed here; elsewhere the two names agree.
PROVIDED_BY = metadata.packages_distributions()


def pins(file: str, repository: Path = REPOSITORY) -> dict[str, str]:
    """Distribution -> version for each line `name==version`; any other line but a comment or `-c` is an error."""
    found = {}
    for line in (repository / file).read_text().splitlines():
        if not line or line.startswith("#") or line == "-c constraints.txt":
            continue
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9][A-Za-z0-9.]*)", line)
        assert match, f"{file}: {line!r} is not an exact pin `name==version`"
        found[canonicalize_name(match[1])] = match[2]
    return found


def third_parties(source: str) -> set[str]:
    """Top-level names of the third-party packages that a module imports, at any depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.add(node.module.split(".")[0])
    return names - OWN - set(sys.stdlib_module_names)


def unpinned(source: str, pinned: set[str]) -> set[str]:
    def is_pinned(name: str) -> bool:
        return any(canonicalize_name(distribution) in pinned for distribution in PROVIDED_BY.get(name, [name]))

    return {name for name in third_parties(source) if not is_pinned(name)}


@pytest.mark.parametrize("part", NEEDS)
def test_every_third_party_import_is_pinned(part: str) -> None:
    top = REPOSITORY / part
    pinned = {name for file in NEEDS[part] for name in pins(file)}
    files = sorted(top.rglob("*.py")) if top.is_dir() else filter(Path.is_file, [top])
    missing = {str(p.relative_to(REPOSITORY)): unpinned(p.read_text(encoding="utf-8"), pinned) for p in files}
    assert {path: names for path, names in missing.items() if names} == {}


def test_an_import_without_a_pin_is_found() -> None:
    source = "import math, streamlit\nfrom sklearn.svm import SVC\ndef f():\n    from lucky.guess import x\n"
    assert unpinned(source, {"streamlit", "scikit-learn"}) == {"lucky"}
    assert unpinned(source, {"streamlit", "lucky"}) == {"sklearn"}


def test_training_stays_out_of_the_app() -> None:
    assert set(pins("requirements-train.txt")) >= {"trl", "datasets"}
    assert not set(pins("requirements.txt")) & {"trl", "datasets", "pytest", "playwright"}


@pytest.mark.parametrize("file", FILES)
def test_pins_agree_with_the_lock(file: str) -> None:
    lock = pins("constraints.txt")
    assert {name: lock.get(name) for name in pins(file)} == pins(file)


@pytest.mark.parametrize("file", [*FILES, "constraints.txt"])
def test_no_host_is_named(file: str) -> None:
    assert not re.search(r"://|--(extra-)?index|--find-links|@", (REPOSITORY / file).read_text())


def needed_by(roots: set[str]) -> dict[str, str]:
    """Every installed distribution that the roots need, themselves included, with its public version."""
    found: dict[str, str] = {}
    todo = [(name, frozenset([""])) for name in roots]
    done = set()
    while todo:
        name, extras = todo.pop()
        if (name, extras) in done:
            continue
        done.add((name, extras))
        distribution = metadata.distribution(name)
        found[name] = Version(distribution.version).public
        for line in distribution.requires or []:
            need = Requirement(line)
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras):
                todo.append((canonicalize_name(need.name), frozenset(["", *need.extras])))
    return found


def is_cuda(name: str) -> bool:
    """Packages that come with CUDA builds of torch; torch pins them itself."""
    return name.startswith(("nvidia-", "cuda-")) or name == "triton"


def test_environment_is_the_pinned_one() -> None:
    lock = pins("constraints.txt")
    roots = set(pins("requirements.txt")) | set(pins("requirements-test.txt"))
    installed = {name: version for name, version in needed_by(roots).items() if not is_cuda(name)}
    assert installed == {name: lock.get(name) for name in installed}
