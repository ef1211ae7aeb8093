"""Getting the engine into memory: torch, transformers and the charts.

Their imports take seconds and make many objects that live on.  Python's garbage collector walks these again and again
while they are made, which costs a fifth of the time, so it is told to wait.
"""

from __future__ import annotations

import gc
import importlib
import sys

__all__ = ["import_engine"]

_MODULES = ("ivcore.check", "altair", "pandas")
_MANY = 200_000


def import_engine() -> None:
    """Import what the pages need, once."""
    if all(name in sys.modules for name in _MODULES):
        return
    before = gc.get_threshold()
    gc.set_threshold(_MANY, *before[1:])
    try:
        for name in _MODULES:
            importlib.import_module(name)
    finally:
        gc.set_threshold(*before)
