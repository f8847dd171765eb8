"""Which step of a prediction is the first one at which two adapters differ."""
