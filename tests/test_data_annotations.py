"""VOC, COCO and YOLO labels become the same fractions; what is wrong in a file is told with file, row and value."""

import json
import math
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from gluonbook.data import annotations, read_detection, records
from gluonbook.data.annotations import guess_format, read_coco, read_names, read_voc, read_yolo

WITH_FILES = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

# Pictures of 200 x 100 pixels with objects: class, edges (left, top, right, bottom) in pixels from 0, difficult.
SET = {
    "a.jpg": [("tent", (20, 10, 60, 50), False), ("kite", (0, 0, 200, 100), True)],
    "b.jpg": [],
    "c.jpg": [("kite", (150, 25, 200, 100), False)],
}
CLASSES = ("kite", "tent")
# By hand: x / 200, y / 100.
EXPECTED = {
    "a.jpg": [[1, 0.1, 0.1, 0.3, 0.5], [0, 0, 0, 1, 1]],
    "b.jpg": [],
    "c.jpg": [[0, 0.75, 0.25, 1, 1]],
}


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def voc_object(name, corners, difficult=None):
    box = "".join(f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), corners))
    flag = "" if difficult is None else f"<difficult>{int(difficult)}</difficult>"
    return f"<object><name>{escape(name)}</name>{flag}<bndbox>{box}</bndbox></object>"


def voc_xml(filename, objects, size=(200, 100)):
    measures = "" if size is None else f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    return f"<annotation><filename>{filename}</filename>{measures}{''.join(objects)}</annotation>"


def write_voc(folder, data=SET):
    """Corners are pixels from 1, the last included: the pixel right of the edge x is x + 1, that left of it is x."""
    for name, objects in data.items():
        touch(folder / "JPEGImages" / name)
        found = [voc_object(kind, (x0 + 1, y0 + 1, x1, y1), hard) for kind, (x0, y0, x1, y1), hard in objects]
        write(folder / "Annotations" / f"{Path(name).stem}.xml", voc_xml(name, found))
    return folder


def coco_content(data=SET, ids=(7, 3)):
    """Classes by identifiers that are neither from 0 nor in a row; boxes are left, top, width, height."""
    numbers = dict(zip(sorted({"kite", "tent"}, reverse=True), ids))  # tent 7, kite 3
    images, found = [], []
    for i, (name, objects) in enumerate(data.items()):
        images.append({"id": 100 - i, "file_name": name, "width": 200, "height": 100})
        own = [
            {
                "image_id": 100 - i,
                "category_id": numbers[kind],
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "iscrowd": int(hard),
            }
            for kind, (x0, y0, x1, y1), hard in objects
        ]
        found = own + found  # those of the last picture first
    categories = [{"id": number, "name": name} for name, number in numbers.items()]
    return {"images": images, "annotations": found, "categories": categories}


def write_coco(folder, data=SET):
    for name in data:
        touch(folder / "images" / name)
    write(folder / "annotations" / "instances.json", json.dumps(coco_content(data)))
    return folder


def write_yolo(folder, data=SET):
    """Centre, width and height as fractions."""
    for name, objects in data.items():
        touch(folder / "images" / name)
        rows = [
            (CLASSES.index(kind), (x0 + x1) / 400, (y0 + y1) / 200, (x1 - x0) / 200, (y1 - y0) / 100)
            for kind, (x0, y0, x1, y1), _ in objects
        ]
        text = "".join(" ".join(map(str, row)) + "\n" for row in rows)
        write(folder / "labels" / f"{Path(name).stem}.txt", text)
    write(folder / "classes.txt", "kite\ntent\n")
    return folder


def write_rec(folder, data=SET):
    def items():
        for objects in data.values():
            rows = [
                (CLASSES.index(kind), x0 / 200, y0 / 100, x1 / 200, y1 / 100) for kind, (x0, y0, x1, y1), _ in objects
            ]
            yield np.zeros((10, 20, 3), np.uint8), np.array(rows).reshape(-1, 5)

    records.write_records(folder / "train.rec", items())
    write(folder / "classes.txt", "kite\ntent\n")
    return folder


WRITERS = {"voc": write_voc, "coco": write_coco, "yolo": write_yolo, "rec": write_rec}
READERS = {"voc": read_voc, "coco": read_coco, "yolo": read_yolo}
EACH = pytest.mark.parametrize("format", READERS)


def by_name(split):
    return {path.name: rows.tolist() for path, rows in zip(split.paths, split.labels)}


def approx(rows):
    return {name: [pytest.approx(row, abs=1e-6) for row in found] for name, found in rows.items()}  # of float32


@EACH
def test_each_format_reads_to_the_table(tmp_path, format):
    (split,) = READERS[format](WRITERS[format](tmp_path))
    assert split.classes == CLASSES
    assert by_name(split) == approx(EXPECTED)
    assert all(path.is_file() for path in split.paths)
    assert [rows.shape for rows in split.labels] == [(2, 5), (0, 5), (1, 5)]
    assert {rows.dtype for rows in split.labels} == {np.dtype(np.float32)}
    hard = [] if format == "yolo" else [True]  # YOLO has no word for it
    assert [flags.tolist() for flags in split.difficult] == [[False, *(hard or [False])], [], [False]]
    assert split.notes == ()


def spans(length):
    """A start and a stop after it, from 0 to the length."""
    return st.integers(0, length - 1).flatmap(lambda start: st.tuples(st.just(start), st.integers(start + 1, length)))


objects = st.tuples(
    st.sampled_from(CLASSES),
    st.tuples(spans(200), spans(100)).map(lambda both: (both[0][0], both[1][0], both[0][1], both[1][1])),
    st.just(False),
)
sets = st.lists(st.lists(objects, max_size=4), min_size=1, max_size=3)


@given(sets)
@WITH_FILES
def test_the_same_set_in_all_formats_is_the_same_boxes(tmp_path_factory, pictures):
    pictures = [SET["a.jpg"][:1], SET["c.jpg"], *pictures]  # both classes occur
    data = {f"{i}.jpg": rows for i, rows in enumerate(pictures)}
    found = {}
    for format, writer in WRITERS.items():
        folder = writer(tmp_path_factory.mktemp(format), data)
        assert guess_format(folder) == format
        train, val = read_detection(folder, held_out=0.5)
        assert train.classes == val.classes == CLASSES
        found[format] = [*train.labels, *val.labels]
    for format in ("coco", "yolo", "rec"):
        assert len(found[format]) == len(data)
        for rows, expected in zip(found[format], found["voc"]):
            np.testing.assert_allclose(rows, expected, atol=1e-6)  # of float32
    every = np.concatenate(found["voc"])
    direct = [
        (CLASSES.index(k), x0 / 200, y0 / 100, x1 / 200, y1 / 100)
        for rows in pictures
        for k, (x0, y0, x1, y1), _ in rows
    ]
    np.testing.assert_allclose(sorted(every.tolist()), sorted(direct), atol=1e-6)


# ---- wrong boxes ----

# What is wrong with a box given by its edges in pixels, and as which box it is told.
WRONG = {
    "inverted": ((60, 10, 20, 50), r"box \(0.3, 0.1, 0.1, 0.5\) is inverted: xmax must be above xmin"),
    "upside down": ((20, 50, 60, 10), r"box \(0.1, 0.5, 0.3, 0.1\) is inverted: ymax must be above ymin"),
    "empty": ((20, 10, 20, 50), r"box \(0.1, 0.1, 0.1, 0.5\) is empty: xmax must be above xmin"),
    "flat": ((20, 10, 60, 10), r"box \(0.1, 0.1, 0.3, 0.1\) is empty: ymax must be above ymin"),
    "right of it": ((20, 10, 202, 50), r"box \(0.1, 0.1, 1.01, 0.5\) is out of range"),
    "below it": ((20, 10, 60, 101), r"box \(0.1, 0.1, 0.3, 1.01\) is out of range"),
    "left of it": ((-2, 10, 60, 50), r"box \(-0.01, 0.1, 0.3, 0.5\) is out of range"),
    "above it": ((20, -1, 60, 50), r"box \(0.1, -0.01, 0.3, 0.5\) is out of range"),
    "outside": ((200.4, 10, 200.8, 50), r"box \(1, 0.1, 1, 0.5\) is empty"),
    "not a number": ((20, math.nan, 60, 50), r"box \(0.1, nan, 0.3, (0.5|nan)\) is not finite"),
    "infinite": ((20, 10, math.inf, 50), r"box \((0.1|nan|-inf), 0.1, (inf|nan), 0.5\) is not finite"),
}


def files_with(format, name):
    return {
        "voc": f"{Path(name).stem}.xml",
        "coco": f"instances.json, picture {name}",
        "yolo": f"{Path(name).stem}.txt",
    }[format]


@EACH
@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_box_is_told_with_file_row_and_value(tmp_path, format, kind):
    box, told = WRONG[kind]
    if format == "voc" and kind in ("left of it", "above it"):
        box = tuple(-3 if value < 0 else value for value in box)  # one more, to be written as -2
        told = told.replace("-0.01", "-0.0[12]")
    folder = WRITERS[format](tmp_path, {**SET, "b.jpg": [("tent", (0, 0, 9, 9), False), ("kite", box, False)]})
    with pytest.raises(ValueError, match=rf"(?s)^1 boxes are wrong .*{files_with(format, 'b.jpg')}, row 1: {told}"):
        READERS[format](folder)
    (split,) = READERS[format](folder, skip_bad=True)
    assert by_name(split) == approx({**EXPECTED, "b.jpg": [[1, 0, 0, 0.045, 0.09]]})  # 9 / 200, 9 / 100
    (note,) = split.notes
    assert note.startswith("1 wrong boxes were left out, the first: ")
    assert files_with(format, "b.jpg") in note


@EACH
def test_flags_of_difficulty_stay_with_their_boxes(tmp_path, format):
    rows = [("kite", (5, 5, 1, 1), True), ("tent", (0, 0, 9, 9), False), ("kite", (0, 0, 9, 9), True)]
    (split,) = READERS[format](WRITERS[format](tmp_path, {"a.jpg": rows}), skip_bad=True)
    assert split.difficult[0].tolist() == [False, format != "yolo"]
    assert split.labels[0][:, 0].tolist() == [1, 0]


@EACH
@pytest.mark.parametrize(("number", "more"), [(5, None), (6, 1), (40, 35)])
def test_five_wrong_boxes_are_listed_and_all_counted(tmp_path, format, number, more):
    wrong = [("kite", (60, 10, 20, 50), False)] * number
    folder = WRITERS[format](
        tmp_path, {"a.jpg": wrong[:3], "b.jpg": wrong[3:], "c.jpg": [("tent", (0, 0, 9, 9), False)]}
    )
    with pytest.raises(ValueError, match="boxes are wrong") as error:
        READERS[format](folder)
    first, *listed = str(error.value).split("\n  ")
    assert first == f"{number} boxes are wrong (skip_bad leaves them out):"
    places = [files_with(format, name) for name in ("a.jpg", "b.jpg")]
    expected = [f"{places[0]}, row {i}: box" for i in range(3)] + [f"{places[1]}, row {i}: box" for i in range(2)]
    assert all(part in line for part, line in zip(expected, listed))
    assert listed[5:] == ([] if more is None else [f"and {more} more"])
    (split,) = READERS[format](folder, skip_bad=True)
    assert split.notes[0].startswith(f"{number} wrong boxes were left out")
    assert [len(rows) for rows in split.labels] == [0, 0, 1]


@EACH
def test_what_rounding_puts_outside_is_put_back(tmp_path, format):
    """Half a hundredth of a side: 1 of 200 pixels, 0.5 of 100; a little less, for the centres of YOLO are rounded."""
    box = (0, 0, 200.99, 100.49) if format == "voc" else (-0.99, -0.49, 200.99, 100.49)
    (split,) = READERS[format](
        WRITERS[format](tmp_path, {"a.jpg": [("kite", box, False), ("tent", (0, 0, 9, 9), False)]})
    )
    assert split.labels[0][0].tolist() == [0, 0, 0, 1, 1]
    past = (-1.1, 0, 9, 9) if format != "voc" else (0, 0, 201.1, 9)
    folder = WRITERS[format](tmp_path, {"a.jpg": [("kite", past, False), ("tent", (0, 0, 9, 9), False)]})
    with pytest.raises(ValueError, match="is out of range"):
        READERS[format](folder)


@given(st.tuples(*[st.floats(-0.004, 1.004)] * 4).filter(lambda b: b[2] - b[0] > 0.01 and b[3] - b[1] > 0.01))
@settings(deadline=None)
def test_kept_boxes_lie_in_the_picture_and_move_by_the_tolerance_at_most(box):
    collected = annotations._Collector(skip_bad=False)
    collected.add(Path("a.jpg"), [(0, *box)], [False], "a")
    (kept,) = collected.finish(["kite"]).labels
    assert kept.min() >= 0
    assert kept.max() <= 1
    assert np.abs(kept[0, 1:] - box).max() <= annotations.TOLERANCE


# ---- which format ----


@pytest.mark.parametrize(
    ("files", "format"),
    [
        (["train.rec"], "rec"),
        (["train.rec", "classes.txt", "labels/a.txt"], "rec"),
        (["Annotations/a.xml"], "voc"),
        (["a.xml", "a.jpg"], "voc"),
        (["Annotations/a.xml", "settings.json"], "voc"),
        (["annotations/instances_train.json"], "coco"),
        (["annotations/x.json", "labels/a.txt"], "coco"),
        (["train.json", "a.jpg"], "coco"),
        (["labels/a.txt"], "yolo"),
        (["labels/train/a.txt", "images/train/a.jpg"], "yolo"),
        (["labels/a.txt", "notes.json"], "yolo"),  # as Label Studio writes it
        (["data.yaml", "train/images/a.jpg", "README.json"], "yolo"),
        (["a.txt", "a.jpg"], "yolo"),
    ],
)
def test_files_tell_the_format(tmp_path, files, format):
    for name in files:
        touch(tmp_path / name)
    assert guess_format(tmp_path) == format


@pytest.mark.parametrize(
    ("name", "format"),
    [("a.REC", "rec"), ("val.rec", "rec"), ("a.json", "coco"), ("d.yaml", "yolo"), ("d.yml", "yolo")],
)
def test_a_files_name_tells_the_format(tmp_path, name, format):
    touch(tmp_path / name)
    assert guess_format(tmp_path / name) == format


@pytest.mark.parametrize("files", [[], ["a.jpg"], ["val.rec"], ["Annotations/readme"]])
def test_a_format_that_cannot_be_told(tmp_path, files):
    for name in files:
        touch(tmp_path / name)
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the whole message is compared)
        guess_format(tmp_path)
    assert str(error.value) == (
        f"the format of {tmp_path} cannot be told: expected Annotations/*.xml (voc), annotations/*.json (coco), "
        "labels/*.txt (yolo) or train.rec (rec)"
    )


def test_a_file_of_another_kind(tmp_path):
    touch(tmp_path / "a.zip")
    with pytest.raises(ValueError, match=r"a\.zip cannot be told"):
        guess_format(tmp_path / "a.zip")


@pytest.mark.parametrize("name", ["classes.txt", "obj.names"])
def test_names_are_lines(tmp_path, name):
    write(tmp_path / name, "  hot tent\n\n猫 \n")
    assert read_names(tmp_path) == ["hot tent", "猫"]


def test_classes_txt_goes_before_obj_names_and_none_is_no_error(tmp_path):
    assert read_names(tmp_path) == []
    write(tmp_path / "obj.names", "a")
    write(tmp_path / "classes.txt", "b")
    assert read_names(tmp_path) == ["b"]


# ---- VOC ----


def voc_file(folder, objects, name="a", **size):
    touch(folder / "JPEGImages" / f"{name}.jpg")
    write(folder / "Annotations" / f"{name}.xml", voc_xml(f"{name}.jpg", objects, **size))
    return folder / "Annotations" / f"{name}.xml"


def test_voc_pixels_count_from_1_and_0_is_taken_for_the_first(tmp_path):
    """A picture of 200 x 100: its first pixel alone, its last pixel alone, and the whole as tools that count from 0."""
    corners = [(1, 1, 1, 1), (200, 100, 200, 100), (0, 0, 200, 100), (0.5, 0.5, 20, 10)]
    voc_file(tmp_path, [voc_object("kite", box) for box in corners])
    (split,) = read_voc(tmp_path)
    first, last, whole, part = split.labels[0][:, 1:].tolist()
    assert first == pytest.approx([0, 0, 0.005, 0.01])
    assert last == pytest.approx([0.995, 0.99, 1, 1])
    assert whole == [0, 0, 1, 1]
    assert part == pytest.approx([0, 0, 0.1, 0.1])


def test_voc_pixels_below_0_are_wrong_however_large_the_picture(tmp_path):
    voc_file(tmp_path, [voc_object("kite", (-50, 1, 20, 10))])
    with pytest.raises(ValueError, match=r"a\.xml, row 0: box \(-0.25, 0, 0.1, 0.1\) is out of range"):
        read_voc(tmp_path)


def test_voc_corners_may_be_fractions_and_have_spaces(tmp_path):
    voc_file(tmp_path, [voc_object("kite", (" 11.5", "6\n", "20.0", "10"))])
    assert read_voc(tmp_path)[0].labels[0][0].tolist() == pytest.approx([0, 10.5 / 200, 0.05, 0.1, 0.1])


def test_voc_difficult_objects(tmp_path):
    flags = ["<difficult>1</difficult>", "<difficult> 1 </difficult>", "<difficult>0</difficult>", "", "<difficult/>"]
    plain = voc_object("kite", (1, 1, 20, 10))
    voc_file(tmp_path, [plain.replace("<bndbox>", f"{flag}<bndbox>") for flag in flags])
    assert read_voc(tmp_path)[0].difficult[0].tolist() == [True, True, False, False, False]


def test_voc_parts_of_an_object_are_not_objects(tmp_path):
    """Person layout: a part has a name and a box of its own."""
    part = "<part><name>head</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>3</xmax><ymax>3</ymax></bndbox></part>"
    voc_file(tmp_path, [voc_object("person", (11, 11, 20, 20)).replace("<bndbox>", f"{part}<bndbox>", 1)])
    (split,) = read_voc(tmp_path)
    assert split.labels[0][:, 1:].tolist() == [pytest.approx([0.05, 0.1, 0.1, 0.2])]


def test_voc_classes_are_its_own_twenty_where_all_are_of_them(tmp_path):
    voc_file(tmp_path, [voc_object("person", (1, 1, 2, 2)), voc_object("dog", (1, 1, 2, 2))])
    (split,) = read_voc(tmp_path)
    assert len(split.classes) == 20 == len(set(split.classes))
    assert list(split.classes) == sorted(split.classes)  # the order of the development kit
    assert [split.classes[int(kind)] for kind in split.labels[0][:, 0]] == ["person", "dog"]


def test_voc_classes_otherwise_are_those_found_in_alphabetical_order(tmp_path):
    voc_file(tmp_path, [voc_object(name, (1, 1, 2, 2)) for name in ("person", "R&D", "ähre")])
    assert read_voc(tmp_path)[0].classes == ("R&D", "person", "ähre")


def test_voc_classes_of_a_file(tmp_path):
    voc_file(tmp_path, [voc_object("tent", (1, 1, 2, 2))])
    write(tmp_path / "classes.txt", "person\ntent\nrare\n")
    (split,) = read_voc(tmp_path)
    assert split.classes == ("person", "tent", "rare")
    assert split.labels[0][0, 0] == 1


def test_voc_objects_of_no_class(tmp_path):
    voc_file(tmp_path, [voc_object(name, (1, 1, 2, 2)) for name in ("tent", "yak", "emu", "yak")])
    write(tmp_path / "classes.txt", "person\ntent\n")
    with pytest.raises(ValueError, match=f"{tmp_path}: the objects emu, yak are not among the classes person, tent"):
        read_voc(tmp_path)


def test_voc_splits(tmp_path):
    write_voc(tmp_path)
    write(tmp_path / "ImageSets" / "Main" / "train.txt", "c\na 1\n\n")
    write(tmp_path / "ImageSets" / "Main" / "val.txt", "b\n")
    train, val = read_voc(tmp_path)
    assert [path.name for path in train.paths + val.paths] == ["c.jpg", "a.jpg", "b.jpg"]
    assert by_name(train) == approx({name: EXPECTED[name] for name in ("c.jpg", "a.jpg")})
    assert train.classes == val.classes == CLASSES
    (tmp_path / "ImageSets" / "Main" / "val.txt").unlink()
    (only,) = read_voc(tmp_path)
    assert [path.name for path in only.paths] == ["c.jpg", "a.jpg"]


def test_voc_classes_are_those_of_both_splits(tmp_path):
    voc_file(tmp_path, [voc_object("yak", (1, 1, 2, 2))], "a")
    voc_file(tmp_path, [voc_object("emu", (1, 1, 2, 2))], "b")
    for split, name in (("train", "a"), ("val", "b")):
        write(tmp_path / "ImageSets" / "Main" / f"{split}.txt", name)
    train, val = read_voc(tmp_path)
    assert train.classes == val.classes == ("emu", "yak")
    assert (train.labels[0][0, 0], val.labels[0][0, 0]) == (1, 0)


def test_voc_a_split_names_a_missing_file(tmp_path):
    write_voc(tmp_path)
    write(tmp_path / "ImageSets" / "Main" / "train.txt", "a\nz\n")
    with pytest.raises(FileNotFoundError, match=r"Annotations/z\.xml is not there"):
        read_voc(tmp_path)


@pytest.mark.parametrize("size", [None, (0, 0), (200, 0), (0, 100)])
def test_voc_a_size_that_is_missing_is_the_pictures(tmp_path, size):
    file = voc_file(tmp_path, [voc_object("kite", (1, 1, 5, 5))], size=size)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned: 10 wide and 20 high as it is seen
    Image.new("RGB", (20, 10)).save(tmp_path / "JPEGImages" / "a.jpg", exif=exif)
    assert read_voc(tmp_path)[0].labels[0].tolist() == [pytest.approx([0, 0, 0, 0.5, 0.25])]
    (tmp_path / "JPEGImages" / "a.jpg").write_bytes(b"none")
    with pytest.raises(ValueError, match=r"a\.jpg is not a picture that can be read"):
        read_voc(tmp_path)
    assert file.is_file()


@pytest.mark.parametrize(
    ("filename", "picture"),
    [
        ("a.jpg", "JPEGImages/a.jpg"),
        ("a.jpg", "images/a.jpg"),
        ("a.jpg", "a.jpg"),
        ("a.jpg", "Annotations/a.jpg"),
        ("", "JPEGImages/a.png"),
        ("a", "JPEGImages/a.jpeg"),
        ("renamed.jpg", "images/a.bmp"),
        ("C:\\pictures\\a.jpg", "images/a.webp"),
        ("b.png", "images/b.png"),  # as it says, and not a.jpg
    ],
)
def test_voc_pictures_are_found_by_name_or_by_the_annotations(tmp_path, filename, picture):
    write(tmp_path / "Annotations" / "a.xml", voc_xml(filename, [voc_object("kite", (1, 1, 5, 5))]))
    touch(tmp_path / picture)
    if filename == "b.png":
        touch(tmp_path / "JPEGImages" / "a.jpg")
    assert read_voc(tmp_path)[0].paths == [tmp_path / picture]


def test_voc_files_may_lie_beside_their_pictures(tmp_path):
    write(tmp_path / "a.xml", voc_xml("a.jpg", [voc_object("kite", (1, 1, 200, 100))]))
    touch(tmp_path / "a.jpg")
    (split,) = read_voc(tmp_path)
    assert (split.paths, split.labels[0].tolist()) == ([tmp_path / "a.jpg"], [[0, 0, 0, 1, 1]])


def test_voc_a_missing_picture(tmp_path):
    write_voc(tmp_path)
    (tmp_path / "JPEGImages" / "c.jpg").unlink()
    with pytest.raises(
        FileNotFoundError, match=f"the picture c.jpg is in none of {tmp_path}/JPEGImages, {tmp_path}/images"
    ):
        read_voc(tmp_path)


@pytest.mark.parametrize(
    ("xml", "told"),
    [
        ("<annotation><object>", "no element found: line 1"),
        ("", "no element found"),
        ("text", "syntax error: line 1"),
        (voc_xml("a.jpg", [voc_object("", (1, 1, 2, 2))]), "an object has no name"),
        (voc_xml("a.jpg", [voc_object("kite", ("one", 1, 2, 2))]), "could not convert string to float: 'one'"),
        (voc_xml("a.jpg", [], size=("wide", 2)), "could not convert string to float: 'wide'"),
        (voc_xml("a.jpg", [], size=("inf", 2)), "cannot convert float infinity"),
    ],
)
def test_voc_files_that_are_none(tmp_path, xml, told):
    file = voc_file(tmp_path, [])
    file.write_text(xml)
    with pytest.raises(ValueError, match=f"^{file} is not a VOC annotation: {told}"):
        read_voc(tmp_path)


@pytest.mark.parametrize("corner", ["xmin", "ymin", "xmax", "ymax"])
def test_voc_a_missing_corner_is_no_number(tmp_path, corner):
    text = voc_object("kite", (1, 1, 20, 10)).replace(f"<{corner}>", "<other>").replace(f"</{corner}>", "</other>")
    voc_file(tmp_path, [text])
    with pytest.raises(ValueError, match=r"a\.xml, row 0: box \(.*nan.*\) is not finite"):
        read_voc(tmp_path)


# ---- COCO ----


def coco_file(folder, content, name="annotations/instances_train.json", pictures=SET):
    for picture in pictures:
        touch(folder / "images" / picture)
    write(folder / name, content if isinstance(content, str) else json.dumps(content))
    return folder / name


def test_coco_boxes_are_left_top_width_height(tmp_path):
    content = coco_content({"a.jpg": [("kite", (20, 10, 60, 50), False)]})
    assert content["annotations"][0]["bbox"] == [20, 10, 40, 40]
    coco_file(tmp_path, content)
    assert read_coco(tmp_path)[0].labels[0].tolist() == [pytest.approx([0, 0.1, 0.1, 0.3, 0.5])]


def test_coco_classes_come_in_the_order_of_their_numbers(tmp_path):
    """tent 2, kite 10, yak 1: neither by name, nor as text, nor as listed."""
    content = coco_content({"a.jpg": [("tent", (20, 10, 60, 50), False), ("kite", (0, 0, 9, 9), False)]}, ids=(2, 10))
    content["categories"].append({"id": 1, "name": "yak"})
    coco_file(tmp_path, content)
    (split,) = read_coco(tmp_path)
    assert split.classes == ("yak", "tent", "kite")
    assert sorted(split.labels[0][:, 0].tolist()) == [1, 2]
    assert {split.classes[int(row[0])]: row[3] for row in split.labels[0]} == {
        "tent": np.float32(0.3),
        "kite": np.float32(0.045),
    }


def test_coco_crowds_are_difficult(tmp_path):
    content = coco_content({"a.jpg": [("tent", (20, 10, 60, 50), True), ("kite", (0, 0, 9, 9), False)]})
    del content["annotations"][1]["iscrowd"]  # of the kite; not every tool writes it
    coco_file(tmp_path, content)
    (split,) = read_coco(tmp_path)
    assert dict(zip(split.labels[0][:, 0].tolist(), split.difficult[0].tolist())) == {1: True, 0: False}


def test_coco_other_parts_are_ignored_and_numbers_may_be_text(tmp_path):
    content = coco_content()
    content.update(info={"year": 2017}, licenses=[])
    content["annotations"][0].update(segmentation=[[1, 2, 3]], bbox=["150", "25", "50", "75"])
    coco_file(tmp_path, content)
    assert by_name(read_coco(tmp_path)[0])["c.jpg"] == approx(EXPECTED)["c.jpg"]


@pytest.mark.parametrize(
    ("files", "splits"),
    [
        (["annotations/instances_train2017.json", "annotations/instances_val2017.json"], 2),
        (["train.json", "val.json"], 2),
        (["annotations/captions_train2017.json", "annotations/instances_train2017.json"], 1),  # as COCO comes
        (["annotations/image_info_test2017.json", "annotations/mine.json"], 1),
        (["annotations/instances_trainval.json"], 1),  # not its own validation set
        (["whatever.json"], 1),
    ],
)
def test_coco_files_and_their_splits(tmp_path, files, splits):
    for file in files:
        if "captions" in file or "test" in file:
            coco_file(tmp_path, {"annotations": [{"caption": "a kite"}]}, file)
        else:
            part = {"c.jpg": SET["c.jpg"]} if "val" in file and "train" not in file else SET
            coco_file(tmp_path, coco_content(part), file)
    read = read_coco(tmp_path)
    assert [by_name(split) for split in read] == [approx(EXPECTED), approx({"c.jpg": EXPECTED["c.jpg"]})][:splits]
    (tmp_path / "alone").mkdir()
    assert [by_name(split) for split in read_coco(tmp_path / files[-1])] == [by_name(read[-1])]


def test_coco_classes_are_those_of_both_files(tmp_path):
    train, val = coco_content({"a.jpg": []}), coco_content({"a.jpg": []})
    train["categories"], val["categories"] = [{"id": 5, "name": "yak"}], [{"id": 4, "name": "emu"}]
    coco_file(tmp_path, train, "train.json")
    coco_file(tmp_path, val, "val.json")
    assert [split.classes for split in read_coco(tmp_path)] == [("emu", "yak")] * 2


@pytest.mark.parametrize("folders", [("train2017", "val2017"), ("train", "val"), ("images/train", "images/val")])
def test_coco_pictures_of_two_splits_may_share_their_names(tmp_path, folders):
    for split, folder in zip(("train", "val"), folders):
        touch(tmp_path / folder / "a.jpg")
        write(tmp_path / "annotations" / f"{split}.json", json.dumps(coco_content({"a.jpg": SET["a.jpg"]})))
    train, val = read_coco(tmp_path)
    assert (train.paths, val.paths) == ([tmp_path / folders[0] / "a.jpg"], [tmp_path / folders[1] / "a.jpg"])
    assert read_coco(tmp_path / "annotations" / "val.json")[0].paths == val.paths


def test_coco_a_picture_may_lie_with_the_others_split_or_under_its_own_path(tmp_path):
    data = {"a.jpg": [], "deep/b.jpg": [], "c.jpg": []}
    for name in ("val2017/a.jpg", "deep/b.jpg", "images/c.jpg"):
        touch(tmp_path / name)
    coco_file(tmp_path, coco_content(data), pictures=())
    (split,) = read_coco(tmp_path)
    assert split.paths == [tmp_path / name for name in ("val2017/a.jpg", "deep/b.jpg", "images/c.jpg")]


def test_coco_a_missing_picture(tmp_path):
    coco_file(tmp_path, coco_content())
    (tmp_path / "images" / "b.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=f"the picture b.jpg is in none of .*{tmp_path}/images"):
        read_coco(tmp_path)


def test_coco_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path} holds no annotations"):
        read_coco(tmp_path)


@pytest.mark.parametrize(("part", "value"), [("image_id", 55), ("category_id", 55)])
def test_coco_numbers_of_nothing(tmp_path, part, value):
    content = coco_content()
    content["annotations"][1].update({part: value, "id": 9})
    file = coco_file(tmp_path, content)
    with pytest.raises(
        ValueError, match=f"^{file}: annotation 9 names picture .*of which one is not in the file"
    ) as error:
        read_coco(tmp_path)
    assert " 55" in str(error.value)


def without(part, key):
    content = coco_content()
    del content[part][1][key]
    return content


def with_value(part, key, value):
    content = coco_content()
    content[part][1][key] = value
    return content


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("[]", "list indices must be integers"),
        ({}, "it has no 'images'"),
        ({"images": []}, "it has no 'annotations'"),
        ({"images": [], "annotations": []}, "it has no 'categories'"),
        *((without("images", key), rf"images\[1\] has no {key}") for key in ("id", "file_name", "width", "height")),
        *(
            (without("annotations", key), rf"annotations\[1\] has no {key}")
            for key in ("image_id", "category_id", "bbox")
        ),
        *((without("categories", key), rf"categories\[1\] has no {key}") for key in ("id", "name")),
        (with_value("annotations", "bbox", [1, 2, 3]), r"annotations\[1\]: bbox must have the shape \(4\), got \(3,\)"),
        (with_value("annotations", "bbox", [1, 2, 3, "x"]), r"annotations\[1\]: bbox must be an array of numbers"),
        (with_value("annotations", "bbox", None), r"annotations\[1\]: bbox must have the shape \(4\)"),
        (with_value("images", "width", 0), r"images\[1\] is 0x100 pixels"),
        (with_value("images", "height", -3), r"images\[1\] is 200x-3 pixels"),
        (with_value("images", "height", None), "'>' not supported"),
    ],
)
def test_coco_files_that_are_none(tmp_path, content, told):
    file = coco_file(tmp_path, content)
    with pytest.raises(ValueError, match=f"^{file} is not a COCO file: {told}"):
        read_coco(tmp_path)


# ---- YOLO ----


def yolo_folder(folder, labels, names="kite\ntent\n"):
    """Pictures in images/ with their text in labels/; None writes no text."""
    for name, text in labels.items():
        touch(folder / "images" / f"{name}.jpg")
        if text is not None:
            write(folder / "labels" / f"{name}.txt", text)
    if names:
        write(folder / "classes.txt", names)
    return folder


BOX = "1 0.2 0.3 0.2 0.4\n"  # centre (0.2, 0.3): from (0.1, 0.1) to (0.3, 0.5)
ROW = [1, 0.1, 0.1, 0.3, 0.5]


def test_yolo_rows_are_class_centre_and_sides(tmp_path):
    (split,) = read_yolo(yolo_folder(tmp_path, {"a": f"\n{BOX}\n  0\t0.5 0.5 1 1  \n"}))
    assert split.labels[0].tolist() == [pytest.approx(ROW), [0, 0, 0, 1, 1]]


def test_yolo_a_picture_without_text_or_with_empty_text_has_no_objects(tmp_path):
    (split,) = read_yolo(yolo_folder(tmp_path, {"a": BOX, "b": None, "c": "", "d": "\n \n"}))
    assert [len(rows) for rows in split.labels] == [1, 0, 0, 0]


def test_yolo_text_without_a_picture_is_left(tmp_path):
    yolo_folder(tmp_path, {"a": BOX})
    write(tmp_path / "labels" / "z.txt", "nonsense")
    assert [path.name for path in read_yolo(tmp_path)[0].paths] == ["a.jpg"]


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "png", "bmp", "webp", "tif", "tiff", "gif"])
def test_yolo_pictures_of_every_suffix(tmp_path, suffix):
    touch(tmp_path / f"a.{suffix}")
    write(tmp_path / "a.txt", BOX)
    assert read_yolo(tmp_path)[0].labels[0].tolist() == [pytest.approx(ROW)]


@pytest.mark.parametrize("folder", ["flat", "images", "images/flat", "images/deep/flat"])
def test_yolo_texts_beside_their_pictures_whatever_the_folders_are_called(tmp_path, folder):
    touch(tmp_path / folder / "a.jpg")
    write(tmp_path / folder / "a.txt", BOX)
    assert read_yolo(tmp_path / folder)[0].labels[0].tolist() == [pytest.approx(ROW)]
    if folder == "images":
        assert read_yolo(tmp_path)[0].labels[0].tolist() == [pytest.approx(ROW)]


def test_yolo_the_last_images_of_a_path_becomes_labels(tmp_path):
    """The outer folder of that name stays."""
    (split,) = read_yolo(yolo_folder(tmp_path / "images" / "mine", {"a": BOX}))
    assert len(split.labels[0]) == 1


def test_yolo_splits_by_folder(tmp_path):
    for split, name in (("train", "b"), ("train", "a"), ("val", "a")):
        touch(tmp_path / "images" / split / f"{name}.jpg")
        write(tmp_path / "labels" / split / f"{name}.txt", BOX if split == "train" else "0 0.5 0.5 1 1\n")
    train, val = read_yolo(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in train.paths] == ["images/train/a.jpg", "images/train/b.jpg"]
    assert [str(path.relative_to(tmp_path)) for path in val.paths] == ["images/val/a.jpg"]
    assert val.labels[0].tolist() == [[0, 0, 0, 1, 1]]
    assert train.classes == val.classes == ("0", "1")


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        ("names: [kite, tent]", ("kite", "tent")),
        ("names:\n- kite\n- 7\n", ("kite", "7")),
        ("names: {0: kite, 1: tent}", ("kite", "tent")),
        ("names:\n  1: tent\n  0: kite\n", ("kite", "tent")),
        ("names: {" + ", ".join(f"{i}: n{i}" for i in range(11)) + "}", tuple(f"n{i}" for i in range(11))),
        ("nc: 2", ("0", "1")),
        ("names: []", ("0", "1")),
    ],
)
def test_yolo_names_of_a_yaml(tmp_path, names, classes):
    write(yolo_folder(tmp_path, {"a": BOX}, names=None) / "data.yaml", names)
    for path in (tmp_path, tmp_path / "data.yaml"):
        assert read_yolo(path)[0].classes == classes


@pytest.mark.parametrize("base", [None, ".", "sub"])
def test_yolo_folders_of_a_yaml(tmp_path, base):
    """Its paths are relative to ``path``, and that to the file."""
    root = tmp_path / (base or ".")
    for split, text in (("first", BOX), ("second", "0 0.5 0.5 1 1")):
        touch(root / split / "images" / "a.jpg")
        write(root / split / "labels" / "a.txt", text)
    head = "" if base is None else f"path: {base}\n"
    write(tmp_path / "any.yml", f"{head}train: first/images\nval: second/images\nnames: [kite, tent]\n")
    train, val = read_yolo(tmp_path / "any.yml")
    assert train.labels[0].tolist() == [pytest.approx(ROW)]
    assert val.labels[0].tolist() == [[0, 0, 0, 1, 1]]
    write(tmp_path / "any.yml", f"{head}train: {(root / 'first' / 'images').resolve()}\nnames: [kite, tent]\n")
    (only,) = read_yolo(tmp_path / "any.yml")
    assert only.labels[0].tolist() == [pytest.approx(ROW)]


def test_yolo_a_yaml_goes_before_classes_txt(tmp_path):
    write(yolo_folder(tmp_path, {"a": BOX}) / "data.yaml", "names: [emu, yak]")
    assert read_yolo(tmp_path)[0].classes == ("emu", "yak")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("names: [kite", "is not YAML: while parsing a flow sequence"),
        ("- kite\n", "must hold names, train and val, got list"),
        ("", "must hold names, train and val, got NoneType"),
        ("names: kite", "names must be a list, got 'kite'"),
        ("names: {1: kite, 2: tent}", "names must number the classes from 0 on, got 1, 2"),
        ("names: {0: kite, 2: tent}", "names must number the classes from 0 on, got 0, 2"),
        ("names: {a: kite, 0: tent}", "names must number the classes from 0 on, got a, 0"),
    ],
)
def test_yolo_a_yaml_that_is_none(tmp_path, text, told):
    write(yolo_folder(tmp_path, {"a": BOX}) / "data.yaml", text)
    with pytest.raises(ValueError, match=rf"^{tmp_path}/data\.yaml:? {told}"):
        read_yolo(tmp_path)


def test_yolo_a_folder_of_the_yaml_that_is_missing(tmp_path):
    write(yolo_folder(tmp_path, {"a": BOX}) / "data.yaml", "train: pictures\nnames: [kite, tent]")
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}/pictures is not there"):
        read_yolo(tmp_path)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("1 0.2 0.3 0.2", "expected a class and four numbers, got '1 0.2 0.3 0.2'"),
        ("1 0.2 0.3 0.2 0.4 0.9", "expected a class and four numbers, got '1 0.2 0.3 0.2 0.4 0.9'"),
        ("1.5 0.2 0.3 0.2 0.4", "expected a class and four numbers"),
        ("-1 0.2 0.3 0.2 0.4", "expected a class and four numbers"),
        ("nan 0.2 0.3 0.2 0.4", "expected a class and four numbers"),
        ("inf 0.2 0.3 0.2 0.4", "expected a class and four numbers"),
        ("tent 0.2 0.3 0.2 0.4", "'tent 0.2 0.3 0.2 0.4' holds something that is no number"),
        ("1 0,2 0,3 0,2 0,4", "'1 0,2 0,3 0,2 0,4' holds something that is no number"),
        ("1" + " 0.5" * 500, r"expected a class and four numbers, got '1( 0\.5){14} 0\.'"),  # 60 characters of it
    ],
)
@pytest.mark.parametrize("skip_bad", [False, True])
def test_yolo_a_line_that_is_no_row_is_told_with_its_number(tmp_path, line, told, skip_bad):
    yolo_folder(tmp_path, {"a": BOX, "b": f"{BOX}\n{line}\n"})
    with pytest.raises(ValueError, match=rf"^{tmp_path}/labels/b\.txt, line 3: {told}"):
        read_yolo(tmp_path, skip_bad)


def test_yolo_a_class_without_a_name(tmp_path):
    yolo_folder(tmp_path, {"a": "2 0.5 0.5 1 1"})
    with pytest.raises(ValueError, match=f"{tmp_path}: a label has class 2, but 2 classes are named"):
        read_yolo(tmp_path)


def test_yolo_without_names_the_classes_are_numbers(tmp_path):
    assert read_yolo(yolo_folder(tmp_path / "a", {"a": "3 0.5 0.5 1 1"}, names=None))[0].classes == ("0", "1", "2", "3")
    assert read_yolo(yolo_folder(tmp_path / "b", {"a": ""}, names=None))[0].classes == ("0",)
