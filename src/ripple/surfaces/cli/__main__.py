"""``python -m ripple.surfaces.cli``."""

from ripple.surfaces.cli import main

main()
