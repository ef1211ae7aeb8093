"""Documents to batches: several documents share a row, and none sees another.

Every document is trained on as if it stood alone at the start of a row: attention is causal and stays inside the
document (rotary positions are relative, so the place in the row does not matter). Rows are short because documents
are.

As a regulariser, DropAttention hides some (query, key) pairs of positions, in all heads and layers alike, so that no
token is the only one to carry what a later token needs. Source: Zehui et al. 2019, arXiv 1907.11065 (there for each
head on its own).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from transformers import PreTrainedTokenizerFast

from ivy.corpus import Document

ROW_TOKENS = 96
ROWS = 44
IGNORE = -100
_MOST_WAITING = 16
"""Documents that found no room open the next batch; a batch is closed when so many wait."""
_BLOCKED = -30_000.0
"""Added to the attention logits of pairs that may not see each other; exp of it is 0 in every dtype."""


@dataclass(frozen=True)
class Batch:
    """One step of training.

    ``ids``: (rows, tokens). ``mask``: (rows, 1, tokens, tokens), added to attention logits. ``positions``: (n,)
    indices into the flattened rows whose next token is trained; ``targets``: (n,) those next tokens, IGNORE where
    ``positions`` is padding.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    positions: torch.Tensor
    targets: torch.Tensor


@dataclass(frozen=True)
class TokenDocument:
    """``ids`` of a document and, for each, whether it is trained as a next token."""

    ids: list[int]
    trained: list[bool]


def tokenize(
    document: Document, tokenizer: PreTrainedTokenizerFast, *, answers_only: bool, open_with_end: bool
) -> TokenDocument:
    """Token ids of a document, closed by END, and which of them count for the loss.

    The END after an answer is part of the answer. ``open_with_end`` puts END in front, as where documents follow each
    other in a stream.
    """
    end = tokenizer.eos_token_id
    ids: list[int] = [end] if open_with_end else []
    trained = [False] * len(ids)
    for segment in document:
        piece = tokenizer.backend_tokenizer.encode(segment.text, add_special_tokens=False).ids
        ids += piece
        trained += [segment.is_target or not answers_only] * len(piece)
    closing = document[-1].is_target or not answers_only
    return TokenDocument([*ids, end], [*trained, closing])


def pack(
    documents: Iterator[Document],
    tokenizer: PreTrainedTokenizerFast,
    *,
    answers_only: bool,
    n_targets: int,
    seed: int,
    drop_attention: float = 0.0,
) -> Iterator[Batch]:
    """Batches without end.

    ``n_targets``: fixed number of trained positions a batch (a surplus is dropped, a lack is padded), so that a
    compiled step sees one shape only. ``drop_attention``: share of the pairs of positions hidden from each other in
    two of three rows.
    """
    rng = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    waiting: list[TokenDocument] = []
    while True:
        rows: list[list[TokenDocument]] = [[] for _ in range(ROWS)]
        room = [ROW_TOKENS] * ROWS
        queue, waiting = waiting, []
        while len(waiting) < _MOST_WAITING:
            document = (
                queue.pop()
                if queue
                else tokenize(next(documents), tokenizer, answers_only=answers_only, open_with_end=rng.random() < 0.4)
            )
            if len(document.ids) > ROW_TOKENS:
                continue
            fitting = [row for row in range(ROWS) if room[row] >= len(document.ids)]
            if not fitting:
                waiting.append(document)
                continue
            row = min(fitting, key=room.__getitem__)
            rows[row].append(document)
            room[row] -= len(document.ids)
        kept = torch.rand(ROWS, ROW_TOKENS, ROW_TOKENS, generator=generator) >= drop_attention
        kept[::3] = True
        yield _to_batch(rows, tokenizer.eos_token_id, n_targets, kept)


def _to_batch(rows: list[list[TokenDocument]], end: int, n_targets: int, kept: torch.Tensor) -> Batch:
    """``kept``: (rows, tokens, tokens), False where DropAttention hides the key (column) from the query (row)."""
    ids = torch.full((ROWS, ROW_TOKENS), end)
    owner = torch.full((ROWS, ROW_TOKENS), -1)
    trained = torch.zeros((ROWS, ROW_TOKENS), dtype=torch.bool)
    for r, documents in enumerate(rows):
        start = 0
        for number, document in enumerate(documents):
            stop = start + len(document.ids)
            ids[r, start:stop] = torch.tensor(document.ids)
            owner[r, start:stop] = number
            trained[r, start + 1 : stop] = torch.tensor(document.trained[1:])
            start = stop
    causal = torch.ones(ROW_TOKENS, ROW_TOKENS, dtype=torch.bool).tril()
    itself = torch.eye(ROW_TOKENS, dtype=torch.bool)
    visible = (owner[:, :, None] == owner[:, None, :]) & causal & (kept | itself)
    mask = torch.zeros(visible.shape).masked_fill_(~visible, _BLOCKED)[:, None]
    flat = trained.flatten().nonzero().squeeze(-1)[:n_targets]
    positions, targets = torch.zeros(n_targets, dtype=torch.long), torch.full((n_targets,), IGNORE)
    positions[: len(flat)], targets[: len(flat)] = flat - 1, ids.flatten()[flat]
    return Batch(ids, mask.to(torch.bfloat16), positions, targets)
