"""What ``style.py`` is compared with, in processes of their own.

    python benchmarks/style_peers.py torch|book FILE

FILE holds a VGG-19's arrays by Gluon's names, and pictures: ``content``, ``painted``, ``x``, ``small_content`` and
``small_painted``. ``torch`` is PyTorch, ``book`` MXNet as the 2018 book uses it. Run by ``measuring.Peer``.
"""

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from measuring import serve

Job = Callable[[], dict[str, float]]
STEP, RECIPE = "losses and gradient", "the book's recipe"  # the names of the jobs
BLOCKS = (2, 2, 4, 4, 4)  # convolutions of VGG-19
TAPS = (0, 5, 10, 19, 25, 28)  # the book's layers
CONTENT_TAP = 25
STYLE_WEIGHT, TV_WEIGHT = 1e3, 10.0
RATE, BOOK_STEPS, DROP_EVERY = 0.01, 500, 200


def torch_jobs(file: str) -> dict[str, Job]:
    """Return PyTorch's way of a step."""
    import numpy as np
    import torch

    held = {name: torch.from_numpy(value) for name, value in np.load(file).items()}
    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)

    def gram(Y: Any) -> Any:
        Y = Y.flatten(2)[0]  # (C, H·W)
        return Y @ Y.T / Y.numel()

    with torch.no_grad():
        content = torch_outputs(held, held["content"])[CONTENT_TAP]
        grams = {i: gram(Y) for i, Y in torch_outputs(held, held["painted"]).items() if i != CONTENT_TAP}

    def step() -> dict[str, float]:
        X = held["x"].clone().requires_grad_()
        found = torch_outputs(held, X)
        parts = [(found[CONTENT_TAP] - content).square().mean()]
        parts.append(STYLE_WEIGHT * sum((gram(found[i]) - G).square().mean() for i, G in grams.items()))
        down, right = X.diff(dim=2).abs().mean(), X.diff(dim=3).abs().mean()
        parts.append(TV_WEIGHT * 0.5 * (down + right))
        sum(parts).backward()
        return {"loss": sum(part.item() for part in parts), "norm": torch.linalg.vector_norm(X.grad).item()}

    return {STEP: step}


def torch_outputs(held: Mapping[str, Any], X: Any) -> dict[int, Any]:
    """Return the outputs of the book's layers by number."""
    from torch.nn import functional

    found: dict[int, Any] = {}
    i = 0
    for count in BLOCKS:
        for _ in range(count):
            X = functional.conv2d(X, held[f"features.{i}.weight"], held[f"features.{i}.bias"], padding=1)
            if i in TAPS:
                found[i] = X
            if i == max(TAPS):
                return found
            X, i = functional.relu(X), i + 2
        X, i = functional.max_pool2d(X, 2), i + 1
    return found


def book_jobs(file: str) -> dict[str, Job]:
    """Return the book's way of a step, and its whole recipe."""
    import gluonbook  # noqa: F401

    os.environ.pop("OPENBLAS_CORETYPE", None)  # set by that import, and by that of the process that started this one
    import numpy as np
    from mxnet import autograd, gluon, nd

    held = dict(np.load(file).items())
    net = book_network(held)

    def given(name: str) -> Any:
        return nd.array(held[name])

    def outputs(X: Any) -> dict[int, Any]:
        found = {}
        for i in range(len(net)):
            X = net[i](X)
            if i in TAPS:
                found[i] = X
        return found

    def gram(Y: Any) -> Any:
        C, count = Y.shape[1], Y.size // Y.shape[1]
        Y = Y.reshape((C, count))
        return nd.dot(Y, Y.T) / (C * count)

    def goal(content: Any, painted: Any) -> tuple[Any, dict[int, Any]]:
        grams = {i: gram(Y) for i, Y in outputs(painted).items() if i != CONTENT_TAP}
        return outputs(content)[CONTENT_TAP], grams

    def losses(X: Any, content: Any, grams: Mapping[int, Any]) -> list[Any]:
        found = outputs(X)
        parts = [(found[CONTENT_TAP] - content).square().mean()]
        parts += [(gram(found[i]) - G).square().mean() * STYLE_WEIGHT for i, G in grams.items()]
        down = (X[:, :, 1:, :] - X[:, :, :-1, :]).abs().mean()
        return [*parts, 0.5 * (down + (X[:, :, :, 1:] - X[:, :, :, :-1]).abs().mean()) * TV_WEIGHT]

    large = goal(given("content"), given("painted"))
    small = goal(given("small_content"), given("small_painted"))

    def step() -> dict[str, float]:
        X = given("x")
        X.attach_grad()
        with autograd.record():
            parts = losses(X, *large)
            total = nd.add_n(*parts)
        total.backward()
        return {"loss": sum(float(part.asscalar()) for part in parts), "norm": X.grad.norm().asscalar().item()}

    def recipe() -> dict[str, float]:
        picture = gluon.Parameter("picture", shape=held["small_content"].shape)
        picture.initialize()
        picture.set_data(given("small_content"))
        trainer = gluon.Trainer([picture], "adam", {"learning_rate": RATE})
        for number in range(BOOK_STEPS):
            with autograd.record():
                total = nd.add_n(*losses(picture.data(), *small))
            total.backward()
            trainer.step(1)
            nd.waitall()
            if number and number % DROP_EVERY == 0:
                trainer.set_learning_rate(trainer.learning_rate * 0.1)
        return {"loss": sum(float(part.asscalar()) for part in losses(picture.data(), *small))}

    return {STEP: step, RECIPE: recipe}


def book_network(held: Mapping[str, Any]) -> Any:
    """Return VGG-19's layers as far as the book needs them."""
    from mxnet import nd
    from mxnet.gluon import nn

    net = nn.Sequential()
    for count in BLOCKS:
        for _ in range(count):
            if len(net) > max(TAPS):
                return net
            W = held[f"features.{len(net)}.weight"]
            layer = nn.Conv2D(len(W), 3, padding=1, in_channels=W.shape[1])
            layer.initialize()
            layer.weight.set_data(nd.array(W))
            layer.bias.set_data(nd.array(held[f"features.{len(net)}.bias"]))
            net.add(layer, nn.Activation("relu"))
        net.add(nn.MaxPool2D(2, 2))
    return net


if __name__ == "__main__":
    serve({"torch": torch_jobs, "book": book_jobs}[sys.argv[1]](sys.argv[2]))
