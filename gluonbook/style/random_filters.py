"""Features that need no training: random filters at several scales, and random sums of what they find.

A pyramid (Burt & Adelson 1983) halves the picture until about 25 rows are left. At each of its levels the same two
layers look at it: 7×7 filters drawn from a seed, then 3×3 sums of their outputs, drawn too, both with random biases and
followed by ReLU. The Gram matrices of such features carry texture and colour (Ustyuzhaninov et al. 2016; He, Wang &
Hopcroft 2016).

Most filters are whitened: what is drawn is multiplied by the inverse root of the covariance of patches whose spectrum
is that of photographs, 1/f. Without that nearly all filters look at coarse differences, and fine noise goes unseen.
"""

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from gluonbook import _check
from gluonbook._mxnet import gluon, nd
from gluonbook.style.features import LEAST_SIDE, Features, Weights

SIZE = 7  # pixels of a filter's side
NUM_FILTERS, NUM_SUMS, NUM_CONTENT = 48, 64, 32
NUM_COLOURS = 8  # filters that see a colour; the others see differences only
CHROMATIC = 2  # one filter in so many is blind to grey: in the others a wrong hue is a small part
UNWHITENED = 0.25  # share of the filters
WINDOW = 2.5  # a filter's side over the deviation of the bell that it fades out by
FLATTEST = 1e-3  # variance of a patch's direction, as a share of the largest, that counts as none
COARSEST_ROWS = 24
BINOMIAL = np.array([1, 4, 6, 4, 1], np.float32) / 16
CHROMA = 0.35  # of photographs: deviation of a channel from grey, as a share of grey's
NUM_PATCHES = 20_000


def random_features(height: int, width: int, seed: int, device: Any) -> Features:
    """Return features of random filters for pictures of one size.

    Args:
        height, width: of the picture, in pixels, at least 48 each.
        seed: of the filters, at least 0.
        device: mx.Context.

    Returns:
        Features: for level l, ``"filters{l}"`` and ``"sums{l}"`` for the style; for the content, the grey filters
        ``"grey{l}"`` of the level next to the coarsest but one.

    Raises:
        ValueError: the seed is below 0, or the picture is too small.
    """
    _check.integer("height", height, at_least=LEAST_SIDE)
    _check.integer("width", width, at_least=LEAST_SIDE)
    num_levels = num_levels_of(height, width)
    net = _pyramid(num_levels, _draw(_check.integer("seed", seed, at_least=0)))
    net.collect_params().reset_ctx(device)
    net.hybridize(static_alloc=True)
    levels = [2**level for level in range(num_levels)]
    grey = f"grey{content_level(num_levels)}"
    style = [f"{kind}{level}" for level in range(num_levels) for kind in ("filters", "sums")]
    reach = 2 * (levels[-1] - 1) + levels[-1] * (SIZE // 2 + 1)  # halvings, then the two layers
    return Features(
        net,
        (*style, grey),
        (*(stride for stride in levels for _ in range(2)), 2 ** content_level(num_levels)),
        -(-reach // levels[-1]) * levels[-1],
        {grey: 1.0},
        dict.fromkeys(style, 1.0 / len(style)),
        relative=True,
        weights=Weights(1.0, 300.0, 0.1),
    )


def num_levels_of(height: int, width: int) -> int:
    """Count the levels of a pyramid whose coarsest has about 25 to 50 rows or columns.

    >>> num_levels_of(200, 300), num_levels_of(800, 1200)
    (4, 6)
    """
    return int(math.log2(min(height, width) / COARSEST_ROWS)) + 1


def content_level(num_levels: int) -> int:
    """Return the level whose grey differences are the content: strokes finer than it are the style's."""
    return max(num_levels - 2, 0)


class _Drawn:
    """The random arrays, each scaled so that its outputs have deviation 1 on noise with the spectrum of photographs."""

    filters: np.ndarray  # (NUM_FILTERS, 3, SIZE, SIZE)
    filter_biases: np.ndarray
    sums: np.ndarray  # (NUM_SUMS, NUM_FILTERS, 3, 3)
    sum_biases: np.ndarray
    grey: np.ndarray  # (NUM_CONTENT, 3, SIZE, SIZE)


def _draw(seed: int) -> _Drawn:
    rng, drawn = np.random.default_rng(seed), _Drawn()
    noise = _photograph_like(rng)
    bell = np.exp(-(((np.arange(SIZE) - SIZE // 2) * WINDOW / SIZE) ** 2) / 2)
    window = np.outer(bell, bell)
    filters = rng.standard_normal((NUM_FILTERS, 3 * SIZE * SIZE))
    whitened = int(NUM_FILTERS * UNWHITENED)
    filters[whitened:] = filters[whitened:] @ _whitening(noise, rng)
    filters = filters.reshape(NUM_FILTERS, 3, SIZE, SIZE) * window
    filters[:NUM_COLOURS] = rng.standard_normal((NUM_COLOURS, 3, 1, 1)) * window
    filters[NUM_COLOURS:] -= filters[NUM_COLOURS:].mean((2, 3), keepdims=True)
    filters[::CHROMATIC] -= filters[::CHROMATIC].mean(1, keepdims=True)
    drawn.filters, _ = _unit(filters, noise)
    drawn.filter_biases = rng.standard_normal(NUM_FILTERS)
    found = nd.relu(_convolve(noise, drawn.filters, drawn.filter_biases)).asnumpy()
    sums = rng.standard_normal((NUM_SUMS, NUM_FILTERS, 3, 3))
    drawn.sums, means = _unit(sums - sums.mean((1, 2, 3), keepdims=True), found)
    drawn.sum_biases = rng.standard_normal(NUM_SUMS) - means
    grey = rng.standard_normal((NUM_CONTENT, 1, SIZE, SIZE)) * window
    grey -= grey.mean((2, 3), keepdims=True)
    drawn.grey, _ = _unit(np.repeat(grey, 3, 1), noise)
    return drawn


def _photograph_like(rng: np.random.Generator, height: int = 256, width: int = 384) -> np.ndarray:
    """Return (1, 3, height, width) noise with a 1/f spectrum, mostly grey, of deviation 1."""
    frequency: np.ndarray = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))  # type: ignore[call-overload]
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(rng.standard_normal((3, height, width))) / frequency
    spectrum[:, 0, 0] = 0
    noise = np.fft.irfft2(spectrum, (height, width))
    grey = noise.mean(0)
    noise = grey + CHROMA * (noise - grey)
    return (noise / noise.std())[None].astype(np.float32)


def _whitening(noise: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the inverse root of the covariance of the noise's patches, (3·SIZE², 3·SIZE²)."""
    windows = sliding_window_view(noise[0], (3, SIZE, SIZE))[0]  # (H', W', 3, SIZE, SIZE)
    rows, columns = (rng.integers(0, length, NUM_PATCHES) for length in windows.shape[:2])
    patches = windows[rows, columns].reshape(NUM_PATCHES, -1)  # (NUM_PATCHES, 3·SIZE²)
    variances, directions = np.linalg.eigh(np.cov(patches.T.astype(np.float64)))
    return directions * (variances + FLATTEST * variances.max()) ** -0.5 @ directions.T


def _unit(kernels: np.ndarray, on: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scale kernels so that each one's output has deviation 1; return them, and the outputs' means then."""
    outputs = _convolve(on, kernels).asnumpy()
    deviations = outputs.std((0, 2, 3))
    return kernels / deviations.reshape(-1, 1, 1, 1), outputs.mean((0, 2, 3)) / deviations


def _convolve(X: np.ndarray, kernels: np.ndarray, biases: Any = None) -> Any:
    arrays = [nd.array(part) for part in (X, kernels, np.zeros(len(kernels)) if biases is None else biases)]
    return nd.Convolution(*arrays, kernel=kernels.shape[2:], num_filter=len(kernels))


def _pyramid(num_levels: int, drawn: _Drawn) -> Any:
    nn = gluon.nn

    def conv(kernels: np.ndarray, biases: Any = None, **how: Any) -> Any:
        how.update(in_channels=how.get("groups", 1) * kernels.shape[1], use_bias=biases is not None)
        layer = nn.Conv2D(len(kernels), kernels.shape[2:], **how)
        layer.initialize()
        layer.weight.set_data(nd.array(kernels))
        if biases is not None:
            layer.bias.set_data(nd.array(biases))
        layer.collect_params().setattr("grad_req", "null")
        return layer

    class Pyramid(gluon.HybridBlock):
        def __init__(self) -> None:
            super().__init__()
            self.wide, self.narrow, self.by_two = (nn.ReflectionPad2D(reach) for reach in (SIZE // 2, 1, 2))
            self.filters = conv(drawn.filters, drawn.filter_biases)
            self.sums = conv(drawn.sums, drawn.sum_biases)
            self.grey = conv(drawn.grey)
            binomial = np.broadcast_to(np.outer(BINOMIAL, BINOMIAL), (3, 1, 5, 5))
            self.halve = conv(binomial, strides=2, groups=3)

        def hybrid_forward(self, F: Any, X: Any) -> Any:
            outputs = []
            for level in range(num_levels):
                if level:
                    X = self.halve(self.by_two(X))
                padded = self.wide(X)
                found = F.relu(self.filters(padded))
                outputs += [found, F.relu(self.sums(self.narrow(found)))]
                if level == content_level(num_levels):
                    content = self.grey(padded)
            return [*outputs, content]

    return Pyramid()
