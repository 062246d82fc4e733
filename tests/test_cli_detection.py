"""``gluonbook detect`` and ``detect-train``: what they write and print, their defaults, errors, and Ctrl-C."""

import inspect
import json
import math
import os
import shlex
import shutil

import click
import numpy as np
import pytest
from cli_helpers import assert_refused
from PIL import Image

from gluonbook import plot
from gluonbook import training as shared
from gluonbook._mxnet import mx, nd
from gluonbook.cli import detection
from gluonbook.data import detection as sets
from gluonbook.data.pictures import read_picture
from gluonbook.data.records import write_records
from gluonbook.detection import (
    Detector,
    TrainedDetector,
    draw_detections,
    inference,
    load_detector,
    save_detector,
    saved,
    training,
    zoo,
)
from gluonbook.detection.ssd import NETWORKS

CLASSES = ("猫", "dog", "hen")
BOX = (0.25, 0.125, 0.75, 0.625)
ROWS = np.array(
    [[1, 0.9, *BOX], [0, 0.75, 0, 0, 1, 1], [1, 0.5, 0, 0.5, 0.5, 1], [2, 0.25, 0, 0, 0.1, 0.1]], np.float32
)
SMALL = ["--epochs", "1", "--size", "64", "--batch-size", "2", "--device", "cpu"]
NUM_TRAIN, NUM_VAL = 4, 2
HEIGHT, WIDTH = 40, 60


@pytest.fixture
def here(isolated):
    """An empty working folder."""
    return isolated / "work" / "here"


def noise(height=HEIGHT, width=WIDTH, seed=0):
    return np.random.default_rng([seed, height, width]).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_pictures(*names):
    for i, name in enumerate(names):
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        Image.fromarray(noise(seed=i)).save(name)


@pytest.fixture
def finding(here, monkeypatch):
    """A stand-in for the detector finds ROWS in every picture; returns what was asked for: folders and devices."""
    asked = []

    def make(model, device):
        asked.append((model, device))
        return Detector(CLASSES, lambda pictures: [ROWS.copy() for _ in pictures])

    monkeypatch.setattr(saved, "load_detector", lambda folder: str(folder))
    monkeypatch.setattr(inference, "make_detector", make)
    return asked


def last_line(text):
    return text.replace("\r", "\n").strip().splitlines()[-1]


# detect: boxes


@pytest.fixture(scope="module")
def knowing():
    """A detector that finds a dog at BOX in any picture: all weights are 0, and the last map's first anchor is biased.

    That anchor is as wide and as high as 0.88 of the picture, about its centre.
    """
    net = NETWORKS["tiny"](len(CLASSES))
    net.initialize(mx.init.Zero())
    net(nd.zeros((1, 3, 64, 64)))
    weights = {name: np.zeros(param.shape, np.float32) for name, param in net._collect_params_with_prefix().items()}
    for i in range(5):
        weights[f"cls_heads.{i}.bias"].reshape(4, 4)[:, 0] = 12
    weights["cls_heads.4.bias"][:4] = 0, 0, 12, 0
    left, top, right, bottom = BOX
    centre = [((left + right) / 2 - 0.5) / 0.88 / 0.1, ((top + bottom) / 2 - 0.5) / 0.88 / 0.1]
    weights["box_heads.4.bias"][:4] = [*centre, *(math.log(side / 0.88) / 0.2 for side in (right - left, bottom - top))]
    return TrainedDetector(weights, CLASSES, {"network": "tiny", "size": 64})


@pytest.mark.parametrize("shape", [(80, 200), (200, 80), (64, 64), (8, 8)])
def test_a_known_box_is_printed_in_pixels(here, cli, knowing, shape):
    save_detector("model", knowing)
    Image.fromarray(noise(*shape)).save("a.png")
    status, out, err = cli("detect", "a.png", "--model", "model", "--json", "--device", "cpu")
    assert (status, err) == (0, "")
    (result,) = json.loads(out)
    (found,) = result.pop("objects")
    height, width = shape
    assert result == {"picture": "a.png", "width": width, "height": height}
    assert found.pop("box") == pytest.approx([0.25 * width, 0.125 * height, 0.75 * width, 0.625 * height], abs=0.051)
    assert found == {"class": "dog", "score": pytest.approx(1, abs=1e-4)}


def test_boxes_are_plain_numbers_to_a_tenth_of_a_pixel_best_first(here, cli, finding):
    write_pictures("a.png")
    status, out, _ = cli("detect", "a.png", "--json")
    assert status == 0
    assert json.loads(out)[0]["objects"] == [  # of 60×40 pixels
        {"class": "dog", "score": 0.9, "box": [15.0, 5.0, 45.0, 25.0]},
        {"class": "猫", "score": 0.75, "box": [0.0, 0.0, 60.0, 40.0]},
        {"class": "dog", "score": 0.5, "box": [0.0, 20.0, 30.0, 40.0]},
    ]
    assert "猫" in out  # not as \\u732b


@pytest.mark.parametrize(("threshold", "count"), [(0, 4), (0.25, 4), (0.26, 3), (0.75, 2), (0.9, 1), (0.91, 0), (1, 0)])
def test_the_threshold_is_the_smallest_score_that_counts(here, cli, finding, threshold, count):
    write_pictures("a.png")
    _, out, _ = cli("detect", "a.png", "--json", "--threshold", threshold)
    assert len(json.loads(out)[0]["objects"]) == count


def test_without_a_threshold_it_is_a_half(here, cli, finding):
    write_pictures("a.png")
    assert cli("detect", "a.png", "--json") == cli("detect", "a.png", "--json", "--threshold", 0.5)


def test_json_and_drawings_may_be_had_together_and_only_json_is_printed(here, cli, finding):
    write_pictures("a.png", "b.png")
    status, out, err = cli("detect", "a.png", "b.png", "--json", "-o", "out")
    assert status == 0
    assert [result["drawn"] for result in json.loads(out)] == [os.path.join("out", name) for name in ("a.png", "b.png")]
    assert sorted(os.listdir("out")) == ["a.png", "b.png"]
    assert err == "2 of 2 pictures done, 6 objects found, 0 failed\n"


# detect: drawings


def test_one_picture_goes_to_a_file_with_its_boxes_drawn_in(here, cli, finding):
    write_pictures("a.png")
    status, out, err = cli("detect", "a.png", "-o", "new/b.png")
    assert (status, err) == (0, "")
    assert out == f"a.png: dog 0.90 0.50, 猫 0.75  -> {os.path.join('new', 'b.png')}\n"
    np.testing.assert_array_equal(read_picture("new/b.png"), draw_detections(noise(), ROWS[:3], CLASSES))
    assert os.listdir("new") == ["b.png"]


def test_one_picture_goes_to_a_folder_under_its_own_name(here, cli, finding):
    write_pictures("a.png")
    os.mkdir("there.png")  # a folder, whatever its name
    for folder in ("new", "there.png"):
        assert cli("detect", "a.png", "-o", folder)[0] == 0
        assert os.listdir(folder) == ["a.png"]


@pytest.mark.parametrize("places", [["p/a.png", "p/b.jpg", "p/c.png"], ["p"], ["p/*"], ["p/c.png", "p", "p/*.jpg"]])
def test_several_pictures_a_folder_or_a_glob_go_to_a_folder(here, cli, finding, places):
    write_pictures("p/a.png", "p/b.jpg", "p/c.png")
    status, out, err = cli("detect", *places, "-o", "out")
    assert status == 0
    assert sorted(os.listdir("out")) == ["a.png", "b.jpg", "c.png"]
    assert sorted(line.split(":")[0] for line in out.splitlines()) == ["p/a.png", "p/b.jpg", "p/c.png"]
    assert err == "3 of 3 pictures done, 9 objects found, 0 failed\n"
    np.testing.assert_array_equal(read_picture("out/c.png"), draw_detections(noise(seed=2), ROWS[:3], CLASSES))


@pytest.mark.parametrize("suffix", detection.WRITABLE)
def test_a_drawing_has_the_format_of_its_name(here, cli, finding, suffix):
    write_pictures("a.png")
    assert cli("detect", "a.png", "-o", f"b{suffix}")[0] == 0
    with Image.open(f"b{suffix}") as image:
        assert image.format == Image.registered_extensions()[suffix]
    drawn = draw_detections(noise(), ROWS[:3], CLASSES)
    if suffix in (".png", ".bmp", ".tif", ".tiff"):
        np.testing.assert_array_equal(read_picture(f"b{suffix}"), drawn)
    else:
        assert np.abs(read_picture(f"b{suffix}").astype(int) - drawn).mean() < 30  # noise is what these compress worst


def test_pictures_of_other_formats_are_drawn_as_png(here, cli, finding):
    write_pictures("a.gif", "b.JPG", "c.ppm")
    assert cli("detect", "a.gif", "b.JPG", "c.ppm", "-o", "out")[0] == 0
    assert sorted(os.listdir("out")) == ["a.png", "b.JPG", "c.png"]


def test_names_that_collide_are_numbered(here, cli, finding):
    places = ["1/a.png", "2/a.png", "3/A.png", "4/a-2.png", "5/a.gif", "6/a.jpg"]
    write_pictures(*places)
    status, out, _ = cli("detect", *places, "-o", "out")
    assert status == 0
    names = [os.path.basename(line.split("-> ")[1]) for line in out.splitlines()]
    assert names == ["a.png", "a-2.png", "A-3.png", "a-2-2.png", "a-4.png", "a.jpg"]
    assert sorted(os.listdir("out")) == sorted(names)
    for i in (0, 1, 2, 3):
        np.testing.assert_array_equal(
            read_picture(f"out/{names[i]}"), draw_detections(noise(seed=i), ROWS[:3], CLASSES)
        )


def test_a_drawing_takes_the_place_of_an_older_one(here, cli, finding):
    write_pictures("a.png", "b.png")
    assert cli("detect", "a.png", "-o", "b.png")[0] == 0
    np.testing.assert_array_equal(read_picture("b.png"), draw_detections(noise(), ROWS[:3], CLASSES))


@pytest.fixture
def refusing(monkeypatch):
    """Nothing may be read, neither pictures nor models."""

    def refuse(*arguments):
        raise AssertionError("something was read")

    for module, name in ((detection, "read_picture"), (saved, "load_detector"), (zoo, "pretrained_detector")):
        monkeypatch.setattr(module, name, refuse)


@pytest.mark.parametrize(
    ("places", "out"),
    [
        (["a.png"], "a.png"),
        (["a.png"], "./p/../a.png"),
        (["a.png"], "link.png"),
        (["link.png"], "a.png"),
        (["a.png"], "."),
        (["p"], "p"),
        (["a.png", "p/a.png"], "p"),
    ],
)
def test_a_drawing_over_a_picture_that_is_read_is_refused_before_anything_is_read(here, cli, refusing, places, out):
    write_pictures("a.png", "p/a.png", "p/b.png")
    os.symlink("a.png", "link.png")
    assert_refused(cli("detect", *places, "-o", out), "would overwrite the picture that is read")
    np.testing.assert_array_equal(read_picture("a.png"), noise(seed=0))


@pytest.mark.parametrize(
    ("places", "out", "message"),
    [
        (["p"], "old.png", "old.png is a file's name: 2 drawn pictures need a folder (-o)"),
        (["p"], "old.txt", "old.txt is a file's name: 2 drawn pictures need a folder (-o)"),
        (["p"], "new.png", "new.png is a file's name: 2 drawn pictures need a folder (-o)"),
        (["p/a.png"], "old.txt", "old.txt is a file's name: the name of a drawn picture ends in one of .jpg, .jpeg, "),
        (["p/a.png"], "new.gif", "new.gif is a file's name: the name of a drawn picture ends in one of .jpg, .jpeg, "),
        (["p"], None, "say where the drawn pictures go (-o), or --json for numbers"),
        (["p", "--model", "m", "--pretrained", "ssd"], "out", "give --model or --pretrained, not both"),
        (["p", "--threshold", "-0.1"], "out", "--threshold must be from 0 to 1, got -0.1"),
        (["p", "--threshold", "1.1"], "out", "--threshold must be from 0 to 1, got 1.1"),
        (["p", "--threshold", "nan"], "out", "--threshold must be from 0 to 1, got nan"),
        (["p", "--threshold", "low"], "out", "'low' is not a valid float"),
        (["nowhere/*.png"], "out", "nowhere/*.png matches no file"),
        (["p", "empty"], "out", "empty holds no picture"),
        ([], "out", "Missing argument 'PICTURE...'"),
        (["p", "--no-such-flag"], "out", "--no-such-flag"),
    ],
)
def test_wrong_words_are_refused_in_one_line_before_anything_is_read(here, cli, refusing, places, out, message):
    write_pictures("p/a.png", "p/b.png", "old.png")
    (here / "old.txt").write_text("mine", encoding="utf-8")
    os.mkdir("empty")
    assert_refused(cli("detect", *places, *(["-o", out] if out else [])), message)
    assert sorted(os.listdir(".")) == ["empty", "old.png", "old.txt", "p"]


def test_a_device_that_is_none_is_refused(here, cli, knowing):
    save_detector("model", knowing)
    write_pictures("a.png")
    result = cli("detect", "a.png", "--model", "model", "--json", "--device", "tpu")
    assert_refused(result, "device must be auto, cpu, gpu or gpu(N), got 'tpu'")


# detect: which detector


def test_the_embedded_detector_is_taken_on_the_device_that_works(here, cli, finding):
    write_pictures("a.png", "b.png")
    cli("detect", "a.png", "b.png", "--json")
    assert finding == [(str(saved.embedded_detector()), "auto")]


def test_a_model_of_ones_own_is_taken_on_the_device_that_is_given(here, cli, finding):
    write_pictures("a.png")
    cli("detect", "a.png", "--json", "--model", "mine", "--device", "gpu(0)")
    assert finding == [("mine", "gpu(0)")]


def test_a_detector_of_the_zoo_is_asked_for_by_its_name(here, cli, monkeypatch):
    asked = []

    def give(name, device):
        asked.append((name, device))
        return Detector(("bus",), lambda pictures: [np.array([[0, 0.8, 0, 0, 0.5, 0.5]])])

    monkeypatch.setattr(zoo, "pretrained_detector", give)
    write_pictures("a.png")
    status, out, _ = cli("detect", "a.png", "--pretrained", "yolo3_darknet53_voc", "--device", "cpu", "--json")
    assert (status, asked) == (0, [("yolo3_darknet53_voc", "cpu")])
    assert json.loads(out)[0]["objects"] == [{"class": "bus", "score": 0.8, "box": [0, 0, 30, 20]}]


def test_an_unknown_name_of_the_zoo_lists_the_names(here, cli):
    write_pictures("a.png")
    result = cli("detect", "a.png", "--pretrained", "ssd_9000", "--json")
    assert_refused(result, "pretrained must be one of ssd_300_vgg16_atrous_voc, ")


def test_a_missing_model_says_how_to_make_one(here, cli):
    write_pictures("a.png")
    result = cli("detect", "a.png", "--model", "nowhere", "--json")
    assert_refused(result, "no model in this folder; gluonbook detect-train DATA --out nowhere makes one")


def test_a_broken_model_is_refused_in_one_line(here, cli, knowing):
    save_detector("model", knowing)
    write_pictures("a.png")
    path = here / "model" / "model.params"
    path.write_bytes(path.read_bytes()[:200])
    assert_refused(cli("detect", "a.png", "--model", "model", "--json"), "model.params")


# detect: pictures of all kinds


def write_kinds(folder):
    """Pictures of every kind: (height, width) by name, or the words of the error."""
    os.mkdir(folder)
    colours, place = noise(20, 40), os.path.join(folder, "")
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be turned by a quarter
    Image.fromarray(colours[..., 0]).save(place + "grey.png")
    Image.fromarray(np.dstack([colours, colours[..., 0]])).save(place + "clear.png")
    Image.fromarray(colours).convert("CMYK").save(place + "ink.jpg")
    Image.fromarray(colours[..., 0].astype(np.uint16) * 257).save(place + "deep.png")
    Image.fromarray(colours).save(place + "turned.jpg", exif=exif)
    Image.fromarray(colours[:1, :1]).save(place + "dot.png")
    Image.fromarray(colours[:3, :]).save(place + "strip.bmp")
    Image.fromarray(noise(200, 200)).save(place + "cut.jpg")
    os.truncate(place + "cut.jpg", os.path.getsize(place + "cut.jpg") // 2)
    Image.fromarray(noise(200, 200)).save(place + "half.png")
    os.truncate(place + "half.png", os.path.getsize(place + "half.png") // 2)
    with open(place + "blank.png", "w"), open(place + "words.jpg", "w") as file:
        file.write("not a picture")
    good = dict.fromkeys(["grey.png", "clear.png", "ink.jpg", "deep.png"], (20, 40))
    good.update({"turned.jpg": (40, 20), "dot.png": (1, 1), "strip.bmp": (3, 40)})
    bad = {"cut.jpg": "is cut short", "half.png": "is cut short", "blank.png": "is empty: 0 bytes"}
    bad.update({"words.jpg": "is not a picture: no known format", "gone.png": "is not there"})
    return good, bad


def test_each_picture_works_or_gets_its_own_line_while_the_others_go_on(here, cli, finding):
    good, bad = write_kinds("p")
    status, out, err = cli("detect", "p", "p/gone.png", "-o", "out")
    assert status == 1
    assert sorted(os.listdir("out")) == sorted(good)
    for name, shape in good.items():
        assert read_picture(f"out/{name}").shape == (*shape, 3)
    assert sorted(line.split(": ")[0] for line in out.splitlines()) == sorted(f"p/{name}" for name in good)
    *lines, summary = err.splitlines()
    assert len(lines) == len(bad)
    for name, words in bad.items():
        (line,) = [line for line in lines if f"p/{name} " in line]
        assert line.startswith(f"gluonbook: p/{name} {words}")
    assert summary == f"{len(good)} of {len(good) + len(bad)} pictures done, {3 * len(good)} objects found, 5 failed"
    assert "Traceback" not in err


def test_json_holds_the_errors_in_their_places(here, cli, finding):
    good, bad = write_kinds("p")
    status, out, err = cli("detect", "p/gone.png", "p", "--json")
    assert status == 1
    results = json.loads(out)
    assert [result["picture"] for result in results] == [
        "p/gone.png",
        *sorted(f"p/{n}" for n in {*good, *bad} - {"gone.png"}),
    ]
    for result in results:
        name = os.path.basename(result["picture"])
        if name in good:
            assert (result["height"], result["width"]) == good[name]
            assert len(result["objects"]) == 3
            assert "error" not in result
        else:
            assert set(result) == {"picture", "error"}
            assert result["error"].startswith(f"p/{name} {bad[name]}")
            assert f"gluonbook: {result['error']}\n" in err


def test_pictures_of_all_kinds_go_through_the_network(here, cli, knowing):
    good, _ = write_kinds("p")
    save_detector("model", knowing)
    status, out, err = cli("detect", *[f"p/{name}" for name in good], "--model", "model", "--json", "--device", "cpu")
    assert status == 0
    for result, (height, width) in zip(json.loads(out), good.values()):
        box = [0.25 * width, 0.125 * height, 0.75 * width, 0.625 * height]
        assert [found["box"] for found in result["objects"]] == [pytest.approx(box, abs=0.051)]
    assert err == f"{len(good)} of {len(good)} pictures done, {len(good)} objects found, 0 failed\n"


@pytest.mark.parametrize(("names", "summary"), [(["gone.png"], "0 of 1"), (["gone.png", "away.png"], "0 of 2")])
@pytest.mark.parametrize("how", [["--json"], ["-o", "out"]])
def test_the_status_is_2_where_every_picture_failed(here, cli, finding, names, summary, how):
    status, out, err = cli("detect", *names, *how)
    assert status == 2
    lines = [f"gluonbook: {name} is not there" for name in names]
    assert err.splitlines() == [*lines, f"{summary} pictures done, 0 objects found, {len(names)} failed"]
    assert (json.loads(out) if how == ["--json"] else out) == (
        [{"picture": name, "error": f"{name} is not there"} for name in names] if how == ["--json"] else ""
    )


def test_a_drawing_that_cannot_be_written_is_told_and_the_others_go_on(here, cli, finding):
    write_pictures("p/a.png", "p/b.png")
    os.makedirs("out/a.png")  # where the drawing would be
    status, out, err = cli("detect", "p", "-o", "out")
    assert status == 1
    assert out == "p/b.png: dog 0.90 0.50, 猫 0.75  -> out/b.png\n"
    assert err.startswith("gluonbook: p/a.png: ")
    assert err.endswith("\n1 of 2 pictures done, 6 objects found, 1 failed\n")
    assert sorted(os.listdir("out")) == ["a.png", "b.png"]


def test_an_error_names_its_picture(here, cli, finding, monkeypatch):
    def fail(*arguments):
        raise ValueError("it is too wide for this format")

    monkeypatch.setattr(detection.drawing, "draw_detections", fail)
    write_pictures("a.png")
    status, _, err = cli("detect", "a.png", "-o", "b.png")
    assert (status, err.splitlines()[0]) == (2, "gluonbook: a.png: it is too wide for this format")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "nothing"),
        ([(0, 0.9)], "猫 0.90"),
        ([(1, 0.9), (0, 0.8), (1, 0.7)], "dog 0.90 0.70, 猫 0.80"),
        ([(2, 0.9)] * 5, "hen 0.90 0.90 0.90 0.90 0.90"),
        ([(2, 0.9)] * 7 + [(1, 0.6)], "hen 0.90 0.90 0.90 0.90 0.90 and 2 more, dog 0.60"),
    ],
)
def test_what_was_found_is_told_by_class(here, cli, monkeypatch, rows, told):
    rows = np.array([(*row, 0, 0, 1, 1) for row in rows]).reshape(-1, 6)
    monkeypatch.setattr(detection, "_detector", lambda *_: Detector(CLASSES, lambda pictures: [rows]))
    write_pictures("a.png")
    assert cli("detect", "a.png", "-o", "b.png") == (0, f"a.png: {told}  -> b.png\n", "")


def test_ctrl_c_in_detect_has_status_130(here, cli, finding, monkeypatch):
    def stop(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(detection, "read_picture", stop)
    write_pictures("a.png")
    status, out, err = cli("detect", "a.png", "--json")
    assert (status, out) == (130, "")
    assert "Traceback" not in err


# detect-train: the formats


def labelled():
    """Pictures and labels (class, xmin, ymin, xmax, ymax) in pixels: a bright rectangle on a dark ground each."""
    rng = np.random.default_rng(0)
    for i in range(NUM_TRAIN + NUM_VAL):
        left, top = rng.integers(0, WIDTH // 2), rng.integers(0, HEIGHT // 2)
        right, bottom = left + WIDTH // 3, top + HEIGHT // 3
        picture = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
        picture[top:bottom, left:right] = (220, 60, 60) if i % 2 else (60, 60, 220)
        yield picture, (i % 2, left, top, right, bottom)


def names_of(i):
    return ("train", f"t{i}") if i < NUM_TRAIN else ("val", f"v{i}")


def write_voc(folder, bad=False):
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    lists = {"train": [], "val": []}
    for i, (picture, (kind, left, top, right, bottom)) in enumerate(labelled()):
        split, stem = names_of(i)
        lists[split].append(stem)
        Image.fromarray(picture).save(folder / "JPEGImages" / f"{stem}.jpg")
        corners = {"xmin": left + 1, "ymin": top + 1, "xmax": right, "ymax": bottom}  # counted from 1
        boxes = [corners, {**corners, "xmax": left - 5}] if bad and i == 0 else [corners]
        objects = "".join(
            f"<object><name>{('blue', 'red')[kind]}</name><bndbox>"
            + "".join(f"<{key}>{value}</{key}>" for key, value in box.items())
            + "</bndbox></object>"
            for box in boxes
        )
        size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
        xml = f"<annotation><filename>{stem}.jpg</filename>{size}{objects}</annotation>"
        (folder / "Annotations" / f"{stem}.xml").write_text(xml, encoding="utf-8")
    for split, stems in lists.items():
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(stems), encoding="utf-8")


def write_coco(folder):
    (folder / "annotations").mkdir(parents=True)
    parts = {"train": ([], []), "val": ([], [])}
    for i, (picture, (kind, left, top, right, bottom)) in enumerate(labelled()):
        split, stem = names_of(i)
        images, annotations = parts[split]
        (folder / f"{split}2017").mkdir(exist_ok=True)
        Image.fromarray(picture).save(folder / f"{split}2017" / f"{stem}.jpg")
        images.append({"id": i, "file_name": f"{stem}.jpg", "width": WIDTH, "height": HEIGHT})
        box = [int(value) for value in (left, top, right - left, bottom - top)]
        annotations.append({"id": i, "image_id": i, "category_id": kind, "bbox": box})
    categories = [{"id": 0, "name": "blue"}, {"id": 1, "name": "red"}]
    for split, (images, annotations) in parts.items():
        content = {"images": images, "annotations": annotations, "categories": categories}
        (folder / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(content), encoding="utf-8")


def write_yolo(folder):
    for i, (picture, (kind, left, top, right, bottom)) in enumerate(labelled()):
        split, stem = names_of(i)
        for part in ("images", "labels"):
            (folder / part / split).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / "images" / split / f"{stem}.jpg")
        x, y, width, height = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
        line = f"{kind} {x / WIDTH} {y / HEIGHT} {width / WIDTH} {height / HEIGHT}\n"
        (folder / "labels" / split / f"{stem}.txt").write_text(line, encoding="utf-8")
    (folder / "classes.txt").write_text("blue\nred\n", encoding="utf-8")


def write_rec(folder):
    folder.mkdir()
    scale = np.array([1, WIDTH, HEIGHT, WIDTH, HEIGHT])
    items = [(picture, np.array([label]) / scale) for picture, label in labelled()]
    write_records(folder / "train.rec", items[:NUM_TRAIN])
    write_records(folder / "val.rec", items[NUM_TRAIN:])
    (folder / "classes.txt").write_text("blue\nred\n", encoding="utf-8")


WRITE = {"voc": write_voc, "coco": write_coco, "yolo": write_yolo, "rec": write_rec}


@pytest.fixture
def quick(monkeypatch):
    """Nothing is plotted."""
    monkeypatch.setattr(detection, "write_report", lambda *arguments: [])


@pytest.mark.parametrize("format", sets.FORMATS)
def test_train_takes_each_format_and_prints_both_summaries(here, cli, quick, format):
    WRITE[format](here / "data")
    status, out, err = cli("detect-train", "data", *SMALL, "--out", "m")
    assert (status, err) == (0, "")
    train_set, val_set = sets.read_detection("data")
    assert out.startswith(f"training: {sets.summary(train_set)}\nvalidation: {sets.summary(val_set)}\n")
    assert "training: 4 pictures, 4 objects" in out
    assert "objects by class: blue 2, red 2" in out
    assert "validation: 2 pictures, 2 objects" in out
    model = load_detector("m")
    assert model.classes == ("blue", "red")
    assert len(model.history) == 1
    assert f"{training.describe_epoch(model.history[0])}; " in out


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a set in ``data``, as RecordIO, and with what the Python function wrote to ``m``."""
    folder = tmp_path_factory.mktemp("made")
    write_rec(folder / "data")
    settings = {"num_epochs": 1, "size": 64, "batch_size": 2, "device": "cpu"}
    training.train(*sets.read_detection(folder / "data"), folder / "m", **settings)
    return folder


@pytest.fixture
def data(here, made):
    """``here`` with that set."""
    shutil.copytree(made / "data", "data")
    return here


@pytest.fixture
def trained(data, made):
    """``here`` with that set and that training."""
    shutil.copytree(made / "m", "m")
    return data


def test_train_writes_model_plot_and_samples_and_prints_where_they_are(data, cli):
    status, out, _ = cli("detect-train", "data", *SMALL, "--out", "m")
    assert status == 0
    for name in ("model.json", "model.params", "history.png", "samples.png"):
        assert f"  {os.path.join('m', name)}\n" in out
        assert (data / "m" / name).stat().st_size > 0
    assert all((data / "m" / name).read_bytes().startswith(b"\x89PNG") for name in ("history.png", "samples.png"))


def test_the_command_that_train_prints_last_finds_objects(data, cli, quick):
    _, out, _ = cli("detect-train", "data", *SMALL, "--out", "the model")
    words = shlex.split(last_line(out).partition(": ")[2])
    assert words == ["gluonbook", "detect", "PICTURE", "--model", "the model", "-o", "OUT"]
    write_pictures("a.png")
    command = [{"PICTURE": "a.png", "OUT": "b.png"}.get(word, word) for word in words[1:]]
    assert cli(*command)[0] == 0
    assert read_picture("b.png").shape == (HEIGHT, WIDTH, 3)


def test_train_writes_what_the_python_function_writes(data, made, cli, quick):
    cli("detect-train", "data", *SMALL, "--out", "m")
    one, other = load_detector("m"), load_detector(made / "m")
    assert one.settings == other.settings
    assert one.weights.keys() == other.weights.keys()
    assert all((one.weights[name] == other.weights[name]).all() for name in one.weights)


def test_a_finished_training_is_not_done_again(trained, cli, quick):
    history = load_detector("m").history
    assert cli("detect-train", "data", *SMALL, "--out", "m")[0] == 0
    assert load_detector("m").history == history  # with the seconds that it took then


def test_skip_bad_leaves_wrong_boxes_out_and_counts_them(here, cli, quick):
    write_voc(here / "data", bad=True)
    status, out, err = cli("detect-train", "data", *SMALL, "--out", "m")
    assert (status, out) == (2, "")
    assert err.startswith("gluonbook: 1 boxes are wrong (skip_bad leaves them out):\n")
    assert "t0.xml, row 1: " in err
    assert not (here / "m").exists()
    status, out, _ = cli("detect-train", "data", *SMALL, "--out", "m", "--skip-bad")
    assert status == 0
    assert "1 wrong boxes were left out, the first: " in out
    assert "training: 4 pictures, 4 objects" in out


def test_held_out_is_the_share_of_a_set_without_a_split(data, cli, quick):
    status, out, _ = cli("detect-train", "data/train.rec", *SMALL, "--held-out", 0.5, "--out", "m")
    assert status == 0
    assert "training: 2 pictures" in out
    assert "validation: 2 pictures" in out


# detect-train: flags


def defaults(function):
    parameters = inspect.signature(function).parameters
    return {name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty}


@pytest.mark.parametrize(
    ("table", "function"), [(detection.TRAIN_FLAGS, training.train), (detection.READ_FLAGS, sets.read_detection)]
)
def test_every_flags_default_is_the_python_functions_own(table, function):
    params = {param.name: param for param in detection.detect_train.params}
    context = click.Context(detection.detect_train)
    for name, (flag, _, about) in table.items():
        assert params[name].opts == [flag]
        assert params[name].help == about
        assert params[name].get_default(context) == defaults(function)[name]


def test_every_parameter_of_the_python_functions_has_a_flag():
    train, read = (set(inspect.signature(function).parameters) for function in (training.train, sets.read_detection))
    assert train - set(detection.TRAIN_FLAGS) == {"train_set", "val_set", "progress"}
    assert read - set(detection.READ_FLAGS) == {"data", "seed"}
    assert set(detection.TRAIN_FLAGS) <= train
    assert set(detection.READ_FLAGS) <= read


READ_DEFAULTS, TRAIN_DEFAULTS = defaults(sets.read_detection), defaults(training.train)
SETS = {"train_set": "the training set", "val_set": "the validation set"}


@pytest.fixture
def spied(here, monkeypatch):
    """Neither reads nor trains; returns the arguments that ``read_detection`` and ``train`` were called with."""
    calls = {}
    read_like, train_like = inspect.signature(sets.read_detection), inspect.signature(training.train)

    def read(*arguments):
        calls["read"] = read_like.bind(*arguments).arguments
        return list(SETS.values())

    def train(*arguments, **settings):
        calls["train"] = train_like.bind(*arguments, **settings).arguments
        raise ValueError("the spy has seen enough")

    monkeypatch.setattr(sets, "read_detection", read)
    monkeypatch.setattr(sets, "summary", str)
    monkeypatch.setattr(training, "train", train)
    monkeypatch.setattr(detection, "device_list", lambda names: names)  # no GPU is there
    return calls


def test_a_device_that_cannot_be_used_is_refused_before_the_data_are_read(cli, here, monkeypatch):
    monkeypatch.setattr(sets, "read_detection", None)
    status, out, err = cli("detect-train", "--device", "gpu(99)")
    assert (status, out) == (2, "")
    assert err.startswith("gluonbook: device gpu(99) cannot be used: ")
    assert len(err.splitlines()) == 1


def test_train_passes_on_the_python_functions_own_defaults(cli, spied):
    assert cli("detect-train")[0] == 2
    assert spied["read"] == {**READ_DEFAULTS, "data": "embedded"}
    assert spied["train"] == {**TRAIN_DEFAULTS, **SETS, "progress": True}


@pytest.mark.parametrize(
    ("arguments", "where", "given"),
    [
        (["my data"], "read", {"data": "my data"}),
        (["--format", "coco"], "read", {"format": "coco"}),
        (["--held-out", "0.3"], "read", {"held_out": 0.3}),
        (["--skip-bad"], "read", {"skip_bad": True}),
        (["--out", "m"], "train", {"out": "m"}),
        (["--network", "mobilenet"], "train", {"network": "mobilenet"}),
        (["--size", "96"], "train", {"size": 96}),
        (["--epochs", "8"], "train", {"num_epochs": 8}),
        (["--batch-size", "5"], "train", {"batch_size": 5}),
        (["--lr", "0.5"], "train", {"lr": 0.5}),
        (["--wd", "0.25"], "train", {"wd": 0.25}),
        (["--negatives", "7"], "train", {"negative_ratio": 7.0}),
        (["--device", "gpu(0),gpu(1)"], "train", {"device": "gpu(0),gpu(1)"}),
    ],
)
def test_each_flag_sets_its_parameter_and_no_other(cli, spied, arguments, where, given):
    assert cli("detect-train", *arguments)[0] == 2
    read, train = ({**given} if where == name else {} for name in ("read", "train"))
    assert spied["read"] == {**READ_DEFAULTS, "data": "embedded", **read}
    assert spied["train"] == {**TRAIN_DEFAULTS, **SETS, "progress": True, **train}


def test_the_seed_is_that_of_the_split_too(cli, spied):
    cli("detect-train", "--seed", 12)
    assert spied["read"]["seed"] == spied["train"]["seed"] == 12


@pytest.mark.parametrize("command", [detection.detect, detection.detect_train])
def test_help_names_every_flag(cli, command):
    status, out, _ = cli(command.name, "--help")
    assert status == 0
    for param in command.params:
        if isinstance(param, click.Option):
            assert param.opts[0] in out


# detect-train: errors


def write_bad_sets(folder):
    for name in ("empty", "one/labels", "one/images", "cut", "junk"):
        (folder / name).mkdir(parents=True)
    Image.fromarray(noise()).save(folder / "one" / "images" / "a.png")
    (folder / "one" / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n", encoding="utf-8")
    write_rec(folder / "whole")
    (folder / "cut" / "train.rec").write_bytes((folder / "whole" / "train.rec").read_bytes()[:-40])
    (folder / "junk" / "train.rec").write_bytes(b"no record at all")
    (folder / "words.txt").write_text("words", encoding="utf-8")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("nowhere", "nowhere is not there: expected embedded, pikachu, banana, or the path of a detection set"),
        ("empty", "the format of empty cannot be told: expected Annotations/*.xml (voc), "),
        ("words.txt", "the format of words.txt cannot be told"),
        ("one", "a set of 1 picture cannot be split: it needs at least 2, or a validation set of its own"),
        ("cut", "train.rec is cut short: the record at byte "),
        ("junk", "train.rec is damaged at byte 0: no record begins there"),
    ],
)
def test_wrong_data_is_refused_in_one_line(here, cli, data, message):
    write_bad_sets(here)
    assert_refused(cli("detect-train", data, *SMALL, "--out", "m"), message)
    assert not (here / "m").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", 32], "size must be at least 64, got 32"),
        (["--size", "large"], "'large' is not a valid integer"),
        (["--epochs", 0], "num_epochs must be at least 1, got 0"),
        (["--batch-size", 0], "batch_size must be at least 1, got 0"),
        (["--lr", "nan"], "lr must be above 0, got nan"),
        (["--wd", -1], "wd must be at least 0, got -1.0"),
        (["--negatives", 0], "negative_ratio must be above 0, got 0.0"),
        (["--network", "huge"], "'huge' is not one of 'tiny', 'mobilenet'"),
        (["--format", "xml"], "'xml' is not one of 'voc', 'coco', 'yolo', 'rec'"),
        (["--held-out", 1], "held_out must be above 0 and below 1, got 1.0"),
        (["--device", "tpu"], "device must be auto, cpu, gpu or gpu(N), got 'tpu'"),
        (["--resume"], "checkpoint.json is not there: no training to resume in this folder"),
        (["--no-such-flag"], "--no-such-flag"),
    ],
)
def test_train_refuses_a_bad_flag_in_one_line(data, cli, arguments, message):
    status, _, err = cli("detect-train", "data", *SMALL, "--out", "m", *arguments)
    assert status == 2
    assert err.startswith("gluonbook: ")
    assert message in err
    assert err.count("\n") == 1
    assert os.listdir(".") == ["data"]


def test_a_wrong_seed_is_refused(data, cli):
    status, _, err = cli("detect-train", "data", *SMALL, "--seed", -1)
    assert (status, err) == (2, "gluonbook: seed must be at least 0, got -1\n")


# detect-train: going on


def test_resume_takes_the_settings_from_the_checkpoint_and_more_epochs_from_the_command_line(data, cli, quick):
    special = ["--negatives", 2, "--seed", 3, "--lr", 0.002]
    source = ["data/train.rec", "--held-out", 0.5]  # the seed splits it, too
    assert cli("detect-train", *source, *SMALL, *special, "--out", "m")[0] == 0
    status, out, err = cli("detect-train", *source, "--out", "m", "--resume", "--epochs", 2, "--device", "cpu")
    assert (status, err) == (0, "")
    model = load_detector("m")
    assert [entry["epoch"] for entry in model.history] == [1, 2]
    assert f"{training.describe_epoch(model.history[1])}; " in out
    assert f"{training.describe_epoch(model.history[0])}; " not in out
    given = {"size": 64, "batch_size": 2, "negative_ratio": 2.0, "seed": 3, "lr": 0.002, "num_epochs": 2}
    assert {name: model.settings[name] for name in given} == given


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        (["--size", 96], "the checkpoint in m was made with other settings: size was 64, now 96"),
        (["--size", 256], "the checkpoint in m was made with other settings: size was 64, now 256"),  # the default
    ],
)
def test_resume_refuses_a_flag_that_differs(trained, cli, flag, message):
    status, _, err = cli("detect-train", "data", "--out", "m", "--resume", *flag)
    assert (status, err) == (2, f"gluonbook: {message}\n")


def test_train_refuses_to_overwrite_another_training(trained, cli):
    status, _, err = cli("detect-train", "data", *SMALL, "--out", "m", "--seed", 1)
    assert status == 2
    assert err.startswith("gluonbook: m holds another training: give another folder (--out)")


def test_ctrl_c_says_how_to_go_on_and_the_command_does(data, cli, interrupt, quick):
    os.rename("data", "my data")
    interrupt(2)
    status, _, err = cli("detect-train", "my data", *SMALL, "--epochs", 2, "--out", "the model")
    assert status == 130
    assert "stopped; saved in the model." in err
    assert "Traceback" not in err
    command = shlex.split(last_line(err).partition("Go on with: ")[2])
    assert command == ["gluonbook", "detect-train", "my data", "--out", "the model", "--resume"]
    assert len(load_detector("the model").history) == 1
    assert cli(*command[1:])[0] == 0
    assert len(load_detector("the model").history) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "gluonbook detect-train --out m --resume"),
        (["embedded"], "gluonbook detect-train --out m --resume"),
        (["banana"], "gluonbook detect-train banana --out m --resume"),
        (["d", "--format", "voc", "--skip-bad"], "gluonbook detect-train d --format voc --skip-bad --out m --resume"),
        (["d", "--held-out", "0.1"], "gluonbook detect-train d --held-out 0.1 --out m --resume"),
        (["d", "--size", "64", "--seed", "3"], "gluonbook detect-train d --out m --resume"),  # in the checkpoint
    ],
)
def test_ctrl_c_prints_the_command_that_goes_on(here, cli, monkeypatch, spied, arguments, told):
    def stop(*sets, **settings):
        shutil.copytree("made", "m")
        raise KeyboardInterrupt

    (here / "made").mkdir()
    (here / "made" / shared.CHECKPOINT).write_text("{}", encoding="utf-8")
    monkeypatch.setattr(training, "train", stop)
    status, _, err = cli("detect-train", *arguments, "--out", "m")
    assert status == 130
    assert err.strip() == f"stopped; saved in m. Go on with: {told}"


def test_ctrl_c_in_the_first_epoch_says_that_nothing_is_saved(data, cli, interrupt):
    interrupt(1)
    status, _, err = cli("detect-train", "data", *SMALL, "--out", "m")
    assert status == 130
    assert "stopped in the first epoch: nothing to save" in err
    assert not (data / "m").exists()


# detect-train: the report


@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_samples_show_up_to_six_pictures_with_what_was_found_and_the_truth(here, monkeypatch, count):
    figures = {}
    monkeypatch.setattr(plot, "save", lambda fig, path: figures.__setitem__(path.name, fig))
    asked = []

    def make(model, device):
        asked.append((model.classes, device))
        return Detector(CLASSES, lambda pictures: [ROWS for _ in pictures])

    monkeypatch.setattr(inference, "make_detector", make)
    pictures = [noise(seed=i) for i in range(count)]
    val_set = sets.make_set(CLASSES, pictures, [[[0, 0.1, 0.2, 0.5, 0.5]]] * count)
    entry = {"epoch": 1, "cls": 2.0, "box": 1.0, "voc07": 0.5, "voc12": 0.5}
    model = TrainedDetector({}, CLASSES, {"network": "tiny", "size": 64}, [entry])
    written = detection.write_report(model, val_set, here, "cpu")
    assert [path.name for path in written] == ["model.json", "model.params", "history.png", "samples.png"]
    assert list(figures) == ["history.png", "samples.png"]
    assert asked == [(CLASSES, mx.cpu())]
    shown = [ax for ax in figures["samples.png"].axes if ax.images]
    assert len(shown) == min(count, 6)
    for ax, picture in zip(shown, pictures):
        np.testing.assert_array_equal(ax.images[0].get_array(), picture)
        assert [line.get_linestyle() for line in ax.lines] == ["--", "-", "-", "-"]
        assert [text.get_text() for text in ax.texts] == ["dog 0.50", "猫 0.75", "dog 0.90"]
    assert not any(ax.axison for ax in figures["samples.png"].axes)
    assert [list(line.get_ydata()) for line in figures["history.png"].axes[0].lines] == [[2.0], [1.0]]
