"""``python -m benchmarks``: see ``sweep``."""

from __future__ import annotations

from benchmarks.sweep import main

if __name__ == "__main__":
    main()
