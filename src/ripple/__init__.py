"""Ripple: from an operator's words to production, with evidence at every step."""

__version__ = "0.1.0"
