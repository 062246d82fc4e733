"""The table of a network's operators: tables by hand, published sizes, and what the gradient says is seen."""

import numpy as np
import pytest

from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.models.operators import LayerRow, layer_table, summary

nn = gluon.nn


def sequential(*blocks):
    net = nn.HybridSequential(prefix="")
    net.add(*blocks)
    return net


class Function(gluon.HybridBlock):
    """A block that computes ``function(F, X, *children)``."""

    def __init__(self, function, *children):
        super().__init__()
        self.function, self.parts = function, children
        for child in children:
            self.register_child(child)

    def hybrid_forward(self, F, X):
        return self.function(F, X, *self.parts)


def totals(rows):
    return sum(row.parameters for row in rows), sum(row.multiply_adds for row in rows)


def seen_by_the_gradient(net, side):
    """The longest extent, over the values around the middle, of the pixels that one value depends on."""
    net.initialize(mx.init.One())  # of one sign: no gradient cancels
    X = nd.array(np.random.default_rng(0).uniform(1, 2, (1, 1, side, side)))
    X.attach_grad()
    longest = [0, 0]
    height, width = net(X).shape[2:]
    for i in range(4):
        with autograd.record():
            value = net(X)[0, :, height // 2 + i, width // 2 + i].sum()
        value.backward()
        seen = np.argwhere(X.grad.asnumpy()[0].any(0))
        assert 0 < seen.min() <= seen.max() < side - 1, "the picture is too small to hold the receptive field"
        longest = np.maximum(longest, np.ptp(seen, axis=0) + 1)
    return max(longest)


def test_a_table_by_hand():
    net = sequential(
        nn.Conv2D(6, kernel_size=5, strides=2, padding=1, prefix="c1_"),
        nn.BatchNorm(prefix="bn_"),
        nn.Activation("sigmoid", prefix="s_"),
        nn.MaxPool2D(3, strides=2, prefix="p_"),
        nn.Conv2D(4, kernel_size=3, groups=2, use_bias=False, prefix="c2_"),
        nn.LeakyReLU(0.1, prefix="l_"),
        nn.Dropout(0.5, prefix="d_"),
        nn.GlobalAvgPool2D(prefix="g_"),
        nn.Flatten(prefix="f_"),
        nn.Dense(10, prefix="fc_"),
    )
    # 21 pixels: (21 + 2 - 5) // 2 + 1 = 10, (10 - 3) // 2 + 1 = 4, 4 - 3 + 1 = 2
    assert layer_table(net, (3, 21, 21)) == [
        LayerRow("c1_fwd", "Convolution", (6, 10, 10), 3 * 25 * 6 + 6, 3 * 25 * 6 * 100, 5, 2),
        LayerRow("bn_fwd", "BatchNorm", (6, 10, 10), 2 * 6, 0, 5, 2),
        LayerRow("s_fwd", "sigmoid", (6, 10, 10), 0, 0, 5, 2),
        LayerRow("p_fwd", "max pooling", (6, 4, 4), 0, 0, 9, 4),
        LayerRow("c2_fwd", "Convolution", (4, 2, 2), 3 * 9 * 4, 3 * 9 * 4 * 4, 17, 4),
        LayerRow("l_fwd", "leaky", (4, 2, 2), 0, 0, 17, 4),
        LayerRow("d_fwd", "Dropout", (4, 2, 2), 0, 0, 17, 4),
        LayerRow("g_fwd", "global avg pooling", (4, 1, 1), 0, 0, None, None),
        LayerRow("f_flatten0", "Flatten", (4,), 0, 0, None, None),
        LayerRow("fc_fwd", "FullyConnected", (10,), 50, 40, None, None),
    ]


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_3x3_convolution_more_sees_two_pixels_more(number):
    rows = layer_table(sequential(*[nn.Conv2D(2, 3) for _ in range(number)]), (1, 32, 32))
    assert [row.receptive_field for row in rows] == [3, 5, 7, 9][:number]


def vgg_by_hand():
    """Simonyan & Zisserman 2015, table 1, configuration D: one output after another."""
    parameters = multiply_adds = 0
    channels, side = 3, 224
    for number, width in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        for _ in range(number):
            parameters += width * (channels * 9 + 1)
            multiply_adds += sum(channels * 9 for _ in range(width) for _ in range(side)) * side
            channels = width
        side //= 2
    inputs = channels * side * side
    for units in (4096, 4096, 1000):
        parameters, multiply_adds = parameters + units * (inputs + 1), multiply_adds + units * inputs
        inputs = units
    return parameters, multiply_adds


def test_vgg16_has_the_published_size_and_sees_what_is_published():
    rows = layer_table(gluon.model_zoo.vision.vgg16(), (3, 224, 224))
    assert totals(rows) == vgg_by_hand()
    assert totals(rows) == (138_357_544, 15_470_264_320)
    convolutions = [row.receptive_field for row in rows if row.kind == "Convolution"]
    assert convolutions == [3, 5, 10, 14, 24, 32, 40, 60, 76, 92, 132, 164, 196]  # conv5_3 sees 196 pixels
    poolings = [(row.receptive_field, row.jump) for row in rows if row.kind == "max pooling"]
    assert poolings == [(6, 2), (16, 4), (44, 8), (100, 16), (212, 32)]


@pytest.mark.parametrize(
    ("name", "side", "parameters"),
    [("alexnet", 224, 61_100_840), ("resnet50_v2", 224, 25_549_480), ("mobilenet0.25", 224, 470_072)],
)
def test_networks_of_the_zoo_have_as_many_parameters_as_their_own_arrays(name, side, parameters):
    """ResNet's and MobileNet's numbers: what their initialised arrays hold that a Trainer would change."""
    net = gluon.model_zoo.vision.get_model(name)
    assert totals(layer_table(net, (3, side, side)))[0] == parameters
    net.initialize()
    net(nd.zeros((1, 3, side, side)))
    learnt = [param for param in net.collect_params().values() if param.grad_req != "null"]
    assert sum(param.data().size for param in learnt) == parameters


def test_resnet50_sees_483_pixels_and_needs_3_86_billion_multiply_adds():
    """Araujo et al. 2019, table 1: 483 pixels; He et al. 2016, table 1: 3.8 billion, rounded down."""
    rows = layer_table(gluon.model_zoo.vision.resnet50_v1(), (3, 224, 224))
    last = [row for row in rows if row.kind == "elemwise_add"][-1]
    assert (last.receptive_field, last.jump, last.shape) == (483, 32, (2048, 7, 7))
    assert 3.8e9 < totals(rows)[1] < 3.9e9


def test_mobilenets_layers_of_one_channel_a_group_need_the_published_multiply_adds():
    """Howard et al. 2017, tables 8 and 6: 569 million, and 41 million with a quarter of the channels."""
    for name, millions in (("mobilenet1.0", 569), ("mobilenet0.25", 41)):
        rows = layer_table(gluon.model_zoo.vision.get_model(name), (3, 224, 224))
        assert round(totals(rows)[1] / 1e6) == millions


def branches(F, X, wide, narrow):
    return F.concat(wide(X), narrow(X), X, dim=1)


def shortcut(F, X, body):
    return body(X) + X


def bilinear(scale):
    """One map, enlarged by MXNet's bilinear operator, whose weights are all 1."""
    size = 2 * scale - scale % 2
    return Function(
        lambda F, X: F.UpSampling(X, F.ones((1, 1, size, size)), scale=scale, sample_type="bilinear", num_filter=1)
    )


NETS = {
    "strides": lambda: sequential(nn.Conv2D(1, 5, strides=2), nn.AvgPool2D(3, strides=2), nn.Conv2D(1, 2)),
    "dilation": lambda: sequential(
        nn.Conv2D(1, 3, dilation=2), nn.Conv2D(1, 3, strides=3), nn.Conv2D(1, 3, dilation=4)
    ),
    "a_shortcut": lambda: sequential(
        nn.Conv2D(1, 3, strides=2),
        Function(shortcut, sequential(nn.Conv2D(1, 3, padding=1), nn.Conv2D(1, 3, padding=1))),
    ),
    "concatenation": lambda: sequential(
        nn.Conv2D(1, 2, strides=2), Function(branches, nn.Conv2D(1, 5, padding=2), nn.Conv2D(1, 3, padding=1))
    ),
    "branches_that_are_shifted": lambda: Function(
        lambda F, X, a, b: a(X) + b(X),
        nn.Conv2D(1, 3, strides=2, padding=1),
        nn.AvgPool2D(3, strides=2, ceil_mode=True),
    ),
    "sides_that_differ": lambda: sequential(nn.Conv2D(1, (1, 7)), nn.Conv2D(1, (3, 1), strides=(2, 1))),
    "a_transposed_convolution": lambda: sequential(
        nn.AvgPool2D(2), nn.Conv2D(1, 3), nn.Conv2DTranspose(1, 4, strides=2, padding=1), nn.Conv2D(1, 3)
    ),
    "a_transposed_convolution_of_3": lambda: sequential(
        nn.Conv2D(1, 3, strides=3), nn.Conv2DTranspose(1, 5, strides=3), nn.Conv2D(1, 2), nn.Conv2D(1, 2, strides=2)
    ),
    "enlarged_maps": lambda: sequential(
        nn.AvgPool2D(2), Function(lambda F, X: F.UpSampling(X, scale=2, sample_type="nearest")), nn.Conv2D(1, 2)
    ),
    "enlarged_maps_beside_what_they_came_from": lambda: sequential(
        Function(
            lambda F, X, down: F.concat(F.UpSampling(down(X), scale=2, sample_type="nearest"), X), nn.AvgPool2D(2)
        ),
        Function(lambda F, X: F.UpSampling(X, scale=3, sample_type="nearest")),
        nn.Conv2D(1, 4),
    ),
    "a_padded_transposed_convolution_beside_a_window": lambda: Function(
        lambda F, X, down, up, window: F.concat(up(down(X)), window(X)),
        nn.AvgPool2D(2),
        nn.Conv2DTranspose(1, 4, strides=2, padding=1),
        nn.Conv2D(1, 5, padding=2),
    ),
    "maps_enlarged_twice_beside_maps_enlarged_thrice": lambda: sequential(
        Function(
            lambda F, X, *pools: F.concat(
                *[F.UpSampling(pool(X), scale=n, sample_type="nearest") for n, pool in zip((2, 3), pools)]
            ),
            nn.AvgPool2D(2),
            nn.AvgPool2D(3),
        ),
        nn.Conv2D(1, 1, strides=3),
    ),
    "bilinearly_enlarged_maps": lambda: sequential(nn.Conv2D(1, 3, strides=2), bilinear(2), nn.Conv2D(1, 2)),
    "bilinearly_enlarged_maps_of_3": lambda: sequential(nn.AvgPool2D(3), bilinear(3), nn.Conv2D(1, 2, strides=2)),
    "bilinearly_enlarged_maps_of_4": lambda: sequential(nn.AvgPool2D(4), bilinear(4), nn.Conv2D(1, 3)),
    "bilinearly_enlarged_maps_beside_a_window": lambda: Function(
        lambda F, X, down, up, window: F.concat(up(down(X)), window(X)),
        nn.AvgPool2D(2),
        bilinear(2),
        nn.Conv2D(1, 5, padding=2),
    ),
    "bilinearly_enlarged_maps_of_3_beside_a_window": lambda: Function(
        lambda F, X, down, up, window: F.concat(up(down(X)), window(X)),
        nn.AvgPool2D(3),
        bilinear(3),
        nn.Conv2D(1, 9, padding=4),
    ),
    "bilinearly_enlarged_maps_beside_nearest_ones": lambda: sequential(
        Function(
            lambda F, X, down, up: F.concat(up(down(X)), F.UpSampling(down(X), scale=2, sample_type="nearest"), dim=1),
            nn.AvgPool2D(2),
            bilinear(2),
        ),
        nn.Conv2D(1, 2),
    ),
    "a_u_shaped_net": lambda: Function(
        lambda F, X, down, up: F.concat(up(down(X)), X, dim=1),
        sequential(nn.Conv2D(1, 3, padding=1), nn.AvgPool2D(2), nn.Conv2D(1, 3, padding=1)),
        nn.Conv2DTranspose(1, 2, strides=2),
    ),
}


@pytest.mark.parametrize("name", NETS)
def test_the_gradient_of_one_value_reaches_as_far_as_the_table_says(name):
    net = NETS[name]()
    assert layer_table(net, (1, 66, 66))[-1].receptive_field == seen_by_the_gradient(net, 66)


def test_the_jump_is_below_one_where_maps_are_enlarged():
    rows = layer_table(sequential(nn.Conv2DTranspose(1, 2, strides=2), nn.Conv2D(1, 3, strides=4)), (1, 8, 8))
    assert [row.jump for row in rows] == [0.5, 2]
    assert [row.receptive_field for row in rows] == [1, 2]


def test_branches_enlarged_twice_and_thrice_keep_the_jump():
    net = NETS["maps_enlarged_twice_beside_maps_enlarged_thrice"]()
    assert [row.jump for row in layer_table(net, (1, 66, 66))[-2:]] == [1, 3]


class Enlarged(gluon.HybridBlock):
    """Two maps enlarged bilinearly, by weights that are learnt."""

    def __init__(self):
        super().__init__()
        self.weight = self.params.get("weight", shape=(2, 1, 4, 4))

    def hybrid_forward(self, F, X, weight):
        return F.UpSampling(X, weight, scale=2, sample_type="bilinear", num_filter=2)


def test_a_bilinear_enlargement_is_a_transposed_convolution_of_one_channel_a_group():
    transposed = nn.Conv2DTranspose(2, 4, strides=2, padding=1, groups=2, use_bias=False, in_channels=2)
    [enlarged], [expected] = layer_table(Enlarged(), (2, 5, 6)), layer_table(transposed, (2, 5, 6))
    assert enlarged.kind == "UpSampling"
    assert enlarged[2:] == expected[2:] == ((2, 10, 12), 32, 60 * 16, 2, 0.5)


def test_nearest_and_bilinear_enlargements_see_differently_and_only_the_latter_multiplies():
    nearest = Function(lambda F, X: F.UpSampling(X, scale=2, sample_type="nearest"))
    [near], [far] = layer_table(nearest, (1, 5, 5)), [row for row in layer_table(bilinear(2), (1, 5, 5)) if row.jump]
    assert (near.shape, near.receptive_field, near.jump, near.multiply_adds) == ((1, 10, 10), 1, 0.5, 0)
    assert (far.shape, far.receptive_field, far.jump, far.multiply_adds) == ((1, 10, 10), 2, 0.5, 25 * 16)


@pytest.mark.parametrize(
    "resized",
    [
        lambda F, X: F.contrib.BilinearResize2D(X, height=10, width=12),
        lambda F, X: F.contrib.BilinearResize2D(X, scale_height=2, scale_width=2, mode="odd_scale"),
        lambda F, X: F.UpSampling(X, F.Pooling(X, kernel=(2, 2), stride=(2, 2)), scale=2, sample_type="nearest"),
    ],
    ids=["to_a_size", "by_a_factor", "nearest_of_two_sizes"],
)
def test_what_is_seen_through_maps_resized_to_a_size_of_their_own_is_not_known(resized, capsys):
    rows = summary(sequential(nn.Conv2D(1, 3, padding=1), Function(resized), nn.Conv2D(1, 3)), (1, 6, 6))
    assert (rows[0].receptive_field, rows[0].jump) == (3, 1)
    assert [(row.receptive_field, row.jump) for row in rows[-2:]] == [(None, None)] * 2
    assert capsys.readouterr().out.splitlines()[-2].endswith(" all")


def test_maps_resized_to_the_size_that_they_have_see_what_they_saw():
    rows = layer_table(
        sequential(nn.Conv2D(1, 3), Function(lambda F, X: F.contrib.BilinearResize2D(X, height=4, width=4))), (1, 6, 6)
    )
    assert (rows[-1].receptive_field, rows[-1].jump) == (3, 1)


def test_of_sides_that_differ_the_longer_is_told():
    rows = layer_table(sequential(nn.Conv2D(1, (3, 5), strides=(4, 2))), (1, 9, 9))
    assert (rows[0].receptive_field, rows[0].jump) == (5, 4)


def test_multiply_adds_of_a_transposed_convolution_are_those_of_the_convolution_that_it_turns_round():
    there = layer_table(sequential(nn.Conv2D(6, 3, strides=2, padding=1, groups=2)), (4, 9, 9))
    back = layer_table(sequential(nn.Conv2DTranspose(4, 3, strides=2, padding=1, groups=2, in_channels=6)), (6, 5, 5))
    assert (there[0].shape, back[0].shape) == ((6, 5, 5), (4, 9, 9))
    assert there[0].multiply_adds == back[0].multiply_adds == 6 * 25 * 2 * 9
    assert (there[0].parameters, back[0].parameters) == (6 * 2 * 9 + 6, 6 * 2 * 9 + 4)


def test_a_dense_layer_over_the_last_axis_multiplies_once_a_row():
    rows = layer_table(sequential(nn.Dense(8, flatten=False)), (3, 5, 8))
    assert rows == [LayerRow(rows[0].name, "FullyConnected", (3, 5, 8), 72, 3 * 5 * 64, None, None)]


def test_a_row_of_features_goes_through_dense_layers():
    rows = layer_table(sequential(nn.Dense(5, activation="relu"), nn.Dense(2, use_bias=False)), (7,))
    assert [row[1:] for row in rows] == [
        ("FullyConnected", (5,), 40, 35, None, None),
        ("relu", (5,), 0, 0, None, None),
        ("FullyConnected", (2,), 10, 10, None, None),
    ]


def test_a_parameter_that_is_used_twice_is_counted_once_and_computed_with_twice():
    layer = nn.Conv2D(3, 3, padding=1)
    rows = layer_table(sequential(layer, nn.BatchNorm(), layer), (3, 6, 6))
    assert [row.parameters for row in rows] == [84, 6, 0]
    assert [row.multiply_adds for row in rows] == [81 * 36, 0, 81 * 36]
    assert [row.receptive_field for row in rows] == [3, 3, 5]


def test_a_gamma_that_is_fixed_and_frozen_parameters_are_not_learnt():
    net = sequential(nn.BatchNorm(scale=False), nn.Conv2D(2, 1), nn.BatchNorm(scale=False, center=False))
    assert [row.parameters for row in layer_table(net, (4, 3, 3))] == [4, 10, 0]
    net[1].collect_params().setattr("grad_req", "null")
    assert [row.parameters for row in layer_table(net, (4, 3, 3))] == [4, 0, 0]


def test_other_operators_have_their_name_and_no_multiply_adds():
    net = Function(lambda F, X: F.LRN(F.softmax(F.concat(X * 2, F.relu(X), dim=1), axis=1), nsize=3))
    rows = layer_table(net, (2, 4, 4))
    assert [row.kind for row in rows] == ["_mul_scalar", "relu", "Concat", "softmax", "LRN"]
    assert all(row[3:] == (0, 0, 1, 1) for row in rows)
    assert [row.shape[0] for row in rows] == [2, 2, 4, 4, 4]


@pytest.mark.parametrize(
    "mixing",
    [
        lambda F, X: F.softmax(X),
        lambda F, X: F.transpose(X, axes=(0, 2, 1, 3)),
        lambda F, X: F.L2Normalization(X),
        lambda F, X: F.broadcast_mul(X, F.Pooling(X, global_pool=True, pool_type="avg", kernel=(1, 1))),
    ],
    ids=["softmax_over_a_row", "transpose", "normalisation", "scales_of_channels"],
)
def test_operators_that_mix_all_places_see_the_whole_picture(mixing):
    net = sequential(nn.Conv2D(2, 3, padding=1), Function(mixing))
    rows = layer_table(net, (3, 6, 8))
    assert (rows[0].receptive_field, rows[-1].receptive_field, rows[-1].jump) == (3, None, None)


def test_an_operator_of_several_outputs_has_one_row():
    def halves(F, X):
        first, second = F.split(X, num_outputs=2)
        mixed = F.Convolution(first, F.ones((1, 2, 1, 1)), no_bias=True, num_filter=1, kernel=(1, 1))
        return F.concat(second, mixed, dim=1)

    rows = layer_table(Function(halves), (4, 5, 5))
    shapes = {row.kind: row.shape for row in rows}
    assert shapes["SliceChannel"] == (2, 5, 5)
    assert shapes["Concat"] == (3, 5, 5)
    assert totals(rows) == (0, 2 * 25)


def test_a_net_of_several_outputs_has_the_rows_of_all():
    rows = layer_table(Function(lambda F, X, a, b: (a(X), b(X)), nn.Conv2D(1, 3), nn.Conv2D(2, 5)), (1, 7, 7))
    assert sorted(row.shape for row in rows) == [(1, 5, 5), (2, 3, 3)]


def test_the_net_stays_as_it_was():
    net = sequential(nn.Conv2D(4, 3), nn.BatchNorm(), nn.Dense(2))
    before = repr(net), {name: param.shape for name, param in net.collect_params().items()}
    layer_table(net, (3, 8, 8))
    assert (repr(net), {name: param.shape for name, param in net.collect_params().items()}) == before
    net.initialize()
    layer_table(net, (3, 8, 8))
    with pytest.raises(gluon.parameter.DeferredInitializationError):
        net[0].weight.data()
    assert net(nd.zeros((1, 1, 6, 6))).shape == (1, 2)  # other channels and another size than the table's


def test_a_sequential_of_hybrid_blocks_has_the_table_of_a_hybrid_one():
    blocks = nn.Conv2D(4, 3), nn.Dense(2)
    net = nn.Sequential()
    net.add(*blocks)
    assert layer_table(net, (3, 8, 8)) == layer_table(sequential(*blocks), (3, 8, 8))


def test_a_net_that_has_run_and_is_hybridized_has_the_same_table():
    net = sequential(nn.Conv2D(4, 3), nn.BatchNorm(), nn.Dense(2))
    before = layer_table(net, (3, 8, 8))
    net.initialize()
    net.hybridize()
    net(nd.zeros((2, 3, 8, 8)))
    assert layer_table(net, (3, 8, 8)) == before


def test_the_summary_is_aligned_has_thousands_separated_and_ends_in_totals(capsys):
    net = sequential(
        nn.Conv2D(64, 3, padding=1, prefix="c_"), nn.GlobalMaxPool2D(prefix="p_"), nn.Dense(1000, prefix="d_")
    )
    rows = summary(net, (3, 32, 32))
    assert rows == layer_table(net, (3, 32, 32))
    assert capsys.readouterr().out.splitlines() == [
        "layer  kind                output        parameters  multiply-adds  sees  jump",
        "c_fwd  Convolution         64 x 32 x 32       1,792      1,769,472     3     1",
        "p_fwd  global max pooling  64 x 1 x 1             0              0   all",
        "d_fwd  FullyConnected      1000              65,000         64,000   all",
        "total                                        66,792      1,833,472",
    ]


class TakesArrays(gluon.Block):
    def forward(self, X):
        return nd.relu(X)


def test_a_net_that_takes_arrays_only_is_refused():
    with pytest.raises(TypeError, match=r"net must be hybrid.*called with a Symbol.*TakesArrays raised"):
        layer_table(TakesArrays(), (1, 8, 8))
    with pytest.raises(TypeError, match="net must be a Gluon block, got function"):
        layer_table(lambda X: X, (1, 8, 8))


@pytest.mark.parametrize("shape", [(), (3, 8), (1, 3, 8, 8), (3, 0, 8), (3, 8.0, 8), (True,), 7, "abc", None])
def test_a_shape_that_is_none_is_refused(shape):
    with pytest.raises(ValueError, match=r"shape must be \(C, H, W\) or \(D,\), whole numbers of at least 1, got"):
        layer_table(sequential(nn.Dense(1)), shape)


@pytest.mark.parametrize("shape", [(3, 5, 5), (3,)])
def test_a_picture_that_is_too_small_and_a_row_for_a_picture_are_refused(shape, capfd):
    with pytest.raises(ValueError, match=rf"net does not take the shape \({shape[0]}, ?.*\): .*(kernel|4D)"):
        layer_table(sequential(nn.Conv2D(1, 5), nn.MaxPool2D(3)), shape)
    assert capfd.readouterr().out == ""


def test_channels_that_the_net_has_not_are_refused():
    net = sequential(nn.Conv2D(1, 3, in_channels=2))
    with pytest.raises(ValueError, match=r"net does not take the shape \(3, 5, 5\)"):
        layer_table(net, (3, 5, 5))
