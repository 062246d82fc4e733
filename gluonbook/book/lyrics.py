"""The book's lyrics from a recurrent network: corpora, batches, prediction and training with printed samples."""

import random
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Callable, Optional

from gluonbook import _check, data, training
from gluonbook._mxnet import gluon, mx, nd
from gluonbook.lyrics import batches, from_scratch
from gluonbook.lyrics.vocabulary import Vocabulary

CORPUS_LENGTH = 10_000  # characters of a corpus that the book trains on
Corpus = tuple[list[int], dict[str, int], list[str], int]


def load_data_jay_lyrics() -> Corpus:
    """Load the first 10,000 characters of the book's lyrics, newlines as spaces.

    Returns:
        corpus_indices, a list of int; char_to_idx, a dict; idx_to_char, a list of str, the most frequent first and so
        in the same order in every process; vocab_size, 1027.

    Raises:
        DataNotFound: the corpus is nowhere and cannot be downloaded; the message says where to put it.

    >>> corpus_indices, char_to_idx, idx_to_char, vocab_size = load_data_jay_lyrics()  # doctest: +SKIP
    >>> len(corpus_indices), vocab_size  # doctest: +SKIP
    (10000, 1027)
    """
    return _load("jaychou_lyrics", str)


def load_data_time_machine() -> Corpus:
    """Load the first 10,000 characters of H. G. Wells' Time Machine in lower case, newlines as spaces.

    Returns:
        as ``load_data_jay_lyrics``; vocab_size is 43 with the book's file.

    Raises:
        DataNotFound: the corpus is nowhere and cannot be downloaded; the message says where to put it.

    >>> corpus_indices, char_to_idx, idx_to_char, vocab_size = load_data_time_machine()  # doctest: +SKIP
    """
    return _load("time_machine", str.lower)


def data_iter_random(
    corpus_indices: Any, batch_size: int, num_steps: int, ctx: Any = None
) -> Iterator[tuple[Any, Any]]:
    """Cut a corpus into windows that do not overlap and deal them out in random order (Python's ``random``).

    ``gluonbook.batches_random`` does the same in NumPy, with a seed.

    Args:
        corpus_indices: (L,) int.
        batch_size: N, at least 1.
        num_steps: T, at least 1.
        ctx: mx.Context; None is the current one.

    Returns:
        an iterator over the (L - 1) // T // N batches X, Y: nd (N, T) float32; ``Y[:, t]`` follows ``X[:, t]``.

    Raises:
        ValueError: the corpus is too short for one batch.

    >>> for X, Y in data_iter_random(range(30), 2, 6): print(X.shape, (Y - X).asnumpy().min())
    (2, 6) 1.0
    (2, 6) 1.0
    """
    return _on(ctx, batches.batches_random(corpus_indices, batch_size, num_steps, seed=random.getrandbits(32)))


def data_iter_consecutive(
    corpus_indices: Any, batch_size: int, num_steps: int, ctx: Any = None
) -> Iterator[tuple[Any, Any]]:
    """Cut a corpus into batches whose rows continue each other.

    ``gluonbook.batches_adjacent`` does the same in NumPy.

    Args:
        corpus_indices, batch_size, num_steps, ctx: as for ``data_iter_random``.

    Returns:
        an iterator over the (L // N - 1) // T batches X, Y: nd (N, T) float32; ``Y[:, t]`` follows ``X[:, t]``.

    Raises:
        ValueError: the corpus is too short for one batch.

    >>> [X[:, 0].asnumpy().tolist() for X, _ in data_iter_consecutive(range(30), 2, 6)]
    [[0.0, 15.0], [6.0, 21.0]]
    """
    return _on(ctx, batches.batches_adjacent(corpus_indices, batch_size, num_steps))


def predict_rnn(
    prefix: str,
    num_chars: int,
    rnn: Callable[..., Any],
    params: Any,
    init_rnn_state: Callable[..., Any],
    num_hiddens: int,
    vocab_size: int,
    ctx: Any,
    idx_to_char: Sequence[str],
    char_to_idx: dict[str, int],
) -> str:
    """Continue a prefix with the most probable character each time, by a recurrent network written out.

    Args:
        prefix: at least one character, each in ``char_to_idx``.
        num_chars: how many follow, at least 0.
        rnn: gives T outputs (N, V) and the new state for T one-hot inputs (N, V), a state and params.
        params: of the network.
        init_rnn_state: gives the state for (N, num_hiddens, ctx).
        num_hiddens: H, hidden units.
        vocab_size: V, tokens.
        ctx: mx.Context.
        idx_to_char, char_to_idx: the vocabulary.

    Returns:
        the prefix and ``num_chars`` characters.

    Raises:
        ValueError: the prefix is empty, or holds a character that the vocabulary lacks.

    >>> predict_rnn("分开", 10, rnn, params, init_rnn_state, 256, vocab_size, ctx, idx_to_char, char_to_idx)
    ... # doctest: +SKIP
    '分开 我想要你的微笑每天都'
    """

    def forward(X: Any, state: Any) -> tuple[Any, Any]:
        outputs, state = rnn(from_scratch.to_onehot(X, vocab_size), state, params)
        return outputs[0], state

    return _predict(prefix, num_chars, forward, init_rnn_state(1, num_hiddens, ctx), ctx, idx_to_char, char_to_idx)


def predict_rnn_gluon(
    prefix: str,
    num_chars: int,
    model: Any,
    vocab_size: int,
    ctx: Any,
    idx_to_char: Sequence[str],
    char_to_idx: dict[str, int],
) -> str:
    """Continue a prefix with the most probable character each time, by an ``RNNModel``.

    Args:
        prefix, num_chars, ctx, idx_to_char, char_to_idx: as for ``predict_rnn``.
        model: RNNModel, or any block with its call and its ``begin_state``.
        vocab_size: V; not used, the model knows it.

    Returns:
        the prefix and ``num_chars`` characters.

    Raises:
        ValueError: as ``predict_rnn``.

    >>> predict_rnn_gluon("分开", 10, model, vocab_size, ctx, idx_to_char, char_to_idx)  # doctest: +SKIP
    '分开 我想要你的微笑每天都'
    """
    state = model.begin_state(batch_size=1, ctx=ctx)
    return _predict(prefix, num_chars, model, state, ctx, idx_to_char, char_to_idx)


def train_and_predict_rnn(
    rnn: Callable[..., Any],
    get_params: Callable[[], Any],
    init_rnn_state: Callable[..., Any],
    num_hiddens: int,
    vocab_size: int,
    ctx: Any,
    corpus_indices: Any,
    idx_to_char: Sequence[str],
    char_to_idx: dict[str, int],
    is_random_iter: bool,
    num_epochs: int,
    num_steps: int,
    lr: float,
    clipping_theta: Optional[float],
    batch_size: int,
    pred_period: int,
    pred_len: int,
    prefixes: Sequence[str],
) -> None:
    """Train a recurrent network written out; print perplexity, seconds and samples every ``pred_period`` epochs.

    Args:
        rnn, init_rnn_state, num_hiddens, vocab_size, ctx, idx_to_char, char_to_idx: as for ``predict_rnn``.
        get_params: gives the parameters, nd arrays with gradients attached.
        corpus_indices: (L,) int, below V.
        is_random_iter: random batches, the state zero at each; otherwise consecutive ones, the state carried on within
            an epoch, detached at each.
        num_epochs, num_steps, batch_size: at least 1.
        lr: learning rate of ``sgd``, above 0.
        clipping_theta: the gradients' joint norm is clipped to it; None clips nothing.
        pred_period: epochs from sample to sample, at least 1.
        pred_len: characters of a sample after its prefix.
        prefixes: each is continued.

    Raises:
        ValueError: an argument is out of range, the corpus too short, or an index not below V.
        training.NonFiniteLoss: the loss is infinite or not a number.

    >>> train_and_predict_rnn(rnn, get_params, init_rnn_state, 256, vocab_size, ctx, corpus_indices, idx_to_char,
    ...     char_to_idx, False, 50, 35, 1e2, 1e-2, 32, 50, 10, ["分开"])  # doctest: +SKIP
    epoch 50, perplexity 63.451229, time 0.98 sec
     - 分开 我不能再想 我不
    """
    params = get_params()

    def forward(X: Any, state: Any) -> tuple[Any, Any]:
        outputs, state = rnn(from_scratch.to_onehot(X, vocab_size), state, params)
        return nd.concat(*outputs, dim=0), state  # (T*N, V)

    def step() -> None:
        training.clip_gradients([param.grad for param in params], clipping_theta)
        training.sgd(params, lr, 1)

    def epoch_batches() -> Any:
        if is_random_iter:
            return batches.batches_random(corpus_indices, batch_size, num_steps, seed=random.getrandbits(32))
        return batches.batches_adjacent(corpus_indices, batch_size, num_steps)

    def sample(prefix: str) -> str:
        return predict_rnn(
            prefix, pred_len, rnn, params, init_rnn_state, num_hiddens, vocab_size, ctx, idx_to_char, char_to_idx
        )

    _check.number("lr", lr, above=0)
    epochs = from_scratch.run_epochs(
        forward, lambda N: init_rnn_state(N, num_hiddens, ctx), step, epoch_batches, num_epochs, vocab_size, ctx, lr,
        carry_state=not is_random_iter,
    )  # fmt: skip
    _report(epochs, pred_period, sample, prefixes)


def train_and_predict_rnn_gluon(
    model: Any,
    num_hiddens: int,
    vocab_size: int,
    ctx: Any,
    corpus_indices: Any,
    idx_to_char: Sequence[str],
    char_to_idx: dict[str, int],
    num_epochs: int,
    num_steps: int,
    lr: float,
    clipping_theta: Optional[float],
    batch_size: int,
    pred_period: int,
    pred_len: int,
    prefixes: Sequence[str],
) -> None:
    """Train an ``RNNModel``; print perplexity, seconds and samples every ``pred_period`` epochs.

    The model is initialised anew from N(0, 0.01²); batches are consecutive, and the state is carried on.

    Args:
        model: RNNModel, or any block with its call and its ``begin_state``.
        num_hiddens: not used: the model knows it.
        vocab_size, ctx, corpus_indices, idx_to_char, char_to_idx: as for ``train_and_predict_rnn``.
        num_epochs, num_steps, lr, clipping_theta, batch_size, pred_period, pred_len, prefixes: as there, too.

    Raises:
        ValueError, training.NonFiniteLoss: as ``train_and_predict_rnn``.

    >>> train_and_predict_rnn_gluon(model, 256, vocab_size, ctx, corpus_indices, idx_to_char, char_to_idx,
    ...     50, 35, 1e2, 1e-2, 32, 50, 10, ["分开"])  # doctest: +SKIP
    epoch 50, perplexity 4.245417, time 0.21 sec
     - 分开 我想要你的微笑每
    """
    _check.number("lr", lr, above=0)
    model.initialize(ctx=ctx, force_reinit=True, init=mx.init.Normal(0.01))
    trainer = gluon.Trainer(model.collect_params(), "sgd", {"learning_rate": lr, "momentum": 0, "wd": 0})

    def step() -> None:
        grads = [param.grad(ctx) for param in model.collect_params().values() if param.grad_req != "null"]
        training.clip_gradients(grads, clipping_theta)
        trainer.step(1)

    def sample(prefix: str) -> str:
        return predict_rnn_gluon(prefix, pred_len, model, vocab_size, ctx, idx_to_char, char_to_idx)

    epochs = from_scratch.run_epochs(
        model, lambda N: model.begin_state(batch_size=N, ctx=ctx), step,
        lambda: batches.batches_adjacent(corpus_indices, batch_size, num_steps), num_epochs, vocab_size, ctx, lr,
        carry_state=True,
    )  # fmt: skip
    _report(epochs, pred_period, sample, prefixes)


def _load(name: str, change: Callable[[str], str]) -> Corpus:
    text = change(data.book_corpus(name).replace("\n", " "))[:CORPUS_LENGTH]
    vocabulary = Vocabulary(text)
    char_to_idx = {char: i for i, char in enumerate(vocabulary.tokens)}
    return vocabulary.encode(text).tolist(), char_to_idx, vocabulary.tokens, len(vocabulary)


def _on(ctx: Any, pairs: Iterable[tuple[Any, Any]]) -> Iterator[tuple[Any, Any]]:
    return ((nd.array(X, ctx=ctx, dtype="float32"), nd.array(Y, ctx=ctx, dtype="float32")) for X, Y in pairs)


def _predict(
    prefix: str,
    num_chars: int,
    forward: Callable[[Any, Any], tuple[Any, Any]],
    state: Any,
    ctx: Any,
    idx_to_char: Sequence[str],
    char_to_idx: dict[str, int],
) -> str:
    unknown = [f"{char!r} at {i}" for i, char in enumerate(prefix) if char not in char_to_idx]
    if unknown or not prefix:
        raise ValueError(f"prefix must be characters of the vocabulary, at least one; got {unknown or 'none'}")
    indices = [char_to_idx[char] for char in prefix]
    return "".join(idx_to_char[i] for i in from_scratch.continue_greedily(indices, num_chars, forward, state, ctx))


def _report(epochs: Iterator[float], pred_period: int, sample: Callable[[str], str], prefixes: Sequence[str]) -> None:
    _check.integer("pred_period", pred_period, at_least=1)
    start = time.time()
    for epoch, perplexity in enumerate(epochs, 1):
        if epoch % pred_period == 0:
            print(f"epoch {epoch}, perplexity {perplexity:f}, time {time.time() - start:.2f} sec")
            for prefix in prefixes:
                print(" -", sample(prefix))
        start = time.time()
