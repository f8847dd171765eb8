"""adaptation/tta."""
