"""diagnosis: what keeps a model from learning, each finding with what was measured and what to do."""
