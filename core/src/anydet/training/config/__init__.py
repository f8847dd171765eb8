"""Keys of a run: their types and defaults, and where each value comes from."""
