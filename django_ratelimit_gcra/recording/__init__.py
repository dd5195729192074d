"""The sink that keeps what was decided in the database, for reports, replays and the dashboard."""

from django_ratelimit_gcra.recording.recorder import Recorder

__all__ = ["Recorder", "recorder"]

recorder = Recorder()
"""This process's sink; it writes by itself once it is told of a decision."""
