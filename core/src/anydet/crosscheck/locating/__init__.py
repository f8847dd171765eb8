"""Which step of a prediction is the first one at which two adapters differ, and what would make them equal."""
