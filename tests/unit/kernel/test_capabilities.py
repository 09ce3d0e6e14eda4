"""Names and bits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corten.kernel import capabilities


def test_known_numbers() -> None:
    assert capabilities.bit("CAP_CHOWN") == 1
    assert capabilities.bit("CAP_SYS_ADMIN") == 1 << 21
    assert capabilities.bit("CAP_CHECKPOINT_RESTORE") == 1 << 40
    with pytest.raises(ValueError, match="CAP_NONE"):
        capabilities.bit("CAP_NONE")


@given(st.sets(st.sampled_from(capabilities.NAMES)))
def test_names_and_mask_are_inverse(names: set[str]) -> None:
    assert set(capabilities.names(capabilities.mask(names))) == names
