"""Files of weights of every kind are read alike, and those that are broken are told by name and fault."""

import base64
import contextlib
import os
import re
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from safetensors.numpy import save_file
from weights_helpers import (
    Call,
    Name,
    Ordered,
    Storage,
    dumps,
    parameter,
    tensor,
    tree_of,
    upper_halves,
    write_old,
    write_safetensors,
    write_zip,
)

from gluonbook._mxnet import gluon, nd
from gluonbook.weights import VGG, convert, files, format_of, read_weights, save_weights, torch_file, vgg

# Written by PyTorch 2.13 from OrderedDict(whole=base, turned=base.t(), row=base[1], brain=…bfloat16(), half=…half(),
# count=torch.tensor(7), param=nn.Parameter(…)) with base = arange(6).reshape(2, 3) and a _metadata attribute: as a zip
# archive; as before 1.6; and as before 1.6 in {"epoch": 2, "state_dict": …, "args": ["vgg", 0.1, None, True]}.
OF_TORCH = {
    "zip": (
        "c-p0w+i%-c9LG;?PU=G1j!U}&W!zKfQs>%a>zZJOg=8dJb5WER%T2t-!j1d0Pg;RAsS;|(-he*<@rK0XUiQfTg-sJLLz>VY22Z^1k#lJ"
        "?A6Hq%YQ=GEpYP}Q{rQ~VFJ9LZNrW;PbYh!EXOQK0dd{xB+_kWk-}&0r)GTTX+kU*$@m$yLV8`nR@@Ib6_U-Ovr-Nlciw4AUtrUUn^*q"
        ";xcn5ogm^TO5aRb@(?ahJXc1>*e1J5^ii!vl~xmKD80y5ItvLVSOvgUdg{+wTwA=QeJF$zen1UYtg29VYz44Dlb>2W=A2orijj~#-1y+"
        "=(<VtCGg=UWmPj0b+-?n1UlBK4BJR8Q(L?G)7}^!Oo6>oJO$;o378UNGQA7RdMZ;H9YW<qaZB9Kfs|JAgSZI*Vc6fLB=Ro4)1r;Z-g>%"
        "0^}B6sp67USkOrV1Y2>7+z<I9Kbose1kLJ#PF5@Z@0*Fp`PVlfp-MtC*;x)_b$T~;XQ(jVaQP&AuZCc_c`tZ3`+)_XBIo&ppPLh@ILkW"
        "TSMM5<CQ?+yaM4ZE^<y0L&<<L<Lp?zwGEXKv&`<=*!E?p9zR6JEyD`u)|gK^adm#Uz++s*uxh}i@7c-PHE0;n99)GDTN6ZW5~f8LD5&i"
        "IM=iQ~;qq1Zn60E;+YiXv1Wk_xL9m%$*VCCBkL;gr#1W$V`p62HMH9mc$Y1gNZ3~-6G)+zMLMTw&&42&=jwV9)(YSfE@)&otzD>(@w))"
        "$4A8TqUQd&>7Rm;>sV-Nlzsi6214a}g%(7@(5*!F0#YU;&jiF>@c4#uucJsezmaF!OB^h6I?v?g?wWkpjjoWcO7?l;I+lYGd&PxfD$)Y"
        "0q@4}Y8^H|EATS`r-<G&T3sj&3#3EgCDm(SATHGdU(!Q;b#A)Ya2G{x+)7=+<xdobmIYMXDIRq^WDCir#LgkJ!}3&L0mw8a6Y=#j5C{t"
        "f@8h?DOAbbAA2xU%!rj{!^g}7*_JB)_+N+(Qp5}_2u~IzkrI58vsi^uziPgfNw4O?`b++P0jyLGm28F6zWQ$Rw)&gQl+k})K-+LQm$9Z"
        "N~K(>7i(3eSgEr%b^n@qFGqajn9CS7JM<auh|?#WN8baY>Tm;`6_oJ=8r4IikZ=>57a$v9$cfGw<%Ap2jKH}Q;tU&LR37dcSwa3)5=DA"
        "fR2%LBqW15owh+~ZYgp8Nk&0-GQEj;LMD3lZwiMNdD@WAQ_a(7XquTJgpAxipL)sDZ9bS$Lg4jr-F@>_OOVZMDStZU7m6MU<?{R*7ls;"
        "}#68m*i=I8t$J0)?=Bpc7i{s#)ogDw"
    ),
    "old": (
        "c-noFS#Q%o5XXHbrG}PrQ_gZH93g3w;BqCDQYx9N=EX0_a-F3%GInOYZUs`LzO)oR0}nj%G5U4*2uM6IyPF0Ift9?+?D+Seot<6RKAG{"
        "4&kNtD-h6#ASy|Vfe$%n<fl_iO6h-OMl%+u$d#i+IQJR2?4(=H4#1UgL@kr8%`~<Wu*F+<G*Ck#Sy(byyJupgc0gYLhQU(QEb9G!r34@"
        "|-xCUpW$qJ0vMxLW)fHE-&7^-CEbJ`)4bmpUgnV^&%P$g?EOk)CCz)~876)$H|oS7aa%Xt)cJVuf%rQYha33{pIj&O1G^j8QN@)vU<PJ"
        "Q-L8cis;<LEOxGdp87>NN|;W)+Ge&Y+uPXvJp?_AJ?ot=ak}jM}=bZi4wS<RR^4u+M=px5y8k(}Z+jJVf2l2#0d_hmtqJdAhA_!U0?5*"
        "n^UHh{0h8jtF&{uEEj&!H)G|$CnVLZ@{FjZoml%I?3Ra1E)p8mZ={la7Lo~IhYeks5J*^IQvVXjuN$MwQj)_Drl&1P8@#&&U1weQsE+l"
        "OAcHXml*o-Yq+vYU=d9Nc<B!~(k&<>Tt)a*4oB`a-d&gQ8w@HA+!WylX^!<$-9>+bRWqR1cGDY;x@Ez1pFV^1a#>RA3>pqJ1-0u_|1I4"
        "5M-_=(!U#3N`uhsx8Jg89%=T4oi!<=TxFd(VQt=*x`wq0W#G?HH9yl<U_u!#BiYyNm{Ep9jm>2txTr?`M(1XXKZg<|>qOE3Gwv6xN6@Q"
        "aM?nxb%Uu{^x`mkIX!>X%5Dw-nOc1zh-`*Xz_%#?O}XFk#&i^}h9y~UllAI|an(*6nKd>l#"
    ),
    "checkpoint": (
        "c-noF$#T;`5QepQA%cXk6V|ZXEXGc3qp;b8kOY(jA}+e5REjiMqJ-p@MoB@Ht8z&Qya5ykj=Tc5ybg~*6$g4owjp4cD$UZ<`u^#jo(<`"
        "};{W(G`+fZ7muF+84QcV4jC}`$f-x!xLOTj+XotSJMxxjY0}#={7{(pnqtquR2^`M~K-xAGG}6~?V#eMZ5`)}<Ou@*aF?Pd<LROOu8CP"
        "CFA*W@G3}b{r3-VefNqU;hpR_~U1rhxjGNu+KrsLTZBpXlS6Pw~eV&!S%kcc=lxTAnv)O&L4Zs-%p+BA%8w`3;N^JB$~$ZF#Gj!8)nhm"
        "pB9p+K%sF!Ed>jI0)ceEN$r>xUM7o*EU{V~n8B)a2BpTB}x69P4Em;-T2>1Qac|L}Bl;CTNl-Z^1rI*2FCse&@0yjZoOH!>EyCxk;jcI"
        "B>v4T{rIz<Q{ZW-XX@5HE9bDYa+uQNqI*p9Mj=ASC7JV82caWL>G2)8By{koYKTiIGuvdP&li@I8WGWWO)IcOHth%O!FjE>ismF|D{kx"
        "iAuR#RpA0ENT_g;hrbDzn8M{$;R=O<4n=;?uI0agtGfi|(bR`u`vZ=26|N&(MEDH`M{bFAH&b|-LPduOetbJju%sq;(HF3=`t<5<daYJ"
        "fRj768b)*-IDfJcwRfj1~ZCjD`3U2?Siuf*}BvRnc-&c^vP%oF^Zdc_VkAW4&{d8!gicJa+beP`ei-&JvMu$g92WE{SWSOX7ITp2Gj_="
        "PKXcXXa2cGb{?LA3N6XQ5u<(amkRtyU(uvp+Vves(B(p=-~2i86=Z4>s;R@g%uaGT<wTaX5YB@fDIW>5`gNl6mYw$l)H#O_>B`!k{0?9"
        "KDtF(>@qHX6){`QaSD&&{78#xte"
    ),
}
BASE = np.arange(6, dtype=np.float32).reshape(2, 3)
RIGHT = {
    "whole": BASE,
    "turned": BASE.T,
    "row": BASE[1],
    "brain": np.array([1.5, -2], np.float32),
    "half": np.array([0.5], np.float32),
    "count": np.array(7),
    "param": np.array([[3]], np.float32),
}


def write_params(path, arrays):
    nd.save(str(path), {name: nd.array(array, dtype=array.dtype) for name, array in arrays.items()})


def write_torch(write):
    return lambda path, arrays: write(path, *tree_of(arrays))


WRITERS = {
    "params": write_params,
    "safetensors": lambda path, arrays: save_file({name: array.copy() for name, array in arrays.items()}, path),
    "zip": write_torch(write_zip),
    "old": write_torch(write_old),
}
FORMATS = {
    "params": files.PARAMS,
    "safetensors": files.SAFETENSORS,
    "zip": files.TORCH_ZIP,
    "old": files.TORCH_OLD,
}
WEIGHTS = {
    "features.0.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2) / 7,
    "features.0.bias": np.array([-1.5, 2], np.float32),
}
EACH = pytest.mark.parametrize("kind", list(WRITERS))


@pytest.fixture
def path(tmp_path):
    """A file's name that says nothing."""
    return tmp_path / "weights.bin"


def assert_same(found, right):
    assert set(found) == set(right)
    for name, array in right.items():
        assert found[name].shape == array.shape
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def assert_own(arrays):
    """Every array can be written to, and no other changes by it."""
    found = list(arrays.values())
    for i, array in enumerate(found):
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert array.dtype.isnative
        assert not any(np.shares_memory(array, other) for other in found[:i])


def refused(path, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        read_weights(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


# Every format


@EACH
def test_each_format_is_told_by_its_content_and_read(path, kind):
    WRITERS[kind](path, WEIGHTS)
    assert format_of(path) == FORMATS[kind]
    found = read_weights(path)
    assert_same(found, WEIGHTS)
    assert_own(found)


def test_a_home_folder_is_understood(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_params(tmp_path / "a.params", WEIGHTS)
    assert_same(read_weights("~/a.params"), WEIGHTS)


@pytest.mark.parametrize("kind", list(OF_TORCH))
def test_what_pytorch_itself_wrote_is_read(path, kind):
    path.write_bytes(zlib.decompress(base64.b85decode(OF_TORCH[kind])))
    found = read_weights(path)
    assert_same(found, RIGHT)
    assert list(found) == list(RIGHT)
    assert_own(found)


NAMES = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=8)
FLOATS = st.sampled_from([np.float16, np.float32, np.float64])
OTHERS = st.sampled_from([np.int64, np.int32, np.int8, np.uint8, np.bool_])
HALVES = st.floats(width=16, allow_nan=False)
SHAPES = arrays_of.array_shapes(min_dims=1, max_dims=4, max_side=4)
ARRAYS = st.one_of(arrays_of.arrays(FLOATS, SHAPES, elements=HALVES), arrays_of.arrays(OTHERS, SHAPES))


@EACH
@settings(max_examples=25, deadline=None)
@given(named=st.dictionaries(NAMES, ARRAYS, min_size=1, max_size=5))
def test_what_is_written_is_read(tmp_path_factory, kind, named):
    path = tmp_path_factory.mktemp("round") / "a"
    WRITERS[kind](path, named)
    right = {name: array.astype(np.float32) if array.dtype.kind == "f" else array for name, array in named.items()}
    if kind == "params":  # MXNet's own prefixes are dropped
        right = {name[4:] if name.startswith(("arg:", "aux:")) else name: array for name, array in right.items()}
    assert_same(read_weights(path), right)


@EACH
def test_a_file_that_is_cut_short_anywhere_is_a_valueerror(path, kind):
    WRITERS[kind](path, WEIGHTS)
    data = path.read_bytes()
    for end in [*range(0, len(data), 10), len(data) - 1]:
        path.write_bytes(data[:end])
        with pytest.raises(ValueError, match=re.escape(str(path))):
            read_weights(path)


@pytest.mark.parametrize("kind", list(OF_TORCH))
def test_a_file_of_pytorch_that_is_cut_short_anywhere_is_a_valueerror(path, kind):
    data = zlib.decompress(base64.b85decode(OF_TORCH[kind]))
    for end in [*range(0, len(data), 10), len(data) - 1]:
        path.write_bytes(data[:end])
        with pytest.raises(ValueError, match=re.escape(str(path))):
            read_weights(path)


@pytest.mark.parametrize("kind", ["safetensors", "zip", "old"])  # .params are MXNet's own to read
def test_a_changed_byte_is_a_valueerror_or_other_weights(path, kind):
    WRITERS[kind](path, WEIGHTS)
    data = bytearray(path.read_bytes())
    for place in range(0, len(data), 3):
        for flip in (0xFF, 0x01, 0x20):
            changed = data.copy()
            changed[place] ^= flip
            path.write_bytes(changed)
            with contextlib.suppress(ValueError):
                assert read_weights(path)


@pytest.mark.parametrize("bits", ["bfloat16", "float16"])
def test_half_precision_becomes_float32(path, bits):
    values = np.array([[1, -0.5], [65280, 0], [np.inf, 2**-14]], np.float32)
    half = values.astype(np.float16) if bits == "float16" else upper_halves(values)
    storage = Storage("0", half, "BFloat16" if bits == "bfloat16" else "")
    of_mxnet = np.dtype([("bfloat16", np.uint16)]) if bits == "bfloat16" else np.float16

    def params(path):
        nd.save(str(path), {"a": nd.array(values).astype(of_mxnet)})

    def safetensors(path):
        write_safetensors(path, {"a": ("BF16" if bits == "bfloat16" else "F16", [3, 2], half.tobytes())})

    def torch(write):
        return lambda path: write(path, {"a": tensor(storage)}, [storage])

    for write in (params, safetensors, torch(write_zip), torch(write_old)):
        write(path)
        assert_same(read_weights(path), {"a": values})
        assert_own(read_weights(path))


def test_bfloat16_is_rounded_nowhere(path):
    """All 65536 of them, as PyTorch defines them: float32 whose lower half is 0."""
    halves = np.arange(1 << 16, dtype=np.uint16)
    write_safetensors(path, {"a": ("BF16", [1 << 16], halves.tobytes()), "one": ("BF16", [], halves[1:2].tobytes())})
    assert read_weights(path)["one"].shape == ()
    found = read_weights(path)["a"].view(np.uint32)
    np.testing.assert_array_equal(found, np.arange(1 << 16, dtype=np.uint32) << 16)


@EACH
def test_float64_beyond_float32_is_refused(path, kind):
    WRITERS[kind](path, {"small": np.array([1e-300, 1]), "a": np.array([1.0, 1e300])})
    refused(path, "entry 'a' has float64 values beyond the range of float32")
    WRITERS[kind](path, {"a": np.array([1.0, np.inf, 1e-300])})
    assert_same(read_weights(path), {"a": np.array([1, np.inf, 0], np.float32)})


@EACH
def test_a_network_gives_the_same_features_from_every_format(path, kind, monkeypatch, tiny_weights):
    """From 3×16×16 to 3×4×4: each format's conversion within 1e-5 of the arrays as they were."""
    monkeypatch.setitem(vgg.ARCHITECTURES, "tiny", TINY)
    WRITERS[kind](path, tiny_weights)
    save_weights(path.with_suffix(".params"), convert(read_weights(path), "tiny").arrays)
    picture = nd.random.uniform(shape=(2, 3, 16, 16))
    right = features(tiny_weights, picture)
    assert np.ptp(right) > 0.1
    np.testing.assert_allclose(features(nd.load(str(path.with_suffix(".params"))), picture), right, rtol=0, atol=1e-5)


TINY = VGG((1, 2), (2, 3), hidden=4, classes=5, side=2)


@pytest.fixture
def tiny_weights():
    """Convolutions of a VGG with blocks of 1 and 2 convolutions, by the names that Gluon and torchvision share."""
    rng = np.random.default_rng(0)
    shapes = {0: (2, 3, 3, 3), 3: (3, 2, 3, 3), 5: (3, 3, 3, 3)}
    weights = {f"features.{i}.weight": rng.normal(size=shape).astype(np.float32) for i, shape in shapes.items()}
    return {**weights, **{f"features.{i}.bias": rng.normal(size=s[0]).astype(np.float32) for i, s in shapes.items()}}


def features(arrays, picture):
    net = gluon.model_zoo.vision.VGG([1, 2], [2, 3])
    params = net.features._collect_params_with_prefix()
    for name, array in arrays.items():
        param = params[name[len("features.") :]]
        param.shape = array.shape
        param.initialize()
        param.set_data(nd.array(array))
    for i in range(8):  # as far as the last pooling
        picture = net.features[i](picture)
    return picture.asnumpy()


# Gluon's .params


def test_prefixes_of_mxnet_are_dropped(path):
    write_params(path, {"arg:a": BASE, "aux:b": BASE + 1, "c": BASE + 2})
    assert_same(read_weights(path), {"a": BASE, "b": BASE + 1, "c": BASE + 2})


@pytest.mark.parametrize("other", ["aux:a", "a"])
def test_a_name_that_is_there_twice_without_its_prefix_is_refused(path, other):
    write_params(path, {"arg:a": BASE, other: BASE})
    refused(path, "holds the entry 'a' twice")


def test_arrays_without_names_are_refused(path):
    nd.save(str(path), [nd.array(BASE)])
    refused(path, "holds arrays without names")


def zipped(path, **entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


def test_a_params_in_a_zip_archive_as_in_mxnets_store_is_read(path, tmp_path):
    write_params(tmp_path / "a", {"arg:a": BASE})
    zipped(path, **{"vgg19-ad2f660d.params": (tmp_path / "a").read_bytes()})
    assert format_of(path) == files.ZIPPED_PARAMS
    assert_same(read_weights(path), {"a": BASE})
    data = path.read_bytes()
    for end in range(0, len(data), 10):
        path.write_bytes(data[:end])
        with pytest.raises(ValueError, match=re.escape(str(path))):
            read_weights(path)
    path.write_bytes(data.replace(data[60:70], bytes(10)))
    refused(path, "is not a readable zip archive of a Gluon .params: ")


def test_a_zipped_params_that_is_none_is_told_by_the_archives_name(path):
    zipped(path, **{"a.params": b"nothing"})
    refused(path, "is not a readable zip archive of a Gluon .params: a.params is not a readable .params file")


@pytest.mark.parametrize("names", [["a.params", "b.params"], ["a.txt"], [], ["data.pkl"], ["a/b/data.pkl"]])
def test_other_zip_archives_are_refused(path, names):
    zipped(path, **dict.fromkeys(names, b"x") or {"empty/": b""})
    refused(path, "a zip archive that torch.save did not write: it has no data.pkl in its one folder")


# safetensors


@pytest.mark.parametrize("kind", ["F8_E4M3", "U16", "U32", "U64", "C64"])
def test_types_that_weights_do_not_have_are_told(path, kind):
    width = {"F8_E4M3": 1, "C64": 8}.get(kind, int(kind[1:3]) // 8 if kind[0] == "U" else 1)
    write_safetensors(path, {"a": ("F32", [1], bytes(4)), "b": (kind, [2], bytes(2 * width))})
    with pytest.raises(ValueError, match=re.escape(str(path))) as error:
        read_weights(path)
    assert re.search(f"entry 'b' has elements of type {kind}: expected F64|invalid", str(error.value), re.IGNORECASE)


@pytest.mark.parametrize(
    "header",
    [
        b"{",
        b"{}x",
        b'{"a": 1}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}',
        b'{"a": {"dtype": "F32", "shape": [4611686018427387904, 4], "data_offsets": [0, 4]}}',
    ],
)
def test_headers_of_safetensors_that_lie_are_refused(path, header):
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    refused(path, "is not a readable safetensors file: ")


def test_a_scalar_and_an_empty_array_are_read(path):
    right = {"scalar": np.array(2.5, np.float32), "empty": np.zeros((0, 3), np.float32)}
    for kind in ("safetensors", "zip", "old"):
        WRITERS[kind](path, right)
        assert_same(read_weights(path), right)


# PyTorch


BOTH = pytest.mark.parametrize("write", [write_zip, write_old])


@BOTH
def test_views_of_a_storage_are_read_where_they_lie(path, write):
    values = np.arange(24, dtype=np.float32)
    storage = Storage("0", values)
    tree = {
        "whole": tensor(storage, (4, 6)),
        "transposed": tensor(storage, (6, 4), (1, 6)),
        "every second": tensor(storage, (12,), (2,)),
        "part": tensor(storage, (2, 3), (6, 1), offset=8),
        "axes": tensor(storage, (2, 3, 4), (1, 8, 2)),
        "column": tensor(storage, (4, 1), (6, (1 << 63) - 1), offset=5),
        "value": tensor(storage, (), (), offset=23),
        "repeated": tensor(storage, (3, 5), (0, 1), offset=1),
        "nothing": tensor(storage, (3, 0), (1, 1), offset=24),
    }
    right = {
        "whole": values.reshape(4, 6),
        "transposed": values.reshape(4, 6).T,
        "every second": values[::2],
        "part": values.reshape(4, 6)[1:3, 2:5],
        "axes": values.reshape(3, 4, 2).transpose(2, 0, 1),
        "column": values.reshape(4, 6)[:, 5:],
        "value": values[23],
        "repeated": np.stack([values[1:6]] * 3),
        "nothing": np.zeros((3, 0), np.float32),
    }
    write(path, tree, [storage])
    found = read_weights(path)
    assert_same(found, right)
    assert_own(found)


@BOTH
@settings(max_examples=25, deadline=None)
@given(
    values=arrays_of.arrays(FLOATS, arrays_of.array_shapes(min_dims=2, max_dims=4, max_side=4), elements=HALVES),
    data=st.data(),
)
def test_any_slice_and_any_order_of_axes_is_read(tmp_path_factory, write, values, data):
    path = tmp_path_factory.mktemp("views") / "a"
    order = data.draw(st.permutations(range(values.ndim)))
    cuts = [data.draw(st.slices(n).filter(lambda cut: (cut.step or 1) > 0)) for n in values.shape]
    view = values[tuple(cuts)].transpose(order)
    storage = Storage("s", values.reshape(-1))
    offset = 0
    if view.size:
        start = view.__array_interface__["data"][0] - values.__array_interface__["data"][0]
        offset = start // values.itemsize
    stride = tuple(step // values.itemsize for step in view.strides)
    write(path, {"a": tensor(storage, view.shape, stride, offset)}, [storage])
    assert_same(read_weights(path), {"a": view.astype(np.float32)})


@BOTH
@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "?"])
def test_every_element_type_is_read(path, write, dtype):
    values = np.array([0, 1, 100], dtype)
    write(path, *tree_of({"a": values}))
    right = values.astype(np.float32) if dtype[0] == "f" else values
    assert_same(read_weights(path), {"a": right})


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "?"])
def test_a_big_endian_archive_is_read(path, dtype):
    values = np.array([[0, 1, 100], [3, 4, 5]], dtype)
    write_zip(path, *tree_of({"a": values}), byteorder="big")
    found = read_weights(path)
    assert_same(found, {"a": values.astype(np.float32) if dtype[0] == "f" else values})
    assert_own(found)


def test_a_big_endian_archive_may_hold_bfloat16(path):
    storage = Storage("0", upper_halves([1.5, -2]), "BFloat16")
    write_zip(path, {"a": tensor(storage)}, [storage], byteorder="big")
    assert_same(read_weights(path), {"a": np.array([1.5, -2], np.float32)})


def test_an_archive_that_does_not_tell_its_byte_order_is_little_endian(path):
    write_zip(path, *tree_of(WEIGHTS), byteorder=None, folder="vgg19")
    assert_same(read_weights(path), WEIGHTS)


def test_a_byte_order_that_is_none_is_refused(path):
    write_zip(path, *tree_of(WEIGHTS), byteorder="middle")
    refused(path, "its byte order must be little or big, got 'middle'")


@BOTH
def test_files_of_the_oldest_versions_are_read(path, write):
    """As torchvision's VGG files of January 2017: Python 2's OrderedDict and texts, and the first _rebuild_tensor."""
    storages = [Storage(str(94000 + i), array) for i, array in enumerate(WEIGHTS.values())]
    entries = {name: tensor(storage, version="") for name, storage in zip(WEIGHTS, storages)}
    write(path, Ordered(entries, python2=True), storages)
    assert_same(read_weights(path), WEIGHTS)


def test_parts_of_a_storage_are_read(path):
    values = np.arange(12, dtype=np.float32)
    whole, part = Storage("9", values), Storage("9", values, view=("99", 4, 6))
    write_old(path, {"a": tensor(whole), "b": tensor(part, (2, 2), offset=1)}, [whole])
    assert_same(read_weights(path), {"a": values, "b": values[5:9].reshape(2, 2)})


@BOTH
def test_a_parameter_and_attributes_of_the_dict_are_read(path, write):
    tree, storages = tree_of(WEIGHTS, state={"_metadata": Ordered({"": {"version": 1}})})
    tree.items["features.0.bias"] = parameter(tree.items["features.0.bias"])
    write(path, tree, storages)
    assert_same(read_weights(path), WEIGHTS)


@BOTH
@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_a_checkpoint_gives_its_state_dict(path, write, wrapper):
    tree, storages = tree_of(WEIGHTS)
    optimizer = Storage("opt", np.zeros(3, np.float32))
    around = {"epoch": 3, "loss": 0.5, wrapper: tree, "optimizer": {"state": {0: {"step": tensor(optimizer)}}}}
    write(path, around, [*storages, optimizer])
    assert_same(read_weights(path), WEIGHTS)


@BOTH
def test_each_storage_is_read_once_and_those_of_nobody_not_at_all(path, write, monkeypatch):
    shared, unused = Storage("0", np.arange(4, dtype=np.float32)), Storage("1", np.zeros(9, np.float32))
    inner = {"a": tensor(shared), "b": tensor(shared, (2, 2), (1, 2))}
    write(path, {"state_dict": inner, "other": tensor(unused)}, [shared, unused])
    read, asked = torch_file._arrays, []

    def watch(tree, read_storage, order):
        return read(tree, lambda storage: asked.append(storage.key) or read_storage(storage), order)

    monkeypatch.setattr(torch_file, "_arrays", watch)
    read_weights(path)
    assert asked == ["0"]


@BOTH
@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"a": tensor(Storage("0", BASE)), "epoch": 3}, "its entry 'epoch' is no tensor but of type int"),
        ({"a": tensor(Storage("0", BASE)), "b": {"c": 1}}, "its entry 'b' is no tensor but of type dict"),
        ({"a": tensor(Storage("0", BASE)), "b": None}, "its entry 'b' is no tensor but of type NoneType"),
        ({"a": Storage("0", BASE)}, "its entry 'a' is no tensor but of type Storage"),
        ({"a": Name("torch.FloatStorage")}, "its entry 'a' is no tensor but of type _Global"),
        ({1: tensor(Storage("0", BASE))}, "it has an entry whose name is no text"),
        ({"state_dict": {"a": 1}}, "its entry 'a' is no tensor but of type int"),
        ({"state_dict": 1}, "its entry 'state_dict' is no tensor but of type int"),
        ([1], "it holds an object of type list, not a dict of tensors by name"),
        (tensor(Storage("0", BASE)), "it holds an object of type Tensor, not a dict of tensors by name"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_is_no_tensor_is_refused_by_name(path, write, tree, message):
    write(path, tree, [Storage("0", BASE)] if b"storage" in dumps(tree) else [])
    refused(path, message)


@BOTH
def test_a_file_without_arrays_is_refused(path, write):
    for tree in ({}, Ordered({}), {"state_dict": {}}):
        write(path, tree, [])
        refused(path, "holds no arrays")


@EACH
@pytest.mark.parametrize("name", ["a\x1b[2Jb", "a\nb"])
def test_names_that_would_write_to_a_terminal_are_refused(path, kind, name):
    WRITERS[kind](path, {name: BASE})
    refused(path, f"holds an entry named {name!r}")


@BOTH
def test_a_malicious_file_is_refused_without_running_it(path, write, tmp_path):
    marker = tmp_path / "run"
    attack = Call(Name("os.system"), (f"touch {marker}",))
    tree, storages = tree_of(WEIGHTS)
    tree.items["features.0.bias"] = attack
    for whole in (attack, tree, {"state_dict": tree}, {"state_dict": tree_of(WEIGHTS)[0], "optimizer": attack}):
        write(path, whole, storages)
        refused(path, "its pickle asks for 'os.system', which is not admitted; nothing of it was run")
    assert not marker.exists()


def test_none_of_the_five_pickles_of_an_old_file_is_run(path, tmp_path):
    marker = tmp_path / "run"
    attack = Call(Name("os.system"), (f"touch {marker}",))
    tree, storages = tree_of(WEIGHTS)
    magic, protocol, system = 0x1950A86A20F9469CFC6C, 1001, {}
    for begin, keys in (
        ((magic, attack, system), None),
        ((magic, protocol, attack), None),
        ((magic, protocol, system), attack),
    ):
        write_old(path, tree, storages, keys=keys, begin=begin)
        refused(path, "asks for 'os.system'")
    write_old(path, tree, storages, begin=(attack, protocol, system))
    refused(path, "is no file of weights")
    assert not marker.exists()


@pytest.mark.parametrize("compress", ["archive/data.pkl", "archive/data/0", "archive/byteorder"])
def test_entries_are_not_compressed(path, compress):
    """A few bytes of a compressed entry could become more than the memory holds."""
    write_zip(path, *tree_of({"a": np.zeros(100_000, np.float32)}), compress=[compress])
    refused(path, f"{compress!r} in the archive is compressed or encrypted, which torch.save never does")


def patched(data, name, offset, value):
    """Change a four-byte field of a name's entry in an archive's directory and before its content."""
    data = bytearray(data)
    for signature, length, shift in ((b"PK\1\2", 46, 0), (b"PK\3\4", 30, -2)):
        start = 0
        while (start := data.find(signature, start)) >= 0:
            if data[start + length : start + length + len(name)] == name.encode():
                data[start + offset + shift : start + offset + shift + len(value)] = value
            start += 4
    return bytes(data)


@pytest.mark.parametrize(("offset", "value"), [(8, b"\1"), (10, b"\10")])
def test_an_entry_that_says_that_it_is_encrypted_or_compressed_is_refused(path, offset, value):
    write_zip(path, *tree_of(WEIGHTS))
    path.write_bytes(patched(path.read_bytes(), "archive/data/0", offset, value))
    refused(path, "'archive/data/0' in the archive is compressed or encrypted")


@pytest.mark.parametrize("name", ["archive/data/0", "archive/data.pkl"])
@pytest.mark.parametrize(
    ("size", "message"), [(3_000_000_000, "in the archive should have at most "), (9999, "at most "), (1, "")]
)
def test_an_entry_that_claims_another_size_is_refused(path, name, size, message):
    write_zip(path, *tree_of(WEIGHTS))
    path.write_bytes(patched(path.read_bytes(), name, 20, struct.pack("<II", size, size)))
    refused(path, message or "is not a readable PyTorch .pth: ")


def test_an_entry_that_lies_outside_of_the_archive_is_refused(path):
    write_zip(path, *tree_of(WEIGHTS))
    for place in (1, 10_000_000, 2**32 - 2):
        data = bytearray(path.read_bytes())
        start = data.rfind(b"archive/data/1") - 46
        assert data[start : start + 4] == b"PK\1\2"
        data[start + 42 : start + 46] = struct.pack("<I", place)
        path.write_bytes(data)
        refused(path, "is not a readable PyTorch .pth: ")


def test_a_storage_that_is_missing_or_has_another_size_is_refused(path):
    tree, storages = tree_of(WEIGHTS)
    write_zip(path, tree, storages[:1])
    refused(path, "'archive/data/1' is missing in the archive")
    write_zip(path, tree, [storages[0], Storage("1", np.zeros(3, np.float32))])
    refused(path, "its storage '1' should have 8 bytes, it has 12")
    write_old(path, tree, storages[:1])
    refused(path, "its storage '1' is missing")
    write_old(path, tree, storages, counts={"1": 3})
    refused(path, "its storage '1' should have 2 elements, it has 3")
    write_old(path, tree, storages, counts={"1": -1})
    refused(path, "its storage '1' should have 2 elements, it has ")


def test_storages_that_no_tensor_needs_or_that_come_twice_are_refused(path):
    tree, storages = tree_of(WEIGHTS)
    write_old(path, tree, [*storages, Storage("7", BASE)])
    refused(path, "it has the storage '7', which no tensor needs or which was there before")
    write_old(path, tree, [*storages, storages[0]])
    refused(path, "it has the storage '0', which no tensor needs or which was there before")


@pytest.mark.parametrize("keys", [{"a": 1}, [1, 2], None, "01"])
def test_keys_of_storages_are_a_list_of_texts(path, keys):
    tree, storages = tree_of(WEIGHTS)
    write_old(path, tree, storages, keys=keys if keys is not None else {})
    refused(path, "the keys of its storages are no list of texts")


def test_a_storage_of_more_elements_than_the_file_has_is_refused_before_it_is_read(path):
    huge = Storage("0", BASE, parts=("storage", Name("torch.FloatStorage"), "0", "cpu", 1 << 62, None))
    write_old(path, {"a": tensor(huge, (2, 3))}, [Storage("0", BASE)], counts={"0": 1 << 62})
    refused(path, "it is cut short: its storage '0' ends at byte ")
    huge = Storage("0", BASE, parts=("storage", Name("torch.FloatStorage"), "0", "cpu", 1 << 62))
    write_zip(path, {"a": tensor(huge, (2, 3))}, [Storage("0", BASE)])
    refused(path, f"its storage '0' should have {1 << 64} bytes, it has 24")


@pytest.mark.parametrize("protocol", [1000, "1001", None, True])
def test_another_protocol_is_refused(path, protocol):
    tree, storages = tree_of(WEIGHTS)
    write_old(path, tree, storages, begin=(0x1950A86A20F9469CFC6C, protocol, {}))
    refused(path, "it is of another protocol than 1001")


def test_two_pickles_in_one_archive_are_refused(path):
    write_zip(path, *tree_of(WEIGHTS), extra=[("other/data.pkl", dumps({}))])
    refused(path, "it has no data.pkl in its one folder")


# What is no file of weights


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><html>", "it begins with b'<!DOCTYP'"),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), "it begins with b'\\x89PNG\\r\\n\\x1a\\n'"),
        (dumps({"a": 1}), "it begins with b'\\x80\\x02}"),
        (dumps(0x1950A86A20F9469CFC6D), "it begins with b'\\x80\\x02"),
        (b"\x80", "it begins with b'\\x80'"),
    ],
)
def test_a_file_of_another_kind_is_told_by_its_beginning(path, data, message):
    path.write_bytes(data)
    refused(path, f"is no file of weights (.params, .safetensors, .pth): {message}")


def test_a_folder_and_a_missing_file_are_told(tmp_path):
    with pytest.raises(ValueError, match=r"is a folder: expected a file of weights \(\.params, \.safetensors, \.pth\)"):
        read_weights(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"a\.pth is not there: expected a file of weights"):
        read_weights(tmp_path / "a.pth")


def test_what_is_saved_is_whole_or_not_there(tmp_path, monkeypatch):
    save_weights(tmp_path / "a.params", WEIGHTS)
    assert_same(read_weights(tmp_path / "a.params"), WEIGHTS)

    def stop(path, arrays):
        Path(path).write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(files.nd, "save", stop, raising=False)
    with pytest.raises(KeyboardInterrupt):
        save_weights(tmp_path / "a.params", {"b": BASE})
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["a.params"]
    assert_same(read_weights(tmp_path / "a.params"), WEIGHTS)
