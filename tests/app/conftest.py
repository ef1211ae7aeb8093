"""What the app's tests share: tiny model folders, and the app opened at an address."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.app.tiny_folder import make_folder
from ui.state import OTHER

APP = Path(__file__).resolve().parents[2] / "app.py"
Open = Callable[..., AppTest]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of four layers."""
    return make_folder(tmp_path_factory.mktemp("models") / "tiny", n_layers=4)


@pytest.fixture
def open_page(folder: Path) -> Open:
    """Open the app at an address with these parameters; by default on the tiny model."""

    def opened(**parameters: str | list[str]) -> AppTest:
        page = AppTest.from_file(str(APP), default_timeout=300)
        for name, value in ({"model": OTHER, "ref": str(folder)} | parameters).items():
            page.query_params[name] = value
        return page.run()

    return opened
