"""The repository itself: order of imports, pinned versions, the image for a hosted lab."""
