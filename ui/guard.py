"""Where errors cross into the page: one clear sentence each, once, and never a traceback."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from .text import markdown

__all__ = ["guarded", "say_error"]

_LOG = logging.getLogger(__name__)


@contextmanager
def guarded() -> Iterator[None]:
    """Show any error of the block as one sentence and end the page there; what the form holds stays.

    Errors of the engine carry a message for the user.  Anything else is a fault of the program: it is logged whole
    and the page says so without details.
    """
    try:
        yield
    except Exception as err:
        if not _is_for_the_user(err):
            _LOG.exception("The page failed")
            err = RuntimeError(
                "Something went wrong inside the app; what you typed is kept. Change an input or reload the page; "
                "the server's log has the details."
            )
        say_error(err)
        st.stop()


def say_error(err: Exception) -> None:
    """The error's message as literal text."""
    st.error(markdown(err), icon=":material/error:")


def _is_for_the_user(err: Exception) -> bool:
    from ivcore.errors import ExplorerError

    return isinstance(err, ExplorerError)
