"""What stands behind the averages: errors, confusions, thresholds, calibration, intervals."""
