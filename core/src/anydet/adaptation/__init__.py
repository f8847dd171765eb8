"""Test-time augmentation (numpy) and test-time training (torch)."""
