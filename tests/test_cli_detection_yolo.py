"""``gluonbook detect`` with Darknet's files, with gluoncv's YOLOv3, and on a video: what it prints, writes, refuses."""

import json
import os
import re
import shutil

import cv2
import numpy as np
import pytest
import tqdm.auto
from cli_helpers import assert_refused
from PIL import Image

from gluonbook import _files, _mxnet
from gluonbook._mxnet import mx, nd
from gluonbook.cli import detection
from gluonbook.data.pictures import read_picture
from gluonbook.detection import Detector, draw_detections, inference, saved, zoo
from gluonbook.detection import video as videos
from gluonbook.detection.darknet import Darknet, load_darknet_weights, save_darknet_weights
from gluonbook.detection.darknet_config import read_config
from gluonbook.detection.yolo_inference import find_in_letterbox

SMALL = _files.packaged("datasets") / "detection" / "yolo-small.cfg"
FILES = ["--model", "yolo", "--cfg", "small.cfg", "--weights", "small.weights", "--device", "cpu"]
CLASSES = ("cat", "dog")
ROWS = np.array([[1, 0.9, 0.25, 0.125, 0.75, 0.625], [0, 0.5, 0, 0, 1, 1], [1, 0.25, 0, 0, 0.5, 0.5]], np.float32)
THRESHOLD = 0.3  # random weights are sure of little
COUNT, RATE, HEIGHT, WIDTH = 4, 8.0, 48, 64


def noise(height=40, width=60, seed=0):
    return np.random.default_rng([seed, height, width]).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Darknet's file of random weights for the small configuration."""
    net, random = Darknet(read_config(SMALL)), np.random.default_rng(0)
    net.initialize()
    for name, parameter in net.collect_params().items():
        if name.endswith("weight"):
            parameter.set_data(nd.array(random.normal(0, (2 / np.prod(parameter.shape[1:])) ** 0.5, parameter.shape)))
        elif name.endswith(("beta", "bias")):
            parameter.set_data(nd.array(random.normal(0, 0.3, parameter.shape)))
    path = tmp_path_factory.mktemp("darknet") / "small.weights"
    save_darknet_weights(net, path)
    return path


@pytest.fixture
def here(isolated, weights):
    """A working folder with Darknet's files, a picture and a video."""
    folder = isolated / "work" / "here"
    shutil.copy(SMALL, folder / "small.cfg")
    shutil.copy(weights, folder / "small.weights")
    (folder / "farm.names").write_text("猫\ndog\nhen\n", encoding="utf-8")
    Image.fromarray(noise()).save("a.png")
    writer = cv2.VideoWriter("a.avi", cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"MJPG"), RATE, (WIDTH, HEIGHT))
    for i in range(COUNT):
        writer.write(noise(HEIGHT, WIDTH, i))
    writer.release()
    return folder


def direct(pictures, threshold=THRESHOLD):
    """What the network finds without the command: batch norm and all."""
    net = Darknet(read_config("small.cfg"))
    load_darknet_weights(net, "small.weights")
    found = [find_in_letterbox(net, [picture], 256, mx.cpu())[0] for picture in pictures]
    return [rows[rows[:, 1] >= threshold] for rows in found]


def assert_objects(objects, rows, classes, height, width):
    assert [entry["class"] for entry in objects] == [classes[int(kind)] for kind in rows[:, 0]]
    np.testing.assert_allclose([entry["score"] for entry in objects], rows[:, 1], atol=1e-3)
    boxes = rows[:, 2:] * (width, height, width, height)
    np.testing.assert_allclose([entry["box"] for entry in objects], boxes, atol=0.15)


def num_frames(path):
    capture, count = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), 0
    while capture.read()[0]:
        count += 1
    return count


@pytest.fixture
def finding(monkeypatch):
    """A stand-in for detectors of a folder finds ROWS in every picture; returns the folders that were asked for."""
    asked = []

    def make(folder, device):
        asked.append(folder)
        return Detector(CLASSES, lambda pictures: [ROWS.copy() for _ in pictures])

    monkeypatch.setattr(saved, "load_detector", str)
    monkeypatch.setattr(inference, "make_detector", make)
    return asked


@pytest.fixture
def refusing(monkeypatch):
    """Nothing may be read, neither pictures nor models nor videos."""

    def refuse(*arguments):
        raise AssertionError("something was read")

    places = [(detection, "read_picture"), (saved, "load_detector"), (zoo, "pretrained_detector")]
    for module, name in [*places, (videos, "read_video"), (_mxnet, "gluoncv")]:
        monkeypatch.setattr(module, name, refuse)
    monkeypatch.setattr("gluonbook.detection.darknet_files.darknet_detector", refuse)


# Darknet's files


def test_darknets_files_find_in_pictures_what_their_network_finds(here, cli):
    Image.fromarray(noise(300, 100)).save("b.png")
    status, out, _ = cli("detect", "a.png", "b.png", *FILES, "--json", "--threshold", THRESHOLD)
    assert status == 0
    pictures = [noise(), noise(300, 100)]
    for result, picture, rows in zip(json.loads(out), pictures, direct(pictures)):
        assert len(rows) > 3
        assert_objects(result["objects"], rows, ("class 0", "class 1", "class 2"), *picture.shape[:2])


def test_classes_have_the_names_of_a_file(here, cli):
    words = ["--names", "farm.names", "--threshold", THRESHOLD, "-o", "b.png", "--json"]
    status, out, _ = cli("detect", "a.png", *FILES, *words)
    assert status == 0
    (rows,) = direct([noise()])
    assert len(set(rows[:, 0])) > 1
    assert_objects(json.loads(out)[0]["objects"], rows, ("猫", "dog", "hen"), 40, 60)
    drawn, expected = read_picture("b.png"), draw_detections(noise(), rows, ("猫", "dog", "hen"))
    assert (drawn != expected).mean() < 0.02  # a score or a corner may be rounded the other way


def test_a_folder_of_that_name_is_reached_as_any_path(here, cli, finding):
    for folder in ("./yolo", str(here / "yolo"), "yolo/", "yolo3"):
        assert cli("detect", "a.png", "--model", folder, "--json")[0] == 0
    assert finding == ["./yolo", str(here / "yolo"), "yolo/", "yolo3"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "yolo"], "--model yolo needs --cfg FILE and --weights FILE; a folder of that name is ./yolo"),
        (["--model", "yolo", "--cfg", "small.cfg"], "--model yolo needs --cfg FILE and --weights FILE"),
        (["--model", "yolo", "--weights", "small.weights"], "--model yolo needs --cfg FILE and --weights FILE"),
        (["--model", "yolo", "--names", "farm.names"], "--model yolo needs --cfg FILE and --weights FILE"),
        (["--cfg", "small.cfg", "--weights", "small.weights"], "--cfg goes with --model yolo only"),
        (["--weights", "small.weights"], "--weights goes with --model yolo only"),
        (["--names", "farm.names"], "--names goes with --model yolo only"),
        (["--model", "./yolo", "--cfg", "small.cfg"], "--cfg goes with --model yolo only"),
        (["--pretrained", "yolo3_darknet53_coco", "--names", "farm.names"], "--names goes with --model yolo only"),
        ([*FILES, "--pretrained", "yolo3_darknet53_coco"], "give --model or --pretrained, not both"),
        (["--model", "yolo", "--cfg", "no.cfg", "--weights", "small.weights"], "File 'no.cfg' does not exist"),
        (["--model", "yolo", "--cfg", "small.cfg", "--weights", "no"], "File 'no' does not exist"),
        ([*FILES, "--names", "no.names"], "File 'no.names' does not exist"),
        (["--model", "yolo", "--cfg", ".", "--weights", "small.weights"], "File '.' is a directory"),
    ],
)
@pytest.mark.parametrize("source", [["a.png"], ["--video", "a.avi"]])
def test_wrong_words_are_refused_before_anything_is_read(here, cli, refusing, source, words, message):
    assert_refused(cli("detect", *source, *words, "--json"), message)


def test_files_that_do_not_fit_are_refused_in_one_line(here, cli):
    (here / "two.names").write_text("cat\ndog\n")
    result = cli("detect", "a.png", *FILES, "--names", "two.names", "--json")
    assert_refused(result, "two.names must name the 3 classes of small.cfg, got 2 names")
    os.truncate("small.weights", os.path.getsize("small.weights") - 4)
    assert_refused(cli("detect", "a.png", *FILES, "--json"), "small.weights is too short: layer ")
    (here / "small.cfg").write_text("[net]\nwidth=32\n[yolo]\n")
    assert_refused(cli("detect", "a.png", *FILES, "--json"), "small.cfg, line 1, [net]: ")


# gluoncv's YOLOv3


def test_gluoncvs_yolov3_of_coco_finds_what_its_network_says(here, cli, monkeypatch):
    gluoncv = _mxnet.gluoncv()
    name, size = "yolo3_darknet53_coco", 416
    assert name in zoo.pretrained_names()
    net = gluoncv.model_zoo.get_model(name, pretrained=False, pretrained_base=False)
    mx.random.seed(0)
    net.initialize(mx.init.Xavier(magnitude=3))
    asked = []
    monkeypatch.setattr(gluoncv.model_zoo, "get_model", lambda name, **how: asked.append((name, how)) or net)
    monkeypatch.delenv("MXNET_HOME", raising=False)
    picture = noise(100, 100)
    Image.fromarray(picture).save("a.png")
    status, out, _ = cli("detect", "a.png", "--pretrained", name, "--json", "--threshold", 0, "--device", "cpu")
    assert status == 0
    assert [(name, how["pretrained"]) for name, how in asked] == [(name, True)]
    X = (cv2.resize(picture, (size, size)) / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    kinds, scores, boxes = (part[0].asnumpy() for part in net(nd.array(X.transpose(2, 0, 1)[None])))
    kept = kinds[:, 0] >= 0
    rows = np.hstack([kinds, scores, np.clip(boxes / size, 0, 1)])[kept]
    assert len(rows) > 3
    assert len(net.classes) == 80
    assert_objects(json.loads(out)[0]["objects"], rows, net.classes, 100, 100)


# Videos


def test_darknets_files_find_in_each_frame_what_their_network_finds(here, cli):
    status, out, err = cli("detect", "--video", "a.avi", *FILES, "--json", "--threshold", THRESHOLD)
    assert status == 0
    frames = json.loads(out)
    assert [frame["frame"] for frame in frames] == [0, 1, 2, 3]
    assert [frame["seconds"] for frame in frames] == [0, 0.125, 0.25, 0.375]
    pictures = list(videos.read_video("a.avi").pictures)
    expected = direct(pictures)
    for frame, rows in zip(frames, expected):
        assert (frame["width"], frame["height"]) == (WIDTH, HEIGHT)
        assert len(rows) > 3
        assert_objects(frame["objects"], rows, ("class 0", "class 1", "class 2"), HEIGHT, WIDTH)
    found = sum(map(len, expected))
    assert re.fullmatch(rf"a.avi: 4 frames, [\d.e+]+ frames/s, {found} objects found\n", err)
    assert sorted(os.listdir(".")) == ["a.avi", "a.png", "farm.names", "small.cfg", "small.weights"]


def test_json_of_frames_is_that_of_pictures_with_number_and_time(here, cli, finding):
    _, out, _ = cli("detect", "--video", "a.avi", "--json")
    objects = [
        {"class": "dog", "score": 0.9, "box": [16.0, 6.0, 48.0, 30.0]},
        {"class": "cat", "score": 0.5, "box": [0.0, 0.0, 64.0, 48.0]},
    ]
    entry = {"frame": 1, "seconds": 0.125, "width": WIDTH, "height": HEIGHT, "objects": objects}
    assert json.loads(out)[1] == entry
    assert finding == [str(saved.embedded_detector())]


def test_a_video_is_drawn_and_its_frames_and_speed_are_printed(here, cli, finding):
    status, out, err = cli("detect", "--video", "a.avi", "-o", "new/b.mp4", "--model", "mine")
    assert (status, err) == (0, "")
    told = rf"a.avi: 4 frames, ([\d.e+]+) frames/s, 8 objects found  -> {os.path.join('new', 'b.mp4')}\n"
    assert float(re.fullmatch(told, out)[1]) > 0
    assert num_frames("new/b.mp4") == COUNT
    assert cv2.VideoCapture("new/b.mp4").get(cv2.CAP_PROP_FPS) == RATE
    drawn = next(videos.read_video("new/b.mp4").pictures).astype(int)
    picture = next(videos.read_video("a.avi").pictures)
    expected = draw_detections(picture, ROWS[:2], CLASSES)
    assert np.abs(drawn - expected).mean() < np.abs(drawn - picture).mean()
    assert finding == ["mine"]


def test_a_drawn_video_and_json_may_be_had_together_and_only_json_is_printed(here, cli, finding):
    status, out, err = cli("detect", "--video", "a.avi", "--json", "-o", "b.avi", "--threshold", 0.25)
    assert status == 0
    assert [len(frame["objects"]) for frame in json.loads(out)] == [3] * COUNT
    assert re.fullmatch(r"a.avi: 4 frames, [\d.e+]+ frames/s, 12 objects found  -> b.avi\n", err)
    assert num_frames("b.avi") == COUNT


def test_a_detector_of_the_zoo_goes_through_a_video(here, cli, monkeypatch):
    detector = Detector(("bus",), lambda pictures: [np.array([[0, 0.8, 0, 0, 0.5, 0.5]])])
    monkeypatch.setattr(zoo, "pretrained_detector", lambda name, device: detector)
    status, out, _ = cli("detect", "--video", "a.avi", "--pretrained", "yolo3_darknet53_coco", "--json")
    assert status == 0
    assert [frame["objects"][0]["class"] for frame in json.loads(out)] == ["bus"] * COUNT


def test_a_bar_counts_the_frames_in_a_terminal(here, cli, finding, monkeypatch):
    made, real = [], tqdm.auto.tqdm
    monkeypatch.setattr(tqdm.auto, "tqdm", lambda frames, **how: made.append(how) or real(frames, disable=True))
    assert cli("detect", "--video", "a.avi", "-o", "b.avi")[0] == 0
    assert [(how["total"], how["disable"]) for how in made] == [(COUNT, None)]


@pytest.fixture
def interrupted(monkeypatch):
    """Call it with a number of frames: after them there is a Ctrl-C."""

    def after(count):
        asked = []

        def find(pictures):
            asked.append(pictures)
            if len(asked) > count:
                raise KeyboardInterrupt
            return [ROWS.copy()]

        monkeypatch.setattr(saved, "load_detector", str)
        monkeypatch.setattr(inference, "make_detector", lambda folder, device: Detector(CLASSES, find))

    return after


def test_ctrl_c_keeps_the_frames_so_far_and_says_how_many(here, cli, interrupted):
    interrupted(3)
    status, out, err = cli("detect", "--video", "a.avi", "-o", "b.mp4", "--json")
    assert status == 130
    assert [frame["frame"] for frame in json.loads(out)] == [0, 1, 2]
    assert re.fullmatch(r"stopped after 3 frames, which are in b.mp4; [\d.e+]+ frames/s", err.strip())
    assert num_frames("b.mp4") == 3


def test_ctrl_c_while_a_frame_is_written_counts_it(here, cli, finding, monkeypatch):
    def stop(*arguments, **how):
        yield videos.Frame(0, 0.0, noise(), ROWS)
        raise KeyboardInterrupt(2)

    monkeypatch.setattr(videos, "detect_video", stop)
    status, _, err = cli("detect", "--video", "a.avi", "-o", "b.avi")
    assert status == 130
    assert err.strip().startswith("stopped after 2 frames, which are in b.avi; ")


def test_ctrl_c_without_a_video_to_write_says_how_many_frames_there_were(here, cli, interrupted):
    interrupted(2)
    status, out, err = cli("detect", "--video", "a.avi", "--json")
    assert (status, len(json.loads(out))) == (130, 2)
    assert re.fullmatch(r"stopped after 2 frames; [\d.e+]+ frames/s", err.strip())


def test_ctrl_c_in_the_first_frame_writes_nothing(here, cli, interrupted):
    interrupted(0)
    status, out, err = cli("detect", "--video", "a.avi", "-o", "b.mp4")
    assert (status, out) == (130, "")
    assert err.strip() == "stopped after 0 frames; 0 frames/s"
    assert not os.path.exists("b.mp4")


def test_ctrl_c_between_frames_keeps_those_before(here, cli, finding, monkeypatch):
    def stop(rows, picture, classes):
        raise KeyboardInterrupt

    monkeypatch.setattr(detection, "_as_plain", stop)
    status, out, err = cli("detect", "--video", "a.avi", "-o", "b.avi", "--json")
    assert (status, json.loads(out)) == (130, [])
    assert err.strip().startswith("stopped after 1 frames, which are in b.avi; ")
    assert num_frames("b.avi") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "say where the drawn video goes (-o), or --json for numbers"),
        (["a.png", "--json"], "give PICTUREs or --video, not both"),
        (["-o", "a.avi"], "a.avi would overwrite the video that is read: give another place"),
        (["-o", "b.webm"], "b.webm must be a file's name that ends in one of .mp4, .mov, .avi, .mkv"),
        (["-o", "out"], "out must be a file's name that ends in one of"),
        (["-o", "b.png"], "b.png must be a file's name that ends in one of"),
        (["--json", "--threshold", "2"], "--threshold must be from 0 to 1, got 2.0"),
    ],
)
def test_wrong_words_about_a_video_are_refused_before_anything_is_read(here, cli, refusing, words, message):
    before = sorted(os.listdir("."))
    assert_refused(cli("detect", "--video", "a.avi", *words), message)
    assert sorted(os.listdir(".")) == before


@pytest.mark.parametrize("name", ["nowhere.avi", "."])
def test_a_video_that_is_not_there_is_refused(here, cli, refusing, name):
    assert_refused(cli("detect", "--video", name, "--json"), f"'{name}'")


@pytest.mark.parametrize("words", [["--json"], ["-o", "b.mp4"]])
def test_a_file_that_is_no_video_is_refused_in_one_line(here, cli, finding, words):
    before = sorted(os.listdir("."))
    result = cli("detect", "--video", "small.cfg", *words)
    assert_refused(result, "small.cfg is not a video that can be read")
    assert sorted(os.listdir(".")) == before


def test_an_error_in_a_frame_is_one_line_and_writes_nothing(here, cli, monkeypatch):
    def find(pictures):
        raise RuntimeError("Traceback\nout of memory")

    monkeypatch.setattr(saved, "load_detector", str)
    monkeypatch.setattr(inference, "make_detector", lambda folder, device: Detector(CLASSES, find))
    assert cli("detect", "--video", "a.avi", "-o", "b.mp4", "--json") == (2, "", "gluonbook: out of memory\n")
    assert not os.path.exists("b.mp4")


def test_a_video_that_is_cut_short_is_told_in_a_line(here, cli, finding):
    os.truncate("a.avi", os.path.getsize("a.avi") * 2 // 3)
    status, out, err = cli("detect", "--video", "a.avi", "--json")
    assert status == 0
    count = len(json.loads(out))
    assert 0 < count < COUNT
    assert err.splitlines()[0] == f"gluonbook: {count} frames could be read; the file tells of {COUNT}"


def test_help_names_the_video_and_darknets_files(cli):
    status, out, _ = cli("detect", "--help")
    assert status == 0
    assert "[PICTURE...]" in out
    assert all(flag in out for flag in ("--video FILE", "--cfg FILE", "--weights FILE", "--names FILE"))
