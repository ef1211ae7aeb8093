"""The Stages page: a grid of triangles."""
