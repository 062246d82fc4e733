"""Chapter 13: static and dynamic graphs

Asks:    what is a static graph good for, how do data decide inside of one, and what does each kind cost?
Needs:   no data, no network, no GPU; ONNX with the extra [onnx].  Time: 10 s (--quick 7 s) on two cores.
Claims:  13.1 13.2 13.3
"""

# %% [markdown]
# # Static and dynamic graphs (静态图与动态图)
# A dynamic graph is made anew by each forward pass, as Python runs; a static one is made once and then run. Gluon has
# both: a `HybridBlock` runs dynamically until `hybridize()` records its graph.

# %%
import importlib.util
import json
import subprocess
import sys
import time

import numpy as np

from gluonbook import chapter, models, plot
from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.plot import COLORS, INK, MUTED

opt = chapter.options(
    num_rounds=chapter.option(15, quick=5, help="measurements of each kind, alternating"),
    num_layers=chapter.option(60, help="small layers of the deep network"),
)

# %% [markdown]
# ## 13.1 A graph as a data structure (计算图存成数据)
# The class below exists in this chapter alone. `export` writes its graph as JSON and its parameters beside it. A
# process that has never seen the class reads both and computes the same.


# %%
class Shortcut(gluon.HybridBlock):
    """Convolution, batch norm, a shortcut around a second convolution, and a dense layer over ten classes."""

    def __init__(self):
        super().__init__()
        self.first, self.second = gluon.nn.Conv2D(8, 3, padding=1), gluon.nn.Conv2D(8, 3, padding=1)
        self.norm, self.dense = gluon.nn.BatchNorm(), gluon.nn.Dense(10)

    def hybrid_forward(self, F, X):
        X = F.relu(self.norm(self.first(X)))
        return self.dense(F.relu(X + self.second(X)))


net = Shortcut()
net.initialize(mx.init.Xavier(), ctx=opt.device)
X = nd.random.normal(shape=(4, 1, 16, 16), ctx=opt.device)
dynamic = net(X).asnumpy()
net.hybridize()
static = net(X).asnumpy()
opt.out.mkdir(parents=True, exist_ok=True)
net.export(str(opt.out / "shortcut"))
np.save(opt.out / "X.npy", X.asnumpy())
READER = """
import numpy as np
from gluonbook._mxnet import gluon, nd
assert "Shortcut" not in dir()
net = gluon.SymbolBlock.imports("shortcut-symbol.json", ["data"], "shortcut-0000.params")
np.save("Y.npy", net(nd.array(np.load("X.npy"))).asnumpy())
"""
subprocess.run([sys.executable, "-W", "ignore::UserWarning", "-c", READER], cwd=opt.out, check=True)
reread = np.load(opt.out / "Y.npy")
print("largest difference of the other process:", np.abs(reread - dynamic).max())
chapter.claim("13.1", np.allclose(static, dynamic, atol=1e-6) and np.allclose(reread, dynamic, atol=1e-5))

# %% [markdown]
# What the file holds: nodes in an order in which they can be computed, each with the numbers of its inputs. Parameters
# are nodes without an operator (grey).

# %%
nodes = json.loads((opt.out / "shortcut-symbol.json").read_text(encoding="utf-8"))["nodes"]
operators = [number for number, node in enumerate(nodes) if node["op"] != "null"]
place = {number: (1.0, -row) for row, number in enumerate(operators)}
place.update({0: (1.0, 1.0)})
ax = chapter.figure("graph", figsize=(6.4, 5))
for number in operators:
    x, y = place[number]
    parameters = [nodes[i]["name"].split("_", 1)[-1] for i, *_ in nodes[number]["inputs"] if i not in place]
    if parameters:
        ax.text(2.1, y, ", ".join(parameters), color=MUTED, va="center", fontsize="small")
        ax.annotate("", (1.45, y), (2.05, y), arrowprops={"arrowstyle": "->", "color": MUTED})
    for i, *_ in nodes[number]["inputs"]:
        if i in place:
            bend = 0 if place[i][1] - y == 1 else 0.5
            style = {"arrowstyle": "->", "color": COLORS[1] if bend else INK, "connectionstyle": f"arc3,rad={bend}"}
            style.update(shrinkA=9, shrinkB=9)
            ax.annotate("", (x - 0.3 * bool(bend), y), (x - 0.12 * bool(bend), place[i][1]), arrowprops=style)
for number, (x, y) in place.items():
    label = nodes[number]["op"] if number else "data"
    box = {"boxstyle": "round", "facecolor": "white", "edgecolor": COLORS[0]}
    ax.text(x, y, label, ha="center", va="center", fontsize="small", bbox=box)
ax.set(xlim=(-0.2, 4), ylim=(-len(operators) + 0.4, 1.6))
ax.axis("off")

# %% [markdown]
# The same graph in ONNX's words runs in a program that knows nothing of MXNet.

# %%
if importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxruntime"):
    import onnxruntime

    path = models.export_onnx(net, opt.out / "shortcut.onnx", X.shape[1:])
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    foreign = session.run(None, {"data": X.asnumpy()})[0]
    print("largest difference of onnxruntime:", np.abs(foreign - dynamic).max())
    chapter.claim("13.1", np.allclose(foreign, dynamic, atol=1e-5))
else:
    print("onnx and onnxruntime are not installed; pip install '.[onnx]' brings them")

# %% [markdown]
# ## 13.2 Where data decide (由数据决定的分支与循环)
# Heron's square root: x ← (x + a/x) / 2 until x² is near a. How many steps that takes depends on a. In a dynamic graph
# it is a loop of Python's; in a static one the loop must be a node itself, `while_loop`, with a greatest number of
# steps. Python's own `if` cannot look at a value that is not there yet. Autograd goes back along the path that was
# taken: of 1 the loop returns 1 unchanged, and the slope is 1, not ½. So it does with Python's loop; MXNet 1.9.1
# refuses to record `while_loop` in a hybridized block.

# %%
TOLERANCE, MOST = 1e-4, 40


class DynamicRoot(gluon.Block):
    """Heron's method, as Python would say it."""

    def forward(self, a):
        x, steps = a, 0
        while (abs(x * x - a) > TOLERANCE * a).asscalar():
            x, steps = (x + a / x) / 2, steps + 1
        return x, steps


class StaticRoot(gluon.HybridBlock):
    """The same, the loop a node of the graph."""

    def hybrid_forward(self, F, a):
        def goes_on(x, steps):
            return F.abs(x * x - a) > TOLERANCE * a

        def step(x, steps):
            return [], [(x + a / x) / 2, steps + 1]

        _, (x, steps) = F.contrib.while_loop(goes_on, step, [a, F.zeros_like(a)], max_iterations=MOST)
        return x, steps


class Undecided(gluon.HybridBlock):
    """An `if` of Python's on a value: a static graph cannot be recorded of it."""

    def hybrid_forward(self, F, X):
        return X if X.sum() > 0 else -X


def root(block, a):
    """Return a block's root of a number, and the steps that it took."""
    x, steps = block(nd.array([a]))
    return x.asscalar(), float(steps if isinstance(steps, int) else steps.asscalar())


def slope(block, a):
    """Return the derivative of a block's root."""
    value = nd.array([a])
    value.attach_grad()
    with autograd.record():
        x, _ = block(value)
    x.backward()
    return value.grad.asscalar()


dynamic_root, static_root = DynamicRoot(), StaticRoot()
static_root.hybridize()
numbers = [float(2**k) for k in range(-6, 13)]
by_python = np.array([root(dynamic_root, a) for a in numbers])
by_graph = np.array([root(static_root, a) for a in numbers])
undecided = Undecided()
kept = undecided(nd.ones(2)).asnumpy().tolist()
undecided.hybridize()
try:
    undecided(nd.ones(2))
    refused = ""
except mx.base.NotImplementedForSymbol as error:
    refused = type(error).__name__
print("steps:", dict(zip(numbers, by_python[:, 1].astype(int).tolist())))
print("an `if` on a value:", kept, "dynamically; hybridized,", refused or "no error")
chapter.claim("13.2", np.allclose(by_python[:, 0], np.sqrt(numbers), rtol=1e-4) and len(set(by_python[:, 1])) > 5)
chapter.claim("13.2", np.array_equal(by_python, by_graph))
slopes = np.array([slope(dynamic_root, a) for a in numbers])
ratios = slopes * 2 * np.sqrt(numbers)  # 1 where the slope is that of the root
moved = by_python[:, 1] > 0
print(f"slopes of the path over those of the root: {ratios[moved].min():.4f} to {ratios[moved].max():.4f}")
print("where it took no step:", ratios[~moved].tolist())
chapter.claim("13.2", np.allclose(ratios[moved], 1, atol=1e-3) and ratios[~moved].tolist() == [2])
chapter.claim("13.2", kept == [1, 1] and refused)
ax = chapter.figure("steps", figsize=(5.6, 3))
ax.semilogx(numbers, by_python[:, 1], "o-", color=COLORS[0], label="loop of Python", markersize=7)
ax.semilogx(numbers, by_graph[:, 1], ".", color=COLORS[1], label="while_loop in a static graph")
ax.set(xlabel="a", ylabel="steps to its root", ylim=(-0.5, None))
ax.legend(fontsize="small")

# %% [markdown]
# A recurrent network is a loop over the data, too: as many steps as the sequence has. `foreach` makes it a node, which
# takes sequences of any length; unrolled by Python, every length is a graph of its own.


# %%
class Recurrent(gluon.HybridBlock):
    """h ← tanh(W·[x, h]), by `foreach`."""

    def __init__(self, num_hiddens):
        super().__init__()
        self.dense = gluon.nn.Dense(num_hiddens, flatten=False, activation="tanh", in_units=2 * num_hiddens)

    def hybrid_forward(self, F, X, h):
        def step(x, states):
            h = self.dense(F.concat(x, states[0], dim=1))
            return h, [h]

        return F.contrib.foreach(step, X, [h])[0]  # (T, N, H)


def by_hand(block, X, h):
    """Return the same with a loop of Python's."""
    outputs = []
    for x in X:
        h = block.dense(nd.concat(x, h, dim=1))
        outputs.append(h)
    return nd.stack(*outputs)


H = 32
recurrent = Recurrent(H)
recurrent.initialize(ctx=opt.device)
recurrent.hybridize()
h = nd.zeros((8, H), ctx=opt.device)
sequences = {T: nd.random.normal(shape=(T, 8, H), ctx=opt.device) for T in (5, 50)}
for X in sequences.values():
    found = {}
    for name, function in {"static": recurrent, "dynamic": lambda X, h: by_hand(recurrent, X, h)}.items():
        with autograd.record():
            Y = function(X, h)
        Y.backward()
        found[name] = Y.asnumpy(), recurrent.dense.weight.grad().asnumpy().copy()
    for ours, theirs in zip(found["static"], found["dynamic"]):
        chapter.claim("13.2", np.allclose(ours, theirs, rtol=1e-4, atol=1e-5))

# %% [markdown]
# ## 13.3 Which is faster? (速度)
# A static graph saves what Python does between operators. That is most of the time where operators are small, and next
# to nothing where they are large. Each kind is measured in turn, and the quickest round of each is shown.


# %%
def many_small():
    net = gluon.nn.HybridSequential()
    for _ in range(opt.num_layers):
        net.add(gluon.nn.Dense(16, activation="relu", in_units=16))
    return net, nd.ones((1, 16), ctx=opt.device)


def few_large():
    net = gluon.nn.HybridSequential()
    for C in (32, 64, 64):
        net.add(gluon.nn.Conv2D(64, 3, padding=1, in_channels=C, activation="relu"))
    return net, nd.ones((4, 32, 56, 56), ctx=opt.device)


def seconds(function, times):
    function()
    mx.nd.waitall()
    start = time.perf_counter()
    for _ in range(times):
        function()
    mx.nd.waitall()
    return (time.perf_counter() - start) / times


KINDS = {"dynamic": None, "static": {}, "static, memory kept": {"static_alloc": True, "static_shape": True}}
candidates = {}
for name, (build, times) in {"many small layers": (many_small, 10), "three large ones": (few_large, 2)}.items():
    for kind, settings in KINDS.items():
        net, X = build()
        net.initialize(ctx=opt.device)
        if settings is not None:
            net.hybridize(**settings)
        candidates[name, kind] = (lambda net=net, X=X: net(X)), times
X = sequences[50]
candidates["50 steps of a loop", "dynamic"] = (lambda: by_hand(recurrent, X, h)), 3
candidates["50 steps of a loop", "static"] = (lambda: recurrent(X, h)), 3
rounds = [{key: seconds(*candidate) for key, candidate in candidates.items()} for _ in range(opt.num_rounds)]
quickest = {key: min(measured[key] for measured in rounds) for key in candidates}
gain = {key: quickest[key[0], "dynamic"] / quickest[key] for key in candidates if key[1] != "dynamic"}
bars = {f"{name}: {kind}": 1000 * value for (name, kind), value in quickest.items()}
plot.bars(bars, chapter.figure("speed", figsize=(7, 3.4))).set(xlabel="milliseconds of a forward pass")
for (name, kind), value in gain.items():
    print(f"{name}, {kind}: {value:.2f} times as fast as dynamic")
small = gain["many small layers", "static, memory kept"]
large = gain["three large ones", "static, memory kept"]
chapter.claim("13.3", small > 1.3 and small > large)

# %%
chapter.report(
    nodes=len(nodes),
    difference_in_another_process=float(np.abs(reread - dynamic).max()),
    steps_to_a_root=sorted({int(steps) for steps in by_python[:, 1]}),
    times_as_fast={f"{name}, {kind}": value for (name, kind), value in gain.items()},
)
