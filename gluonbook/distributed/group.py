"""The workers that train together: who they are, which rows are whose, what they tell each other.

They meet on MXNet's parameter server (Li et al. 2014, "Scaling Distributed Machine Learning with the Parameter
Server"). In ``dist_sync`` the servers add up the gradients of all workers, and each takes the same step; in
``dist_async`` they take a step at every push, whoever it is from. A program that trains calls the same lines alone and
among others: a group of one has no store, and every function here then returns what it was given.
"""

import json
import os
from collections.abc import Callable
from typing import Any, NamedTuple, Optional

import numpy as np

from gluonbook import _check, _files, runs, training
from gluonbook._mxnet import mx, nd

KVSTORES = ("dist_sync", "dist_async")
# MXNet's keys are numbers throughout; a trainer's count its parameters. A key is multiplied by 9973 in 32 bits to
# choose its server: one above 215,000 has none.
SUM_KEY, MESSAGE_KEY = 100_000, 150_000

State = tuple[dict[str, Any], dict[str, Any]]  # a checkpoint: nd arrays by name, and plain data


class Group(NamedTuple):
    """The workers of a training.

    Attributes:
        store: MXNet's kvstore; None for one that trains alone.
        rank: this worker's number; 0 writes files, measures and shows progress.
        size: how many there are.
    """

    store: Any = None
    rank: int = 0
    size: int = 1

    @property
    def is_async(self) -> bool:
        """Whether the servers take a step at every push."""
        return self.store is not None and "async" in self.store.type

    @property
    def is_sync(self) -> bool:
        """Whether the gradients of all workers are added up before a step."""
        return self.store is not None and not self.is_async


ALONE = Group()
_joined: list[Group] = []  # by this process
_keys: set[int] = set()  # that its store knows from here


def join(kvstore: Optional[str] = None) -> Group:
    """Return the group that this process trains in.

    Args:
        kvstore: ``"dist_sync"`` or ``"dist_async"``; None is ``"dist_sync"`` in a process that ``gluonbook launch``
            started, and a group of one elsewhere.

    Returns:
        Group.

    Raises:
        ValueError: the name is another, the process was not launched, or it has joined by the other name.
    """
    if kvstore is not None:
        _check.choice("kvstore", kvstore, KVSTORES)
    if os.environ.get("DMLC_ROLE") != "worker":
        if kvstore is not None:
            raise ValueError(
                f"kvstore={kvstore!r} needs servers and other workers: start them with "
                "gluonbook launch -n 2 -s 1 -- lyrics train … (or detect-train)"
            )
        return ALONE
    group = _join(kvstore or KVSTORES[0])
    if kvstore is not None and group.store.type != kvstore:
        raise ValueError(f"kvstore must stay {group.store.type!r} within a process, got {kvstore!r}")
    return group


def is_first() -> bool:
    """Say whether this process writes files and reports: it trains alone, or is worker 0 of its group."""
    return not any(group.rank for group in _joined)


def _join(kvstore: str) -> Group:
    """Create the store, once in a process: MXNet knows one connection to the servers."""
    from gluonbook.distributed import member

    if not _joined:
        member.report_joining()
        store = mx.kv.create(kvstore)
        _joined.append(Group(store, store.rank, store.num_workers))
        member.report_rank(store.rank, store)
    return _joined[0]


def share(group: Group, rows: int) -> slice:
    """Return which rows of a batch are this worker's: as even as can be, the first ones take what is left over.

    Args:
        group: of the training.
        rows: N, of the whole batch; at least one a worker.

    Raises:
        ValueError: there are fewer rows than workers.

    >>> share(Group(rank=1, size=3), 8)
    slice(3, 6, None)
    """
    if rows < group.size:
        raise ValueError(f"batch_size must be at least the number of workers, {group.size}, got {rows}")
    each, left = divmod(rows, group.size)
    start = group.rank * each + min(group.rank, left)
    return slice(start, start + each + (group.rank < left))


def trainer_settings(group: Group) -> dict[str, Any]:
    """Return the arguments that make a ``gluon.Trainer`` one of the group; none where it trains alone."""
    return {} if group.store is None else {"kvstore": group.store, "update_on_kvstore": group.is_async}


def begin(group: Group, trainer: Any, schedule: Callable[[int], float]) -> None:
    """Give worker 0's weights to all before a group's first step, and in ``dist_async`` the optimiser to the servers.

    A trainer would do it within its first step, and not wait: a gradient that comes to the servers before a worker has
    fetched its weights is then taken for them (measured: in every second run). The network must not have run before:
    it would hold its kernels in oneDNN's own layout, which cannot be sent.

    Args:
        group: of the training.
        trainer: gluon.Trainer, made with ``trainer_settings``.
        schedule: gives the learning rate after so many steps of the servers, which count one for each worker and batch;
            can be pickled. Only ``dist_async`` asks it.
    """
    if group.store is None:
        return
    if group.is_async:
        trainer.optimizer.lr_scheduler = schedule
    trainer._init_kvstore()
    trainer._init_params()
    nd.waitall()
    group.store._barrier()


def clipped_step(group: Group, trainer: Any, gradients: list[Any], theta: Optional[float]) -> None:
    """Add up the gradients of all workers, clip their joint norm, and take a step.

    In ``dist_async`` each worker clips its own and sends them.

    Args:
        group: of the training.
        trainer: gluon.Trainer, made with ``trainer_settings``.
        gradients: the trainer's, on one device.
        theta: as for ``training.clip_gradients``.
    """
    if group.is_async:
        training.clip_gradients(gradients, theta)
        trainer.step(1)
        return
    trainer.allreduce_grads()
    training.clip_gradients(gradients, theta)
    trainer.update(1)


def total(group: Group, values: Any) -> np.ndarray:
    """Return the sum over all workers of an array, in ``dist_sync``; each worker's own otherwise.

    Args:
        group: of the training; all its workers must call this equally often.
        values: numbers of any shape, the same in all calls.

    Returns:
        float32 array of their shape.
    """
    values = np.atleast_1d(np.asarray(values, np.float32))
    if not group.is_sync:
        return values
    key = SUM_KEY + values.size
    if key not in _keys:
        group.store.init(key, nd.zeros(values.shape))
        _keys.add(key)
    summed = nd.array(values)
    group.store.pushpull(key, summed, out=summed)
    return summed.asnumpy()


def from_first(group: Group, function: Callable[[], Optional[State]]) -> Optional[State]:
    """Let worker 0 read a state and give it to all: the others need not see its folder.

    Args:
        group: of the training.
        function: called in worker 0 only; gives arrays by name and plain data, or None.

    Returns:
        what it gave, in each worker; arrays are float32, on the CPU.
    """
    state = function() if group.rank == 0 else None
    if group.size == 1:
        return state
    about = None
    if state is not None:
        about = {"info": state[1], "shapes": {name: array.shape for name, array in state[0].items()}}
    about = _tell(group, about)
    if about is None:
        return None
    arrays = {}
    for name, shape in about["shapes"].items():
        own = state[0][name].as_in_context(mx.cpu()) if state is not None else nd.zeros(tuple(shape))
        arrays[name] = _broadcast(group, own)
    return arrays, about["info"]


def resumed_recipe(kvstore: Optional[str], folder: _files.PathLike) -> dict[str, Any]:
    """Return the settings that made the checkpoint in worker 0's folder, in each worker.

    Args:
        kvstore: as for ``join``.
        folder: that of the training.

    Raises:
        FileNotFoundError: there is none.
    """
    state = from_first(join(kvstore), lambda: ({}, runs.saved_recipe(folder)))
    return {} if state is None else state[1]


def _tell(group: Group, data: Any) -> Any:
    """Return worker 0's plain data: its length, then its bytes, as numbers that float32 holds."""
    text = json.dumps(data).encode("utf-8") if group.rank == 0 else b""
    length = int(_broadcast(group, nd.array([len(text)])).asscalar())
    content = np.frombuffer(text, np.uint8) if group.rank == 0 else np.zeros(length)
    return json.loads(bytes(_broadcast(group, nd.array(content, dtype="float32")).asnumpy().astype(np.uint8)))


def _broadcast(group: Group, array: Any) -> Any:
    key = MESSAGE_KEY + len(_keys)
    _keys.add(key)
    out = nd.zeros(array.shape)
    group.store.broadcast(key, array, out)
    return out
