"""From keys to a run that trains: its folder, data and notes."""
