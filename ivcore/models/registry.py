"""Which model a name means: a bundled name, a local folder, or a repository on the Hugging Face hub.

``registry.toml`` lists the models that the application offers; any other folder or hub id works too.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import ModelNotFoundError, quote

__all__ = ["REPOSITORY", "ModelEntry", "Place", "find_place", "list_models", "others_allowed"]

REPOSITORY = Path(__file__).resolve().parents[2]
"""The folder that holds ``ivcore/`` and ``ivy/``."""

_HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_LONGEST = 1000


@dataclass(frozen=True)
class ModelEntry:
    """One model that the application offers."""

    name: str
    """What ``load_model`` and ``--model`` take."""
    stage: str
    """``base``, ``SFT`` or ``DPO``."""
    label: str
    group: str
    """The model of which this is a stage."""
    path: Path | None
    """Its folder, if it is bundled."""
    hub: str | None
    """Its hub id, if it is not."""
    n_parameters: int | None = None
    """Numbers among its weights, where they are not bundled: told before it is fetched."""

    @property
    def bundled(self) -> bool:
        """Whether the repository brings the weights along."""
        return self.path is not None


@dataclass(frozen=True)
class Place:
    """Where a model is: a folder or a hub id, exactly one of the two."""

    folder: Path | None = None
    hub: str | None = None


@cache
def list_models() -> tuple[ModelEntry, ...]:
    """The models of ``registry.toml``, in its order."""
    return tuple(
        ModelEntry(
            name=row["name"],
            stage=row["stage"],
            label=row["label"],
            group=row["group"],
            path=REPOSITORY / row["path"] if "path" in row else None,
            hub=row.get("hub"),
            n_parameters=row.get("parameters"),
        )
        for row in _table()["model"]
    )


def others_allowed() -> bool:
    """Whether people who use the application may name any other model; the command line always may."""
    return bool(_table()["others"])


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((Path(__file__).parent / "registry.toml").read_text(encoding="utf-8"))


def find_place(ref: str) -> Place:
    """Where the model named ``ref`` is; a folder of that name goes before a hub id.

    Raises:
        ModelNotFoundError: the name is empty, malformed, or names nothing that is here.
    """
    _check_name(ref)
    for entry in list_models():
        if entry.name == ref and entry.path is not None:
            return _bundled(entry.name, entry.path)
    if (folder := _folder(ref)) is not None:
        return Place(folder=folder)
    if _HUB_ID.fullmatch(ref) and ".." not in ref and "--" not in ref:
        return Place(hub=ref)
    if "/" in ref or "\\" in ref or ref.startswith((".", "~")):
        raise ModelNotFoundError(
            f"There is no folder {quote(ref)}; give the folder that holds config.json and model.safetensors, a hub id "
            f"of the form 'org/name', or one of {_names()}."
        )
    raise ModelNotFoundError(
        f"There is no model {quote(ref)}; choose one of {_names()}, a local folder, or a hub id of the form 'org/name'."
    )


def _check_name(ref: str) -> None:
    if not isinstance(ref, str) or not ref.strip():
        raise ModelNotFoundError(f"The model name is empty; choose one of {_names()}, a local folder, or a hub id.")
    if len(ref) > _LONGEST or any(len(part.encode("utf-8", "replace")) > 255 for part in re.split(r"[/\\]", ref)):
        raise ModelNotFoundError(
            f"The model name {quote(ref)} is too long for a folder or hub id; choose one of {_names()}."
        )
    if not ref.isprintable() or ref != ref.strip():
        raise ModelNotFoundError(
            f"The model name {quote(ref)} has spaces around it or unprintable characters; type it again without them."
        )


def _folder(ref: str) -> Path | None:
    """The folder that ``ref`` names, if there is one."""
    try:
        folder = Path(ref).expanduser().resolve()
        is_file, is_folder = folder.is_file(), folder.is_dir()
    except (OSError, ValueError, RuntimeError) as err:
        reason = type(err).__name__
        raise ModelNotFoundError(f"The folder {quote(ref)} cannot be opened ({reason}); check the path.") from err
    if is_file:
        raise ModelNotFoundError(f"{quote(ref)} is a file; give the folder that holds it, with config.json in it.")
    return folder if is_folder else None


def _bundled(name: str, path: Path) -> Place:
    if not path.is_dir():
        raise ModelNotFoundError(
            f"The bundled model {quote(name)} is missing from ivy/checkpoints; restore it with git or train it with "
            "'python -m ivy train'."
        )
    return Place(folder=path)


def _names() -> str:
    return ", ".join(entry.name for entry in list_models() if entry.bundled)
