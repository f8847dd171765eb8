"""YOLO's layout: label files, data.yaml, sidecars."""
