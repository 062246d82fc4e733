"""Losses of a run: the guard against those that are not finite, and perplexity."""

import math
from typing import Any, Optional

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


def perplexity(mean_cross_entropy: float) -> float:
    """Return exp(mean_cross_entropy), in nats: the number of equally likely tokens that would be as hard to guess.

    1 when always right, the vocabulary's size when uniform, infinite when certain and wrong (notes, section 14).

    >>> perplexity(0.0), round(perplexity(math.log(1027))), perplexity(math.inf)
    (1.0, 1027, inf)
    """
    return math.inf if mean_cross_entropy > LARGEST_EXPONENT else math.exp(mean_cross_entropy)
