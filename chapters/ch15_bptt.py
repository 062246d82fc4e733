"""Chapter 15: back-propagation through time

Asks:    what shape has each derivative of a recurrent network, and why do gradients vanish or explode over many steps?
Needs:   no data, no GPU.  Time: 5 s (--quick 3 s) on two cores.
Claims:  15.1 15.2 15.3 15.4
"""

# %% [markdown]
# # Back-propagation through time (循环网络的反向传播)
# A recurrent network unrolled over T steps is a deep network whose layers share their weights. Its gradients are those
# of any network, added up over the steps. Here they are written out in NumPy, held against autograd, and followed back
# over many steps.

# %%
import inspect

import numpy as np

from gluonbook import chapter, training
from gluonbook._mxnet import autograd, nd
from gluonbook.lyrics import from_scratch
from gluonbook.plot import COLORS, MUTED

opt = chapter.options(
    num_steps=chapter.option(60, quick=30, help="T, steps that a gradient goes back"),
    num_draws=chapter.option(2000, quick=300, help="gradients drawn for the clipping figure"),
)
rng = np.random.default_rng(opt.seed)

# %% [markdown]
# ## 15.1 Shapes (维度)
# n rows in a batch, x inputs, h hidden units, y outputs, T steps. Step t computes
#
# $$
# Z_t = X_t W_{xh} + H_{t-1} W_{hh} + b_h, \qquad H_t = \tanh(Z_t), \qquad O_t = H_t W_{hy} + b_y
# $$
#
# The loss J is the mean cross-entropy over all rows and steps.

# %%
n, x, h, y, T = 4, 5, 3, 6, 7
shapes = {"W_xh": (x, h), "W_hh": (h, h), "b_h": (h,), "W_hy": (h, y), "b_y": (y,)}
params = {name: rng.normal(size=shape) for name, shape in shapes.items()}
X = np.eye(x)[rng.integers(x, size=(T, n))]  # (T, n, x) one-hot
truth = rng.integers(y, size=(T, n))
start = rng.normal(size=(n, h))


def forward(X, H, W_xh, W_hh, b_h, W_hy, b_y):
    """Return the states before and after each step, (T + 1, n, h), and the outputs, (T, n, y)."""
    states, outputs = [H], []
    for X_t in X:
        states.append(np.tanh(X_t @ W_xh + states[-1] @ W_hh + b_h))  # (n, h)
        outputs.append(states[-1] @ W_hy + b_y)  # (n, y)
    return np.array(states), np.array(outputs)


def cross_entropy(outputs, truth):
    """Return J, the mean over rows and steps, and dJ/dO, (T, n, y): softmax minus one-hot, over T n."""
    p = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    onehot = np.eye(outputs.shape[-1])[truth]
    return -np.log((p * onehot).sum(axis=-1)).mean(), (p - onehot) / truth.size


# %% [markdown]
# Backwards, each derivative has the shape of what it is a derivative by. tanh acts on each number alone, so its
# Jacobian is diagonal, and dJ/dZ is the element-wise product of dJ/dH and 1 − H². A state acts on its own output and,
# but for the last one, on the step after it; a weight acts in all steps, so its gradient is their sum:
#
# $$
# \frac{dJ}{dH_t} = \frac{dJ}{dO_t} W_{hy}^\top + \frac{dJ}{dZ_{t+1}} W_{hh}^\top, \qquad
# \frac{dJ}{dW_{hh}} = \sum_{t=1}^{T} H_{t-1}^\top \frac{dJ}{dZ_t}
# $$


# %%
def bptt(X, states, dO, W_hh, W_hy):
    """Go back through the steps; return the gradients by parameter name, and dJ/dZ and dJ/dH of every step."""
    grads = {name: np.zeros(shape) for name, shape in shapes.items()}
    dZ, dH = np.zeros_like(states[1:]), np.zeros_like(states[1:])
    after = np.zeros_like(states[0])  # what the steps after this one send back to its state
    for t in reversed(range(len(X))):
        dH[t] = dO[t] @ W_hy.T + after  # (n, h)
        dZ[t] = dH[t] * (1 - states[t + 1] ** 2)  # (n, h), element by element
        after = dZ[t] @ W_hh.T
        grads["W_hy"] += states[t + 1].T @ dO[t]  # (h, y)
        grads["b_y"] += dO[t].sum(axis=0)  # (y,)
        grads["W_xh"] += X[t].T @ dZ[t]  # (x, h)
        grads["W_hh"] += states[t].T @ dZ[t]  # (h, h)
        grads["b_h"] += dZ[t].sum(axis=0)  # (h,)
    return grads, dZ, dH


states, outputs = forward(X, start, **params)
J, dO = cross_entropy(outputs, truth)
grads, dZ, dH = bptt(X, states, dO, params["W_hh"], params["W_hy"])
print(f"{'':<6}{'shape':<12}derivative's shape")
for name, value in {"O": outputs, "Z": states[1:], "H": states[1:], **params}.items():
    derivative = {"O": dO, "Z": dZ, "H": dH, **grads}[name]
    print(f"{name:<6}{value.shape!s:<12}{derivative.shape}")
    chapter.claim("15.1", derivative.shape == value.shape)
chapter.claim("15.1", outputs.shape == (T, n, y) and states.shape == (T + 1, n, h) and X.shape == (T, n, x))

# %%
jacobian = np.diag(1 - states[-1, 0] ** 2)  # (h, h) of tanh at the last step, first row
chapter.claim("15.1", np.allclose(dZ[-1, 0], jacobian @ dH[-1, 0]))
chapter.claim("15.1", np.allclose(dZ, dH * (1 - states[1:] ** 2)))

# %% [markdown]
# ## 15.2 The same by autograd, and by differences (与自动求导比较)
# The package's network from scratch, in MXNet, gets the same weights; autograd gives its gradients. A third witness is
# the difference quotient of J itself, one weight after the other.

# %%
arrays = [nd.array(value, dtype="float64") for value in params.values()]
for array in arrays:
    array.attach_grad()
with autograd.record():
    logits, _ = from_scratch.rnn(list(nd.array(X, dtype="float64")), (nd.array(start, dtype="float64"),), arrays)
    picked = nd.log_softmax(nd.stack(*logits)).pick(nd.array(truth, dtype="float64"))  # (T, n)
    loss = -picked.mean()
loss.backward()
difference = {name: np.abs(array.grad.asnumpy() - grads[name]).max() for name, array in zip(params, arrays)}


def slope(name, place, step=1e-6):
    """Return the centred difference quotient of J by one entry of a parameter."""
    values = []
    for sign in (1, -1):
        moved = {key: value.copy() for key, value in params.items()}
        moved[name][place] += sign * step
        values.append(cross_entropy(forward(X, start, **moved)[1], truth)[0])
    return (values[0] - values[1]) / (2 * step)


numeric = {
    name: max(abs(slope(name, place) - grads[name][place]) for place in np.ndindex(shape))
    for name, shape in shapes.items()
}
for name in params:
    print(f"d{name:<5} against autograd {difference[name]:.1e}, against difference quotients {numeric[name]:.1e}")
chapter.claim("15.2", abs(loss.asscalar() - J) < 1e-12)
chapter.claim("15.2", max(difference.values()) < 1e-12 and max(numeric.values()) < 1e-8)

# %% [markdown]
# ## 15.3 Vanishing and exploding (梯度衰减与爆炸)
# Going back one step multiplies by W_hhᵀ and by 1 − H², which is at most 1. From T back to i these are T − i products:
# with ‖W‖ < 1 what arrives is at most ‖W‖ to that power. With ‖W‖ > 1 it may grow as fast. Below, a loss at step T
# alone, W = ρ times a rotation, so that every singular value is ρ: without tanh (lines) the norm is exactly ρ to the
# power T − i; with it (dots) less arrives.

# %%
T, h = opt.num_steps, 32
rotation, _ = np.linalg.qr(rng.normal(size=(h, h)))
last = rng.normal(size=(1, h))
last /= np.linalg.norm(last)  # dJ/dH at step T has norm 1
inputs = rng.normal(scale=0.01, size=(T, 1, h))


def norms_backwards(W, tanh):
    """Return the norm of dJ/dH at each step, from T back to 0: (T + 1,)."""
    H, slopes = np.zeros((1, h)), []
    for X_t in inputs:
        H = np.tanh(X_t + H @ W)
        slopes.append(1 - H**2 if tanh else np.ones_like(H))
    gradient, norms = last, [1.0]
    for slope_t in reversed(slopes):
        gradient = (gradient * slope_t) @ W.T  # (1, h)
        norms.append(np.linalg.norm(gradient))
    return np.array(norms)


ax = chapter.figure("gradient_norms", figsize=(7, 4))
back = np.arange(T + 1)
arrived = {}
for rho, color in zip((0.8, 1.0, 1.2), COLORS):
    linear, squashed = norms_backwards(rho * rotation, tanh=False), norms_backwards(rho * rotation, tanh=True)
    arrived[rho] = [linear[-1], squashed[-1]]
    ax.semilogy(back, linear, color=color)
    ax.semilogy(back, squashed, ".", color=color, markersize=4)
    ax.annotate(f"ρ = {rho}", (T, linear[-1]), xytext=(6, 0), textcoords="offset points", color=color, va="center")
    chapter.claim("15.3", np.allclose(linear, rho**back))
    chapter.claim("15.3", (squashed <= rho**back * (1 + 1e-9)).all())
ax.set(xlabel="steps back, T − i", ylabel="norm of the gradient", xlim=(0, T * 1.12))
ax.set_title("what arrives of a gradient of norm 1; dots: with tanh")
chapter.claim("15.3", max(arrived[0.8]) < 0.01 and min(arrived[1.2]) > 10)

# %% [markdown]
# ## 15.4 Clipping (裁剪梯度)
# The cure for explosion: where the joint norm of all gradients g exceeds θ, all are scaled down to it:
#
# $$
# g \leftarrow \min \left( \frac{\theta}{\lVert g \rVert}, 1 \right) g
# $$
#
# The norm then is θ, the direction stays, and smaller gradients are not touched at all.

# %%
print(inspect.getsource(training.clip_gradients).split('"""')[2])

# %%
theta = 1.0
before, after = [], []
for _ in range(opt.num_draws):
    drawn = [nd.array(rng.normal(size=shape) * 10 ** rng.uniform(-3, 1)) for shape in shapes.values()]
    whole = np.concatenate([array.asnumpy().ravel() for array in drawn]).astype(np.float64)
    training.clip_gradients(drawn, theta)
    clipped = np.concatenate([array.asnumpy().ravel() for array in drawn]).astype(np.float64)
    before.append(np.linalg.norm(whole))
    after.append(np.linalg.norm(clipped))
    cosine = whole @ clipped / (before[-1] * after[-1])
    chapter.claim("15.4", after[-1] <= theta * (1 + 1e-6) and cosine > 1 - 1e-9)
    chapter.claim("15.4", before[-1] > theta or (whole == clipped).all())
chapter.claim("15.4", min(before) < theta / 2 and max(before) > 2 * theta)  # both kinds were drawn

# %%
ax = chapter.figure("clipping", figsize=(5, 3.5))
ax.loglog(before, after, ".", color=COLORS[0], markersize=3)
ax.axvline(theta, color=MUTED, linewidth=0.8)
ax.annotate("θ", (theta, min(after)), xytext=(4, 0), textcoords="offset points", color=MUTED)
ax.set(xlabel="norm before", ylabel="norm after", title="clipping the gradients' joint norm")

# %%
chapter.report(
    largest_difference_to_autograd=max(difference.values()),
    largest_difference_to_quotients=max(numeric.values()),
    norm_after_all_steps={f"rho {rho}": values[0] for rho, values in arrived.items()},
    norm_with_tanh={f"rho {rho}": values[1] for rho, values in arrived.items()},
    largest_norm_before_clipping=max(before),
    largest_norm_after_clipping=max(after),
)
