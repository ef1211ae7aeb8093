"""A repository on the Hugging Face hub as a local folder: configuration first, weights only once that is accepted.

1. ``config.json`` alone, and whether its family is known.
2. What is still to be fetched, whether the caller accepts the model, and whether the disk has room for it.
3. The rest, while the caller's own thread tells how far it is.  Files that are whole stay in the hub's cache.
"""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from huggingface_hub import constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    DryRunError,
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ..errors import DamagedModelError, InputError, ModelError, ModelNotFoundError, OfflineError, quote
from .folder import check_config, read_json
from .memory import size_text
from .progress import Teller

__all__ = ["Accept", "fetch"]

Accept = Callable[[Path], None]

_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*(/[A-Za-z0-9][A-Za-z0-9._+-]*)*(?<!\.)")
_SECONDS = 0.2
"""Between two words on how far a download is."""

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


def fetch(hub_id: str, revision: str | None, tell: Teller, accept: Accept) -> Path:
    """Download what is needed of ``hub_id`` (or find it in the local cache) and return the snapshot's folder.

    The folder's name is the commit.

    Args:
        hub_id: as ``find_place`` gives it.
        revision: branch, tag or commit; None for the newest.
        tell: told how far the download is.
        accept: called with the folder of config.json before anything else is fetched; may raise ModelError.

    Raises:
        ModelNotFoundError: no such repository or revision, or no access to it.
        OfflineError: the hub cannot be reached and the cache does not have the model.
        DamagedModelError: the repository has no config.json, or the download failed midway.
        UnknownFamilyError: the architecture is unknown; nothing but config.json was downloaded.
        ModelError: the disk has no room for it, or ``accept`` raised that; only config.json was downloaded.
        InputError: ``revision`` cannot be the name of one.
    """
    _check_revision(revision)
    try:
        config = hf_hub_download(hub_id, "config.json", revision=revision)
        check_config(read_json(Path(config)))
        return _download(hub_id, revision, tell, lambda: accept(Path(config).parent))
    except ModelError:
        raise
    except Exception as err:
        if err is tell.raised:
            raise
        raise _explain(err, hub_id, revision) from err


def _check_revision(revision: str | None) -> None:
    """The hub's client makes a path in its cache of it, so only what git itself takes may pass."""
    if revision is not None and (not _REVISION.fullmatch(revision) or ".." in revision):
        raise InputError(
            f"{quote(revision)} is not the name of a branch, tag or commit; leave the revision out for the newest."
        )


def _download(hub_id: str, revision: str | None, tell: Teller, accept: Callable[[], None]) -> Path:
    """Fetch what the cache lacks, in a thread of its own, which ends soon after the caller wishes to stop."""
    options: dict[str, Any] = {"revision": revision, "allow_patterns": _FILES}
    try:
        planned = [file.file_size for file in snapshot_download(hub_id, dry_run=True, **options) if file.will_download]
    except DryRunError:  # the hub cannot be reached; the cache may do
        return Path(snapshot_download(hub_id, **options))
    total = None if None in planned else sum(size for size in planned if size)
    if total == 0:
        return Path(snapshot_download(hub_id, **options))
    accept()
    _check_disk(hub_id, total or 0)
    count = _Count()
    bar: Any = count.bar
    worker = ThreadPoolExecutor(1, "download")
    try:
        folder: Future[str] = worker.submit(lambda: snapshot_download(hub_id, tqdm_class=bar, **options))
        while not folder.done():
            tell("download", count.done(total), total)
            wait([folder], timeout=_SECONDS)
        path = Path(folder.result())
    except BaseException:
        count.stopped = True
        raise
    finally:
        # Not waited for: a file that comes by the hub's own fast protocol cannot be stopped before its end.
        worker.shutdown(wait=False, cancel_futures=True)
    tell("download", count.done(total), total)
    return path


class _Stopped(Exception):
    """Ends the threads of the hub's client."""


class _Count:
    """The bytes that the hub's client reports to its progress bars, of which none is drawn."""

    def __init__(self) -> None:
        self.stopped = False
        self._bars: list[_Bar] = []

    def bar(self, *_: Any, **options: Any) -> _Bar:
        """What the client takes for the class of its bars: it makes two that count bytes, and one that counts files."""
        made = _Bar(self, options.get("total"))
        if options.get("unit") == "B":
            self._bars.append(made)
        return made

    def done(self, total: int | None) -> int:
        """Bytes received, or written where that is more: what comes packed or twice makes the two differ."""
        most = max((int(bar.n) for bar in self._bars), default=0)
        return most if total is None else min(most, total)


class _Bar:
    """As much of tqdm as the hub's client uses."""

    def __init__(self, count: _Count, total: float | None) -> None:
        self._count, self.n, self.total = count, 0.0, total
        self.format_dict: dict[str, Any] = {}

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, n: float | None = 1) -> None:
        """So much more is done."""
        self.n += n or 0
        self.refresh()

    def refresh(self) -> None:
        """Raises _Stopped once the download is to stop; each file calls it as it begins, so no further one does."""
        if self._count.stopped:
            raise _Stopped

    def set_description(self, *_: Any, **__: Any) -> None:
        """Draws nothing."""

    set_description_str = set_postfix_str = close = set_description


def _check_disk(hub_id: str, needed: int) -> None:
    """Raises ModelError where the disk of the hub's cache has less room than that."""
    cache = Path(constants.HF_HUB_CACHE).expanduser().resolve()
    place = next(folder for folder in (cache, *cache.parents) if folder.is_dir())
    if needed > (free := shutil.disk_usage(place).free):
        raise ModelError(
            f"{quote(hub_id)} takes {size_text(needed)} more on the disk but {size_text(free)} are free; free some or "
            "set HF_HOME to another disk."
        )


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
    if _is_disk_full(err):
        return DamagedModelError(
            f"There is no space left on the disk for {shown}; free some or set HF_HOME to another disk."
        )
    if isinstance(err, OSError) and err.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return ModelError(
            f"The hub's cache {quote(constants.HF_HUB_CACHE)} cannot be written; set HF_HOME to a folder that can."
        )
    return _offline(shown)


def _is_disk_full(err: Exception) -> bool:
    """Also where the hub's fast protocol says so: its errors have no number."""
    return getattr(err, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "no space left" in str(err).lower()


def _offline(shown: str) -> OfflineError:
    return OfflineError(
        f"The hub cannot be reached and {shown} is not in the local cache; connect to the network once, or use a "
        "bundled model such as ivy-sft."
    )


def _status(err: HfHubHTTPError) -> str:
    response = getattr(err, "response", None)
    return f"HTTP {response.status_code}" if response is not None else type(err).__name__
