"""Models of any runtime: images to inputs, outputs to predictions. Needs the extra ``anydet[runtime]``."""
