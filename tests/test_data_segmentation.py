"""Pascal VOC for segmentation: pictures and labels belong together, colours are classes, crops show the same window."""

import io
import os
import random
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

import gluonbook as gb
from gluonbook import _files, data
from gluonbook._mxnet import gluon, mx, nd
from gluonbook.data import segmentation
from gluonbook.data.segmentation import (
    VOC_CLASSES,
    VOC_COLORMAP,
    VOCSegDataset,
    download_voc_pascal,
    read_voc_images,
    voc_label_indices,
    voc_rand_crop,
)

BORDER = (224, 224, 192)  # between objects in VOC's label pictures: no class
# Written from the challenge's own list: class and colour.
TABLE = """
background 0 0 0
aeroplane 128 0 0
bicycle 0 128 0
bird 128 128 0
boat 0 0 128
bottle 128 0 128
bus 0 128 128
car 128 128 128
cat 64 0 0
chair 192 0 0
cow 64 128 0
diningtable 192 128 0
dog 64 0 128
horse 192 0 128
motorbike 64 128 128
person 192 128 128
potted plant 0 64 0
sheep 128 64 0
sofa 0 192 0
train 128 192 0
tv/monitor 0 64 128
"""


def palette_color(i):
    """The rule of VOC's palette: bits 0, 1, 2 of the index are the highest of r, g, b; bits 3, 4, 5 the next."""
    color = [0, 0, 0]
    for place in range(8):
        for channel in range(3):
            color[channel] |= (i >> (3 * place + channel) & 1) << (7 - place)
    return color


def class_map(height, width, seed=0):
    """Classes in blocks of four pixels, with borders (255) between some."""
    generator = np.random.default_rng(seed)
    blocks = generator.integers(0, 21, (-(-height // 4), -(-width // 4)))
    classes = np.kron(blocks, np.ones((4, 4), int))[:height, :width].astype(np.uint8)
    classes[::7] = 255
    return classes


def smooth(height, width, shade):
    """A picture that a JPEG keeps."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([2 * x, 2 * y, np.full_like(x, shade)], 2).astype(np.uint8)


def write_example(root, name, height, width, shade=100, seed=0):
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(smooth(height, width, shade)).save(root / "JPEGImages" / f"{name}.jpg", quality=95)
    label = Image.fromarray(class_map(height, width, seed), "P")
    label.putpalette([value for i in range(256) for value in palette_color(i)])
    label.save(root / "SegmentationClass" / f"{name}.png")


def write_voc(root, train=("b", "a", "c"), val=("d",), sizes=None):
    """As the challenge's: JPEG pictures, label pictures with a palette, and a list of names for each part."""
    for i, name in enumerate((*train, *val)):
        height, width = (sizes or {}).get(name, (20 + 2 * i, 30))
        write_example(root, name, height, width, shade=20 * i, seed=i)
    for part, names in (("train", train), ("val", val)):
        (root / "ImageSets" / "Segmentation" / f"{part}.txt").write_text("".join(f"{name}\n" for name in names))
    return root


@pytest.fixture
def voc(isolated):
    """The small set, where the book has it."""
    write_voc(isolated / "work" / "data" / "VOCdevkit" / "VOC2012")
    return Path("..", "data", "VOCdevkit", "VOC2012")


@pytest.fixture(scope="module")
def lookup():
    """The book's: float32, 0 where there is no class."""
    colormap2label = np.zeros(256**3, np.float32)
    for i, (r, g, b) in enumerate(VOC_COLORMAP):
        colormap2label[(r * 256 + g) * 256 + b] = i
    return nd.array(colormap2label)


# ---- classes and colours ----


def test_classes_and_colours_are_those_of_the_challenge():
    rows = [line.rsplit(" ", 3) for line in TABLE.strip().splitlines()]
    assert [name for name, *_ in rows] == VOC_CLASSES
    assert [[int(value) for value in color] for _, *color in rows] == VOC_COLORMAP
    assert len(VOC_CLASSES) == len(VOC_COLORMAP) == 21
    assert gb.VOC_CLASSES is VOC_CLASSES
    assert gb.VOC_COLORMAP is VOC_COLORMAP


def test_colours_follow_the_rule_of_the_palette():
    assert [palette_color(i) for i in range(21)] == VOC_COLORMAP
    assert tuple(palette_color(255)) == BORDER
    assert all(type(value) is int for color in VOC_COLORMAP for value in color)


def test_classes_and_colours_are_those_of_d2l():
    theirs = pytest.importorskip("d2l.mxnet")
    assert theirs.VOC_COLORMAP == VOC_COLORMAP
    assert theirs.VOC_CLASSES == VOC_CLASSES


# ---- reading ----


def test_pictures_and_labels_come_in_the_order_of_the_list(voc):
    features, labels = read_voc_images(voc, is_train=True)
    assert [feature.shape for feature in features] == [(20, 30, 3), (22, 30, 3), (24, 30, 3)]
    assert {type(rows) for rows in (features, labels)} == {list}
    for i, (feature, label) in enumerate(zip(features, labels)):
        assert (feature.dtype, label.dtype) == (np.uint8, np.uint8)
        assert (feature.context, label.context) == (mx.cpu(0), mx.cpu(0))
        expected = smooth(20 + 2 * i, 30, 20 * i).astype(int)
        assert np.abs(feature.asnumpy() - expected).max() <= 6  # what a JPEG of quality 95 changes in a slope
        palette = np.array([palette_color(k) for k in range(256)], np.uint8)
        np.testing.assert_array_equal(label.asnumpy(), palette[class_map(20 + 2 * i, 30, i)])
    (feature,), (label,) = read_voc_images(voc, is_train=False)
    assert (feature.shape, label.shape) == ((26, 30, 3), (26, 30, 3))


def test_pictures_are_those_of_another_decoder(voc):
    features, labels = read_voc_images(voc)
    for name, feature, label in zip("bac", features, labels):
        theirs = np.asarray(Image.open(voc / "JPEGImages" / f"{name}.jpg")).astype(int)
        assert np.abs(feature.asnumpy() - theirs).max() <= 3  # decoders round chroma differently
        png = Image.open(voc / "SegmentationClass" / f"{name}.png").convert("RGB")
        np.testing.assert_array_equal(label.asnumpy(), png)


def test_the_default_is_the_books_folder_and_the_training_part(voc):
    assert [len(rows) for rows in read_voc_images()] == [3, 3]
    assert [len(rows) for rows in read_voc_images(is_train=False)] == [1, 1]


@pytest.mark.parametrize("place", ["environment", "cache/gluonbook"])
def test_where_the_default_is_missing_other_places_are_looked_at(isolated, monkeypatch, place):
    monkeypatch.setenv("GLUONBOOK_DATA", str(isolated / "environment"))
    write_voc(isolated / place / "VOCdevkit" / "VOC2012", train=("x", "y"))
    assert len(read_voc_images()[0]) == 2
    assert len(read_voc_images(Path("..", "data", "VOCdevkit", "VOC2012"))[0]) == 2


def test_another_root_is_not_looked_for_elsewhere(voc, isolated):
    root = isolated / "VOC2007"
    message = f"{root}/ImageSets/Segmentation/train.txt is not there: root must be the folder VOC2012, got {root}"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        read_voc_images(root)
    (voc / "ImageSets" / "Segmentation" / "val.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"VOC2012/ImageSets/Segmentation/val\.txt is not there"):
        read_voc_images(str(voc), is_train=False)


@pytest.mark.parametrize("file", ["JPEGImages/a.jpg", "SegmentationClass/a.png"])
def test_a_missing_file_is_told(voc, file):
    (voc / file).unlink()
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(str(voc / file))} is not there$"):
        read_voc_images(voc)


@pytest.mark.parametrize("file", ["JPEGImages/a.jpg", "SegmentationClass/a.png"])
def test_a_file_that_is_no_picture_is_told(voc, file):
    (voc / file).write_bytes(b"rubbish")
    with pytest.raises(ValueError, match=f"^{re.escape(str(voc / file))} is not a picture$"):
        read_voc_images(voc)


def test_labels_of_another_size_are_refused(voc):
    Image.new("RGB", (30, 21)).save(voc / "SegmentationClass" / "a.png")
    with pytest.raises(ValueError, match=r"^picture a is \(22, 30, 3\), its labels are \(21, 30, 3\)$"):
        read_voc_images(voc)


def test_an_empty_list_is_no_pictures(voc):
    (voc / "ImageSets" / "Segmentation" / "train.txt").write_text("\n")
    assert read_voc_images(voc) == ([], [])


# ---- colours to classes ----


def slow_indices(colormap, colormap2label):
    rows = []
    for row in colormap:
        rows.append([colormap2label[(int(r) * 256 + int(g)) * 256 + int(b)] for r, g, b in row])
    return rows


def test_indices_by_hand(lookup):
    colormap = nd.array([[[0, 0, 0], [128, 0, 0], [0, 0, 128]], [[0, 64, 128], [192, 128, 128], [64, 0, 0]]])
    found = voc_label_indices(colormap, lookup)
    assert found.asnumpy().tolist() == [[0, 1, 4], [20, 15, 8]]
    assert (found.shape, found.dtype) == ((2, 3), np.float32)


def test_a_colour_that_is_no_class_is_background(lookup):
    """As in the original: the border between objects, and every other colour, is 0 in the book's lookup."""
    colormap = nd.array([[BORDER, [1, 0, 0], [255, 255, 255], [0, 128, 0]]], dtype="uint8")
    assert voc_label_indices(colormap, lookup).asnumpy().tolist() == [[0, 0, 0, 2]]


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_the_dtype_is_that_of_the_lookup(lookup, dtype):
    colormap = nd.array(class_colors(class_map(8, 5)), dtype="uint8")
    found = voc_label_indices(colormap, lookup.astype(dtype))
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found.asnumpy(), voc_label_indices(colormap, lookup).asnumpy())


def class_colors(classes):
    return np.array([palette_color(i) for i in range(256)], np.uint8)[classes]


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_indices_equal_a_slow_loop(lookup, dtype):
    generator = np.random.default_rng(1)
    colors = np.array([*VOC_COLORMAP, BORDER, [255, 255, 255], [255, 254, 1]])
    colormap = colors[generator.integers(0, len(colors), (13, 17))]
    found = voc_label_indices(nd.array(colormap, dtype=dtype), lookup)
    np.testing.assert_array_equal(found.asnumpy(), slow_indices(colormap, lookup.asnumpy()))


@pytest.fixture(scope="module")
def numbered():
    """A lookup in which every colour is a class of its own: (R * 256 + G) * 256 + B."""
    return nd.arange(256**3, dtype="float32")


@given(npst.arrays(np.uint8, npst.array_shapes(min_dims=2, max_dims=2, max_side=6).map(lambda s: (*s, 3))))
@settings(deadline=None, max_examples=50)
def test_every_colour_has_a_place_of_its_own(numbered, colormap):
    found = voc_label_indices(nd.array(colormap, dtype="uint8"), numbered).asnumpy().astype(int)
    wide = colormap.astype(int)
    np.testing.assert_array_equal(found, wide[..., 0] * 65536 + wide[..., 1] * 256 + wide[..., 2])


@pytest.mark.parametrize(
    ("shape", "size", "told"),
    [
        ((4, 4), 256**3, r"colormap must be \(H, W, 3\), got shape \(4, 4\)"),
        ((3, 4, 4), 256**3, r"colormap must be \(H, W, 3\), got shape \(3, 4, 4\)"),
        ((1, 4, 4, 3), 256**3, r"colormap must be \(H, W, 3\), got shape \(1, 4, 4, 3\)"),
        ((4, 4, 3), 256, r"colormap2label must be \(16777216,\), got shape \(256,\)"),
    ],
)
def test_other_shapes_are_refused(shape, size, told):
    with pytest.raises(ValueError, match=f"^{told}$"):
        voc_label_indices(nd.zeros(shape), nd.zeros(size))


# ---- crops ----


def places(height, width, channels=3):
    """Each pixel holds its row and its column."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([y, x, y * 0][:channels], 2).astype(np.float32)


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 12), st.data())
@settings(deadline=None, max_examples=60)
def test_both_show_the_same_window(seed, height, width, draw):
    full = draw.draw(st.integers(height, 9)), draw.draw(st.integers(width, 12))
    random.seed(seed)
    picture, labels = places(*full), 1000 + places(*full)
    feature, label = voc_rand_crop(nd.array(picture), nd.array(labels, dtype="int32"), height, width)
    assert feature.shape == label.shape == (height, width, 3)
    assert (feature.dtype, label.dtype) == (np.float32, np.int32)
    np.testing.assert_array_equal(feature.asnumpy() + 1000, label.asnumpy())
    top, left = feature[0, 0, :2].asnumpy().astype(int)
    np.testing.assert_array_equal(feature.asnumpy(), picture[top : top + height, left : left + width])


def test_every_window_occurs_and_a_seed_fixes_it():
    picture = nd.array(places(4, 6))
    random.seed(0)
    corners = [tuple(voc_rand_crop(picture, picture, 3, 4)[1][0, 0, :2].asnumpy()) for _ in range(200)]
    assert set(corners) == {(y, x) for y in range(2) for x in range(3)}
    random.seed(0)
    assert [tuple(voc_rand_crop(picture, picture, 3, 4)[0][0, 0, :2].asnumpy()) for _ in range(200)] == corners


def test_a_window_of_the_whole_picture_is_the_picture():
    picture = nd.array(places(4, 6))
    for crop in voc_rand_crop(picture, picture, 4, 6):
        np.testing.assert_array_equal(crop.asnumpy(), picture.asnumpy())


@pytest.mark.parametrize(
    ("height", "width", "error", "told"),
    [
        (5, 6, ValueError, "height must be at least 1 and at most 4, got 5"),
        (4, 7, ValueError, "width must be at least 1 and at most 6, got 7"),
        (0, 6, ValueError, "height must be at least 1 and at most 4, got 0"),
        (4, -1, ValueError, "width must be at least 1 and at most 6, got -1"),
        (2.5, 6, TypeError, r"height must be a whole number, got 2\.5 \(float\)"),
    ],
)
def test_a_window_that_does_not_fit_is_refused(height, width, error, told):
    picture = nd.zeros((4, 6, 3))
    with pytest.raises(error, match=f"^{told}$"):
        voc_rand_crop(picture, picture, height, width)


def test_a_crop_of_pictures_of_two_sizes_is_refused():
    with pytest.raises(ValueError, match=r"equally large, got \(4, 6, 3\) and \(4, 5, 3\)$"):
        voc_rand_crop(nd.zeros((4, 6, 3)), nd.zeros((4, 5, 3)), 2, 2)


# ---- the data set ----


def test_the_data_set_holds_what_the_book_uses(voc, lookup, capsys):
    dataset = VOCSegDataset(True, (16, 24), voc, lookup)
    assert re.fullmatch(r"read 3 examples\n", capsys.readouterr().out)
    assert isinstance(dataset, gluon.data.Dataset)
    assert len(dataset) == len(dataset.data) == len(dataset.labels) == 3
    assert dataset.crop_size == (16, 24)
    assert dataset.colormap2label is lookup
    assert dataset.rgb_mean.asnumpy().tolist() == np.float32([0.485, 0.456, 0.406]).tolist()
    assert dataset.rgb_std.asnumpy().tolist() == np.float32([0.229, 0.224, 0.225]).tolist()
    features, labels = read_voc_images(voc)
    for i in range(3):
        np.testing.assert_array_equal(dataset.labels[i].asnumpy(), labels[i].asnumpy())
        assert dataset.data[i].dtype == np.float32
        expected = (features[i].asnumpy() / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        np.testing.assert_allclose(dataset.data[i].asnumpy(), expected, atol=2e-6)
    VOCSegDataset(False, (16, 24), voc, lookup)
    assert capsys.readouterr().out == "read 1 examples\n"


def test_normalisation_by_hand(voc, lookup):
    """(255/255 - 0.485) / 0.229, and so on; 0 gives -mean/std."""
    dataset = VOCSegDataset(False, (16, 24), voc, lookup)
    white = dataset.normalize_image(nd.full((2, 3, 3), 255, dtype="uint8"))
    black = dataset.normalize_image(nd.zeros((1, 1, 3), dtype="uint8"))
    assert (white.shape, white.dtype) == ((2, 3, 3), np.float32)
    np.testing.assert_allclose(white[1, 2].asnumpy(), [2.2489083, 2.4285714, 2.64], atol=1e-5)
    np.testing.assert_allclose(black[0, 0].asnumpy(), [-2.1179039, -2.0357143, -1.8044444], atol=1e-5)


def test_an_item_is_a_crop_with_the_classes_of_its_pixels(voc, lookup):
    """The crop is found again in the picture by its colours, which grow along both axes."""
    dataset = VOCSegDataset(True, (16, 24), voc, lookup)
    random.seed(3)
    for i in [0, 1, 2] * 4:
        feature, label = dataset[i]
        assert (feature.shape, label.shape) == ((3, 16, 24), (16, 24))
        assert (feature.dtype, label.dtype) == (np.float32, np.float32)
        whole, classes = dataset.data[i].asnumpy(), class_map(20 + 2 * i, 30, i)
        classes = np.where(classes == 255, 0, classes)
        windows = [(y, x) for y in range(whole.shape[0] - 15) for x in range(7)]
        crop = feature.asnumpy().transpose(1, 2, 0)
        ((y, x),) = [(y, x) for y, x in windows if np.array_equal(whole[y : y + 16, x : x + 24], crop)]
        np.testing.assert_array_equal(label.asnumpy(), classes[y : y + 16, x : x + 24])


def test_an_item_is_another_crop_at_each_access(voc, lookup):
    dataset = VOCSegDataset(True, (8, 8), voc, lookup)
    random.seed(0)
    first = [dataset[0][0].asnumpy().tobytes() for _ in range(5)]
    assert len(set(first)) > 1
    random.seed(0)
    assert [dataset[0][0].asnumpy().tobytes() for _ in range(5)] == first


def test_pictures_smaller_than_the_crop_are_left_out(isolated, lookup, capsys):
    sizes = {"low": (15, 40), "narrow": (40, 23), "least": (16, 24), "large": (30, 40), "turned": (24, 16)}
    root = write_voc(isolated / "voc", train=tuple(sizes), sizes=sizes)
    dataset = VOCSegDataset(True, (16, 24), root, lookup)
    assert capsys.readouterr().out == "read 2 examples\n"
    shapes = [(16, 24, 3), (30, 40, 3)]
    assert [picture.shape for picture in dataset.data] == [picture.shape for picture in dataset.labels] == shapes
    assert [dataset[i][0].shape for i in range(2)] == [(3, 16, 24)] * 2
    pictures = [nd.zeros((height, width, 3)) for height, width in sizes.values()]
    assert [picture.shape for picture in dataset.filter(pictures)] == shapes


def test_where_no_picture_is_large_enough_the_largest_is_told(voc, lookup, capsys):
    told = r"crop_size must be at most a picture's \(height, width\), \(24, 30\); got \(320, 480\)"
    with pytest.raises(ValueError, match=f"^{told}$"):
        VOCSegDataset(True, (320, 480), voc, lookup)
    assert capsys.readouterr().out == ""
    (voc / "ImageSets" / "Segmentation" / "train.txt").write_text("")
    with pytest.raises(ValueError, match=r"\(height, width\), None; got \(1, 1\)$"):
        VOCSegDataset(True, (1, 1), voc, lookup)


@pytest.mark.parametrize("shuffle", [True, False])
def test_a_data_loader_makes_batches_of_it(voc, lookup, shuffle):
    loader = gluon.data.DataLoader(VOCSegDataset(True, (16, 24), voc, lookup), 2, shuffle, last_batch="keep")
    batches = list(loader)
    assert [X.shape for X, _ in batches] == [(2, 3, 16, 24), (1, 3, 16, 24)]
    assert [y.shape for _, y in batches] == [(2, 16, 24), (1, 16, 24)]


# ---- the archive ----


def archive(tmp_path):
    root = write_voc(tmp_path / "packed" / "VOCdevkit" / "VOC2012", train=("p",), val=("q",))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as packed:
        packed.add(root, "VOCdevkit/VOC2012")
    return buffer.getvalue()


@pytest.fixture
def hub(isolated, served, monkeypatch):
    """The archive's address is on the test's web server, without a digest."""
    one = segmentation.VOC2012
    urls = (f"{served.root}/{one.filename}",)
    monkeypatch.setattr(segmentation, "VOC2012", data.fetch.Dataset(one.name, one.filename, urls, None, one.embedded))
    served.file = one.filename
    return served


def test_the_archive_is_unpacked_into_data_dir_once(isolated, hub, tmp_path):
    folder = isolated / "mine"
    folder.mkdir()
    (folder / hub.file).write_bytes(archive(tmp_path))
    assert [download_voc_pascal(path) for path in (folder, str(folder))] == [f"{folder}/VOCdevkit/VOC2012"] * 2
    assert sorted(os.listdir(folder)) == ["VOCdevkit", "VOCtrainval_11-May-2012.tar"]
    assert [len(rows) for rows in read_voc_images(download_voc_pascal(folder))] == [1, 1]
    assert hub.asked == []


def test_the_default_is_the_books_folder_and_a_download_stays_in_the_cache(isolated, hub, tmp_path):
    hub.pages[f"/{hub.file}"] = archive(tmp_path)
    root = download_voc_pascal()
    assert root == "../data/VOCdevkit/VOC2012"
    assert type(root) is str
    assert [len(rows) for rows in read_voc_images(root)] == [1, 1]
    assert os.listdir(_files.cache_folder()) == [hub.file]
    assert download_voc_pascal() == root
    assert hub.asked == [f"/{hub.file}"]


def test_a_folder_that_is_there_is_left_alone(voc, hub):
    assert download_voc_pascal("../data") == str(voc)
    assert hub.asked == []


def test_without_an_archive_the_error_says_where_to_put_it(isolated, hub):
    for ask in (download_voc_pascal, read_voc_images):
        with pytest.raises(data.DataNotFound) as error:
            ask()
        first, *_, last = str(error.value).splitlines()
        assert first == f"the data set voc2012 ({hub.file}) was found in none of these places:"
        assert last == "Put the file into one of these folders by hand"


def test_the_digest_is_that_of_d2l():
    url, digest = pytest.importorskip("d2l.mxnet").DATA_HUB["voc2012"]
    assert segmentation.VOC2012.digest == f"sha1:{digest}"
    assert url in segmentation.VOC2012.urls
