"""What the pages share: cached calls into the engine, charts, panels, session and URL keys.

Streamlit is used here, in ``app.py`` and in ``pages/`` only.  Importing this package imports no torch: the engine is
loaded inside the functions that need it, so that a page is on screen before the engine is in memory.
"""
