"""Training: one loop, one run contract, any torch model. Needs the extra ``anydet[torch]``."""
