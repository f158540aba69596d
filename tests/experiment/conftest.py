"""What the tests of experiments share."""

from collections.abc import Iterator

import pytest
from tiny import be_quick


@pytest.fixture(scope="module")
def quick() -> Iterator[None]:
    """The tiny backbone is known, and labels are made in this process."""
    with pytest.MonkeyPatch.context() as patch:
        be_quick(patch)
        yield
