"""The Task sweep page: from the form to the result of a finished sweep."""
