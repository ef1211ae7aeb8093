"""What the app's tests share: tiny model folders, a store of their own, and the app opened at an address."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.app.tiny_folder import make_folder
from ui.state import OTHER

APP = Path(__file__).resolve().parents[2] / "app.py"
Open = Callable[..., AppTest]


@pytest.fixture(scope="session", autouse=True)
def no_store_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What the tests keep goes elsewhere than what a person computed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IVCORE_CACHE", str(tmp_path_factory.mktemp("store")))
        yield


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


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of its own, without the bundled runs."""
    from ivcore.store import Store

    own = tmp_path / "runs"
    monkeypatch.setenv("IVCORE_CACHE", str(own))
    monkeypatch.setattr("ivcore.store.default_store", lambda: Store(own))
    return own
