"""One text for one request, and the name of a run that follows from it."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from ..errors import InputError, quote

__all__ = ["canonical", "check_key", "is_key", "plain", "run_key"]

_KEY = re.compile(r"[0-9a-f]{64}")


def canonical(request: object) -> str:
    """``request`` as JSON in ASCII: keys sorted, tuples as lists, no space; equal requests give equal texts.

    Raises:
        TypeError: something in it is not a str, int, float, bool, None, list, tuple or dict with str keys.
        ValueError: a number in it is infinite or not a number.
    """
    return json.dumps(plain(request), sort_keys=True, separators=(",", ":"), allow_nan=False)


def plain(value: object) -> Any:
    """``value`` as what JSON gives back: new lists for lists and tuples, new dicts. Raises as ``canonical``."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"A request cannot hold the number {value}; leave it out or put None.")
        return float(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        if unnamed := [name for name in value if not isinstance(name, str)]:
            raise TypeError(f"A request's keys are text, and {unnamed[0]!r} is none.")
        return {str(name): plain(item) for name, item in value.items()}
    raise TypeError(f"A request cannot hold a {type(value).__name__}; use text, numbers, None, lists and dicts.")


def run_key(request: object, fingerprint: str) -> str:
    """The name of the run of ``request`` on the model with this fingerprint: 64 hexadecimal digits (SHA-256).

    Raises:
        TypeError, ValueError: as ``canonical``.
    """
    text = canonical({"request": request, "fingerprint": fingerprint})
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def is_key(name: str) -> bool:
    """Whether ``name`` could be a run's."""
    return _KEY.fullmatch(name) is not None


def check_key(name: str) -> str:
    """``name`` itself. Raises InputError where it cannot be a run's: it may come from a permalink."""
    if not is_key(name):
        raise InputError(
            f"{quote(name)} is no name of a run, which has 64 hexadecimal digits; 'cache ls' lists what is there."
        )
    return name
