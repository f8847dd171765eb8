"""What a run writes down: console, metrics files, trackers."""
