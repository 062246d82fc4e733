"""What every training of the package shares: clipping, the guard against losses that are not finite, checkpoints.

A checkpoint is a folder with a ``.params`` file (weights and the optimiser's state) and a JSON file that names it and
holds the rest; both are written beside and renamed, the JSON last, so a stopped run leaves a whole checkpoint.
"""

import contextlib
import math
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Optional

from gluonbook import _check, _files
from gluonbook._mxnet import nd

CHECKPOINT = "checkpoint.json"
LARGEST_EXPONENT = 709.0  # exp of more is no float64


class NonFiniteLoss(ArithmeticError):
    """The loss became infinite or not a number; the message gives epoch, batch, learning rate and last finite loss."""


class LossGuard:
    """Collect an epoch's losses; stop the run at the first that is not finite.

    A loss is read one batch late, when the next one has been queued: reading it at once would let MXNet's engine run
    dry after each batch.

    Args:
        epoch: from 1, for the message.
        lr: the epoch's learning rate, for the message.
        last_finite: the mean loss of the epoch before.
    """

    def __init__(self, epoch: int, lr: float, last_finite: Optional[float] = None) -> None:
        self.epoch, self.lr, self.last_finite = epoch, lr, last_finite
        self.losses: list[float] = []
        self._pending: Any = None

    def add(self, loss: Any) -> None:
        """Take the next batch's loss, an array of one value.

        Raises:
            NonFiniteLoss: the loss of the batch before is not finite.
        """
        self._read()
        self._pending = loss

    def mean(self) -> float:
        """Return the mean of the losses so far; nan where there is none.

        Raises:
            NonFiniteLoss: the last loss is not finite.
        """
        self._read()
        return sum(self.losses) / len(self.losses) if self.losses else math.nan

    def _read(self) -> None:
        if self._pending is None:
            return
        loss, self._pending = float(self._pending.asscalar()), None
        if not math.isfinite(loss):
            before = self.losses[-1] if self.losses else self.last_finite
            raise NonFiniteLoss(
                f"the loss is {loss} at epoch {self.epoch}, batch {len(self.losses) + 1}, learning rate {self.lr:g}; "
                f"last finite loss: {'none' if before is None else format(before, '.4f')}. Take a smaller learning rate"
            )
        self.losses.append(loss)


@contextlib.contextmanager
def interruptible() -> Iterator[Any]:
    """Hold Ctrl-C back until the code asks for it.

    Python forgets a KeyboardInterrupt that is raised while an array is being freed, and elsewhere it may come between
    two lines that belong together.

    Yields:
        a function that raises the KeyboardInterrupt that came since. A second Ctrl-C does not wait for it. Where the
        code runs in another thread, or somebody else handles Ctrl-C, it does nothing.
    """
    mine = threading.current_thread() is threading.main_thread()
    if not mine or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield lambda: None
        return
    pressed: list[int] = []

    def hold(number: int, frame: Any) -> None:
        if pressed:
            signal.default_int_handler(number, frame)
        pressed.append(number)

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, hold)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    check()


def perplexity(mean_cross_entropy: float) -> float:
    """Return exp(mean cross-entropy in nats): the number of equally likely tokens that would be as hard to guess.

    1 when always right, the vocabulary's size when uniform, infinite when certain and wrong (notes, section 14).

    >>> perplexity(0.0), round(perplexity(math.log(1027))), perplexity(math.inf)
    (1.0, 1027, inf)
    """
    return math.inf if mean_cross_entropy > LARGEST_EXPONENT else math.exp(mean_cross_entropy)


def clip_gradients(gradients: Sequence[Any], theta: Optional[float]) -> Optional[Any]:
    """Scale gradients in place so that their joint L2 norm does not exceed ``theta``.

    The direction is kept, and gradients below the bound are left as they are to the last bit. Nothing is read back
    from the device: the norm stays an array (Pascanu et al. 2013, algorithm 1).

    Args:
        gradients: nd float32 arrays of any shapes, on one device; at least one. A joint norm above 1e19 overflows.
        theta: the bound, above 0; None does nothing.

    Returns:
        the norm before clipping, (1,) float32; None where theta is None.

    Raises:
        ValueError: theta is not above 0, or there are no gradients.
    """
    if theta is None:
        return None
    theta = _check.number("theta", theta, above=0)
    if not gradients:  # MXNet would end the process
        raise ValueError("gradients must be at least one array, got none")
    norm = nd.multi_sum_sq(*gradients, num_arrays=len(gradients)).sum().sqrt()  # (1,)
    scale = nd.minimum(theta / norm, 1)  # 1 where the norm is 0: theta / 0 is infinite
    for gradient in gradients:
        gradient[:] = nd.broadcast_mul(gradient, scale.reshape((1,) * gradient.ndim))
    return norm


def optimizer_state(trainer: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a resumed ``gluon.Trainer`` needs: its arrays by name, and its counts as plain data.

    Trainer.save_states would pickle them.
    """
    updater = trainer._updaters[0]
    arrays = {}
    for index, state in updater.states.items():
        for i, array in enumerate(_as_tuple(state)):
            arrays[f"optimizer:{index}:{i}"] = array
    counts = trainer.optimizer._index_update_count
    return arrays, {"num_update": trainer.optimizer.num_update, "counts": {str(k): n for k, n in counts.items()}}


def restore_optimizer(trainer: Any, arrays: dict[str, Any], counts: dict[str, Any]) -> None:
    """Give a new ``gluon.Trainer`` the state that ``optimizer_state`` returned, on each of its devices.

    States go by the number of their parameter: both trainers must have theirs in one order. A list keeps its order; a
    dict is sorted by names, which Gluon counts up with each network of a process.
    """
    trainer._init_kvstore()
    optimizer = trainer.optimizer
    for updater, ctx in zip(trainer._updaters, trainer._contexts):
        for index, param in enumerate(trainer._params):
            if param.grad_req == "null":
                continue
            own = optimizer.create_state_multi_precision(index, param.data(ctx))
            for i, array in enumerate(_as_tuple(own)):
                array[:] = arrays[f"optimizer:{index}:{i}"].as_in_context(array.context)
            updater.states[index] = own
            updater.states_synced[index] = True
        optimizer._set_current_context(ctx.device_id)  # MXNet counts the updates of each device apart
        optimizer._index_update_count.update({int(k): n for k, n in counts["counts"].items()})
    optimizer.num_update = counts["num_update"]


def _as_tuple(state: Any) -> tuple[Any, ...]:
    if state is None:
        return ()
    return tuple(state) if isinstance(state, (list, tuple)) else (state,)


def save_checkpoint(folder: _files.PathLike, arrays: dict[str, Any], info: dict[str, Any]) -> Path:
    """Write a checkpoint; the one before it is whole until the new one is, and then goes.

    Args:
        folder: where; made if missing.
        arrays: nd arrays by name.
        info: plain data; ``info["epoch"]`` tells checkpoints apart.

    Returns:
        the path of its JSON file.
    """
    folder = Path(folder)
    params = folder / f"checkpoint-{info['epoch']:05d}.params"
    with _files.replacing(params) as neighbour:
        nd.save(str(neighbour), arrays)
    _files.write_json(folder / CHECKPOINT, {**info, "params": params.name})
    for old in folder.glob("checkpoint-[0-9][0-9][0-9][0-9][0-9].params"):
        if old != params:
            old.unlink()
    return folder / CHECKPOINT


def load_checkpoint(folder: _files.PathLike) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the checkpoint of a folder.

    Returns:
        arrays, info: as ``save_checkpoint`` took them.

    Raises:
        FileNotFoundError: there is none.
        ValueError: a file of it cannot be read.
    """
    info = read_checkpoint(folder)
    return load_arrays(Path(folder) / info.pop("params")), info


def read_checkpoint(folder: _files.PathLike) -> dict[str, Any]:
    """Read a checkpoint's plain data alone; ``params`` names the file of its arrays.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is not a checkpoint's.
    """
    path = Path(folder) / CHECKPOINT
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: no training to resume in this folder")
    info = _files.read_json(path)
    if not (isinstance(info, dict) and isinstance(info.get("params"), str) and isinstance(info.get("epoch"), int)):
        raise ValueError(f"{path} is not a checkpoint: it must name its epoch and its .params file")
    return info


def load_arrays(path: _files.PathLike) -> dict[str, Any]:
    """Read a ``.params`` file of named arrays.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is not such a file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} is not there")
    try:
        arrays = nd.load(str(path))
    except Exception as error:  # MXNet raises MXNetError, struct or Unicode errors by how the file is broken
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1].split(": ", 1)[-1]
        raise ValueError(f"{path} is not a readable .params file ({reason})") from None
    if not isinstance(arrays, dict):
        raise ValueError(f"{path} holds arrays without names: not written by this package")
    return arrays
