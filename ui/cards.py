"""The measurement in words, as three cards (full prompt, target alone, patched), recovery, and the ten top tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .numbers import SetRow
from .state import METRIC_NAMES
from .text import count, decimal, html, layer_names, ordinal, percent, reciprocal, share, signed, visible

if TYPE_CHECKING:
    from ivcore.metrics import Metrics, TokenScore
    from ivcore.patching import PatchReport

__all__ = ["cards_html", "said_html", "tops_html", "tracks_html"]


_ZERO = 20.0
"""Where a recovery of zero stands on its bar, in percent of the width."""


def said_html(report: PatchReport, row: SetRow) -> str:
    """One or two sentences that say what the patch did."""
    word = f'<span class="answer mono">{html(visible(report.answer.token))}</span>'
    full, target = report.full.metrics, report.target.metrics
    first = report.target.top[0] if report.target.top else None
    behind = f", behind {_mono(first.token)}" if first and first.id != report.answer.id else ""
    start = (
        f"With the instruction, {word} ranks {_place(full.rank)}; with only the query {_place(target.rank)}{behind}."
    )
    if not row.layers:
        return _said(f"{start} Pick layers to write the instruction’s vector into.")
    vector = f'<span class="vector">instruction’s vector at {layer_names(row.layers)}</span>'
    if full.rank == target.rank and abs(full.logit - target.logit) < 1e-6:
        return _said(f"{start} The instruction changes nothing for this answer, so there is nothing to bring back.")
    return _said(f"{start} With the {vector} it ranks {_place(row.rank)}{_verdict(full, target, row)}")


def cards_html(report: PatchReport, row: SetRow, vocab_size: int) -> str:
    """The three measurements side by side."""
    full, target = report.full.metrics, report.target.metrics
    patched = f"vector at {layer_names(row.layers)}" if row.layers else "no layer chosen yet"
    return (
        '<div class="iv"><div class="iv-cards">'
        f"{_card('Full prompt', 'instruction and query', full, vocab_size)}"
        f"{_card('Target alone', 'filler and query', target, vocab_size)}"
        f"{_card('Patched', patched, row, vocab_size, 'patched')}"
        "</div></div>"
    )


def tracks_html(row: SetRow) -> str:
    """Recovery for each metric: how far the patch gets from target alone to full prompt."""
    lines = "".join(
        _track(METRIC_NAMES[name], value, row.effects[name], name) for name, value in row.recoveries.items()
    )
    ends = '<div class="head"><span>target alone</span><span>full prompt</span></div>'
    head = f'<div></div>{ends}<div class="head">recovery</div>'
    return f'<div class="iv"><div class="iv-tracks">{head}{lines}</div></div>'


def tops_html(report: PatchReport, row: SetRow, patched_top: Sequence[TokenScore]) -> str:
    """The ten top tokens of each prompt with their probabilities; the answer is marked, and added where it is lower."""
    answer, full, target = report.answer, report.full, report.target
    lists = (
        _top("Full prompt", full.top, answer.id, answer.token, full.metrics),
        _top("Target alone", target.top, answer.id, answer.token, target.metrics),
        _top("Patched", patched_top, answer.id, answer.token, row),
    )
    return f'<div class="iv"><div class="iv-tops">{"".join(lists)}</div></div>'


def _said(text: str) -> str:
    return f'<div class="iv"><p class="iv-said">{text}</p></div>'


def _mono(token: str) -> str:
    return f'<span class="mono">{html(visible(token))}</span>'


def _place(rank: int) -> str:
    return f"<b>{ordinal(rank)}</b>"


def _verdict(full: Metrics, target: Metrics, row: SetRow) -> str:
    """How the sentence about the patched rank ends."""
    recovered = row.recoveries["rr"]
    if recovered is None:
        logit = row.recoveries["logit"]
        return "." if logit is None else f"; its logit moves {share(logit)} of the way back."
    back = f"{share(recovered)} of what the instruction did for its reciprocal rank comes back"
    if full.rank > target.rank:
        return f". The instruction makes this answer less likely here; {share(recovered)} of that comes back."
    if row.rank > target.rank:
        return ", further down than without: the instruction does not come back from there. Try other layers."
    if recovered >= 0.995:
        return ": all that the instruction did for its rank comes back."
    return f": {back}." if recovered >= 0.5 else f": {back}. Try other layers."


def _card(name: str, note: str, measured: Metrics | SetRow, vocab_size: int, kind: str = "") -> str:
    numbers = (
        ("RR", reciprocal(measured.rr)),
        ("logit", decimal(measured.logit)),
        ("probability", percent(measured.prob)),
    )
    rows = "".join(f"<dt>{label}</dt><dd>{html(value)}</dd>" for label, value in numbers)
    return (
        f'<div class="iv-card {kind}"><h4>{name}</h4><p class="sub">{note}</p>'
        f'<p class="rank">{ordinal(measured.rank)}<small>of {count(vocab_size)} tokens</small></p><dl>{rows}</dl></div>'
    )


def _track(name: str, value: float | None, effect: float, metric: str) -> str:
    """One bar from zero (a fifth of the width) to the recovery; what is off the scale ends at its edge."""
    end = _ZERO + (100 - _ZERO) * min(max(value or 0.0, -_ZERO / (100 - _ZERO)), 1.0)
    left, width = min(end, _ZERO), abs(end - _ZERO)
    kind = "worse" if end < _ZERO else "better"
    return (
        f'<div>{name} <span class="faint">{signed(effect, 3 if metric == "rr" else 2)}</span></div>'
        f'<div class="iv-track"><i></i><span class="{kind}" style="left:{left:.1f}%;width:{width:.1f}%"></span></div>'
        f'<div class="value">{share(value)}</div>'
    )


def _top(name: str, top: Sequence[TokenScore], answer_id: int, token: str, measured: Metrics | SetRow) -> str:
    lines = [_line(score.token, score.prob, score.id == answer_id) for score in top]
    if all(score.id != answer_id for score in top):
        lines.append(f'<li class="gap">⋯ {ordinal(measured.rank)}:</li>')
        lines.append(_line(token, measured.prob, True))
    return f"<div><h5>{name}</h5><ol>{''.join(lines)}</ol></div>"


def _line(token: str, prob: float, is_answer: bool) -> str:
    return (
        f'<li class="{"answer" if is_answer else ""}"><s style="width:{100 * prob:.1f}%"></s>'
        f'<span class="mono">{html(visible(token))}</span><span class="p">{html(percent(prob))}</span></li>'
    )
