"""What every run says of its making: model, versions, device and dtype."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from ..models import LoadedModel

__all__ = ["library_versions", "model_document", "model_meta"]

_LIBRARIES = ("torch", "transformers", "nnsight", "numpy")


def model_document(model: LoadedModel) -> dict[str, Any]:
    """The model as every JSON document names it."""
    return {
        "ref": model.ref,
        "revision": model.revision,
        "family": model.family,
        "n_layers": model.n_layers,
        "device": model.device,
        "dtype": model.dtype,
        "fingerprint": model.fingerprint,
    }


def model_meta(model: LoadedModel) -> dict[str, Any]:
    """The part of a run's description that its model and this machine's libraries give."""
    return {"model": model_document(model), "versions": library_versions()}


def library_versions() -> dict[str, str]:
    """By name, the versions of the libraries that numbers depend on."""
    return {name: version(name) for name in _LIBRARIES}
