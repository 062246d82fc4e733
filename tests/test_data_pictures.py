"""Pictures of every kind become (H, W, 3) uint8, RGB, the right way up; what is none is refused by its name."""

import io
import os
import random
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from gluonbook.data import pictures
from gluonbook.data.pictures import decode_picture, find_pictures, picture_size, read_picture, resize, sample_picture

WITH_FILES = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0)
JPEG_ERROR = 8  # of 255: what quality 95 without subsampling changes in smooth colours
ORIENTATION = 0x0112  # the EXIF tag
# EXIF 2.3, section 4.6.4: where the stored first row and first column belong.
TURNS = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],  # the first column is the right side
    3: lambda stored: stored[::-1, ::-1],  # the first row is the bottom, the first column the right side
    4: lambda stored: stored[::-1],  # the first row is the bottom
    5: lambda stored: stored.transpose(1, 0, 2),  # the first row is the left side
    6: lambda stored: stored.transpose(1, 0, 2)[:, ::-1],  # the first row is the right side, the first column the top
    7: lambda stored: stored.transpose(1, 0, 2)[::-1, ::-1],  # the first row is the right side, the column the bottom
    8: lambda stored: stored.transpose(1, 0, 2)[::-1],  # the first row is the left side, the first column the bottom
}


def noise(height=5, width=7, channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def gradient(height=40, width=60):
    """Colours that a JPEG keeps."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([4 * x, 5 * y, 120 + x - y], 2).astype(np.uint8)


def saved(tmp_path, values, name, mode=None, **options):
    image = values if isinstance(values, Image.Image) else Image.fromarray(values)
    assert mode is None or image.mode == mode
    image.save(tmp_path / name, **options)
    return tmp_path / name


def same_grey(grey):
    return np.repeat(np.asarray(grey, np.uint8)[..., None], 3, 2)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.ppm", "a.webp"])
def test_a_lossless_picture_is_its_pixels(tmp_path, name):
    values = noise()
    got = read_picture(saved(tmp_path, values, name, **({"lossless": True} if name.endswith("webp") else {})))
    assert (got.dtype, got.shape) == (np.uint8, (5, 7, 3))
    np.testing.assert_array_equal(got, values)


def test_the_array_is_the_callers_own(tmp_path):
    got = read_picture(saved(tmp_path, noise(), "a.png"))
    got[0, 0] = 7
    assert got[0, 0].tolist() == [7, 7, 7]


def test_the_ending_does_not_matter(tmp_path):
    values = noise()
    path = saved(tmp_path, values, "a.png").rename(tmp_path / "picture.jpg")
    np.testing.assert_array_equal(read_picture(str(path)), values)


def test_grey_becomes_three_equal_channels(tmp_path):
    grey = noise()[..., 0]
    np.testing.assert_array_equal(read_picture(saved(tmp_path, grey, "a.png", "L")), same_grey(grey))


def test_black_and_white_becomes_0_and_255(tmp_path):
    bits = np.array([[True, False, True], [False, False, True]])
    np.testing.assert_array_equal(read_picture(saved(tmp_path, bits, "a.png", "1")), same_grey(255 * bits))


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bits_become_the_upper_8(tmp_path, name):
    """v / 65535 · 255, rounded: 257 steps of 16 bits are one of 8."""
    values = np.array([[0, 128, 129, 257], [32768, 65278, 65406, 65535]], np.uint16)
    expected = [[0, 0, 1, 1], [128, 254, 254, 255]]  # 128/257 = 0.498, 129/257 = 0.502, 65406/257 = 254.498
    np.testing.assert_array_equal(read_picture(saved(tmp_path, values, name, "I;16")), same_grey(expected))


def test_dark_16_bits_stay_dark(tmp_path):
    """All below 256, and yet not 8 bits."""
    path = saved(tmp_path, np.full((2, 2), 200, np.uint16), "a.png", "I;16")
    assert read_picture(path).tolist() == [[[1, 1, 1]] * 2] * 2  # 200 / 257 = 0.78


def test_32_bit_whole_numbers_are_8_bits_or_16_by_their_highest(tmp_path):
    low, high = np.array([[0, 100, 255]], np.int32), np.array([[0, 25700, 65535]], np.int32)
    assert read_picture(saved(tmp_path, low, "low.tif", "I"))[0, :, 0].tolist() == [0, 100, 255]
    assert read_picture(saved(tmp_path, high, "high.tif", "I"))[0, :, 0].tolist() == [0, 100, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.25, 0.5, 1.0], [0, 64, 128, 255]),  # 63.75 and 127.5, rounded to even
        ([0.0, 1.5, 99.4, 255.0], [0, 2, 99, 255]),
        ([-3.0, 0.5, 1.0, 1.0], [0, 128, 255, 255]),
        ([np.nan, 0.5, 1.0, 0.0], [0, 128, 255, 0]),
        ([np.nan, np.inf, -np.inf, 200.0], [0, 255, 0, 200]),
        ([np.nan] * 4, [0] * 4),
    ],
)
def test_floats_end_at_1_or_at_255(tmp_path, values, expected):
    path = saved(tmp_path, np.array([values], np.float32), "a.tif", "F")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_picture(path)[0, :, 0].tolist() == expected


def test_a_transparent_picture_lies_on_the_background(tmp_path):
    """colour · a + background · (1 − a), with a = alpha / 255."""
    values = np.array([[(*RED, 255), (*RED, 0), (*RED, 51), (10, 20, 30, 102)]], np.uint8)  # a: 1, 0, 1/5, 2/5
    path = saved(tmp_path, values, "a.png", "RGBA")
    on_white = [RED, (255, 255, 255), (255, 204, 204), (157, 161, 165)]
    on_blue = [RED, BLUE, (51, 0, 204), (4, 8, 165)]
    assert read_picture(path)[0].tolist() == [list(colour) for colour in on_white]
    assert read_picture(path, background=BLUE)[0].tolist() == [list(colour) for colour in on_blue]


@given(st.lists(st.tuples(*[st.integers(0, 255)] * 4), min_size=1, max_size=8), st.tuples(*[st.integers(0, 255)] * 3))
@WITH_FILES
def test_blending_is_the_weighted_mean_within_rounding(tmp_path, colours, background):
    values = np.array([colours], np.uint8)
    got = read_picture(saved(tmp_path, values, "a.png", "RGBA"), background=background)
    alpha = values[..., 3:] / 255
    assert np.abs(got - (values[..., :3] * alpha + np.array(background) * (1 - alpha))).max() <= 1


def test_grey_with_alpha(tmp_path):
    values = np.array([[(100, 255), (100, 0), (100, 51)]], np.uint8)  # 100/5 + 255·4/5 = 224
    image = Image.frombytes("LA", (3, 1), values.tobytes())
    assert read_picture(saved(tmp_path, image, "a.png", "LA"))[0].tolist() == [[100] * 3, [255] * 3, [224] * 3]


def palette_picture():
    image = Image.new("P", (3, 1))
    image.putpalette([*RED, *GREEN, *BLUE])
    image.putdata([0, 1, 2])
    return image


def test_a_palettes_colours(tmp_path):
    path = saved(tmp_path, palette_picture(), "a.png", "P")
    assert read_picture(path)[0].tolist() == [list(RED), list(GREEN), list(BLUE)]


@pytest.mark.parametrize(("name", "transparency"), [("a.png", 1), ("a.png", b"\xff\x00\xff"), ("a.gif", 1)])
def test_a_palettes_transparent_colour_is_the_background(tmp_path, name, transparency):
    path = saved(tmp_path, palette_picture(), name, "P", transparency=transparency)
    assert read_picture(path, background=(9, 8, 7))[0].tolist() == [list(RED), [9, 8, 7], list(BLUE)]


def test_a_transparent_colour_without_palette(tmp_path):
    values = np.array([[RED, GREEN]], np.uint8)
    path = saved(tmp_path, values, "a.png", "RGB", transparency=GREEN)
    assert read_picture(path)[0].tolist() == [list(RED), [255, 255, 255]]


def test_a_cmyk_jpeg(tmp_path):
    values = gradient()
    image = Image.fromarray(values).convert("CMYK")
    path = saved(tmp_path, image, "a.jpg", "CMYK", quality=95, subsampling=0)
    assert np.abs(read_picture(path).astype(int) - values).max() <= JPEG_ERROR


@pytest.mark.parametrize("orientation", TURNS)
def test_a_cameras_orientation_is_applied(tmp_path, orientation):
    stored, exif = noise(2, 3), Image.Exif()
    exif[ORIENTATION] = orientation
    path = saved(tmp_path, stored, "a.png", exif=exif)
    got = read_picture(path)
    np.testing.assert_array_equal(got, TURNS[orientation](stored))
    np.testing.assert_array_equal(got, np.asarray(ImageOps.exif_transpose(Image.open(path))))
    assert picture_size(path) == got.shape[:2]


def test_an_orientation_with_transparency(tmp_path):
    """Turned and blended, both."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    values = np.array([[(*RED, 255), (*RED, 0)]], np.uint8)
    assert read_picture(saved(tmp_path, values, "a.png", exif=exif)).tolist() == [[list(RED)], [[255] * 3]]


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_unknown_orientation_is_no_orientation(tmp_path, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = saved(tmp_path, noise(2, 3), "a.png", exif=exif)
    np.testing.assert_array_equal(read_picture(path), noise(2, 3))
    assert picture_size(path) == (2, 3)


def test_one_pixel(tmp_path):
    path = saved(tmp_path, np.array([[GREEN]], np.uint8), "a.png")
    assert read_picture(path).tolist() == [[list(GREEN)]]
    assert picture_size(path) == (1, 1)


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.tif", "a.webp"])
def test_of_several_frames_the_first_is_taken(tmp_path, name):
    first, *others = (Image.new("RGB", (3, 2), colour) for colour in (RED, GREEN, BLUE))
    options = {"lossless": True} if name == "a.webp" else {}
    path = saved(tmp_path, first, name, save_all=True, append_images=others, **options)
    with Image.open(path) as image:
        assert image.n_frames == 3
    assert read_picture(path).tolist() == [[list(RED)] * 3] * 2


@pytest.mark.parametrize(("height", "width"), [(1, 5), (5, 1), (300, 2)])
def test_the_size_is_height_and_width(tmp_path, height, width):
    path = saved(tmp_path, noise(height, width), "a.png")
    assert picture_size(path) == read_picture(path).shape[:2] == (height, width)


def test_the_size_of_a_jpeg_needs_its_first_bytes_only(tmp_path):
    path = saved(tmp_path, noise(50, 60), "a.jpg")
    path.write_bytes(path.read_bytes()[:700])
    assert picture_size(path) == (50, 60)


# ---- what is no picture ----


def test_a_missing_file(tmp_path):
    for read in (read_picture, picture_size):
        with pytest.raises(FileNotFoundError, match=r"nothing\.jpg is not there"):
            read(tmp_path / "nothing.jpg")


def test_a_folder(tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path} is a folder, not a picture"):
        read_picture(tmp_path)
    with pytest.raises(ValueError, match=f"{tmp_path} is not a picture that can be read"):
        picture_size(tmp_path)


def test_an_empty_file(tmp_path):
    (tmp_path / "a.jpg").touch()
    with pytest.raises(ValueError, match=r"a\.jpg is empty: 0 bytes"):
        read_picture(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match=r"a\.jpg is not a picture that can be read"):
        picture_size(tmp_path / "a.jpg")


def test_text_by_the_name_of_a_picture(tmp_path):
    (tmp_path / "a.jpg").write_text("no picture\n" * 100)
    with pytest.raises(ValueError, match=r"a\.jpg is not a picture: no known format"):
        read_picture(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match=r"a\.jpg is not a picture that can be read"):
        picture_size(tmp_path / "a.jpg")


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.bmp"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_file_cut_short(tmp_path, name, share):
    path = saved(tmp_path, noise(80, 80), name)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=rf"{name} is (cut short \(.*truncated|a damaged picture \()"):
        read_picture(path)


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_a_file_cut_short_is_called_that(tmp_path, name):
    path = saved(tmp_path, noise(80, 80), name)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(ValueError, match=rf"{name} is cut short \("):
        read_picture(path)


def test_a_damaged_png(tmp_path):
    path = saved(tmp_path, noise(80, 80), "a.png")
    content = bytearray(path.read_bytes())
    content[60:80] = bytes(20)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.png is a damaged picture \("):
        read_picture(path)


@pytest.mark.parametrize("pillows_own", [False, True])
def test_a_picture_that_is_too_large(tmp_path, monkeypatch, pillows_own):
    """Ours is told with the size; Pillow refuses twice its own limit as it opens a file."""
    path = saved(tmp_path, noise(5, 7), "a.png")
    monkeypatch.setattr(pictures, "MAX_PIXELS", 34)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 17 if pillows_own else 10_000)
    with pytest.raises(ValueError, match=rf"a\.png is too large: {'' if pillows_own else '7x5 pixels, '}at most 34"):
        read_picture(path)
    if pillows_own:
        with pytest.raises(ValueError, match=r"a\.png is not a picture that can be read"):
            picture_size(path)


def test_a_picture_of_exactly_the_limit_is_read_without_a_warning(tmp_path, monkeypatch):
    path = saved(tmp_path, noise(5, 7), "a.png")
    monkeypatch.setattr(pictures, "MAX_PIXELS", 35)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_picture(path).shape == (5, 7, 3)


def test_the_limit_is_100_million_and_below_pillows():
    assert pictures.MAX_PIXELS == 100_000_000 < 2 * Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "AVIF"])
def test_whatever_is_damaged_is_read_or_refused_by_name(tmp_path, format):
    """A few hundred broken files: none raises anything but a ValueError that names the file."""
    Image.init()
    if format not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {format}")
    buffer, rng, messages = io.BytesIO(), random.Random(format), []
    Image.fromarray(noise(23, 31)).save(buffer, format)
    for i in range(80):
        content = bytearray(buffer.getvalue())
        if i % 2:
            content = content[: rng.randrange(1, len(content))]
        for _ in range(rng.randrange(5)):
            content[rng.randrange(min(len(content), 300))] = rng.randrange(256)
        (tmp_path / "broken").write_bytes(content)
        for read in (read_picture, picture_size):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    read(tmp_path / "broken")
            except ValueError as error:
                messages.append(str(error))
    assert len(messages) > 10
    assert all(message.startswith(str(tmp_path / "broken")) for message in messages)


def test_bytes_are_decoded_under_the_name_given():
    buffer = io.BytesIO()
    Image.fromarray(noise()).save(buffer, "PNG")
    np.testing.assert_array_equal(decode_picture(buffer.getvalue(), "one"), noise())
    for content, message in (
        (b"", "two is not a picture"),
        (b"text", "two is not a picture"),
        (buffer.getvalue()[:-60], "two is cut short"),
    ):
        with pytest.raises(ValueError, match=message):
            decode_picture(content, "two")


# ---- squeezed to a square ----


def test_a_smaller_picture_is_the_mean_of_blocks():
    """4 x 6 pixels to 2 x 2: blocks of 2 x 3."""
    values = noise(4, 6)
    expected = values.reshape(2, 2, 2, 3, 3).mean((1, 3))
    got = resize(values, 2)
    assert (got.shape, got.dtype) == ((2, 2, 3), np.uint8)
    assert np.abs(got - expected).max() <= 0.5 + 1e-6


def test_a_larger_picture_lies_between_its_pixels():
    """Two columns to four: centres at 1/8, 3/8, 5/8, 7/8, of which those of the pixels are at 1/4 and 3/4."""
    values = np.array([[[0, 40, 200], [100, 40, 0]]] * 2, np.uint8)
    got = resize(values, 4)
    assert got.shape == (4, 4, 3)
    assert got[1].tolist() == [[0, 40, 200], [25, 40, 150], [75, 40, 50], [100, 40, 0]]


def test_a_picture_of_the_size_stays_and_any_view_of_one_is_taken():
    values = noise(6, 6)
    np.testing.assert_array_equal(resize(values, 6), values)
    np.testing.assert_array_equal(resize(values[:, ::-1], 3), resize(values[:, ::-1].copy(), 3))
    assert resize(noise(1, 9), 4).shape == resize(noise(9, 1), 4).shape == (4, 4, 3)


# ---- squeezed to a height and a width ----


def test_a_height_and_a_width_in_that_order():
    """4 x 6 pixels to 2 x 3: blocks of 2 x 2."""
    values = noise(4, 6)
    got = resize(values, (2, 3))
    assert (got.shape, got.dtype) == ((2, 3, 3), np.uint8)
    assert np.abs(got - values.reshape(2, 2, 3, 2, 3).mean((1, 3))).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("size", [(1, 1), (3, 8), (40, 2), (5, 7), (50, 70)])
def test_any_height_and_width_is_taken_and_a_square_is_one_number(size):
    values = noise(5, 7)
    assert resize(values, size).shape == (*size, 3)
    np.testing.assert_array_equal(resize(values, (size[0], size[0])), resize(values, size[0]))
    np.testing.assert_array_equal(resize(values[:, ::-1], size), resize(values[:, ::-1].copy(), size))


def test_a_picture_of_the_height_and_width_stays_and_one_turned_does_not():
    values = noise(5, 7)
    np.testing.assert_array_equal(resize(values, (5, 7)), values)
    assert resize(values, (7, 5)).shape == (7, 5, 3)


def test_fewer_pixels_are_means_and_more_lie_between_whichever_side_shrinks():
    """Two rows of four pixels: to 1 x 4, half as many, means; to 1 x 16, twice as many, between."""
    values = np.array([[0, 100, 0, 100], [100, 200, 100, 200]], np.uint8)
    assert resize(values, (1, 4)).tolist() == [[50, 150, 50, 150]]
    wider = resize(values, (1, 16))
    assert len(set(wider[0].tolist())) > 4


def test_a_mask_has_no_channels_and_floats_stay_floats():
    mask = noise(4, 6)[..., 0].astype(np.float32) / 255
    got = resize(mask, (2, 3))
    assert (got.shape, got.dtype) == ((2, 3), np.float32)
    np.testing.assert_allclose(got, mask.reshape(2, 2, 3, 2).mean((1, 3)), rtol=1e-5)
    np.testing.assert_allclose(resize(mask, (11, 13)).mean(), mask.mean(), rtol=0.1)
    assert resize(np.full((3, 4, 3), -1.5, np.float32), (7, 5)).tolist() == np.full((7, 5, 3), -1.5).tolist()


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 30), st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_no_value_leaves_the_range_of_the_picture(height, width, rows, columns):
    values = noise(height, width) // 2 + 40
    got = resize(values, (rows, columns))
    assert got.shape == (rows, columns, 3)
    assert values.min() <= got.min()
    assert got.max() <= values.max()


# ---- which pictures ----


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A folder of files, of which some are pictures; the working folder."""
    for name in (
        "b.jpg",
        "a.png",
        "C.JPEG",
        "d.txt",
        "e",
        "deep/f.webp",
        "deep/g.gif",
        "deep/er/k.webp",
        "none/h.csv",
        "x[1].jpg",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "folder.png").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("places", "found"),
    [
        (["b.jpg", "a.png"], ["b.jpg", "a.png"]),
        (["d.txt", "e"], ["d.txt", "e"]),  # whatever their names
        (["."], ["C.JPEG", "a.png", "b.jpg", "x[1].jpg"]),
        (["deep"], ["deep/f.webp", "deep/g.gif"]),
        (["deep/"], ["deep/f.webp", "deep/g.gif"]),
        (["*.txt"], ["d.txt"]),
        (["?.*"], ["C.JPEG", "a.png", "b.jpg", "d.txt"]),
        (["**/*.webp"], ["deep/er/k.webp", "deep/f.webp"]),
        (["*.png"], ["a.png"]),  # the folder by such a name is none
        (["[ab].*"], ["a.png", "b.jpg"]),
        (["x[1].jpg"], ["x[1].jpg"]),  # itself, not a pattern for x1.jpg
        (["b.jpg", "*.jpg", ".", "b.jpg", "./b.jpg"], ["b.jpg", "x[1].jpg", "C.JPEG", "a.png"]),
        (["missing.jpg", "b.jpg"], ["missing.jpg", "b.jpg"]),  # told when it is read, and the others go on
        ([], []),
    ],
)
def test_places_name_pictures(shelf, places, found):
    assert find_pictures(places) == [Path(name) for name in found]
    assert find_pictures(Path(place) for place in places) == [Path(name) for name in found]


def test_absolute_places_give_absolute_paths(shelf):
    assert find_pictures([shelf / "deep"]) == [shelf / "deep" / name for name in ("f.webp", "g.gif")]
    assert find_pictures([f"{shelf}/*.txt"]) == [shelf / "d.txt"]


def test_a_home_folder_is_understood(shelf, monkeypatch):
    monkeypatch.setenv("HOME", str(shelf))
    assert find_pictures(["~/deep", "~/*.txt"]) == [
        shelf / "deep" / "f.webp",
        shelf / "deep" / "g.gif",
        shelf / "d.txt",
    ]


@pytest.mark.parametrize("place", ["none", "*.bmp", "y[1].jpg", "missing/*.jpg"])
def test_a_place_that_names_nothing(shelf, place):
    what = "holds no picture" if place == "none" else "matches no file"
    with pytest.raises(FileNotFoundError) as error:
        find_pictures(["b.jpg", place])
    assert str(error.value) == f"{place} {what}"


@given(st.sets(st.sampled_from(["b.png", "a.png", "B.png", "a1.png", "a10.png", "a2.png", "ä.png"]), min_size=1))
@WITH_FILES
def test_a_folders_pictures_come_in_the_order_of_their_names(tmp_path, names):
    for path in tmp_path.iterdir():
        path.unlink()
    for name in names:
        (tmp_path / name).touch()
    expected = sorted(os.listdir(tmp_path))
    assert [path.name for path in find_pictures([tmp_path])] == expected
    assert [path.name for path in find_pictures([tmp_path / "*.png"])] == expected


@pytest.mark.parametrize(
    "name", ["lake", "harbour", "impressionist", "stained_glass", "woodcut", "watercolour", "china"]
)
def test_each_sample_is_a_picture(name):
    got = sample_picture(name)
    assert got.dtype == np.uint8
    assert got.shape[2] == 3
    assert min(got.shape[:2]) >= 400
    assert got.std() > 20


def test_a_sample_that_is_not_there_is_refused_with_the_names():
    with pytest.raises(ValueError, match=r"must be one of .*harbour.*lake.*china; got 'mona_lisa'"):
        sample_picture("mona_lisa")
