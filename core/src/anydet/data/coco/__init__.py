"""COCO annotation files: instances, keypoints, panoptic, semantic."""
