"""``gluonbook stylize``: what it writes and prints, its defaults, its errors, batches, and Ctrl-C.

Most tests take plain features, one convolution: what is tested is the command around the transfer.
"""

import inspect
import json
import os
import shlex
import signal
import subprocess
import sys
import time

import click
import numpy as np
import pytest
from PIL import Image

from gluonbook import training
from gluonbook._mxnet import gluon, nd
from gluonbook.cli import style as module
from gluonbook.data.pictures import read_picture
from gluonbook.style import StylePicture, memory, pictures, sheets, stylize, transfer
from gluonbook.style.features import Features, Weights

SMALL = ["--stages", "72x48", "--steps", "2", "--device", "cpu"]
SETTINGS = {"stages": [(72, 48)], "steps": 2, "device": "cpu"}


def plain_features(height, width, seed, device):
    net = gluon.nn.HybridSequential()
    net.add(gluon.nn.Conv2D(8, 3, padding=1, in_channels=3), gluon.nn.Activation("relu"))
    net.initialize()
    net[0].weight.set_data(nd.array(np.random.default_rng(seed).normal(0, 0.3, (8, 3, 3, 3))))
    net.collect_params().setattr("grad_req", "null")

    class Listed(gluon.HybridBlock):
        def __init__(self):
            super().__init__()
            self.net = net

        def hybrid_forward(self, F, X):
            return [self.net(X)]

    return Features(Listed(), ("only",), (1,), 2, {"only": 1.0}, {"only": 1.0}, True, Weights(1.0, 50.0, 0.05))


@pytest.fixture
def here(isolated, monkeypatch):
    """An empty working folder; transfers with random features take plain ones, and nothing is plotted."""

    def draw(history, out):
        figure = out.with_suffix(".losses.png")
        figure.write_text("the losses", encoding="utf-8")
        return figure

    monkeypatch.setattr(transfer, "random_features", plain_features)
    monkeypatch.setattr(module, "write_losses", draw)
    return isolated / "work" / "here"


@pytest.fixture
def run(cli, monkeypatch):
    """Run ``gluonbook stylize ARGUMENTS`` in this process; returns (status, standard output, standard error)."""

    def stylize(*arguments):
        words = ["stylize", *(str(argument) for argument in arguments)]
        monkeypatch.setattr(sys, "argv", ["gluonbook", *words])
        return cli(*words)

    return stylize


def picture(seed=0, height=60, width=90):
    """A picture of soft patches."""
    coarse = np.random.default_rng(seed).integers(40, 216, (height // 12 + 1, width // 12 + 1, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((12, 12, 1), np.uint8))[:height, :width]


def write(*names):
    """Write a picture of its own under each name."""
    for seed, name in enumerate(names):
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        Image.fromarray(picture(seed)).save(name)


@pytest.fixture
def pair(here):
    """A working folder with a content, ``c.png``, and a style, ``s.png``."""
    write("c.png", "s.png")
    return here


def assert_refused(result, message):
    """Status 2 and one line on standard error that holds the message."""
    status, out, err = result
    assert (status, out) == (2, "")
    assert_one_line(err, message)


def assert_one_line(err, message):
    assert err.startswith("gluonbook: ")
    assert message in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


def difference(one, other):
    """Mean difference in grey levels."""
    return np.abs(one.astype(float) - other).mean()


# One picture


WRITE_LOSSES = module.write_losses


def test_it_writes_the_picture_and_its_losses_and_prints_where_they_are(pair, run, monkeypatch):
    monkeypatch.setattr(module, "write_losses", WRITE_LOSSES)
    status, out, err = run("c.png", "s.png", "-o", "new/out.png", *SMALL)
    assert (status, err) == (0, "")
    first, stage, made, *places = out.splitlines()
    assert first.startswith("features: random filters, seed 0; no download")
    assert stage.startswith("stage 1: 72x48, 2 steps, about 0.0 GiB of memory")
    assert made.startswith("72x48 in ")
    losses = pictures.read_settings("new/out.png")["losses"]
    assert made.endswith(" s; losses: " + ", ".join(f"{name} {value:.3g}" for name, value in losses.items()))
    assert places == ["  new/out.png", "  new/out.losses.png"]
    assert sorted(os.listdir("new")) == ["out.losses.png", "out.png"]
    with Image.open("new/out.losses.png") as figure:
        assert figure.format == "PNG"


def test_it_makes_what_the_python_function_makes(pair, run):
    run("c.png", "s.png", "-o", "out.png", *SMALL)
    result = stylize(picture(0), picture(1), **SETTINGS)
    np.testing.assert_array_equal(read_picture("out.png"), result.picture)
    assert pictures.read_settings("out.png") == result.settings


def test_the_figure_is_that_of_the_history(pair, run, monkeypatch):
    drawn, draw = [], module.write_losses
    monkeypatch.setattr(module, "write_losses", lambda *args: drawn.append(args) or draw(*args))
    run("c.png", "s.png", "-o", "out.jpg", *SMALL)
    ((history, out),) = drawn
    assert [(entry["stage"], entry["step"]) for entry in history] == [(1, 1), (1, 2)]
    assert str(out) == "out.jpg"


def test_random_features_are_taken_where_none_are_asked_for(isolated, run):
    write("c.png", "s.png")
    status, out, _ = run("c.png", "s.png", "-o", "out.png", "--stages", "72x48", "--steps", "1", "--device", "cpu")
    assert status == 0
    assert out.startswith("features: random filters, seed 0; no download (--features vgg19 takes weights learned on ")
    made = stylize(picture(0), picture(1), **{**SETTINGS, "steps": 1})
    np.testing.assert_array_equal(read_picture("out.png"), made.picture)


def test_a_gif_is_written_and_told(pair, run, monkeypatch):
    monkeypatch.setattr(transfer, "FRAME_SIDE", 60)
    status, out, _ = run("c.png", "s.png", "-o", "out.png", *SMALL, "--gif", "way there.gif")
    assert status == 0
    assert out.endswith("  out.png\n  out.losses.png\n  way there.gif\n")
    with Image.open("way there.gif") as image:
        assert (image.format, image.n_frames) == ("GIF", 3)


def test_where_the_content_is_best_already_that_is_told(pair, run):
    status, out, err = run("c.png", "s.png", "-o", "out.png", *SMALL, "--style-weight", 0, "--tv-weight", 0)
    assert (status, err) == (0, "")
    assert "losses: least at the content" in out
    assert out.endswith("\n  out.png\n")
    assert os.listdir(".") == unordered("c.png", "s.png", "out.png")


class unordered:
    """Equal to a list with the same names in any order."""

    def __init__(self, *names):
        self.names = sorted(names)

    def __eq__(self, other):
        return sorted(other) == self.names

    def __repr__(self):
        return repr(self.names)


@pytest.mark.parametrize("name", ["夏天的 湖.png", "c d'e.png", "-c.png", "c:1.5.png", "c.losses.png"])
def test_names_of_all_kinds_work(here, run, name):
    write(f"in/{name}", f"style/{name}")
    os.mkdir("出 来")
    status, out, err = run(f"in/{name}", f"style/{name}", "-o", f"出 来/{name}", *SMALL)
    assert (status, err) == (0, "")
    assert read_picture(f"出 来/{name}").shape == (48, 72, 3)
    assert f"  出 来/{name}\n" in out


@pytest.mark.parametrize(
    ("name", "format"), [("a.JPG", "JPEG"), ("a.jpeg", "JPEG"), ("a.webp", "WEBP"), ("a.tif", "TIFF")]
)
def test_the_result_has_the_format_of_its_name(pair, run, name, format):
    assert run("c.png", "s.png", "-o", name, *SMALL)[0] == 0
    with Image.open(name) as image:
        assert (image.format, image.size) == (format, (72, 48))


# Flags


def defaults():
    parameters = inspect.signature(stylize).parameters
    return {name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty}


DEFAULTS = defaults()


def test_every_flags_default_is_the_python_functions_own():
    params = {param.name: param for param in module.stylize.params}
    context = click.Context(module.stylize)
    for name, (flag, _, about) in module.STYLIZE_FLAGS.items():
        assert params[name].opts == [flag]
        assert params[name].help == about
        assert params[name].get_default(context) == DEFAULTS[name]
    assert params["stages"].get_default(context) == DEFAULTS["stages"]


def test_every_parameter_of_the_python_function_has_a_flag():
    parameters = set(inspect.signature(stylize).parameters)
    assert parameters - set(module.STYLIZE_FLAGS) == {"content", "styles", "out", "stages", "progress", "tell"}
    assert set(module.STYLIZE_FLAGS) <= parameters


@pytest.fixture
def spied(pair, monkeypatch):
    """Nothing is computed; returns the arguments of each call of ``stylize``."""
    calls, like = [], inspect.signature(transfer.stylize)

    def spy(*args, **settings):
        calls.append(like.bind(*args, **settings).arguments)
        raise ValueError("the spy has seen enough")

    monkeypatch.setattr(transfer, "stylize", spy)
    return calls


def settings_of(call):
    """What was asked for, but the pictures; all of it must be there."""
    left = dict(call)
    assert left.pop("progress") is True
    assert callable(left.pop("tell"))
    for name in ("content", "styles", "out"):
        del left[name]
    return left


STAGES = [(300, 200), (1200, 800)]


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ([], {}),
        (["--stages", "60x50"], {"stages": [(60, 50)]}),
        (["--stages", "60X50, 90×70"], {"stages": [(60, 50), (90, 70)]}),
        (["--size", "1200x800"], {"stages": STAGES}),
        (["--size", "288x192"], {"stages": [(72, 48), (288, 192)]}),
        (["--size", "284x192"], {"stages": [(284, 192)]}),  # the content would have 71x47 pixels in 71x48
        (["--size", "192x800"], {"stages": [(192, 800)]}),
        (["--size", "192x200", "--stretch"], {"stages": [(48, 50), (192, 200)], "stretch": True}),
        (["--size", "191x200", "--stretch"], {"stages": [(191, 200)], "stretch": True}),
        (["--steps", "7"], {"steps": [7]}),
        (["--steps", "7,8"], {"steps": [7, 8]}),
        (["--features", "vgg16"], {"features": "vgg16"}),
        (["--features", "my weights.pth"], {"features": "my weights.pth"}),
        (["--content-weight", "0.5"], {"content_weight": 0.5}),
        (["--style-weight", "3"], {"style_weight": 3.0}),
        (["--tv-weight", "0"], {"tv_weight": 0.0}),
        (["--optimizer", "adam"], {"optimizer": "adam"}),
        (["--keep-colors"], {"keep_colors": True}),
        (["--stretch"], {"stretch": True}),
        (["--preview-every", "0"], {"preview_every": 0}),
        (["--seed", "5"], {"seed": 5}),
        (["--device", "gpu(1)"], {"device": "gpu(1)"}),
        (["--gif", "a.gif"], {"gif": "a.gif"}),
        (["--resume"], {"resume": True}),
    ],
)
def test_each_flag_sets_its_parameter_and_no_other(run, spied, arguments, given):
    assert_refused(run("c.png", "s.png", "-o", "out.png", *arguments), "the spy has seen enough")
    (call,) = spied
    left = settings_of(call)
    expected = {**{name: DEFAULTS[name] for name in left}, **given}
    assert json.dumps(left, sort_keys=True) == json.dumps(expected, sort_keys=True)  # lists and tuples alike
    assert set(left) == set(DEFAULTS) - {"out", "progress", "tell"}
    assert str(call["out"]) == "out.png"


def test_size_fits_pictures_that_stand(here, run):
    """Four times smaller it would be 33x50 pixels, which is too small to start with."""
    Image.fromarray(picture(0, 150, 100)).save("c.png")
    write("s.png")
    status, out, _ = run("c.png", "s.png", "-o", "out.png", "--size", "300x200", "--steps", "1", "--device", "cpu")
    assert status == 0
    assert [line.split(", ")[0] for line in out.splitlines()[1:-3]] == ["stage 1: 133x200"]


def test_in_a_batch_size_fits_each_picture(here, run):
    write("s.png")
    Image.fromarray(picture(0, 64, 96)).save("s.png")
    for name, shape in (("lies", (64, 96)), ("stands", (96, 64))):
        os.makedirs("in", exist_ok=True)
        Image.fromarray(picture(0, *shape)).save(f"in/{name}.png")
    words = ["in", "s.png", "-o", "out", "--size", "288x192", "--steps", "1", "--device", "cpu"]
    assert run(*words)[0] == 0
    stages = [pictures.read_settings(f"out/{name}-s.png")["stages"] for name in ("lies", "stands")]
    assert stages == [[[72, 48], [288, 192]], [[288, 192]]]
    assert run(*words, "--resume")[1].startswith("out/lies-s.png is finished\nout/stands-s.png is finished\n")


def test_help_names_every_flag_and_default(cli):
    status, out, _ = cli("stylize", "--help")
    assert status == 0
    for param in module.stylize.params:
        if isinstance(param, click.Option):
            assert param.opts[0] in out
    assert "[default: lbfgs]" in out
    assert "300x200,1200x800" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stages", "300"], "expected WIDTHxHEIGHT such as 1200x800, got '300'"),
        (["--stages", "300x200,"], "expected WIDTHxHEIGHT such as 1200x800, got '300x200,'"),
        (["--stages", "-300x200"], "expected WIDTHxHEIGHT such as 1200x800, got '-300x200'"),
        (["--stages", "300x2e2"], "expected WIDTHxHEIGHT"),
        (["--stages", ""], "expected WIDTHxHEIGHT"),
        (["--stages", "0x200"], "stages[0] must be at least 1, got 0"),
        (["--stages", "96x64,72x48"], "stages must go from coarse to fine"),
        (["--stages", "70x50"], "stage 70x50 gives a picture of 70x47 pixels: the smallest usable size is 48 pixels"),
        (["--size", "big"], "expected WIDTHxHEIGHT such as 1200x800, got 'big'"),
        (["--size", "1200x800,1300x900"], "--size is one size; several are --stages"),
        (["--size", "1200x800", "--stages", "300x200"], "give --size or --stages, not both"),
        (["--stages", "300x200,1200x800", "--size", "1200x800"], "give --size or --stages, not both"),
        (["--steps", "many"], "expected a whole number, or several with commas, got 'many'"),
        (["--steps", "2.5"], "expected a whole number, or several with commas, got '2.5'"),
        (["--steps", "1,,2"], "expected a whole number, or several with commas, got '1,,2'"),
        (["--steps", "0"], "steps must be at least 1, got 0"),
        (["--steps", "1,2,3"], "steps must be one number, or one for each of 2 stages, got 3"),
        (["--style-weight", "much"], "'much' is not a valid float"),
        (["--style-weight", "nan"], "style_weight must be at least 0, got nan"),
        (["--content-weight", "-1"], "content_weight must be at least 0, got -1"),
        (["--optimizer", "sgd"], "'sgd' is not one of 'lbfgs', 'adam'"),
        (["--seed", "-1"], "seed must be at least 0, got -1"),
        (["--preview-every", "-1"], "preview_every must be at least 0, got -1"),
        (["--device", "tpu"], "device must be auto, cpu, gpu or gpu(N), got 'tpu'"),
        (["--features", "nowhere.pth"], "nowhere.pth is not there: expected vgg16, vgg19, or a file of weights"),
        (["--background", "whitish"], "expected a colour such as white or #f4ecd8, got 'whitish'"),
        (["--resume"], "out.run is not there: no stopped transfer to resume for out.png"),
        (["--no-such-flag"], "--no-such-flag"),
        (["third.png"], "unexpected extra argument"),
        (["--blend", "gone.png"], "gone.png is not there"),
        (["--blend", "s.png:0"], "styles[1].weight must be above 0, got 0"),
        (["--blend", "s.png:-1"], "styles[1].weight must be above 0, got -1"),
        (["--blend", "s.png:nan"], "styles[1].weight must be above 0, got nan"),
        (["--blend", "s.png:x"], "s.png:x is not there"),
        (["--mask", "gone.png"], "gone.png is not there"),
    ],
)
def test_a_wrong_flag_is_one_line_and_status_2(pair, run, monkeypatch, arguments, message):
    monkeypatch.setattr(transfer, "evaluate", None)
    status, _, err = run("c.png", "s.png", "-o", "out.png", "--device", "cpu", *arguments)
    assert status == 2
    assert_one_line(err, message)
    assert os.listdir(".") == unordered("c.png", "s.png")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Missing argument 'CONTENT'"),
        (["c.png"], "Missing argument 'STYLE'"),
        (["c.png", "s.png"], "Missing option '-o'"),
        (["c.png", "s.png", "-o", "out"], "out must end in one of .png, .jpg, .jpeg, .bmp, .webp, .tif, .tiff"),
        (["c.png", "s.png", "-o", "out.gif"], "out.gif must end in one of .png"),
    ],
)
def test_missing_words_are_told_before_anything_is_read(pair, run, refusing, words, message):
    assert_refused(run(*words), message)


def test_debug_shows_the_traceback(pair, run):
    for words in (["--debug", "c.png", "gone.png"], ["c.png", "gone.png", "--debug"]):
        with pytest.raises(FileNotFoundError, match=r"gone.png is not there"):
            run(*words, "-o", "out.png", *SMALL)


@pytest.fixture
def refusing(monkeypatch):
    """Nothing may be read or computed."""

    def refuse(*arguments, **settings):
        raise AssertionError("this was not to be called")

    monkeypatch.setattr(module, "read_picture", refuse)
    monkeypatch.setattr(transfer, "stylize", refuse)


@pytest.mark.parametrize(
    ("out", "more"),
    [
        ("c.png", []),
        ("s.png", []),
        ("./p/../c.png", []),
        ("link.png", []),
        ("folder/c.png", []),
        ("b.png", ["--blend", "b.png"]),
        ("b.png", ["--blend", "./b.png:2"]),
        ("m.png", ["--mask", "m.png"]),
        ("new.png", ["--gif", "c.png"]),
        ("new.png", ["--gif", "link.png"]),
        ("b.png", ["--blend", "b.losses.png"]),
    ],
)
def test_what_would_overwrite_a_picture_that_is_read_is_refused(pair, run, refusing, out, more):
    write("b.png", "b.losses.png", "m.png", "p/q.png")
    os.symlink("c.png", "link.png")
    os.symlink(".", "folder")
    if more == ["--blend", "b.losses.png"]:  # where the losses of b.png would be drawn
        os.remove("b.png")
    before = {name: (pair / name).read_bytes() for name in os.listdir(".") if os.path.isfile(name)}
    assert_refused(run("c.png", "s.png", "-o", out, *SMALL, *more), "would overwrite a picture that is read")
    assert {name: (pair / name).read_bytes() for name in os.listdir(".") if os.path.isfile(name)} == before


@pytest.mark.parametrize("gif", ["out.png", "./out.png", "out.losses.png"])
def test_the_gif_needs_a_place_of_its_own(pair, run, refusing, gif):
    result = run("c.png", "s.png", "-o", "out.png", *SMALL, "--gif", gif)
    assert_refused(
        result, "out.losses.png would be written twice" if "losses" in gif else "out.png would be written twice"
    )


def test_a_picture_that_is_read_through_a_link_is_not_overwritten(pair, run, refusing):
    os.symlink("c.png", "link.png")
    assert_refused(run("link.png", "s.png", "-o", "c.png", *SMALL), "c.png would overwrite a picture that is read")


def test_an_older_result_is_replaced(pair, run):
    write("a.png", "b.png", "out.png")
    assert run("c.png", "s.png", "-o", "out.png", *SMALL)[0] == 0
    assert read_picture("out.png").shape == (48, 72, 3)


# Pictures of all kinds


def write_bad(folder):
    """Files that are no pictures, and the words of the errors."""
    os.makedirs(folder, exist_ok=True)
    place = os.path.join(folder, "")
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    for name in ("cut.jpg", "half.png"):
        Image.fromarray(noise).save(place + name)
        os.truncate(place + name, os.path.getsize(place + name) // 2)
    with open(place + "blank.png", "w"), open(place + "words.jpg", "w") as file:
        file.write("not a picture")
    return {
        "cut.jpg": "is cut short",
        "half.png": "is cut short",
        "blank.png": "is empty: 0 bytes",
        "words.jpg": "is not a picture: no known format",
        "gone.png": "is not there",
    }


BAD = ("cut.jpg", "half.png", "blank.png", "words.jpg", "gone.png")


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_picture_is_told_wherever_it_stands(pair, run, bad):
    message = f"p/{bad} {write_bad('p')[bad]}"
    for words in (
        [f"p/{bad}", "s.png"],
        ["c.png", f"p/{bad}"],
        ["c.png", "s.png", "--blend", f"p/{bad}:2"],
        ["c.png", "s.png", "--mask", f"p/{bad}"],
    ):
        assert_refused(run(*words, "-o", "out.png", *SMALL), message)
    assert os.listdir(".") == unordered("c.png", "s.png", "p")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["empty", "s.png"], "empty holds no picture"),
        (["c.png", "empty"], "empty holds no picture"),
        (["none*.png", "s.png"], "none*.png matches no file"),
        (["c.png", "none*.png"], "none*.png matches no file"),
        (["c.png", "s.png", "--blend", "empty"], "empty is a folder, not a picture"),
    ],
)
def test_a_folder_with_nothing_is_told(pair, run, words, message):
    os.mkdir("empty")
    assert_refused(run(*words, "-o", "out.png", *SMALL), message)


def test_a_picture_of_one_pixel_is_refused_with_the_smallest_usable_size(pair, run):
    Image.fromarray(picture()[:1, :1]).save("dot.png")
    message = "of 1x1 pixels: the smallest usable size is 48 pixels a side"
    for words, what in ((["dot.png", "s.png"], "content"), (["c.png", "dot.png"], "styles[0]")):
        assert_refused_later(run(*words, "-o", "out.png", *SMALL), f"{what} {message}")
    assert not os.path.exists("out.png")


def assert_refused_later(result, message):
    """As ``assert_refused``, but something may have been told before."""
    status, _, err = result
    assert status == 2
    assert_one_line(err, message)


def write_kinds():
    """Pictures of all kinds, and what is to be seen in them."""
    seen = picture(3, 60, 96)
    grey = seen[..., :1].repeat(3, 2)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be turned by a quarter
    Image.fromarray(seen[..., 0]).save("grey.png")
    Image.fromarray(seen).quantize(256).save("palette.png")
    Image.fromarray(seen).convert("CMYK").save("ink.jpg", quality=95)
    Image.fromarray(seen[..., 0].astype(np.uint16) * 257).save("deep.png")
    Image.fromarray(seen).save("turned.jpg", exif=exif, quality=95)
    turned = np.rot90(seen, -1)
    return {"grey.png": grey, "palette.png": seen, "ink.jpg": seen, "deep.png": grey, "turned.jpg": turned}


KINDS = ("grey.png", "palette.png", "ink.jpg", "deep.png", "turned.jpg")


@pytest.mark.parametrize("name", KINDS)
def test_pictures_of_all_kinds_are_seen_as_they_look(run, spied, name):
    seen = write_kinds()[name]
    run(name, "s.png", "-o", "out.png")
    run("c.png", name, "-o", "out.png")
    for array in (spied[0]["content"], spied[1]["styles"][0].picture):
        assert (array.shape, array.dtype) == (seen.shape, np.uint8)
        assert difference(array, seen) < (6 if name.endswith("jpg") else 3)


@pytest.mark.parametrize("name", KINDS)
def test_pictures_of_all_kinds_go_through(pair, run, name):
    seen = write_kinds()[name]
    status, _, err = run(name, name, "-o", "out.png", "--stages", "80x80", "--steps", "1", "--device", "cpu")
    assert (status, err) == (0, "")
    assert read_picture("out.png").shape == ((50, 80, 3) if seen.shape[1] > seen.shape[0] else (80, 50, 3))


@pytest.mark.parametrize(
    ("arguments", "ground"),
    [([], (255, 255, 255)), (["--background", "#102030"], (16, 32, 48)), (["--background", "red"], (255, 0, 0))],
)
def test_transparent_pictures_lie_on_the_background(run, spied, arguments, ground):
    clear = np.dstack([picture(), np.full((60, 90), 255, np.uint8)])
    clear[:, 45:, 3] = 0
    Image.fromarray(clear).save("clear.png")
    run("clear.png", "clear.png", "-o", "out.png", "--blend", "clear.png", *arguments)
    (call,) = spied
    for array in (call["content"], *(style.picture for style in call["styles"])):
        np.testing.assert_array_equal(array[:, :45], picture()[:, :45])
        assert (array[:, 45:] == ground).all()


# Memory


def test_a_huge_size_is_refused_by_its_estimate_before_anything_is_computed(isolated, run, monkeypatch):
    write("c.png", "s.png")
    monkeypatch.setattr(memory, "free_bytes", lambda device: 64 * 2**30)
    monkeypatch.setattr(transfer, "evaluate", None)
    status, out, err = run("c.png", "s.png", "-o", "out.png", "--size", "40000x30000", "--device", "cpu")
    assert status == 2
    assert_one_line(err, " GiB of memory, and 64.0 GiB can be taken: choose a smaller --size (or --stages)")
    assert "needs about " in err
    assert out.startswith("features: ")
    assert out.count("\n") == 1
    assert os.listdir(".") == unordered("c.png", "s.png")


def test_little_memory_means_tiles_and_that_is_told(pair, run, monkeypatch):
    features = plain_features(0, 0, 0, None)
    side = 2 * transfer.FRINGE
    monkeypatch.setattr(memory, "free_bytes", lambda device: memory.estimate(features, 48 + side, 72 + side) - 1)
    status, out, _ = run("c.png", "s.png", "-o", "out.png", *SMALL)
    assert status == 0
    assert ", in tiles of " in out.splitlines()[1]


# Several styles, and where they act


def test_blended_styles_have_their_weights(run, spied):
    write("a.png", "b.png", "c.png", "d.png", "e:f.png", "g.png")
    os.rename("g.png", "g:7")  # which is all of its name
    words = ["b.png:2.5", "d.png", "e:f.png:1e1", "g:7", "e:f.png"]
    run("c.png", "a.png", "-o", "out.png", *(word for entry in words for word in ("--blend", entry)))
    (call,) = spied
    expected = [(0, 1.0), (1, 2.5), (3, 1.0), (4, 10.0), (5, 1.0), (4, 1.0)]
    assert [style.weight for style in call["styles"]] == [weight for _, weight in expected]
    for style, (seed, _) in zip(call["styles"], expected):
        np.testing.assert_array_equal(style.picture, picture(seed))
        assert style.mask is None


def test_a_blend_is_what_the_python_function_makes(pair, run):
    write("c.png", "s.png", "b.png")
    run("c.png", "s.png", "--blend", "b.png:3", "-o", "out.png", *SMALL)
    result = stylize(picture(0), [StylePicture(picture(1)), StylePicture(picture(2), 3.0)], **SETTINGS)
    np.testing.assert_array_equal(read_picture("out.png"), result.picture)


def write_masks():
    left = np.zeros((20, 30), np.uint8)
    left[:, :10] = 255
    middle = np.zeros((20, 30), np.uint8)
    middle[:, 5:20] = 200
    for name, mask in (("left.png", left), ("middle.png", middle), ("small.png", left[:10])):
        Image.fromarray(mask).save(name)
    return left, middle


def masks_of(call):
    return [style.mask for style in call["styles"]]


def test_masks_go_to_the_styles_in_their_order(run, spied):
    left, middle = write_masks()
    run("c.png", "s.png", "--blend", "c.png", "--mask", "middle.png", "--mask", "left.png", "-o", "out.png")
    for found, right in zip(masks_of(spied[0]), (middle, left)):
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, right)


def test_one_style_takes_one_mask(run, spied):
    left, _ = write_masks()
    run("c.png", "s.png", "--mask", "left.png", "-o", "out.png")
    np.testing.assert_array_equal(masks_of(spied[0])[0], left)


def test_the_last_style_takes_what_the_masks_leave(run, spied):
    left, middle = write_masks()
    run("c.png", "s.png", "--blend", "c.png", "--mask", "left.png", "-o", "out.png")
    np.testing.assert_array_equal(masks_of(spied[0])[1], 255 - left)
    words = ["--blend", "c.png", "--blend", "c.png", "--mask", "left.png", "--mask", "middle.png"]
    run("c.png", "s.png", *words, "-o", "out.png")
    rest = 255 - np.clip(left.astype(int) + middle, 0, 255)
    np.testing.assert_array_equal(masks_of(spied[1])[2], rest)
    assert masks_of(spied[1])[2].dtype == np.uint8


def test_what_is_transparent_in_a_mask_is_black(run, spied):
    clear = np.full((20, 30, 4), 255, np.uint8)
    clear[:, 15:, 3] = 0
    Image.fromarray(clear).save("clear.png")
    run("c.png", "s.png", "--mask", "clear.png", "-o", "out.png")
    (mask,) = masks_of(spied[0])
    assert (mask[:, :15] == 255).all()
    assert (mask[:, 15:] == 0).all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--mask", "left.png", "--mask", "middle.png"], "1 styles take 1 masks or one fewer, got 2"),
        (["--blend", "c.png"] * 2 + ["--mask", "left.png"], "3 styles take 3 masks or one fewer, got 1"),
        (
            ["--blend", "c.png", "--mask", "left.png", "--mask", "small.png"],
            "masks must be of one size, got (10, 30) and",
        ),
        (["--mask", "black.png"], "styles[0].mask must be above 0 somewhere: all of it is black"),
        (["--blend", "c.png", "--mask", "white.png"], "styles[1].mask must be above 0 somewhere: all of it is black"),
    ],
)
def test_wrong_masks_are_refused(pair, run, words, message):
    write_masks()
    for name, value in (("black.png", 0), ("white.png", 255)):
        Image.fromarray(np.full((20, 30), value, np.uint8)).save(name)
    assert_refused_later(run("c.png", "s.png", *words, "-o", "out.png", *SMALL), message)
    assert not os.path.exists("out.png")


def test_a_masked_style_acts_where_its_mask_is_white(pair, run):
    write_masks()
    assert run("c.png", "s.png", "--mask", "left.png", "-o", "out.png", *SMALL, "--style-weight", 500)[0] == 0
    changed = np.abs(read_picture("out.png").astype(float) - transfer.resize(picture(), (48, 72)))
    assert changed[:, :20].mean() > 3 * changed[:, 30:].mean()


# Batches


@pytest.fixture
def folders(here):
    """Contents ``in/a.png`` and ``in/b.png``, styles ``styles/x.png`` and ``styles/y.png``."""
    write("in/a.png", "in/b.png", "styles/x.png", "styles/y.png")
    return here


RESULTS = ("a-x.png", "a-y.png", "b-x.png", "b-y.png")
FIGURES = tuple(name.replace(".png", ".losses.png") for name in RESULTS)


def test_folders_give_every_content_in_every_style_and_a_contact_sheet(folders, run):
    status, out, err = run("in", "styles", "-o", "new/out", *SMALL)
    assert (status, err) == (0, "")
    assert os.listdir("new/out") == unordered(*RESULTS, *FIGURES, "contact_sheet.png")
    made = {}
    for number, name in enumerate(RESULTS):
        content, style = divmod(number, 2)
        made[content, style] = stylize(picture(content), picture(2 + style), **SETTINGS).picture
        np.testing.assert_array_equal(read_picture(f"new/out/{name}"), made[content, style])
        assert f"in/{'ab'[content]}.png in the style of styles/{'xy'[style]}.png\n" in out
    assert out.endswith("4 of 4 pictures made, 0 failed\n  new/out/contact_sheet.png\n")
    sheet = sheets.contact_sheet([picture(0), picture(1)], [picture(2), picture(3)], made)
    np.testing.assert_array_equal(read_picture("new/out/contact_sheet.png"), sheet)


def test_in_a_batch_transparent_pictures_lie_on_the_background(run, spied):
    os.mkdir("in")
    Image.fromarray(np.full((60, 90, 4), (9, 9, 9, 0), np.uint8)).save("in/clear.png")
    run("in", "in", "-o", "out", "--background", "red")
    (call,) = spied
    for array in (call["content"], call["styles"][0].picture):
        assert (array == (255, 0, 0)).all()


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["in", "styles/x.png"], ["a-x", "b-x"]),
        (["in/a.png", "styles"], ["a-x", "a-y"]),
        (["in/*.png", "styles/y.png"], ["a-y", "b-y"]),
        (["one", "styles/x.png"], ["c-x"]),
        (["in/a.png", "one"], ["a-c"]),
    ],
)
def test_a_folder_or_a_glob_and_a_picture_are_a_batch(folders, run, words, names):
    write("one/c.png")
    status, out, _ = run(*words, "-o", "out", *SMALL)
    assert status == 0
    made = [name for name in os.listdir("out") if not name.endswith("losses.png") and name != "contact_sheet.png"]
    assert made == unordered(*(f"{name}.png" for name in names))
    assert f"{len(names)} of {len(names)} pictures made" in out


def test_names_that_collide_are_numbered(here, run):
    write("in/a.png", "in/a.jpg", "in/A.bmp", "s/x.png")
    assert run("in", "s", "-o", "out", *SMALL)[0] == 0
    made = [name for name in os.listdir("out") if not name.endswith("losses.png") and name != "contact_sheet.png"]
    assert made == unordered("A-x.png", "a-x-2.png", "a-x-3.png")
    for name, content in (("A-x.png", "in/A.bmp"), ("a-x-2.png", "in/a.jpg"), ("a-x-3.png", "in/a.png")):
        expected = stylize(read_picture(content), picture(3), **SETTINGS).picture
        np.testing.assert_array_equal(read_picture(f"out/{name}"), expected)


def test_a_bad_picture_is_told_and_the_others_go_on(folders, run):
    bad = write_bad("in")
    status, out, err = run("in", "styles", "-o", "out", *SMALL)
    assert status == 1
    assert len(err.splitlines()) == len(bad) - 1
    for name in ("cut.jpg", "half.png", "blank.png", "words.jpg"):
        assert f"gluonbook: in/{name} {bad[name]}" in err
    assert os.listdir("out") == unordered(*RESULTS, *FIGURES, "contact_sheet.png")
    assert "4 of 12 pictures made, 8 failed" in out
    sheet = read_picture("out/contact_sheet.png")
    step = sheets.CELL + sheets.GAP
    assert sheet.shape == (7 * step + sheets.GAP, 3 * step + sheets.GAP, 3)
    corner = slice(3 * step + sheets.GAP, 4 * step), slice(sheets.GAP, step)  # blank.png, the third content
    assert (sheet[corner] == sheets.MISSING).all()


def test_one_that_fails_is_told_and_the_others_go_on(folders, run):
    Image.fromarray(picture()[:10]).save("in/low.png")
    status, out, err = run("in", "styles", "-o", "out", *SMALL)
    assert status == 1
    assert err.splitlines() == [
        f"gluonbook: out/low-{style}.png: content of 90x10 pixels: the smallest usable size is 48 pixels a side"
        for style in "xy"
    ]
    assert "4 of 6 pictures made, 2 failed" in out


@pytest.mark.parametrize("words", [["gone.png", "styles"], ["in", "gone.png"]])
def test_a_picture_that_is_not_there_is_told_in_a_batch(folders, run, words):
    status, out, err = run(*words, "-o", "out", *SMALL)
    assert status == 2
    assert_one_line(err, "gone.png is not there")
    assert "0 of 2 pictures made, 2 failed" in out


@pytest.mark.parametrize("error", [training.NonFiniteLoss("it is inf"), MemoryError("too much"), ValueError("wrong")])
def test_what_cannot_be_computed_is_told_in_a_batch_and_the_others_go_on(folders, run, monkeypatch, error):
    stylize = transfer.stylize

    def failing(content, styles, out, **settings):
        if out.name == "a-y.png":
            raise error
        return stylize(content, styles, out, **settings)

    monkeypatch.setattr(transfer, "stylize", failing)
    status, out, err = run("in", "styles", "-o", "out", *SMALL)
    assert (status, err) == (1, f"gluonbook: out/a-y.png: {error}\n")
    assert "3 of 4 pictures made, 1 failed" in out


def test_the_status_is_2_where_every_picture_failed(folders, run):
    write_bad("bad")
    status, out, err = run("bad", "styles", "-o", "out", *SMALL)
    assert status == 2
    assert "0 of 8 pictures made, 8 failed" in out
    assert len(err.splitlines()) == 4
    assert os.listdir("out") == ["contact_sheet.png"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "out.png"], "out.png is a file's name: 4 pictures need a folder (-o)"),
        (["-o", "out", "--blend", "in/a.png"], "--blend, --mask and --gif go with one content and one style"),
        (["-o", "out", "--mask", "in/a.png"], "--blend, --mask and --gif go with one content and one style"),
        (["-o", "out", "--gif", "a.gif"], "--blend, --mask and --gif go with one content and one style"),
        (["-o", "out", "--size", "72x48", "--stages", "72x48"], "give --size or --stages, not both"),
    ],
)
def test_what_a_batch_cannot_do_is_refused_before_anything_is_read(folders, run, refusing, words, message):
    assert_refused(run("in", "styles", *words), message)
    assert os.listdir(".") == unordered("in", "styles")


@pytest.mark.parametrize("name", ["contact_sheet.png", "a-x.png", "a-x.losses.png"])
def test_a_batch_that_would_overwrite_a_picture_that_it_reads_is_refused_before(folders, run, refusing, name):
    write(f"in/{name}")
    words = ["in/[a]*.png", "styles/x.png", "-o", "in"] if name != "contact_sheet.png" else ["in", "styles", "-o", "in"]
    assert_refused(run(*words, *SMALL), f"in/{name} would overwrite a picture that is read")


def test_a_batch_goes_on_with_what_is_not_finished(folders, run):
    first = run("in/a.png", "styles", "-o", "out", *SMALL)
    assert first[0] == 0
    before = {name: (folders / "out" / name).stat().st_mtime_ns for name in RESULTS[:2]}
    status, out, err = run("in", "styles", "-o", "out", *SMALL, "--resume")
    assert (status, err) == (0, "")
    assert out.startswith("out/a-x.png is finished\nout/a-y.png is finished\nin/b.png in the style of styles/x.png\n")
    assert "4 of 4 pictures made, 0 failed" in out
    assert {name: (folders / "out" / name).stat().st_mtime_ns for name in RESULTS[:2]} == before
    sheet = read_picture("out/contact_sheet.png")
    run("in", "styles", "-o", "anew", *SMALL)
    np.testing.assert_array_equal(sheet, read_picture("anew/contact_sheet.png"))


def test_without_resume_a_batch_is_done_again(folders, run):
    for _ in range(2):
        _, out, _ = run("in/a.png", "styles", "-o", "out", *SMALL)
        assert "is finished" not in out
        assert "2 of 2 pictures made" in out


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ([], False),
        (["--seed", "0"], False),
        (["--steps", "2,2"], False),
        (["--size", "96x64"], True),
        (["--seed", "1"], True),
        (["--steps", "3"], True),
        (["--steps", "2,3"], True),
        (["--stages", "72x48,90x60"], True),
        (["--style-weight", "3"], True),
        (["--style-weight", "50"], False),
        (["--optimizer", "adam"], True),
        (["--keep-colors"], True),
        (["--device", "cpu", "--preview-every", "1"], False),  # which change no number
    ],
)
def test_a_batch_does_again_what_was_made_with_other_settings(folders, run, change, again):
    first = ["--stages", "72x48,96x64", "--steps", "2", "--device", "cpu"]
    run("in/a.png", "styles/[x]*.png", "-o", "out/a-x.png", *first)
    kept = [] if {"--size"} & set(change) else first
    _, out, err = run(
        "in/a.png", "styles", "-o", "out", *(kept or ["--steps", "2", "--device", "cpu"]), *change, "--resume"
    )
    assert err == ""
    assert ("out/a-x.png is finished\n" in out) == (not again)
    assert ("in/a.png in the style of styles/x.png\n" in out) == again


def test_a_preview_is_not_finished(folders, run, interrupted):
    interrupted(1)
    words = ["in", "styles", "-o", "out", *SMALL]
    assert run(*words)[0] == 130
    assert pictures.read_settings("out/a-x.png")["finished"] is False
    status, out, _ = run(*words, "--resume")
    assert status == 0
    assert out.startswith("in/a.png in the style of styles/x.png\n")


# Ctrl-C


@pytest.fixture
def interrupted(monkeypatch):
    """Call it with a number: that many steps after, Ctrl-C is found; later transfers run through."""

    def after(number):
        take, steps = transfer._Run._take_frame, []

        def taking(run, **how):
            take(run, **how)
            steps.extend([1] * bool(run.history))
            if len(steps) == number:
                monkeypatch.setattr(transfer._Run, "_take_frame", take)
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(transfer._Run, "_take_frame", taking)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield after
    signal.signal(signal.SIGINT, before)


def told_to_go_on(err):
    (line,) = err.strip().splitlines()
    assert "Traceback" not in err
    told, command = line.split(" Go on with: ")
    return told, shlex.split(command)


def test_ctrl_c_says_how_to_go_on_and_the_command_does(here, run, interrupted):
    write("my c.png", "s.png")
    words = ["my c.png", "s.png", "-o", "my out.png", "--stages", "72x48,96x64", "--steps", 3, "--device", "cpu"]
    interrupted(4)
    status, _, err = run(*words, "--seed", 3)
    assert status == 130
    told, command = told_to_go_on(err)
    assert told == "stopped; the picture so far is my out.png."
    assert command == ["gluonbook", "stylize", *map(str, words), "--seed", "3", "--resume"]
    assert read_picture("my out.png").shape == (64, 96, 3)
    status, _, err = run(*command[2:])
    assert (status, err) == (0, "")
    settings = {"stages": [(72, 48), (96, 64)], "steps": 3, "device": "cpu", "seed": 3}
    whole = stylize(read_picture("my c.png"), read_picture("s.png"), **settings)
    np.testing.assert_array_equal(read_picture("my out.png"), whole.picture)
    assert os.listdir(".") == unordered("my c.png", "s.png", "my out.png", "my out.losses.png")


def test_stopped_again_the_command_is_the_same(pair, run, interrupted):
    words = ["c.png", "s.png", "-o", "out.png", "--stages", "72x48", "--steps", 4, "--device", "cpu"]
    commands = []
    for more in ([], ["--resume"]):
        interrupted(1)
        status, _, err = run(*words, *more)
        assert status == 130
        commands.append(told_to_go_on(err)[1])
    assert commands[0] == commands[1]
    assert run(*commands[0][2:])[0] == 0


def stop(run, interrupted, *more):
    interrupted(1)
    assert run("c.png", "s.png", "-o", "out.png", *SMALL, *more)[0] == 130


def test_resume_takes_the_settings_of_what_was_stopped(pair, run, interrupted):
    given = ["--seed", 3, "--optimizer", "adam", "--keep-colors", "--stretch", "--style-weight", 7, "--steps", 3]
    stop(run, interrupted, *given)
    assert run("c.png", "s.png", "-o", "out.png", "--device", "cpu", "--resume")[0] == 0
    wanted = {"seed": 3, "optimizer": "adam", "keep_colors": True, "stretch": True, "style_weight": 7.0, "steps": [3]}
    settings = pictures.read_settings("out.png")
    assert {name: settings[name] for name in wanted} == wanted
    assert settings["stages"] == [[72, 48]]


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        (["--seed", 1], "seed was 0, now 1"),
        (["--steps", 5], "steps was [2], now [5]"),
        (["--stages", "96x64"], "stages was [[72, 48]], now [[96, 64]]"),
        (["--size", "96x64"], "stages was [[72, 48]], now [[96, 64]]"),
        (["--optimizer", "adam"], "optimizer was 'lbfgs', now 'adam'"),
    ],
)
def test_resume_refuses_a_flag_that_differs(pair, run, interrupted, flag, message):
    stop(run, interrupted)
    result = run("c.png", "s.png", "-o", "out.png", "--device", "cpu", "--resume", *flag)
    assert_refused_later(result, f"the checkpoint in out.run was made with other settings: {message}")


def test_resume_refuses_another_picture(pair, run, interrupted):
    stop(run, interrupted)
    result = run("s.png", "s.png", "-o", "out.png", "--device", "cpu", "--resume")
    assert_refused_later(result, "the content or style is not the one that the checkpoint in out.run was")


def test_what_was_stopped_is_not_lost_by_a_forgotten_flag(pair, run, interrupted):
    stop(run, interrupted)
    result = run("c.png", "s.png", "-o", "out.png", *SMALL)
    assert_refused_later(
        result, "out.run holds a transfer that was stopped: go on with resume=True (--resume), or remove"
    )
    assert (pair / "out.run" / training.CHECKPOINT).exists()


def test_resume_of_a_finished_one_is_refused(pair, run):
    run("c.png", "s.png", "-o", "out.png", *SMALL)
    result = run("c.png", "s.png", "-o", "out.png", *SMALL, "--resume")
    assert_refused_later(result, "out.run is not there: no stopped transfer to resume for out.png")


def test_a_run_folder_without_a_checkpoint_is_told(pair, run):
    os.mkdir("out.run")
    result = run("c.png", "s.png", "-o", "out.png", *SMALL, "--resume")
    assert_refused(result, "is not there: no training to resume in this folder")


def test_ctrl_c_before_the_first_step_says_that_there_is_nothing(pair, run, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(transfer, "plan_stages", stop)
    status, _, err = run("c.png", "s.png", "-o", "out.png", *SMALL)
    assert status == 130
    assert err.strip() == "stopped; nothing was made yet"
    assert os.listdir(".") == unordered("c.png", "s.png")


def test_a_batch_that_was_stopped_goes_on_with_the_command_that_it_prints(folders, run, interrupted):
    words = ["in", "styles", "-o", "out", "--stages", "72x48", "--steps", 3, "--device", "cpu"]
    interrupted(3 + 2)
    status, out, err = run(*words)
    assert status == 130
    told, command = told_to_go_on(err)
    assert told == "stopped; the picture so far is out/a-y.png."
    status, out, err = run(*command[2:])
    assert (status, err) == (0, "")
    assert out.startswith("out/a-x.png is finished\nin/a.png in the style of styles/y.png\n")
    assert "4 of 4 pictures made, 0 failed" in out
    assert os.listdir("out") == unordered(*RESULTS, *FIGURES, "contact_sheet.png")
    whole = stylize(picture(0), picture(3), **{**SETTINGS, "steps": 3})
    np.testing.assert_array_equal(read_picture("out/a-y.png"), whole.picture)


def test_a_batch_goes_on_with_the_settings_of_what_was_stopped(folders, run, interrupted):
    interrupted(1)
    assert run("in/a.png", "styles", "-o", "out", *SMALL, "--seed", 3)[0] == 130
    words = ["--steps", 2, "--size", "72x48", "--device", "cpu"]
    status, _, err = run("in/a.png", "styles", "-o", "out", *words, "--resume")
    assert (status, err) == (0, "")
    assert pictures.read_settings("out/a-x.png")["seed"] == 3
    assert pictures.read_settings("out/a-y.png")["seed"] == 0


def test_a_batch_tells_what_was_stopped_with_other_settings_and_goes_on(folders, run, interrupted):
    interrupted(1)
    assert run("in/a.png", "styles", "-o", "out", *SMALL)[0] == 130
    for more, words in ((["--seed", 1, "--resume"], "seed was 0, now 1"), ([], "holds a transfer that was stopped")):
        status, out, err = run("in/a.png", "styles", "-o", "out", *SMALL, *more)
        assert status == 1
        assert_one_line(err, words)
        assert err.startswith("gluonbook: out/a-x.png: ")
        assert "1 of 2 pictures made, 1 failed" in out


def test_a_run_folder_without_a_checkpoint_does_not_stop_a_batch(folders, run):
    os.makedirs("out/a-x.run")
    status, out, err = run("in", "styles", "-o", "out", *SMALL, "--resume")
    assert (status, err) == (0, "")
    assert "4 of 4 pictures made, 0 failed" in out


SLOW = """
import os, runpy, sys, time
from gluonbook.style import transfer

evaluate = transfer.evaluate

def slowly(*args):
    time.sleep(os.path.exists("out.png"))
    return evaluate(*args)

transfer.evaluate = slowly
runpy.run_module("gluonbook", run_name="__main__", alter_sys=True)
"""


def test_a_real_ctrl_c_stops_the_process_and_the_printed_command_finishes(tmp_path, monkeypatch):
    """With the features that users get, as they call it; but after the first preview a step waits for a second."""
    monkeypatch.chdir(tmp_path)  # not isolated: without a cache Matplotlib would list all fonts again
    Image.fromarray(picture(0, 48, 48)).save("c.png")
    Image.fromarray(picture(1, 48, 48)).save("s.png")
    words = ["c.png", "s.png", "-o", "out.png", "--stages", "48x48", "--steps", "15", "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, "stylize", *words, "--preview-every", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # what runs behind a shell's & ignores it
    )  # fmt: skip
    while not os.path.exists("out.png") and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    told, command = told_to_go_on(err)
    assert told == "stopped; the picture so far is out.png."
    assert command == ["gluonbook", "stylize", *words, "--preview-every", "1", "--resume"]
    assert pictures.read_settings("out.png")["finished"] is False
    assert 1 <= len(training.read_checkpoint("out.run")["history"]) < 15
    command = [sys.executable, "-m", *command]
    again = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    assert (again.returncode, again.stderr) == (0, "")
    assert "48x48 in " in again.stdout
    settings = pictures.read_settings("out.png")
    assert (settings["finished"], settings["steps"]) == (True, [15])
    assert os.listdir(".") == unordered("c.png", "s.png", "out.png", "out.losses.png")
