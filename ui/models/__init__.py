"""The Models page: which models there are, whether they fit, and whether they pass their self-check."""
