"""What may be taken is nine tenths of the free memory, within a container's limit."""

import types

import psutil
import pytest

from gluonbook import _memory


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with 1000 bytes available, and a folder for its container's files, which are not there."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: types.SimpleNamespace(available=1000))
    monkeypatch.setattr(_memory, "CGROUP", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("limit", "used", "free"),
    [
        (None, None, 900),  # nine tenths are taken at most
        ("max\n", "300\n", 900),
        ("700\n", "300\n", 360),
        ("5000\n", "300\n", 900),
        ("300\n", "700\n", 0),
        ("700\n", None, 900),
        (None, "300\n", 900),
        ("no number\n", "300\n", 900),
    ],
)
def test_a_containers_limit_counts_less_what_is_used_of_it(machine, limit, used, free):
    for name, text in (("memory.max", limit), ("memory.current", used)):
        if text is not None:
            (machine / name).write_text(text)
    found = _memory.free_bytes()
    assert found == free
    assert isinstance(found, int)


def test_a_machine_without_containers_is_asked_alone(machine, monkeypatch):
    monkeypatch.setattr(_memory, "CGROUP", machine / "nowhere")
    assert _memory.free_bytes() == 900


def test_some_memory_is_free_here():
    assert 0 < _memory.free_bytes() < psutil.virtual_memory().total
