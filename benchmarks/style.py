"""A step of style transfer beside PyTorch and the book, the seconds to the book's loss, a step with random filters.

    python benchmarks/style.py [--rounds 7]

A step is the losses of a picture, each read back, and their gradient by the picture. The first is on 300×200 with a
VGG-19 of random weights, which takes the time that one with ImageNet's takes; each convolution is scaled so that its
outputs have deviation 10 on the content, about what ImageNet's weights give. ``PyTorch`` does the same work. ``book``
is MXNet as the 2018 book uses it: layers one by one, not hybridized, the gradients by the weights computed too, Gram
matrices by ``nd.dot``, half of the processors, and nothing that gluonbook sets. Then the book's recipe is run once on
150×100: Adam, 0.01, 500 steps, a tenth of it every 200; beside it this package's L-BFGS until it has the loss that the
recipe ends with. The last step is that of the default without a download, random filters.
"""

import tempfile
import time
from pathlib import Path
from typing import Any, Optional

import gluonbook  # noqa: F401  before NumPy: see measuring

import numpy as np  # isort: skip
from measuring import LEAST_ROUNDS, OWN, STEP_TURNS, Figure, Peer, alternate, has_torch, main, timed
from style_peers import BOOK_STEPS, RECIPE, STEP, TAPS

SIZE, SMALL = (200, 300), (100, 150)  # height, width: of a step, of the book's recipe
DEVIATION = 10.0  # of a convolution's outputs
BOTH = 2  # times the forward's products: those backward, by the picture alone, are as many
REACH, RECIPE_REACH = 1.1, 1 / 3  # of PyTorch's step, of the recipe's seconds


def figures(rounds: int = LEAST_ROUNDS) -> list[Figure]:
    """Measure all."""
    from gluonbook import style
    from gluonbook._mxnet import mx, usable_cpus

    content, painted = prepared(SIZE)
    arrays = random_vgg(content)
    x = content + np.random.default_rng(1).standard_normal(content.shape).astype(np.float32)
    small = dict(zip(("small_content", "small_painted"), prepared(SMALL)))
    vgg = style.vgg_features("vgg19", arrays, mx.cpu())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "given.npz"
        np.savez(file, content=content, painted=painted, x=x, **small, **arrays)
        torch = Peer("style_peers.py", "torch", str(file)) if has_torch() else None
        book = Peer("style_peers.py", "book", str(file), threads=max(usable_cpus() // 2, 1))  # MXNet's own number
        found = [step(vgg, x, torch, book, rounds)]
        if torch:
            torch.close()
        found.append(to_the_books_loss(vgg, book, rounds))
        book.close()
    return [*found, random_step(rounds)]


def prepared(size: tuple[int, int]) -> list[np.ndarray]:
    """Return content and style at a size (H, W), standardised."""
    from gluonbook import data, style
    from gluonbook.data.pictures import resize

    return [style.standardise(resize(data.sample_picture(name), size)) for name in ("lake", "impressionist")]


def random_vgg(content: np.ndarray) -> dict[str, np.ndarray]:
    """Return VGG-19's arrays by Gluon's names, random, each convolution's outputs of deviation 10 on the content."""
    from gluonbook._mxnet import nd
    from gluonbook.style import layer_names

    rng, arrays, X = np.random.default_rng(0), {}, nd.array(content)
    channels = [64] * 2 + [128] * 2 + [256] * 4 + [512] * 8
    for i, name in enumerate(layer_names("vgg19")[: max(TAPS) + 1]):
        if name.startswith("conv"):
            W = rng.standard_normal((channels.pop(0), X.shape[1], 3, 3)).astype(np.float32)
            kind = {"kernel": (3, 3), "pad": (1, 1), "num_filter": len(W), "no_bias": True}
            W *= DEVIATION / nd.Convolution(X, nd.array(W), **kind).asnumpy().std()
            arrays[f"features.{i}.weight"], arrays[f"features.{i}.bias"] = W, np.zeros(len(W), np.float32)
            X = nd.Convolution(X, nd.array(W), **kind)
        elif name.startswith("relu"):
            X = nd.relu(X)
        else:
            X = nd.Pooling(X, kernel=(2, 2), stride=(2, 2), pool_type="max")
    return arrays


def objective_at(size: tuple[int, int], features: Any) -> tuple[Any, np.ndarray]:
    """Return what is minimised at a size, and the content there."""
    from gluonbook import style
    from gluonbook._mxnet import mx

    content, painted = prepared(size)
    return style.make_objective(features, content, [style.Style(painted)], features.weights, None, mx.cpu()), content


def step(vgg: Any, x: np.ndarray, torch: Optional[Peer], book: Peer, rounds: int) -> Figure:
    """Measure losses and gradient, and compare them with the peers'."""
    from gluonbook import style

    goal, _ = objective_at(SIZE, vgg)
    peers = {**({"PyTorch": torch} if torch else {}), "book": book}
    ways = {OWN: timed(lambda: style.evaluate(goal, x)), **{name: peer.way(STEP) for name, peer in peers.items()}}
    seconds = alternate(ways, STEP_TURNS * rounds)
    losses, gradient = style.evaluate(goal, x)
    own = {"loss": losses.total, "norm": float(np.linalg.norm(gradient))}
    told = []
    for name, peer in peers.items():
        answer = peer.ask(STEP)
        apart = max(abs(answer[what] / value - 1) for what, value in own.items())
        if not apart < 1e-2:
            raise RuntimeError(f"{name} does other work: {answer} where gluonbook has {own}")
        told.append(f"{apart:.0e} from {name}'s")
    return Figure(
        f"VGG-19, losses and gradient, {SIZE[1]}×{SIZE[0]}",
        seconds,
        flops=2.0 * BOTH * vgg_products(*SIZE),
        reach={"PyTorch": REACH},
        note=f"loss and the gradient's norm are at most {' and '.join(told)}; counted for the limit are the "
        "convolutions, forward and back to the picture; the book computes the gradients by the weights too",
    )


def vgg_products(height: int, width: int) -> float:
    """Return the multiply-adds of VGG-19's convolutions as far as they are needed."""
    from gluonbook.style import layer_names

    total, before, channels = 0.0, 3, 64
    for name in layer_names("vgg19")[: max(TAPS) + 1]:
        if name.startswith("conv"):
            total += 9.0 * before * channels * height * width
            before = channels
        elif name.startswith("pool"):
            height, width, channels = height // 2, width // 2, min(2 * channels, 512)
    return total


def to_the_books_loss(vgg: Any, book: Peer, rounds: int) -> Figure:
    """Measure L-BFGS until it has the loss that the book's recipe ends with."""
    answer = book.ask(RECIPE)
    goal, content = objective_at(SMALL, vgg)
    seconds, steps = [], 0
    for _ in range(rounds):
        start = time.perf_counter()
        steps, loss = until(goal, content, answer["loss"])
        seconds.append(time.perf_counter() - start)
    reached = "" if loss <= answer["loss"] else ", which it did not come to"
    return Figure(
        f"VGG-19, to the book's loss, {SMALL[1]}×{SMALL[0]}",
        {OWN: seconds, "book": [answer["seconds"]]},
        unit="s",
        reach={"book": RECIPE_REACH},
        note=f"the book's {BOOK_STEPS} steps of Adam, run once, end at {answer['loss']:.4g}; {len(seconds)} runs of "
        f"L-BFGS, {steps} steps each, end at {loss:.4g}{reached}",
    )


def until(goal: Any, x: np.ndarray, loss: float) -> tuple[int, float]:
    """Take L-BFGS steps from x until a loss is reached; return how many, and the loss."""
    from gluonbook import style

    optimiser = style.LBFGS(x)

    def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        losses, gradient = style.evaluate(goal, x)
        return losses.total, gradient

    count = 0
    while count < BOOK_STEPS and optimiser.step(value_and_gradient):
        count += 1
        if optimiser.value <= loss:
            break
    return count, optimiser.value


def random_step(rounds: int) -> Figure:
    """Measure losses and gradient with the random filters."""
    from gluonbook import style
    from gluonbook._mxnet import mx

    features = style.random_features(*SIZE, 0, mx.cpu())
    goal, content = objective_at(SIZE, features)
    x = content + np.random.default_rng(1).standard_normal(content.shape).astype(np.float32)
    return Figure(
        f"random filters, losses and gradient, {SIZE[1]}×{SIZE[0]}",
        alternate({OWN: timed(lambda: style.evaluate(goal, x))}, rounds),
        flops=2.0 * BOTH * random_products(features),
        note="counted for the limit are the convolutions, forward and back to the picture",
    )


def random_products(features: Any) -> float:
    """Return the multiply-adds of the random filters' convolutions but for those that halve the picture."""
    from gluonbook.style import objective
    from gluonbook.style.random_filters import NUM_FILTERS
    from gluonbook.style.random_filters import SIZE as SIDE

    inputs = {"filters": 3 * SIDE**2, "grey": 3 * SIDE**2, "sums": NUM_FILTERS * 3**2}  # of one output
    shapes = objective.layer_shapes(features, *SIZE)
    return sum(float(np.prod(shape)) * inputs[name.rstrip("0123456789")] for name, shape in shapes.items())


if __name__ == "__main__":
    main(figures, __doc__ or "")
