"""Starts, probes, restarts and stops what a profile names; survives its own death without leaving an orphan."""
