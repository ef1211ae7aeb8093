"""The Patch page: one prompt, its tokens, the map of layers."""
