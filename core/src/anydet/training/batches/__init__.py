"""Records to augmented samples to batches, the same whatever the number of workers."""
