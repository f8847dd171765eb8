"""Two files of predictions, or two adapters, that should give the same: whether they do, and what differs."""
