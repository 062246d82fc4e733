"""Chapter 20: style transfer

Asks:    what in a network's features is the content of a picture and what its style, and why paint small before large?
Needs:   the embedded pictures, no network, no GPU.  Time: 5 min (--quick 20 s) on two cores.
Claims:  20.1 20.2 20.3 20.4 20.5 20.6
"""

# %% [markdown]
# # Style transfer (样式迁移)
# A picture is changed, step by step, until a fixed network sees in it the content of one picture and the style of
# another (Gatys et al. 2016). The notes ask which layers stand for which, and paint in two stages. Their network is a
# VGG-19 that learned on ImageNet. Its weights are a download; this chapter runs without one, on random filters at
# several scales, whose statistics carry texture and colour too (Ustyuzhaninov et al. 2016; He, Wang & Hopcroft 2016).
# `gluonbook stylize --features vgg19` takes the notes' network.

# %%
import inspect

import numpy as np

import gluonbook as gb
from gluonbook import chapter, data, plot, style
from gluonbook._mxnet import mx, nd
from gluonbook.data.pictures import resize
from gluonbook.plot import COLORS
from gluonbook.style import features, pictures, transfer

opt = chapter.options(
    width=chapter.option(180, quick=150, help="of the first stage, in pixels; the second is four times larger"),
    steps=chapter.option(60, quick=6, help="of the first stage; the second has half of them"),
    sheet_steps=chapter.option(30, quick=3, help="of each picture in the sheet of weights"),
)
content, painted = data.sample_picture("lake"), data.sample_picture("impressionist")
coarse = (opt.width, opt.width * 2 // 3)

# %% [markdown]
# ## 20.1 Standardised, and back (标准化)
# The network takes a picture (N, C, H, W) whose channels have mean 0 and deviation 1 over ImageNet's photographs: the
# notes' 均值为 0，方差为 1. A single picture keeps a mean and a deviation of its own. The way back cuts off what is no
# colour, and gives every pixel as it was.

# %%
X = style.standardise(content)  # (1, 3, H, W)
print(f"shape {X.shape}, mean of each channel {X.mean((0, 2, 3)).round(2)}, deviation {X.std((0, 2, 3)).round(2)}")
chapter.claim("20.1", np.array_equal(style.to_picture(X), content))
population = np.random.default_rng(opt.seed).normal(
    features.MEAN, features.STD, (100_000, 3)
)  # as ImageNet's pixels are
standard = (population - features.MEAN) / features.STD
chapter.claim("20.1", np.allclose(standard.mean(0), 0, atol=0.02) and np.allclose(standard.std(0), 1, atol=0.02))

# %% [markdown]
# ## 20.2 Content from the middle, style from low and high (内容层与样式层)
# A layer near the input knows each pixel, one far from it only what is where. The content is compared in a layer
# between: the same things in the same places, but not the same pixels. The style is compared in low layers (strokes,
# colours) and in high ones (how strokes are laid out). For a VGG-19 these are the book's layers:

# %%
print("VGG-19: style", features.STYLE_LAYERS, "content", features.CONTENT_LAYERS["vgg19"])
names = features.layer_names("vgg19")
low_to_high = [names.index(name) for name in features.STYLE_LAYERS]
middle = names.index(features.CONTENT_LAYERS["vgg19"][0])
chapter.claim("20.2", low_to_high[0] < middle < low_to_high[-1] and low_to_high == sorted(low_to_high))
height, width = pictures.fit_size(content.shape, coarse)
small, small_painted = resize(content, (height, width)), resize(painted, (height, width))
found = style.random_features(height, width, opt.seed, opt.device)
strides = dict(zip(found.layers, found.strides))
(content_layer,) = found.content
print("random filters: style", tuple(found.style), "content", content_layer)
of_style = [strides[name] for name in found.style]
chapter.claim("20.2", min(of_style) < strides[content_layer] < max(of_style))

# %% [markdown]
# Five layers, the four channels of each that vary most: from every edge to where something is.

# %%
outputs = dict(zip(found.layers, found.net(nd.array(style.standardise(small), ctx=opt.device))))
shown = [name for name in found.layers if name in ("filters0", "sums0", "filters1", "sums2", content_layer)]
axes = chapter.figure("features", len(shown), 4, figsize=(8.4, 1.5 * len(shown)))
for row, name in zip(axes, shown):
    channels = outputs[name][0].asnumpy()  # (C, H, W)
    for channel, ax in zip(channels.std((1, 2)).argsort()[::-1], row):
        ax.imshow(channels[channel], cmap="gray", vmax=np.quantile(channels[channel], 0.99))
        ax.set(xticks=[], yticks=[])
    row[0].set_ylabel(f"{name}\n{outputs[name].shape[1:]}", fontsize="small")

# %% [markdown]
# What a layer's Gram matrix keeps is which channels, c and d, are strong together, not where: shuffled positions k give
# the same matrix. It is divided by C·H·W, so that a large picture weighs no more than a small one:
#
# $$
# G_{c,d} = \frac{1}{C H W} \sum_k Y_{c,k} Y_{d,k}
# $$
#
# Total variation is half the mean difference of neighbours, down and across:
#
# $$
# \frac{1}{2} \left( \operatorname{mean} \left| x_{i+1,j} - x_{i,j} \right| +
# \operatorname{mean} \left| x_{i,j+1} - x_{i,j} \right| \right)
# $$

# %%
print(inspect.getsource(style.gram).split('"""')[2])
Y = outputs["sums1"]
_, C, H, W = Y.shape
columns = Y.asnumpy().reshape(C, H * W).astype(np.float64)  # (C, H·W)
G = style.gram(Y)[0].asnumpy()  # (C, C)
chapter.claim("20.2", np.allclose(G, columns @ columns.T / (C * H * W), rtol=1e-4, atol=1e-6))
shuffled = Y.reshape((1, C, -1))[:, :, np.random.default_rng(opt.seed).permutation(H * W)].reshape(Y.shape)
chapter.claim("20.2", np.allclose(style.gram(shuffled)[0].asnumpy(), G, rtol=1e-4, atol=1e-6))
x = style.standardise(small)
by_hand = 0.5 * (np.abs(np.diff(x, axis=2)).mean() + np.abs(np.diff(x, axis=3)).mean())
chapter.claim("20.2", np.isclose(style.tv_loss(nd.array(x)).asscalar(), by_hand, rtol=1e-4))
grams = {}
for title, picture in (("the lake", small), ("the painting", small_painted)):
    seen = dict(zip(found.layers, found.net(nd.array(style.standardise(picture), ctx=opt.device))))
    grams[title] = style.gram(seen["sums1"])[0].asnumpy()
axes = chapter.figure("gram", 1, 2, figsize=(7.6, 3.6))
for ax, (title, matrix) in zip(axes, grams.items()):
    image = ax.imshow(matrix, cmap="viridis", vmin=0, vmax=np.quantile([*grams.values()], 0.98))
    ax.set(title=f"Gram matrix of {title}", xlabel="channel", ylabel="channel")
ax.figure.colorbar(image, ax=axes, shrink=0.8, extend="max")


# %% [markdown]
# ## What each loss does alone (内容损失、样式损失、总变差损失)
# A transfer minimises the sum of the three losses, of content, style and total variation, each with a weight:
#
# $$
# L = w_c L_c + w_s L_s + w_t L_t
# $$
#
# Two start from faint noise: the content loss alone brings the scene back, without fine detail and without colour, for
# the content layer's filters are grey; the style loss alone paints the texture and palette, with no scene. Total
# variation alone, from the lake, flattens.


# %%
def minimise(x, weights, steps):
    target = style.make_objective(
        found, style.standardise(small), [style.Style(style.standardise(small_painted))], weights, None, opt.device
    )
    optimiser = style.LBFGS(x)
    first = style.evaluate(target, x)[0]

    def value_and_gradient(x):
        losses, gradient = style.evaluate(target, x)
        return losses.total, gradient

    for _ in range(steps):
        if not optimiser.step(value_and_gradient):
            break
    return style.to_picture(optimiser.x), first, style.evaluate(target, optimiser.x)[0]


noise = 0.1 * np.random.default_rng(opt.seed).standard_normal(x.shape).astype(np.float32)
suited = found.weights
alone = {
    "content loss": minimise(noise, style.Weights(1.0, 0.0, 0.0), opt.steps),
    "style loss": minimise(noise, style.Weights(0.0, suited.style, 0.0), opt.steps),
    "total variation": minimise(x, style.Weights(0.0, 0.0, 1.0), opt.steps),
    "all three": minimise(x, suited, opt.steps),
}
axes = chapter.figure("each_loss_alone", 2, 3, figsize=(10, 4.8))
shown = {"content": small, "style": small_painted, **{name: picture for name, (picture, _, _) in alone.items()}}
for ax, (title, picture) in zip(axes.flat, shown.items()):
    plot.picture(picture, ax).set_title(title)
for name, (_, first, last) in alone.items():
    print(f"{name}: from {first.total:.4g} to {last.total:.4g}")
    chapter.claim("20.6", last.total < first.total)

# %% [markdown]
# ## 20.3, 20.4 Which way round, and how many times larger (高与宽)
# The notes say "height 300, width 200" (高为 300 宽 200). The book's code calls `imresize(img, 300, 200)`, whose
# arguments are width, then height: the picture is 300 wide. And from 300×200 to 1200×800 both sides grow four times,
# not three (放大 3 倍).

# %%
resized = mx.image.imresize(nd.array(content), 300, 200)
print(f"imresize(img, 300, 200) has the shape {resized.shape}: height {resized.shape[0]}, width {resized.shape[1]}")
chapter.claim("20.3", resized.shape == (200, 300, 3))
chapter.erratum(
    "20.3",
    resized.shape[1] > resized.shape[0],
    notes="The picture is first resized to height 300 and width 200.",
    truth="The book's code resizes to width 300 and height 200: `imresize` takes the width first.",
)
(first_width, first_height), (second_width, second_height) = transfer.NOTES_STAGES
print(f"{second_width} / {first_width} = {second_width / first_width:g}, {second_height} / {first_height} =", end=" ")
print(f"{second_height / first_height:g}")
chapter.claim("20.4", second_width / first_width == second_height / first_height == 4)
chapter.erratum(
    "20.4",
    second_width == 4 * first_width != 3 * first_width,
    notes="The result is then enlarged three times.",
    truth="From 300×200 to 1200×800 each side grows four times, and the area sixteen times.",
)

# %% [markdown]
# ## 20.5 Small first, then large (先小后大)
# In a small picture a step is cheap and the network sees far: large forms and colours are settled there. The second
# stage starts from the result, enlarged four times, and paints what is fine. Beside it a run of the second size that
# starts from the content.

# %%
fine = (4 * coarse[0], 4 * coarse[1])
settings = {"seed": opt.seed, "device": opt.device}
first = gb.stylize(content, painted, stages=[coarse], steps=opt.steps, **settings)
second = gb.stylize(
    content, painted, opt.out / "lake.png", stages=[coarse, fine], steps=[opt.steps, opt.steps // 2], **settings
)
direct = gb.stylize(content, painted, stages=[fine], steps=opt.steps // 2, **settings)
totals = {
    "after the small stage": [sum(e[k] for k in style.Losses._fields) for e in second.history if e["stage"] == 2],
    "from the content": [sum(e[k] for k in style.Losses._fields) for e in direct.history],
}
staged, plain = totals.values()
reached = next((i for i, value in enumerate(staged, 1) if value <= plain[-1]), None)
print(
    f"from the content: loss {plain[-1]:.4g} after {len(plain)} steps; after the small stage: {reached} steps to that"
)
chapter.claim("20.5", reached is not None and reached < len(plain))
chapter.claim("20.5", second.picture.shape[:2] == (4 * first.picture.shape[0], 4 * first.picture.shape[1]))

# %%
ax = chapter.figure("staged_or_not", figsize=(5.4, 3.4))
for color, (title, values) in zip(COLORS, totals.items()):
    ax.semilogy(range(1, len(values) + 1), values, color=color, label=title, marker="o", markersize=3)
ax.set(xlabel=f"step at {fine[0]}x{fine[1]}", ylabel="loss")
ax.xaxis.get_major_locator().set_params(integer=True)
ax.legend()

# %% [markdown]
# Both stages at the same scale, and a part of them.

# %%
enlarged = resize(first.picture, second.picture.shape[:2])
H, W = enlarged.shape[:2]
part = slice(H // 3, 2 * H // 3), slice(W // 4, W // 4 + W // 3)
axes = chapter.figure("two_stages", 2, 2, figsize=(10, 7))
for column, title, picture in zip(axes.T, ("first stage, enlarged", "second stage"), (enlarged, second.picture)):
    plot.picture(picture, column[0]).set_title(title)
    plot.picture(picture[part], column[1])

# %% [markdown]
# ## 20.6 What was reached (结果)
# By how much the style loss fell from the content to the result, and how well the scene can still be told: the
# correlation of the content layer's outputs, where 1 is the content itself and 0 is nothing in common.

# %%
H, W = second.picture.shape[:2]
judge = style.random_features(H, W, opt.seed, opt.device)


def seen(picture):
    return dict(zip(judge.layers, judge.net(nd.array(style.standardise(resize(picture, (H, W))), ctx=opt.device))))


before, after, wanted = seen(content), seen(second.picture), seen(painted)
layers = list(judge.style)
distances = [
    sum(style.style_loss(style.gram(own[name]), style.gram(wanted[name])).asscalar() for name in layers)
    for own in (before, after)
]
(content_layer,) = judge.content
correlation = np.corrcoef(before[content_layer].asnumpy().ravel(), after[content_layer].asnumpy().ravel())[0, 1]
print(f"style loss {distances[0] / distances[1]:.0f} times smaller; correlation with the content {correlation:.2f}")
if not opt.quick:
    chapter.claim("20.6", distances[0] > 5 * distances[1])
    chapter.claim("20.6", correlation > 0.5)
chapter.claim("20.6", pictures.read_settings(opt.out / "lake.png")["finished"])

# %% [markdown]
# ## How much of each (权重)
# A photograph in the woodcut's style, with content and style weights around those that suit. Only their ratio matters,
# but for total variation: the diagonal is nearly one picture.

# %%
photograph, woodcut = data.sample_picture("china"), data.sample_picture("woodcut")
axes = chapter.figure("weights", 3, 3, figsize=(10, 7.2))
factors = (0.1, 1, 10)
for row, by_content in zip(axes, factors):
    for ax, by_style in zip(row, factors):
        weights = {"content_weight": by_content * suited.content, "style_weight": by_style * suited.style}
        made = gb.stylize(photograph, woodcut, stages=[coarse], steps=opt.sheet_steps, **weights, **settings)
        plot.picture(made.picture, ax)
        ax.set_title(f"content {weights['content_weight']:g}, style {weights['style_weight']:g}", fontsize="small")

# %%
chapter.report(
    steps_from_the_content=len(plain),
    steps_after_the_small_stage=reached,
    style_loss_fell_by=distances[0] / distances[1],
    correlation_with_the_content=correlation,
    picture=str(opt.out / "lake.png"),
)
