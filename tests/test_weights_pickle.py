"""The unpickler builds plain data and descriptions of tensors; whatever else a pickle asks for is refused unrun."""

import contextlib
import copyreg
import io
import pickle
import pickletools
import re
import struct
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from weights_helpers import Call, Name, Ordered, Raw, Storage, dumps, emit, parameter, tensor

from gluonbook.weights import elements, tensor_pickle
from gluonbook.weights.tensor_pickle import Tensor, Unpickler

STORAGE = Storage("0", np.zeros(12, np.float32))
ORDERED = Name("collections.OrderedDict")


def load(data):
    return Unpickler(io.BytesIO(data)).load()


def refused(data, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        load(data)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner) | st.tuples(inner) | st.tuples(inner, inner, inner) | st.dictionaries(st.text(), inner)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@settings(deadline=None)
@given(value=PLAIN)
def test_plain_data_is_what_python_reads(protocol, value):
    assert load(pickle.dumps(value, protocol)) == value


def test_objects_that_are_named_twice_are_one():
    inner = [1]
    first, second = load(pickle.dumps((inner, inner), 2))
    assert first is second


def test_an_ordered_dict_is_a_dict_whose_attributes_are_left_out():
    state = {"_metadata": Ordered({"": {"version": 1}})}
    assert load(dumps(Ordered({"b": 1, "a": 2}, state))) == {"b": 1, "a": 2}
    assert list(load(dumps(Ordered({"b": 1, "a": 2})))) == ["b", "a"]


def test_python_2_wrote_ordered_dicts_as_pairs_and_texts_as_bytes():
    assert load(dumps(Ordered({"b": 1, "a": b"text"}, python2=True))) == {"b": 1, "a": "text"}


def test_each_load_gives_objects_of_its_own():
    data = dumps(Ordered({"a": []}))
    load(data)["a"].append(1)
    assert load(data) == {"a": []}


@pytest.mark.parametrize("version", ["", "_v2"])
def test_a_tensor_is_described(version):
    found = load(dumps(tensor(STORAGE, (2, 3), (1, 2), 4, version)))
    assert found == Tensor(tensor_pickle.Storage("0", "F32", 12, 0, 12), 4, (2, 3), (1, 2))
    assert load(dumps(parameter(tensor(STORAGE, (2, 3), (1, 2), 4, version)))) == found


@pytest.mark.parametrize(("of_torch", "kind"), tensor_pickle._TORCH_NAMES.items())
@pytest.mark.parametrize("module", ["torch", "torch.cuda"])
def test_storages_have_the_types_of_torch(module, of_torch, kind):
    parts = ("storage", Name(f"{module}.{of_torch}Storage"), "7", "cuda:0", 3)
    machine = Unpickler(io.BytesIO(dumps(Storage("", np.zeros(3, np.float32), parts=parts))))
    assert machine.load() == tensor_pickle.Storage("7", kind, 3, 0, 3)
    assert machine.storages == {"7": (kind, 3)}


def test_every_element_type_of_torch_is_one_of_the_table():
    assert set(tensor_pickle._TORCH_NAMES.values()) == set(elements.TYPES)


def test_a_storage_may_be_a_part_of_another():
    storage = Storage("0", np.zeros(12, np.float32), view=("99", 4, 6))
    assert load(dumps(storage, old=True)) == tensor_pickle.Storage("0", "F32", 12, 4, 6)


def test_one_pickle_is_read_and_no_byte_more():
    stream = io.BytesIO(dumps([1]) + dumps({"a": 2}) + b"rest")
    assert [Unpickler(stream).load() for _ in range(2)] == [[1], {"a": 2}]
    assert stream.read() == b"rest"


# What must not run


@pytest.fixture
def marker(tmp_path):
    """A file that appears if something of a pickle is run."""
    return tmp_path / "run"


def attacks(marker):
    """Return pickles that make the marker with Python's unpickler, by name."""
    command, code = f"touch {marker}", f"open({str(marker)!r}, 'w').close()"
    system, evaluate = Call(Name("os.system"), (command,)), Call(Name("builtins.eval"), (code,))
    quoted = repr(command).encode()
    return {
        "system": dumps(system),
        "eval": dumps(evaluate),
        "exec": dumps(Call(Name("builtins.exec"), (code,))),
        "posix": dumps(Call(Name("posix.system"), (command,))),
        "popen": dumps(Call(Name("subprocess.call"), (["touch", str(marker)],))),
        "stack global": b"\x80\x04" + emit("os") + emit("system") + b"\x93" + emit((command,)) + b"R.",
        "protocol 0": b"cos\nsystem\n(S" + quoted + b"\ntR.",
        "inst": b"(S" + quoted + b"\nios\nsystem\n.",
        "obj": b"(" + emit(Name("os.system")) + emit(command) + b"o.",
        "newobj": b"\x80\x02" + emit(Name("subprocess.Popen")) + emit((["touch", str(marker)],)) + b"\x81.",
        "in a list": dumps([1, system]),
        "in a state dict": dumps(Ordered({"a": 1, "b": evaluate})),
        "key": dumps({"a": system}),
        "in the pairs of an ordered dict": dumps(Call(ORDERED, ([["a", system]],))),
        "in the arguments of an ordered dict": dumps(Call(ORDERED, Raw(emit([[["a", 1]], evaluate]) + b"\x85"))),
        "state of an ordered dict": dumps(Ordered({}, {"_metadata": system})),
        "getattr": dumps(Call(Call(Name("builtins.getattr"), (Name("os"), "system")), (command,))),
        "reconstructor": dumps(
            Call(Name("copyreg._reconstructor"), (Name("subprocess.Popen"), Name("builtins.object"), None))
        ),
        "attribute": dumps(Call(Name("collections.OrderedDict.fromkeys"), ([1],))),
        "partial": dumps(Call(Call(Name("functools.partial"), (Name("os.system"), command)), ())),
        "numpy": dumps(Call(Name("numpy.testing._private.utils.runstring"), (code, {}))),
        "pickle in a pickle": dumps(Call(Name("pickle.loads"), (Raw(b"U\x01."),))),
        "torch": dumps(Call(Name("torch.load"), ("a.pth",))),
        "torch dynamic": dumps(Call(Name("torch._utils._rebuild_wrapper_subclass"), (1,))),
        "torch module": dumps(Call(Name("torch.nn.modules.linear.Linear"), (1, 2))),
    }


@pytest.mark.parametrize("name", attacks(""))
def test_nothing_that_a_pickle_asks_for_is_run(marker, name):
    with pytest.raises(ValueError, match=r"^its pickle (asks for|uses the opcode|makes|has|calls|sets)"):
        load(attacks(marker)[name])
    assert not marker.exists()


@pytest.mark.parametrize(
    "name", ["system", "eval", "exec", "posix", "popen", "stack global", "protocol 0", "inst", "obj"]
)
def test_these_attacks_are_ones_to_python(marker, name):
    """Without this, the test above might pass with pickles that nobody could run."""
    pickle.loads(attacks(marker)[name])
    assert marker.exists()


def test_a_global_that_is_refused_is_named():
    refused(dumps(Name("os.system")), "its pickle asks for 'os.system', which is not admitted; nothing of it was run")
    refused(b"\x80\x04" + emit("builtins") + emit("eval") + b"\x93.", "asks for 'builtins.eval'")


@pytest.mark.parametrize("opcode", [b"\x82\x07", b"\x83\x07\x00", b"\x84\x07\x00\x00\x00"])
def test_the_extension_registry_is_not_asked(marker, opcode, monkeypatch):
    """Python's unpickler takes what is cached there without asking anybody."""
    copyreg.add_extension("os", "system", 7)
    try:
        data = b"\x80\x02" + opcode + emit((f"touch {marker}",)) + b"R."
        assert pickle.loads(data) == 0
        assert marker.exists()
        marker.unlink()
        refused(data, "uses the opcode EXT")
        assert not marker.exists()
    finally:
        copyreg.remove_extension("os", "system", 7)
        copyreg._extension_cache.clear()


@pytest.mark.parametrize(
    "target",
    [
        ORDERED,
        Name("torch._utils._rebuild_tensor_v2"),
        Name("torch.FloatStorage"),
        STORAGE,
        tensor(STORAGE),
        "text",
        (1, 2),
        [1],
        None,
    ],
    ids=lambda target: type(target).__name__,
)
def test_attributes_can_be_set_of_no_admitted_object(target):
    for state in ({"_metadata": 1}, {"make": 1}, ({}, {"__class__": 1}), None):
        before = dict(tensor_pickle._GLOBALS)
        refused(b"\x80\x02" + emit(target) + emit(state) + b"b.", "its pickle sets attributes of")
        assert before == tensor_pickle._GLOBALS


@pytest.mark.parametrize("state", [{"__class__": 1}, {"_metadata": 1, "x": 2}, ({}, {"x": 1}), [1], None, "x"])
def test_an_ordered_dict_has_no_other_attributes(state):
    refused(b"\x80\x02" + emit(Ordered({})) + emit(state) + b"b.", "sets attributes of a dict that no state dict has")


@pytest.mark.parametrize(
    "target", [ORDERED, Name("torch.FloatStorage"), STORAGE, tensor(STORAGE), (), "a", None, [1], Ordered({})]
)
def test_items_go_into_lists_and_dicts_alone(target):
    if not isinstance(target, Ordered):
        refused(b"\x80\x02" + emit(target) + emit("a") + emit(1) + b"s.", "sets items of something that is no dict")
        refused(b"\x80\x02" + emit(target) + b"(" + emit("a") + emit(1) + b"u.", "sets items of something that is no")
    if not isinstance(target, list):
        refused(b"\x80\x02" + emit(target) + emit("a") + b"a.", "appends to something that is no list")
        refused(b"\x80\x02" + emit(target) + b"(" + emit("a") + b"e.", "appends to something that is no list")


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (Name("torch.FloatStorage"), "torch.FloatStorage"),
        (STORAGE, "an object of type Storage"),
        (tensor(STORAGE), "an object of type Tensor"),
        ("os.system", "an object of type str"),
        ((), "an object of type tuple"),
        (Ordered({}), "an object of type dict"),
    ],
    ids=str,
)
def test_what_is_no_function_is_not_called(function, named):
    refused(dumps(Call(function, ())), f"its pickle calls {named}, which is no function")


def test_arguments_are_a_tuple():
    refused(dumps(Call(ORDERED, [])), "calls collections.OrderedDict with something that is no tuple")


def test_only_opcodes_that_state_dicts_need_are_known():
    """All others end the reading, with whatever lies on the stack."""
    dangerous = {"INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "PERSID", "NEXT_BUFFER", "BINBYTES"}
    known = {opcode.name for opcode in pickletools.opcodes}
    assert set(tensor_pickle._STEPS) <= known - dangerous
    argument = b"1\n1\n" + bytes(16)
    for opcode in pickletools.opcodes:
        if opcode.name not in tensor_pickle._STEPS and opcode.name != "STOP":
            with pytest.raises(ValueError, match=r"uses the opcode \w+|at position|string|literal|\d+"):
                load(b"\x80\x02(" + emit(ORDERED) + emit(()) + opcode.code.encode("latin-1") + argument + b".")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_bytes_at_random_are_a_valueerror_or_plain(data):
    with contextlib.suppress(ValueError):
        load(b"\x80\x02" + data)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_pickle_with_a_changed_byte_is_a_valueerror_or_plain(draw):
    data = bytearray(dumps(Ordered({"a": tensor(STORAGE, (3, 4)), "b": parameter(tensor(STORAGE))}, {"_metadata": {}})))
    data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    with contextlib.suppress(ValueError):
        load(bytes(data))


# What is not well made


def persistent(*parts):
    return dumps(Raw(emit(parts) + b"Q"))


FLOATS = Name("torch.FloatStorage")


@pytest.mark.parametrize(
    "data",
    [
        persistent(),
        persistent("storage"),
        persistent("storage", FLOATS, "0", "cpu"),
        persistent("storage", FLOATS, "0", "cpu", 3, None, None),
        persistent("module", FLOATS, "0", "cpu", 3),
        persistent(1, FLOATS, "0", "cpu", 3),
        persistent("storage", "torch.FloatStorage", "0", "cpu", 3),
        persistent("storage", ORDERED, "0", "cpu", 3),
        persistent("storage", FLOATS, 0, "cpu", 3),
        persistent("storage", FLOATS, "0", "cpu", -3),
        persistent("storage", FLOATS, "0", "cpu", 3.0),
        persistent("storage", FLOATS, "0", "cpu", True),
        persistent("storage", FLOATS, "0", "cpu", 1 << 63),
        persistent("storage", FLOATS, "0", "cpu", 3, 5),
        persistent("storage", FLOATS, "0", "cpu", 3, ("1", 0)),
        persistent("storage", FLOATS, "0", "cpu", 3, ("1", -1, 2)),
        persistent("storage", FLOATS, "0", "cpu", 3, ("1", "0", 2)),
        dumps(Raw(emit("storage") + b"Q")),
        dumps(Raw(emit(["storage", FLOATS, "0", "cpu", 3]) + b"Q")),
    ],
)
def test_persistent_ids_are_those_of_storages(data):
    refused(data, "its pickle refers to something that is no storage")


def test_a_part_of_a_storage_lies_inside():
    assert load(persistent("storage", FLOATS, "0", "cpu", 3, ("1", 1, 2))).count == 2
    refused(
        persistent("storage", FLOATS, "0", "cpu", 3, ("1", 1, 3)), "has a part of the storage '0' that lies outside"
    )


@pytest.mark.parametrize("other", [(FLOATS, 4), (Name("torch.HalfStorage"), 3)])
def test_a_storage_is_described_in_one_way(other):
    kind, count = other
    parts = [Raw(emit(("storage", k, "0", "cpu", n)) + b"Q") for k, n in ((FLOATS, 3), (kind, count))]
    refused(dumps(parts), "describes the storage '0' in two ways")
    assert len(load(dumps(parts[:1] * 2))) == 2


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ((13,), (1,), 0),
        ((12,), (1,), 1),
        ((3, 4), (4, 1), 1),
        ((3, 4), (5, 1), 0),
        ((4,), (4,), 0),
        ((1,), (1,), 12),
        ((2,), (1 << 62,), 0),
        ((1 << 62,), (0,), 0),
        ((13,), (0,), 0),
        ((), (), 12),
        ((1 << 40, 1 << 40), (0, 0), 0),
    ],
)
def test_tensors_lie_inside_of_their_storage(size, stride, offset):
    refused(dumps(tensor(STORAGE, size, stride, offset)), "has a tensor that does not fit into its storage '0'")


@pytest.mark.parametrize(
    ("size", "stride", "offset"),
    [
        ((12,), (1,), 0),
        ((3, 4), (1, 3), 0),
        ((3,), (4,), 3),
        ((1,), (1 << 40,), 11),
        ((), (), 11),
        ((0, 99), (99, 1), 50),
        ((12,), (0,), 11),
    ],
)
def test_tensors_that_just_fit_are_taken(size, stride, offset):
    assert load(dumps(tensor(STORAGE, size, stride, offset))).size == size


def test_a_tensor_in_a_part_of_a_storage_lies_inside_of_the_part():
    part = Storage("0", np.zeros(12, np.float32), view=("1", 4, 6))
    assert load(dumps(tensor(part, (6,)), old=True)).storage.start == 4
    with pytest.raises(ValueError, match="does not fit into its storage '0'"):
        load(dumps(tensor(part, (7,)), old=True))


@pytest.mark.parametrize(
    ("size", "stride"),
    [
        ((3, 4), (1,)),
        ((-1,), (1,)),
        ((3,), (-1,)),
        ((3.0,), (1,)),
        ((True,), (1,)),
        (3, (1,)),
        (("3",), (1,)),
        ((3,), None),
        ((1,) * 33, (1,) * 33),
        ((1 << 63,), (0,)),
    ],
)
def test_shapes_and_strides_are_counts(size, stride):
    refused(dumps(tensor(STORAGE, size, Raw(emit(stride)))), "with no proper shape and strides")


@pytest.mark.parametrize(
    "call",
    [
        Call(Name("torch._utils._rebuild_tensor"), ()),
        Call(Name("torch._utils._rebuild_tensor"), (STORAGE, 0, (1,))),
        Call(Name("torch._utils._rebuild_tensor_v2"), (STORAGE, 0, (1,), (1,), False, None, None, None)),
        Call(Name("torch._utils._rebuild_tensor_v2"), ("0", 0, (1,), (1,), False, None)),
        Call(Name("torch._utils._rebuild_tensor_v2"), (FLOATS, 0, (1,), (1,), False, None)),
        Call(Name("torch._utils._rebuild_tensor_v2"), (tensor(STORAGE), 0, (1,), (1,), False, None)),
        Call(Name("torch._utils._rebuild_tensor_v2"), (STORAGE, -1, (1,), (1,), False, None)),
        Call(Name("torch._utils._rebuild_tensor_v2"), (STORAGE, "0", (1,), (1,), False, None)),
        Call(Name("torch._utils._rebuild_parameter"), ()),
        Call(Name("torch._utils._rebuild_parameter"), (STORAGE, True, None)),
        Call(Name("torch._utils._rebuild_parameter"), (tensor(STORAGE), True, None, None)),
        Call(ORDERED, (1,)),
        Call(ORDERED, ([], [])),
        Call(ORDERED, ({"a": 1},)),
        Call(ORDERED, ([1],)),
        Call(ORDERED, ([["a"]],)),
        Call(ORDERED, ([["a", 1, 2]],)),
        Call(ORDERED, (["ab"],)),
    ],
    ids=str,
)
def test_functions_take_what_torch_gives_them(call):
    refused(dumps(call), "its pickle makes ")


@pytest.mark.parametrize("key", [(1, 2), None, 1.5, True, [1], STORAGE, Name("torch.FloatStorage")], ids=str)
def test_keys_are_texts_or_whole_numbers(key):
    for data in (dumps({"a": 1, "b": 2}).replace(emit("b"), emit(key)), dumps(Call(ORDERED, ([[key, 1]],)))):
        refused(data, "has a dict with a key of type")


def test_a_deeply_nested_key_does_not_end_the_process():
    refused(b"\x80\x02}" + emit(()) + b"\x85" * 200_000 + b"Ns.", "has a dict with a key of type tuple")


def test_deep_nesting_is_told_and_shown_nowhere():
    nested = emit(()) + b"\x85" * 200_000
    for data in (nested + b"Q.", emit(ORDERED) + nested + b"R.", nested + emit(()) + b"R.", nested + b"Nb."):
        with pytest.raises(ValueError, match=r"^its pickle ") as error:
            load(b"\x80\x02" + data)
        assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x02.", "takes more from its stack than it has put there"),
        (b"\x80\x02\x85.", "takes more from its stack than it has put there"),
        (b"\x80\x02(N\x86.", "takes more from its stack than it has put there"),
        (b"\x80\x02R.", "takes more from its stack than it has put there"),
        (b"\x80\x02t.", "closes a group that it has not opened"),
        (b"\x80\x02]e.", "closes a group that it has not opened"),
        (b"\x80\x02q\x00.", "remembers what is not there"),
        (b"\x80\x02h\x05.", "recalls object 5, which it has not remembered"),
        (b"\x80\x02}(Nu.", "sets a key of a dict without a value"),
        (b"\x80\x02" + emit("os") + b"N\x93.", "asks for something whose name is no text"),
        (b"\x80\x02N", "pickle exhausted before seeing STOP"),
        (b"", "pickle exhausted before seeing STOP"),
        (b"\x80\x02\xff", "unknown"),
    ],
)
def test_a_pickle_that_is_none_is_told(data, message):
    refused(data, message)


def test_every_truncation_is_a_valueerror():
    data = dumps(Ordered({"a": tensor(STORAGE, (3, 4)), "b": parameter(tensor(STORAGE))}, {"_metadata": {}}))
    load(data)
    for end in range(len(data)):
        with pytest.raises(ValueError, match=r"\w"):
            load(data[:end])


@pytest.mark.parametrize(
    "claim",
    [b"X" + struct.pack("<I", 2**32 - 1), b"\x8d" + struct.pack("<Q", 2**62), b"\x8b" + struct.pack("<i", 2**31 - 1)],
)
def test_lengths_are_promises_that_reserve_nothing(claim):
    class Stream(io.BytesIO):
        def read(self, count):
            assert count <= tensor_pickle.MOST_BYTES
            return super().read(count)

    with pytest.raises(ValueError, match=r"expected|not enough"):
        Unpickler(Stream(b"\x80\x02" + claim + b"ab")).load()


def test_a_place_in_memory_is_not_reserved_by_its_number():
    assert load(b"\x80\x02]r\xff\xff\xff\xff.") == []


def test_a_pickle_has_a_bound(monkeypatch):
    monkeypatch.setattr(tensor_pickle, "MOST_BYTES", 1 << 20)
    refused(b"\x80\x02]" + b"N" * (1 << 20) + b".", "its pickle is longer than 1 MiB")
    refused(b"\x80\x02c" + b"a" * (1 << 20) + b"\nb\n.", "its pickle is longer than 1 MiB")


def test_no_module_is_imported_for_a_pickle():
    before = set(sys.modules)
    for name in ("this.s", "antigravity.fly", "torch._utils._rebuild_tensor_v3", "turtle.Turtle"):
        refused(dumps(Name(name)), f"asks for {name!r}")
    assert set(sys.modules) == before
