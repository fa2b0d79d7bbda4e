"""How long one generated example takes says how busy the machine is, so it decides no test."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("ripple", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ripple")
