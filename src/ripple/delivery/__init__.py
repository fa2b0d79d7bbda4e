"""Environments, releases, gates, canary analysis, promotion and rollback."""
