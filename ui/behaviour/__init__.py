"""The Behaviour page: shares, every answer, a free prompt, a judge."""
