"""A group of workers: who it is, whose rows are whose, what all are told. Real jobs: test_distributed_training.py."""

import threading

import numpy as np
import pytest

from gluonbook import distributed
from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.distributed import group as groups
from gluonbook.distributed import member


class Store:
    """MXNet's dist_sync store as one of several threads sees it."""

    type = "dist_sync"

    def __init__(self, shared, rank):
        self.shared, self.rank, self.num_workers = shared, rank, shared.parties

    def broadcast(self, key, value, out):
        assert 0 <= key * 9973 < 2**31  # more overflows in MXNet
        self.shared.meet(key, self.rank, value.asnumpy())
        out[:] = nd.array(self.shared.slots[key][0])

    def init(self, key, value):
        assert 0 <= key * 9973 < 2**31
        self.shared.meet(("init", key), self.rank, value.asnumpy())

    def pushpull(self, key, value, out, priority=0):
        self.shared.meet(key, self.rank, value.asnumpy())
        out[:] = nd.array(sum(self.shared.slots[key]))
        self.shared.barrier.wait()  # nobody overwrites what another has not read


class Shared:
    """What the threads' stores have in common."""

    def __init__(self, parties):
        self.parties, self.slots = parties, {}
        self.barrier, self.lock = threading.Barrier(parties, timeout=20), threading.Lock()

    def meet(self, key, rank, value):
        with self.lock:
            self.slots.setdefault(key, [None] * self.parties)[rank] = value
        self.barrier.wait()


@pytest.fixture
def together(monkeypatch):
    """Call a function with each worker's group, in a thread each, and return what they returned, by rank."""

    def run(function, size):
        shared, found = Shared(size), [None] * size
        keys = threading.local()

        class Keys:  # a process each, in truth
            def add(self, key):
                keys.__dict__.setdefault("known", set()).add(key)

            def __contains__(self, key):
                return key in keys.__dict__.get("known", ())

            def __len__(self):
                return len(keys.__dict__.get("known", ()))

        monkeypatch.setattr(groups, "_keys", Keys())

        def work(rank):
            try:
                found[rank] = function(groups.Group(Store(shared, rank), rank, size))
            except Exception as error:
                found[rank] = error
                shared.barrier.abort()

        threads = [threading.Thread(target=work, args=(rank,)) for rank in range(size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        return found

    return run


@pytest.mark.parametrize(
    ("size", "rows", "slices"),
    [
        (1, 8, [(0, 8)]),
        (2, 8, [(0, 4), (4, 8)]),
        (3, 8, [(0, 3), (3, 6), (6, 8)]),
        (4, 4, [(0, 1), (1, 2), (2, 3), (3, 4)]),
    ],
)
def test_rows_are_shared_evenly_and_none_is_lost(size, rows, slices):
    found = [groups.share(groups.Group(None, rank, size), rows) for rank in range(size)]
    assert [(part.start, part.stop) for part in found] == slices


def test_fewer_rows_than_workers_are_refused():
    with pytest.raises(ValueError, match=r"^batch_size must be at least the number of workers, 4, got 3$"):
        groups.share(groups.Group(None, 0, 4), 3)


def test_a_process_that_was_not_launched_is_alone(monkeypatch):
    monkeypatch.delenv("DMLC_ROLE", raising=False)
    group = distributed.join()
    assert (group.store, group.rank, group.size, group.is_async, group.is_sync) == (None, 0, 1, False, False)
    assert groups.is_first()
    assert groups.trainer_settings(group) == {}
    assert groups.total(group, 2.5).tolist() == [2.5]
    state = {"w": nd.ones(2)}, {"epoch": 3}
    assert groups.from_first(group, lambda: state) is state


@pytest.mark.parametrize("name", groups.KVSTORES)
def test_a_store_without_other_workers_is_refused_with_the_command(name, monkeypatch):
    monkeypatch.delenv("DMLC_ROLE", raising=False)
    with pytest.raises(
        ValueError, match=rf"^kvstore='{name}' needs servers and other workers: .*gluonbook launch -n 2"
    ):
        groups.join(name)


def test_another_store_is_refused():
    with pytest.raises(ValueError, match=r"^kvstore must be one of dist_sync, dist_async; got 'dist'$"):
        groups.join("dist")


@pytest.fixture
def launched(monkeypatch):
    """Stand as a launched worker 1 of 2 whose store is made at once; gives what happened, in order."""
    happened = []

    def create(name):
        happened.append(f"create {name}")
        store = Store(Shared(2), 1)
        store.type = name
        return store

    monkeypatch.setenv("DMLC_ROLE", "worker")
    monkeypatch.setattr(groups, "_joined", [])
    monkeypatch.setattr(mx.kv, "create", create)
    monkeypatch.setattr(member, "report_joining", lambda: happened.append("joining"))
    monkeypatch.setattr(member, "report_rank", lambda rank, store: happened.append(f"rank {rank} of {store.type}"))
    return happened


def test_a_launched_process_joins_once_and_tells_its_rank(launched):
    group = groups.join()
    assert (group.rank, group.size, group.is_sync) == (1, 2, True)
    assert groups.join("dist_sync") is group
    assert launched == ["joining", "create dist_sync", "rank 1 of dist_sync"]
    assert not groups.is_first()
    with pytest.raises(ValueError, match=r"^kvstore must stay 'dist_sync' within a process, got 'dist_async'$"):
        groups.join("dist_async")


def test_a_trainer_updates_on_the_servers_only_where_they_do_not_wait(launched):
    group = groups.join("dist_async")
    assert group.is_async
    assert groups.trainer_settings(group) == {"kvstore": group.store, "update_on_kvstore": True}
    waiting = groups.Group(Store(Shared(2), 0), 0, 2)
    assert groups.trainer_settings(waiting) == {"kvstore": waiting.store, "update_on_kvstore": False}


def test_sums_are_those_of_all_workers_at_every_call(together):
    def work(group):
        first = groups.total(group, [group.rank + 1.0, 10.0])
        second = groups.total(group, [100.0 * group.rank, 1.0])
        return first.tolist(), second.tolist(), groups.total(group, 0.5).tolist()

    assert together(work, 3) == [([6.0, 30.0], [300.0, 3.0], [1.5])] * 3


def test_servers_that_do_not_wait_sum_nothing():
    store = Store(Shared(1), 0)
    store.type = "dist_async"
    assert groups.total(groups.Group(store, 0, 2), 7.0).tolist() == [7.0]


def test_what_worker_0_reads_all_get(together):
    """Names and numbers, Chinese text and empty arrays; the others' function is not called."""
    info = {"epoch": 2, "history": [{"train": 1.25}], "tokens": "想要有直升机" * 9}

    def work(group):
        def read():
            assert group.rank == 0
            return {"weight:a": nd.array([[1.5, -2.0]]), "optimizer:0:0": nd.array([3e-7])}, info

        arrays, told = groups.from_first(group, read)
        return {name: array.asnumpy().tolist() for name, array in arrays.items()}, told

    small = float(np.float32(3e-7))
    assert together(work, 2) == [({"weight:a": [[1.5, -2.0]], "optimizer:0:0": [small]}, info)] * 2


def test_where_worker_0_finds_nothing_all_find_nothing(together):
    assert together(lambda group: groups.from_first(group, lambda: None), 2) == [None, None]


def test_a_resumed_recipe_is_read_by_worker_0_alone(tmp_path, monkeypatch):
    monkeypatch.delenv("DMLC_ROLE", raising=False)
    with pytest.raises(FileNotFoundError):
        groups.resumed_recipe(None, tmp_path)


class Summing(Store):
    """A store that doubles a gradient at every push, as two equal workers would."""

    def __init__(self):
        super().__init__(Shared(1), 0)

    def pushpull(self, key, value, out=None, priority=0):
        for array in value if isinstance(value, list) else [value]:
            array[:] = 2 * array


def test_gradients_are_added_up_before_their_norm_is_clipped():
    """The sum (6, 8) has norm 10 and is scaled to 5: (3, 4). Clipping first would leave (3, 4) and double it."""
    param = gluon.Parameter("w", shape=(2,))
    param.initialize(mx.init.Zero())
    trainer = gluon.Trainer([param], "sgd", {"learning_rate": 1.0})
    trainer._init_kvstore()
    trainer._params_to_init, trainer._kvstore, trainer._update_on_kvstore = [], Summing(), False
    with autograd.record():
        loss = (param.data() * nd.array([3.0, 4.0])).sum()
    loss.backward()
    groups.clipped_step(groups.Group(trainer._kvstore, 0, 2), trainer, [param.grad()], 5.0)
    assert param.data().asnumpy().tolist() == pytest.approx([-3.0, -4.0])


class Recorded:
    """A trainer that writes down what is asked of it."""

    def __init__(self, happened):
        self.happened, self.optimizer = happened, mx.optimizer.Adam(learning_rate=0.5)

    def _init_kvstore(self):  # in dist_async the servers get the optimiser here
        schedule = self.optimizer.lr_scheduler
        self.happened.append("optimiser" if schedule is None else f"optimiser, rate {schedule(7)}")

    def _init_params(self):
        self.happened.append("weights")


@pytest.mark.parametrize(("kvstore", "optimiser"), [("dist_sync", "optimiser"), ("dist_async", "optimiser, rate 14")])
def test_a_group_begins_with_the_same_weights_and_waits_until_all_have_them(kvstore, optimiser, monkeypatch):
    happened = []
    store = Store(Shared(1), 0)
    store.type, store._barrier = kvstore, lambda: happened.append("all are here")
    monkeypatch.setattr(groups.nd, "waitall", lambda: happened.append("waited"), raising=False)
    groups.begin(groups.Group(store, 0, 2), Recorded(happened), lambda step: 2 * step)
    assert happened == [optimiser, "weights", "waited", "all are here"]


def test_one_that_trains_alone_begins_with_nothing():
    groups.begin(groups.ALONE, None, lambda step: 0.0)
