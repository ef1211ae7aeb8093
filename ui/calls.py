"""Cached calls into the engine: what a page asks for is computed once for each set of inputs and model fingerprint.

1. ``model``: at most two models are alive; a third pushes out the one loaded first.
2. ``verdict``: the self-check, once for each model.
3. ``prompt`` and ``report``: keyed on the inputs and the fingerprint.  ``map_report`` holds every single layer and
   pair, so that a click on the map finds its numbers there; only a set of another size costs a pass of its own.
4. ``warm``: what the first visitor would wait for, done before the server opens.

Models are not thread-safe, so each call holds the model's own lock while it runs.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from .engine import import_engine
from .state import PatchInputs

if TYPE_CHECKING:
    from ivcore.check import CheckReport
    from ivcore.models import LoadedModel, ModelEntry
    from ivcore.patching import PatchReport
    from ivcore.prompts import Prompt

__all__ = [
    "DEPTH",
    "entries",
    "files",
    "is_light",
    "is_quick",
    "is_to_download",
    "map_report",
    "model",
    "n_sets",
    "prompt",
    "report",
    "verdict",
    "warm",
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


def is_to_download(ref: str) -> bool:
    """Whether loading ``ref`` would first fetch weights from the hub. Raises ModelNotFoundError where it is nothing."""
    from huggingface_hub import try_to_load_from_cache

    from ivcore.models.registry import find_place

    if (hub := find_place(ref).hub) is None:
        return False
    here = [isinstance(try_to_load_from_cache(hub, name), str) for name in ("config.json", *_WEIGHTS)]
    return not (here[0] and any(here[1:]))


def is_light(ref: str) -> bool:
    """Whether the model's files are here and few enough bytes to be loaded in about a second."""
    return 0 < sum(size for _, size, _ in files(ref)) < _LIGHT


def model(ref: str, device: str, dtype: str) -> LoadedModel:
    """Load a model, or return the one that is alive; a folder whose files changed is loaded anew."""
    return _load(ref, device, dtype, files(ref))


@st.cache_data(max_entries=32, show_spinner=False)
def verdict(_model: LoadedModel, fingerprint: str, device: str, dtype: str) -> CheckReport:
    """The model's self-check."""
    from ivcore.check import check_model

    with _model.lock:
        return check_model(_model)


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


@st.cache_resource(max_entries=2, show_spinner=False)
def _load(ref: str, device: str, dtype: str, files: tuple[tuple[str, int, int], ...]) -> LoadedModel:
    from ivcore.models import load_model

    return load_model(ref, device=device, dtype=dtype)


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
