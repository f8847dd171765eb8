"""What a batch costs: terms that are plain functions, and the criterion that adds them up."""
