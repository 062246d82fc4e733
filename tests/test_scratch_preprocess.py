"""Claims 4.1 to 4.6: transforms fitted once equal scikit-learn's, can be undone, and cannot be fitted again."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.decomposition import PCA
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from gluonbook.scratch import Transform, fit_center, fit_pca, fit_range, fit_standardize

FITS = {
    "center": fit_center,
    "image": lambda X: fit_center(X, per="image"),
    "standardize": fit_standardize,
    "range": fit_range,
    "pca": fit_pca,
    "whiten": lambda X: fit_pca(X, whiten=True),
}


def drawn(N=50, D=4, seed=0):
    """Examples whose features hang together and have different scales."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N, D)) @ rng.normal(size=(D, D)) * np.arange(1, D + 1) + rng.normal(size=D) * 5


SPLITS = arrays.arrays(
    np.float64, st.tuples(st.integers(2, 8), st.integers(1, 4)), elements=st.floats(-1000, 1000, width=32)
)


@pytest.mark.parametrize("shape", [(20, 3), (6, 2, 4, 5)])
def test_claim_4_1_the_mean_of_each_feature_is_taken_away(shape):
    X = np.random.default_rng(0).normal(size=shape) + 7
    centred = fit_center(X).transform(X)
    np.testing.assert_allclose(centred.mean(axis=0), np.zeros(shape[1:]), atol=1e-13)
    np.testing.assert_allclose(centred, X - X.mean(axis=0), atol=1e-13)


def test_claim_4_1_one_number_for_all_and_one_a_channel():
    X = np.random.default_rng(1).normal(size=(6, 3, 4, 5)) * [[[[1.0]], [[2.0]], [[3.0]]]] + 2
    one = fit_center(X, per="image")
    assert one.shift.shape == ()
    np.testing.assert_allclose(one.transform(X), X - X.mean(), atol=1e-13)
    channel = fit_center(X, per="channel")
    assert channel.shift.shape == (3, 1, 1)
    for c in range(3):
        np.testing.assert_allclose(channel.transform(X)[:, c], X[:, c] - X[:, c].mean(), atol=1e-13)


def test_claim_4_2_standardising_equals_scikit_learns():
    X, other = drawn(), drawn(seed=1)[:9]
    ours, theirs = fit_standardize(X), StandardScaler().fit(X)
    np.testing.assert_allclose(ours.transform(X), theirs.transform(X), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(ours.transform(other), theirs.transform(other), rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(ours.inverse(other), theirs.inverse_transform(other), rtol=1e-11)


def test_claim_4_2_the_range_equals_scikit_learns():
    X, other = drawn(), drawn(seed=1)[:9]
    ours, theirs = fit_range(X), MinMaxScaler(feature_range=(-1, 1)).fit(X)
    np.testing.assert_allclose(ours.transform(X).min(axis=0), [-1] * 4, rtol=1e-14)
    np.testing.assert_allclose(ours.transform(X).max(axis=0), [1] * 4, rtol=1e-14)
    np.testing.assert_allclose(ours.transform(X), theirs.transform(X), atol=1e-13)
    np.testing.assert_allclose(ours.transform(other), theirs.transform(other), atol=1e-13)
    np.testing.assert_allclose(ours.inverse(other), theirs.inverse_transform(other), rtol=1e-11)


@pytest.mark.parametrize("fit", [fit_standardize, fit_range])
@pytest.mark.parametrize("constant", [5.0, 0.1, -1e-3, 1e9 / 3, 0.0])
def test_a_constant_feature_becomes_0_and_stays_readable(fit, constant):
    """Ten times 0.1 has a deviation of 1e-17 by rounding: nothing may be divided by it."""
    X = np.stack([np.full(10, constant), np.arange(10.0)], axis=1)
    transform = fit(X)
    assert transform.scale[0] == 1
    np.testing.assert_allclose(transform.transform(X)[:, 0], 0, atol=1e-15 * max(abs(constant), 1))
    other = X + np.array([2.5, 0])
    np.testing.assert_allclose(transform.transform(other)[:, 0], 2.5, rtol=1e-7)
    np.testing.assert_allclose(transform.inverse(transform.transform(other)), other, rtol=1e-12, atol=1e-14)


def test_a_feature_too_small_to_be_squared_is_only_shifted():
    with np.errstate(divide="raise", invalid="raise"):
        Z = fit_standardize([[0.0], [1e-200]]).transform([[0.0], [1.0]])
    np.testing.assert_allclose(Z, [[0], [1]], atol=1e-15)


def test_one_example_alone_becomes_0():
    for fit in (fit_center, fit_standardize, fit_range, fit_pca):
        np.testing.assert_allclose(fit([[3.0, 0.1]]).transform([[3.0, 0.1]]), [[0, 0]], atol=1e-15)


@given(SPLITS)
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("name", FITS)
def test_what_was_transformed_comes_back(name, X):
    transform = FITS[name](X)
    np.testing.assert_allclose(transform.inverse(transform.transform(X)), X, rtol=1e-9, atol=1e-6)


@given(SPLITS)
@settings(max_examples=60, deadline=None)
def test_any_split_gets_its_range(X):
    Z = fit_range(X).transform(X)
    assert np.abs(Z).max() <= 1 + 1e-9
    for z, x in zip(Z.T, X.T):
        if x.max() - x.min() > 1e-6 * np.abs(x).max():
            assert (z.min(), z.max()) == pytest.approx((-1, 1), abs=1e-6)


@pytest.mark.parametrize("k", [1, 3, 4, None])
@pytest.mark.parametrize("whiten", [False, True])
def test_claim_4_5_principal_components_equal_scikit_learns(k, whiten):
    """Up to a vector's sign; scikit-learn divides a variance by N - 1."""
    X, other = drawn(), drawn(seed=1)[:9]
    ours = fit_pca(X, k, whiten=whiten, epsilon=0)
    theirs = PCA(k, svd_solver="full", whiten=whiten).fit(X)
    np.testing.assert_allclose(ours.variances, theirs.explained_variance_ * 49 / 50, rtol=1e-10)
    signs = np.sign((ours.rotation * theirs.components_.T).sum(axis=0))
    np.testing.assert_allclose(ours.rotation * signs, theirs.components_.T, atol=1e-10)
    factor = signs * (np.sqrt(50 / 49) if whiten else 1)
    np.testing.assert_allclose(ours.transform(other), theirs.transform(other) * factor, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(ours.inverse(ours.transform(other)), theirs.inverse_transform(theirs.transform(other)))


def test_claim_4_3_the_rotated_splits_covariance_is_diagonal_and_sorted():
    X = drawn()
    pca = fit_pca(X)
    covariance = np.cov(pca.transform(X).T, bias=True)
    np.testing.assert_allclose(covariance, np.diag(pca.variances), atol=1e-10 * pca.variances[0])
    assert (np.diff(pca.variances) <= 0).all()
    np.testing.assert_allclose(pca.rotation.T @ pca.rotation, np.eye(4), atol=1e-13)


def test_claim_4_4_the_variances_are_the_eigenvalues_themselves():
    X = drawn()
    pca = fit_pca(X)
    np.testing.assert_allclose(pca.variances, np.linalg.eigvalsh(np.cov(X.T, bias=True))[::-1], rtol=1e-10)
    singular = np.linalg.svd((X - X.mean(axis=0)) / np.sqrt(len(X)), compute_uv=False)
    np.testing.assert_allclose(pca.variances, singular**2, rtol=1e-10)


def test_claim_4_5_whitening_gives_unit_covariance():
    X = drawn()
    white = fit_pca(X, whiten=True, epsilon=0).transform(X)
    np.testing.assert_allclose(np.cov(white.T, bias=True), np.eye(4), atol=1e-9)


def test_epsilon_is_added_to_the_variance_under_the_root():
    X = drawn()
    pca = fit_pca(X, whiten=True, epsilon=0.5)
    np.testing.assert_allclose(pca.scale, np.sqrt(pca.variances + 0.5), rtol=1e-12)
    assert fit_pca(X, epsilon=0.5).scale.tolist() == [1] * 4
    default = fit_pca(X, whiten=True)
    np.testing.assert_allclose(default.scale, np.sqrt(default.variances + 1e-5), rtol=1e-14)


def test_fewer_examples_than_features_leave_components_without_variance():
    X = drawn(N=3, D=6)
    pca = fit_pca(X, whiten=True)
    assert (pca.variances[:2] > 1e-3).all()
    np.testing.assert_allclose(pca.variances[2:], 0, atol=1e-12 * pca.variances[0])
    assert np.abs(pca.transform(X)).max() < 2
    np.testing.assert_allclose(pca.inverse(pca.transform(X)), X, atol=1e-9)


def test_fewer_components_give_the_nearest_with_the_lost_variance():
    X = drawn()
    pca = fit_pca(X, 2)
    assert pca.transform(X).shape == (50, 2)
    lost = ((pca.inverse(pca.transform(X)) - X) ** 2).sum(axis=1).mean()
    assert lost == pytest.approx(fit_pca(X).variances[2:].sum(), rel=1e-10)


@given(st.integers(0, 1000))
def test_signs_are_fixed_by_each_vectors_largest_entry(seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(20, 3)) * [3, 2, 1]
    pca = fit_pca(X)
    assert (pca.rotation[np.abs(pca.rotation).argmax(axis=0), range(3)] > 0).all()
    np.testing.assert_allclose(fit_pca(-X).rotation, pca.rotation, atol=1e-9)
    np.testing.assert_allclose(fit_pca(X[rng.permutation(20)]).rotation, pca.rotation, atol=1e-9)


@pytest.mark.parametrize("name", FITS)
def test_claim_4_6_a_transform_cannot_be_fitted_again_or_changed(name):
    X = drawn()
    transform = FITS[name](X)
    assert not hasattr(transform, "fit")
    before = transform.transform(X)
    transform.transform(X + 100)
    transform.inverse(before + 100)
    np.testing.assert_array_equal(transform.transform(X), before)
    for field in dataclasses.fields(Transform):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(transform, field.name, None)


@pytest.mark.parametrize("name", FITS)
def test_neither_the_split_nor_the_examples_are_touched_or_kept(name):
    X, other = drawn(), drawn(seed=1)
    before = X.copy(), other.copy()
    transform = FITS[name](X)
    Z = transform.transform(other)
    kept = Z.copy()
    transform.inverse(Z)
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(other, before[1])
    np.testing.assert_array_equal(Z, kept)
    X[:] = 0
    np.testing.assert_array_equal(transform.transform(other), kept)


@pytest.mark.parametrize("name", FITS)
def test_whole_numbers_and_float32_are_reckoned_in_float64(name):
    X = np.random.default_rng(0).integers(0, 256, (30, 4))
    right = FITS[name](X.astype("float64")).transform(X.astype("float64"))
    for dtype in ("uint8", "int64", "float32"):
        Z = FITS[name](X.astype(dtype)).transform(X.astype(dtype))
        assert Z.dtype == np.float64
        np.testing.assert_array_equal(Z, right)


@pytest.mark.parametrize("name", [name for name in FITS if name != "image"])
@pytest.mark.parametrize("shape", [(5, 3), (5, 1), (4,), (5, 4, 4), (5, 5, 4), ()])
def test_examples_with_other_features_are_refused(name, shape):
    transform = FITS[name](drawn())
    with pytest.raises(
        ValueError, match=r"^X must be examples as those that it was fitted on, \(4,\) each, got \(.*\)$"
    ):
        transform.transform(np.zeros(shape))
    with pytest.raises(
        ValueError, match=r"^Z must be examples as those that it was fitted on, \(4,\) each, got \(.*\)$"
    ):
        transform.inverse(np.zeros(shape))


@pytest.mark.parametrize("shape", [(5, 4), (5, 2), (5, 1), (3,)])
def test_what_has_not_as_many_values_as_components_cannot_be_undone(shape):
    with pytest.raises(ValueError, match=r"^Z must be examples as those that it was fitted on, \(3,\) each, got \("):
        fit_pca(drawn(), 3).inverse(np.zeros(shape))


@pytest.mark.parametrize("name", ["center", "standardize", "range"])
def test_a_single_feature_is_not_spread_over_many(name):
    transform = FITS[name](drawn(D=1))
    with pytest.raises(ValueError, match=r"^X must be examples as those that it was fitted on, \(1,\) each, got"):
        transform.transform(np.zeros((5, 3)))


@pytest.mark.parametrize("C", [1, 3])
def test_channels_serve_pictures_of_any_size_but_of_as_many_channels(C):
    transform = fit_center(np.ones((2, C, 4, 4)), per="channel")
    assert not transform.transform(np.ones((5, C, 7, 3))).any()
    np.testing.assert_array_equal(transform.inverse(np.zeros((5, C, 7, 3))), np.ones((5, C, 7, 3)))
    for shape in ((5, 2, 4, 4), (5, C, 4), (C, 4, 4), (2, 1, C, 4, 4)):
        with pytest.raises(ValueError, match=r"^X must be examples as those that it was fitted on, \(., 1, 1\) each,"):
            transform.transform(np.ones(shape))


@pytest.mark.parametrize("name", FITS)
def test_no_examples_stay_none(name):
    transform = FITS[name](drawn())
    assert transform.transform(np.zeros((0, 4))).shape == (0, 4)


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("shape", [(0, 3), (3,), (), (3, 0)])
def test_an_empty_split_or_none_is_refused(name, shape):
    with pytest.raises(ValueError, match=r"^X_train must be \(N, …\) with at least one example, got shape \("):
        FITS[name](np.zeros(shape))


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_split_with_a_hole_is_refused(name, value):
    X = drawn()
    X[3, 2] = value
    with pytest.raises(ValueError, match=f"^X_train must be finite, got {value} in it$"):
        FITS[name](X)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda X: fit_center(X, per="pixel"), "per must be one of feature, image, channel; got 'pixel'"),
        (
            lambda X: fit_center(X, per="channel"),
            r"X_train must be \(N, C, H, W\) for per='channel', got shape \(50, 4\)",
        ),
        (lambda X: fit_pca(X[:, :, None]), r"X_train must be \(N, D\), got shape \(50, 4, 1\)"),
        (lambda X: fit_pca(X, 0), "num_components must be at least 1 and at most 4, got 0"),
        (lambda X: fit_pca(X, 5), "num_components must be at least 1 and at most 4, got 5"),
        (lambda X: fit_pca(X, epsilon=-1), "epsilon must be at least 0, got -1"),
    ],
)
def test_wrong_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        call(drawn())
