"""Sizes at a stage, colours kept, and a result's file that holds what made it."""

import json
import os
import random
import warnings
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import gluonbook
from gluonbook.style.pictures import (
    FORMATS,
    enlarge,
    fit_size,
    luminance,
    match_luminance,
    read_settings,
    recolour,
    same_area,
    write_picture,
)

EXAMPLES = settings(deadline=None, max_examples=100)
SETTINGS = {"content": "山水.jpg", "stages": [[300, 200]], "style_weight": 2.5, "keep_colors": False, "seed": None}

sides = st.integers(1, 3000)


def noise(height=20, width=30, low=0, high=256, seed=0):
    return np.random.default_rng(seed).integers(low, high, (height, width, 3), np.uint8)


def grey(height=20, width=30, low=0, high=256, seed=0):
    return noise(height, width, low, high, seed)[..., :1].repeat(3, 2)


def luma(picture):
    """ITU-R BT.601, in float64."""
    return picture.astype(np.float64) @ (0.299, 0.587, 0.114)


# ---- sizes ----


@pytest.mark.parametrize(
    ("shape", "box", "size"),
    [
        ((400, 600, 3), (300, 200), (200, 300)),
        ((427, 640, 3), (1200, 800), (800, 1199)),  # 640 · 800 / 427 = 1199.06
        ((600, 400), (300, 200), (200, 133)),
        ((100, 600, 3), (300, 200), (50, 300)),
        ((10, 10, 3), (300, 200), (200, 200)),  # larger, too
        ((1, 1000), (300, 200), (1, 300)),  # 0.3 rows are one
        ((1000, 1), (300, 200), (200, 1)),
    ],
)
def test_a_picture_is_fitted_into_a_box_by_hand(shape, box, size):
    assert fit_size(shape, box) == size
    assert fit_size(shape, box, stretch=True) == (200, 300) if box == (300, 200) else (800, 1200)


@EXAMPLES
@given(sides, sides, sides, sides)
def test_it_fills_the_box_in_one_direction_and_keeps_its_aspect(height, width, across, down):
    fitted = fit_size((height, width, 3), (across, down))
    assert 1 <= fitted[0] <= down
    assert 1 <= fitted[1] <= across
    assert fitted[0] == down or fitted[1] == across
    scale = min(across / width, down / height)
    assert abs(fitted[0] - max(height * scale, 1)) <= 0.5 + 1e-9
    assert abs(fitted[1] - max(width * scale, 1)) <= 0.5 + 1e-9
    assert fit_size((height, width), (across, down)) == fitted
    assert fit_size((height, width), (across, down), stretch=True) == (down, across)


@pytest.mark.parametrize(
    ("shape", "height", "width", "size"),
    [
        ((50, 200, 3), 100, 400, (100, 400)),
        ((100, 100), 100, 400, (200, 200)),  # 40,000 pixels
        ((800, 200, 3), 100, 400, (400, 100)),
        ((10, 1000), 100, 100, (48, 4800)),  # 10 by 1000 has the pixels, and too few rows
        ((1000, 10), 100, 100, (4800, 48)),
        ((48, 48), 10, 10, (48, 48)),
    ],
)
def test_as_many_pixels_by_hand(shape, height, width, size):
    assert same_area(shape, height, width, 48) == size


@EXAMPLES
@given(sides, sides, sides, sides, st.integers(1, 100))
def test_as_many_pixels_in_the_same_aspect_and_no_side_too_short(height, width, rows, columns, least):
    scaled = same_area((height, width, 3), rows, columns, least)
    assert min(scaled) >= least
    scale = max((rows * columns / (height * width)) ** 0.5, least / min(height, width))
    assert abs(scaled[0] - height * scale) <= 0.5 + 1e-6
    assert abs(scaled[1] - width * scale) <= 0.5 + 1e-6


def test_enlarging_keeps_what_is_plain_and_a_slope_rises_steadily():
    plain = np.full((4, 5, 3), 0.7, np.float32)
    np.testing.assert_allclose(enlarge(plain, (11, 17)), np.full((11, 17, 3), 0.7), rtol=1e-5)
    slope = np.linspace(0, 1, 12, dtype=np.float32)[:, None, None] * np.ones((1, 10, 3), np.float32)
    larger = enlarge(slope, (36, 20))
    assert (larger.shape, larger.dtype) == ((36, 20, 3), np.float32)
    np.testing.assert_allclose(larger, larger[:, :1, :1].repeat(20, 1).repeat(3, 2), atol=1e-6)
    assert (np.diff(larger[3:-3, 0, 0]) > 0).all()
    np.testing.assert_allclose(larger[[4, 31], 0, 0], [1 / 11, 10 / 11], rtol=1e-5)  # the centres of old pixels


def test_an_enlarged_wave_is_nearer_to_the_wave_than_straight_lines_are():
    def wave(places):
        return np.sin(places * 0.9).astype(np.float32)[None, :, None] * np.ones((8, 1, 3), np.float32)

    drawn, true = wave(np.arange(40.0)), wave((np.arange(160) + 0.5) / 4 - 0.5)[0]
    straight = cv2.resize(drawn, (160, 8), interpolation=cv2.INTER_LINEAR)
    errors = [np.abs((found[0] - true)[8:-8]).max() for found in (enlarge(drawn, (8, 160)), straight)]
    assert errors[0] < 0.5 * errors[1]


def test_any_view_of_a_picture_can_be_enlarged():
    values = np.random.default_rng(0).random((3, 5, 7), np.float32)
    whole = enlarge(np.ascontiguousarray(values.transpose(1, 2, 0)), (9, 11))
    np.testing.assert_array_equal(enlarge(values.transpose(1, 2, 0), (9, 11)), whole)


# ---- colours ----


def test_luminance_equals_pillows():
    picture = noise()
    found = luminance(picture)
    assert (found.shape, found.dtype) == (picture.shape, np.uint8)
    assert (found == found[..., :1]).all()
    assert np.abs(found[..., 0].astype(int) - np.asarray(Image.fromarray(picture).convert("L"))).max() <= 1


def test_luminance_by_hand():
    """0.299 · 255 = 76.2, 0.587 · 255 = 149.7, 0.114 · 255 = 29.1."""
    picture = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [7, 7, 7]]], np.uint8)
    assert luminance(picture)[0, :, 0].tolist() == [76, 150, 29, 255, 7]


def test_matched_luminance_has_the_contents_mean_and_deviation():
    style, content = noise(low=20, high=120), noise(25, 33, 90, 190, 1)
    matched = match_luminance(style, content)
    assert (matched.shape, matched.dtype) == (style.shape, np.uint8)
    assert (matched == matched[..., :1]).all()
    assert matched.mean() == pytest.approx(luminance(content).mean(), abs=0.1)
    assert matched.std() == pytest.approx(luminance(content).std(), rel=0.01)
    own = luminance(style)[..., 0].ravel().astype(int)
    order = np.argsort(own, kind="stable")
    assert (np.diff(matched[..., 0].ravel()[order].astype(int)) >= 0).all()  # light stays light


def test_matched_luminance_by_hand():
    """Mean 100 and deviation 20 become mean 60 and deviation 10."""
    style = np.array([[[80] * 3, [120] * 3]], np.uint8)
    content = np.array([[[50] * 3], [[70] * 3]], np.uint8)
    assert match_luminance(style, content).tolist() == [[[50] * 3, [70] * 3]]


def test_matching_itself_changes_nothing():
    picture = grey()
    np.testing.assert_array_equal(match_luminance(picture, picture), picture)


def test_what_gets_too_light_or_too_dark_is_cut_off():
    """One pixel in ten is light; the content is half black, half white."""
    style = np.array([[[0] * 3] * 9 + [[10] * 3]], np.uint8)
    content = np.array([[[0] * 3, [255] * 3]], np.uint8)
    found = match_luminance(style, content)[0, :, 0].tolist()
    assert found == [85] * 9 + [255]  # 127.5 ± 127.5 · (1/3, 3)


@pytest.mark.filterwarnings("error")
def test_a_style_of_one_colour_becomes_the_contents_mean():
    style, content = np.full((5, 6, 3), 200, np.uint8), np.array([[[50] * 3], [[70] * 3]], np.uint8)
    assert (match_luminance(style, content) == 60).all()
    assert (match_luminance(grey(), np.full((5, 6, 3), 9, np.uint8)) == 9).all()


def test_recolouring_equals_the_formula():
    """The picture's luminance by ITU-R BT.601, plus what the content's red, green and blue are beyond its own."""
    picture, content = noise(), noise(seed=1)
    light, red, blue = luma(picture), content[..., 0] - luma(content), content[..., 2] - luma(content)
    chroma = np.stack([red, -(0.299 * red + 0.114 * blue) / 0.587, blue], 2)
    expected = (light[..., None] + chroma).clip(0, 255)
    found = recolour(picture, content)
    assert (found.shape, found.dtype) == (picture.shape, np.uint8)
    assert np.abs(found - expected).max() <= 2.5  # three roundings, one of them times 1.77


def test_recoloured_luminance_is_the_pictures_and_chroma_the_contents():
    """Colours so faint that nothing is cut off."""
    picture, content = noise(low=90, high=160), noise(low=110, high=140, seed=1)
    found = recolour(picture, content)
    np.testing.assert_allclose(luma(found), luma(picture), atol=2)
    wanted = content - luma(content)[..., None]
    np.testing.assert_allclose(found - luma(found)[..., None], wanted, atol=3)
    assert np.abs(luma(picture) - luma(content)).max() > 20


def test_grey_on_grey_comes_back():
    picture = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    np.testing.assert_array_equal(recolour(picture, grey(16, 16)), picture)
    np.testing.assert_allclose(recolour(noise(16, 16), grey(16, 16)).astype(int), luminance(noise(16, 16)), atol=1)


def test_a_picture_in_its_own_colours_is_itself():
    picture = noise()
    assert np.abs(recolour(picture, picture).astype(int) - picture).max() <= 2


# ---- files ----


def test_a_png_holds_the_picture_and_what_made_it(tmp_path):
    write_picture(tmp_path / "a.png", noise(), SETTINGS)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), noise())
    assert read_settings(tmp_path / "a.png") == SETTINGS
    assert read_settings(str(tmp_path / "a.png")) == SETTINGS
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        assert image.text["Software"] == f"gluonbook {gluonbook.__version__}"
        assert "山水" in image.text["gluonbook"]  # as it is, not as \\u5c71


@EXAMPLES
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=9),
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    )
)
def test_settings_come_back_whatever_they_are(tmp_path_factory, settings):
    path = tmp_path_factory.mktemp("one") / "a.png"
    write_picture(path, noise(2, 3), settings)
    assert read_settings(path) == settings


@pytest.mark.parametrize("name", ["a.PNG", "海.png"])
def test_a_pngs_name_may_be_written_otherwise(tmp_path, name):
    write_picture(tmp_path / name, noise(), SETTINGS)
    assert read_settings(tmp_path / name) == SETTINGS


@pytest.mark.parametrize("suffix", [suffix for suffix in FORMATS if suffix != ".png"])
def test_other_formats_hold_the_picture_alone(tmp_path, suffix):
    smooth = cv2.resize(noise(4, 6), (60, 40), interpolation=cv2.INTER_CUBIC)
    write_picture(tmp_path / f"a{suffix}", smooth, SETTINGS)
    assert read_settings(tmp_path / f"a{suffix}") == {}
    written = np.asarray(Image.open(tmp_path / f"a{suffix}").convert("RGB"))
    assert np.abs(written.astype(int) - smooth).mean() < 4
    assert os.listdir(tmp_path) == [f"a{suffix}"]


def test_a_jpeg_is_written_in_good_quality(tmp_path):
    smooth = cv2.resize(noise(4, 6), (60, 40), interpolation=cv2.INTER_CUBIC)
    write_picture(tmp_path / "a.jpg", smooth, {})
    Image.fromarray(smooth).save(tmp_path / "plain.jpg")  # Pillow's own quality is 75
    errors = [
        np.abs(np.asarray(Image.open(tmp_path / name)).astype(int) - smooth).mean() for name in ("a.jpg", "plain.jpg")
    ]
    assert errors[0] < 0.8 * errors[1]


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path):
    write_picture(tmp_path / "a.png", noise(), SETTINGS)
    with pytest.raises(TypeError):
        write_picture(tmp_path / "a.png", noise(seed=1), {"device": object()})
    with pytest.raises((TypeError, ValueError)):
        write_picture(tmp_path / "a.png", noise()[..., 0].astype(np.float64)[None], {})
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), noise())
    assert read_settings(tmp_path / "a.png") == SETTINGS
    assert os.listdir(tmp_path) == ["a.png"]


def test_a_disk_that_gets_full_leaves_the_old_picture(tmp_path, monkeypatch):
    def save(image, path, **how):
        path.write_bytes(b"half")
        raise OSError("disk full")

    write_picture(tmp_path / "a.png", noise(), SETTINGS)
    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises(OSError, match="disk full"):
        write_picture(tmp_path / "a.png", noise(seed=1), {})
    assert read_settings(tmp_path / "a.png") == SETTINGS
    assert os.listdir(tmp_path) == ["a.png"]


def png_with(path, **texts):
    info = PngInfo()
    for key, text in texts.items():
        info.add_itxt(key, text)
    Image.fromarray(noise()).save(path, pnginfo=info)
    return path


def test_pngs_of_others_hold_no_settings(tmp_path):
    Image.fromarray(noise()).save(tmp_path / "a.png")
    assert read_settings(tmp_path / "a.png") == {}
    assert read_settings(png_with(tmp_path / "b.png", Software="gimp")) == {}
    for text in ("no JSON", "[1, 2]", '"text"', "null", "{", "NaN"):
        assert read_settings(png_with(tmp_path / "c.png", gluonbook=text)) == {}
    assert read_settings(png_with(tmp_path / "d.png", gluonbook=json.dumps({"seed": 1}))) == {"seed": 1}


def test_text_behind_the_pixels_is_found(tmp_path):
    """Some programs write it there."""
    write_picture(tmp_path / "a.png", noise(), SETTINGS)
    data = (tmp_path / "a.png").read_bytes()
    start = data.index(b"iTXtgluonbook") - 4
    stop = start + 12 + int.from_bytes(data[start : start + 4], "big")
    end = data.index(b"IEND") - 4
    (tmp_path / "b.png").write_bytes(data[:start] + data[stop:end] + data[start:stop] + data[end:])
    assert read_settings(tmp_path / "b.png") == SETTINGS


def test_what_is_no_picture_holds_none(tmp_path):
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no picture")
    for name in ("empty.png", "text.png", "missing.png", "."):
        assert read_settings(tmp_path / name) == {}


def test_a_png_whose_pixels_go_on_in_a_chunk_without_a_name_holds_none(tmp_path):
    """Pillow calls that a SyntaxError, and only once it reads the pixels."""
    write_picture(tmp_path / "a.png", noise(), SETTINGS)
    data = (tmp_path / "a.png").read_bytes()
    start = data.index(b"IDAT") - 4
    length = int.from_bytes(data[start : start + 4], "big")
    pixels = data[start + 8 : start + 8 + length]
    chunks = [
        len(part).to_bytes(4, "big") + name + part + zlib.crc32(name + part).to_bytes(4, "big")
        for name, part in ((b"IDAT", pixels[:100]), (b"2j\xad#", pixels[100:]))
    ]
    (tmp_path / "b.png").write_bytes(data[:start] + b"".join(chunks) + data[start + 12 + length :])
    with pytest.raises(SyntaxError), Image.open(tmp_path / "b.png") as image:
        image.load()
    assert read_settings(tmp_path / "b.png") == {}


def test_a_picture_too_large_to_be_opened_holds_none(tmp_path, monkeypatch):
    write_picture(tmp_path / "a.png", noise(), SETTINGS)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow refuses twice as many
    assert read_settings(tmp_path / "a.png") == {}


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_whatever_is_damaged_holds_its_settings_or_none(tmp_path, suffix):
    write_picture(tmp_path / f"a{suffix}", noise(), SETTINGS)
    content, rng = (tmp_path / f"a{suffix}").read_bytes(), random.Random(suffix)
    for i in range(150):
        broken = bytearray(content)
        if i % 2:
            broken = broken[: rng.randrange(1, len(broken))]
        for _ in range(rng.randrange(5)):
            broken[rng.randrange(min(len(broken), 400))] = rng.randrange(256)
        (tmp_path / "broken").write_bytes(broken)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = read_settings(tmp_path / "broken")
        assert isinstance(found, dict)
        assert len(found) in (0, len(SETTINGS))
