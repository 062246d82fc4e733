"""Darknet's configurations are read in order, with typed values; what is wrong in one is told by file and line."""

import importlib.util

import pytest

from gluonbook import _files
from gluonbook.detection.darknet_config import (
    KNOWN,
    layer_shapes,
    layer_sources,
    layer_strides,
    read_config,
    with_classes,
    with_size,
)

FOLDER = _files.packaged("datasets") / "detection"
NET = "[net]\nheight=64\nwidth=96\n"
CONVOLUTION = "[convolutional]\nfilters=4\nsize=3\npad=1\nactivation=leaky\n"
HALVING = "[convolutional]\nfilters=4\nsize=3\nstride=2\npad=1\nactivation=leaky\n"
HEAD = "[convolutional]\nfilters=6\nactivation=linear\n[yolo]\nmask=0\nanchors=8,8\nclasses=1\nnum=1\n"


@pytest.fixture
def read(tmp_path):
    """Read a configuration from its text."""

    def read(text, encoding="utf-8"):
        path = tmp_path / "net.cfg"
        path.write_bytes(text.encode(encoding))
        return read_config(path)

    return read


def test_sections_come_in_order_with_their_lines_typed_values_and_defaults(read):
    sections = read(
        "\n# a network\n; so it is\n [net] # first\n  width = 32;pixels\nheight=64\r\nlearning_rate=.001\n"
        "policy=steps\nsteps=400, 450\nscales=.1,1e-1\n"
        "\n[convolutional]\nactivation=leaky\nsize = 3\n[convolutional]\nactivation=linear\n"
        "[yolo]\nmask = 1,0\nanchors = 1,2,  3.5,4\nclasses=3\nnum=2\n[route]\nlayers = -2, 0\n"
        "[shortcut]\nfrom=-2\n[upsample]\n[maxpool]\nsize=2\n"
    )
    assert [(section.kind, section.line) for section in sections] == [
        ("net", 4),
        ("convolutional", 12),
        ("convolutional", 15),
        ("yolo", 17),
        ("route", 22),
        ("shortcut", 24),
        ("upsample", 26),
        ("maxpool", 27),
    ]
    training = {"learning_rate": 0.001, "policy": "steps", "steps": (400, 450), "scales": (0.1, 0.1)}
    assert sections[0].options == {"width": 32, "height": 64, "channels": 3, **training}
    plain = {"batch_normalize": 0, "filters": 1, "size": 1, "stride": 1, "pad": 0, "padding": 0}
    assert sections[1].options == {**plain, "size": 3, "activation": "leaky"}
    assert sections[2].options == {**plain, "activation": "linear"}
    yolo = {"mask": (1, 0), "anchors": (1, 2, 3.5, 4), "classes": 3, "num": 2, "ignore_thresh": 0.5}
    assert sections[3].options == yolo
    assert sections[4].options == {"layers": (-2, 0)}
    assert sections[5].options == {"from": -2, "activation": "linear"}
    assert sections[6].options == {"stride": 2}
    assert sections[7].options == {"size": 2, "stride": 1}
    assert isinstance(sections[0].options["width"], int)
    assert isinstance(sections[3].options["anchors"][0], float)


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(read):
    text = NET + CONVOLUTION + HEAD
    assert read(text.replace("\n", "\r\n"), "utf-8-sig") == read(text)


def test_every_option_of_darknets_own_files_is_known(read):
    text = (
        "[net]\nbatch=64\nsubdivisions=16\nwidth=608\nheight=608\nchannels=3\nmomentum=0.9\ndecay=0.0005\nangle=0\n"
        "saturation = 1.5\nexposure = 1.5\nhue=.1\nlearning_rate=0.001\nburn_in=1000\nmax_batches = 500200\n"
        "policy=steps\nsteps=400000,450000\nscales=.1,.1\n"
        "[convolutional]\nsize=1\nstride=1\npad=1\nfilters=255\nactivation=linear\n"
        "[yolo]\nmask = 6,7,8\n"
        "anchors = 10,13,  16,30,  33,23,  30,61,  62,45,  59,119,  116,90,  156,198,  373,326\n"
        "classes=80\nnum=9\njitter=.3\nignore_thresh = .7\ntruth_thresh = 1\nrandom=1\n"
    )
    net, _, yolo = read(text)
    assert (net.options["burn_in"], net.options["hue"], net.options["max_batches"]) == (1000, 0.1, 500200)
    assert (yolo.options["jitter"], yolo.options["truth_thresh"], yolo.options["random"]) == (0.3, 1, 1)


@pytest.mark.parametrize(
    ("text", "line", "match"),
    [
        ("width=3\n", 1, r"\[net\] must come first, got 'width=3'"),
        (CONVOLUTION + NET, 1, r"\[net\] must come first, got \[convolutional\]"),
        (NET + NET, 4, r"\[net\] must come first and once"),
        (NET + "[lstm]\n", 4, f"section must be one of {', '.join(KNOWN)}; got 'lstm'"),
        (NET + "[yolo\n", 4, r"a section must be written \[name\], got '\[yolo'"),
        (NET + "batch\n", 4, "an option must be written name=value, got 'batch'"),
        (NET + "\n\nwidht=4\n", 6, r"option of \[net\] must be one of height, width, channels, batch.*; got 'widht'"),
        (NET + CONVOLUTION + "groups=2\n", 9, r"option of \[convolutional\] must be .*filters, size.*; got 'groups'"),
        (NET + HEAD + "scale_x_y=1.05\n", 12, r"option of \[yolo\] must be one of .*mask.*; got 'scale_x_y'"),
        (NET + "width=64\n", 4, r"width must be given once in a section, got it again in \[net\]"),
        (NET + CONVOLUTION + "stride=two\n", 9, "stride must be a whole number, got 'two'"),
        (NET + CONVOLUTION + "stride=1.5\n", 9, "stride must be a whole number, got '1.5'"),
        (NET + CONVOLUTION + "stride=\n", 9, "stride must be a whole number, got ''"),
        (NET + CONVOLUTION + "stride=0\n", 9, "stride must be at least 1, got 0"),
        (NET + CONVOLUTION + "padding=-1\n", 9, "padding must be at least 0, got -1"),
        (NET + CONVOLUTION + "batch_normalize=2\n", 9, "batch_normalize must be at least 0 and at most 1, got 2"),
        (NET + "momentum=much\n", 4, "momentum must be a number, got 'much'"),
        (NET + "momentum=nan\n", 4, "momentum must be finite, got nan"),
        (NET + "steps=1,,2\n", 4, "steps must be a whole number, got ''"),
        (NET + "[convolutional]\nactivation=mish\n", 5, "activation must be one of leaky, linear; got 'mish'"),
        (
            NET + CONVOLUTION + "[shortcut]\nfrom=0\nactivation=relu\n",
            11,
            "activation must be one of linear; got 'relu'",
        ),
        (NET + CONVOLUTION + "[upsample]\nstride=3\n", 10, "stride must be at least 2 and at most 2, got 3"),
        (
            NET + 2 * CONVOLUTION + "[shortcut]\nfrom=-3\n",
            15,
            "from of layer 2 must be from -2 to -1, or from 0 to 1, got -3",
        ),
        (NET + 2 * CONVOLUTION + "[shortcut]\nfrom=2\n", 15, "from of layer 2 must be .*from 0 to 1, got 2"),
        (NET + 2 * CONVOLUTION + "[route]\nlayers=-1,7\n", 15, "layers of layer 2 must be .*from 0 to 1, got 7"),
        (NET + "[route]\nlayers=-1\n", 5, "layers of layer 0 must be no layer: none is before the first, got -1"),
        (NET + HEAD.replace("mask=0", "mask=-1"), 8, "mask must be at least 0, got -1"),
        (NET + CONVOLUTION + "[route]\n\n", 9, r"\[route\]: layers is missing"),
        (NET + CONVOLUTION + "[shortcut]\nactivation=linear\n", 9, r"\[shortcut\]: from is missing"),
        (NET + "[convolutional]\nfilters=4\n", 4, r"\[convolutional\]: activation is missing"),
        ("# no width\n[net]\nheight=3\n", 2, r"\[net\]: width is missing"),
        (NET + HEAD.replace("classes=1\n", ""), 7, r"\[yolo\]: classes is missing"),
        (NET + HEAD.replace("anchors=8,8", "anchors=8,8,9"), 7, "anchors must hold 2 values for each of num=1, got 3"),
        (NET + HEAD.replace("mask=0", "mask=0,1"), 7, "mask must be below num=1, got 1"),
    ],
)
def test_what_is_wrong_is_told_by_file_and_line(read, tmp_path, text, line, match):
    with pytest.raises(ValueError, match=match) as refusal:
        read(text)
    assert str(refusal.value).startswith(f"{tmp_path / 'net.cfg'}, line {line}")


def test_a_file_that_is_none_is_told_so(read, tmp_path):
    for text in ("", "# nothing\n\n"):
        with pytest.raises(ValueError, match=r"net\.cfg is no Darknet configuration .*it has no sections, \[net\]"):
            read(text)
    with pytest.raises(ValueError, match=r"net\.cfg is no Darknet configuration .*codec can't decode"):
        read("[net]é", "latin-1")
    for path in (tmp_path / "none.cfg", tmp_path):
        with pytest.raises(FileNotFoundError, match=r"is not there: expected a Darknet configuration"):
            read_config(path)


def test_other_classes_change_each_head_and_the_convolution_before_it_only():
    before = read_config(FOLDER / "yolov3.cfg")
    kept = [dict(section.options) for section in before]
    after = with_classes(before, 2)
    changed = [n for n, (old, new) in enumerate(zip(before, after)) if old != new]
    assert changed == [82, 83, 94, 95, 106, 107]  # sections: layers 81, 82, 93, 94, 105, 106
    assert [after[n].options["filters"] for n in changed[::2]] == [21, 21, 21]
    assert [after[n].options["classes"] for n in changed[1::2]] == [2, 2, 2]
    assert [section.options for section in before] == kept
    assert with_classes(after, 80) == before


def test_other_classes_are_refused_where_there_are_none_or_no_convolution(read):
    with pytest.raises(ValueError, match="num_classes must be at least 1, got 0"):
        with_classes(read(NET + HEAD), 0)
    with pytest.raises(TypeError, match=r"num_classes must be a whole number, got 2\.0"):
        with_classes(read(NET + HEAD), 2.0)
    with pytest.raises(ValueError, match=r"line 9, \[yolo\]: must follow a \[convolutional\], got \[upsample\]"):
        with_classes(read(NET + HEAD.replace("[yolo]", "[upsample]\n\n[yolo]")), 2)


def test_another_size_changes_the_net_section_only():
    before = read_config(FOLDER / "yolov3-tiny.cfg")
    after = with_size(before, 64, 352)
    assert (after[0].options["height"], after[0].options["width"]) == (64, 352)
    assert after[1:] == before[1:]
    assert with_size(after, 416, 416) == before
    assert before[0].options["height"] == 416


@pytest.mark.parametrize(
    ("size", "match"),
    [
        ((300, 320), "height must be a multiple of the network's largest stride, 32, got 300"),
        ((320, 16), "width must be a multiple of the network's largest stride, 32, got 16"),
        ((0, 320), "height must be at least 1, got 0"),
    ],
)
def test_a_size_that_the_stride_does_not_divide_is_refused(size, match):
    with pytest.raises(ValueError, match=match):
        with_size(read_config(FOLDER / "yolov3.cfg"), *size)


def test_sources_strides_and_shapes_by_hand(read):
    sections = read(
        NET + HALVING + CONVOLUTION + "[shortcut]\nfrom=-2\n[maxpool]\nsize=2\nstride=2\n[maxpool]\nsize=2\nstride=1\n"
        "[upsample]\n[route]\nlayers=-1,2,0\n" + HEAD
    )
    assert layer_sources(sections) == [(-1,), (0,), (1, 0), (2,), (3,), (4,), (5, 2, 0), (6,), (7,)]
    assert layer_strides(sections) == [2, 2, 2, 4, 4, 2, 2, 2, 2]
    shapes = [(4, 32, 48)] * 3 + [(4, 16, 24)] * 2 + [(4, 32, 48), (12, 32, 48)] + [(6, 32, 48)] * 2
    assert layer_shapes(sections) == shapes


@pytest.mark.parametrize(
    ("layers", "line", "match"),
    [
        (
            HALVING + CONVOLUTION + HALVING + "[shortcut]\nfrom=-2\n" + HEAD,
            21,
            r"different shapes, .*\(4, 16, 24\) and \(4, 32",
        ),
        (HALVING + HALVING + "[route]\nlayers=-1,0\n" + HEAD, 16, r"different sizes, .*\(4, 16, 24\), \(4, 32, 48\)"),
        (HEAD.replace("filters=6", "filters=7"), 7, r"1 boxes of 1 classes need filters=6 .*\(line 4\), got 7"),
        (HEAD.replace("linear", "leaky"), 7, r"the \[convolutional\] before it \(line 4\) must have activation=linear"),
        (CONVOLUTION + "[yolo]" + HEAD.split("[yolo]")[1], 9, "1 boxes of 1 classes need filters=6 .*got 4"),
        ("[upsample]\n" + HEAD, 4, "its map would have more pixels than the picture"),
        (HEAD + CONVOLUTION, 12, r"reads layer 1, a \[yolo\] \(line 7\)"),
        (HEAD + "[route]\nlayers=1\n", 12, r"reads layer 1, a \[yolo\] \(line 7\)"),
        (CONVOLUTION.replace("pad=1", "pad=0") + HEAD, 12, "its map has 62x94 pixels, its stride needs 64x96"),
        (
            CONVOLUTION.replace("size=3", "size=99").replace("pad=1", "pad=0") + HEAD,
            4,
            "size=99 is larger than the map, 64x96",
        ),
        (6 * HALVING + "[maxpool]\nsize=2\nstride=2\n" + HEAD, 1, "multiples of the largest stride, 128, got 64x96"),
        (5 * HALVING + HALVING + "[upsample]\n" + HEAD, 1, "multiples of the largest stride, 64, got 64x96"),
        (
            "[maxpool]\nsize=2\n" + HEAD.replace("[yolo]", "[route]\nlayers=-1\n[yolo]"),
            11,
            r"must follow a \[conv.*got \[route\]",
        ),
    ],
)
def test_layers_that_do_not_fit_are_told_by_their_line(read, layers, line, match):
    with pytest.raises(ValueError, match=match) as refusal:
        layer_shapes(read(NET + layers))
    assert str(refusal.value).startswith(f"line {line}, [")


def test_explicit_padding_counts_where_pad_is_off(read):
    for padding, side in ((0, 62), (1, 64), (2, 66)):
        sections = read(NET + CONVOLUTION.replace("pad=1", f"padding={padding}"))
        assert layer_shapes(sections)[0][1] == side
    assert layer_shapes(read(NET + CONVOLUTION + "padding=7\n"))[0][1] == 64  # pad=1 means size // 2


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("yolov3.cfg", {"net": 1, "convolutional": 75, "shortcut": 23, "yolo": 3, "route": 4, "upsample": 2}),
        ("yolov3-tiny.cfg", {"net": 1, "convolutional": 13, "maxpool": 6, "yolo": 2, "route": 2, "upsample": 1}),
        ("yolo-small.cfg", {"net": 1, "convolutional": 17, "maxpool": 4, "yolo": 3, "route": 4, "upsample": 2}),
    ],
)
def test_the_packaged_configurations_have_their_layers(name, kinds):
    sections = read_config(FOLDER / name)
    assert {kind: sum(section.kind == kind for section in sections) for kind in kinds} == kinds
    assert len(sections) == sum(kinds.values())
    assert layer_strides(sections)[-1] == (16 if "tiny" in name else 8)


def test_the_packaged_configurations_are_what_their_script_writes():
    spec = importlib.util.spec_from_file_location("make_config", FOLDER / "make_config.py")
    make_config = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_config)
    assert {path.name for path in FOLDER.glob("*.cfg")} == set(make_config.NETWORKS)
    for name, make in make_config.NETWORKS.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == "\n".join(make())
