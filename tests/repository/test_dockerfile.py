"""The Dockerfile's install and start steps, performed in a clean folder and environment (see container.py)."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.repository.container import (
    KNOWN,
    Build,
    Step,
    build_image,
    ignore_patterns,
    is_healthy,
    is_ignored,
    parse,
    started,
)

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def steps() -> list[Step]:
    return parse((REPOSITORY / "Dockerfile").read_text())


@pytest.fixture(scope="module")
def image(steps: list[Step]) -> Iterator[Build]:
    """The finished image, every step performed."""
    folder = Path(tempfile.mkdtemp(prefix="image-"))
    try:
        yield build_image(steps, REPOSITORY, folder)
    finally:
        # Fifty thousand files: `rm` takes a fraction of the time of shutil.rmtree.
        subprocess.run(["rm", "-rf", str(folder)], check=False)


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_final_stage_is_fit_for_a_hosted_lab(steps: list[Step]) -> None:
    last_from = max(n for n, step in enumerate(steps) if step.name == "FROM")
    final = steps[last_from:]
    text = {name: " ".join(step.text for step in final if step.name == name) for name in KNOWN}
    assert text["USER"] not in ("", "root", "0")
    assert [step.name for step in final].index("USER") > [step.name for step in final].index("RUN")
    assert not re.search(r"pip|apt|gcc|build-essential|make\b", text["RUN"])
    volumes = json.loads(text["VOLUME"])
    assert re.search(r"HF_HOME=(\S+)", text["ENV"])[1] in volumes and "/app/cache" in volumes
    assert f"STREAMLIT_SERVER_PORT={text['EXPOSE']}" in text["ENV"]
    assert "/_stcore/health" in text["HEALTHCHECK"]


def test_an_unknown_instruction_is_refused() -> None:
    with pytest.raises(ValueError, match="'ADD'"):
        parse("FROM python\nADD . /app\n")


LEFT_OUT = (
    ".git/config",
    ".venv/bin/python",
    ".streamlit/secrets.toml",
    ".mypy_cache/x",
    "__pycache__/app.pyc",
    "ivcore/models/__pycache__/x.pyc",
    "tests/engine/test_patching.py",
    "requirements-train.txt",
)
TAKEN = (
    "app.py",
    "pages/patch.py",
    "ivcore/errors.py",
    "ivcore/tests.py",
    "ivy/checkpoints/ivy-sft/model.safetensors",
    "cache/abc/run.json",
    "requirements.txt",
    "constraints.txt",
    ".streamlit/config.toml",
    "LICENSE",
)


@pytest.mark.parametrize(
    ("path", "ignored"), [*((path, True) for path in LEFT_OUT), *((path, False) for path in TAKEN)]
)
def test_context_holds_the_app_and_little_else(path: str, ignored: bool) -> None:
    assert is_ignored(path, ignore_patterns(REPOSITORY)) is ignored


def test_the_last_pattern_decides() -> None:
    assert not is_ignored("docs/keep.md", ["docs/*", "!docs/keep.md"])
    assert is_ignored("docs/other.md", ["docs/*", "!docs/keep.md"])


@pytest.mark.slow
def test_started_app_is_healthy_and_serves_its_page(image: Build) -> None:
    port = free_port()
    assert not is_healthy(image, port), "the health check passes although nothing runs"
    with started(image, port) as process:
        deadline = time.monotonic() + 60
        while not is_healthy(image, port):
            log = (image.aside / "log").read_text()
            assert process.poll() is None and time.monotonic() < deadline, f"not healthy:\n{log}"
            time.sleep(0.5)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as response:
            page = response.read().decode()
    assert '<div id="root">' in page
    assert not is_healthy(image, port), "the app outlives its stop signal"


@pytest.mark.slow
def test_requirements_suffice_to_run_the_first_page(image: Build) -> None:
    """The server imports app.py only when a browser connects, so the script is run here."""
    script = (
        "from streamlit.testing.v1 import AppTest; app = AppTest.from_file('app.py', default_timeout=120).run(); "
        "import sys; sys.exit('; '.join(e.message for e in app.exception) or 0)"
    )
    done = image.run([f"{image.root}/opt/venv/bin/python", "-c", script])
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_requirements_suffice_for_the_engine(image: Build) -> None:
    python = f"{image.root}/opt/venv/bin/python"
    done = image.run([python, "-m", "ivcore", "check", "--model", "ivy-sft", "--json"])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["passed"] is True


@pytest.mark.slow
def test_final_image_holds_only_what_was_copied(image: Build) -> None:
    assert not (image.root / "build").exists(), "the first stage's files are in the image"
    assert not (image.root / "app" / "tests").exists() and not (image.root / "app" / ".git").exists()
    installed = subprocess.run(
        [f"{image.root}/opt/venv/bin/python", "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True
    ).stdout.lower()
    assert "streamlit==" in installed and "pytest" not in installed and "trl==" not in installed
