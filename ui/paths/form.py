"""The form of the Paths page: one prompt or a whole task, on which model, and which paths are followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from ..model_form import DEFAULT_STAGE, model_chooser, number_settings, stages_chooser
from ..state import DEVICES, DTYPES, OTHER
from ..sweep.state import OWN_FILE
from ..task_file import own_task
from ..text import count, markdown
from .state import AT, BEGIN, EMIT, MAX_K, MAX_LIMIT, ONE, SURROGATES, TASK, VIEWS, PathsInputs
from .texts import Texts, first_texts, task_of, vary

if TYPE_CHECKING:
    from ivcore.prompts.tasks import Task

__all__ = ["DEFAULT_TASK", "PathsForm", "paths_form"]

DEFAULT_TASK = "adj_ant"
SAMPLES = 100
_LONGEST = 400
"""Characters of the field for positions."""


@dataclass(frozen=True)
class PathsForm:
    """What the form asks for, and the place where the self-check's verdict goes."""

    inputs: PathsInputs
    badge: DeltaGenerator
    options: dict[str, Sequence[object]]
    """What the form's choosers offer, by URL parameter."""
    task: Task | None = None
    """For a whole task, once it is known."""
    missing: str | None = None
    """What has to be typed first."""


def paths_form() -> PathsForm:
    """Draw the form and read it. Raises InputError where what was typed cannot be used."""
    with st.container(border=True):
        view = st.segmented_control(
            "Follow the paths of",
            VIEWS,
            default=ONE,
            required=True,
            key="look",
            bind="query-params",
            help="One prompt: its paths as a graph. A whole task: which token sends them out, over many queries.",
        )
        return _task_form() if view == TASK else _one_form()


def _one_form() -> PathsForm:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        chosen = model_chooser()
        badge = st.container(width="content")
        _examples()
    texts = _texts()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        top_k = _k_chooser()
        begin = st.segmented_control(
            "Paths begin at",
            (*BEGIN, AT),
            default="T_inst",
            required=True,
            key="begin",
            bind="query-params",
            help="T_inst is the instruction’s last token. Each token more has paths of its own.",
        )
        sources = _positions() if begin == AT else BEGIN.get(begin or "T_inst", "t_inst")
        max_rank = _rank_chooser()
    surrogate, device, dtype = _settings()
    stages = ((chosen.stage, chosen.ref),)
    inputs = PathsInputs(
        chosen.family,
        stages,
        chosen.stage,
        chosen.ref,
        ONE,
        texts.instruction,
        texts.query,
        texts.answer,
        top_k=top_k,
        sources=sources,
        max_rank=max_rank,
        surrogate=surrogate,
        device=device,
        dtype=dtype,
    )
    options: dict[str, Sequence[object]] = {**chosen.options, **_shared_options(), "begin": (*BEGIN, AT)}
    return PathsForm(inputs, badge, options, missing=_missing(inputs, begin == AT))


def _missing(inputs: PathsInputs, at_positions: bool) -> str | None:
    """What has to be typed before anything can be traced."""
    if inputs.family == OTHER and not inputs.ref:
        return "Type the folder or the Hugging Face id of a model above."
    if not inputs.answer.strip():
        return "Type the answer whose rank and logit the paths are followed to."
    if at_positions and not inputs.sources.strip():
        return "Type the positions where paths begin, such as 8,9."
    return None


def _examples() -> None:
    """A list that fills the three texts, and two buttons that vary them."""
    from ivcore.prompts.tasks import load_task, task_names

    with st.popover("Examples", icon=":material/lightbulb:"):
        for name in task_names():
            label = markdown(load_task(name).instruction)
            st.button(label, key=f"paths example {name}", type="tertiary", on_click=_take, args=(name,))
    known = task_of(_text("instruction", first_texts(DEFAULT_TASK).instruction)) is not None
    st.button("Another query", icon=":material/casino:", on_click=_vary, args=(1, 0), disabled=not known)
    st.button("Another wording", icon=":material/translate:", on_click=_vary, args=(0, 1), disabled=not known)


def _take(task: str) -> None:
    _put(first_texts(task))


def _vary(queries: int, wordings: int) -> None:
    """Move on by so many queries and wordings."""
    first = first_texts(DEFAULT_TASK)
    now = Texts(_text("instruction", first.instruction), _text("query", first.query), _text("answer", first.answer))
    if (varied := vary(now, queries, wordings)) is not None:
        _put(varied)


def _put(texts: Texts) -> None:
    st.session_state["instruction"] = texts.instruction
    st.session_state["query"], st.session_state["answer"] = texts.query, texts.answer


def _text(key: str, default: str) -> str:
    """What a field holds, also before it is drawn."""
    return str(st.session_state.get(key, st.query_params.get(key, default)))


def _texts() -> Texts:
    """The three texts; an empty answer is filled in where the task is known."""
    first = first_texts(DEFAULT_TASK)
    wide, middle, narrow = st.columns([5, 4, 3])
    instruction = wide.text_input(
        "Instruction", first.instruction, key="instruction", bind="query-params", help="What the model is told to do."
    )
    query = middle.text_input(
        "Query",
        first.query,
        key="query",
        bind="query-params",
        help="What the instruction is about, ending where the answer should start.",
    )
    known = vary(Texts(instruction or "", query or "", ""), 0, 0)
    answer = narrow.text_input(
        "Answer",
        first.answer,
        key="answer",
        bind="query-params",
        placeholder=known.answer if known is not None and known.query == query else "the right answer",
        help="Paths are followed to the logit of its first token.",
    )
    if not (answer or "").strip() and known is not None and known.query == query:
        answer = known.answer
    return Texts(instruction or "", query or "", answer or "")


def _k_chooser() -> int:
    return int(
        st.number_input(
            "k",
            1,
            MAX_K,
            1,
            key="k",
            bind="query-params",
            width=130,
            help="How many tokens each head follows: those that it attends to most. Paths grow quickly with k.",
        )
    )


def _rank_chooser() -> int:
    return int(
        st.number_input(
            "High-ranking up to",
            1,
            MAX_LIMIT,
            100,
            key="rank",
            bind="query-params",
            width=160,
            help="A path ranks high if the answer is among so many first tokens of what it alone says.",
        )
    )


def _positions() -> str:
    """Positions, separated by commas. Raises InputError where the text is too long to be any."""
    from ivcore.errors import InputError

    text = st.text_input(
        "Positions", key="at", bind="query-params", placeholder="8,9", width=130, help="0 is the first token."
    )
    if len(text or "") > _LONGEST or any(len(part.strip()) > 9 for part in (text or "").split(",")):
        raise InputError("The sources are no positions of a prompt; give numbers such as 8,9.")
    return text or ""


def _settings() -> tuple[str, str, str]:
    """Surrogate, device and number format."""
    with st.expander("More settings: as defined or as released, device, number format", icon=":material/tune:"):
        left, right = st.columns([1, 2])
        with left:
            surrogate = st.segmented_control(
                "An edge’s map",
                tuple(SURROGATES),
                default="as defined",
                required=True,
                key="surrogate",
                bind="query-params",
                help="as defined: by the edge’s heads, as strongly as they attend. as released: as the code published "
                "with the paper computes it, with all heads at full strength whatever they attend to; k = 1 only.",
            )
        with right:
            device, dtype = number_settings()
    return SURROGATES.get(surrogate or "as defined", "exact"), device, dtype


def _shared_options() -> dict[str, Sequence[object]]:
    return {
        "look": VIEWS,
        "k": range(1, MAX_K + 1),
        "rank": range(1, MAX_LIMIT + 1),
        "surrogate": tuple(SURROGATES),
        "device": DEVICES,
        "dtype": DTYPES,
    }


def _task_form() -> PathsForm:
    from ivcore.prompts.tasks import all_task_names

    names = (*all_task_names(), OWN_FILE)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        family, stages, families = stages_chooser()
        badge = st.container(width="content")
        name = st.selectbox("Task", names, index=names.index(DEFAULT_TASK), key="task", bind="query-params", width=220)
        stage = _stage_chooser(family, stages)
    task = _task(name)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        top_k = _k_chooser()
        emit = st.segmented_control(
            "Paths begin at", tuple(EMIT), default="every token", required=True, key="emit", bind="query-params"
        )
        max_rank = _rank_chooser()
        samples = _samples_chooser(task)
    surrogate, device, dtype = _settings()
    inputs = PathsInputs(
        family,
        stages,
        stage,
        dict(stages).get(stage, ""),
        TASK,
        task=name,
        samples=samples,
        top_k=top_k,
        sources=EMIT.get(emit or "every token", "all"),
        max_rank=max_rank,
        surrogate=surrogate,
        device=device,
        dtype=dtype,
    )
    options: dict[str, Sequence[object]] = {"model": families, "task": names, **_shared_options(), "emit": tuple(EMIT)}
    options |= {"samples": range(1, len(task.queries) + 1)} if task else {}
    options |= {"stage": [stage for stage, _ in stages]} if family != OTHER else {}
    missing = None if stages else "Type the folder or the Hugging Face id of a model above."
    return PathsForm(inputs, badge, options, task, missing)


def _stage_chooser(family: str, stages: Sequence[tuple[str, str]]) -> str:
    """Which stage is looked at closely; no question where there is only one."""
    names = tuple(stage for stage, _ in stages)
    if family == OTHER or not names:
        return names[0] if names else ""
    default = DEFAULT_STAGE if DEFAULT_STAGE in names else names[0]
    stage = st.segmented_control(
        "Stage of training", names, default=default, required=True, key="stage", bind="query-params"
    )
    return stage if stage in names else default


def _task(name: str) -> Task | None:
    """The chosen task, with a line that says what it asks."""
    from ivcore.prompts.tasks import load_task

    if name == OWN_FILE:
        own = own_task()
        task = None if own is None else own.task
    else:
        task = load_task(name)
    if task is not None:
        example = f"{task.instruction} {task.prompt_text(task.queries[0])} {task.answers[0]}"
        st.caption(f"{count(len(task.queries))} queries, such as: {markdown(example)}")
    return task


def _samples_chooser(task: Task | None) -> int:
    """How many queries; at most as many as the task has."""
    most = len(set(task.queries)) if task else SAMPLES
    if isinstance(asked := st.session_state.get("samples"), int) and asked > most:
        st.session_state["samples"] = most
    return int(
        st.number_input(
            f"Samples (up to {count(most)})",
            1,
            most,
            min(SAMPLES, most),
            key="samples",
            bind="query-params",
            width=150,
            help="Queries drawn from the task without repetition, always the same for the same number.",
        )
    )
