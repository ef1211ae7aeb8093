"""Two instructions, one query: the circuit selector made visible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from ..text import count, layer_names, markdown, percent, visible
from .charts import parting_chart
from .coverage import coverage_of, part_told
from .details import show_pick
from .files import pair_downloads
from .filters import drawn_chooser
from .graph import Node, pair_graph
from .kept import Paths
from .parting import Parting, parting
from .pick import Pick, edge_pick, node_pick
from .picture import Grid, draw_pair
from .run import Badge, stored_or_started
from .runs import Traced, request_of
from .state import MAX_DRAWN, PathsInputs
from .texts import Texts, items_of, sibling_of, task_of
from .view import View, show_with_picks

if TYPE_CHECKING:
    from ivcore.runs import PathsRequest

__all__ = ["show_pair"]


def show_pair(badge: Badge, inputs: PathsInputs, vocabulary: int | None) -> View:
    """Both traces from T_inst, one picture, and where they part."""
    st.subheader("Two instructions, one query", anchor=False)
    inputs = _second(inputs)
    options: dict[str, Sequence[object]] = {"drawn": range(1, MAX_DRAWN + 1)}
    if not inputs.instruction2 or not inputs.answer2:
        st.info("Type another instruction and its answer to the same query.", icon=":material/keyboard:")
        return View(inputs, (), options)
    first = stored_or_started(badge, inputs, _request(inputs, inputs.instruction, inputs.answer), "first of two")
    second = stored_or_started(badge, inputs, _request(inputs, inputs.instruction2, inputs.answer2), "second of two")
    if first is None or second is None:
        return View(inputs, (), options)
    if first.run.key == second.run.key:
        st.info("Both instructions are the same; type another one.", icon=":material/keyboard:")
        return View(inputs, (), options)
    names = _names(inputs)
    drawn = drawn_chooser("Paths drawn of each")
    kept = first.paths(), second.paths()
    t_inst = first.info.t_inst, second.info.t_inst
    found = parting(*kept, t_inst)
    _coverages(names, (first, second), vocabulary)
    st.markdown(_words(found, names, (first, second), kept))
    graph = pair_graph(kept[0].strongest(drawn), kept[1].strongest(drawn), t_inst)
    picture = draw_pair(graph, _grid(first, second), names)
    pick = None
    if graph.number_of_edges():
        picks = {one.name: one for one in (*map(node_pick, sorted(graph.nodes)), *map(_edge, sorted(graph.edges)))}
        options["pick"] = tuple(picks)
        pick = show_with_picks(picture, picks, "pair graph")
        sizes = [count(min(drawn, len(paths))) for paths in kept]
        st.caption(
            f"Drawn: the {sizes[0]} and {sizes[1]} paths with the largest logits. Columns count from each "
            "instruction’s last token; the tokens are those of the first prompt."
        )
    if pick is not None:
        _show_both(badge, inputs, pick, names, (first, second), kept)
    chart = parting_chart(found, names)
    st.altair_chart(chart, width="stretch", alt="In which layer the paths of one instruction leave those of the other")
    inputs = replace(inputs, drawn=drawn, pick=pick.name if pick else "")
    return View(inputs, pair_downloads(names, (first, second), kept, found, picture, graph), options)


def _edge(edge: tuple[Node, Node]) -> Pick:
    return edge_pick(*edge)


def _show_both(
    badge: Badge,
    inputs: PathsInputs,
    pick: Pick,
    names: tuple[str, str],
    both: tuple[Traced, Traced],
    kept: tuple[Paths, Paths],
) -> None:
    """What was picked, under each of the two instructions."""
    for place, name, one, paths in zip(st.columns(2), names, both, kept, strict=True):
        inst = one.info.t_inst
        there = Pick(tuple((row, at + inst) for row, at in pick.nodes))
        with place:
            st.caption(f"Under {markdown(name)}")
            if all(at <= one.info.t_last for _, at in there.nodes):
                show_pick(badge, inputs, one, there, paths, (inst,))


def _second(inputs: PathsInputs) -> PathsInputs:
    """The other instruction and its answer; left empty, those of the contrastive task."""
    sibling = sibling_of(Texts(inputs.instruction, inputs.query, inputs.answer))
    wide, narrow = st.columns([7, 3])
    instruction = wide.text_input(
        "Second instruction",
        key="instruction2",
        bind="query-params",
        placeholder=sibling.instruction if sibling else "another instruction for the same query",
        help="Left empty: the instruction of the task that asks something else of the same queries.",
    )
    answer = narrow.text_input(
        "Its answer", key="answer2", bind="query-params", placeholder=sibling.answer if sibling else "the right answer"
    )
    instruction, answer = (instruction or "").strip(), answer or ""
    if sibling is not None and instruction in ("", sibling.instruction):
        return replace(inputs, instruction2=sibling.instruction, answer2=answer if answer.strip() else sibling.answer)
    if not answer.strip() and (known := _known_answer(inputs, instruction)) is not None:
        answer = known
    return replace(inputs, instruction2=instruction, answer2=answer if answer.strip() else "")


def _known_answer(inputs: PathsInputs, instruction: str) -> str | None:
    task = task_of(instruction)
    return None if task is None else dict(items_of(task.name)).get(inputs.query)


def _request(inputs: PathsInputs, instruction: str, answer: str) -> PathsRequest:
    return request_of(replace(inputs, instruction=instruction, answer=answer, sources="t_inst"))


def _names(inputs: PathsInputs) -> tuple[str, str]:
    """Names of the two tasks where they have different ones."""
    first, second = task_of(inputs.instruction), task_of(inputs.instruction2)
    if first is None or second is None or first.name == second.name:
        return "first", "second"
    return first.name, second.name


def _coverages(names: tuple[str, str], both: tuple[Traced, Traced], vocabulary: int | None) -> None:
    """The figures of both, in a line each."""
    for name, one in zip(names, both, strict=True):
        found = coverage_of(one.run, one.rows, vocabulary)
        high = "not defined" if found.high is None else percent(found.high)
        chance = "" if found.chance is None else f" (by chance {percent(found.chance)})"
        st.markdown(
            f"**{markdown(name)}**: {count(found.n_high)} of {count(found.n_paths)} paths from T_inst rank "
            f"“{markdown(visible(one.info.answer))}” high, {high}{chance}. They carry {part_told(found.of_followed)} "
            f"of the logit of the paths followed and {part_told(found.of_all)} of that of all paths there are."
        )


def _words(found: Parting, names: tuple[str, str], both: tuple[Traced, Traced], kept: tuple[Paths, Paths]) -> str:
    """How many are shared, and where the others leave."""
    parts = [
        f"**{count(found.shared)}** high-ranking paths are shared, **{count(found.first_only)}** run only under "
        f"{markdown(names[0])} and **{count(found.second_only)}** only under {markdown(names[1])}."
    ]
    if found.shared:
        parts.append(f"Of the shared ones {count(found.same_heads)} are carried by the same heads in every layer.")
    if found.first_layer is not None:
        parts.append(f"The first to part do so in **{layer_names([found.first_layer])}**.")
    lengths = [one.info.t_last - one.info.t_inst for one in both]
    if lengths[0] != lengths[1]:
        parts.append("The two prompts have different numbers of tokens after T_inst, so no path can be shared.")
    for name, one, paths in zip(names, both, kept, strict=True):
        high = int(one.run.n_high_ranking[list(one.rows)].sum())
        if high > len(paths):
            parts.append(
                f"Of {markdown(name)} only the {count(len(paths))} with the largest logits of {count(high)} were kept "
                "and are compared."
            )
    return " ".join(parts)


def _grid(first: Traced, second: Traced) -> Grid:
    """Columns are offsets from T_inst; both prompts end at the same one, as long as they have the same query."""
    tokens: dict[int, str] = {}
    for one in (second, first):
        inst = one.info.t_inst
        tokens |= {at - inst: token for at, token in enumerate(one.info.tokens) if at >= inst}
    ends = [one.info.t_last - one.info.t_inst for one in (first, second)]
    answers = "/".join(one.info.answer.strip() for one in (first, second))
    return Grid(dict(sorted(tokens.items())), first.n_layers, 0, max(ends), answers, (0,))
