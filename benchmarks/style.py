"""Style transfer beside PyTorch and beside the book's recipe, and two stages beside one, in one run.

    python benchmarks/style.py [--rounds 7] [--steps 30] [--width 1200] [--out benchmarks/style.json]

All with a VGG-19 of random weights, which takes the time that one with ImageNet's takes; each convolution is scaled so
that its outputs have deviation 10 on the content, about what ImageNet's weights give.

``step``: losses and gradient at 300x200, in turn with PyTorch in a process of its own where torch is installed (extra
``[bench]``). ``the book's recipe``: Adam, 0.01, 500 steps, a tenth of it every 200, the network not hybridised, the
Gram matrices by ``nd.dot``, every loss read back; beside it this package's L-BFGS until it has the loss that the recipe
ends with. ``two stages``: 300x200 and then ``--width``, until the loss that a run has which starts at ``--width`` and
takes ``--steps`` there; with the random filters, and at half the width with VGG-19.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from lyrics import machine

SMALL = (200, 300)  # height, width
STAGE_STEPS, BOOK_STEPS, BOOK_DROP = 60, 500, 200
DEVIATION = 10.0
TAPS = (0, 5, 10, 19, 25, 28)
CONTENT_TAP = 25


def random_vgg(content):
    """Return VGG-19's arrays by Gluon's names, random, each convolution's outputs of deviation 10 on the content."""
    from gluonbook._mxnet import nd
    from gluonbook.style import features

    rng, arrays, X = np.random.default_rng(0), {}, nd.array(content)
    channels = [64] * 2 + [128] * 2 + [256] * 4 + [512] * 8
    for i, name in enumerate(features.layer_names("vgg19")[: max(TAPS) + 1]):
        if name.startswith("conv"):
            W = rng.standard_normal((channels[0], X.shape[1], 3, 3)).astype(np.float32)
            channels = channels[1:]
            kind = {"kernel": (3, 3), "pad": (1, 1), "num_filter": len(W), "no_bias": True}
            W *= DEVIATION / nd.Convolution(X, nd.array(W), **kind).asnumpy().std()
            arrays[f"features.{i}.weight"], arrays[f"features.{i}.bias"] = W, np.zeros(len(W), np.float32)
            X = nd.Convolution(X, nd.array(W), **kind)
        elif name.startswith("relu"):
            X = nd.relu(X)
        else:
            X = nd.Pooling(X, kernel=(2, 2), stride=(2, 2), pool_type="max")
    return arrays


def prepared(size):
    """Return content and style at a size (H, W), standardised."""
    from gluonbook import data, style
    from gluonbook.data.pictures import resize

    return [style.standardise(resize(data.sample_picture(name), size)) for name in ("lake", "impressionist")]


def objective_at(size, features):
    """Return what is minimised at a size, and the content there."""
    from gluonbook import style
    from gluonbook._mxnet import mx

    content, painted = prepared(size)
    return style.make_objective(features, content, [style.Style(painted)], features.weights, None, mx.cpu()), content


def steps_beside_torch(vgg, arrays, rounds):
    """Return seconds a step, of this package and of PyTorch where it is installed, taken in turn."""
    from gluonbook import style

    goal, content = objective_at(SMALL, vgg)
    x = content + np.random.default_rng(1).standard_normal(content.shape).astype(np.float32)
    worker = start_torch(arrays, *prepared(SMALL), x)
    seconds = {"gluonbook": [], "torch": []}
    for number in range(rounds + 1):  # the first is not counted
        start = time.perf_counter()
        losses, gradient = style.evaluate(goal, x)
        passed = time.perf_counter() - start
        answer = ask_torch(worker)
        if number:
            seconds["gluonbook"].append(passed)
            if answer:
                seconds["torch"].append(answer["seconds"])
    if worker:
        difference = abs(answer["loss"] - losses.total) / losses.total
        print(f"the same loss as PyTorch's but for {difference:.1e}, norm of the gradient but for ", end="")
        norm = float(np.linalg.norm(gradient))
        print(f"{abs(answer['norm'] - norm) / norm:.1e}")
        worker.stdin.close()
        worker.wait()
    return {name: values for name, values in seconds.items() if values}


def start_torch(arrays, content, painted, x):
    """Start a process that takes a step with PyTorch for each line it reads; None where torch is not installed."""
    import importlib.util
    import tempfile

    if importlib.util.find_spec("torch") is None:
        return None
    with tempfile.NamedTemporaryFile(suffix=".npz", delete=False) as file:
        np.savez(file, content=content, painted=painted, x=x, **arrays)
    command = [sys.executable, __file__, "--torch-worker", file.name]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ask_torch(worker):
    if worker is None:
        return None
    worker.stdin.write("step\n")
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())


def torch_worker(path):
    """Answer each line of standard input with the seconds, the loss and the gradient's norm of a step."""
    import os

    import torch
    from torch.nn import functional

    held = {name: torch.from_numpy(value) for name, value in np.load(path).items()}
    os.unlink(path)
    torch.set_num_threads(len(os.sched_getaffinity(0)))

    def outputs(X):
        found = {}
        blocks = (2, 2, 4, 4, 4)
        i = 0
        for count in blocks:
            for _ in range(count):
                X = functional.conv2d(X, held[f"features.{i}.weight"], held[f"features.{i}.bias"], padding=1)
                if i in TAPS:
                    found[i] = X
                if i == max(TAPS):
                    return found
                X, i = functional.relu(X), i + 2
            X, i = functional.max_pool2d(X, 2), i + 1
        return found

    def gram(Y):
        Y = Y.flatten(2)[0]
        return Y @ Y.T / Y.numel()

    with torch.no_grad():
        content = outputs(held["content"])[CONTENT_TAP]
        grams = {i: gram(Y) for i, Y in outputs(held["painted"]).items() if i != CONTENT_TAP}
    for _ in sys.stdin:
        start = time.perf_counter()
        X = held["x"].clone().requires_grad_()
        found = outputs(X)
        loss = (found[CONTENT_TAP] - content).square().mean()
        loss = loss + 1e3 * sum((gram(found[i]) - G).square().mean() for i, G in grams.items())
        down, right = X.diff(dim=2).abs().mean(), X.diff(dim=3).abs().mean()
        loss = loss + 10 * 0.5 * (down + right)
        loss.backward()
        answer = {"loss": loss.item(), "norm": X.grad.norm().item()}
        print(json.dumps({"seconds": time.perf_counter() - start, **answer}), flush=True)


def by_the_book(arrays, num_steps):
    """Return the loss that the book's recipe ends with, and its seconds."""
    from gluonbook import style
    from gluonbook._mxnet import autograd, mx, nd

    vgg = style.vgg_features("vgg19", arrays, mx.cpu())
    vgg.net.hybridize(False)
    content, painted = (nd.array(part) for part in prepared(SMALL))

    def gram(Y):
        Y = Y.reshape((Y.shape[1], -1))
        return nd.dot(Y, Y.T) / Y.size

    wanted = dict(zip(vgg.layers, vgg.net(content)))
    grams = {name: gram(Y) for name, Y in zip(vgg.layers, vgg.net(painted)) if name in vgg.style}
    X, optimizer = content.copy(), mx.optimizer.Adam(learning_rate=0.01)
    X.attach_grad()
    state, start = optimizer.create_state(0, X), time.perf_counter()
    for step in range(num_steps):
        if step and step % BOOK_DROP == 0:
            optimizer.set_learning_rate(optimizer.learning_rate * 0.1)
        with autograd.record():
            found = dict(zip(vgg.layers, vgg.net(X)))
            parts = [(found[name] - wanted[name]).square().mean() for name in vgg.content]
            parts += [1e3 * (gram(found[name]) - G).square().mean() for name, G in grams.items()]
            down = (X[:, :, 1:] - X[:, :, :-1]).abs().mean()
            parts.append(10 * 0.5 * (down + (X[:, :, :, 1:] - X[:, :, :, :-1]).abs().mean()))
            loss = nd.add_n(*parts)
        loss.backward()
        optimizer.update(0, X, X.grad, state)
        read = [float(part.asscalar()) for part in parts]
    return sum(read), time.perf_counter() - start


def until(goal, x, loss, most):
    """Take L-BFGS steps from x until a loss is reached; return x, the losses by seconds, and whether it was reached."""
    from gluonbook import style

    optimiser, start, curve = style.LBFGS(x), time.perf_counter(), []

    def value_and_gradient(x):
        losses, gradient = style.evaluate(goal, x)
        return losses.total, gradient

    for _ in range(most):
        if not optimiser.step(value_and_gradient):
            break
        curve.append((time.perf_counter() - start, optimiser.value))
        if optimiser.value <= loss:
            return optimiser.x, curve, True
    return optimiser.x, curve, False


def two_stages(name, features_for, width, num_steps):
    """Print and return the losses over seconds of a run at one size, and of one that comes to it by a smaller."""
    from gluonbook.data.pictures import resize

    size = (width * 2 // 3, width)
    goal, content = objective_at(size, features_for(size))
    _, direct, _ = until(goal, content, -np.inf, num_steps)
    first_goal, start = objective_at(SMALL, features_for(SMALL))
    x, first, _ = until(first_goal, start, -np.inf, STAGE_STEPS)
    enlarged = resize(x[0].transpose(1, 2, 0), size).transpose(2, 0, 1)[None]
    _, second, reached = until(goal, enlarged, direct[-1][1], num_steps)
    seconds = first[-1][0] + second[-1][0]
    print(
        f"{name}, from the content at {size[1]}x{size[0]}: loss {direct[-1][1]:.4g} after {len(direct)} steps,", end=" "
    )
    print(f"{direct[-1][0]:.0f} s; two stages: {len(first)} + {len(second)} steps, {seconds:.0f} s,", end=" ")
    print(f"{seconds / direct[-1][0]:.2f} of the time{'' if reached else ' (not reached)'}", flush=True)
    return {"direct": direct, "first": first, "second": second, "reached": reached}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=30, help="of the run that starts at the second size")
    parser.add_argument("--width", type=int, default=1200, help="of the second size")
    parser.add_argument("--book-steps", type=int, default=BOOK_STEPS)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--torch-worker", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.torch_worker:
        torch_worker(chosen.torch_worker)
        return
    from gluonbook import style
    from gluonbook._mxnet import mx

    print(" ".join(f"{name} {value}" for name, value in machine().items()), flush=True)
    arrays = random_vgg(prepared(SMALL)[0])
    vgg = style.vgg_features("vgg19", arrays, mx.cpu())
    figures = {"step": steps_beside_torch(vgg, arrays, chosen.rounds)}
    middle = {name: statistics.median(values) for name, values in figures["step"].items()}
    print(f"a step at 300x200: {', '.join(f'{name} {1e3 * value:.0f} ms' for name, value in middle.items())}", end="")
    print(f", ratio {middle['gluonbook'] / middle['torch']:.2f}" if "torch" in middle else "", flush=True)

    loss, book_seconds = by_the_book(arrays, chosen.book_steps)
    goal, content = objective_at(SMALL, vgg)
    _, curve, reached = until(goal, content, loss, chosen.book_steps)
    figures["book"] = {"loss": loss, "seconds": book_seconds, "own": curve, "reached": reached}
    print(f"the book's recipe: loss {loss:.4g} after {chosen.book_steps} steps, {book_seconds:.0f} s; L-BFGS: ", end="")
    print(f"{curve[-1][1]:.4g} after {len(curve)} steps, {curve[-1][0]:.0f} s, ", end="")
    print(f"{curve[-1][0] / book_seconds:.2f} of the time{'' if reached else ' (not reached)'}", flush=True)

    networks = {"random filters": (lambda size: style.random_features(*size, 0, mx.cpu()), chosen.width)}
    networks["VGG-19"] = (lambda size: vgg, chosen.width // 2)
    for name, (features_for, width) in networks.items():
        figures[f"stages, {name}"] = two_stages(name, features_for, width, chosen.steps)
    if chosen.out:
        chosen.out.write_text(json.dumps({"machine": machine(), "figures": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
