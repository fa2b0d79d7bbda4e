"""``python -m ripple.surfaces.reference``: write the generated reference pages of this checkout."""

from __future__ import annotations

from ripple.stack.root import project_root
from ripple.surfaces.reference import write


def main() -> None:
    """Write them and say which changed."""
    changed = write(project_root())
    print("\n".join(str(file) for file in changed) or "every page is as it should be")


if __name__ == "__main__":
    main()
