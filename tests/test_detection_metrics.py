"""Mean average precision: by hand, against a slow loop, and where there is nothing to measure."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonbook.detection import mean_ap

A, B, C = [0, 0, 0.25, 0.25], [0.5, 0, 0.75, 0.25], [0, 0.5, 0.25, 0.75]
NOWHERE = [0.75, 0.75, 1, 1]  # shares nothing with the three
NOTHING_FOUND, NO_OBJECTS = np.zeros((0, 6)), np.zeros((0, 5))


def rows(*values):
    return np.array(values, np.float32)


def slow_iou(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def slow_hits(found, labels, difficult, kind, iou_threshold):
    """Return whether each detection of a class is right, by falling score; those of difficult objects are left out."""
    taken, hits = set(), []
    detections = [(row[1], n, row[2:]) for n, picture in enumerate(found) for row in picture.tolist() if row[0] == kind]
    for _, n, box in sorted(detections, key=lambda detection: -detection[0]):
        overlaps = [slow_iou(box, row[1:]) if row[0] == kind else -1 for row in labels[n].tolist()]
        m = max(range(len(overlaps)), key=overlaps.__getitem__, default=None)
        right = m is not None and overlaps[m] >= iou_threshold
        if not (right and difficult[n][m]):
            hits.append(right and (n, m) not in taken)
            taken.update([(n, m)] if right else [])
    return hits


def slow_ap(hits, num_objects):
    """Return the average precision by the rules of 2007 and of 2012."""
    points = [(sum(hits[: i + 1]) / num_objects, sum(hits[: i + 1]) / (i + 1)) for i in range(len(hits))]

    def best(recall):
        return max((precision for reached, precision in points if reached >= recall), default=0)

    # gluoncv's eleven points, of which 0.3, 0.6 and 0.7 lie a hair above
    eleven = sum(best(recall) for recall in np.arange(0.0, 1.1, 0.1)) / 11
    return eleven, sum(best((i + 1) / num_objects) / num_objects for i in range(num_objects))


@st.composite
def measurements(draw):
    """Pictures of three classes, with detections near their objects and elsewhere; all scores differ."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    found, labels, difficult = [], [], []
    for _ in range(draw(st.integers(1, 4))):
        M, k = rng.integers(0, 5), rng.integers(0, 9)
        low = rng.uniform(0, 0.7, (M, 2))
        objects = np.column_stack([rng.integers(0, 3, M), low, low + rng.uniform(0.05, 0.3, (M, 2))])
        near = objects[rng.integers(0, M, k)] if M else np.zeros((k, 5))
        low = rng.uniform(0, 0.7, (k, 2))
        boxes = near[:, 1:] if M else np.concatenate([low, low + 0.1], axis=1)
        boxes = boxes + rng.normal(0, 0.02, (k, 4))
        kinds = np.where(rng.random(k) < 0.8, near[:, 0], rng.integers(0, 3, k))
        found.append(np.column_stack([kinds, rng.random(k), boxes]).astype(np.float32))
        labels.append(objects.astype(np.float32))
        difficult.append(rng.random(M) < 0.2)
    return found, labels, difficult


@settings(deadline=None)
@given(measurements(), st.sampled_from([0.3, 0.5, 0.75]))
def test_average_precisions_equal_a_slow_loop(measured, iou_threshold):
    found, labels, difficult = measured
    result = mean_ap(found, labels, "abc", difficult, iou_threshold)
    expected = {}
    for kind, name in enumerate("abc"):
        num_objects = sum(int(((truth[:, 0] == kind) & ~hard).sum()) for truth, hard in zip(labels, difficult))
        if num_objects:
            expected[name] = slow_ap(slow_hits(found, labels, difficult, kind, iou_threshold), num_objects)
    assert {name: value for name, value in result.by_class.items() if not math.isnan(value)} == pytest.approx(
        {name: eleven for name, (eleven, _) in expected.items()}, abs=1e-9
    )
    if expected:
        assert (result.voc07, result.voc12) == pytest.approx(np.mean(list(expected.values()), axis=0), abs=1e-9)
    else:
        assert math.isnan(result.voc07)
        assert math.isnan(result.voc12)


def test_by_hand():
    """Three objects; by falling score right, wrong, right: recall 1/3, 1/3, 2/3 at precision 1, 1/2, 2/3.

    The whole area: 1/3 · 1 + 1/3 · 2/3. Eleven points: at 0, 0.1, 0.2, 0.3 the best is 1, at 0.4, 0.5, 0.6 it is 2/3.
    """
    found = [rows([0, 0.9, *A], [0, 0.8, *NOWHERE]), rows([0, 0.7, *B])]
    result = mean_ap(found, [rows([0, *A], [0, *C]), rows([0, *B])], ["cat"])
    assert result.voc12 == pytest.approx(5 / 9)
    assert result.voc07 == pytest.approx((4 + 3 * 2 / 3) / 11)
    assert result.by_class == {"cat": result.voc07}


def test_everything_found_is_exactly_1():
    labels = [rows([0, *A], [1, *B]), rows([1, *C])]
    found = [rows([0, 0.9, *A], [1, 0.3, *B]), rows([1, 0.8, *C])]
    assert mean_ap(found, labels, ["cat", "dog"]) == (1, 1, {"cat": 1, "dog": 1})


def test_corners_are_fractions_and_not_pixels():
    """Boxes that are far apart on the picture would overlap by 0.69 if each were a pixel wider and higher."""
    assert mean_ap([rows([0, 0.9, 0.3, 0.1, 0.4, 0.2])], [rows([0, 0.1, 0.1, 0.2, 0.2])], ["cat"]).voc12 == 0


@pytest.mark.parametrize(("xmax", "right"), [(0.125, 1), (0.1249, 0), (0.5, 1), (0.501, 0)])
def test_an_overlap_from_the_threshold_on_is_right(xmax, right):
    """Half as wide as the object, and twice as wide: IoU 1/2 both."""
    found = [rows([0, 0.9, 0, 0, xmax, 0.25])]
    assert mean_ap(found, [rows([0, *A])], ["cat"]).voc12 == right
    assert mean_ap(found, [rows([0, *A])], ["cat"], iou_threshold=0.45).voc12 == 1


def test_an_object_found_twice_is_found_once():
    """The second is wrong and stands before the other object: precision 1 at recall 1/2, 2/3 at 1."""
    found = [rows([0, 0.9, *A], [0, 0.8, *A], [0, 0.7, *B])]
    assert mean_ap(found, [rows([0, *A], [0, *B])], ["cat"]).voc12 == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)


def test_a_box_of_another_class_or_picture_is_wrong():
    """One of two cats is found, the other called a dog: precision 1 up to recall 1/2, six of the eleven points."""
    labels = [rows([0, *A]), rows([0, *B])]
    result = mean_ap([rows([1, 0.9, *A]), rows([0, 0.9, *B])], labels, ["cat", "dog"])
    assert (result.voc07, result.voc12) == pytest.approx((6 / 11, 1 / 2))
    assert mean_ap([rows([0, 0.9, *B]), rows([0, 0.9, *A])], labels, ["cat"]).voc12 == 0


def test_difficult_objects_count_neither_way():
    """The difficult B: found it is not right, found twice it is not wrong, not found it is not missed."""
    labels, difficult = [rows([0, *A], [0, *B])], [np.array([False, True])]
    twice = [rows([0, 0.9, *B], [0, 0.8, *B], [0, 0.7, *A])]
    assert mean_ap(twice, labels, ["cat"], difficult).voc12 == 1
    assert mean_ap([rows([0, 0.7, *A])], labels, ["cat"], difficult).voc12 == 1
    assert mean_ap([rows([0, 0.9, *B])], labels, ["cat"], difficult).voc12 == 0
    assert mean_ap(twice, labels, ["cat"]).voc12 == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)


@pytest.mark.filterwarnings("error:Mean of empty slice")
def test_a_class_that_no_picture_shows_is_nan_and_left_out_of_the_means():
    found = [rows([0, 0.9, *A], [1, 0.8, *B])]  # that a dog is seen where there is none changes nothing
    result = mean_ap(found, [rows([0, *A])], ["cat", "dog", "bird"])
    assert (result.voc07, result.voc12, result.by_class["cat"]) == (1, 1, 1)
    assert math.isnan(result.by_class["dog"])
    assert math.isnan(result.by_class["bird"])


def test_a_class_that_is_never_found_is_0():
    result = mean_ap([rows([0, 0.9, *A])], [rows([0, *A], [1, *B])], ["cat", "dog"])
    assert result == (0.5, 0.5, {"cat": 1, "dog": 0})


def test_pictures_in_which_nothing_is_found_count():
    labels = [rows([0, *A]), rows([0, *B])]
    assert mean_ap([rows([0, 0.9, *A]), NOTHING_FOUND], labels, ["cat"]).voc12 == 0.5
    assert mean_ap([NOTHING_FOUND] * 2, labels, ["cat"]) == (0, 0, {"cat": 0})


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("found", "labels", "difficult"),
    [
        ([], [], None),
        ([NOTHING_FOUND], [NO_OBJECTS], None),
        ([rows([0, 0.9, *A])], [NO_OBJECTS], None),
        ([rows([0, 0.9, *A])], [rows([0, *A])], [np.array([True])]),
        ([NOTHING_FOUND], [rows([0, *A])], [np.array([True])]),
    ],
    ids=["no pictures", "nothing", "nothing to find", "only difficult, found", "only difficult"],
)
def test_where_there_is_nothing_to_measure_all_is_nan(found, labels, difficult):
    result = mean_ap(found, labels, ["cat", "dog"], difficult)
    assert list(result.by_class) == ["cat", "dog"]
    assert all(math.isnan(value) for value in (result.voc07, result.voc12, *result.by_class.values()))


def test_the_arrays_given_are_not_changed():
    arrays = [rows([0, 0.9, *A]), rows([0, *A])]
    mean_ap(arrays[:1], arrays[1:], ["cat"])
    np.testing.assert_array_equal(arrays[0], rows([0, 0.9, *A]))
    np.testing.assert_array_equal(arrays[1], rows([0, *A]))


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"^found and labels must be of the same pictures, got 2 and 1$"):
        mean_ap([NOTHING_FOUND] * 2, [NO_OBJECTS], ["cat"])


@pytest.mark.parametrize("difficult", [[], [np.array([], bool)], [np.array([True, False])], [np.array([True])] * 2])
def test_flags_that_do_not_fit_are_refused(difficult):
    with pytest.raises(ValueError, match=r"^difficult must hold a flag for each object of each picture$"):
        mean_ap([NOTHING_FOUND], [rows([0, *A])], ["cat"], difficult)
