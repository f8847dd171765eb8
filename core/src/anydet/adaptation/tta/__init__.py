"""Test-time augmentation: ways of looking at an image, and how their results become one."""
