"""What adapters of torchvision's detection models have in common."""
