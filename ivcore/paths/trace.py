"""One prompt's paths from chosen sources to the answer, and how much of the answer's logit they carry."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from ..errors import AnswerError, InputError, quote
from ..models import LoadedModel
from .edges import Edges, top_k_edges
from .flow import Flow, answer_flow, receive
from .forecast import MAX_PATHS, Forecast, check_forecast, forecast
from .linearise import FrozenNetwork, linearise
from .readout import path_states
from .released import RELEASED_EPS, released_step
from .search import Found, Step, exact_step, search

__all__ = ["MAX_RANK", "MEMORY_BUDGET", "SURROGATES", "SourceTrace", "Trace", "Tracer"]

SURROGATES = ("exact", "released")
"""As defined, or as the code released with arXiv 2602.07930 computes it."""

MAX_RANK = 100
"""A path is high-ranking if the answer's rank in its logits is at most this."""

MEMORY_BUDGET = 2 * 2**30
"""Bytes beside the weights, unless told otherwise."""
_SMALLEST = 1e-6
"""A share of less than this many logits is not defined."""


@dataclass(frozen=True)
class SourceTrace:
    """The paths of one source, and what they carry; logits are the answer's."""

    position: int
    found: Found
    logit_all: float | None
    """What this source gives over all paths there are, every position attended: the exact flow. None as released."""

    @property
    def logit_listed(self) -> float:
        """Summed over the high-ranking paths."""
        return float(self.found.logits.sum())

    @property
    def coverage(self) -> float | None:
        """Share of the logit of the paths followed that the high-ranking ones carry; below 0 or above 1 where others
        cancel it; None where there is nothing to share.
        """
        return _share(self.logit_listed, self.found.logit_sum)

    @property
    def coverage_of_all(self) -> float | None:
        """The same as a share of ``logit_all``."""
        return _share(self.logit_listed, self.logit_all)


@dataclass(frozen=True)
class Trace:
    """What was traced in one prompt."""

    sources: tuple[SourceTrace, ...]
    answer_logit: float
    """The model's own, before soft-capping."""
    from_biases: float
    """The part of it that no token brings: biases."""
    completeness_error: float
    """Largest difference, in logits, between all paths with all biases and the model's logits."""


class Tracer:
    """Paths in one prompt: frozen once, then traced from as many sources, and for as many answers, as wanted."""

    def __init__(self, model: LoadedModel, ids: Sequence[int], *, top_k: int, surrogate: str = "exact") -> None:
        """
        Args:
            model: takes its own lock for the forward pass.
            ids: the full prompt's tokens; the answer is read after the last.
            top_k: positions that each head attends to.
            surrogate: one of ``SURROGATES``.

        Raises:
            InputError: the surrogate is unknown, or cannot be had for this model or k; k is out of range.
            PromptError: no tokens, or more than the model takes.
            UnknownFamilyError: the model cannot be written as a linear network.
        """
        if surrogate not in SURROGATES:
            raise InputError(f"Unknown surrogate {quote(surrogate)}; choose one of {', '.join(SURROGATES)}.")
        self.network, self.exact = model.network, surrogate == "exact"
        self.frozen: FrozenNetwork = linearise(model, ids)
        self.edges: Edges = top_k_edges(self.frozen.attention, top_k)
        if not self.exact and (top_k != 1 or any(block.parallel for block in self.frozen.blocks)):
            raise InputError(
                f"As released, paths follow each head's one most attended position, so k = 1 and not {top_k}, in "
                "models whose MLP comes after attention; lower k, or take the exact surrogate."
            )
        self._step: Step = exact_step if self.exact else released_step
        self._followed = self.frozen if self.exact else linearise(model, ids, eps=RELEASED_EPS)

    def forecast(self, sources: Sequence[int]) -> Forecast:
        """The work of tracing from these sources. Raises InputError where one is not a position of the prompt."""
        return forecast(self.network, self.edges, self._checked(sources))

    def trace(
        self,
        sources: Sequence[int],
        answer: int,
        *,
        max_rank: int = MAX_RANK,
        max_paths: int = MAX_PATHS,
        memory_budget: int = MEMORY_BUDGET,
        on_share: Callable[[float], None] | None = None,
    ) -> Trace:
        """Follow all paths from ``sources`` to the last position.

        Args:
            sources: positions, each once.
            answer: token id.
            max_rank: the highest rank of the answer at which a path is listed.
            max_paths: more are refused before any is followed.
            memory_budget: bytes beside the weights.
            on_share: told the share of the work done, 0 to 1; it may raise to stop.

        Raises:
            InputError: a source is no position of the prompt or repeated; too many paths; max_rank is below 1.
            AnswerError: no such token.
        """
        if max_rank < 1:
            raise InputError(f"The rank {max_rank} was asked for; ranks begin at 1.")
        receptive = receive(self.frozen, self._checked_answer(answer))
        check_forecast(self.forecast(sources), max_paths)
        found = search(
            self._followed,
            self.edges,
            sources,
            answer,
            max_rank=max_rank,
            memory_budget=memory_budget,
            step=self._step,
            on_share=on_share,
        )
        given = [float(receptive.from_tokens[source]) if self.exact else None for source in sources]
        return Trace(
            tuple(SourceTrace(*each) for each in zip(sources, found, given, strict=True)),
            answer_logit=float(self.frozen.logits[answer]),
            from_biases=receptive.from_biases,
            completeness_error=self.frozen.completeness_error(),
        )

    def flow(self, source: int, answer: int) -> Flow:
        """The exact flow from one source to the answer, whatever k. Raises InputError, AnswerError."""
        (position,) = self._checked([source])
        return answer_flow(self.frozen, receive(self.frozen, self._checked_answer(answer)), position)

    def path_states(self, positions: Sequence[int]) -> Tensor:
        """A path's vector at its source and after each block: tensor of shape (n_layers + 1, d_model)."""
        return path_states(self._followed, self.edges, positions, self._step)

    def _checked(self, sources: Sequence[int]) -> Sequence[int]:
        last = self.frozen.n_tokens - 1
        for number, source in enumerate(sources):
            if not 0 <= source <= last:
                raise InputError(f"The source {source} is not a position of the prompt; choose 0 to {last}.")
            if source in sources[:number]:
                raise InputError(f"The source {source} is named twice; name each once.")
        if not sources:
            raise InputError(f"No source was chosen; choose positions from 0 to {last}.")
        return sources

    def _checked_answer(self, answer: int) -> int:
        size = len(self.frozen.unembedding.weight)
        if not 0 <= answer < size:
            raise AnswerError(f"The answer token {answer} is not in the vocabulary; choose an id from 0 to {size - 1}.")
        return answer


def _share(part: float, whole: float | None) -> float | None:
    return None if whole is None or abs(whole) < _SMALLEST else part / whole
