"""What ``anydet diagnose`` checks before a model is trained."""
