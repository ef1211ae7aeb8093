"""A repository on the Hugging Face hub as a local folder: configuration first, weights only once that is accepted."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ..errors import DamagedModelError, ModelError, ModelNotFoundError, OfflineError, quote
from .folder import check_config, read_json

__all__ = ["fetch"]

_FILES = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "model.safetensors",
    "model-*.safetensors",
    "model.safetensors.index.json",
]


def fetch(hub_id: str, revision: str | None) -> Path:
    """Download what is needed of ``hub_id`` (or find it in the local cache) and return the snapshot's folder.

    The folder's name is the commit.

    Raises:
        ModelNotFoundError: no such repository or revision, or no access to it.
        OfflineError: the hub cannot be reached and the cache does not have the model.
        DamagedModelError: the repository has no config.json, or the download failed midway.
        UnknownFamilyError: the architecture is unknown; nothing but config.json was downloaded.
    """
    try:
        config = hf_hub_download(hub_id, "config.json", revision=revision)
        check_config(read_json(Path(config)))
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=_FILES))
    except ModelError:
        raise
    except Exception as err:
        raise _explain(err, hub_id, revision) from err


def _explain(err: Exception, hub_id: str, revision: str | None) -> ModelError:
    """The error to show for what the hub's client raised; the order goes from special to general."""
    shown = quote(hub_id)
    if isinstance(err, GatedRepoError):
        return ModelNotFoundError(
            f"The hub gives {shown} only to those who accepted its terms; do that on its page and log in with "
            "'hf auth login'."
        )
    if isinstance(err, RevisionNotFoundError):
        return ModelNotFoundError(
            f"The hub has no revision {quote(str(revision))} of {shown}; leave the revision out for the newest."
        )
    if isinstance(err, RepositoryNotFoundError | HFValidationError):
        return ModelNotFoundError(
            f"The hub has no public model {shown}; check the spelling, or log in with 'hf auth login' if it is private."
        )
    if isinstance(err, LocalEntryNotFoundError | OfflineModeIsEnabled):
        return _offline(shown)
    if isinstance(err, EntryNotFoundError):
        return DamagedModelError(f"The hub repository {shown} has no config.json; choose one in transformers format.")
    if isinstance(err, HfHubHTTPError):
        return OfflineError(
            f"The hub answered {shown} with an error ({_status(err)}); try again later or use a bundled model."
        )
    if isinstance(err, OSError) and err.errno == 28:
        return DamagedModelError(
            f"There is no space left on the disk for {shown}; free some or set HF_HOME to another disk."
        )
    return _offline(shown)


def _offline(shown: str) -> OfflineError:
    return OfflineError(
        f"The hub cannot be reached and {shown} is not in the local cache; connect to the network once, or use a "
        "bundled model such as ivy-sft."
    )


def _status(err: HfHubHTTPError) -> str:
    response = getattr(err, "response", None)
    return f"HTTP {response.status_code}" if response is not None else type(err).__name__
