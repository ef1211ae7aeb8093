"""Start the app with engine and default model in memory: ``python -m ui [streamlit's own options]``.

``streamlit run app.py`` works as well, but its first visitor waits for what is done here before the server opens.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path


def main() -> None:
    """Warm up, then hand over to Streamlit's own command line."""
    print("Loading the engine, a few seconds.", flush=True)
    _warm_up()
    from streamlit.web import cli

    app = Path(__file__).resolve().parents[1] / "app.py"
    sys.argv = ["streamlit", "run", str(app), *sys.argv[1:]]
    cli.main(prog_name="streamlit")


def _warm_up() -> None:
    """Fill the pages' caches; Streamlit's remark that no server runs yet is left out."""
    remarks = logging.getLogger("streamlit.runtime.caching.cache_data_api")
    remarks.disabled = True
    from .calls import warm
    from .model_form import DEFAULT_MODEL

    warm(DEFAULT_MODEL)
    remarks.disabled = False


if __name__ == "__main__":
    main()
