"""What ``lyrics.py`` measures in processes of their own.

    python benchmarks/lyrics_peers.py torch|book|package

``torch`` is PyTorch, ``book`` MXNet as the 2018 book uses it, ``package`` this package in a fresh process. Run by
``measuring.Peer``.
"""

import functools
import math
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from measuring import serve

Job = Callable[[], Any]
SCRATCH, CELLS = "from scratch", {"rnn": 1, "gru": 3, "lstm": 4}  # cell -> matrices of H·H
STEP, LEARN, WRITE = "training step", "to a training perplexity of 1.3", "generation"  # the names of the jobs
V, N, T, H, E = 1027, 32, 35, 256, 128  # vocabulary, batch, steps, hidden, embedding
STEPS = 10  # of training in a round
RATE, EPOCHS, THETA = 0.015, 30, 1.0  # this package's recipe: Adam, a cosine schedule
BOOK_RATE, BOOK_EPOCHS, BOOK_THETA = 1e2, 250, 1e-2  # the book's: plain gradient descent
CHARACTERS, BOUND = 10_000, 1.3
LENGTH, TEMPERATURE = 500, 0.8  # characters of generation


def random_corpus() -> Any:
    """Return tokens for STEPS batches, (N · (STEPS · T + 1),) int32, equal in every process."""
    import numpy as np

    return np.random.default_rng(0).integers(0, V, N * (STEPS * T + 1)).astype(np.int32)


def batches(corpus: Any) -> list[tuple[Any, Any]]:
    """Cut tokens into adjacent batches X, Y, (N, T) each, as the book does."""
    rows = corpus[: len(corpus) // N * N].reshape(N, -1)
    count = (rows.shape[1] - 1) // T
    return [(rows[:, i : i + T], rows[:, i + 1 : i + T + 1]) for i in range(0, count * T, T)]


def songs() -> tuple[Any, int]:
    """Return the first characters of the embedded songs as tokens (CHARACTERS,) int32, and their vocabulary's size."""
    from gluonbook import data, lyrics

    text = data.embedded_songs()[:CHARACTERS].replace("\n", " ")
    vocabulary = lyrics.Vocabulary(text)
    return vocabulary.encode(text), len(vocabulary)


def reached(epochs: Iterator[float]) -> dict[str, Any]:
    """Go through the perplexities of epochs until one is below BOUND; return their number and the last."""
    perplexity = math.inf
    for number, perplexity in enumerate(epochs, 1):  # noqa: B007
        if perplexity < BOUND:
            break
    return {"epochs": number, "perplexity": perplexity}


# PyTorch


def torch_jobs() -> dict[str, Job]:
    """Return PyTorch's way of each job."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    torch.manual_seed(0)
    given = torch_batches(random_corpus())
    jobs: dict[str, Job] = {f"{STEP}, {SCRATCH}": torch_scratch(given)}
    corpus, size = songs()
    for cell in CELLS:
        jobs[f"{STEP}, {cell}"] = functools.partial(torch_epoch(cell, V), given, RATE)
        jobs[f"{LEARN}, {cell}"] = lambda cell=cell: reached(torch_learning(cell, torch_batches(corpus), size))
        jobs[f"{WRITE}, {cell}"] = torch_writer(cell)
    return jobs


def torch_batches(corpus: Any) -> list[tuple[Any, Any]]:
    """Return batches as tensors (T, N) and (T · N,), time first."""
    import torch

    return [
        (torch.from_numpy(X.T.astype("int64")), torch.from_numpy(Y.T.reshape(-1).astype("int64")))
        for X, Y in batches(corpus)
    ]


def torch_epoch(cell: str, size: int) -> Callable[[list[tuple[Any, Any]], float], float]:
    """Return a function that trains for an epoch and returns its mean loss: as this package's recipe, Adam fused."""
    import torch
    from torch import nn

    embedding, dense = nn.Embedding(size, E), nn.Linear(H, size)
    layer = getattr(nn, cell.upper())(E, H)
    params = [param for part in (embedding, layer, dense) for param in part.parameters()]
    for param in params[1:]:  # the embedding is from N(0, 1)
        (nn.init.xavier_uniform_ if param.ndim > 1 else nn.init.zeros_)(param)
    adam = torch.optim.Adam(params, lr=RATE, fused=True)

    def epoch(given: list[tuple[Any, Any]], rate: float) -> float:
        adam.param_groups[0]["lr"] = rate
        state, total = None, torch.zeros(())
        for X, labels in given:
            adam.zero_grad()
            hidden, state = layer(embedding(X), state)
            loss = nn.functional.cross_entropy(dense(hidden).flatten(0, 1), labels)
            loss.backward()
            nn.utils.clip_grad_norm_(params, THETA)
            adam.step()
            state = tuple(part.detach() for part in state) if cell == "lstm" else state.detach()
            total += loss.detach()
        return total.item() / len(given)

    return epoch


def torch_learning(cell: str, given: list[tuple[Any, Any]], size: int) -> Iterator[float]:
    """Yield the perplexity of each epoch of this package's recipe."""
    epoch = torch_epoch(cell, size)
    for number in range(EPOCHS):
        yield math.exp(epoch(given, RATE * (1 + math.cos(math.pi * number / EPOCHS)) / 2))


def torch_scratch(given: list[tuple[Any, Any]]) -> Job:
    """Return an epoch of the network that is written out: one-hot products, a loop over the steps."""
    import torch

    shapes = [(V, H), (H, H), (H,), (H, V), (V,)]
    params = [(torch.randn(shape) * (0.01 if len(shape) > 1 else 0.0)).requires_grad_() for shape in shapes]
    W_xh, W_hh, b_h, W_hy, b_y = params

    def epoch() -> None:
        hidden, total = torch.zeros(N, H), torch.zeros(())
        for X, labels in given:
            hidden, steps = hidden.detach(), []
            for step in torch.nn.functional.one_hot(X, V).float():
                hidden = torch.tanh(step @ W_xh + hidden @ W_hh + b_h)
                steps.append(hidden)
            loss = torch.nn.functional.cross_entropy(torch.cat(steps) @ W_hy + b_y, labels)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(params, BOOK_THETA)
            with torch.no_grad():
                for param in params:
                    param -= BOOK_RATE * param.grad
                    param.grad = None
            total += loss.detach()
        total.item()

    return epoch


def torch_writer(cell: str) -> Job:
    """Return generation character by character with random weights, by the cell (faster than the layer)."""
    import torch
    from torch import nn

    embedding, dense = nn.Embedding(V, E), nn.Linear(H, V)
    one = getattr(nn, cell.upper() + "Cell")(E, H)

    def write() -> None:
        with torch.inference_mode():
            token, state = torch.zeros(1, dtype=torch.int64), None
            for _ in range(LENGTH):
                state = one(embedding(token), state)
                hidden = state[0] if cell == "lstm" else state
                token = torch.multinomial(torch.softmax(dense(hidden)[0] / TEMPERATURE, 0), 1)
                token.item()

    return write


# The book


def book_jobs() -> dict[str, Job]:
    """Return the book's way of each job."""
    import gluonbook  # noqa: F401

    os.environ.pop("OPENBLAS_CORETYPE", None)  # set by that import, and by that of the process that started this one
    from mxnet import init

    jobs: dict[str, Job] = {}
    given = book_batches(random_corpus())
    jobs[f"{STEP}, {SCRATCH}"] = functools.partial(book_scratch(V), given)
    for cell in CELLS:
        net = book_model(cell)
        net.initialize(init.Normal(0.01))
        jobs[f"{STEP}, {cell}"] = functools.partial(book_epoch(net), given)
        jobs[f"{WRITE}, {cell}"] = functools.partial(book_write, net)

    def learn() -> dict[str, Any]:
        corpus, size = songs()
        epoch, given = book_scratch(size), book_batches(corpus)
        return reached(math.exp(epoch(given)) for _ in range(BOOK_EPOCHS))

    return {**jobs, LEARN: learn}


def book_batches(corpus: Any) -> list[tuple[Any, Any]]:
    """Return batches as nd arrays (N, T)."""
    from mxnet import nd

    return [(nd.array(X), nd.array(Y)) for X, Y in batches(corpus)]


def clip(gradients: list[Any], theta: float) -> None:
    """Clip gradients, their norm read back."""
    from mxnet import nd

    norm = nd.array([0])
    for gradient in gradients:
        norm += (gradient**2).sum()
    norm = norm.sqrt().asscalar()
    if norm > theta:
        for gradient in gradients:
            gradient[:] *= theta / norm


def book_scratch(size: int) -> Callable[[list[tuple[Any, Any]]], float]:
    """Return a function that trains the book's network from scratch for an epoch and returns its mean loss."""
    from mxnet import autograd, gluon, nd

    shapes = [(size, H), (H, H), (H,), (H, size), (size,)]
    params = [nd.random.normal(scale=0.01, shape=s) if len(s) > 1 else nd.zeros(s) for s in shapes]
    for param in params:
        param.attach_grad()
    W_xh, W_hh, b_h, W_hy, b_y = params
    loss = gluon.loss.SoftmaxCrossEntropyLoss()

    def epoch(given: list[tuple[Any, Any]]) -> float:
        hidden, total = nd.zeros((N, H)), 0.0
        for X, Y in given:
            hidden = hidden.detach()
            with autograd.record():
                outputs = []
                for step in [nd.one_hot(x, size) for x in X.T]:
                    hidden = nd.tanh(nd.dot(step, W_xh) + nd.dot(hidden, W_hh) + b_h)
                    outputs.append(nd.dot(hidden, W_hy) + b_y)
                mean = loss(nd.concat(*outputs, dim=0), Y.T.reshape((-1,))).mean()
            mean.backward()
            clip([param.grad for param in params], BOOK_THETA)
            for param in params:
                param[:] = param - BOOK_RATE * param.grad
            total += mean.asscalar().item()
        return total / len(given)

    return epoch


def book_model(cell: str) -> Any:
    """Return the book's Gluon network: one-hot vectors, a recurrent layer, a dense layer; not hybridized."""
    from mxnet import gluon, nd

    class Model(gluon.nn.Block):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.dense = getattr(gluon.rnn, cell.upper())(H), gluon.nn.Dense(V)

        def forward(self, inputs: Any, state: Any) -> Any:
            Y, state = self.layer(nd.one_hot(inputs.T, V), state)
            return self.dense(Y.reshape((-1, H))), state

    return Model()


def book_epoch(net: Any) -> Callable[[list[tuple[Any, Any]]], float]:
    """Return a function that trains a Gluon network for an epoch and returns its mean loss."""
    from mxnet import autograd, gluon

    loss, trainer = gluon.loss.SoftmaxCrossEntropyLoss(), None

    def epoch(given: list[tuple[Any, Any]]) -> float:
        nonlocal trainer
        trainer = trainer or gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": BOOK_RATE})
        state, total = net.layer.begin_state(N), 0.0
        for X, Y in given:
            state = [part.detach() for part in state]
            with autograd.record():
                outputs, state = net(X, state)
                mean = loss(outputs, Y.T.reshape((-1,))).mean()
            mean.backward()
            clip([param.grad() for param in net.collect_params().values()], BOOK_THETA)
            trainer.step(1)
            total += mean.asscalar().item()
        return total / len(given)

    return epoch


def book_write(net: Any) -> None:
    """Generate the most probable characters, one by one."""
    from mxnet import nd

    token, state = 0, net.layer.begin_state(1)
    for _ in range(LENGTH):
        outputs, state = net(nd.array([[token]]), state)
        token = int(outputs.argmax(axis=1).asscalar())


# This package


def package_jobs() -> dict[str, Job]:
    """Return this package's training by its default recipe, by cell."""
    from gluonbook import _mxnet

    _mxnet.load()
    return {f"{LEARN}, {cell}": functools.partial(package_learning, cell) for cell in CELLS}


def package_learning(cell: str) -> dict[str, Any]:
    """Train by the default recipe; return what its history says of the epochs to BOUND, ``passed`` seconds in all."""
    import time

    from gluonbook import data, lyrics

    held_out = CHARACTERS // 9
    text = data.embedded_songs()[: CHARACTERS + held_out].replace("\n", " ")
    start = time.perf_counter()
    history = lyrics.train(text, None, cell=cell, held_out=held_out / len(text), device="cpu").history
    passed = time.perf_counter() - start - sum(entry["seconds"] for entry in history)  # before the first epoch
    for entry in history:
        passed += entry["seconds"]
        if entry["train"] < BOUND:
            break
    return {"passed": passed, "epochs": entry["epoch"], "perplexity": entry["train"]}


if __name__ == "__main__":
    serve({"torch": torch_jobs, "book": book_jobs, "package": package_jobs}[sys.argv[1]]())
