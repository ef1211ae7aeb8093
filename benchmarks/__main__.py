"""``python -m benchmarks`` (``make bench``): every benchmark; so far patching. Options are those of ``benchmarks.patch``."""

from __future__ import annotations

from benchmarks.patch import main

if __name__ == "__main__":
    main()
