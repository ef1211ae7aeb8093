"""The Paths page: from the form to the graph of paths, the exact flow, two instructions, and a whole task."""
