"""Losses of a run: cross-entropy, the guard against losses that are not finite, and perplexity."""

import functools
import math
from typing import Any, Optional

from gluonbook import _mxnet

LARGEST_EXPONENT = 709.0  # exp of more is no float64
HUGE = 1e6  # a loss that is told by its power of ten


class NonFiniteLoss(ArithmeticError):
    """The loss became infinite or not a number; the message gives epoch, batch, learning rate and last finite loss."""


class LossGuard:
    """Collect an epoch's losses; stop the run at the first that is not finite.

    A loss is read one batch late, when the next one has been queued: reading it at once would let MXNet's engine run
    dry after each batch.

    Args:
        epoch: from 1, for the message.
        lr: the epoch's learning rate, for the message; None where there is none.
        last_finite: the mean loss of the epoch before.
    """

    def __init__(self, epoch: int, lr: Optional[float], last_finite: Optional[float] = None) -> None:
        self.epoch, self.lr, self.last_finite = epoch, lr, last_finite
        self.losses: list[float] = []
        self._pending: Any = None

    def add(self, loss: Any) -> None:
        """Take the next batch's loss, an nd array of one value or a number.

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
        pending, self._pending = self._pending, None
        loss = float(pending.asscalar() if hasattr(pending, "asscalar") else pending)
        if not math.isfinite(loss):
            before = self.losses[-1] if self.losses else self.last_finite
            said = "none" if before is None else f"{before:.4f}" if abs(before) < HUGE else f"{before:.4g}"
            rate = "" if self.lr is None else f", learning rate {self.lr:g}"
            raise NonFiniteLoss(
                f"the loss is {loss} at epoch {self.epoch}, batch {len(self.losses) + 1}{rate}; "
                f"last finite loss: {said}. Take a smaller learning rate"
            )
        self.losses.append(loss)


def mean_cross_entropy(F: Any, logits: Any, labels: Any, num_classes: int) -> Any:
    """Return a batch's mean cross-entropy: ``gluon.loss.SoftmaxCrossEntropyLoss``, with a backward pass that is quick.

    The gradient of the softmax's logarithm has a fast kernel, oneDNN's, on processors with AVX-512 only; elsewhere it
    takes six to nine times as long as the operator (``benchmarks/RESULTS.md``). There the gradient is what it is by
    hand, softmax less one-hot labels, and the logits' product with it carries it.

    Args:
        F: ``nd``, or ``symbol`` in a hybridized block.
        logits: (M, K) float32.
        labels: (M,) of any dtype, from 0 to K - 1.
        num_classes: K.

    Returns:
        (1,) float32, in nats.

    >>> from gluonbook import nd
    >>> round(perplexity(mean_cross_entropy(nd, nd.zeros((2, 4)), nd.array([0, 3]), 4).asscalar()), 3)
    4.0
    """
    if _has_fast_gradient():
        return F.mean(-F.pick(F.log_softmax(logits), labels))
    fixed = F.BlockGrad(logits)
    losses = -F.pick(F.log_softmax(fixed), labels)  # (M,)
    slopes = F.softmax(fixed) + F.one_hot(labels, depth=num_classes, on_value=-1)  # (M, K), of the losses' sum
    carrier = F.dot(logits.reshape(-1), slopes.reshape(-1)) / F.sum(F.ones_like(losses))
    return F.mean(losses) + (carrier - F.BlockGrad(carrier))


@functools.lru_cache(maxsize=1)
def _has_fast_gradient() -> bool:
    """Say whether oneDNN has its kernel for the gradient of ``log_softmax`` here."""
    return _mxnet.kernels() == _mxnet.AVX512


def perplexity(mean_cross_entropy: float) -> float:
    """Return exp(mean_cross_entropy), in nats: the number of equally likely tokens that would be as hard to guess.

    1 when always right, the vocabulary's size when uniform, infinite when certain and wrong (notes, section 14).

    >>> perplexity(0.0), round(perplexity(math.log(1027))), perplexity(math.inf)
    (1.0, 1027, inf)
    """
    return math.inf if mean_cross_entropy > LARGEST_EXPONENT else math.exp(mean_cross_entropy)
