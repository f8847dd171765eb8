"""Exports of annotation tools: CVAT, Label Studio, Supervisely, FiftyOne."""
