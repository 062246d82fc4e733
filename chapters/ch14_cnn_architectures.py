"""Chapter 14: convolutional networks

Asks:    how are the well-known networks built, where are their weights, and what does each one's cost buy?
Needs:   scikit-learn's digits, no network, no GPU.  Time: 3 min (--quick 15 s) on two cores.
Claims:  14.1 14.2 14.3 14.4 14.5 14.6
"""

# %% [markdown]
# # Convolutional networks (卷积网络结构)
# Seven networks from LeNet to DenseNet: what is inside, counted layer by layer, and how well each learns digits that
# are enlarged to its input.

# %%
import functools
import time

import numpy as np

from gluonbook import chapter, data, models, plot, training
from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.data import distort
from gluonbook.plot import COLORS, INK, MUTED
from gluonbook.scratch import Dense, Network, ReLU, train
from gluonbook.scratch import weights as draw_weights

opt = chapter.options(
    data=chapter.option("digits", help="digits, fashion_mnist or a folder; the bounds were measured on digits"),
    num_train=chapter.option(600, quick=40, help="pictures that each network learns from"),
    num_valid=chapter.option(200, quick=40, help="pictures that it is measured on"),
    epochs=chapter.option(1.0, quick=0.25, help="factor on each network's number of epochs"),
    largest=chapter.option(227, quick=64, help="pixels of a side at most"),
    degrees=chapter.option(0.0, help="largest turn of a training picture, to either side"),
    shift=chapter.option(0.0, help="largest shift of a training picture, as a share of its side"),
)
nn = gluon.nn
OWN = opt.data not in ("digits", "fashion_mnist")  # pictures of one's own: what was measured on digits is not claimed
SMALL = data.read_classes(opt.data, seed=opt.seed, size=16 if OWN else None)
K, C = len(SMALL.train.classes), SMALL.train.images.shape[1]

# %% [markdown]
# ## 14.1 AlexNet, layer by layer (AlexNet 逐层)
# Five convolutions with poolings between, three dense layers. `summary` prints what each layer puts out, how many
# numbers it learns, and how many products one picture costs. A pooling learns nothing (汇聚层没有参数). With biases, O
# kernels of F×F that see C channels, and a dense layer from D numbers to O, learn
#
# $$
# O (C F^2 + 1), \qquad O (D + 1)
# $$
#
# numbers; in three of AlexNet's convolutions a kernel sees half of the channels.

# %%
rows = models.summary(models.alexnet(), (3, 227, 227))
layers = [row for row in rows if row.kind in ("Convolution", "FullyConnected")]
poolings = [row for row in rows if row.kind == "max pooling"]
shapes = [row.shape for row in layers]
maps = [(96, 55, 55), (256, 27, 27), (384, 13, 13), (384, 13, 13), (256, 13, 13)]
chapter.claim("14.1", shapes == [*maps, (4096,), (4096,), (1000,)])
chapter.claim("14.1", [row.shape for row in poolings] == [(96, 27, 27), (256, 13, 13), (256, 6, 6)])
chapter.claim("14.1", sum(row.parameters for row in rows) == 60_965_224 and sum(p.parameters for p in poolings) == 0)
in_groups = [(3, 11), (48, 5), (256, 3), (192, 3), (192, 3)]  # channels that a kernel sees, and its side
by_hand = [K_out * (seen * side**2 + 1) for (K_out, _, _), (seen, side) in zip(maps, in_groups)]
by_hand += [4096 * (256 * 6 * 6 + 1), 4096 * (4096 + 1), 1000 * (4096 + 1)]
chapter.claim("14.1", [row.parameters for row in layers] == by_hand)
names = [f"conv {i}" for i in range(1, 6)] + [f"dense {i}" for i in range(1, 4)]
axes = chapter.figure("alexnet", 1, 2, figsize=(9, 3))
for ax, attribute, title in zip(axes, ("parameters", "multiply_adds"), ("parameters", "products a picture")):
    plot.bars({name: getattr(row, attribute) / 1e6 for name, row in zip(names, layers)}, ax, digits=2)
    ax.set_title(f"AlexNet: {title}, millions", loc="left")
axes[1].set_yticks([])

# %% [markdown]
# The convolutions do nearly all of the work, the dense layers hold nearly all of the weights.

# %% [markdown]
# ## 14.2 Three small kernels for a large one (3×3 代替 7×7)
# Three 3×3 convolutions one on the other see 7×7 pixels. With C channels in and out they have 27C² weights where one
# 7×7 kernel has 49C², and three non-linearities where it has one. What one output value sees is where its gradient by
# the input is not zero.


# %%
def stack(num_layers, kernel, channels=16):
    """Return convolutions that keep the size, each with ReLU; no biases, to count the kernels alone."""
    net = nn.HybridSequential()
    for _ in range(num_layers):
        net.add(nn.Conv2D(channels, kernel, padding=kernel // 2, use_bias=False), nn.Activation("relu"))
    return net


def seen_by_centre(net, channels, side=11):
    """Return the size of the gradient of the output at the centre by each pixel, (side, side)."""
    net.initialize(mx.init.Uniform(1), force_reinit=True)
    X = nd.random.uniform(shape=(8, channels, side, side))
    X.attach_grad()
    with autograd.record():
        centre = net(X)[:, :, side // 2, side // 2]
    centre.backward()
    return X.grad.abs().sum(axis=(0, 1)).asnumpy()


width = 16
small, large = stack(3, 3, width), stack(1, 7, width)
tables = [models.layer_table(net, (width, 11, 11)) for net in (small, large)]
weights = [sum(row.parameters for row in table) for table in tables]
bends = [sum(row.kind == "relu" for row in table) for table in tables]
print(f"weights {weights}, non-linearities {bends}, each sees {[table[-1].receptive_field for table in tables]} pixels")
chapter.claim("14.2", weights == [27 * width**2, 49 * width**2] and bends == [3, 1])
chapter.claim("14.2", [table[-1].receptive_field for table in tables] == [7, 7])
axes = chapter.figure("three_for_seven", 1, 4, figsize=(9, 2.6))
kinds = [(n, 3) for n in (1, 2, 3)] + [(1, 7)]
for ax, (number, kernel) in zip(axes, kinds):
    seen = seen_by_centre(stack(number, kernel, width), width)
    side = 1 + number * (kernel - 1)
    window = np.zeros_like(seen, bool)
    window[5 - side // 2 : 6 + side // 2, 5 - side // 2 : 6 + side // 2] = True
    chapter.claim("14.2", np.array_equal(seen > 0, window))
    ax.imshow(seen, cmap="Blues")
    ax.axis("off")
    ax.set_title(f"{number} × ({kernel}×{kernel}): sees {side}×{side},\n{number * kernel**2} C² weights", fontsize=9)

# %% [markdown]
# ## 14.3 A dense layer is a convolution (全连接层即卷积)
# The notes' example: 20 maps of 12×12 become 100 numbers. That is a convolution whose kernels are as large as the maps:
# 20 × 100 kernels of 12×12. As a convolution it also runs over larger maps, and answers at every place.

# %%
dense, convolution = nn.Dense(100), nn.Conv2D(100, 12)
for layer in (dense, convolution):
    layer.initialize(mx.init.Normal(0.1))
X = nd.random.normal(shape=(2, 20, 12, 12))
larger = nd.random.normal(shape=(2, 20, 14, 15))
dense(X), convolution(X)  # gives the weights their shapes
convolution.weight.set_data(dense.weight.data().reshape((100, 20, 12, 12)))
same = np.allclose(convolution(X).asnumpy()[:, :, 0, 0], dense(X).asnumpy(), atol=1e-4)
kernels = convolution.weight.shape[0] * convolution.weight.shape[1]
at_places = convolution(larger).asnumpy()
window = dense(larger[:, :, 1:13, 2:14]).asnumpy()
print(f"{kernels} kernels of {convolution.weight.shape[2:]}; over maps of 14×15: {at_places.shape}")
chapter.claim("14.3", same and kernels == 20 * 100 and convolution.weight.shape[2:] == (12, 12))
chapter.claim("14.3", np.allclose(at_places[:, :, 1, 2], window, atol=1e-4))

# %% [markdown]
# ## 14.4 Who needs to know where a pixel is (位置)
# Pictures lie at random places of a larger field. Then every field's pixels are put into one other order, the same for
# all. A dense network's first weights can be put into it too, and then it computes the very same numbers; it never knew
# which pixels are neighbours. A convolution looks at neighbours, wherever they are, and neighbours there are none any
# more.


# %%
def in_fields(pictures, seed):
    """Put each picture at a random place of a field that is 6 pixels larger."""
    images = data.scaled(pictures.images)
    rng, (n, _, height, width) = np.random.default_rng(seed), images.shape
    fields = np.zeros((n, C, height + 6, width + 6), np.float32)
    for field, image, (y, x) in zip(fields, images, rng.integers(0, 7, (n, 2))):
        field[:, y : y + height, x : x + width] = image
    return pictures._replace(images=fields)


few, valid = in_fields(SMALL.train.subset(slice(400)), opt.seed), in_fields(SMALL.valid, opt.seed + 1)
D, order = few.images[0].size, np.random.default_rng(opt.seed).permutation(few.images[0, 0].size)


def permuted(pictures):
    images = pictures.images
    return pictures._replace(images=images.reshape(*images.shape[:2], -1)[:, :, order].reshape(images.shape))


def dense_network(in_order=None):
    rng = np.random.default_rng(opt.seed)
    first = draw_weights((D, 64), "he", rng)
    if in_order is not None:
        first = first.reshape(C, -1, 64)[:, in_order].reshape(first.shape)
    return Network([Dense(first, np.zeros(64)), ReLU(), Dense(draw_weights((64, K), "he", rng), np.zeros(K))])


def convolutional_network():
    net, conv = nn.HybridSequential(), functools.partial(nn.Conv2D, kernel_size=3, padding=1, activation="relu")
    net.add(conv(16), nn.MaxPool2D(2), conv(32), nn.GlobalAvgPool2D(), nn.Dense(K))
    return net


def he():
    return mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2)


accuracies, losses = {"dense": [], "convolutional": []}, []
for change in (lambda pictures: pictures, permuted):
    here, there = change(few), change(valid)
    X, valid_X = (pictures.images.astype(np.float64) for pictures in (here, there))
    net = dense_network(order if change is permuted else None)
    losses.append(list(train(net, X, few.labels, 40, lr=0.1, seed=opt.seed)))
    accuracies["dense"].append(net.accuracy(valid_X, valid.labels))
    mx.random.seed(opt.seed)
    net = convolutional_network()
    net.initialize(he(), ctx=opt.device)
    net.hybridize()
    trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 0.01})
    batches = data.Batches(here, 20, opt.seed), data.Batches(there, 100)
    history = training.fit(net, *batches, gluon.loss.SoftmaxCrossEntropyLoss(), trainer, 10, devices=[opt.device])
    accuracies["convolutional"].append(history[-1]["valid_accuracy"])
lost = {name: before - after for name, (before, after) in accuracies.items()}
print("accuracy in order and permuted:", accuracies)
chapter.claim("14.4", np.allclose(losses[0], losses[1], rtol=1e-9) and lost["dense"] == 0)
if not OWN:
    chapter.claim("14.4", lost["convolutional"] > 0.2)
axes = chapter.figure("permuted", 1, 3, figsize=(9, 2.4), width_ratios=[1, 1, 2])
for ax, pictures, title in zip(axes, (few, permuted(few)), ("a field", "the same, permuted")):
    ax.imshow(pictures.images[0].mean(0), cmap="gray")
    ax.axis("off")
    ax.set_title(title, fontsize="medium")
told = {
    f"{name}, {kind}": v for name, values in accuracies.items() for kind, v in zip(("in order", "permuted"), values)
}
plot.bars(told, axes[2])
axes[2].set_title("accuracy on the validation split", fontsize="medium")

# %% [markdown]
# ## 14.5 Seven networks (各网络结构)
# VGG stacks small kernels; network in network (NiN) puts 1×1 convolutions between; GoogLeNet looks through windows of
# several sizes at once (inception); ResNet adds each block's input to its output (residual); DenseNet puts all earlier
# maps beside the new ones. As published, for pictures of 224 pixels and a thousand classes:

# %%
PUBLISHED = {
    "LeNet-5": (models.lenet(), (1, 32, 32), 61_706, (16, 5, 5)),
    "AlexNet": (models.alexnet(), (3, 227, 227), 60_965_224, (256, 6, 6)),
    "VGG-16": (models.vgg(16), (3, 224, 224), 138_357_544, (512, 7, 7)),
    "NiN": (models.nin(), (3, 224, 224), 7_595_176, (1000, 6, 6)),
    "GoogLeNet": (models.googlenet(), (3, 224, 224), 6_998_552, (1024, 7, 7)),
    "ResNet-18": (models.resnet(18), (3, 224, 224), 11_689_512, (512, 7, 7)),
    "DenseNet-121": (models.densenet(121), (3, 224, 224), 7_978_856, (1024, 7, 7)),
}
parameters, products = {}, {}
for name, (net, shape, count, last_maps) in PUBLISHED.items():
    rows = models.layer_table(net, shape)
    sides = sorted({row.shape[1] for row in rows if len(row.shape) == 3 and row.shape[1] > 1}, reverse=True)
    parameters[name], products[name] = (sum(getattr(row, f) for row in rows) for f in ("parameters", "multiply_adds"))
    maps = models.layer_table(net.features, shape)[-1].shape
    print(f"{name:13} {parameters[name]:>11,} parameters {products[name]:>14,} products; sides {sides}; ends in {maps}")
    chapter.claim("14.5", parameters[name] == count and maps == last_maps)
axes = chapter.figure("published", 1, 2, figsize=(9, 3))
plot.bars({name: count / 1e6 for name, count in parameters.items()}, axes[0])
plot.bars({name: count / 1e6 for name, count in products.items()}, axes[1], digits=1)
axes[0].set_title("parameters, millions", loc="left")
axes[1].set_title("products a picture, millions", loc="left")
axes[1].set_yticks([])

# %% [markdown]
# Now each learns. The digits are enlarged to the network's input; GoogLeNet, ResNet and DenseNet take smaller ones, as
# the notes' book has it. All but LeNet are narrower than published, so that a laptop can train them. `--device
# gpu(0),gpu(1)` divides each batch among devices; `--degrees` and `--shift` turn and shift the pictures.

# %%
RECIPES = {  # network, pixels of a side, epochs, learning rate, least accuracy
    "LeNet-5": (models.lenet(K), 32, 6, 0.003, 0.88),
    "AlexNet": (models.alexnet(K, width=1 / 8), 227, 4, 0.001, 0.88),
    "VGG-11": (models.vgg(11, K, width=1 / 8), 224, 3, 0.0005, 0.85),
    "NiN": (models.nin(K, width=1 / 8), 224, 14, 0.0005, 0.5),
    "GoogLeNet": (models.googlenet(K, width=1 / 4), 96, 7, 0.0005, 0.8),
    "ResNet-18": (models.resnet(18, K, width=1 / 4), 96, 4, 0.001, 0.88),
    "DenseNet-121": (models.densenet(121, K, width=1 / 2), 96, 3, 0.001, 0.85),
}
augment = functools.partial(distort, degrees=opt.degrees, shift=opt.shift) if opt.degrees or opt.shift else None


def fit(name):
    """Train a network by its recipe; return its history and what one picture costs."""
    net, size, num_epochs, lr, _ = RECIPES[name]
    size = max(net.smallest, min(size, opt.largest))
    mx.random.seed(opt.seed)
    splits = data.read_classes(opt.data, seed=opt.seed, size=size)
    few, valid = splits.train.subset(slice(opt.num_train)), splits.valid.subset(slice(opt.num_valid))
    net.initialize(he(), ctx=opt.devices)
    net(nd.zeros((1, C, size, size), ctx=opt.device))
    net.hybridize(static_alloc=True)
    batches = data.Batches(few, 10, opt.seed, augment=augment), data.Batches(valid, 50)
    num_epochs = max(round(num_epochs * opt.epochs), 2)
    falling = mx.lr_scheduler.CosineScheduler(num_epochs * len(batches[0]), base_lr=lr)  # to 0 along half a cosine
    trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": lr, "lr_scheduler": falling})
    loss = gluon.loss.SoftmaxCrossEntropyLoss()
    history = training.fit(net, *batches, loss, trainer, num_epochs, devices=opt.devices, progress=True)
    return history, sum(row.multiply_adds for row in models.layer_table(net, (C, size, size)))


histories, costs = {}, {}
for name in RECIPES:
    start = time.perf_counter()
    histories[name], costs[name] = fit(name)
    last = histories[name][-1]
    print(f"{name:13} accuracy {last['valid_accuracy']:.3f}, {time.perf_counter() - start:5.1f} s")
    if not OWN:
        chapter.claim("14.5", min(entry["loss"] for entry in histories[name][1:]) < histories[name][0]["loss"])
    if opt.data == "digits" and not opt.quick:
        chapter.claim("14.5", last["valid_accuracy"] > RECIPES[name][-1])

# %% [markdown]
# What cost buys on such small and easy pictures: hardly anything. LeNet, the cheapest by far, is within a few
# hundredths of the best.

# %%
axes = chapter.figure("cost", 1, 2, figsize=(9, 3.4))
for color, (name, history) in zip([*COLORS, INK, MUTED], histories.items()):
    values = [entry["valid_accuracy"] for entry in history]
    axes[0].plot(range(1, len(values) + 1), values, color=color, label=name)
axes[0].set(xlabel="epoch", ylabel="accuracy on the validation split", ylim=(0, 1.02))
axes[0].legend(fontsize=8)
accuracies = {name: history[-1]["valid_accuracy"] for name, history in histories.items()}
by_cost = sorted(costs, key=costs.get)
plot.bars({f"{name}, {costs[name] / 1e6:.1f}": accuracies[name] for name in by_cost}, axes[1])
axes[1].set_title("accuracy, by millions of products a picture", fontsize="medium")

# %% [markdown]
# ## 14.6 After global average pooling (全局平均汇聚)
# ResNet ends with the mean of each map Y, and a dense layer over them, fc1000, that still has weights to learn. The
# map M of a class k is the maps weighted by that layer, and its mean is the class's logit z but for the bias:
#
# $$
# M_{k,i,j} = \sum_c W_{k,c} Y_{c,i,j}, \qquad z_k = \frac{1}{H' W'} \sum_{i,j} M_{k,i,j} + b_k
# $$
#
# So the map shows where the picture speaks for the class (类激活图). Here two digits stand side by side, and the
# network is asked for either.

# %%
last = models.layer_table(models.resnet(18), (3, 224, 224))[-1]
print(f"fc1000 of ResNet-18: {last.parameters:,} parameters")
chapter.claim("14.6", last.kind == "FullyConnected" and last.parameters == 513_000)
net = RECIPES["ResNet-18"][0]
size = max(net.smallest, min(RECIPES["ResNet-18"][1], opt.largest))
pictures = data.read_classes(opt.data, seed=opt.seed, size=size).valid.subset(slice(40))
images, labels = data.scaled(pictures.images), pictures.labels
pairs = [(i, j) for i, j in zip(range(0, len(labels), 2), range(1, len(labels), 2)) if labels[i] != labels[j]]
X = nd.array(np.stack([np.concatenate([images[i], images[j]], axis=2) for i, j in pairs]), ctx=opt.device)
logits = net(X).asnumpy()
of_classes = models.class_maps(net, X)  # (N, K, H', W')
bias = net.head[-1].bias.data(opt.device).asnumpy()
chapter.claim("14.6", np.allclose(of_classes.mean(axis=(2, 3)) + bias, logits, atol=1e-3))
sides = ([i for i, _ in pairs], [j for _, j in pairs])
heats = [models.class_activation_maps(net, X, labels[chosen]) for chosen in sides]  # 2 of (N, H, W)
stronger = heats[0] - heats[1]
in_place = float(np.mean(stronger[:, :, :size].mean((1, 2)) > stronger[:, :, size:].mean((1, 2))))
print(f"each class's map is stronger on its own digit in {in_place:.0%} of {len(pairs)} pictures")
if opt.data == "digits" and not opt.quick:
    chapter.claim("14.6", in_place > 0.7)
axes = chapter.figure("class_maps", 2, 4, figsize=(9, 2.6))
for column, ((i, j), picture) in enumerate(zip(pairs, X.asnumpy()[:4])):
    for ax, heat, chosen in zip(axes[:, column], heats, (i, j)):
        plot.activation_map(picture.transpose(1, 2, 0), heat[column], ax)
        ax.set_title(f"where is a {pictures.classes[labels[chosen]]}?", fontsize="small")

# %%
chapter.report(accuracy=accuracies, products=costs, permuted=lost, in_place=in_place)
