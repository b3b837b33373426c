from __future__ import annotations

import itertools
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import vector
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy import stats

from hepsilon.arrays import kernels, keys
from tests.helpers import strategies as sts

Array = npt.NDArray[Any]

RUN = LUMI = EVENT = st.integers(0, 2**64 - 1)


def events(offsets: Array) -> list[range]:
    return [range(a, b) for a, b in itertools.pairwise(offsets.tolist())]


def ordered_pairs(offsets: Array) -> list[tuple[int, int]]:
    return [pair for event in events(offsets) for pair in itertools.permutations(event, 2)]


def unordered_pairs(offsets: Array) -> list[tuple[int, int]]:
    return [pair for event in events(offsets) for pair in itertools.combinations(event, 2)]


def plain_delta_r(eta: Array, phi: Array, i: int, j: int) -> float:
    angle = np.angle(np.exp(1j * (phi[i] - phi[j])))
    return float(np.sqrt((eta[i] - eta[j]) ** 2 + angle**2))


# delta_phi


@given(phi=sts.flat_columns(st.floats(-50.0, 50.0), st.floats(-50.0, 50.0)))
def test_delta_phi_is_the_same_angle(phi: tuple[Array, ...]) -> None:
    _, phi1, phi2 = phi
    difference = kernels.delta_phi(phi1, phi2)
    np.testing.assert_allclose(np.exp(1j * difference), np.exp(1j * (phi1 - phi2)), atol=1e-13)


@given(angle=st.floats(-50.0, 50.0))
@example(angle=np.pi)
@example(angle=-np.pi)
@example(angle=3.0 * np.pi)
@example(angle=np.nextafter(-np.pi, -4.0))
@example(angle=np.nextafter(np.pi, 0.0))
def test_delta_phi_lies_in_its_half_open_interval(angle: float) -> None:
    (wrapped,) = kernels.delta_phi(np.array([angle]), np.array([0.0]))
    assert -np.pi <= wrapped < np.pi


def test_delta_phi_takes_float32_angles_in_double_precision() -> None:
    phi1, phi2 = np.array([3.1], np.float32), np.array([-3.1], np.float32)
    expected = np.float64(phi1) - np.float64(phi2) - 2.0 * np.pi
    np.testing.assert_allclose(kernels.delta_phi(phi1, phi2), expected, rtol=1e-14)


# delta R


@given(columns=sts.flat_columns(sts.ETA, sts.PHI))
def test_delta_r_to_all_is_that_of_all_ordered_pairs(columns: tuple[Array, ...]) -> None:
    offsets, eta, phi = columns
    expected = [plain_delta_r(eta, phi, i, j) for i, j in ordered_pairs(offsets)]
    np.testing.assert_allclose(kernels.delta_r_to_all(offsets, eta, phi), expected, atol=1e-12)


@given(columns=sts.flat_columns(sts.ETA, sts.PHI))
def test_delta_r_to_nearest_is_the_smallest_of_the_pairs(columns: tuple[Array, ...]) -> None:
    offsets, eta, phi = columns
    expected = np.full(eta.size, np.inf)
    for i, j in ordered_pairs(offsets):
        expected[i] = min(expected[i], plain_delta_r(eta, phi, i, j))
    nearest = kernels.delta_r_to_nearest(offsets, eta, phi)
    np.testing.assert_allclose(nearest, expected, atol=1e-12)


@given(columns=sts.flat_columns(sts.ETA, sts.PHI), radius=st.floats(0.0, 4.0))
def test_count_within_counts_the_close_pairs(columns: tuple[Array, ...], radius: float) -> None:
    offsets, eta, phi = columns
    expected = np.zeros(eta.size, int)
    for i, j in ordered_pairs(offsets):
        distance = plain_delta_r(eta, phi, i, j)
        assume(abs(distance - radius) > 1e-9)
        expected[i] += distance < radius
    np.testing.assert_array_equal(kernels.count_within(offsets, eta, phi, radius), expected)


def test_objects_of_different_events_are_not_neighbours() -> None:
    offsets, zeros = np.array([0, 1, 1, 2]), np.zeros(2)
    assert np.isinf(kernels.delta_r_to_nearest(offsets, zeros, zeros)).all()
    assert kernels.count_within(offsets, zeros, zeros, 1.0).tolist() == [0, 0]
    assert kernels.delta_r_to_all(offsets, zeros, zeros).size == 0


def test_neighbours_across_the_seam_of_phi_are_close() -> None:
    phi = np.array([3.1, -3.1])
    (nearest, _) = kernels.delta_r_to_nearest(np.array([0, 2]), np.zeros(2), phi)
    assert nearest == pytest.approx(2.0 * np.pi - 6.2)


# pair masses


def sin_cos(x: Decimal) -> tuple[Decimal, Decimal]:
    """Taylor series, to the precision of the context."""
    terms, term = [], Decimal(1)
    for k in range(1, 70):
        terms.append(term)
        term = term * x / k
    sine = sum((-1) ** k * t for k, t in enumerate(terms[1::2]))
    cosine = sum((-1) ** k * t for k, t in enumerate(terms[0::2]))
    return Decimal(sine), Decimal(cosine)


def four_vector(pt: float, eta: float, phi: float, mass: float) -> list[Decimal]:
    """px, py, pz, E."""
    transverse, rapidity = Decimal(float(pt)), Decimal(float(eta))
    sine, cosine = sin_cos(Decimal(float(phi)))
    longitudinal = transverse * (rapidity.exp() - (-rapidity).exp()) / 2
    momentum = [transverse * cosine, transverse * sine, longitudinal]
    energy = (sum(p * p for p in momentum) + Decimal(float(mass)) ** 2).sqrt()
    return [*momentum, energy]


def exact_mass(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    """Mass of the sum of two four-vectors with 60 digits."""
    with localcontext(prec=60):
        x, y, z, e = (a + b for a, b in zip(four_vector(*first), four_vector(*second), strict=True))
        square = e * e - x * x - y * y - z * z
        return float(max(square, Decimal(0)).sqrt())


def kernel_mass(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    columns = np.array([first, second]).T
    (mass,) = kernels.pair_masses(np.array([0, 2]), *columns)
    return float(mass)


JET = st.tuples(sts.PT, sts.ETA, sts.PHI, sts.MASS)


@given(first=JET, second=JET)
def test_pair_mass_is_that_of_the_summed_four_vectors(
    first: tuple[float, ...], second: tuple[float, ...]
) -> None:
    expected = exact_mass(first, second)
    assert kernel_mass(first, second) == pytest.approx(expected, rel=1e-12, abs=1e-20)


@given(jet=JET, d_eta=st.floats(1e-9, 1e-4), d_phi=st.floats(1e-9, 1e-4), scale=st.floats(0.01, 50))
def test_nearly_collinear_pairs_keep_full_precision(
    jet: tuple[float, ...], d_eta: float, d_phi: float, scale: float
) -> None:
    pt, eta, phi, mass = jet
    other = (scale * pt, eta + d_eta, phi + d_phi, mass)
    assert kernel_mass(jet, other) == pytest.approx(exact_mass(jet, other), rel=1e-12)


@given(pt1=sts.PT, pt2=sts.PT, eta=sts.ETA, phi=sts.PHI)
def test_collinear_massless_pairs_have_no_mass(
    pt1: float, pt2: float, eta: float, phi: float
) -> None:
    assert kernel_mass((pt1, eta, phi, 0.0), (pt2, eta, phi, 0.0)) == 0.0


def test_pair_of_objects_at_rest_has_the_sum_of_masses() -> None:
    assert kernel_mass((0.0, 0.0, 0.0, 2.0), (0.0, 0.0, 0.0, 3.0)) == 5.0
    assert kernel_mass((0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)) == 0.0


def test_pair_masses_agree_with_vector() -> None:
    rng = np.random.default_rng(1)
    n = 200
    pt, eta, phi = rng.exponential(80.0, n), rng.normal(0, 1.5, n), rng.uniform(-3.1, 3.1, n)
    mass = rng.uniform(0.0, 20.0, n)
    offsets = np.arange(0, n + 1, 5)
    p = vector.array({"pt": pt, "eta": eta, "phi": phi, "mass": mass})
    i, j = np.array(unordered_pairs(offsets)).T
    ours = kernels.pair_masses(offsets, pt, eta, phi, mass)
    np.testing.assert_allclose(ours, (p[i] + p[j]).mass, rtol=1e-9)


@given(columns=sts.flat_columns(sts.PT, sts.ETA, sts.PHI, sts.MASS))
def test_pair_masses_are_in_lexicographic_order(columns: tuple[Array, ...]) -> None:
    offsets, *jets = columns
    expected = [
        kernel_mass(tuple(c[i] for c in jets), tuple(c[j] for c in jets))
        for i, j in unordered_pairs(offsets)
    ]
    np.testing.assert_array_equal(kernels.pair_masses(offsets, *jets), expected)


@given(columns=sts.flat_columns(sts.PT, sts.ETA, sts.PHI, sts.MASS))
def test_leading_pair_mass_is_that_of_the_first_pair(columns: tuple[Array, ...]) -> None:
    offsets, *jets = columns
    pairs = kernels.pair_masses(offsets, *jets)
    first_pair = np.cumsum([0, *(len(e) * (len(e) - 1) // 2 for e in events(offsets))])
    leading = kernels.leading_pair_mass(offsets, *jets)
    for event, objects in enumerate(events(offsets)):
        expected = pairs[first_pair[event]] if len(objects) >= 2 else np.nan
        np.testing.assert_equal(leading[event], expected)


# keys


def python_key(*numbers: int) -> int:
    """The splitmix64 chain in plain integers: salt, run, luminosityBlock, event."""
    modulus, golden = 2**64, 0x9E3779B97F4A7C15
    key = 0
    for number in numbers:
        z = ((key ^ number) + golden) % modulus
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % modulus
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % modulus
        key = z ^ (z >> 31)
    return key


def keys_of(run: Any, lumi: Any, event: Any, salt: int = 0) -> Array:
    run, lumi, event = np.broadcast_arrays(run, lumi, event)
    columns = (np.ascontiguousarray(c, np.uint64) for c in (run, lumi, event))
    return keys.event_key(*columns, salt)


@given(run=RUN, lumi=LUMI, event=EVENT, salt=st.integers(0, 2**63 - 1))
def test_event_key_is_a_chain_of_splitmix64(run: int, lumi: int, event: int, salt: int) -> None:
    columns = (np.array([number], np.uint64) for number in (run, lumi, event))
    assert keys.event_key(*columns, salt).tolist() == [python_key(salt, run, lumi, event)]


@given(event=st.lists(EVENT, unique=True), run=RUN, lumi=LUMI)
def test_different_events_of_a_block_never_share_a_key(
    event: list[int], run: int, lumi: int
) -> None:
    keys = keys_of(np.uint64(run), np.uint64(lumi), np.array(event, np.uint64))
    assert len(set(keys.tolist())) == len(event)


def test_keys_of_a_large_sample_are_unique() -> None:
    # False-alarm rate for an ideal hash: (2e5)^2 / 2^65 = 1e-9.
    run, lumi, event = np.meshgrid(np.arange(20), np.arange(100), np.arange(100))
    keys = keys_of(run.ravel(), lumi.ravel(), event.ravel())
    assert np.unique(keys).size == keys.size


@given(order=st.permutations(range(8)))
def test_event_key_does_not_depend_on_the_order_of_events(order: list[int]) -> None:
    run, lumi, event = np.arange(24, dtype=np.uint64).reshape(3, 8)
    permuted = keys.event_key(run[order], lumi[order], event[order], 1)
    np.testing.assert_array_equal(permuted, keys.event_key(run, lumi, event, 1)[order])


@pytest.mark.parametrize("dtype", [np.int64, np.uint32, np.int32])
def test_event_key_does_not_depend_on_the_integer_type(dtype: type) -> None:
    columns = np.arange(1, 13).reshape(3, 4)
    expected = keys.event_key(*columns.astype(np.uint64), 1)
    np.testing.assert_array_equal(keys.event_key(*columns.astype(dtype), 1), expected)


def test_event_key_depends_on_the_position_of_a_number() -> None:
    keys = [keys_of(*numbers).item() for numbers in itertools.permutations([1, 2, 3])]
    assert len(set(keys)) == 6


@given(key=st.integers(0, 2**64 - 1))
@example(key=2**64 - 1)
@example(key=0)
def test_key_uniform_is_the_upper_53_bits(key: int) -> None:
    (uniform,) = keys.key_uniform(np.array([key], np.uint64))
    assert 0.0 <= uniform < 1.0
    assert Fraction(float(uniform)) == Fraction(key >> 11, 2**53)


def test_key_uniform_of_consecutive_events_is_uniform() -> None:
    # Chi-squared test in 200 bins, false-alarm rate 1e-6.
    uniform = keys.key_uniform(keys_of(1, 1, np.arange(100_000)))
    counts, _ = np.histogram(uniform, bins=200, range=(0.0, 1.0))
    assert stats.chisquare(counts).pvalue > 1e-6


def test_key_uniform_of_two_salts_is_independent() -> None:
    # Chi-squared test in 20 x 20 bins, false-alarm rate 1e-6.
    first, second = (
        keys.key_uniform(keys_of(1, 1, np.arange(100_000), salt=salt)) for salt in (1, 2)
    )
    counts, _, _ = np.histogram2d(first, second, bins=20, range=[(0, 1), (0, 1)])
    assert stats.chisquare(counts.ravel()).pvalue > 1e-6


@given(key=st.integers(0, 2**64 - 1), n=st.integers(0, 1000))
@example(key=2**64 - 1, n=0)
@example(key=0, n=0)
def test_nth_uniform_is_the_upper_53_bits_of_a_word_of_splitmix64(key: int, n: int) -> None:
    uniform = keys.nth_uniform(np.uint64(key), n)
    assert 0.0 <= uniform < 1.0
    start = (key + n * 0x9E3779B97F4A7C15) % 2**64
    assert Fraction(float(uniform)) == Fraction(python_key(start) >> 11, 2**53)


def nth_uniforms(words: Array, n: int) -> Array:
    return np.array([keys.nth_uniform(word, n) for word in words])


def test_nth_uniform_of_consecutive_events_is_uniform() -> None:
    # Chi-squared tests in 100 bins, false-alarm rate 3 x 3e-7.
    words = keys_of(1, 1, np.arange(20_000))
    for n in (0, 1, 17):
        counts, _ = np.histogram(nth_uniforms(words, n), bins=100, range=(0.0, 1.0))
        assert stats.chisquare(counts).pvalue > 3e-7


def test_the_uniform_numbers_of_a_key_are_independent() -> None:
    # Chi-squared tests in 10 x 10 bins, false-alarm rate 3 x 3e-7: of each other, of those of the
    # neighbouring event, and of the number that the key is itself.
    words = keys_of(1, 1, np.arange(20_001))
    first, second = nth_uniforms(words, 0), nth_uniforms(words, 1)
    itself = keys.key_uniform(words)
    for one, other in ((first, second), (second[:-1], first[1:]), (itself, first)):
        counts, _, _ = np.histogram2d(one, other, bins=10, range=[(0, 1), (0, 1)])
        assert stats.chisquare(counts.ravel()).pvalue > 3e-7


# no events


@pytest.mark.parametrize(
    "kernel",
    [
        lambda: kernels.delta_phi(np.empty(0), np.empty(0)),
        lambda: kernels.delta_r_to_all(np.array([0]), np.empty(0), np.empty(0)),
        lambda: kernels.delta_r_to_nearest(np.array([0]), np.empty(0), np.empty(0)),
        lambda: kernels.count_within(np.array([0]), np.empty(0), np.empty(0), 1.0),
        lambda: kernels.pair_masses(np.array([0]), *(np.empty(0) for _ in range(4))),
        lambda: kernels.leading_pair_mass(np.array([0]), *(np.empty(0) for _ in range(4))),
    ],
)
def test_no_events_give_no_results(kernel: Any) -> None:
    assert kernel().size == 0


# bootstrap


def poisson_cdf(count: int) -> Fraction:
    """P(N <= count) of a Poisson distribution of mean one, to 60 digits."""
    with localcontext(prec=60):
        total, term = Decimal(0), Decimal(1)
        for k in range(count + 1):
            total += term
            term /= k + 1
        return Fraction(total / Decimal(1).exp())


def key_with_bits(bits: int, replica: int) -> int:
    """The key whose hash for a replica is ``bits``: splitmix64 inverted step by step."""

    def unshift(z: int, shift: int) -> int:
        out = z
        for _ in range(64 // shift):
            out = z ^ (out >> shift)
        return out

    modulus = 2**64
    z = unshift(bits, 31)
    z = unshift(z * pow(0x94D049BB133111EB, -1, modulus) % modulus, 27)
    z = unshift(z * pow(0xBF58476D1CE4E5B9, -1, modulus) % modulus, 30)
    return (z - (replica + 1) * 0x9E3779B97F4A7C15) % modulus


def count_of_bits(bits: int, replica: int = 0) -> int:
    key = np.array([key_with_bits(bits, replica)], np.uint64)
    return int(keys.poisson_counts(key, replica + 1)[0, replica])


def test_poisson_thresholds_are_the_cumulative_probabilities() -> None:
    for count, threshold in enumerate(keys.POISSON.tolist()):
        assert abs(Fraction(threshold, 2**64) - poisson_cdf(count)) < Fraction(1, 2**52)
    assert 1 - poisson_cdf(keys.POISSON.size - 1) < Fraction(1, 2**53)


def test_the_poisson_count_goes_up_by_one_at_each_threshold() -> None:
    thresholds = keys.POISSON.tolist()
    assert all(low < high for low, high in itertools.pairwise(thresholds[:16]))
    for count, threshold in enumerate(thresholds[:16]):
        assert count_of_bits(threshold - 1) == count
        assert count_of_bits(threshold) == count + 1


@given(bits=st.integers(0, 2**64 - 1), replica=st.integers(0, 50))
@example(bits=0, replica=0)
@example(bits=2**64 - 2**36, replica=3)  # a count of eleven
def test_a_poisson_count_is_the_number_of_thresholds_reached(bits: int, replica: int) -> None:
    expected = sum(bits >= threshold for threshold in keys.POISSON.tolist())
    assert count_of_bits(bits, replica) == expected


BOOTSTRAP_KEYS = st.lists(st.integers(0, 2**64 - 1), max_size=8).map(
    lambda keys: np.array(keys, np.uint64)
)


@given(key=BOOTSTRAP_KEYS, cut=sts.BOUND, more=st.integers(0, 5))
def test_a_poisson_count_is_a_function_of_key_and_replica(key: Array, cut: int, more: int) -> None:
    counts = keys.poisson_counts(key, 6)
    assert counts.shape == (key.size, 6)
    assert counts.dtype == np.uint8
    np.testing.assert_array_equal(keys.poisson_counts(key[::-1].copy(), 6), counts[::-1])
    np.testing.assert_array_equal(keys.poisson_counts(key, 6 + more)[:, :6], counts)
    parts = [keys.poisson_counts(part, 6) for part in (key[:cut], key[cut:])]
    np.testing.assert_array_equal(np.concatenate(parts), counts)


# Consecutive keys are the hardest for a hash; keys from event_key are mixed already.
POISSON_SAMPLES = pytest.mark.parametrize(
    "key", [np.arange(100_000, dtype=np.uint64), keys_of(1, 1, np.arange(100_000), salt=3)]
)


def contingency(first: Array, second: Array) -> float:
    """p-value of independence of two columns of counts, four or more taken together."""
    table, _, _ = np.histogram2d(np.minimum(first, 4), np.minimum(second, 4), bins=np.arange(6))
    return float(stats.chi2_contingency(table).pvalue)


@POISSON_SAMPLES
def test_bootstrap_counts_are_poisson_distributed(key: Array) -> None:
    # Chi-squared tests of eight replicas and of their sum, false-alarm rate 9e-7.
    counts = keys.poisson_counts(key, 8)
    for column, mean in [*((c, 1.0) for c in counts.T), (counts.sum(axis=1), 8.0)]:
        last = int(stats.poisson.isf(1e-3, mean))
        expected = stats.poisson.pmf(np.arange(last), mean)
        expected = key.size * np.append(expected, 1.0 - expected.sum())
        observed = np.bincount(np.minimum(column, last).astype(np.int64), minlength=last + 1)
        assert stats.chisquare(observed, expected).pvalue > 1e-7


@POISSON_SAMPLES
def test_bootstrap_replicas_are_independent_of_each_other(key: Array) -> None:
    # Chi-squared tests of 5 x 5 tables, false-alarm rate 6 x 1e-7.
    counts = keys.poisson_counts(key, 4)
    for first, second in itertools.combinations(range(4), 2):
        assert contingency(counts[:, first], counts[:, second]) > 1e-7


@POISSON_SAMPLES
def test_bootstrap_counts_of_neighbouring_keys_are_independent(key: Array) -> None:
    # Chi-squared tests of 5 x 5 tables, false-alarm rate 6 x 1e-7.
    counts = keys.poisson_counts(key, 2)
    for shift, other in itertools.product((1, 2, 256), (0, 1)):
        assert contingency(counts[:-shift, 0], counts[shift:, other]) > 1e-7


@st.composite
def replica_entries(draw: st.DrawFn) -> tuple[Array, Array, Array]:
    """Bins (of seven), keys and weights of entries, some of which share a key."""
    size = draw(st.integers(0, 20))
    bins = draw(st.lists(st.integers(0, 6), min_size=size, max_size=size))
    keys = draw(st.lists(RUN | st.integers(0, 3), min_size=size, max_size=size))
    weights = draw(sts.column(size, st.floats(-100.0, 100.0)))
    return np.array(bins, np.int64), np.array(keys, np.uint64), weights


@given(entries=replica_entries())
def test_fill_replicas_is_a_histogram_of_counted_weights(
    entries: tuple[Array, Array, Array],
) -> None:
    bins, key, weight = entries
    counts = keys.poisson_counts(key, 5)
    filled = keys.fill_replicas(bins, key, weight, 7, 5)
    assert filled.shape == (7, 5)
    for replica in range(5):
        expected = np.bincount(bins, weight * counts[:, replica], minlength=7)
        np.testing.assert_array_equal(filled[:, replica], expected)


@given(entries=replica_entries(), cut=st.integers(0, 20))
def test_fill_replicas_of_chunks_add_up(entries: tuple[Array, Array, Array], cut: int) -> None:
    whole = keys.fill_replicas(*entries, 7, 5)
    parts = [
        keys.fill_replicas(*(column[part] for column in entries), 7, 5)
        for part in (slice(cut), slice(cut, None))
    ]
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-12, atol=1e-10)


def test_fill_replicas_without_replicas_or_entries_is_empty() -> None:
    none = np.empty(0, np.int64), np.empty(0, np.uint64), np.empty(0)
    np.testing.assert_array_equal(keys.fill_replicas(*none, 3, 2), np.zeros((3, 2)))
    one = np.array([1]), np.array([5], np.uint64), np.ones(1)
    assert keys.fill_replicas(*one, 3, 0).shape == (3, 0)
