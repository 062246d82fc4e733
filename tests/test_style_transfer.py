"""``stylize``: what comes out, that it stops and goes on with the same numbers, what it refuses, and what it writes.

Most tests take little features, two convolutions: what is tested is the transfer around them. What a picture looks like
is tested with the features that users get.
"""

import inspect
import json
import signal
from functools import lru_cache

import cv2
import numpy as np
import pytest
from PIL import Image

from gluonbook import training
from gluonbook._mxnet import gluon, mx, nd
from gluonbook.data.pictures import read_picture, resize
from gluonbook.style import StylePicture, Stylized, memory, pictures, random_filters, stylize, transfer
from gluonbook.style.features import LEAST_SIDE, Features, Weights, to_picture
from gluonbook.style.optimisers import LBFGS, Adam
from gluonbook.training import NonFiniteLoss
from gluonbook.weights import save_weights
from gluonbook.weights.vgg import entries_of

GIB = 2**30
FRINGE, FRAME_SIDE = transfer.FRINGE, transfer.FRAME_SIDE


class Little(gluon.HybridBlock):
    """Two random convolutions, of the picture and of half of it."""

    def __init__(self, seed):
        super().__init__()
        rng = np.random.default_rng(seed)
        self.fine = gluon.nn.Conv2D(8, 3, padding=1, in_channels=3)
        self.coarse = gluon.nn.Conv2D(8, 3, padding=1, strides=2, in_channels=8)
        for layer, channels in ((self.fine, 3), (self.coarse, 8)):
            layer.initialize()
            layer.weight.set_data(nd.array(rng.normal(0, 0.3, (8, channels, 3, 3))))
            layer.bias.set_data(nd.array(rng.normal(0, 0.3, 8)))
        self.collect_params().setattr("grad_req", "null")

    def hybrid_forward(self, F, X):
        fine = F.relu(self.fine(X))
        return [fine, F.relu(self.coarse(fine))]


def little_features(height, width, seed, device):
    net = Little(seed)
    net.hybridize()
    style = {"fine": 0.5, "coarse": 0.5}
    return Features(net, ("fine", "coarse"), (1, 2), 8, {"coarse": 1.0}, style, True, Weights(1.0, 50.0, 0.05))


@pytest.fixture
def little(monkeypatch):
    """Transfers with random features take little ones, and a GIF has little frames."""
    monkeypatch.setattr(transfer, "random_features", little_features)
    monkeypatch.setattr(transfer, "FRAME_SIDE", 60)


@pytest.fixture(scope="module", autouse=True)
def _drawn_once():
    """Random filters of a seed are drawn once: that takes longer than a step."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(random_filters, "_draw", lru_cache(maxsize=None)(random_filters._draw))
        yield


def scene(seed=0, height=60, width=90):
    """Draw a content: a disc and a box on soft ground."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(60, 196, (4, 6, 3), dtype=np.uint8)
    picture = cv2.resize(ground, (width, height), interpolation=cv2.INTER_CUBIC)
    cv2.circle(picture, (width // 3, height // 2), height // 4, (190, 170, 90), -1)
    cv2.rectangle(picture, (width * 6 // 10, height // 4), (width * 8 // 10, height * 7 // 10), (70, 90, 130), -1)
    return picture


def stripes(seed=0, height=54, width=66, colours=None):
    """Draw a style: noisy stripes of two colours."""
    rng = np.random.default_rng([seed, 1])
    y, x = np.mgrid[:height, :width]
    angle, frequency = rng.uniform(0, np.pi), rng.uniform(0.5, 1.1)
    wave = np.sin(frequency * (x * np.cos(angle) + y * np.sin(angle)))[..., None]
    one, two = rng.integers(0, 256, (2, 3)) if colours is None else np.array(colours)
    picture = (one + two) / 2 + wave * (one - two) / 2 + rng.normal(0, 20, (height, width, 3))
    return picture.clip(0, 255).astype(np.uint8)


CONTENT, STYLE = scene(), stripes()
ONE = {"stages": [(72, 48)], "steps": 3, "device": "cpu"}
TWO = {"stages": [(72, 48), (96, 64)], "steps": [3, 2], "device": "cpu"}
BOTH = pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])


def difference(one, other):
    """Mean difference in grey levels."""
    return np.abs(one.astype(float) - other).mean()


def furthest(one, other):
    return np.abs(one.astype(int) - other).max()


def without_seconds(history):
    return [{key: value for key, value in entry.items() if key != "seconds"} for entry in history]


def assert_same(ours, theirs):
    """Bit for bit."""
    assert ours.picture.tobytes() == theirs.picture.tobytes()
    assert without_seconds(ours.history) == without_seconds(theirs.history)
    assert ours.settings == theirs.settings


def totals(history):
    return [entry["content"] + entry["style"] + entry["tv"] for entry in history]


# The result's size


@pytest.mark.parametrize(
    ("shape", "stages", "size"),
    [
        ((60, 90), [(72, 72)], (48, 72)),
        ((60, 90), [(300, 56)], (56, 84)),
        ((90, 60), [(72, 72), (100, 96)], (96, 64)),
        ((61, 83), [(70, 70), (70, 70), (90, 80)], (66, 90)),
        ((200, 240), [(60, 50)], (50, 60)),
    ],
)
def test_the_result_keeps_the_contents_aspect_ratio_within_the_last_stage(little, shape, stages, size):
    result = stylize(scene(0, *shape), STYLE, stages=stages, steps=1, device="cpu")
    assert result.picture.shape == (*size, 3)
    assert result.picture.dtype == np.uint8


def test_stretched_the_result_has_the_last_stages_size(little):
    result = stylize(CONTENT, STYLE, stages=[(50, 60), (50, 96)], steps=1, stretch=True, device="cpu")
    assert result.picture.shape == (96, 50, 3)


@pytest.mark.parametrize("shape", [(48, 48), (48, 200), (131, 70)])
def test_the_styles_size_does_not_matter(little, shape):
    assert stylize(CONTENT, stripes(0, *shape), **ONE).picture.shape == (48, 72, 3)


# Where it starts

NO_STYLE = {"style_weight": 0, "tv_weight": 0}


@BOTH
@pytest.mark.parametrize("keep_colors", [False, True])
def test_without_a_style_the_content_comes_back(little, optimizer, keep_colors):
    result = stylize(CONTENT, STYLE, **{**ONE, "steps": 1}, **NO_STYLE, optimizer=optimizer, keep_colors=keep_colors)
    assert furthest(result.picture, resize(CONTENT, (48, 72))) <= 3 * keep_colors  # to other colours and back


def test_at_a_minimum_lbfgs_makes_no_step_and_there_are_no_losses(little, tmp_path):
    result = stylize(CONTENT, STYLE, tmp_path / "a.png", **TWO, **NO_STYLE, content_weight=0)
    assert result.history == []
    assert "losses" not in result.settings
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@BOTH
def test_a_later_stage_starts_from_the_result_before_enlarged(little, optimizer):
    """Not from the content, whose finer noise is lost in the first stage."""
    noise = np.random.default_rng(0).integers(60, 196, (96, 144, 3), dtype=np.uint8)
    stages = {**TWO, "stages": [(72, 48), (144, 96)]}
    result = stylize(noise, STYLE, **stages, **NO_STYLE, content_weight=0, optimizer=optimizer)
    before = resize(noise, (48, 72))
    assert difference(result.picture, resize(before, (96, 144))) < 10
    assert difference(result.picture, noise) > 20


def test_a_later_stage_starts_from_what_the_style_made(little, monkeypatch):
    starts = []
    monkeypatch.setitem(transfer.OPTIMIZERS, "lbfgs", lambda x: starts.append(x) or LBFGS(x))
    stylize(CONTENT, STYLE, **{**TWO, "steps": 6}, style_weight=500)
    first = stylize(CONTENT, STYLE, **{**ONE, "steps": 6}, style_weight=500).picture
    assert [start.shape for start in starts[:2]] == [
        (1, 3, 48 + 2 * FRINGE, 72 + 2 * FRINGE),
        (1, 3, 64 + 2 * FRINGE, 96 + 2 * FRINGE),
    ]
    assert furthest(inner_of(starts[0]), resize(CONTENT, (48, 72))) == 0
    again = difference(inner_of(starts[1]), resize(first, (64, 96)))
    assert again < 0.5 * difference(inner_of(starts[1]), resize(CONTENT, (64, 96)))


def inner_of(X):
    return to_picture(X[:, :, FRINGE:-FRINGE, FRINGE:-FRINGE])


def test_around_the_picture_is_its_mirror_image(little, monkeypatch):
    starts = []
    monkeypatch.setitem(transfer.OPTIMIZERS, "lbfgs", lambda x: starts.append(x) or LBFGS(x))
    stylize(CONTENT, STYLE, **TWO)
    for X in starts[:2]:
        inner = X[0, :, FRINGE:-FRINGE, FRINGE:-FRINGE]
        np.testing.assert_array_equal(X[0], np.pad(inner, [(0, 0), (FRINGE, FRINGE), (FRINGE, FRINGE)], "reflect"))


# Losses


@BOTH
@pytest.mark.parametrize("seed", range(3))
def test_the_loss_falls(little, optimizer, seed):
    history = stylize(scene(seed), stripes(seed), **{**TWO, "steps": 5}, optimizer=optimizer, seed=seed).history
    for stage in (1, 2):
        total = totals([entry for entry in history if entry["stage"] == stage])
        assert len(total) == 5
        assert all(later <= before * (1 + 1e-5) for before, later in zip(total, total[1:]))
        assert total[-1] < total[0]


@pytest.fixture(scope="module")
def painted():
    """Noise on grey in three styles, with the features that users get."""
    made = []
    for seed in range(3):
        noise = np.random.default_rng(seed).normal(128, 6, (64, 64, 3))
        settings = {"stages": [(64, 64)], "steps": 8, "content_weight": 0.2, "seed": seed, "device": "cpu"}
        made.append(stylize(noise.clip(0, 255).astype(np.uint8), stripes(seed), **settings))
    return made


def test_the_style_loss_falls_by_a_factor(painted):
    for result in painted:
        assert result.history[-1]["style"] < 0.6 * result.history[0]["style"]


def test_the_same_seed_gives_the_same_picture_and_another_seed_another(little):
    one = stylize(CONTENT, STYLE, **TWO)
    assert_same(stylize(CONTENT, STYLE, **TWO), one)
    other = stylize(CONTENT, STYLE, **TWO, seed=1)
    assert difference(other.picture, one.picture) > 0.5
    assert_same(stylize(CONTENT, STYLE, **TWO, seed=1), other)


def test_features_are_made_once_for_each_size(monkeypatch):
    sizes = []
    monkeypatch.setattr(transfer, "random_features", lambda *args: sizes.append(args[:2]) or little_features(*args))
    stylize(CONTENT, STYLE, **TWO)
    assert sizes == [(48 + 2 * FRINGE, 72 + 2 * FRINGE), (64 + 2 * FRINGE, 96 + 2 * FRINGE)]


def test_the_seed_is_that_of_the_random_features():
    pair = [stylize(CONTENT, STYLE, **{**ONE, "steps": 1}, seed=seed) for seed in (0, 1, 0)]
    assert_same(pair[0], pair[2])
    assert difference(pair[0].picture, pair[1].picture) > 0.1


def test_a_weight_moves_the_picture_its_way(little):
    settings = {**ONE, "steps": 6}
    usual = stylize(CONTENT, STYLE, **settings)
    content = resize(CONTENT, (48, 72))
    assert difference(stylize(CONTENT, STYLE, **settings, content_weight=100).picture, content) < difference(
        usual.picture, content
    )
    rough = [
        np.abs(np.diff(stylize(CONTENT, STYLE, **settings, tv_weight=weight).picture.astype(float), axis=1)).mean()
        for weight in (0, 10_000)
    ]
    assert rough[1] < 0.9 * rough[0]
    weak = stylize(CONTENT, STYLE, **settings, style_weight=0.1)
    assert weak.history[-1]["style"] / 0.1 > 1.05 * usual.history[-1]["style"] / 50


def test_losses_are_told_with_their_weights(little):
    one, other = (
        stylize(CONTENT, STYLE, **{**ONE, "steps": 1}, optimizer="adam", style_weight=weight).history[0]
        for weight in (10, 20)
    )
    assert other["style"] == pytest.approx(2 * one["style"], rel=1e-5)
    assert other["tv"] == pytest.approx(one["tv"], rel=1e-6)
    assert one["content"] == other["content"] == 0  # measured before Adam's first step


# Colours


def chroma(picture):
    return cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb)[..., 1:].astype(float)


def luminance(picture):
    return cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb)[..., 0].astype(float)


RED = stripes(0, colours=[(250, 20, 20), (90, 0, 0)])


@pytest.mark.parametrize("seed", range(2))
def test_keep_colors_changes_the_luminance_only(little, seed):
    """Over seeds 0 to 9 colours differed by less than 0.01 on average, and without keep_colors by 5.5 to 8.8."""
    content, settings = scene(seed), {**ONE, "steps": 6, "style_weight": 500}
    wanted = resize(content, (48, 72))
    kept, free = (stylize(content, RED, **settings, keep_colors=keep).picture for keep in (True, False))
    assert difference(chroma(kept), chroma(wanted)) < 0.5
    assert difference(chroma(free), chroma(wanted)) > 3
    assert difference(luminance(kept), luminance(wanted)) > 1


def test_keep_colors_sees_no_colour_of_the_style(little):
    grey = pictures.luminance(RED)
    kept = [stylize(CONTENT, style, **ONE, keep_colors=True) for style in (RED, grey)]
    assert kept[0].picture.tobytes() == kept[1].picture.tobytes()


@pytest.fixture
def compared(monkeypatch):
    """The content and the styles of each stage, as they are compared with; (H, W, 3) uint8."""
    calls, make = [], transfer.make_objective

    def making(features, content, styles, *rest):
        calls.append([to_picture(content), *(to_picture(style.X) for style in styles)])
        return make(features, content, styles, *rest)

    monkeypatch.setattr(transfer, "make_objective", making)
    return calls


@pytest.mark.parametrize("keep_colors", [False, True])
def test_keep_colors_compares_with_grey_pictures(little, compared, keep_colors):
    stylize(CONTENT, STYLE, **TWO, keep_colors=keep_colors)
    for picture in (picture for stage in compared for picture in stage):
        assert (np.ptp(picture.astype(int), axis=2).max() <= 1) == keep_colors


@pytest.mark.parametrize("shape", [(54, 66), (80, 60), (600, 900)])
def test_a_style_has_as_many_pixels_as_the_stage_and_is_not_distorted(little, compared, shape):
    stylize(CONTENT, stripes(0, *shape), **TWO)
    for stage, (height, width) in zip(compared, ((48, 72), (64, 96))):
        found = stage[1].shape
        assert found[0] * found[1] == pytest.approx(height * width, rel=0.02)
        assert found[0] / found[1] == pytest.approx(shape[0] / shape[1], rel=0.02)


def test_no_side_of_a_style_is_below_the_smallest_usable_size(little, compared):
    """Of as many pixels as the stage it would have 29x120."""
    stylize(CONTENT, stripes(0, 48, 200), **ONE)
    assert compared[0][1].shape == (LEAST_SIDE, 200, 3)


def test_keep_colors_gives_the_style_the_contents_brightness(little):
    """So a style that is the same but darker and flatter makes the same picture, but for its rounding."""
    flat = (STYLE * 0.5 + 20).round().astype(np.uint8)
    kept = [stylize(CONTENT, style, **ONE, keep_colors=True).picture for style in (STYLE, flat)]
    free = [stylize(CONTENT, style, **ONE).picture for style in (STYLE, flat)]
    assert difference(*kept) < 0.25 * difference(*free)


# Several styles


def test_the_same_style_twice_is_the_style_once(little):
    once = stylize(CONTENT, STYLE, **TWO)
    twice = stylize(CONTENT, [StylePicture(STYLE, 2.0), StylePicture(STYLE, 2.0)], **TWO)
    assert furthest(once.picture, twice.picture) <= 1
    assert totals(twice.history) == pytest.approx(totals(once.history), rel=1e-4)


@pytest.mark.parametrize("styles", [STYLE, StylePicture(STYLE), [StylePicture(STYLE, 3)], (StylePicture(STYLE),)])
def test_one_style_may_be_given_in_several_ways(little, styles):
    assert_same(stylize(CONTENT, styles, **ONE), stylize(CONTENT, [StylePicture(STYLE, 1.0)], **ONE))


def test_weights_are_shares(little):
    first, second = STYLE, stripes(1)
    small, large = (
        stylize(CONTENT, [StylePicture(first, weight), StylePicture(second, 3 * weight)], **TWO) for weight in (1, 2)
    )
    assert_same(small, large)


def test_the_heavier_style_has_more_of_the_picture(little):
    settings, other = {**ONE, "steps": 6}, stripes(1)
    alone = [stylize(CONTENT, style, **settings).picture for style in (STYLE, other)]
    away = []
    for share in (0.9, 0.5, 0.1):
        styles = [StylePicture(STYLE, share), StylePicture(other, 1 - share)]
        mixed = stylize(CONTENT, styles, **settings).picture
        away.append([difference(mixed, picture) for picture in alone])
    from_first, from_second = zip(*away)
    assert from_first[0] < from_first[1] < from_first[2]
    assert from_second[0] > from_second[1] > from_second[2]


# Masks


def halves(height=48, width=72):
    """A mask that is white on the left."""
    mask = np.zeros((height, width), np.uint8)
    mask[:, : width // 2] = 255
    return mask


@pytest.mark.parametrize("size", [(48, 72), (12, 18), (200, 300)])
def test_a_style_acts_where_its_mask_is_white(little, size):
    settings, wanted = {**ONE, "steps": 6}, resize(CONTENT, (48, 72))
    free = np.abs(stylize(CONTENT, STYLE, **settings).picture.astype(float) - wanted)
    bound = np.abs(stylize(CONTENT, [StylePicture(STYLE, 1, halves(*size))], **settings).picture.astype(float) - wanted)
    left, right = (slice(None), slice(32)), (slice(None), slice(40, None))
    assert bound[left].mean() > 3 * bound[right].mean()
    assert bound[right].mean() < 0.5 * free[right].mean()
    assert bound[left].mean() > 0.5 * free[left].mean()


def test_two_styles_with_masks_share_the_picture(little):
    blue = stripes(1, colours=[(20, 20, 250), (0, 0, 90)])
    styles = [StylePicture(RED, 1, halves()), StylePicture(blue, 1, 255 - halves())]
    picture = stylize(CONTENT, styles, **{**TWO, "steps": 6}, style_weight=500).picture.astype(float)
    changed = (picture - resize(CONTENT, (64, 96))).reshape(64, 2, 48, 3).mean((0, 2))  # (half, channel)
    assert changed[0, 0] - changed[0, 2] > 10 + changed[1, 0] - changed[1, 2]  # redder on the left


def test_a_white_mask_is_no_mask(little):
    white = stylize(CONTENT, [StylePicture(STYLE, 1, np.full((5, 5), 255, np.uint8))], **TWO)
    assert furthest(white.picture, stylize(CONTENT, STYLE, **TWO).picture) <= 1


def test_a_mask_is_a_share_of_what_counts_not_a_size(little):
    """Twice as dark everywhere counts the same: what is measured is divided by the mask's sum of squares."""
    grey = stylize(CONTENT, [StylePicture(STYLE, 1, np.full((5, 5), 120, np.uint8))], **ONE)
    assert furthest(grey.picture, stylize(CONTENT, STYLE, **ONE).picture) <= 1


# Steps, history, settings


@pytest.mark.parametrize(
    ("steps", "taken"),
    [([2, 1], [2, 1]), ((1, 3), [1, 3]), (2, [2, 2]), ([2], [2, 2]), (np.int64(1), [1, 1])],
)
@BOTH
def test_each_stage_has_its_steps(little, optimizer, steps, taken):
    result = stylize(CONTENT, STYLE, **{**TWO, "steps": steps}, optimizer=optimizer)
    stages = [(entry["stage"], entry["step"]) for entry in result.history]
    assert stages == [(number, step) for number, count in enumerate(taken, 1) for step in range(1, count + 1)]
    assert result.settings["steps"] == taken


class Enough(Exception):
    pass


def told(*args, after, **settings):
    """Return the lines that are told before anything is computed."""
    lines = []

    def tell(line):
        lines.append(line)
        if len(lines) == after:
            raise Enough

    with pytest.raises(Enough):
        stylize(*args, **settings, tell=tell)
    return lines


@BOTH
def test_without_steps_the_optimizer_has_its_own(little, optimizer):
    first, later = transfer.STEPS[optimizer]
    stages = [(72, 72), (80, 96), (96, 96)]
    lines = told(CONTENT, STYLE, stages=stages, optimizer=optimizer, device="cpu", after=4)
    assert lines[0].startswith("features: random filters, seed 0; no download")
    sizes = ["72x48", "80x53", "96x64"]
    assert [line.split(", about ")[0] for line in lines[1:]] == [
        f"stage {i}: {size}, {count} steps" for i, (size, count) in enumerate(zip(sizes, (first, later, later)), 1)
    ]


def test_the_default_stages_are_those_of_the_notes(little):
    lines = told(CONTENT, STYLE, device="cpu", after=3, seed=5)
    assert "seed 5" in lines[0]
    assert lines[1].startswith("stage 1: 300x200, ")
    assert lines[2].startswith("stage 2: 1200x800, ")


@BOTH
def test_history_has_an_entry_a_step(little, optimizer):
    history = stylize(CONTENT, STYLE, **TWO, optimizer=optimizer).history
    assert len(history) == 5
    for entry in history:
        assert list(entry) == ["stage", "step", "content", "style", "tv", "seconds"]
        assert all(isinstance(value, (int, float)) for value in entry.values())
        assert entry["style"] > 0
        assert entry["tv"] > 0
    seconds = [entry["seconds"] for entry in history]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0


def test_settings_are_the_arguments_that_change_the_numbers(little):
    parameters = inspect.signature(stylize).parameters
    result = stylize(CONTENT, STYLE, **TWO)
    left = {name: parameters[name].default for name in transfer.RECIPE}
    last = {name: result.history[-1][name] for name in ("content", "style", "tv")}
    assert result.settings == {
        **left,
        "stages": [[72, 48], [96, 64]],
        "steps": [3, 2],
        **{"content_weight": 1.0, "style_weight": 50.0, "tv_weight": 0.05},
        "finished": True,
        "losses": last,
    }
    others = {"content", "styles", "out", "device", "preview_every", "gif", "resume", "progress", "tell"}
    assert set(transfer.RECIPE) | others == set(parameters)


def test_settings_given_as_numpys_numbers_are_plain_ones_and_can_be_written(little, tmp_path):
    numbers = {"seed": np.int64(2), "style_weight": np.float32(2), "steps": np.int32(1), "preview_every": np.int8(1)}
    stages = [[np.int64(72), np.int64(48)]]
    result = stylize(CONTENT, STYLE, tmp_path / "a.png", stages=stages, device="cpu", **numbers)
    assert_same(result, stylize(CONTENT, STYLE, stages=[(72, 48)], seed=2, style_weight=2, steps=1, device="cpu"))
    assert pictures.read_settings(tmp_path / "a.png") == json.loads(json.dumps(result.settings)) == result.settings


# No traces of how it was made


def edges_of(picture):
    """Return how much each edge's row or column differs from its neighbour, as a share of the six next such steps."""
    found = []
    for lines in (picture.astype(float), picture.astype(float).transpose(1, 0, 2)):
        steps = np.abs(np.diff(lines, axis=0)).mean((1, 2))
        found += [steps[0] / steps[1:7].mean(), steps[-1] / steps[-7:-1].mean()]
    return found


def test_the_edges_are_like_the_inside(painted):
    """Over seeds 0 to 7 a picture's worst edge had 0.99 to 1.19, on average 1.07; without a fringe 1.24."""
    worst = [max(edges_of(result.picture)) for result in painted]
    assert max(worst) < 1.3
    assert np.mean(worst) < 1.17


def test_there_is_no_checkerboard(painted):
    """The energy at the highest frequency is that of its neighbours: over seeds 0 to 7 it was 0.6 to 1.7 of it."""
    for result in painted:
        grey = result.picture.astype(float).mean(2)
        window = np.outer(np.hanning(64), np.hanning(64))
        energy = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2
        for spectrum in (energy.sum(0), energy.sum(1)):  # over one direction's frequencies; 32 is the highest
            assert spectrum[31:34].mean() < 2.5 * spectrum[26:30].mean()


# VGG


@pytest.fixture(scope="module")
def vgg16(tmp_path_factory):
    """A file of random weights, without those of the dense layers."""
    rng = np.random.default_rng(0)
    arrays = {}
    for entry in entries_of("vgg16"):
        if entry.is_feature:
            scale = np.float32((2 / np.prod(entry.shape[1:])) ** 0.5)
            arrays[entry.name] = rng.standard_normal(entry.shape, dtype=np.float32) * scale
    path = tmp_path_factory.mktemp("weights") / "my vgg.params"
    save_weights(path, arrays)
    return path


def test_a_vggs_weights_are_read_from_a_file(vgg16, tmp_path):
    lines = []
    result = stylize(
        CONTENT, STYLE, tmp_path / "a.png", **{**ONE, "steps": 2}, features=vgg16, optimizer="adam", tell=lines.append
    )
    assert lines[0] == f"features: {vgg16}"
    assert result.picture.shape == (48, 72, 3)
    weights = {name: result.settings[name] for name in ("content_weight", "style_weight", "tv_weight")}
    assert weights == {"content_weight": 1.0, "style_weight": 1000.0, "tv_weight": 10.0}  # the book's
    assert result.settings["features"] == str(vgg16)
    total = totals(result.history)
    assert total[1] < total[0]
    assert pictures.read_settings(tmp_path / "a.png")["features"] == str(vgg16)


def test_a_vggs_weights_are_looked_for_by_name(monkeypatch):
    asked = []

    def load(name):
        asked.append(name)
        raise FileNotFoundError("put them there by hand")

    monkeypatch.setattr("gluonbook.weights.load_weights", load)
    lines = []
    with pytest.raises(FileNotFoundError, match="put them there by hand"):
        stylize(CONTENT, STYLE, **ONE, features="vgg19", tell=lines.append)
    assert (asked, lines) == (["vgg19"], [])


def test_features_that_are_none_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"vgg20 is not there: expected vgg16, vgg19, or a file of weights"):
        stylize(CONTENT, STYLE, **ONE, features="vgg20")


# Stopped and gone on

STEPS = 5  # of TWO
CHECKS = STEPS + 2  # for Ctrl-C: after each step and at the end of each stage


@pytest.fixture
def stop(monkeypatch):
    """Call it with a number: the next transfer is stopped there; later ones run through.

    Either Ctrl-C is found where the transfer looks for it that many times (after each step, at each stage's end), or it
    ends the step of that number, as a second Ctrl-C does.
    """

    def at(check=None, step=None):
        if check is not None:
            _stop_at_check(monkeypatch, check)
        for kind in (LBFGS, Adam) if step is not None else ():
            _stop_in_step(monkeypatch, kind, step)

    return at


def _stop_at_check(monkeypatch, number):
    interruptible = training.interruptible

    class Stopping:
        def __enter__(self):
            self.left = number
            return self

        def __call__(self):
            self.left -= 1
            if not self.left:
                monkeypatch.setattr(training, "interruptible", interruptible)
                raise KeyboardInterrupt

        def __exit__(self, *error):
            pass

    monkeypatch.setattr(training, "interruptible", Stopping)


def _stop_in_step(monkeypatch, kind, number):
    step, calls = kind.step, []

    def stopping(optimiser, evaluate):
        calls.append(1)
        if len(calls) < number:
            return step(optimiser, evaluate)
        monkeypatch.setattr(kind, "step", step)

        def stop(x):
            evaluate(x)
            raise KeyboardInterrupt

        return step(optimiser, stop)

    monkeypatch.setattr(kind, "step", stopping)


def stylize_stopped(stop, out, check=None, step=None, content=CONTENT, styles=STYLE, **settings):
    stop(check, step)
    with pytest.raises(KeyboardInterrupt):
        stylize(content, styles, out, **settings)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "a.png"


@pytest.fixture
def run_folder(tmp_path):
    return tmp_path / "a.run"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Return the result of a transfer that is not stopped, and its folder with the picture and the GIF."""
    made = {}

    def make(settings, styles=STYLE):
        key = repr((settings, styles))
        if key not in made:
            folder = tmp_path_factory.mktemp("whole")
            made[key] = stylize(CONTENT, styles, folder / "a.png", **settings, gif=folder / "a.gif"), folder
        return made[key]

    return make


def assert_goes_on(out, whole, settings, styles=STYLE):
    """Gone on with, a transfer gives the bits of one that was not stopped: the result, the files, and the GIF."""
    gone_on = stylize(CONTENT, styles, out, **settings, gif=out.with_suffix(".gif"), resume=True)
    never_stopped, folder = whole(settings, styles)
    assert_same(gone_on, never_stopped)
    for place in (out.parent, folder):
        assert sorted(path.name for path in place.iterdir()) == ["a.gif", "a.png"]
    for name in ("a.gif", "a.png"):
        assert (out.parent / name).read_bytes() == (folder / name).read_bytes()


@BOTH
@pytest.mark.parametrize("check", range(1, CHECKS + 1))
def test_stopped_after_any_step_a_transfer_goes_on_to_the_same_bits(little, stop, out, whole, optimizer, check):
    settings = {**TWO, "optimizer": optimizer}
    stylize_stopped(stop, out, check, **settings, gif=out.with_suffix(".gif"))
    assert_goes_on(out, whole, settings)


@BOTH
@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_stopped_within_any_step_a_transfer_goes_on_to_the_same_bits(little, stop, out, whole, optimizer, step):
    settings = {**TWO, "optimizer": optimizer}
    stylize_stopped(stop, out, step=step, **settings, gif=out.with_suffix(".gif"))
    assert_goes_on(out, whole, settings)


def test_a_transfer_may_be_stopped_again_and_again(little, stop, out, whole):
    settings, gif = {**TWO, "steps": 4, "preview_every": 2}, {"gif": out.with_suffix(".gif")}
    stylize_stopped(stop, out, 1, **settings, **gif)
    for check in (1, 2, 1, 3):
        stylize_stopped(stop, out, check, **settings, **gif, resume=True)
    assert_goes_on(out, whole, settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"keep_colors": True},
        {"stretch": True, "seed": 3},
        {"content_weight": 2, "style_weight": 3, "tv_weight": 0},
        {"style_weight": 0, "tv_weight": 0},
        {"style_weight": 0, "tv_weight": 0, "content_weight": 0},
    ],
)
@pytest.mark.parametrize("check", [1, 4])
def test_settings_of_all_kinds_are_gone_on_with(little, stop, out, settings, check):
    """Where L-BFGS is at a minimum it makes no step: then the checks are at the ends of the stages alone."""
    settings = {**TWO, **settings}
    check = 1 if settings.get("style_weight") == 0 else check
    stylize_stopped(stop, out, check, **settings)
    assert_same(stylize(CONTENT, STYLE, out, **settings, resume=True), stylize(CONTENT, STYLE, **settings))


def test_several_styles_with_masks_are_gone_on_with(little, stop, out, whole):
    styles = [StylePicture(STYLE, 1, halves()), StylePicture(RED, 2.5)]
    stylize_stopped(stop, out, 4, styles=styles, **TWO, gif=out.with_suffix(".gif"))
    assert_goes_on(out, whole, TWO, styles)


def test_random_features_are_gone_on_with(stop, out):
    settings = {**TWO, "steps": [2, 1]}
    stylize_stopped(stop, out, 1, **settings)
    assert_same(stylize(CONTENT, STYLE, out, **settings, resume=True), stylize(CONTENT, STYLE, **settings))


@BOTH
def test_ctrl_c_writes_the_picture_as_it_is_and_a_checkpoint(little, stop, out, run_folder, optimizer):
    settings = {**TWO, "optimizer": optimizer, "preview_every": 0}
    stylize_stopped(stop, out, 2, **settings)
    so_far = stylize(CONTENT, STYLE, **{**settings, "stages": TWO["stages"][:1], "steps": 2})
    np.testing.assert_array_equal(read_picture(out), so_far.picture)
    assert pictures.read_settings(out) == {**{name: so_far.settings[name] for name in transfer.RECIPE}, **{
        "finished": False, "stages": [[72, 48], [96, 64]], "steps": [3, 2],
    }}  # fmt: skip
    assert sorted(path.name for path in run_folder.iterdir()) == ["checkpoint-00002.params", "checkpoint.json"]
    _, info = training.load_checkpoint(run_folder)
    assert (info["stage"], without_seconds(info["history"])) == (0, without_seconds(so_far.history))


def test_ctrl_c_in_a_later_stage_writes_a_picture_of_that_stage(little, stop, out, run_folder):
    stylize_stopped(stop, out, 5, **TWO)
    assert read_picture(out).shape == (64, 96, 3)
    assert training.load_checkpoint(run_folder)[1]["stage"] == 1


def test_ctrl_c_waits_for_the_end_of_a_step(little, monkeypatch, out, run_folder):
    calls, evaluate = [], transfer.evaluate

    def pressing(objective, x):
        calls.append(1)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return evaluate(objective, x)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(transfer, "evaluate", pressing)
    try:
        with pytest.raises(KeyboardInterrupt):
            stylize(CONTENT, STYLE, out, **TWO, optimizer="adam")
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(calls) == 3
    assert len(training.load_checkpoint(run_folder)[1]["history"]) == 3


def test_without_a_file_ctrl_c_writes_nothing(little, stop, isolated):
    stylize_stopped(stop, None, 1, **TWO)
    assert list((isolated / "work" / "here").iterdir()) == []


def test_seconds_go_on_where_they_were(little, stop, out, run_folder):
    stylize_stopped(stop, out, 2, **TWO)
    path = run_folder / "checkpoint.json"
    info = json.loads(path.read_text(encoding="utf-8"))
    info["history"][-1]["seconds"] = 1000.0
    path.write_text(json.dumps(info), encoding="utf-8")
    history = stylize(CONTENT, STYLE, out, **TWO, resume=True).history
    assert history[1]["seconds"] == 1000
    assert all(1000 < entry["seconds"] < 1900 for entry in history[2:])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stages": [(72, 48), (90, 60)]}, r"stages was \[\[72, 48\], \[96, 64\]\], now \[\[72, 48\], \[90, 60\]\]"),
        ({"steps": [3, 4]}, r"steps was \[3, 2\], now \[3, 4\]"),
        ({"seed": 7}, "seed was 0, now 7"),
        ({"optimizer": "adam"}, "optimizer was 'lbfgs', now 'adam'"),
        ({"content_weight": 3.0}, "content_weight was 1.0, now 3.0"),
        ({"style_weight": 3.0}, "style_weight was 50.0, now 3.0"),
        ({"tv_weight": 3.0}, "tv_weight was 0.05, now 3.0"),
        ({"keep_colors": True}, "keep_colors was False, now True"),
        ({"stretch": True}, "stretch was False, now True"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused_by_name(little, stop, out, change, message):
    stylize_stopped(stop, out, 1, **TWO)
    before = out.read_bytes()
    with pytest.raises(ValueError, match=f"a.run was made with other settings: {message}$"):
        stylize(CONTENT, STYLE, out, **{**TWO, **change}, resume=True)
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "styles"),
    [
        (scene(1), STYLE),
        (CONTENT[:, ::-1].copy(), STYLE),
        (CONTENT, stripes(1)),
        (CONTENT, [StylePicture(STYLE, 2.0)]),
        (CONTENT, [StylePicture(STYLE, 1.0, halves())]),
        (CONTENT, [StylePicture(STYLE), StylePicture(STYLE)]),
    ],
)
def test_a_checkpoint_of_other_pictures_is_refused(little, stop, out, content, styles):
    stylize_stopped(stop, out, 1, **TWO)
    with pytest.raises(ValueError, match=r"the content or style is not the one that the checkpoint in .*a.run was"):
        stylize(content, styles, out, **TWO, resume=True)


def test_starting_anew_where_a_stopped_transfer_lies_is_refused(little, stop, out, run_folder):
    stylize_stopped(stop, out, 1, **TWO)
    before = out.read_bytes()
    with pytest.raises(
        ValueError, match=r"a.run holds a transfer that was stopped: go on with resume=True \(--resume\)"
    ):
        stylize(CONTENT, STYLE, out, **ONE)
    assert out.read_bytes() == before
    assert (run_folder / "checkpoint.json").exists()


def test_nothing_to_go_on_with_is_told(little, out):
    stylize(CONTENT, STYLE, out, **ONE)
    with pytest.raises(FileNotFoundError, match=r"a.run is not there: no stopped transfer to resume for .*a.png"):
        stylize(CONTENT, STYLE, out, **ONE, resume=True)


def test_a_broken_checkpoint_is_refused(little, stop, out, run_folder):
    stylize_stopped(stop, out, 1, **TWO)
    params = run_folder / "checkpoint-00001.params"
    params.write_bytes(params.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"checkpoint-00001.params is not a readable .params file"):
        stylize(CONTENT, STYLE, out, **TWO, resume=True)


# Errors


def small(height, width):
    return np.zeros((height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("content", "styles", "message"),
    [
        (None, STYLE, r"content must be a picture, \(H, W, 3\) uint8, got NoneType"),
        ("a.png", STYLE, r"content must be a picture, \(H, W, 3\) uint8, got str"),
        (CONTENT.astype(np.float32), STYLE, r"content must be a picture, .* got float32 \(60, 90, 3\)"),
        (CONTENT[..., 0], STYLE, r"content must be a picture, .* got uint8 \(60, 90\)"),
        (CONTENT[None], STYLE, r"content must be a picture, .* got uint8 \(1, 60, 90, 3\)"),
        (np.zeros((60, 90, 4), np.uint8), STYLE, r"content must be a picture, .* got uint8 \(60, 90, 4\)"),
        (CONTENT, STYLE[..., :1], r"styles\[0\] must be a picture, .* got uint8 \(54, 66, 1\)"),
        (CONTENT, [StylePicture(STYLE), StylePicture("b")], r"styles\[1\] must be a picture, .* got str"),
        (CONTENT, None, r"styles must be a picture, .*, or a list of StylePicture, got NoneType"),
        (CONTENT, [], "styles must be at least one picture, got none"),
        (CONTENT, [STYLE], r"styles\[0\] must be a StylePicture, got uint8 \(54, 66, 3\)"),
        (CONTENT, [StylePicture(STYLE, 0)], r"styles\[0\].weight must be above 0, got 0"),
        (CONTENT, [StylePicture(STYLE), StylePicture(STYLE, -1.0)], r"styles\[1\].weight must be above 0, got -1"),
        (CONTENT, [StylePicture(STYLE, np.nan)], r"styles\[0\].weight must be above 0, got nan"),
        (CONTENT, [StylePicture(STYLE, 1, STYLE)], r"styles\[0\].mask must be \(h, w\) uint8, got uint8 \(54, 66, 3\)"),
        (CONTENT, [StylePicture(STYLE, 1, halves() > 0)], r"mask must be \(h, w\) uint8, got bool \(48, 72\)"),
        (CONTENT, [StylePicture(STYLE, 1, [[1]])], r"mask must be \(h, w\) uint8, got list"),
        (CONTENT, [StylePicture(STYLE, 1, 0 * halves())], r"styles\[0\].mask must be above 0 somewhere"),
        (small(1, 1), STYLE, "content of 1x1 pixels: the smallest usable size is 48 pixels a side"),
        (small(47, 200), STYLE, "content of 200x47 pixels: the smallest usable size is 48 pixels a side"),
        (small(0, 0), STYLE, "content of 0x0 pixels: the smallest usable size is 48 pixels a side"),
        (CONTENT, small(100, 47), r"styles\[0\] of 47x100 pixels: the smallest usable size is 48 pixels a side"),
    ],
)
def test_wrong_pictures_are_refused(little, content, styles, message):
    with pytest.raises(ValueError, match=message):
        stylize(content, styles, **ONE)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"stages": []}, ValueError, r"stages must be at least one \(width, height\), got none"),
        ({"stages": None}, ValueError, r"stages must be a list of \(width, height\), got None"),
        ({"stages": (72, 48)}, ValueError, r"stages\[0\] must be \(width, height\), got 72"),
        ({"stages": [(72, 48), (96,)]}, ValueError, r"stages\[1\] must be \(width, height\), got \(96,\)"),
        ({"stages": [(72, 48.5)]}, TypeError, r"stages\[0\] must be a whole number, got 48.5"),
        ({"stages": [(0, 48)]}, ValueError, r"stages\[0\] must be at least 1, got 0"),
        ({"stages": [(96, 64), (72, 64)]}, ValueError, r"coarse to fine, got \[96, 64\] before \[72, 64\]"),
        ({"stages": [(96, 64), (96, 63)]}, ValueError, r"coarse to fine, got \[96, 64\] before \[96, 63\]"),
        ({"stages": [(71, 60)]}, ValueError, r"stage 71x60 gives a picture of 71x47 pixels: the smallest usable size"),
        ({"stages": [(72, 60), (72, 60)], "steps": [1, 2, 3]}, ValueError, "one for each of 2 stages, got 3"),
        ({"steps": []}, ValueError, "steps must be one number, or one for each of 1 stages, got 0"),
        ({"steps": 0}, ValueError, "steps must be at least 1, got 0"),
        ({"steps": 2.0}, TypeError, "steps must be a whole number, got 2.0"),
        ({"optimizer": "sgd"}, ValueError, "optimizer must be one of lbfgs, adam; got 'sgd'"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"seed": 0.5}, TypeError, "seed must be a whole number, got 0.5"),
        ({"content_weight": -1}, ValueError, "content_weight must be at least 0, got -1"),
        ({"style_weight": np.nan}, ValueError, "style_weight must be at least 0, got nan"),
        ({"tv_weight": np.inf}, ValueError, "tv_weight must be at least 0, got inf"),
        ({"tv_weight": "much"}, TypeError, "tv_weight must be a number, got 'much'"),
        ({"preview_every": -1}, ValueError, "preview_every must be at least 0, got -1"),
        ({"device": "tpu"}, ValueError, "device must be auto, cpu, gpu or gpu"),
        ({"resume": True}, ValueError, "resume and gif need out"),
        ({"gif": "a.gif"}, ValueError, "resume and gif need out"),
        ({"out": "picture"}, ValueError, "picture must end in one of .png, .jpg, .jpeg, .bmp, .webp, .tif, .tiff"),
        ({"out": "a.gif"}, ValueError, "a.gif must end in one of .png"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_computed(
    little, isolated, monkeypatch, settings, error, message
):
    monkeypatch.setattr(transfer, "evaluate", None)
    with pytest.raises(error, match=message):
        stylize(CONTENT, STYLE, **{**ONE, **settings})
    assert list((isolated / "work" / "here").iterdir()) == []


def test_the_smallest_usable_size_is_usable():
    assert LEAST_SIDE == 48
    result = stylize(small(48, 48) + 9, STYLE[:48, :48], stages=[(48, 48)], steps=1, device="cpu")
    assert result.picture.shape == (48, 48, 3)


@BOTH
@pytest.mark.parametrize("weight", [1e25, 1e39])
def test_a_loss_that_is_not_finite_ends_the_transfer(little, out, optimizer, weight):
    """The smaller weight gives a finite loss whose gradient has no finite square: an optimiser would stay there."""
    settings = {**TWO, "optimizer": optimizer, "style_weight": weight}
    with pytest.raises(
        NonFiniteLoss, match=r"the loss is .* in step 1 of stage 1.*last finite losses: none. Give smaller"
    ):
        stylize(CONTENT, STYLE, out, **settings)
    assert not out.exists()


def test_the_last_finite_losses_are_told(little, monkeypatch):
    evaluate, calls = transfer.evaluate, []

    def failing(objective, x):
        calls.append(1)
        losses, gradient = evaluate(objective, x)
        return (losses if len(calls) < 5 else losses._replace(style=np.nan)), gradient

    monkeypatch.setattr(transfer, "evaluate", failing)
    with pytest.raises(
        NonFiniteLoss, match=r"the loss is nan in step 2 of stage 2.*last finite losses: \{'stage': 2, 's"
    ):
        stylize(CONTENT, STYLE, **TWO, optimizer="adam")


# Memory


def free(monkeypatch, count):
    monkeypatch.setattr(memory, "free_bytes", lambda device: int(count))


def needs(features, height, width, tile=None):
    return memory.estimate(features, height + 2 * FRINGE, width + 2 * FRINGE, tile)


@pytest.mark.parametrize("styles", [STYLE, [StylePicture(STYLE, 1, halves()), StylePicture(RED, 2)]])
def test_what_does_not_fit_is_computed_in_tiles_with_the_same_result(little, monkeypatch, styles):
    lines, tiled = [], []
    whole = stylize(CONTENT, styles, **TWO, tell=lines.append)
    make = transfer.make_objective
    monkeypatch.setattr(transfer, "make_objective", lambda *args: tiled.append(args[4]) or make(*args))
    features = little_features(0, 0, 0, mx.cpu())
    free(monkeypatch, (needs(features, 48, 72) + needs(features, 64, 96)) / 2)  # the first stage fits, the second not
    result = stylize(CONTENT, styles, **TWO, tell=lines.append)
    assert tiled[0] is None
    assert 32 <= tiled[1] < 128
    assert furthest(result.picture, whole.picture) <= 2
    assert difference(result.picture, whole.picture) < 0.01
    assert totals(result.history) == pytest.approx(totals(whole.history), rel=1e-3)
    assert not any("tiles" in line for line in lines[:-1])
    assert lines[-1].startswith("stage 2: 96x64, 2 steps, about 0.0 GiB of memory, in tiles of ")


def test_the_memory_of_a_stage_in_tiles_is_that_of_its_tiles():
    features = little_features(0, 0, 0, mx.cpu())
    whole = needs(features, 64, 96)
    recipe = {"stages": [[96, 64]], "steps": [2], "stretch": False}
    (stage,) = transfer.plan_stages(CONTENT.shape, recipe, lambda height, width: features, whole - 1)
    assert stage.tile is not None
    assert stage.need == needs(features, 64, 96, stage.tile) < whole


def test_random_features_in_tiles_give_the_same_result(monkeypatch):
    settings = {"stages": [(96, 96)], "steps": 2, "device": "cpu"}
    content = scene(0, 96, 96)
    whole = stylize(content, STYLE, **settings)
    features = random_filters.random_features(128, 128, 0, mx.cpu())
    free(monkeypatch, needs(features, 96, 96) - 1)
    lines = []
    result = stylize(content, STYLE, **settings, tell=lines.append)
    assert "in tiles of " in lines[1]
    assert furthest(result.picture, whole.picture) <= 2


@pytest.mark.parametrize("stages", [[(3600, 2400)], [(72, 48), (3600, 2400)]])
def test_too_little_memory_is_told_with_both_numbers_before_anything_is_computed(little, monkeypatch, out, stages):
    free(monkeypatch, GIB)
    monkeypatch.setattr(transfer, "evaluate", None)
    with pytest.raises(
        MemoryError,
        match=r"^stage 3600x2400: 3632x2432 needs about [34]\.\d GiB of memory, and 1\.0 GiB can be taken: cho",
    ):
        stylize(CONTENT, STYLE, out, stages=stages, steps=1, device="cpu")
    assert not out.exists()


# What is written


@pytest.fixture
def written(monkeypatch):
    """What is written as a picture: its place, the picture, its settings."""
    calls, write = [], pictures.write_picture

    def writing(path, picture, settings):
        calls.append((path, picture, settings))
        write(path, picture, settings)

    monkeypatch.setattr(pictures, "write_picture", writing)
    return calls


def test_previews_are_written_every_so_many_steps(little, written, out, run_folder):
    result = stylize(CONTENT, STYLE, out, **{**TWO, "steps": [3, 3]}, preview_every=2)
    assert [path for path, _, _ in written] == [out] * 4
    assert [settings["finished"] for _, _, settings in written] == [False, False, False, True]
    shapes = [picture.shape for _, picture, _ in written]
    assert shapes == [(48, 72, 3), (64, 96, 3), (64, 96, 3), (64, 96, 3)]  # after steps 2, 4 and 6, and at the end
    np.testing.assert_array_equal(written[0][1], stylize(CONTENT, STYLE, **{**ONE, "steps": 2}).picture)
    np.testing.assert_array_equal(written[2][1], result.picture)
    np.testing.assert_array_equal(read_picture(out), result.picture)
    assert not run_folder.exists()


def test_a_preview_is_a_checkpoint(little, monkeypatch, out, whole):
    """What ends without a Ctrl-C, as by a failing battery, goes on from there."""
    evaluate, calls = transfer.evaluate, []

    def failing(objective, x):
        calls.append(1)
        if len(calls) == 4:
            raise OSError("no power")
        return evaluate(objective, x)

    settings = {**TWO, "optimizer": "adam", "preview_every": 2}
    with monkeypatch.context() as patched:
        patched.setattr(transfer, "evaluate", failing)
        with pytest.raises(OSError, match="no power"):
            stylize(CONTENT, STYLE, out, **settings, gif=out.with_suffix(".gif"))
    _, info = training.load_checkpoint(transfer.run_folder(out))
    assert len(info["history"]) == 2
    assert_goes_on(out, whole, settings)


def test_without_previews_the_result_is_written_alone(little, written, out, tmp_path):
    result = stylize(CONTENT, STYLE, out, **{**ONE, "steps": 12}, preview_every=0)
    assert [settings["finished"] for _, _, settings in written] == [True]
    np.testing.assert_array_equal(read_picture(out), result.picture)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_without_a_file_nothing_is_written(little, isolated):
    assert isinstance(stylize(CONTENT, STYLE, **ONE, preview_every=1), Stylized)
    assert list((isolated / "work" / "here").iterdir()) == []


def test_a_png_holds_the_settings_that_made_it(little, out):
    result = stylize(CONTENT, STYLE, out, **TWO, seed=4)
    assert pictures.read_settings(out) == result.settings
    with Image.open(out) as image:
        assert image.info["Software"].startswith("gluonbook ")
        assert json.loads(image.info["gluonbook"])["seed"] == 4


@pytest.mark.parametrize(
    ("name", "format"), [("a.JPG", "JPEG"), ("a.bmp", "BMP"), ("a.webp", "WEBP"), ("a.tif", "TIFF")]
)
def test_a_result_has_the_format_of_its_name(little, tmp_path, name, format):
    result = stylize(CONTENT, STYLE, tmp_path / "new" / "folders" / name, **ONE)
    path = tmp_path / "new" / "folders" / name
    with Image.open(path) as image:
        assert image.format == format
    assert difference(read_picture(path), result.picture) < 6
    assert pictures.read_settings(path) == {}


def frames_of(path):
    """Return a GIF's frames and their milliseconds."""
    with Image.open(path) as image:
        assert image.format == "GIF"
        frames, times = [], []
        for number in range(image.n_frames):
            image.seek(number)
            frames.append(np.asarray(image.convert("RGB")))
            times.append(image.info["duration"])
        assert image.info["loop"] == 0
    return frames, times


def test_the_gif_goes_from_the_content_to_the_result(little, monkeypatch, out):
    monkeypatch.setattr(transfer, "FRAME_SIDE", FRAME_SIDE)
    gif = out.with_name("the way.gif")
    result = stylize(CONTENT, STYLE, out, **TWO, gif=gif)
    frames, times = frames_of(gif)
    assert len(frames) == 1 + STEPS
    assert {frame.shape for frame in frames} == {(320, 480, 3)}
    assert times == [80] * STEPS + [2500]
    content = resize(resize(CONTENT, (48, 72)), (320, 480))
    last = resize(result.picture, (320, 480))
    away = [difference(frame, content) for frame in frames]
    assert away[0] < 4  # 256 colours
    assert difference(frames[-1], last) < 4
    assert away[0] < away[1] < away[2] < away[3]
    assert away[-1] > away[0] + 2


def test_a_gif_is_as_large_as_its_last_frame(little, out):
    stages = {**TWO, "stages": [(50, 60), (50, 96)], "stretch": True}
    stylize(CONTENT, STYLE, out, **stages, gif=out.with_suffix(".gif"))
    assert {frame.shape for frame in frames_of(out.with_suffix(".gif"))[0]} == {(60, 31, 3)}


@pytest.mark.parametrize(("steps", "numbers"), [(7, [0, 1, 2, 3, 4, 5, 6, 7]), (13, [0, 1, 2, 3, 4, 5, 6, 12, 13])])
def test_of_many_steps_the_gif_takes_some_and_always_the_last(little, monkeypatch, out, steps, numbers):
    monkeypatch.setattr(transfer, "FRAMES", 2)
    monkeypatch.setattr(transfer, "_write_gif", lambda folder, path: names.extend(sorted(folder.iterdir())))
    names = []
    stylize(CONTENT, STYLE, out, **{**ONE, "steps": steps}, gif=out.with_suffix(".gif"))
    assert [path.name for path in names] == [f"{number:05d}.png" for number in numbers]


def test_a_gif_asked_for_later_shows_the_rest_of_the_way(little, stop, out):
    gif = out.with_suffix(".gif")
    stylize_stopped(stop, out, CHECKS, **TWO)
    result = stylize(CONTENT, STYLE, out, **TWO, gif=gif, resume=True)
    frames, _ = frames_of(gif)
    assert len(frames) == 1
    assert difference(frames[0], resize(result.picture, (40, 60))) < 4


def test_a_gif_holds_no_frames_of_an_older_transfer(little, out, run_folder):
    """One that ended without a checkpoint, say for want of memory, leaves its frames."""
    (run_folder / "frames").mkdir(parents=True)
    for number in (1, 77):
        Image.fromarray(STYLE).save(run_folder / "frames" / f"{number:05d}.png")
    stylize(CONTENT, STYLE, out, **ONE, gif=out.with_suffix(".gif"))
    assert len(frames_of(out.with_suffix(".gif"))[0]) == 4


def test_a_progress_bar_shows_stage_and_losses(little, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    stylize(CONTENT, STYLE, **TWO, progress=True)
    shown = capsys.readouterr().err
    assert "96x64: 100%" in shown
    assert "5/5" in shown
    assert "content=" in shown or "content " in shown
    stylize(CONTENT, STYLE, **TWO)
    assert capsys.readouterr() == ("", "")


def test_in_another_thread_it_works_too(little):
    import threading

    made = []
    thread = threading.Thread(target=lambda: made.append(stylize(CONTENT, STYLE, **ONE)))
    thread.start()
    thread.join()
    assert_same(made[0], stylize(CONTENT, STYLE, **ONE))
