"""The population stability index: 0 where nothing changed, more the further histograms differ."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from project.inference.drift.psi import psi

counts = st.integers(0, 10**6)
histograms = (
    st.lists(st.tuples(counts, counts), min_size=1, max_size=30)
    .map(lambda pairs: tuple(zip(*pairs, strict=True)))
    .filter(lambda pair: any(pair[0]) and any(pair[1]))
)


@given(histograms, st.randoms())
def test_it_is_a_symmetric_divergence(pair, dice):
    """Never negative, 0 between equals, the same both ways round and in any order of bins."""
    value = psi(*pair)
    assert value >= -1e-12
    assert math.isfinite(value)
    assert psi(pair[0], pair[0]) == 0
    assert psi(*reversed(pair)) == pytest.approx(value, abs=1e-12)
    bins = list(zip(*pair, strict=True))
    dice.shuffle(bins)
    assert psi(*zip(*bins, strict=True)) == pytest.approx(value, abs=1e-9)


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=30), st.integers(2, 1000))
def test_it_compares_shares_and_not_counts(expected, times):
    """A busy hour is like a quiet one."""
    assert psi(expected, [count * times for count in expected]) == pytest.approx(0, abs=1e-9)


@given(st.integers(0, 99), st.integers(1, 100))
def test_it_grows_as_more_moves_from_one_bin_to_the_other(moved, more):
    """Of two hundred in two bins."""
    assume(moved + more <= 100)
    less, further = ([100 - n, 100 + n] for n in (moved, moved + more))
    assert psi([100, 100], less) < psi([100, 100], further)


def test_an_example_done_by_hand():
    """Half and half became three quarters and one."""
    assert psi([2, 2], [3, 1]) == pytest.approx(0.25 * math.log(1.5) - 0.25 * math.log(0.5))


def test_an_empty_bin_counts_as_half_a_sample():
    """So that one sample more or less changes little."""
    assert psi([10, 0], [10, 0]) == 0
    assert psi([10, 0.5], [10, 0]) == psi([10, 0], [10, 0])
    assert psi([100, 0], [100, 1]) < 0.01


def test_histograms_of_other_bins_are_a_bug():
    """And not silently cut to the shorter."""
    with pytest.raises(ValueError, match="zip"):
        psi([1, 2], [1])
