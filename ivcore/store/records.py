"""``run.json`` and its files: what a finished run says of itself, and the proof that it is what was written.

1. ``seal``, ``unseal``: a JSON document that carries the SHA-256 of its own canonical text.
2. ``open_run``: a run by its description alone; ``verify``: every checksum too.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from numpy.typing import NDArray

from ..errors import DamagedRunError, StoreError
from .arrays import MAX_BYTES, unpack
from .files import Damage, is_folder, read_file
from .keys import canonical, plain

__all__ = ["ARRAYS", "Run", "checksum", "describe", "open_run", "reading", "seal", "unseal", "verify"]

ARRAYS = "arrays.npz"
MAX_JSON = 32 * 2**20
"""A run.json may have so many bytes."""

_FORMAT = 1
_DESCRIPTION = "run.json"
_OWN = ("format", "key", "request", "created", "files", "sha256")
"""Names in run.json that the store itself gives."""
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Run:
    """A finished run whose description is sound."""

    key: str
    """64 hexadecimal digits."""
    folder: Path
    request: dict[str, Any]
    """As JSON gives it back: lists for tuples."""
    meta: dict[str, Any]
    """What was said of its making, with ``created`` (ISO 8601, UTC), ``seconds`` (wall time of its blocks) and
    ``files`` (SHA-256 by name)."""
    bundled: bool
    """Whether it came with the program."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Its arrays by name, once their checksum holds. Raises DamagedRunError, StoreError."""
        with reading(self.key, self.bundled):
            return unpack(_read_checked(self, ARRAYS))


@contextmanager
def reading(key: str, bundled: bool) -> Iterator[None]:
    """Turn Damage into DamagedRunError, and what the system says into StoreError."""
    cure = (
        "restore its folder from where the program came" if bundled else "compute it again, or remove it by 'cache gc'"
    )
    try:
        yield
    except Damage as err:
        raise DamagedRunError(f"The run {key[:12]} is damaged: {err}; {cure}.") from err
    except OSError as err:
        reason = err.strerror or type(err).__name__
        raise StoreError(f"The run {key[:12]} cannot be read ({reason}); see to the rights of its folder.") from err


def checksum(data: bytes) -> str:
    """SHA-256 as hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def seal(document: Mapping[str, Any]) -> bytes:
    """``document`` as JSON with its own checksum in it.

    Raises:
        TypeError, ValueError: it is not plain JSON (see ``canonical``).
        StoreError: it has more than MAX_JSON bytes.
    """
    content = plain(document)
    content["sha256"] = checksum(canonical(content).encode("ascii"))
    data = (json.dumps(content, indent=1, allow_nan=False) + "\n").encode("ascii")
    if len(data) > MAX_JSON:
        raise StoreError(
            f"The request takes {len(data):,} bytes, and {MAX_JSON:,} can be kept; ask for fewer or shorter samples."
        )
    return data


def unseal(data: bytes, name: str) -> dict[str, Any]:
    """The document in ``data``, without its checksum. Raises Damage, naming the file ``name``."""
    try:
        document = json.loads(data, parse_constant=_refuse)
        if not isinstance(document, dict):
            raise ValueError("no object")
        stated = document.pop("sha256", None)
        actual = checksum(canonical(document).encode("ascii"))
    except (ValueError, RecursionError) as err:
        raise Damage(f"{name} is no JSON document of a run") from err
    if stated != actual:
        raise Damage(f"{name} is not as it was written")
    return document


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def describe(
    key: str, request: Mapping[str, Any], meta: Mapping[str, Any], created: str, files: Mapping[str, str]
) -> bytes:
    """The content of run.json. Raises as ``seal``, and ValueError where ``meta`` gives a name that is the store's."""
    if taken := [name for name in _OWN if name in meta]:
        raise ValueError(f"'{taken[0]}' is given by the store; leave it out of meta.")
    own = {"format": _FORMAT, "key": key, "created": created, "request": request}
    return seal({**own, **meta, "files": files})


def open_run(folder: Path, *, bundled: bool) -> Run:
    """The run in ``folder`` by its run.json alone; the other files are only looked for.

    Raises:
        DamagedRunError: run.json is not what was written.
        StoreError: it cannot be read, or is of a later version of this program.
    """
    key = folder.name
    with reading(key, bundled):
        if not is_folder(folder):
            raise Damage("it is a link or no folder")
        document = unseal(read_file(folder / _DESCRIPTION, MAX_JSON), _DESCRIPTION)
        if (version := document.pop("format", None)) != _FORMAT:
            raise StoreError(
                f"The run {key[:12]} has format {version!r}, and this program reads {_FORMAT}; take a later version."
            )
        return _run(folder, document, bundled)


def _run(folder: Path, document: dict[str, Any], bundled: bool) -> Run:
    if document.pop("key", None) != folder.name:
        raise Damage("its folder has the name of another run")
    request = document.pop("request", None)
    if not isinstance(request, dict):
        raise Damage("run.json holds no request")
    _check_created(document.get("created"))
    _check_files(document.get("files"))
    return Run(folder.name, folder, request, document, bundled)


def _check_created(created: object) -> None:
    try:
        datetime.fromisoformat(created if isinstance(created, str) else "")
    except ValueError:
        raise Damage("run.json does not say when it was made") from None


def _check_files(files: object) -> None:
    if not isinstance(files, dict) or ARRAYS not in files:
        raise Damage(f"run.json names no {ARRAYS}")
    for name, digest in files.items():
        if _FILE.fullmatch(name) is None:
            raise Damage("run.json names a file that would lie outside its folder")
        if not isinstance(digest, str) or _SHA256.fullmatch(digest) is None:
            raise Damage(f"run.json gives no checksum of {name}")


def verify(run: Run, *, unpacked: bool = False) -> Run:
    """``run`` itself once all its files have the checksums stated; with ``unpacked``, its arrays can be read too.

    Raises:
        DamagedRunError: a file is missing, changed, a link or unreadable as arrays.
        StoreError: the system does not let it be read.
    """
    with reading(run.key, run.bundled):
        for name in run.meta["files"]:
            data = _read_checked(run, name)
            if unpacked and name == ARRAYS:
                unpack(data)
    return run


def _read_checked(run: Run, name: str) -> bytes:
    data = read_file(run.folder / name, MAX_BYTES)
    if checksum(data) != run.meta["files"][name]:
        raise Damage(f"{name} is not as it was written")
    return data
