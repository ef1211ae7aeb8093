"""``python -m benchmarks`` (``make bench``): so far the benchmark of patching, with its options."""

from __future__ import annotations

from benchmarks.patch import main

if __name__ == "__main__":
    main()
