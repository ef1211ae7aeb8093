"""Cached calls into the engine: what a page asks for is computed once for each set of inputs and model fingerprint.

1. ``model``: at most two models are alive; a third pushes out the one used least recently (``alive``).
2. ``verdict``: the self-check, once for each model: it is kept on disk.
3. ``prompt`` and ``report``: keyed on the inputs and the fingerprint.  ``map_report`` holds every single layer and
   pair, so that a click on the map finds its numbers there; only a set of another size costs a pass of its own.
4. ``warm``: what the first visitor would wait for, done before the server opens.

Models are not thread-safe, so each call holds the model's own lock while it runs.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from .alive import Alive, Which, alive
from .engine import import_engine
from .state import PatchInputs

if TYPE_CHECKING:
    from ivcore.models import LoadedModel, LoadProgress, ModelEntry
    from ivcore.patching import PatchReport
    from ivcore.prompts import Prompt
    from ivcore.runs import Verdict

__all__ = [
    "DEPTH",
    "entries",
    "files",
    "is_light",
    "is_quick",
    "is_to_download",
    "load",
    "map_report",
    "model",
    "n_sets",
    "others_allowed",
    "prompt",
    "report",
    "snapshot",
    "verdict",
    "verdicts",
    "warm",
    "which",
]

DEPTH = 2
"""The map holds all sets of at most so many layers."""

QUICK_WORK = 6e10
"""Multiply-adds of a sweep that two cores finish in about half a second (the bound counts each set in full)."""

_LIGHT = 2 * 10**8
"""Bytes of a model that loads in about a second."""

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_LOG = logging.getLogger(__name__)


def entries() -> tuple[ModelEntry, ...]:
    """The models that the application offers by name."""
    import_engine()
    from ivcore.models import list_models

    return list_models()


def others_allowed() -> bool:
    """Whether models may be opened that the registry does not list."""
    import_engine()
    from ivcore import models

    return models.others_allowed()


def is_to_download(ref: str) -> bool:
    """Whether loading ``ref`` would first fetch weights from the hub. Raises ModelNotFoundError where it is nothing."""
    from ivcore.models.registry import find_place

    return (hub := find_place(ref).hub) is not None and snapshot(hub) is None


def snapshot(hub: str) -> Path | None:
    """The folder of a hub model that is on this machine with all its weights, named by its commit; else None."""
    from huggingface_hub import try_to_load_from_cache

    config, single, index = (try_to_load_from_cache(hub, name) for name in ("config.json", *_WEIGHTS))
    if not isinstance(config, str):
        return None
    folder = Path(config).parent
    whole = isinstance(single, str) or (isinstance(index, str) and _has_shards(folder, Path(index)))
    return folder if whole else None


def _has_shards(folder: Path, index: Path) -> bool:
    """Whether all files that an index of weights names are there: a download may have been cut off."""
    try:
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return all((folder / str(name)).is_file() for name in names)


def is_light(ref: str) -> bool:
    """Whether the model's files are here and few enough bytes to be loaded in about a second."""
    return 0 < sum(size for _, size, _ in files(ref)) < _LIGHT


def which(ref: str, device: str, dtype: str) -> Which:
    """The model's name among those in memory; ``auto`` is the device that it stands for."""
    import torch

    return Which(ref, ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device, dtype)


def model(ref: str, device: str, dtype: str) -> LoadedModel:
    """Load a model, or return the one that is alive; a folder whose files changed is loaded anew."""
    return load(alive(), ref, device, dtype)


def load(
    models: Alive, ref: str, device: str, dtype: str, on_progress: Callable[[LoadProgress], None] | None = None
) -> LoadedModel:
    """The same for a background job, which brings the models along and may be told how far the loading is.

    Raises:
        ModelError: it cannot be found, loaded or trusted, or is none that the application offers.
    """
    from ivcore.errors import ModelNotFoundError, quote
    from ivcore.models import load_model
    from ivcore.models.folder import inspect_folder
    from ivcore.models.registry import find_place

    if not others_allowed() and ref not in {entry.name for entry in entries()}:
        raise ModelNotFoundError(f"This app opens only the models that it lists, and {quote(ref)} is none of them.")
    wanted, place, stamp = which(ref, device, dtype), find_place(ref), files(ref)
    if models.find(wanted) is None and (folder := place.folder or snapshot(str(place.hub))) is not None:
        inspect_folder(folder)  # before another model has to go

    def make_room(is_enough: Callable[[], bool]) -> None:
        for other in models.present():  # the least recently used first
            if is_enough():
                return
            if other.device == wanted.device:
                models.release(other)

    def read() -> LoadedModel:
        return load_model(ref, device=device, dtype=dtype, on_progress=on_progress, make_room=make_room)

    return models.get(wanted, stamp, read)


def verdict(_model: LoadedModel, fingerprint: str, device: str, dtype: str) -> Verdict:
    """The model's self-check, as it was kept or made now."""
    from ivcore.runs import checked, facts_of, find_verdict
    from ivcore.store import default_store

    known, store = verdicts(), default_store()
    found = known.get((fingerprint, device, dtype)) or find_verdict(store, fingerprint, device, dtype)
    if found is None:
        with _model.lock:  # whoever waits here finds it kept
            found = checked(store, _model)
    # Another name may have been checked before, of the same files.
    known[fingerprint, device, dtype] = found = replace(found, model=facts_of(_model))
    return found


@st.cache_resource(show_spinner=False)
def verdicts() -> dict[tuple[str, str, str], Verdict]:
    """By fingerprint, device and number format, the verdicts that this server was asked for."""
    return {}


@st.cache_data(max_entries=256, show_spinner=False)
def _prompt(
    _model: LoadedModel,
    fingerprint: str,
    instruction: str,
    query: str,
    filler: str,
    t_inst: int | None,
    chat: bool,
) -> Prompt:
    """The prompt's anatomy."""
    from ivcore.prompts import build_prompt

    with _model.lock:
        return build_prompt(_model.tokenizer, instruction, query, filler=filler, t_inst=t_inst, chat=chat)


def prompt(loaded: LoadedModel, inputs: PatchInputs) -> Prompt:
    """The anatomy of the page's prompt."""
    texts = (inputs.instruction, inputs.query, inputs.filler)
    return _prompt(loaded, loaded.fingerprint, *texts, inputs.t_inst, inputs.chat)


def report(loaded: LoadedModel, inputs: PatchInputs, sets: Sequence[tuple[int, ...]]) -> PatchReport:
    """Patch each of ``sets``."""
    key = replace(inputs, layers=(), metric="", family="", stage="", ref="")
    return _report(loaded, loaded.fingerprint, loaded.device, loaded.dtype, key, tuple(sets))


def map_report(loaded: LoadedModel, inputs: PatchInputs) -> PatchReport:
    """Patch every set of at most ``DEPTH`` layers."""
    from ivcore.patching import layer_sets

    return report(loaded, inputs, layer_sets(loaded.n_layers, DEPTH))


def n_sets(n_layers: int) -> int:
    """Number of sets in the map."""
    return n_layers + n_layers * (n_layers - 1) // 2


def is_quick(loaded: LoadedModel, prompt: Prompt) -> bool:
    """Whether the map is cheap enough to compute unasked, by an upper bound on its multiply-adds."""
    weights = 12 * loaded.n_layers * loaded.d_model**2
    work = n_sets(loaded.n_layers) * (weights * len(prompt.ids_target) + loaded.d_model * loaded.vocab_size)
    return work < QUICK_WORK * (50 if loaded.device == "cuda" else 1)


def files(ref: str) -> tuple[tuple[str, int, int], ...]:
    """Name, size and time of change of a local model's files; none for a model of the hub."""
    from ivcore.models.registry import find_place

    folder = find_place(ref).folder
    stats = ((path.name, path.stat()) for path in sorted(folder.iterdir()) if path.is_file()) if folder else ()
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def warm(ref: str) -> None:
    """Import the engine, then load and check a model, so that the first visitor finds both done."""
    import_engine()
    try:
        loaded = model(ref, "auto", "float32")
        verdict(loaded, loaded.fingerprint, loaded.device, loaded.dtype)
    except Exception:
        _LOG.warning("The model %s could not be loaded ahead of time; the page will say why.", ref, exc_info=True)


@st.cache_data(max_entries=64, show_spinner=False)
def _report(
    _model: LoadedModel,
    fingerprint: str,
    device: str,
    dtype: str,
    inputs: PatchInputs,
    sets: tuple[tuple[int, ...], ...],
) -> PatchReport:
    from ivcore.patching import patch
    from ivcore.prompts import build_answer

    asked = prompt(_model, inputs)
    with _model.lock:
        text = inputs.answer_or_none
        answer = None if text is None else build_answer(_model.tokenizer, asked, text)
        return patch(_model, asked, answer, sets)
