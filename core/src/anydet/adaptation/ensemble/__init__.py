"""Predictions files of several models that become one."""
