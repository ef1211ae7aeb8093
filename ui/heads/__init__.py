"""The Heads page: which heads the paths use, and whether the instruction chooses them."""
