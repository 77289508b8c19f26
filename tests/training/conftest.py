"""What tests of the compiled operators share."""

import pytest

from ms_restore import runtime
from ms_restore.training.cpu_operators import Unavailable, library


@pytest.fixture(scope="module")
def compiled():
    """The library of compiled operators; tests are skipped where it cannot be made."""
    runtime.start("CPU")
    try:
        library.operators()
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def fresh():
    """Nothing kept from an earlier opening, before and after."""
    library.operators.cache_clear()
    yield
    library.operators.cache_clear()
