"""The form of the Patch page: which model, which prompt, and a few examples to start from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ..model_form import model_chooser, number_settings
from ..state import DEVICES, DTYPES, PatchInputs

__all__ = ["PatchForm", "patch_form"]

DEFAULT_INSTRUCTION = "Given an animal, state whether or not it can fly. Print 'yes' or 'no'."
DEFAULT_TASK, DEFAULT_NOUN = "can_fly", "owl"
DEFAULT_QUERY = "Animal: owl. Answer:"

_EXAMPLE, _EXAMPLE_AT, _EXAMPLE_ROUND = "example", "example place", "example round"


@dataclass(frozen=True)
class PatchForm:
    """What the form asks for, and the place where the self-check's verdict goes."""

    inputs: PatchInputs
    badge: DeltaGenerator
    options: dict[str, tuple[str, ...]]
    """What the form's choosers offer, by URL parameter."""


def patch_form() -> PatchForm:
    """Draw the form and read it."""
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            chosen = model_chooser()
            badge = st.container(width="content")
            _examples()
        instruction, query, answer = _texts()
        with st.expander("More settings: filler, chat template, device, number format", icon=":material/tune:"):
            settings = _settings()
    options = chosen.options | {"device": DEVICES, "dtype": DTYPES, "chat": ("true", "false")}
    return PatchForm(
        PatchInputs(chosen.family, chosen.stage, chosen.ref, instruction, query, answer, **settings), badge, options
    )


def _examples() -> None:
    """A chooser that fills the three texts from a task, and two buttons that vary them."""
    from ivcore.prompts.tasks import load_task, task_names

    typed = st.session_state.get(_EXAMPLE_ROUND, 0) or {"instruction", "query"} & st.query_params.keys()
    if _example_key() not in st.session_state and not typed:
        st.session_state[_example_key()] = DEFAULT_TASK
        st.session_state[_EXAMPLE_AT] = (load_task(DEFAULT_TASK).queries.index(DEFAULT_NOUN), 0)
    st.selectbox(
        "Start from an example",
        task_names(),
        index=None,
        key=_example_key(),
        placeholder=f"{len(task_names())} tasks to choose from",
        format_func=lambda name: load_task(name).instruction,
        on_change=_take_example,
        width=335,
    )
    chosen = st.session_state.get(_example_key()) is not None
    st.button("Another query", icon=":material/casino:", on_click=_vary, args=(1, 0), disabled=not chosen)
    st.button("Another wording", icon=":material/translate:", on_click=_vary, args=(0, 1), disabled=not chosen)


def _example_key() -> str:
    """The chooser is a new one once own text was typed. Were the old one emptied instead, a browser that does not know
    it yet would send the example again with the next text, and what was typed would be lost.
    """
    return f"{_EXAMPLE} {st.session_state.get(_EXAMPLE_ROUND, 0)}"


def _take_example() -> None:
    st.session_state[_EXAMPLE_AT] = (0, 0)
    _vary(0, 0)


def _vary(queries: int, wordings: int) -> None:
    """Move on by so many queries and paraphrases of the chosen example."""
    from ivcore.prompts.tasks import load_task, query_text

    name = st.session_state.get(_example_key())
    if name is None:
        return
    task = load_task(name)
    query, wording = st.session_state.get(_EXAMPLE_AT, (0, 0))
    query, wording = (query + queries) % len(task.queries), (wording + wordings) % len(task.paraphrases)
    st.session_state[_EXAMPLE_AT] = (query, wording)
    st.session_state["instruction"] = task.paraphrases[wording]
    st.session_state["query"] = query_text(task.field, task.queries[query])
    st.session_state["answer"] = task.answers[query]


def _texts() -> tuple[str, str, str]:
    wide, middle, narrow = st.columns([5, 4, 3])
    instruction = wide.text_input(
        "Instruction",
        DEFAULT_INSTRUCTION,
        key="instruction",
        bind="query-params",
        on_change=_own_text,
        help="What the model is told to do. Its vector is read at the last token of this text.",
    )
    query = middle.text_input(
        "Query",
        DEFAULT_QUERY,
        key="query",
        bind="query-params",
        on_change=_own_text,
        help="What the instruction is about, ending where the answer should start.",
    )
    answer = narrow.text_input(
        "Expected answer",
        key="answer",
        bind="query-params",
        placeholder="the model’s own top answer",
        help="Whose rank is measured. Left empty: the token that the model puts first when it reads the full prompt.",
    )
    return instruction or "", query or "", answer or ""


def _own_text() -> None:
    """The texts are no longer those of the chosen example."""
    if st.session_state.get(_example_key()) is not None:
        st.session_state[_EXAMPLE_ROUND] = st.session_state.get(_EXAMPLE_ROUND, 0) + 1


def _settings() -> dict[str, Any]:
    """Filler, device, number format and chat, by the names that ``PatchInputs`` has for them."""
    left, right = st.columns([1, 2])
    filler = left.text_input(
        "Filler",
        "bos",
        key="filler",
        bind="query-params",
        help="The token that stands where the instruction stood: bos for the tokenizer's own start (or end) token, "
        "or any text of exactly one token.",
    )
    with right:
        device, dtype = number_settings()
    chat = st.toggle(
        "Wrap the prompt in the model's chat template",
        key="chat",
        bind="query-params",
        help="For models trained on conversations. Instruction and query become one message of the user.",
    )
    return {"filler": filler or "", "device": device, "dtype": dtype, "chat": chat}
