"""Darknet's files become a detector: its boxes, its classes' names, and what is said of files that do not fit."""

import numpy as np
import pytest
from detection_helpers import randomise

from gluonbook import _files
from gluonbook._mxnet import gluoncv, mx
from gluonbook.detection import darknet_files
from gluonbook.detection.darknet import Darknet, save_darknet_weights
from gluonbook.detection.darknet_config import read_config, with_size
from gluonbook.detection.darknet_files import darknet_detector, default_names, read_names
from gluonbook.detection.yolo_inference import find_in_letterbox

SMALL = _files.packaged("datasets") / "detection" / "yolo-small.cfg"


def noise(height, width, seed=0):
    return np.random.default_rng([seed, height, width]).integers(0, 256, (height, width, 3), dtype=np.uint8)


def made(sections):
    """A network with random weights, whose batch norm shifts and scales, too, and which is sure of a few boxes."""
    return randomise(Darknet(sections))


@pytest.fixture(scope="module")
def net():
    return made(read_config(SMALL))


@pytest.fixture(scope="module")
def weights(net, tmp_path_factory):
    path = tmp_path_factory.mktemp("darknet") / "small.weights"
    save_darknet_weights(net, path)
    return path


def changed(tmp_path, *replacements):
    """A copy of the small configuration with some text replaced."""
    text = SMALL.read_text()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "changed.cfg"
    path.write_text(text)
    return path


# Boxes


@pytest.fixture(scope="module")
def pictures():
    return [noise(200, 300), noise(300, 100, 1), noise(256, 256, 2), noise(5, 9, 3)]


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_it_finds_what_the_network_with_batch_norm_finds_one_by_one(net, weights, pictures, batch_size):
    detector = darknet_detector(SMALL, weights, device="cpu", batch_size=batch_size)
    found = detector.find(pictures)
    assert len(found) == len(pictures)
    for rows, picture in zip(found, pictures):
        (expected,) = find_in_letterbox(net, [picture], 256, mx.cpu())
        assert len(expected) > 10
        np.testing.assert_allclose(rows, expected, rtol=1e-3, atol=1e-4)


def test_pictures_are_shown_at_the_size_in_the_configuration(weights, net, pictures, tmp_path):
    config = changed(tmp_path, ("width=256\nheight=256", "width=192\nheight=128"))
    (rows,) = darknet_detector(config, weights, device="cpu").find(pictures[:1])
    shown = made(with_size(read_config(SMALL), 128, 192))
    np.testing.assert_allclose(
        rows, find_in_letterbox(shown, pictures[:1], (128, 192), mx.cpu())[0], rtol=1e-3, atol=1e-4
    )
    assert not np.array_equal(rows, find_in_letterbox(net, pictures[:1], 256, mx.cpu())[0])


def test_batch_norm_is_folded_and_the_network_hybridized_before_it_is_asked(weights, monkeypatch):
    asked = []

    def look(net, pictures, size, device):
        asked.append((len(pictures), size, device, net._active))
        norms = [section for section in net.sections if section.options.get("batch_normalize")]
        assert norms == []
        return [np.zeros((0, 6), np.float32) for _ in pictures]

    monkeypatch.setattr(darknet_files, "find_in_letterbox", look)
    detector = darknet_detector(SMALL, weights, device="cpu", batch_size=2)
    assert [rows.shape for rows in detector.find([noise(8, 8)] * 5)] == [(0, 6)] * 5
    assert asked == [(count, (256, 256), mx.cpu(), True) for count in (2, 2, 1)]


def test_no_pictures_are_no_arrays(weights):
    assert darknet_detector(SMALL, weights, device="cpu").find([]) == []


# Names


def test_cocos_names_are_those_of_gluoncv_in_its_order():
    assert tuple(gluoncv().data.COCODetection.CLASSES) == darknet_files.COCO_NAMES


@pytest.mark.parametrize(("num_classes", "names"), [(1, ("class 0",)), (3, ("class 0", "class 1", "class 2"))])
def test_classes_without_names_are_numbered(num_classes, names):
    assert default_names(num_classes) == names


@pytest.mark.parametrize("num_classes", [79, 81])
def test_only_eighty_classes_are_cocos(num_classes):
    assert default_names(num_classes)[0] == "class 0"
    assert len(default_names(num_classes)) == num_classes


def test_eighty_classes_without_a_file_of_names_are_cocos(tmp_path):
    config = changed(tmp_path, ("classes=3", "classes=80"), ("filters=24", "filters=255"))
    save_darknet_weights(made(read_config(config)), tmp_path / "coco.weights")
    detector = darknet_detector(config, tmp_path / "coco.weights", device="cpu")
    assert detector.classes == darknet_files.COCO_NAMES


@pytest.mark.parametrize("content", ["猫\nhen\nhot dog\n", "猫\nhen\nhot dog", "\ufeff猫\r\n\r\n hen \r\nhot dog\r\n"])
def test_names_are_read_a_line_each(content, weights, tmp_path):
    path = tmp_path / "farm.names"
    path.write_bytes(content.encode("utf-8"))
    assert read_names(path) == ("猫", "hen", "hot dog")
    assert darknet_detector(SMALL, weights, path, "cpu").classes == ("猫", "hen", "hot dog")


@pytest.mark.parametrize("count", [1, 2, 4])
def test_another_number_of_names_is_refused_with_both_numbers(weights, tmp_path, count):
    path = tmp_path / "some.names"
    path.write_text("name\n" * count)
    with pytest.raises(ValueError, match=rf"some.names must name the 3 classes of .*small.cfg, got {count} names$"):
        darknet_detector(SMALL, weights, path, "cpu")


@pytest.mark.parametrize("content", [b"", b"\n  \n"])
def test_a_file_without_names_is_refused(tmp_path, content):
    (tmp_path / "no.names").write_bytes(content)
    with pytest.raises(ValueError, match=r"no.names must hold the names of classes, one a line, got none"):
        read_names(tmp_path / "no.names")


def test_a_file_of_names_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "no.names").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"no.names is no file of names in UTF-8"):
        read_names(tmp_path / "no.names")


@pytest.mark.parametrize("num_classes", [0, -1])
def test_a_number_of_classes_below_one_is_refused(num_classes):
    with pytest.raises(ValueError, match=f"num_classes must be at least 1, got {num_classes}"):
        default_names(num_classes)


# Files that do not fit


@pytest.mark.parametrize("missing", ["config", "weights", "names"])
def test_a_missing_file_is_named(weights, tmp_path, missing):
    files = {"config": SMALL, "weights": weights, "names": None, missing: tmp_path / "nowhere"}
    with pytest.raises(FileNotFoundError, match="nowhere is not there: expected"):
        darknet_detector(**files, device="cpu")


def test_weights_of_another_network_are_refused_with_their_name(weights, tmp_path):
    config = changed(tmp_path, ("filters=160", "filters=128"))
    with pytest.raises(ValueError, match=r"small.weights is too long: .* left over"):
        darknet_detector(config, weights, device="cpu")


def test_weights_that_are_cut_short_are_refused(weights, tmp_path):
    (tmp_path / "cut.weights").write_bytes(weights.read_bytes()[:-400])
    with pytest.raises(ValueError, match=r"cut.weights is too short: layer 28 .*wants \d+ bytes, \d+ are left"):
        darknet_detector(SMALL, tmp_path / "cut.weights", device="cpu")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("filters=24", "filters=25", r"changed.cfg: line \d+, \[yolo\]: 3 boxes of 3 classes need filters=24"),
        ("height=256", "height=250", r"changed.cfg: line 2, \[net\]: size must be multiples of the largest stride, 32"),
        ("channels=3", "channels=1", r"changed.cfg must be for pictures with channels=3, got 1$"),
        ("[upsample]", "[reorg]", r"changed.cfg, line \d+: section must be one of .*got 'reorg'"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused_with_its_name(weights, tmp_path, old, new, message):
    with pytest.raises(ValueError, match=message):
        darknet_detector(changed(tmp_path, (old, new)), weights, device="cpu")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "tpu"}, "device must be auto, cpu, gpu or gpu\\(N\\), got 'tpu'"),
        ({"device": "cpu", "batch_size": 0}, "batch_size must be at least 1, got 0"),
    ],
)
def test_a_wrong_argument_is_refused_before_a_file_is_read(arguments, message):
    with pytest.raises(ValueError, match=message):
        darknet_detector("nowhere.cfg", "nowhere.weights", **arguments)
