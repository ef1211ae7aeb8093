"""The Published page: the paper's figures beside one's own."""
