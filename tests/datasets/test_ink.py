import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pynn.datasets.ink import pack, unpack
from pynn.errors import DataError


def images(count=3, seed=0):
    rng = np.random.default_rng(seed)
    return np.where(rng.random((count, 8, 5)) < 0.6, 0, rng.integers(1, 256, (count, 8, 5))).astype(np.uint8)


@given(st.integers(0, 4), st.integers(0, 5), st.integers(0, 3), st.integers(0, 2**32 - 1))
def test_every_image_comes_back(count, groups, width, seed):
    some = np.random.default_rng(seed).integers(0, 256, (count, 4 * groups, width)).astype(np.uint8)
    back = unpack(pack(some), some.shape)
    assert back.dtype == np.uint8 and back.flags.writeable
    np.testing.assert_array_equal(back, some)


@pytest.mark.parametrize("shape", [(4, 8, 5), (2, 8, 5), (3, 4, 5), (3, 8, 50)])
def test_another_shape_is_an_error(shape):
    with pytest.raises(DataError, match="no packed images of shape"):
        unpack(pack(images()), shape)


def test_any_damage_is_an_error():
    good = pack(images())
    tiles = zlib.compress(bytes([81] * 30))
    for bad in (b"", good[:-1], good + b"\0", good[:20] + bytes([good[20] ^ 255]) + good[21:], tiles + good):
        with pytest.raises(DataError, match=r"\[ink\]"):
            unpack(bad, (3, 8, 5))
