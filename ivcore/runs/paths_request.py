"""What a trace of paths asks for: which prompts, from which sources, and what of it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..errors import InputError, quote
from ..paths import MAX_RANK, SURROGATES

__all__ = ["ANALYSIS", "SOURCES", "PathsRequest", "covers", "paths_request", "source_positions", "sources_cover"]

ANALYSIS = "paths"
_VERSION = 1
"""Raised when the same request would give other numbers than before."""

SOURCES = ("t_inst", "from_t_inst", "from_before", "all")
"""Names for sources: T_inst alone, T_inst and what follows it, the same with the token before T_inst, every position;
else positions such as ``8,9``. Each holds those before it.
"""


@dataclass(frozen=True)
class PathsRequest:
    """What is traced, apart from the model."""

    task: str
    """A name for people; bundled tasks under their own, else empty."""
    instruction: str
    items: tuple[tuple[str, str], ...]
    """(query text as it stands in the prompt, answer), in order."""
    top_k: int
    sources: str = "t_inst"
    """One of ``SOURCES``, or positions such as ``8,9``."""
    max_rank: int = MAX_RANK
    surrogate: str = "exact"
    n_listed: int = 1
    """The high-ranking paths of so many samples, from the first, are kept."""
    max_listed: int | None = None
    """Of each source of these so many, those with the highest logits; None for all."""
    t_inst: int | None = None
    """Where T_inst is taken to be; None for the instruction's last token."""
    seed: int = 0
    """Which chose the items; recorded, so that they can be chosen again."""

    def document(self, dtype: str) -> dict[str, Any]:
        """The canonical request."""
        fields = asdict(self) | {"items": [list(item) for item in self.items]}
        return {"analysis": ANALYSIS, "version": _VERSION, "dtype": dtype, **fields}


def paths_request(
    instruction: str,
    items: Sequence[tuple[str, str]],
    top_k: int,
    *,
    task: str = "",
    sources: str = "t_inst",
    max_rank: int = MAX_RANK,
    surrogate: str = "exact",
    n_listed: int = 1,
    max_listed: int | None = None,
    t_inst: int | None = None,
    seed: int = 0,
) -> PathsRequest:
    """Trace these prompts; what depends on the model is checked when it runs.

    Raises:
        InputError: no items, or a setting out of range.
    """
    if not items:
        raise InputError("No prompt was given; give a query and its answer.")
    if top_k < 1 or max_rank < 1 or n_listed < 0:
        raise InputError(
            f"k = {top_k}, rank {max_rank} and {n_listed} samples listed were asked for; ranks and k begin "
            "at 1, the number of samples at 0."
        )
    if surrogate not in SURROGATES:
        raise InputError(f"Unknown surrogate {quote(surrogate)}; choose one of {', '.join(SURROGATES)}.")
    source_positions(sources, 0, 1, check=False)
    kept = min(n_listed, len(items))
    return PathsRequest(
        task, instruction, tuple(items), top_k, sources.strip(), max_rank, surrogate, kept, max_listed, t_inst, seed
    )


def source_positions(sources: str, t_inst: int, n_tokens: int, *, check: bool = True) -> tuple[int, ...]:
    """The positions that ``sources`` names in a prompt, ascending.

    ``check``: also refuse those that the prompt does not have.

    Raises:
        InputError: it names none.
    """
    text = sources.strip()
    named = {
        "t_inst": range(t_inst, t_inst + 1),
        "from_t_inst": range(t_inst, n_tokens),
        "from_before": range(max(0, t_inst - 1), n_tokens),
        "all": range(n_tokens),
    }
    if text in named:
        return tuple(named[text])
    try:
        found = sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise InputError(
            f"The sources {quote(sources)} are no positions; give {', '.join(SOURCES)} or numbers such as 8,9."
        ) from None
    if check and not 0 <= found[0] <= found[-1] < n_tokens:
        wrong = found[0] if found[0] < 0 else found[-1]
        raise InputError(
            f"The source {quote(str(wrong), 12)[1:-1]} is not a position of the prompt; choose 0 to {n_tokens - 1}."
        )
    return tuple(found)


def covers(have: PathsRequest, wanted: PathsRequest) -> bool:
    """Whether a run of ``have`` says at least what ``wanted`` asks for."""
    same = replace(have, sources=wanted.sources, n_listed=wanted.n_listed, max_listed=wanted.max_listed)
    if replace(same, task=wanted.task, seed=wanted.seed) != wanted:  # the prompts count, not how they are called
        return False
    if not sources_cover(have.sources, wanted.sources):
        return False
    enough = have.max_listed is None or (wanted.max_listed is not None and have.max_listed >= wanted.max_listed)
    return wanted.n_listed == 0 or (have.n_listed >= wanted.n_listed and enough)


def sources_cover(have: str, wanted: str) -> bool:
    """Whether all sources of ``wanted`` are among those of ``have``, in any prompt."""
    if have in SOURCES and wanted in SOURCES:
        return SOURCES.index(have) >= SOURCES.index(wanted)
    return have in ("all", wanted)
