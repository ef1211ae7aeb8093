"""The form of the Patch page: which model, which prompt, and a few examples to start from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from . import calls
from .state import DEVICES, DTYPES, OTHER, PatchInputs
from .text import and_list, markdown

if TYPE_CHECKING:
    from ivcore.check import CheckReport

__all__ = ["DEFAULT_MODEL", "PatchForm", "agreed_to_download", "check_badge", "patch_form"]

DEFAULT_MODEL = "ivy-sft"
DEFAULT_STAGE = "SFT"
DEFAULT_INSTRUCTION = "Given an animal, state whether or not it can fly. Print 'yes' or 'no'."
DEFAULT_TASK, DEFAULT_NOUN = "can_fly", "owl"
DEFAULT_QUERY = "Animal: owl. Answer:"

_EXAMPLE, _EXAMPLE_AT, _AGREED = "example", "example place", "agreed to download"


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
            family, stage, ref, options = _model_chooser()
            badge = st.container(width="content")
            _examples()
        instruction, query, answer = _texts()
        with st.expander("More settings: filler, chat template, device, number format", icon=":material/tune:"):
            settings = _settings()
    options |= {"device": DEVICES, "dtype": DTYPES, "chat": ("true", "false")}
    return PatchForm(PatchInputs(family, stage, ref, instruction, query, answer, **settings), badge, options)


def agreed_to_download(ref: str) -> bool:
    """Offer to fetch a model that is not on this machine, and say what that costs."""
    if st.session_state.get(_AGREED) == ref:
        return True
    st.info(
        f"{markdown(ref)} is not on this machine yet. Its files, often several gigabytes, are fetched once from "
        "Hugging Face and kept.",
        icon=":material/cloud_download:",
    )
    if st.button("Fetch the model", icon=":material/download:"):
        st.session_state[_AGREED] = ref
        st.rerun()
    return False


def check_badge(place: DeltaGenerator, report: CheckReport) -> None:
    """The self-check's verdict; opened, it lists what was checked."""
    mark = ":green-badge[:material/verified: self-check passed]"
    if not report.passed:
        mark = ":red-badge[:material/gpp_bad: self-check failed]"
        names = and_list([_item_name(item.name) for item in report.items if not item.passed])
        st.error(
            f"This model fails its self-check ({markdown(names)}): do not trust the numbers below. Open the badge."
        )
    with place.popover(mark, type="tertiary"):
        st.markdown("**Before its numbers are shown, the model is checked on this machine.**")
        for item in report.items:
            sign = ":green[:material/check:]" if item.passed else ":red[:material/close:]"
            st.markdown(
                f"{sign} **{markdown(_item_name(item.name))}**: {markdown(item.explanation)}  \n"
                f":gray[deviation {item.value:.2g}, allowed {item.tolerance:.2g}]"
            )
        st.caption(markdown(f"Fingerprint {report.fingerprint[:16]}, checked in {report.seconds:.1f} s."))


def _item_name(name: str) -> str:
    return name.replace("_", " ")


def _model_chooser() -> tuple[str, str, str, dict[str, tuple[str, ...]]]:
    """Family, stage and the reference that the engine loads; and what was on offer."""
    with st.spinner("Starting the engine"):
        entries = calls.entries()
    families = (*dict.fromkeys(entry.group for entry in entries), OTHER)
    family = st.selectbox("Model", families, key="model", bind="query-params", width=165, format_func=_family_name)
    if family == OTHER:
        ref = st.text_input(
            "Folder or Hugging Face id",
            key="ref",
            bind="query-params",
            placeholder="/path/to/model or org/name",
            width=330,
            help="A local folder in Hugging Face format (safetensors), or a hub id, which is downloaded once.",
        )
        return family, "", ref.strip(), {"model": families}
    stages = {entry.stage: entry.name for entry in entries if entry.group == family}
    default = DEFAULT_STAGE if DEFAULT_STAGE in stages else next(iter(stages))
    stage = st.segmented_control(
        "Stage of training",
        tuple(stages),
        default=default,
        required=True,
        key="stage",
        bind="query-params",
        help="base: has only read text. SFT: then trained on instructions and answers. DPO: then on preferred answers.",
    )
    stage = stage if stage in stages else default
    return family, stage, stages[stage], {"model": families, "stage": tuple(stages)}


def _family_name(family: str) -> str:
    return f"{family} (bundled)" if family == "ivy" else family


def _examples() -> None:
    """A chooser that fills the three texts from a task, and two buttons that vary them."""
    from ivcore.prompts.tasks import load_task, task_names

    if _EXAMPLE not in st.session_state and not {"instruction", "query"} & st.query_params.keys():
        st.session_state[_EXAMPLE] = DEFAULT_TASK
        st.session_state[_EXAMPLE_AT] = (load_task(DEFAULT_TASK).queries.index(DEFAULT_NOUN), 0)
    st.selectbox(
        "Start from an example",
        task_names(),
        index=None,
        key=_EXAMPLE,
        placeholder=f"{len(task_names())} tasks to choose from",
        format_func=lambda name: load_task(name).instruction,
        on_change=_take_example,
        width=335,
    )
    chosen = st.session_state.get(_EXAMPLE) is not None
    st.button("Another query", icon=":material/casino:", on_click=_vary, args=(1, 0), disabled=not chosen)
    st.button("Another wording", icon=":material/translate:", on_click=_vary, args=(0, 1), disabled=not chosen)


def _take_example() -> None:
    st.session_state[_EXAMPLE_AT] = (0, 0)
    _vary(0, 0)


def _vary(queries: int, wordings: int) -> None:
    """Move on by so many queries and paraphrases of the chosen example."""
    from ivcore.prompts.tasks import load_task, query_text

    name = st.session_state.get(_EXAMPLE)
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
    st.session_state[_EXAMPLE] = None


def _settings() -> dict[str, Any]:
    """Filler, device, number format and chat, by the names that ``PatchInputs`` has for them."""
    left, middle, right = st.columns(3)
    filler = left.text_input(
        "Filler",
        "bos",
        key="filler",
        bind="query-params",
        help="The token that stands where the instruction stood: bos for the tokenizer's own start (or end) token, "
        "or any text of exactly one token.",
    )
    device = middle.selectbox(
        "Device", DEVICES, key="device", bind="query-params", help="auto takes a GPU where there is one."
    )
    dtype = right.selectbox(
        "Number format", DTYPES, key="dtype", bind="query-params", help="float64 is slowest and most exact."
    )
    chat = st.toggle(
        "Wrap the prompt in the model's chat template",
        key="chat",
        bind="query-params",
        help="For models trained on conversations. Instruction and query become one message of the user.",
    )
    return {"filler": filler or "", "device": device, "dtype": dtype, "chat": chat}
