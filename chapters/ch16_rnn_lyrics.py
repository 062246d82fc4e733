"""Chapter 16: lyrics from a recurrent network

Asks:    how does a network read a corpus in batches, and how well can it guess the next character?
Needs:   the embedded songs, no network, no GPU.  Time: 3 min (--quick 10 s) on two cores.
Claims:  16.1 16.2 16.3 16.4 16.5 16.6 16.7
"""

# %% [markdown]
# # Lyrics from a recurrent network (循环神经网络)
# A character model reads a text and guesses, at every character, the next one. The notes ask three things of it: how
# data and labels are related, how a batch is cut from one long text, and what the network's arrays look like. Here each
# is shown on numbers small enough to check by hand; then four networks learn the first characters of the embedded
# songs.

# %%
import inspect
import math
import time

import numpy as np

from gluonbook import chapter, data, lyrics, training
from gluonbook._mxnet import autograd, gluon, nd
from gluonbook.lyrics import from_scratch
from gluonbook.plot import COLORS, INK, MUTED, bars, perplexity_curves

opt = chapter.options(
    characters=chapter.option(10_000, quick=500, help="of the corpus, from its start"),
    num_hiddens=chapter.option(256, quick=128, help="H, hidden units"),
    batch_size=chapter.option(32, quick=8, help="N"),
    num_steps=chapter.option(35, quick=8, help="T"),
    num_epochs=chapter.option(30, quick=40, help="of the Gluon networks"),
    notes_epochs=chapter.option(100, quick=60, help="of the network from scratch, by the notes' recipe (theirs: 250)"),
    scratch_epochs=chapter.option(40, quick=40, help="of the network from scratch, by the other recipe, at most"),
)
N, T, H = opt.batch_size, opt.num_steps, opt.num_hiddens

# %% [markdown]
# ## 16.1 The label is the next character (数据与标签)
# The corpus below is 0, 1, 2, …, 29, so that every index tells its own place. What follows a character is its label:
# each row of Y is the row of X one step on.

# %%
X, Y = next(lyrics.batches_adjacent(range(30), batch_size=2, num_steps=6))
print("X", *X.tolist(), sep="\n  ")
print("Y", *Y.tolist(), sep="\n  ")
one_row, next_row = next(lyrics.batches_adjacent(range(30), batch_size=1, num_steps=29))  # (1, 29) each
print("data ", one_row[0, 9:12], " label", next_row[0, 9:12])
chapter.claim("16.1", one_row[0, 9:12].tolist() == [9, 10, 11] and next_row[0, 9:12].tolist() == [10, 11, 12])
chapter.claim("16.1", all((Y == X + 1).all() for X, Y in lyrics.batches_random(range(30), 2, 6, seed=opt.seed)))

# %% [markdown]
# ## 16.2 Adjacent and random batches (相邻采样与随机采样)
# Adjacent batches first lay the corpus out as N long rows; a batch is a few columns of all of them. So row i of a batch
# goes on where row i of the one before it stopped. This is the whole function:

# %%
print(inspect.getsource(lyrics.batches_adjacent).split('"""')[2])

# %%
adjacent = list(lyrics.batches_adjacent(range(30), batch_size=2, num_steps=6))
scattered = list(lyrics.batches_random(range(30), batch_size=2, num_steps=6, seed=4))
axes = chapter.figure("batches", 2, 1, figsize=(9, 2.6))
for ax, batches, title in zip(axes, (adjacent, scattered), ("adjacent batches", "random batches")):
    ax.set(xlim=(0, 30), ylim=(-0.9, 1))
    ax.set_title(title, loc="left")
    ax.axis("off")
    ax.broken_barh([(i, 1) for i in range(30)], (0, 1), color="#eeeeee", edgecolor="white", linewidth=2)
    for k, (X, _) in enumerate(batches):
        for r, line in enumerate(X):
            ax.broken_barh([(i, 1) for i in line], (0, 1), color=COLORS[k], edgecolor="white", linewidth=2)
            ax.text(line[0] + 3, -0.6, f"batch {k + 1}, row {r + 1}", ha="center", color=COLORS[k])
    used = np.concatenate([X.ravel() for X, _ in batches])
    for i in range(30):
        ax.text(i + 0.5, 0.5, i, ha="center", va="center_baseline", color="white" if i in used else MUTED)

# %%
starts = adjacent[0][0][:, 0].tolist()
print("the first batch's rows start at", starts)
chapter.claim("16.2", starts == [0, 15])
chapter.claim("16.2", all((a[:, -1] + 1 == b[:, 0]).all() for (a, _), (b, _) in zip(adjacent, adjacent[1:])))
dealt = [int(first) for X, _ in scattered for first in X[:, 0]]
chapter.claim("16.2", dealt != sorted(dealt) and sorted(dealt) == [0, 6, 12, 18])

# %% [markdown]
# Because the rows continue each other, the state at the end of a batch is the right start for the next. Two adjacent
# batches with the state carried give what one long batch gives; started from zero they do not. The carried state is
# detached: no gradient goes back through it into the batch before.

# %%
params = from_scratch.init_params(30, 8)
for param in params:
    param[:] = nd.random.normal(shape=param.shape)
onehot = [from_scratch.to_onehot(X, 30) for X, _ in adjacent]
state = from_scratch.init_state(2, 8)
whole, _ = from_scratch.rnn(onehot[0] + onehot[1], state, params)  # 12 outputs (2, 30)
_, after_first = from_scratch.rnn(onehot[0], state, params)
carried, _ = from_scratch.rnn(onehot[1], after_first, params)  # 6 outputs (2, 30)
restarted, _ = from_scratch.rnn(onehot[1], state, params)


def gap(outputs):
    return float(nd.abs(nd.concat(*outputs, dim=0) - nd.concat(*whole[6:], dim=0)).max().asscalar())


print(f"largest difference from one long batch: carried {gap(carried):.1e}, from zero {gap(restarted):.1e}")
chapter.claim("16.2", gap(carried) < 1e-5 < 0.1 < gap(restarted))

first = from_scratch.to_onehot(adjacent[0][0], 30)
for step in first:
    step.attach_grad()
with autograd.record():
    _, (hidden,) = from_scratch.rnn(first, state, params)
    outputs, _ = from_scratch.rnn(onehot[1], (hidden.detach(),), params)
    total = sum(output.sum() for output in outputs)
total.backward()
chapter.claim("16.2", all((step.grad == 0).asnumpy().all() for step in first))

# %% [markdown]
# ## 16.3 Shapes (形状)
# The notes feed the rows 0…4 and 5…9, two characters a step. Each X is (2, V), the state (2, H), and there are five
# outputs (2, V). No weight's shape holds the batch size: the same weights serve two rows, or one.

# %%
V = 1027
pairs = nd.arange(10).reshape((2, 5))
print(pairs.T.asnumpy().astype(int).tolist())
inputs = from_scratch.to_onehot(pairs, V)
params = from_scratch.init_params(V, 256)
outputs, (hidden,) = from_scratch.rnn(inputs, from_scratch.init_state(2, 256), params)
print("X", inputs[0].shape, " H", hidden.shape, " outputs", len(outputs), "of", outputs[0].shape)
chapter.claim("16.3", pairs.T.asnumpy().tolist() == [[0, 5], [1, 6], [2, 7], [3, 8], [4, 9]])
chapter.claim("16.3", [x.shape for x in inputs] == [(2, V)] * 5 and hidden.shape == (2, 256))
chapter.claim("16.3", [y.shape for y in outputs] == [(2, V)] * 5)
alone, _ = from_scratch.rnn([x[:1] for x in inputs], from_scratch.init_state(1, 256), params)
chapter.claim("16.3", np.allclose(alone[-1].asnumpy(), outputs[-1][:1].asnumpy(), atol=1e-6))

# %% [markdown]
# ## 16.5 Perplexity (困惑度)
# Perplexity is the exponential of the mean cross-entropy: among how many equally likely characters the model hesitates.
# Where it gave n true characters the probabilities p, it is
#
# $$
# \exp \left( -\frac{1}{n} \sum_{i=1}^{n} \log p_i \right)
# $$
#
# That is 1 for one that is always right, V for one that knows nothing, infinite for one that is certain and wrong.

# %%
truth = np.array([3, 1, 4, 1, 5])
right = np.eye(V)[truth]  # (5, V): the whole probability on the true character
guesses = {"always right": right, "uniform": np.full((5, V), 1 / V), "certain and wrong": np.roll(right, 1, axis=1)}
cross_entropy = gluon.loss.SoftmaxCrossEntropyLoss()
for name, p in guesses.items():
    with np.errstate(divide="ignore"):
        log_p = np.log(p)
    value = training.perplexity(-log_p[np.arange(5), truth].mean())
    of_logits = training.perplexity(cross_entropy(nd.array(log_p.clip(-1e4)), nd.array(truth)).mean().asscalar())
    print(f"{name:<18} {value:.10g}, and from logits through Gluon's loss {of_logits:.6g}")
    expected = {"always right": 1, "uniform": V, "certain and wrong": math.inf}[name]
    chapter.claim("16.5", math.isclose(value, expected, rel_tol=1e-12))
    chapter.claim("16.5", math.isclose(of_logits, expected, rel_tol=1e-5))  # float32

# %% [markdown]
# ## 16.7 Epoch, batch size, iteration (迭代)
# The corpus in use: the first characters of the embedded songs, newlines as spaces, as in the notes. An epoch sees each
# row once; an iteration is one batch, one update of the weights. L characters in N adjacent rows, T steps
# a batch, are so many iterations an epoch:
#
# $$
# \left\lfloor \frac{\lfloor L / N \rfloor - 1}{T} \right\rfloor
# $$

# %%
text = data.embedded_songs()[: opt.characters].replace("\n", " ")
vocabulary = lyrics.Vocabulary(text)
corpus = vocabulary.encode(text)
iterations = len(list(lyrics.batches_adjacent(corpus, N, T)))
print(f"{len(corpus)} characters, {len(vocabulary)} distinct; {N} rows of {len(corpus) // N}, cut into {T} steps")
print(f"{iterations} iterations an epoch, {iterations * 250} in the notes' 250 epochs")
chapter.claim("16.7", iterations == (len(corpus) // N - 1) // T)
chapter.claim("16.7", len(list(lyrics.batches_random(corpus, N, T))) == (len(corpus) - 1) // T // N)

# %% [markdown]
# ## 16.6 Four networks learn (训练)
# The first is written out, as in the notes. Its step is these few lines:

# %%
print(inspect.getsource(from_scratch.rnn).split('"""')[2])

# %% [markdown]
# The notes' recipe for it: weights from N(0, 0.01²), gradients clipped to a joint norm of 0.01, plain gradient descent
# with a learning rate of 100. The book's own corpus has refrains that come back word for word; these songs repeat no
# line and are harder to learn by heart.


# %%
def train_from_scratch(name, params, num_epochs, **recipe):
    start, curve = time.perf_counter(), []
    for perplexity in from_scratch.train_epochs(
        params, lambda: lyrics.batches_adjacent(corpus, N, T), num_epochs, **recipe
    ):
        curve.append(perplexity)
        if perplexity < 1.3:
            break
    seconds[name], curves[name] = time.perf_counter() - start, curve
    print(f"{name}: perplexity {curve[-1]:.3f} after {len(curve)} epochs, {seconds[name]:.0f} s")


curves, seconds = {}, {}
params = from_scratch.init_params(len(vocabulary), H, opt.device)
train_from_scratch("from scratch, notes", params, opt.notes_epochs)
chapter.claim("16.6", curves["from scratch, notes"][-1] < curves["from scratch, notes"][0] / 2)

# %% [markdown]
# The same network learns them in a fraction of the epochs when its weights start at a useful size (each layer passes on
# about the variance that it gets) and each has a step of its own, by Adam (Kingma & Ba 2015), with θ = 1.


# %%
def adam(params, beta1=0.9, beta2=0.999, t=0):
    mean, square = [nd.zeros_like(param) for param in params], [nd.zeros_like(param) for param in params]

    def update(params, lr):
        nonlocal t
        t += 1
        for param, m, v in zip(params, mean, square):
            m[:] = beta1 * m + (1 - beta1) * param.grad
            v[:] = beta2 * v + (1 - beta2) * param.grad**2
            param[:] = param - lr * (m / (1 - beta1**t)) / ((v / (1 - beta2**t)).sqrt() + 1e-8)

    return update


params = from_scratch.init_params(len(vocabulary), H, opt.device)
for param, deviation in zip(params, (0.8, H**-0.5, 0, (2 / (H + len(vocabulary))) ** 0.5, 0)):
    param[:] = param / 0.01 * deviation
train_from_scratch("from scratch", params, opt.scratch_epochs, lr=0.01, theta=1, update=adam(params))

# %% [markdown]
# The other three are Gluon's fused layers with this package's recipe: an embedding, Adam, a falling learning rate.

# %%
models = {}
for cell in ("rnn", "gru", "lstm"):
    start = time.perf_counter()
    models[cell] = lyrics.train(
        text, None, cell=cell, num_hiddens=H, batch_size=N, num_steps=T, num_epochs=opt.num_epochs, held_out=0,
        seed=opt.seed, device=opt.device,
    )  # fmt: skip
    seconds[cell.upper()] = time.perf_counter() - start
    curves[cell.upper()] = [entry["train"] for entry in models[cell].history]
    print(f"{cell}: perplexity {curves[cell.upper()][-1]:.3f} after {seconds[cell.upper()]:.1f} s")

# %%
ax = chapter.figure("perplexity", figsize=(7, 4))
perplexity_curves(curves, ax, bound=1.3)
ax.set(xscale="log", title="perplexity on the training text, by epoch")
ax.xaxis.set_major_formatter("{x:g}")
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
for name in ("from scratch", "RNN", "GRU", "LSTM"):
    chapter.claim("16.6", min(curves[name]) < 1.3)

# %% [markdown]
# ## 16.4 Writing (创作歌词)
# To write, the network reads the prefix character by character, and then, each time, its own best guess: while
# t < len(prefix) − 1 the next character comes from the prefix. The prefix stands unchanged in the output and num_chars
# new characters follow.

# %%
num_chars = 50
prefixes = [prefix for prefix in ("分开", "不分开") if not vocabulary.unknown(prefix)]
for prefix in prefixes:
    written = vocabulary.decode(from_scratch.predict(vocabulary.encode(prefix), num_chars, params))
    print(f"from scratch  {written}")
    chapter.claim("16.4", written.startswith(prefix) and len(written) == len(prefix) + num_chars)
    for cell, model in models.items():
        (written,) = lyrics.generate(model, prefix, num_chars, temperature=0)
        print(f"{cell:<12}  {written}")
        chapter.claim("16.4", written.startswith(prefix) and len(written) == len(prefix) + num_chars)

# %% [markdown]
# What the GRU expects after a prefix: its five most probable next characters.

# %%
prefixes += ["不"] if len(prefixes) < 3 else []
axes = chapter.figure("next_characters", 1, len(prefixes), figsize=(9, 2.6), squeeze=False)[0]
for ax, prefix in zip(axes, prefixes):
    expected = lyrics.probabilities(models["gru"], prefix)
    best = {("␣" if token == " " else token): p for token, p in list(expected.items())[:5]}
    bars(best, ax, digits=3)
    ax.set_title(f"after {prefix}", color=INK)

# %% [markdown]
# A perplexity near 1 on the training text means that the network knows it by heart. On songs that it has not seen it is
# far worse, and that number, not the first, says how well it would do on new text; `gluonbook lyrics train` prints
# both.

# %%
chapter.report(
    characters=len(corpus),
    vocabulary=len(vocabulary),
    iterations_per_epoch=iterations,
    perplexity={name: values[-1] for name, values in curves.items()},
    epochs={name: len(values) for name, values in curves.items()},
    seconds=seconds,
)
