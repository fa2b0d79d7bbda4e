"""Running a system's smoke test: everything it needs in one sandbox without network, and what came of it."""

from ripple.supervisor.smoke.outside import Smoker
from ripple.supervisor.smoke.task import SmokeResult, StepResult

__all__ = ["SmokeResult", "Smoker", "StepResult"]
