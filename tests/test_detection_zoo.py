"""Detectors of gluoncv's zoo: how they are asked, what is said when their weights cannot be had; no network."""

import hashlib
import os
import socket

import cv2
import numpy as np
import pytest
from PIL import Image

from gluonbook import _mxnet
from gluonbook._mxnet import mx, nd
from gluonbook.data.pictures import read_picture
from gluonbook.detection import inference, zoo

NAME = "ssd_512_mobilenet1.0_voc"
VOC = ("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow")  # the first ten


def noise(height, width, seed=0):
    return np.random.default_rng([seed, height, width]).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def gluoncv():
    return _mxnet.gluoncv()


@pytest.fixture(scope="module")
def net(gluoncv):
    """gluoncv's SSD with random weights of He's deviation, so that what it says depends on what it sees."""
    net = gluoncv.model_zoo.get_model(NAME, pretrained=False, pretrained_base=False)
    net.initialize()
    net(nd.zeros((1, 3, 512, 512)))
    rng = np.random.default_rng(0)
    for name, param in net._collect_params_with_prefix().items():
        if name.endswith("weight"):
            param.set_data(nd.array(rng.normal(0, np.sqrt(2 / np.prod(param.shape[1:])), param.shape)))
        elif "anchors" not in name:
            param.set_data(nd.ones(param.shape) if name.endswith(("gamma", "var")) else nd.zeros(param.shape))
    return net


@pytest.fixture
def present(monkeypatch, gluoncv):
    """Call it with a network: the zoo returns it as if its weights were there; returns what the zoo was asked."""

    def give(network):
        asked = []
        monkeypatch.setattr(gluoncv.model_zoo, "get_model", lambda name, **how: asked.append((name, how)) or network)
        return asked

    monkeypatch.delenv("MXNET_HOME", raising=False)
    return give


class Saying:
    """A stand-in for a network of gluoncv: it says the rows that it is given, and keeps what it was shown."""

    classes = ("cat", "dog")

    def __init__(self, rows=((0, 0.5, 0, 0, 32, 32),)):
        self.rows, self.shown = np.array(rows, np.float32), []

    def hybridize(self):
        pass

    def __call__(self, X):
        self.shown.append(X.asnumpy())
        return tuple(nd.array(self.rows[None, :, part]) for part in (slice(0, 1), slice(1, 2), slice(2, 6)))


# Names


def test_the_names_are_ssd_and_yolo_with_published_weights_that_gluoncv_can_make(gluoncv):
    names = zoo.pretrained_names()
    assert {NAME, "ssd_300_vgg16_atrous_voc", "ssd_512_resnet50_v1_coco", "yolo3_darknet53_voc"} <= set(names)
    assert set(names) <= set(gluoncv.model_zoo.get_model_list())
    assert all(gluoncv.model_zoo.model_store.short_hash(name) for name in names)
    assert [name for name in names if "rcnn" in name or "resnet50_v1b" in name] == []


def test_every_name_has_a_side():
    for name in zoo.pretrained_names():
        sides = [side for prefix, side in zoo.SHORT_SIDE.items() if name.startswith(prefix)]
        assert len(sides) == 1
        assert str(sides[0]) in name or name.startswith("yolo3")


@pytest.mark.parametrize("name", ["ssd_9000", "faster_rcnn_resnet50_v1b_voc", "resnet18_v1", ""])
def test_an_unknown_name_is_refused_and_the_known_ones_are_listed(name):
    with pytest.raises(ValueError, match=f"got '{name}'$") as error:
        zoo.pretrained_detector(name, "cpu")
    assert str(error.value).startswith("pretrained must be one of ssd_")
    assert all(known in str(error.value) for known in zoo.pretrained_names())


def test_a_wrong_device_is_refused_before_anything_is_fetched(present):
    asked = present(Saying())
    with pytest.raises(ValueError, match="device must be auto"):
        zoo.pretrained_detector(NAME, "tpu")
    assert asked == []


def test_pictures_that_are_cut_short_are_still_refused_when_gluoncv_is_there(gluoncv, tmp_path):
    """Its import switches Pillow's own check off, for the whole process."""
    Image.fromarray(noise(200, 200)).save(tmp_path / "cut.jpg")
    os.truncate(tmp_path / "cut.jpg", 5000)
    with pytest.raises(ValueError, match="is cut short"):
        read_picture(tmp_path / "cut.jpg")


# Weights


@pytest.fixture
def unreachable(monkeypatch):
    """gluoncv's downloads go to a port of this machine at which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    monkeypatch.setenv("MXNET_GLUON_REPO", f"http://127.0.0.1:{port}/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("MXNET_HOME", raising=False)


def test_weights_that_cannot_be_had_are_named_with_their_place_and_the_alternatives(unreachable, tmp_path, capsys):
    with pytest.raises(FileNotFoundError) as error:
        zoo.pretrained_detector(NAME.upper(), "cpu", tmp_path / "weights")
    told = str(error.value)
    assert told.startswith(f"the weights of {NAME} are not here and could not be downloaded (")
    assert "127.0.0.1" in told
    # The file's name ends in the first 8 digits of the digest in gluoncv's model_store.py.
    assert f"Put the file {NAME}-37c18076.params into {tmp_path / 'weights'} by hand" in told
    assert "without --pretrained" in told
    assert "gluonbook detect-train, then --model" in told
    assert "\n" not in told
    assert error.value.__cause__ is None
    assert capsys.readouterr().out == ""  # gluoncv prints what it downloads: standard output is for results


def test_the_place_of_the_weights_is_gluoncvs_own_where_its_variable_is_set(unreachable, tmp_path, monkeypatch):
    monkeypatch.setenv("MXNET_HOME", str(tmp_path / "home"))
    with pytest.raises(FileNotFoundError) as error:
        zoo.pretrained_detector(NAME, "cpu", tmp_path / "weights")
    assert f"into {tmp_path / 'home' / 'models'} by hand" in str(error.value)
    assert not (tmp_path / "weights").exists()


def test_weights_in_the_folder_are_taken_without_a_download(unreachable, net, gluoncv, tmp_path, monkeypatch):
    path = tmp_path / "some.params"
    net.save_parameters(str(path))
    digest = hashlib.sha1(path.read_bytes()).hexdigest()
    monkeypatch.setitem(gluoncv.model_zoo.model_store._model_sha1, NAME, digest)
    path.rename(tmp_path / f"{NAME}-{digest[:8]}.params")
    detector = zoo.pretrained_detector(NAME, "cpu", tmp_path)
    assert len(detector.classes) == 20
    assert detector.classes[:10] == VOC
    np.testing.assert_allclose(detector.find([noise(64, 96)])[0], by_hand(net, noise(64, 96), 768, 512), atol=1e-4)


def test_the_zoo_is_asked_for_published_weights_in_the_folder_on_the_device(present):
    asked = present(Saying())
    zoo.pretrained_detector(NAME.upper(), "cpu", "~/weights")
    root = os.path.join(os.path.expanduser("~"), "weights")
    assert asked == [(NAME, {"pretrained": True, "root": root, "ctx": mx.cpu()})]


# Boxes


def by_hand(net, picture, width, height):
    """What gluoncv's network says of a picture, resized to a size, as fractions of it."""
    squeezed = cv2.resize(picture, (width, height)) / 255
    X = (squeezed - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    classes, scores, boxes = net(nd.array(X.transpose(2, 0, 1)[None]))
    rows = np.concatenate([classes[0].asnumpy(), scores[0].asnumpy(), boxes[0].asnumpy()], 1)
    rows = rows[rows[:, 0] >= 0]
    rows[:, 2::2] /= width
    rows[:, 3::2] /= height
    return np.hstack([rows[:, :2], np.minimum(np.maximum(rows[:, 2:], 0), 1)])


@pytest.mark.parametrize(
    ("shape", "side"),
    [
        ((64, 96), (768, 512)),  # the shorter side becomes 512
        ((96, 64), (512, 768)),
        ((1, 1), (512, 512)),
        ((100, 250), (1024, 416)),  # the longer side is at most 1024; the other, 409.6, the next multiple of 32
        ((3, 200), (1024, 288)),  # squeezed, for a network has a last map only from 288 pixels on
    ],
)
def test_boxes_are_fractions_of_the_original_picture_whatever_its_size(present, net, shape, side):
    present(net)
    (rows,) = zoo.pretrained_detector(NAME, "cpu").find([noise(*shape)])
    expected = by_hand(net, noise(*shape), *side)
    assert len(rows) == len(expected) > 0
    np.testing.assert_allclose(rows, expected, atol=1e-4)
    assert (np.diff(rows[:, 1]) <= 0).all()
    assert ((rows[:, 2:] >= 0) & (rows[:, 2:] <= 1)).all()


def test_gluoncvs_own_preset_gives_the_same_boxes(present, net):
    from gluoncv.data.transforms.presets import ssd

    picture = noise(512, 544)  # needs no resizing, in which the two differ
    X, _ = ssd.transform_test(nd.array(picture, dtype="uint8"), short=512)
    classes, scores, boxes = (part[0].asnumpy() for part in net(X))
    present(net)
    (rows,) = zoo.pretrained_detector(NAME, "cpu").find([picture])
    found = classes[:, 0] >= 0
    np.testing.assert_allclose(rows[:, :2], np.hstack([classes, scores])[found], atol=1e-4)
    np.testing.assert_allclose(rows[:, 2:] * (544, 512, 544, 512), boxes[found].clip(0, (544, 512) * 2), atol=0.1)


@pytest.mark.parametrize(
    ("name", "shape", "side"),
    [
        ("ssd_512_vgg16_atrous_voc", (100, 100), (512, 512)),
        ("ssd_300_vgg16_atrous_voc", (100, 100), (288, 288)),  # 300 is no multiple of 32
        ("yolo3_darknet53_voc", (100, 100), (416, 416)),
        ("yolo3_darknet53_voc", (200, 100), (416, 832)),
        ("ssd_300_vgg16_atrous_voc", (1000, 10), (288, 1024)),
    ],
)
def test_each_kind_is_shown_pictures_of_its_size(present, name, shape, side):
    net = Saying()
    present(net)
    zoo.pretrained_detector(name, "cpu").find([noise(*shape)])
    assert [X.shape for X in net.shown] == [(1, 3, side[1], side[0])]


def test_pictures_are_shown_standardised(present):
    net = Saying()
    present(net)
    picture = noise(512, 512)
    zoo.pretrained_detector(NAME, "cpu").find([picture])
    np.testing.assert_allclose(net.shown[0], inference.standardise([picture]), atol=1e-5)


def test_rows_are_sorted_clipped_and_without_padding(present):
    rows = [(0, 0.2, 0, 0, 256, 128), (1, 0.9, -8, -8, 600, 512), (-1, -1, -1, -1, -1, -1), (0, 0.2, 128, 0, 512, 64)]
    present(Saying(rows))
    detector = zoo.pretrained_detector(NAME, "cpu")
    assert detector.classes == ("cat", "dog")
    (found,) = detector.find([noise(100, 100)])  # shown as 512×512
    np.testing.assert_allclose(
        found, [(1, 0.9, 0, 0, 1, 1), (0, 0.2, 0, 0, 0.5, 0.25), (0, 0.2, 0.25, 0, 1, 0.125)], atol=1e-6
    )


def test_nothing_found_is_no_rows_and_no_pictures_are_no_arrays(present):
    present(Saying([(-1, -1, -1, -1, -1, -1)]))
    detector = zoo.pretrained_detector(NAME, "cpu")
    assert [rows.shape for rows in detector.find([noise(5, 5), noise(7, 9)])] == [(0, 6), (0, 6)]
    assert detector.find([]) == []


@pytest.mark.parametrize("name", ["ssd_300_vgg16_atrous_voc", "ssd_512_vgg16_atrous_voc", "ssd_300_resnet34_v1b_coco"])
def test_the_longest_pictures_leave_each_map_of_a_network_its_pixels(gluoncv, name):
    net = gluoncv.model_zoo.get_model(name, pretrained=False, pretrained_base=False)
    outputs = mx.sym.Group(list(net(mx.sym.var("data"))))
    for sides in ((zoo.LEAST_SIDE, zoo.LONG_SIDE), (zoo.LONG_SIDE, zoo.LEAST_SIDE)):
        shapes = outputs.infer_shape(data=(1, 3, *sides))[1]
        assert shapes == [(1, 100, 1), (1, 100, 1), (1, 100, 4)]
