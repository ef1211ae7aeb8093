"""Every error that a user can cause or cure, as one tree.

::

    ExplorerError
    ├── InputError               what was asked cannot be done
    │   ├── PromptError          instruction, query, filler, or a position in them
    │   ├── AnswerError          the expected answer
    │   ├── LayerError           the layers to patch
    │   └── DataError            a task or paraphrase file
    ├── ModelError               the model cannot be used
    │   ├── ModelNotFoundError   no such bundled name, folder or hub repository
    │   ├── UnknownFamilyError   an architecture this package has no row for, or one that wants its own code run
    │   ├── DamagedModelError    files missing, cut short, contradictory, or not safetensors
    │   └── OfflineError         the hub cannot be reached
    ├── JudgeError               the language model that judges answers cannot be reached or refuses
    └── StoreError               a finished run cannot be kept or read
        ├── DamagedRunError      what is on disk is not what was written
        ├── StoreFullError       nothing more can be written: disk full, or read-only
        └── RunBusyError         another process or thread computes this run now

A message is one sentence or two on one line: the value, what was expected, and the remedy.  On the command line
every ``ExplorerError`` ends with exit code 2; any other exception is a bug and ends with 1.
"""

from __future__ import annotations

__all__ = [
    "AnswerError",
    "DamagedModelError",
    "DamagedRunError",
    "DataError",
    "ExplorerError",
    "InputError",
    "JudgeError",
    "LayerError",
    "ModelError",
    "ModelNotFoundError",
    "OfflineError",
    "PromptError",
    "RunBusyError",
    "StoreError",
    "StoreFullError",
    "UnknownFamilyError",
    "quote",
]


class ExplorerError(Exception):
    """Base of all errors with a message meant for the user."""


class InputError(ExplorerError):
    """What was asked cannot be done with this model or at all."""


class PromptError(InputError):
    """The instruction, the query, the filler or a position in the prompt cannot be used."""


class AnswerError(InputError):
    """The expected answer cannot be turned into a token."""


class LayerError(InputError):
    """The layers to patch do not exist, repeat, or are too many."""


class DataError(InputError):
    """A task or paraphrase file cannot be read as one."""


class ModelError(ExplorerError):
    """The model cannot be found, loaded or trusted."""


class ModelNotFoundError(ModelError):
    """There is no bundled model, folder or hub repository of that name."""


class UnknownFamilyError(ModelError):
    """The model's architecture has no row in the family table, or asks for code of its own to be run."""


class DamagedModelError(ModelError):
    """The model's files are missing, cut short, contradict one another, or are not safetensors."""


class OfflineError(ModelError):
    """The hub cannot be reached and what is asked for is not in the local cache."""


class JudgeError(ExplorerError):
    """The language model that judges answers cannot be reached, or refuses every question alike."""


class StoreError(ExplorerError):
    """A finished run cannot be kept, or is there and cannot be read."""


class DamagedRunError(StoreError):
    """What is on disk under a run's name is not what was written: never shown, to be computed again."""


class StoreFullError(StoreError):
    """Nothing more can be written: the disk or the quota is full, or the folder is read-only."""


class RunBusyError(StoreError):
    """Another process or thread computes this very run now."""


def quote(text: str, limit: int = 60) -> str:
    """Return ``text`` in quotes, cut to ``limit`` characters and with unprintable ones escaped, fit for one line."""
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    return "'" + "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown) + "'"
