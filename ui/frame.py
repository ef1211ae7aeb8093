"""The frame that every page shares: headline above, caption with each result, reading help, and the foot.

The foot holds what makes a result reproducible: permalink, downloads, and the command line for the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from .navigation import in_frame
from .text import html, markdown
from .under_way import page_begins

if TYPE_CHECKING:
    from ivcore.models import LoadedModel

__all__ = ["Download", "foot", "header", "model_caption", "run_facts"]


@dataclass(frozen=True)
class Download:
    """One file to offer; its content is made when it is asked for."""

    label: str
    file_name: str
    mime: str
    make: Callable[[], str]


def header(title: str, line: str) -> None:
    """The page begins: its name, and the one line that says what it shows and why that matters."""
    in_frame()
    page_begins()
    st.html(Path(__file__).with_name("style.css"))
    st.html('<div class="iv"><p class="iv-app">Instruction Vector Explorer</p></div>')
    st.title(title, anchor=False)
    st.html(f'<div class="iv"><p class="iv-lead">{html(line)}</p></div>')


def model_caption(loaded: LoadedModel, *facts: str) -> None:
    """What a result was measured on."""
    revision = f"revision {loaded.revision[:12]}" if loaded.revision else "local files"
    parts = [
        loaded.ref,
        f"{loaded.family}, {loaded.n_layers} layers",
        revision,
        f"fingerprint {loaded.fingerprint[:12]}",
    ]
    st.caption(markdown(" · ".join([*parts, loaded.device, loaded.dtype, *facts])))


def run_facts(model: Mapping[str, Any]) -> list[str]:
    """The same of a model as a finished run describes it."""
    revision = f"revision {str(model['revision'])[:12]}" if model.get("revision") else "local files"
    return [
        str(model["ref"]),
        f"{model['family']}, {model['n_layers']} layers",
        revision,
        f"fingerprint {str(model['fingerprint'])[:12]}",
        str(model["device"]),
        str(model["dtype"]),
    ]


def foot(
    help_text: str,
    link: str,
    downloads: Sequence[Download],
    commands: Sequence[str],
    *,
    commands_note: str = "prints the same numbers",
) -> None:
    """Reading help, permalink, downloads and, where there are any, commands; ``commands_note`` says what they do."""
    with st.expander("How to read this", icon=":material/menu_book:"):
        st.markdown(help_text)
    with st.container(border=True):
        st.markdown("**Keep this result**")
        with st.container(horizontal=True):
            for offer in downloads:
                st.download_button(
                    offer.label,
                    offer.make,
                    offer.file_name,
                    offer.mime,
                    on_click="ignore",
                    icon=":material/download:",
                    key=f"download {offer.file_name}",
                )
        if link:
            st.caption("Permalink: opens this page with these inputs")
            st.code(link, language=None, wrap_lines=True)
        else:
            st.caption("No permalink, since your own file cannot be part of an address.")
        if commands:
            st.caption(f"Command line: {commands_note}")
            st.code("\n".join(commands), language=None, wrap_lines=True)
