"""ivy: three small teaching models in OLMo-2's architecture, and the code that makes them from nothing.

May import ``ivcore``; ``ivcore`` never imports ``ivy`` (it finds the checkpoints as folders). Training needs
``requirements-train.txt``.
"""
