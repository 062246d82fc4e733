"""Chapter 7: before a long training

Asks:    what should be tried before and watched during a training, and what do learning rates that are wrong look like?
Needs:   scikit-learn's digits, no network, no GPU.  Time: 30 s (--quick 15 s) on two cores.
Claims:  7.1 7.2 7.3 7.4 7.5
"""

# %% [markdown]
# # Before and during a training (训练前的检查)
# A few checks take seconds and find most mistakes: the first loss, a handful of examples learnt by heart, a range of
# learning rates. What this chapter uses are `gluonbook.training`'s own loops.

# %%
import math

import numpy as np

from gluonbook import chapter, data, plot, training
from gluonbook._mxnet import gluon, mx, nd
from gluonbook.plot import COLORS, MUTED

opt = chapter.options(
    data=chapter.option("digits", help="digits, fashion_mnist or a folder; the bounds were measured on digits"),
    num_epochs=chapter.option(20, quick=8, help="of each training"),
)
OWN = opt.data not in ("digits", "fashion_mnist")  # pictures of one's own: what was measured on digits is not claimed
splits = data.read_classes(opt.data, seed=opt.seed, size=16 if OWN else None)
learnt = splits.train.subset(slice(1200))
K = len(splits.train.classes)
loss = gluon.loss.SoftmaxCrossEntropyLoss()
valid = data.Batches(splits.valid, 500)


def build(sigma, num_hiddens=50):
    """Return a network whose weights begin with the deviation sigma, None for Xavier's; 0 hidden units for no layer."""
    mx.random.seed(opt.seed)
    net = gluon.nn.HybridSequential()
    if num_hiddens:
        net.add(gluon.nn.Dense(num_hiddens, activation="relu"))
    net.add(gluon.nn.Dense(K))
    net.initialize(mx.init.Xavier() if sigma is None else mx.init.Normal(sigma), ctx=opt.device)
    net.hybridize()
    net(nd.array(data.scaled(splits.train.images[:1]), ctx=opt.device))
    return net


def trainer_of(net, lr, weight_decay=0.0):
    return gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": lr, "wd": weight_decay})


# %% [markdown]
# ## 7.1 The first loss (初始损失值)
# A network that knows nothing gives each of K classes a probability of 1/K. Regularisation adds to its loss,
# which then is
#
# $$
# -\log \frac{1}{K} + \frac{\lambda}{2} \sum w^2
# $$
#
# For ten classes the first part is −log 0.1 = 2.302. Weights that begin too large are sure of wrong answers, and the
# loss is far above.

# %%
checks = {}
for sigma in (0.001, 0.01, 1.0):
    found = checks[sigma] = training.initial_loss(build(sigma), valid, loss, K, devices=[opt.device])
    print(f"weights of deviation {sigma}: loss {found.loss:.3f}, expected {found.expected:.3f}, passed {found.passed}")
net = build(0.01)
squares = sum(float((p.data() ** 2).sum().asscalar()) for name, p in net.collect_params().items() if "weight" in name)
penalty = {weight: checks[0.01].loss + weight / 2 * squares for weight in (0.0, 1.0, 1000.0)}
print("with λ:", {weight: round(value, 3) for weight, value in penalty.items()})
if not OWN:
    chapter.claim("7.1", abs(checks[0.001].loss - math.log(K)) < 0.001)
    chapter.claim("7.1", math.floor(1000 * checks[0.001].expected) / 1000 == 2.302)
    chapter.claim("7.1", checks[0.001].passed and checks[0.01].passed and not checks[1.0].passed)
    chapter.claim("7.1", penalty[0.0] < penalty[1.0] < penalty[1000.0])

# %% [markdown]
# ## 7.2 A tiny subset (小数据集上达到 100 %)
# Twenty examples, no regularisation: every network with enough units learns them by heart. One that cannot has a
# mistake in it; below, its weights are never changed.

# %%
few = splits.train.subset(slice(20))
batch = next(iter(data.Batches(few, 20)))
net = build(None)
tiny = training.overfit_tiny(net, batch, loss, trainer_of(net, 0.3), num_epochs=500, devices=[opt.device])
print(f"all {len(few.labels)} right after {tiny.epochs} epochs; the loss is then {tiny.losses[-1]:.4f}")
if not OWN:
    chapter.claim("7.2", tiny.passed and tiny.accuracies[-1] == 1)
broken = build(None)
broken[0].weight.grad_req = broken[1].weight.grad_req = "null"  # a network that learns its biases alone
stuck = training.overfit_tiny(broken, batch, loss, trainer_of(broken, 0.3), num_epochs=100, devices=[opt.device])
print(f"with weights that never change: {stuck.accuracies[-1]:.2f} after {stuck.epochs} epochs")
if not OWN:
    chapter.claim("7.2", not stuck.passed)

# %% [markdown]
# ## 7.3 A learning rate of 1e−6 (损失几乎不变，准确率却上升)
# Softmax regression, its weights nearly 0. The loss hardly moves, and yet the accuracy climbs. All probabilities are
# still near 0.1, so the loss is still near log 10; but each moves a little in the right direction, and of nearly equal
# numbers the largest wins.

# %%
net = build(1e-5, num_hiddens=0)
X_valid, y_valid = next(iter(valid))


def right_and_wrong():
    """Return the mean probability of the right class, and of the best other one."""
    p = nd.softmax(net(X_valid.as_in_context(opt.device))).asnumpy().astype(np.float64)
    rows = np.arange(len(p))
    right = p[rows, y_valid.asnumpy()].copy()
    p[rows, y_valid.asnumpy()] = 0
    return float(right.mean()), float(p.max(axis=1).mean())


before = right_and_wrong()
start = training.evaluate(valid, net, loss, [opt.device])
batches = data.Batches(learnt, 20, seed=opt.seed)
slow = training.fit(net, batches, valid, loss, trainer_of(net, 1e-6), opt.num_epochs, devices=[opt.device])
after = right_and_wrong()
losses = [start.loss / start.loss_size, *(entry["valid_loss"] for entry in slow)]
accuracies = [start.correct / start.labels, *(entry["valid_accuracy"] for entry in slow)]
print(f"loss {losses[0]:.6f} → {losses[-1]:.6f}, accuracy {accuracies[0]:.2f} → {accuracies[-1]:.2f}")
print(f"right class and best other: {before[0]:.8f} {before[1]:.8f} → {after[0]:.8f} {after[1]:.8f}")
if not OWN:
    chapter.claim("7.3", abs(losses[-1] - losses[0]) < 0.01 and accuracies[-1] > accuracies[0] + 0.2)
    chapter.claim("7.3", abs(after[0] - 1 / K) < 0.001 and after[0] > before[0])
axes = chapter.figure("tiny_rate", 1, 2, figsize=(8.4, 3))
axes[0].plot(losses, color=COLORS[0])
axes[0].set(title="loss on the validation split", ylim=(0, 2.5), xlabel="epoch")
axes[1].plot(accuracies, color=COLORS[1])
axes[1].set(title="its accuracy", ylim=(0, 1), xlabel="epoch")
for ax in axes:
    ax.locator_params(axis="x", integer=True)

# %% [markdown]
# ## 7.4 A learning rate of 1e6 (损失变成 NaN)
# With a weight decay of 0.001, each step multiplies the weights by 1 − 1000 besides: soon they overflow. The package's
# loops stop there and say where.

# %%
net = build(0.01)
try:
    training.fit(net, batches, valid, loss, trainer_of(net, 1e6, 1e-3), 3, devices=[opt.device])
    said = ""
except training.NonFiniteLoss as error:
    said = str(error)
print("stopped:", said)
told = "learning rate 1e+06" in said and ("nan" in said or "inf" in said)
if not OWN:
    chapter.claim("7.4", "epoch 1, batch " in said and told)

# %% [markdown]
# ## Which rate, then? (学习率的范围)
# The rate η rises with every batch, by the same factor each time, from the first of n batches to the last:
#
# $$
# \eta_i = \eta_0 \left( \frac{\eta_{n-1}}{\eta_0} \right)^{i / (n - 1)}
# $$
#
# The loss is noted (Smith 2017): it stays, falls, and explodes. A good rate lies where it falls most steeply. Beside it
# the losses of whole trainings, with a rate that is too small, right, too large; and of the right one loss and accuracy
# on both splits, which are what to watch while it runs.

# %%
net = build(None)
found = training.lr_range_test(net, batches, loss, trainer_of(net, 0.1), 1e-4, 30, num_steps=120, device=opt.device)
rates = {"too small": 0.001, "right": 0.05, "too large": 2.0}
curves = {}
for name, lr in rates.items():
    net = build(None)
    try:
        curves[name] = training.fit(
            net, batches, valid, loss, trainer_of(net, lr), opt.num_epochs, devices=[opt.device], track_updates=True
        )
    except training.NonFiniteLoss as error:
        print(f"{name}, {lr}: {error}")
axes = chapter.figure("rates", 1, 2, figsize=(9.4, 3.4))
axes[0].semilogx(found.lrs, found.losses, color=COLORS[0])
axes[0].axvline(found.suggested, color=MUTED, linewidth=0.8)
axes[0].set(title="range test", xlabel="learning rate", ylabel="loss of the batch", ylim=(0, 4))
for color, (name, history) in zip(COLORS[1:], curves.items()):
    values = [entry["loss"] for entry in history]
    axes[1].plot(range(1, len(values) + 1), values, color=color, label=f"{name}, {rates[name]:g}")
axes[1].set(title="whole trainings", xlabel="epoch", ylabel="training loss", ylim=(0, 2.6))
axes[1].locator_params(axis="x", integer=True)
axes[1].legend(fontsize="small")
print(f"suggested by the range test: {found.suggested:.3f}")
plot.classifier_history(curves["right"], chapter.figure("history", 1, 2, figsize=(9, 3.2)))

# %% [markdown]
# ## 7.5 Updates beside weights (更新量与参数量的比例)
# Where a training is healthy, the norm of a step's change is a small share of the norm of what it changes:
#
# $$
# \frac{\lVert \Delta w \rVert}{\lVert w \rVert} \approx 10^{-3}
# $$
#
# Much less, and nothing happens. Much more, and it jumps about: here the rate that is too large changes a tenth of the
# weights at each step of the first epoch, and the units that it throws below zero are dead from then on.

# %%
ax = chapter.figure("update_ratios", figsize=(6.2, 3.2))
mean_ratio = {}
for color, (name, history) in zip(COLORS[1:], curves.items()):
    ratios = [np.mean([r for param, r in entry["update_ratios"].items() if "weight" in param]) for entry in history]
    mean_ratio[name] = float(np.mean(ratios[len(ratios) // 2 :]))
    shown = [ratio or np.nan for ratio in ratios]  # 0 has no logarithm
    ax.semilogy(range(1, len(shown) + 1), shown, "o-", color=color, markersize=3, label=f"{name}, {rates[name]:g}")
ax.axhspan(3e-4, 3e-3, color=MUTED, alpha=0.2)
ax.set(xlabel="epoch", ylabel="‖Δw‖ / ‖w‖")
ax.locator_params(axis="x", integer=True)
ax.legend(fontsize="small")
best = {name: max(entry["valid_accuracy"] for entry in history) for name, history in curves.items()}
print("mean ratio of the second half:", {name: f"{value:.1e}" for name, value in mean_ratio.items()})
print("best accuracy on the validation split:", {name: round(value, 3) for name, value in best.items()})
if not OWN:
    chapter.claim("7.5", 3e-4 < mean_ratio["right"] < 1e-2 and mean_ratio["too small"] < 3e-4)
    chapter.claim("7.5", best["right"] > max(best["too small"], best.get("too large", 0)))

# %% [markdown]
# ## What the first layer sees (第一层权重)
# Its weights as pictures, red where a pixel speaks for the unit, blue where against. Before training they are noise.

# %%
net = build(None)
fresh = net[0].weight.data().asnumpy().copy()
training.fit(net, batches, valid, loss, trainer_of(net, 0.1, 1e-3), opt.num_epochs, devices=[opt.device])
shape = splits.train.images.shape[1:]
changed = net[0].weight.data().asnumpy()
axes = chapter.figure("first_layer", 4, 10, figsize=(8.4, 3.6))
for row, weights in zip((axes[:2], axes[2:]), (fresh, changed)):
    weights = weights.reshape(-1, *shape).sum(axis=1)  # of all channels: what a grey pixel says
    limit = np.abs(weights).max() * 0.8
    for ax, unit in zip(row.flat, weights):
        ax.imshow(unit, cmap="RdBu_r", vmin=-limit, vmax=limit)
        ax.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel("before")
axes[2, 0].set_ylabel("after")

# %%
chapter.report(
    first_losses={str(sigma): check.loss for sigma, check in checks.items()},
    tiny_epochs=tiny.epochs,
    accuracy_at_1e_6=accuracies[-1],
    suggested_rate=found.suggested,
    update_ratio=mean_ratio,
    accuracy=best,
)
