"""``gluonbook lyrics``: train, generate, evaluate."""

import shlex
import time
from pathlib import Path
from typing import Any, Optional

import click

from gluonbook import _models
from gluonbook.cli._shared import KVSTORE_HELP, Flags, flags, take_saved, tell_stopped
from gluonbook.data import text as corpora
from gluonbook.distributed.group import KVSTORES, is_first, resumed_recipe
from gluonbook.lyrics import evaluation, generation, saved, training
from gluonbook.lyrics.cells import STEPS
from gluonbook.lyrics.tokens import LEVELS
from gluonbook.lyrics.vocabulary import describe_positions

TRAIN_FLAGS: Flags = {
    "out": ("--out", click.Path(file_okay=False), "Folder for the model, its checkpoints, plot and sample."),
    "level": ("--level", click.Choice(LEVELS), "Tokens: characters, or words by jieba."),
    "cell": ("--cell", click.Choice(list(STEPS)), "Recurrent cell."),
    "num_hiddens": ("--hidden", int, "Hidden units a layer."),
    "num_layers": ("--layers", int, "Recurrent layers."),
    "embedding_size": ("--embedding", int, "Length of a token's vector; 0 feeds one-hot vectors."),
    "dropout": ("--dropout", float, "Share of values dropped in training."),
    "batch_size": ("--batch-size", int, "Rows of a batch."),
    "num_steps": ("--steps", int, "Tokens of a row that a batch sees."),
    "num_epochs": ("--epochs", int, "Passes over the text."),
    "lr": ("--lr", float, "Learning rate at the start."),
    "theta": ("--theta", float, "Bound of the gradients' norm; 0 clips nothing."),
    "held_out": ("--held-out", float, "Share of the text, from its end, that is only measured."),
    "min_count": ("--min-count", int, "Tokens rarer than that become <unk>."),
    "keep": ("--keep", click.Choice(["last", "best"]), "Weights to keep: the last, or the best on the held-out tail."),
    "sample_every": ("--sample-every", int, "Epochs between sample lines."),
    "prefixes": ("--prefix", str, "What samples continue; may be repeated."),
    "checkpoint_every": ("--checkpoint-every", int, "Epochs between checkpoints."),
    "seed": ("--seed", int, "Makes the same numbers again."),
    "device": ("--device", str, "auto, cpu, gpu(0)."),
    "kvstore": ("--kvstore", click.Choice(KVSTORES), KVSTORE_HELP),
    "resume": ("--resume", None, "Go on from the checkpoint in --out, with its settings."),
}
GENERATE_FLAGS: Flags = {
    "length": ("--length", int, "New tokens a prefix."),
    "temperature": ("--temperature", float, "0 is greedy, 1 the model's own, above it more varied."),
    "top_k": ("--top-k", int, "Choose among the k most probable only."),
    "top_p": ("--top-p", float, "Choose among the most probable that sum to p."),
    "seed": ("--seed", int, "Makes the same text again."),
}


@click.group()
def lyrics() -> None:
    """Train on song lyrics, write new ones, measure a model."""


@lyrics.command()
@click.argument("corpus", default=corpora.EMBEDDED)
@flags(training.train, TRAIN_FLAGS, multiple=["prefixes"])
@click.pass_context
def train(context: click.Context, corpus: str, out: str, resume: bool, **settings: Any) -> None:
    """Train a model on CORPUS: songs (embedded), jaychou_lyrics, time_machine, or a UTF-8 .txt, .txt.zip, .txt.gz, or -

    Writes the model, loss.png (perplexity per epoch) and sample.txt to --out.
    """
    settings["prefixes"] = list(settings["prefixes"] or ()) or None
    for name in ("embedding_size", "theta"):
        settings[name] = settings[name] or None  # 0 on the command line
    if resume:
        take_saved(context, settings, resumed_recipe(settings["kvstore"], out))
    text = corpora.read_corpus(corpus)
    start = time.perf_counter()
    try:
        model = training.train(text, out, resume=resume, progress=True, **settings)
    except KeyboardInterrupt:
        tell_stopped(out, ["lyrics", "train", *([] if corpus == corpora.EMBEDDED else [corpus])])
        raise
    if not is_first():
        return
    click.echo(f"{training.describe_epoch(model.kept_epoch())}; {time.perf_counter() - start:.1f} s")
    for path in write_report(model, text, Path(out), settings["prefixes"]):
        click.echo(f"  {path}")
    prefix = training.sample_prefixes(model, text)[0]
    command = shlex.join(["gluonbook", "lyrics", "generate", "--model", str(out), "--prefix", prefix])
    click.echo(f"write with it: {command}")


def write_report(model: saved.TrainedModel, text: str, out: Path, prefixes: Optional[list[str]]) -> list[Path]:
    """Write ``loss.png`` and ``sample.txt`` to a model's folder and return what is in it for the reader."""
    import matplotlib

    from gluonbook import _files, plot

    matplotlib.use("agg")
    ax = plot.history_curves(model.history)
    plot.save(ax.figure, out / "loss.png")
    prefixes = prefixes or training.sample_prefixes(model, text)
    samples = generation.generate(model, prefixes, 200, seed=model.settings["seed"])
    _files.write_text(out / "sample.txt", "\n\n".join(samples) + "\n")
    return [out / name for name in (_models.DESCRIPTION, _models.PARAMS, "loss.png", "sample.txt")]


@lyrics.command()
@click.option(
    "--model", "folder", type=click.Path(), default=None, help="Folder of a model; the embedded one if not given."
)
@click.option("--prefix", "prefixes", multiple=True, required=True, help="What to write on from; may be repeated.")
@flags(generation.generate, GENERATE_FLAGS)
def generate(folder: Optional[str], prefixes: tuple[str, ...], **settings: Any) -> None:
    """Write on from each prefix."""
    model = saved.load_model(folder or saved.embedded_model())
    steps = generation.stream(model, list(prefixes), **settings)
    for prefix in prefixes:
        _tell_unknown(model, prefix)
    texts = list(prefixes)
    click.echo(texts[0], nl=False)
    for step in steps:  # all rows grow together; the first is shown as it does
        texts = [text + (token or "") for text, token in zip(texts, step)]
        click.echo(step[0] or "", nl=False)
    click.echo("")
    for text in texts[1:]:
        click.echo(f"\n{text}")


@lyrics.command()
@click.option(
    "--model", "folder", type=click.Path(), default=None, help="Folder of a model; the embedded one if not given."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, gpu(0).")
@click.argument("text")
def evaluate(folder: Optional[str], text: str, device: str) -> None:
    """Measure a model on TEXT (as train takes it): perplexity a token, bits a character."""
    content = corpora.read_corpus(text)
    model = saved.load_model(folder or saved.embedded_model())
    found = evaluation.evaluate_text(model, content, device)
    if found["unknown"]:
        click.echo(f"{found['unknown']} of {found['tokens']} tokens are not in the vocabulary, read as <unk>", err=True)
    click.echo(f"tokens              {found['tokens']}")
    click.echo(f"perplexity          {found['perplexity']:.3f}")
    click.echo(f"bits per character  {found['bits_per_character']:.3f}")


def _tell_unknown(model: saved.TrainedModel, text: str) -> None:
    unknown = model.vocabulary.unknown(generation.tokenize(text, model.settings["level"]))
    if unknown:
        click.echo(f"{text}: not in the vocabulary, read as <unk>: {describe_positions(unknown)}", err=True)
