"""Experiment trackers of a training, beside its metrics files."""

from __future__ import annotations

import msgspec

from anydet.trackers import Say, TrackedRun, Trackers, open_trackers, tracker_names
from anydet.training.run import Run


def trackers_of(run: Run, say: Say) -> Trackers:
    """Start the trackers of ``log_with``, which write into the run's folder.

    Args:
        run: its ``log_with``, ``project``, settings, options and folder.
        say: called with notes for people.

    Raises:
        TrackerError: a tracker's package is missing, or the tracker does not start.
        OptionError: there is no tracker of that name.
    """
    root = run.paths.root
    settings = {**msgspec.structs.asdict(run.settings), **run.options, "adapter": run.adapter}
    shown = TrackedRun(root.name, run.settings.project, root, root / "tensorboard", settings)
    return open_trackers(tracker_names(run.settings.log_with), shown, say)
