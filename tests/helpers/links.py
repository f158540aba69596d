"""Symbolic links, for which Windows wants a right that few users have."""

from pathlib import Path

import pytest


def linked(link: Path, target: Path) -> None:
    """Make a link, or skip the test where that is refused."""
    try:
        link.symlink_to(target)
    except OSError as error:
        pytest.skip(f"no symbolic links here: {error}")
