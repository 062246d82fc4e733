"""Training of a lyrics model: epochs over adjacent batches, perplexities, samples, checkpoints, resume."""

import functools
import math
import time
from collections.abc import Sequence
from typing import Any, Callable, Optional

import numpy as np

from gluonbook import _check, _files, devices, runs, training
from gluonbook._models import DESCRIPTION
from gluonbook._mxnet import autograd, gluon, mx, nd
from gluonbook.distributed import group as groups
from gluonbook.lyrics.batches import batches_adjacent
from gluonbook.lyrics.evaluation import evaluate_tail
from gluonbook.lyrics.generation import encode_prefixes, generate
from gluonbook.lyrics.saved import ARCHITECTURE, TrainedModel, save_model
from gluonbook.lyrics.tokens import tokenize
from gluonbook.lyrics.vocabulary import Vocabulary

PREFIXES = ("分开", "不分开")
SAMPLE_LENGTH = 50
# What changes the numbers of a run: a resumed one takes these from its checkpoint.
RECIPE = (
    *(
        "level",
        "cell",
        "num_hiddens",
        "num_layers",
        "embedding_size",
        "dropout",
        "batch_size",
        "num_steps",
        "num_epochs",
    ),
    *("lr", "theta", "held_out", "min_count", "keep", "seed"),
)


def train(
    text: str,
    out: Optional[_files.PathLike] = "out/lyrics",
    *,
    level: str = "char",
    cell: str = "gru",
    num_hiddens: int = 256,
    num_layers: int = 1,
    embedding_size: Optional[int] = 128,
    dropout: float = 0.0,
    batch_size: int = 32,
    num_steps: int = 35,
    num_epochs: int = 30,
    lr: float = 0.015,
    theta: Optional[float] = 1.0,
    held_out: float = 0.1,
    min_count: int = 1,
    keep: str = "last",
    sample_every: int = 10,
    prefixes: Optional[Sequence[str]] = None,
    checkpoint_every: int = 1,
    seed: int = 0,
    device: Any = "auto",
    kvstore: Optional[str] = None,
    resume: bool = False,
    progress: bool = False,
) -> TrainedModel:
    """Train a language model on a text.

    Adam with a cosine schedule, an embedding drawn from N(0, 1), Xavier elsewhere, the gradients' norm clipped, the
    step hybridized. Each epoch draws its random numbers from the seed and its own number, so a run that was stopped
    and resumed gives the numbers of one that was not.

    Among several workers (``gluonbook launch``) each takes its share of every batch's rows. In ``dist_sync`` the
    numbers are those of one worker with the whole batch, but for rounding and what dropout draws. In ``dist_async``
    each push is a step of its own with a worker's share, the schedule follows the servers' steps, the training
    perplexity is that of worker 0's share, and a resumed run begins Adam's moments anew.

    Args:
        text: the corpus, of any length that fills a batch.
        out: folder for checkpoints and the model; None writes nothing. A folder that holds another training is refused,
            and one that holds this very training, done, is not trained again. Worker 0 alone reads and writes it.
        level: tokens are ``"char"`` or ``"word"`` (jieba).
        cell: ``"rnn"`` (tanh), ``"rnn_relu"``, ``"gru"`` or ``"lstm"``.
        num_hiddens: H, at least 1.
        num_layers: recurrent layers, at least 1.
        embedding_size: at least 1; None feeds one-hot vectors.
        dropout: from 0 to below 1.
        batch_size: N, of all workers together, at least one row each.
        num_steps: T, at least 1.
        num_epochs: at least 1; more than before may be given to a resumed run.
        lr: the first epoch's learning rate, above 0.
        theta: bound of the gradients' joint norm, above 0; None clips nothing.
        held_out: share of the text, from its end, that is not trained on but measured, from 0 to below 1.
        min_count: tokens that the text has less often become ``<unk>``, at least 1. The vocabulary is that of the whole
            text, its held-out part included; perplexities of different vocabularies are not to be compared.
        keep: ``"last"`` returns the last epoch's weights, ``"best"`` those of the lowest held-out perplexity.
        sample_every: epochs between sample lines, at least 1.
        prefixes: what samples continue; None takes 分开 and 不分开, or the corpus's first token where it lacks them.
        checkpoint_every: epochs between checkpoints in ``out``, at least 1. Ctrl-C writes one in any case.
        seed: at least 0.
        device: as ``gluonbook.device`` takes it.
        kvstore: how several workers train together, ``"dist_sync"`` or ``"dist_async"``; None is ``"dist_sync"`` in a
            process that ``gluonbook launch`` started, and alone elsewhere.
        resume: go on from the checkpoint in ``out``.
        progress: show a progress bar and sample lines.

    Returns:
        TrainedModel; with ``out`` it is also written there. The held-out perplexities are worker 0's alone.

    Raises:
        ValueError: an argument is out of range, the text is too short, or it is not the one of the checkpoint.
        FileNotFoundError: there is no checkpoint to resume.
        NonFiniteLoss: the loss became infinite or not a number.
        KeyboardInterrupt: after the last whole epoch was written to ``out``.
    """
    recipe = {name: value for name, value in locals().items() if name in RECIPE}
    _check_recipe(recipe)
    checkpoint_every = _check.integer("checkpoint_every", checkpoint_every, at_least=1)
    sample_every = _check.integer("sample_every", sample_every, at_least=1)
    if resume and out is None:
        raise ValueError("resume needs out, the folder that holds the checkpoint")

    tokens = tokenize(text, level)
    vocabulary = Vocabulary(tokens, min_count)
    corpus = vocabulary.encode(tokens)  # (L,)
    corpus, tail = split(corpus, held_out, batch_size, num_steps)
    if keep == "best" and not len(tail):
        raise ValueError(f"keep='best' needs a held-out part: held_out={held_out} of {len(tokens)} tokens is none")
    group = groups.join(kvstore)
    run = _Run(vocabulary, recipe, devices.device(device), group)
    saved = runs.Saved(DESCRIPTION, recipe, fingerprint(text), "text", "a lyrics model")
    state = groups.from_first(group, lambda: runs.saved_state(out, saved, resume))
    if state is not None:
        run.restore(*state)
    run.begin(corpus)
    if group.rank:
        out, progress = None, False
    prefixes = _known_prefixes(vocabulary, level, tokens) if prefixes is None else list(prefixes)
    encode_prefixes(run.model(), prefixes)  # refuses unknown characters now, not after the first epochs

    with (
        runs.saving_on_interrupt(lambda: run.save_whole_epochs(out, text)),
        training.interruptible() as check,
        _bar(run, len(corpus), progress) as bar,
    ):

        def advance(num_tokens: int) -> None:
            bar.update(num_tokens)
            check()

        while run.epoch < num_epochs:
            run.train_epoch(corpus, tail, advance)
            bar.set_postfix(perplexity=f"{run.history[-1]['train']:.2f}")
            if out is not None and run.epoch % checkpoint_every == 0 and run.epoch < num_epochs:
                run.save(out, text)
            if progress and (run.epoch % sample_every == 0 or run.epoch == num_epochs):
                bar.write(_sample_lines(run, prefixes))
        run.save_whole_epochs(out, text)
    return run.model()


def split(corpus: np.ndarray, held_out: float, batch_size: int, num_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Split a corpus into the part to train on and the held-out tail.

    Args:
        corpus: (L,) int.
        held_out: share of the tail.
        batch_size: N; what is left to train on must fill a batch.
        num_steps: T, tokens a row.

    Returns:
        (L - M,) and (M,); the tail starts with the last token trained on, whose successor is the first to predict. M is
        0 where nothing is held out.

    Raises:
        ValueError: the text is too short for one batch.
    """
    size = int(len(corpus) * held_out)
    kept = corpus[: len(corpus) - size]
    batches_adjacent(kept, batch_size, num_steps)  # refuses what is too short, before anything is built
    return kept, corpus[len(kept) - 1 :] if size else corpus[:0]


class _Run:
    """A training as it stands: network, trainer, history, and the weights to keep."""

    def __init__(
        self, vocabulary: Vocabulary, recipe: dict[str, Any], device: Any, group: groups.Group = groups.ALONE
    ) -> None:
        from gluonbook.lyrics.model import LanguageModel, NextTokenLoss

        self.vocabulary, self.recipe, self.device, self.group = vocabulary, recipe, device, group
        self.rows = groups.share(group, recipe["batch_size"])
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Any] = {}
        self.net = LanguageModel(len(vocabulary), **{name: recipe[name] for name in ARCHITECTURE})
        runs.seed_epoch(recipe["seed"], 0)
        self.net.initialize(mx.init.Xavier(), ctx=device)
        if self.net.embedding is not None:
            self.net.embedding.initialize(mx.init.Normal(1.0), ctx=device, force_reinit=True)
        self.step = NextTokenLoss(self.net)
        self.step.hybridize(static_alloc=True, static_shape=True)
        self.params = self.net._collect_params_with_prefix()
        self.trainer = gluon.Trainer(
            self.net.collect_params(), "adam", {"learning_rate": recipe["lr"]}, **groups.trainer_settings(group)
        )
        self.snapshot = self._snapshot()

    @property
    def epoch(self) -> int:
        return len(self.history)

    def begin(self, corpus: np.ndarray) -> None:
        """Let all workers start from the same weights."""
        recipe = self.recipe
        num_batches = sum(1 for _ in batches_adjacent(corpus, recipe["batch_size"], recipe["num_steps"]))
        schedule = functools.partial(_rate_after, recipe, num_batches * self.group.size, self.epoch)
        groups.begin(self.group, self.trainer, schedule)

    def train_epoch(self, corpus: np.ndarray, tail: np.ndarray, advance: Callable[[int], Any]) -> None:
        recipe, group, start = self.recipe, self.group, time.perf_counter()
        N, T = recipe["batch_size"], recipe["num_steps"]
        runs.seed_epoch(recipe["seed"], self.epoch + 1, group.rank)
        lr = runs.cosine(self.epoch / recipe["num_epochs"], recipe["lr"])
        if not group.is_async:
            self.trainer.set_learning_rate(lr)
        before = math.log(self.history[-1]["train"]) if self.history else None
        guard = training.LossGuard(self.epoch + 1, lr, before)
        gradients = [param.grad(self.device) for param in self.params.values()]
        rows = self.rows.stop - self.rows.start
        weight = nd.full(1, rows / N if group.is_sync else 1.0, ctx=self.device)  # of this worker's mean loss
        state = self.net.begin_state(rows, self.device)
        # (…, 2, T, rows)
        pairs = np.array([(X[self.rows].T, Y[self.rows].T) for X, Y in batches_adjacent(corpus, N, T)])
        # The whole epoch at once: MXNet waits for what it computes before it takes an array.
        for X, Y in nd.array(pairs, ctx=self.device, dtype="int32"):
            state = [array.detach() for array in state]
            with autograd.record():
                loss, *state = self.step(X, Y, *state)
            loss.backward(weight)
            groups.clipped_step(group, self.trainer, gradients, recipe["theta"])
            guard.add(loss)
            advance(X.size)
        mean = float(groups.total(group, guard.mean() * weight.asscalar())[0])
        entry = {"epoch": self.epoch + 1, "train": training.perplexity(mean), "held_out": None, "lr": lr}
        if len(tail) and group.rank == 0:
            entry["held_out"] = evaluate_tail(self.net, tail, self.device)
        entry["seconds"] = round(time.perf_counter() - start, 3)
        self._keep(entry)
        self.history.append(entry)
        self.snapshot = self._snapshot()

    def _keep(self, entry: dict[str, Any]) -> None:
        if (
            self.recipe["keep"] == "best"
            and self.group.rank == 0
            and entry["held_out"] <= min((e["held_out"] for e in self.history), default=math.inf)
        ):
            self.best = {name: runs.on_cpu(param.data()) for name, param in self.params.items()}

    def _snapshot(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Copy what a checkpoint holds, at the end of an epoch: Ctrl-C comes in the middle of the next.

        The copies are on the CPU: a checkpoint of one machine's GPU is read on any other.
        """
        arrays, counts = training.optimizer_state(self.trainer)
        arrays = {name: runs.on_cpu(array) for name, array in arrays.items()}
        arrays.update({f"weight:{name}": runs.on_cpu(param.data()) for name, param in self.params.items()})
        arrays.update({f"best:{name}": array for name, array in self.best.items()})
        return arrays, {"epoch": self.epoch, "history": list(self.history), "optimizer": counts}

    def save(self, folder: _files.PathLike, text: str) -> None:
        arrays, info = self.snapshot
        training.save_checkpoint(folder, arrays, {**info, "recipe": self.recipe, "data": fingerprint(text)})

    def save_whole_epochs(self, folder: Optional[_files.PathLike], text: str) -> None:
        """Write checkpoint and model as of the last whole epoch, if there is one and a folder for them."""
        if folder is not None and self.snapshot[1]["epoch"]:
            self.save(folder, text)
            save_model(folder, self.model())

    def restore(self, arrays: dict[str, Any], info: dict[str, Any]) -> None:
        for name, param in self.params.items():
            param.set_data(arrays[f"weight:{name}"].as_in_context(self.device))
        self.best = {name[len("best:") :]: array for name, array in arrays.items() if name.startswith("best:")}
        self.history = info["history"]
        if self.history and not self.group.is_async and any(name.startswith("optimizer:") for name in arrays):
            training.restore_optimizer(self.trainer, arrays, info["optimizer"])
        self.snapshot = self._snapshot()

    def model(self) -> TrainedModel:
        """Return the model as of the last whole epoch, or of the best one where that is to be kept."""
        arrays, info = self.snapshot
        kind = "best" if f"best:{next(iter(self.params))}" in arrays else "weight"
        weights = runs.weights_of(arrays, kind, list(self.params))
        return TrainedModel(weights, self.vocabulary, self.recipe, info["history"])


def _rate_after(recipe: dict[str, Any], steps: int, epochs_done: int, num_update: int) -> float:
    """Return the learning rate after so many updates, of which an epoch has ``steps``, in a run that goes on."""
    return runs.cosine(min((epochs_done + num_update // steps) / recipe["num_epochs"], 1.0), recipe["lr"])


def fingerprint(text: str) -> str:
    """Return a short hash that tells texts apart."""
    import hashlib

    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def _check_recipe(recipe: dict[str, Any]) -> None:
    _check.integer("num_epochs", recipe["num_epochs"], at_least=1)
    _check.number("lr", recipe["lr"], above=0)
    _check.number("held_out", recipe["held_out"], at_least=0, below=1)
    _check.integer("seed", recipe["seed"], at_least=0)
    _check.choice("keep", recipe["keep"], ("last", "best"))
    if recipe["theta"] is not None:
        _check.number("theta", recipe["theta"], above=0)
    if recipe["keep"] == "best" and recipe["held_out"] == 0:
        raise ValueError("keep='best' needs a held-out part to judge by, got held_out=0")


def sample_prefixes(model: TrainedModel, text: str) -> list[str]:
    """Return what a model's samples continue by default: 分开 and 不分开, or the text's first token."""
    return _known_prefixes(model.vocabulary, model.settings["level"], tokenize(text, model.settings["level"]))


def _known_prefixes(vocabulary: Vocabulary, level: str, tokens: Sequence[str]) -> list[str]:
    known = [prefix for prefix in PREFIXES if not vocabulary.unknown(tokenize(prefix, level))]
    return known or [next((token for token in tokens if not token.isspace()), tokens[0])]


def _sample_lines(run: _Run, prefixes: Sequence[str]) -> str:
    texts = generate(run.model(), prefixes, SAMPLE_LENGTH, seed=run.recipe["seed"])
    lines = [describe_epoch(run.model().kept_epoch())]
    return "\n".join(lines + [" - " + " ".join(text.split("\n")) for text in texts])


def describe_epoch(entry: dict[str, Any]) -> str:
    """Say an epoch's number and perplexities in words."""
    held_out = "" if entry["held_out"] is None else f", held-out {entry['held_out']:.1f}"
    return f"epoch {entry['epoch']}: training perplexity {entry['train']:.3f}{held_out}"


def _bar(run: _Run, corpus_length: int, progress: bool) -> Any:
    from tqdm.auto import tqdm

    recipe = run.recipe
    row = corpus_length // recipe["batch_size"]
    each = (row - 1) // recipe["num_steps"] * recipe["num_steps"] * recipe["batch_size"]
    unit = recipe["level"]
    total, done = each * recipe["num_epochs"], each * run.epoch
    disable = None if progress else True  # None: where standard error is no terminal
    return tqdm(total=total, initial=done, unit=unit, unit_scale=True, disable=disable, dynamic_ncols=True)
