"""The memory that is estimated is what outputs take by hand; tiles make a stage fit; a container's limit counts."""

import functools
import re
import subprocess
import sys
import types

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from style_helpers import CHANNELS, pyramid, thin_vgg, vgg_arrays

from gluonbook import _memory
from gluonbook._mxnet import mx
from gluonbook.style import memory
from gluonbook.style.features import layer_names, vgg_features
from gluonbook.style.memory import activation_bytes, choose_tile, estimate, free_bytes, gibibytes
from gluonbook.style.random_filters import random_features

GIB = 2**30


@functools.cache
def shallow():
    """conv1_1 to conv2_1: 4, 4 and 8 channels, which look 4 pixels far."""
    return thin_vgg(content=["conv1_2"], style=["conv2_1"])[0]


@functools.cache
def vgg19():
    return vgg_features("vgg19", vgg_arrays("vgg19", share=1), mx.cpu())


# ---- what is needed ----


@pytest.mark.parametrize(("height", "width"), [(20, 30), (21, 33)])
def test_a_vggs_outputs_by_hand(height, width):
    """Two convolutions and their activations of 4 channels, pooling to half the size, and a convolution of 8."""
    small = (height // 2) * (width // 2)
    assert activation_bytes(shallow(), height, width) == 4 * (4 * 4 * height * width + 4 * small + 8 * small)


def test_the_outputs_of_the_books_vgg19_by_hand():
    """Of each layer up to conv5_1, channels times what five halvings leave of 800 by 1200."""
    total = 0
    for name in layer_names("vgg19"):
        block, is_pool = int(name[4]), name.startswith("pool")
        halvings = block if is_pool else block - 1
        total += CHANNELS[block - 1] * (800 >> halvings) * (1200 >> halvings)
        if name == "conv5_1":
            break
    assert activation_bytes(vgg19(), 800, 1200) == 4 * total


def test_the_outputs_of_random_features_by_hand():
    """Each level: the picture, padded, 48 filters with ReLU, padded, 64 sums with ReLU; 32 greys; a padded halving."""
    filters, sums, grey = 48, 64, 32

    def level(height, width):
        padded = 3 * (height + 6) * (width + 6) + filters * (height + 2) * (width + 2)
        return padded + 2 * (filters + sums) * height * width

    halving = 3 * (60 + 4) * (71 + 4) + 3 * 30 * 36
    expected = level(60, 71) + grey * 60 * 71 + halving + level(30, 36)
    assert activation_bytes(pyramid(), 60, 71) == 4 * expected


def test_an_estimate_is_a_multiple_of_the_outputs_and_a_number_of_pictures():
    outputs = activation_bytes(shallow(), 100, 120)
    pictures = memory.PICTURES * 4 * 3 * 100 * 120
    assert estimate(shallow(), 100, 120) == int(memory.WHOLE * outputs + pictures)
    of_tile = activation_bytes(shallow(), 40, 40)
    assert estimate(shallow(), 100, 120, 40) == int(memory.TILED * of_tile + pictures)
    assert memory.PICTURES >= 20 + 2  # L-BFGS's pairs, the picture and its gradient
    assert 2 <= memory.WHOLE <= memory.TILED


def test_a_tile_is_no_larger_than_the_picture():
    narrow = activation_bytes(shallow(), 20, 40)
    assert estimate(shallow(), 20, 120, 40) == int(memory.TILED * narrow + memory.PICTURES * 12 * 20 * 120)


@pytest.mark.parametrize("make", [vgg19, lambda: random_features(800, 1200, 0, mx.cpu())], ids=["VGG-19", "random"])
def test_the_notes_larger_stage_needs_less_than_8_gibibytes_without_tiles(make):
    need = estimate(make(), 800, 1200)
    assert GIB < need < 8 * GIB
    assert choose_tile(make(), 800, 1200, 8 * GIB) is None


# ---- which tiles ----


def test_what_fits_needs_no_tiles_and_one_byte_less_does():
    need = estimate(shallow(), 200, 300)
    assert choose_tile(shallow(), 200, 300, need) is None
    assert choose_tile(shallow(), 200, 300, need + 10**12) is None
    assert choose_tile(shallow(), 200, 300, need - 1) is not None


@settings(deadline=None, max_examples=40)
@given(st.integers(100, 400), st.integers(100, 400), st.floats(0.2, 0.99))
def test_tiles_are_the_largest_that_fit(height, width, share):
    features, stride = shallow(), 2
    free = int(share * estimate(features, height, width))
    least = 4 * features.margin
    if estimate(features, height, width, least) > free:
        with pytest.raises(MemoryError):
            choose_tile(features, height, width, free)
        return
    side = choose_tile(features, height, width, free)
    assert side % stride == 0
    assert least <= side <= max(height, width)
    assert estimate(features, height, width, side) <= free
    if side + stride <= max(height, width):
        assert estimate(features, height, width, side + stride) > free


def test_less_memory_gives_smaller_tiles():
    whole = estimate(pyramid(), 400, 600)
    sides = [choose_tile(pyramid(), 400, 600, int(share * whole)) for share in (0.99, 0.8, 0.6, 0.4)]
    assert sides == sorted(sides, reverse=True)
    assert len(set(sides)) == 4


def test_of_a_strip_tiles_are_longer_than_it_is_high():
    features = pyramid()
    free = estimate(features, 48, 600, 300)
    assert estimate(features, 48, 600) > free
    assert choose_tile(features, 48, 600, free) == 300


def test_the_smallest_tiles_are_half_margin():
    features, least = shallow(), 16
    exactly = estimate(features, 300, 400, least)
    assert choose_tile(features, 300, 400, exactly) == least
    with pytest.raises(MemoryError):
        choose_tile(features, 300, 400, exactly - 1)


def test_where_nothing_fits_both_numbers_are_told_and_what_helps():
    """VGG-19's smallest tiles, 320 pixels wide, need less than the whole."""
    need = gibibytes(estimate(vgg19(), 800, 1200, 320))
    expected = f"1200x800 needs about {need} of memory, and 0.2 GiB can be taken: choose a smaller --size (or --stages)"
    with pytest.raises(MemoryError, match=f"^{re.escape(expected)}$"):
        choose_tile(vgg19(), 800, 1200, int(0.2 * GIB))


def test_a_picture_smaller_than_the_smallest_tile_fits_whole_or_not_at_all():
    """The need that is told is that of the whole, for tiles would need more."""
    need = estimate(vgg19(), 200, 300)
    assert choose_tile(vgg19(), 200, 300, need) is None
    with pytest.raises(MemoryError, match=rf"^300x200 needs about {gibibytes(need)} of memory, and 0\.0 GiB can"):
        choose_tile(vgg19(), 200, 300, 10_000_000)


# ---- what is free ----


def test_on_the_cpu_the_machines_free_memory_counts_and_its_containers_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: types.SimpleNamespace(available=1000))
    monkeypatch.setattr(_memory, "CGROUP", tmp_path)
    assert free_bytes(mx.cpu()) == 900
    (tmp_path / "memory.max").write_text("700\n")
    (tmp_path / "memory.current").write_text("300\n")
    assert free_bytes(mx.cpu()) == 360


def test_on_a_gpu_its_own_free_memory_counts(monkeypatch):
    asked = []

    def gpu_memory_info(number):
        asked.append(number)
        return 500, 800

    monkeypatch.setattr(mx.context, "gpu_memory_info", gpu_memory_info)
    assert free_bytes(mx.gpu(3)) == 450
    assert asked == [3]


@pytest.mark.parametrize(("count", "text"), [(0, "0.0 GiB"), (GIB, "1.0 GiB"), (int(7.96 * GIB), "8.0 GiB")])
def test_bytes_are_told_in_gibibytes(count, text):
    assert gibibytes(count) == text


# ---- measured ----

LARGER_STAGE = """
import resource
import sys

import psutil
from style_helpers import photo, vgg_arrays

from gluonbook._mxnet import mx
from gluonbook.style.features import vgg_features
from gluonbook.style.memory import estimate
from gluonbook.style.objective import Style, evaluate, make_objective
from gluonbook.style.optimisers import LBFGS

features = vgg_features("vgg19", vgg_arrays("vgg19", share=1), mx.cpu())
content, style = photo(800, 1200), photo(800, 1200, 1)
before = psutil.Process().memory_info().rss
task = make_objective(features, content, [Style(style)], features.weights, None, mx.cpu())
optimiser = LBFGS(content)


def value_and_gradient(x):
    losses, gradient = evaluate(task, x)
    return losses.total, gradient


for _ in range(2):
    assert optimiser.step(value_and_gradient)
kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(before, 1024 * kilobytes, estimate(features, 800, 1200))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere getrusage counts in other units")
def test_the_notes_larger_stage_with_vgg19_stays_below_8_gibibytes_and_its_estimate(request):
    """1200x800, without tiles: the process's peak, and what it held before."""
    folder = request.path.parent
    done = subprocess.run([sys.executable, "-c", LARGER_STAGE], cwd=folder, check=True, capture_output=True, text=True)
    before, peak, need = map(int, done.stdout.split())
    assert peak < 8 * GIB
    assert peak <= before + need
    assert peak > before + need / 2  # an estimate of twice the need would refuse what fits
