"""Model files of adapters: written, held against the model that they are of, and as a gate of training."""
