"""Methods that keep what was learned before while something new is: what is minimized beside the task."""
