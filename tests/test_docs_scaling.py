"""docs/scaling.md: the model by hand and in its limits, what is read from results.json, whether the page is current."""

import importlib.util
import json
import math
import random
from pathlib import Path

import pytest

from gluonbook import mx

DOCS = Path(__file__).resolve().parent.parent / "docs"
COPY = 1e10
# The jobs of section "distributed", as the benchmarks name them, with round numbers.
SECONDS = {
    "lyrics step, batch 32, all processors": (0.031, 0.032, 0.034),
    "lyrics step, batch 4, all processors": (0.0152, 0.01, 0.02),
    "TinySSD step, batch 8, all processors": (0.24, 0.25, 0.27),
    "TinySSD step, batch 2, all processors": (0.08, 0.1, 0.11),
    "parameter server, 900,000": (0.0053, 0.0063, 0.0073),  # 7.2 MB in 6 ms: 1.2 GB/s
    "parameter server, 100 × 16": (0.00525, 0.00525, 0.1),  # 99 more in 4.95 ms: 50 µs each
    "parameter server, 16": (0.0003, 0.0001, 0.0004),
    "lyrics step, 1 worker, same threads": (0.07,),
    "lyrics step, 2 workers, 1 server, loopback": (0.1,),
}


@pytest.fixture(scope="module")
def scaling():
    spec = importlib.util.spec_from_file_location("make_scaling", DOCS / "make_scaling.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def work(scaling):
    """A step of 100 ms with a million parameters in two arrays, which one server of two gets 700,000 of."""
    return scaling.Work(batch=32, step=0.1, spread=0.05, fixed=0.2, sizes={0: 700_000, 1: 300_000})


@pytest.fixture
def store(scaling):
    """A server with 1.4 GB/s through the store, 50 µs a message, 0.3 ms there and back."""
    return scaling.Store(rate=1.4e9, message=50e-6, round_trip=0.3e-3, copy=COPY)


def results(seconds=SECONDS, **changed):
    """Return results as the benchmarks write them; jobs of like names stand before those that are looked for."""
    found = [job("a " + name, 9.0) for name in seconds] + [job(name + "s", 9.0) for name in seconds]
    found += [job(name, *values) for name, values in seconds.items()]
    return {
        "machine": {"processor": "a test"},
        "limits": {"gemm": 1e11, "copy": COPY},
        "sections": {"lyrics": [job(name, 9.0) for name in seconds], "distributed": found},
        **changed,
    }


def job(name, *seconds):
    return {"job": name, "seconds": {"gluonbook": list(seconds), "PyTorch": [5.0]}}


BY_HAND = {  # workers, servers, rows: compute, waiting, wire, adding, messages in ms at 1 GB/s and 10 GB/s
    (1, 1, 32): (100, 0, 0, 0, 0),
    (1, 1, 64): (180, 0, 0, 0, 0),  # 100 × (0.2 + 0.8 × 2)
    (2, 1, 32): (60, 1.6926, 16, 2.4, 0.5),  # 60 × 0.05 / √π; 2 × 4 MB × 2; 3 × 4 MB × 2; 0.3 + 0.05 × 2 × 2
    (2, 1, 64): (100, 2.8209, 16, 2.4, 0.5),
    (2, 2, 32): (60, 1.6926, 11.2, 1.68, 0.4),  # 0.7 of it is on one server, with one array
    (3, 1, 32): (47.5, 2.00995, 24, 3.6, 0.6),  # the largest share is 11 rows; E(3) = 3 / (2 √π)
}


@pytest.mark.parametrize(("workers", "servers", "rows"), BY_HAND)
def test_the_parts_of_a_step_are_those_computed_by_hand(scaling, work, store, workers, servers, rows):
    found = scaling.parts(work, scaling.Cluster(workers, servers, 1e9, store), rows)
    expected = [value / 1e3 for value in BY_HAND[workers, servers, rows]]
    assert list(found) == pytest.approx(expected, rel=1e-4)


def test_a_link_is_decided_by_the_worker_where_it_sends_more_than_each_server(scaling, work, store):
    even = work._replace(sizes=dict.fromkeys(range(4), 250_000))
    assert scaling.parts(even, scaling.Cluster(2, 4, 1e9, store), 32).wire == pytest.approx(2 * 4e6 / 1e9)


def test_speed_up_counts_rows_at_one_batch_and_at_one_that_grows(scaling, work, store):
    cluster = scaling.Cluster(2, 1, 1e9, store)
    assert scaling.speed_up(work, cluster, weak=False) == pytest.approx(100 / 80.5926, rel=1e-4)
    assert scaling.speed_up(work, cluster, weak=True) == pytest.approx(200 / 121.7209, rel=1e-4)


def test_workers_without_a_row_have_no_speed_up(scaling, work, store):
    assert scaling.speed_up(work, scaling.Cluster(64, 1, 1e9, store), weak=False) is None
    assert scaling.speed_up(work, scaling.Cluster(64, 1, 1e9, store), weak=True) > 0


@pytest.mark.parametrize("weak", [False, True])
@pytest.mark.parametrize("servers", [1, 2, 8])
def test_more_bandwidth_is_never_slower_and_n_workers_are_at_most_n_times_faster(scaling, work, store, servers, weak):
    for n in (1, 2, 8, 32):
        rates = (1e6, 1e8, 1e9, 3e9, 1e12)
        values = [scaling.speed_up(work, scaling.Cluster(n, servers, rate, store), weak) for rate in rates]
        assert values == sorted(values)
        assert all(value <= n for value in values)
        assert n == 1 or values[0] < values[2]


def test_more_spread_and_more_parameters_are_slower(scaling, work, store):
    cluster = scaling.Cluster(4, 2, 1e9, store)
    plain = scaling.speed_up(work, cluster, weak=True)
    assert scaling.speed_up(work._replace(spread=0.1), cluster, weak=True) < plain
    assert scaling.speed_up(work._replace(sizes={0: 700_001, 1: 300_000}), cluster, weak=True) < plain


@pytest.mark.parametrize("n", [2, 8, 32])
def test_with_nothing_to_send_only_the_fixed_part_holds_workers_back(scaling, work, store, n):
    alike, cluster = work._replace(sizes={}, spread=0), scaling.Cluster(n, 1, 1e8, store)
    assert scaling.speed_up(alike, cluster, weak=False) == pytest.approx(1 / (0.2 + 0.8 / n))
    assert scaling.speed_up(alike, cluster, weak=True) == pytest.approx(n)
    assert scaling.speed_up(alike._replace(fixed=0), cluster, weak=False) == pytest.approx(n)


def test_a_step_that_takes_for_ever_hides_what_is_sent(scaling, work, store):
    long, cluster = work._replace(step=1e6, spread=0), scaling.Cluster(8, 1, 1e8, store)
    assert scaling.speed_up(long, cluster, weak=False) == pytest.approx(1 / (0.2 + 0.8 / 8), rel=1e-5)
    assert scaling.speed_up(long, cluster, weak=True) == pytest.approx(8, rel=1e-5)


def test_a_link_faster_than_the_store_does_not_help(scaling, work, store):
    wires = [scaling.parts(work, scaling.Cluster(2, 1, rate, store), 32).wire for rate in (1.4e9, 1e12)]
    assert wires == [pytest.approx(2 * 8e6 / 1.4e9)] * 2


def test_the_expected_maximum_is_that_of_normal_numbers(scaling):
    exact = {1: 0.0, 2: 1 / math.sqrt(math.pi), 3: 1.5 / math.sqrt(math.pi), 4: 1.029375, 5: 1.162964, 10: 1.538753}
    assert {n: scaling.expected_maximum(n) for n in exact} == pytest.approx(exact, abs=2e-6)
    draw = random.Random(0)
    mean = sum(max(draw.gauss(0, 1) for _ in range(64)) for _ in range(4000)) / 4000
    assert scaling.expected_maximum(64) == pytest.approx(mean, abs=0.03)
    assert scaling.expected_maximum(64) < math.sqrt(2 * math.log(64))


def test_small_arrays_are_dealt_by_key_as_mxnet_was_seen_to(scaling):
    sizes = dict(enumerate([1027, 262_912, 131_456, 768, 196_608, 768, 98_304]))
    assert scaling.by_key(sizes, 4) == [[1027, 196_608], [262_912, 768], [131_456, 98_304], [768]]
    assert scaling.by_key({3: 10, 5: 20}, 8) == [[], [20], [], [], [], [], [], [10]]  # 9973 mod 8 is 5
    assert scaling.busiest(scaling.largest_first(sizes, 4)) == 262_912
    assert scaling.largest_first({0: 1, 1: 5, 2: 4, 3: 3}, 2) == [[5, 1], [4, 3]]


def test_large_arrays_are_sliced_over_all_servers(scaling):
    assert scaling.by_key({1: 1_000_001, 2: 999_999}, 2) == [[500_000, 999_999], [500_001]]


def test_sizes_are_those_of_the_networks_as_their_trainers_number_them(scaling):
    V, E, H = 1027, 128, 256
    gru = [3 * H, 3 * H * H, 3 * H, 3 * H * E]  # names in order: h2h bias and weight, i2h bias and weight
    assert scaling.lyrics_sizes() == dict(enumerate([V, V * H, V * E, *gru]))
    assert sum(scaling.lyrics_sizes().values()) == 691_843
    sizes = scaling.detection_sizes()
    blocks = [(3, 16), (16, 32), (32, 64), (64, 128), (128, 128), (128, 128)]
    halving = sum(9 * c * d + 9 * d * d + 4 * d for c, d in blocks)  # two convolutions, two scales, two shifts
    heads = 2 * sum(9 * c * 16 + 16 for c in (64, 128, 128, 128, 128))  # 4 anchors × (3 classes + background, or 4)
    assert sum(sizes.values()) == halving + heads == 1_050_896
    assert len(sizes) == 56
    assert 3 not in sizes, "a running mean is not learnt"
    assert sizes[30] == 9 * 64 * 128


def test_the_arrays_are_numbered_as_the_trainer_of_lyrics_numbers_them(scaling):
    from gluonbook import lyrics
    from gluonbook.lyrics import training

    recipe = {"cell": "gru", "num_hiddens": 256, "num_layers": 1, "embedding_size": 128, "dropout": 0.0}
    vocabulary = lyrics.Vocabulary([chr(0x4E00 + i) for i in range(1027)])
    run = training._Run(vocabulary, {**recipe, "seed": 0, "lr": 0.01, "batch_size": 32}, mx.cpu())
    assert scaling.pushed(run.trainer._params) == scaling.lyrics_sizes()


def test_the_arrays_are_numbered_as_the_trainer_of_detectors_numbers_them(scaling):
    from gluonbook.detection import training

    recipe = {"network": "tiny", "size": 64, "lr": 0.01, "wd": 0.0, "batch_size": 8, "negative_ratio": 3.0, "seed": 0}
    run = training._Run(("balloon", "fish", "teapot"), recipe, [mx.cpu()], "a test")
    assert scaling.pushed(run.trainer._params) == scaling.detection_sizes()


def test_steps_are_medians_of_the_jobs_with_their_spread_and_fixed_part(scaling):
    lyrics, detection = (scaling.measured(results(), training) for training in scaling.TRAININGS)
    assert (lyrics.step, lyrics.batch) == (0.032, 32)
    assert lyrics.spread == pytest.approx(math.sqrt(7 / 3 * 10) * 1e-3 / 0.032), "a round is the mean of ten steps"
    assert lyrics.fixed == pytest.approx((15.2 - 4 * 0.6) / 32)  # 0.6 ms a row
    assert (detection.step, detection.batch) == (0.25, 8)
    assert detection.spread == pytest.approx(math.sqrt(7 / 3) * 1e-2 / 0.25)
    assert detection.fixed == pytest.approx((100 - 2 * 25) / 250)  # 25 ms a row
    page = scaling.page(results())
    assert "40% for lyrics (from steps of 32 and 4 rows) and 20% for TinySSD (from steps of 8 and 2 rows)." in page


def test_what_a_server_takes_is_computed_from_the_medians_of_three_exchanges(scaling):
    assert scaling.measured_store(results()) == pytest.approx((1.2e9, 50e-6, 0.3e-3, COPY))
    page = scaling.page(results())
    assert "| messages | 0.30 ms + 50 µs × n × a |" in page
    assert "or 1.2 GB/s (10 Gbit/s), whichever is less" in page
    assert "with arrays of 3.6 MB and of 64 bytes and without" in page


@pytest.mark.parametrize("name", ["parameter server, 900,000", "parameter server, 100 × 16"])
def test_an_exchange_of_more_that_takes_no_longer_is_refused(scaling, name):
    message = rf"job '{name}' must take longer than 'parameter server, 16', 0\.0003 s, got 0\.0003 s"
    with pytest.raises(ValueError, match=message):
        scaling.page(results(SECONDS | {name: (0.0003,)}))


@pytest.mark.parametrize("small", [0.033, 0.0039])
def test_a_small_batch_that_cannot_be_is_refused(scaling, small):
    with pytest.raises(ValueError, match=r"steps of 32 and 4 rows give a fixed share of (1|-0)\.\d\d: not from 0 to 1"):
        scaling.fixed_share(0.032, 32, small, 4)


@pytest.mark.parametrize("name", SECONDS)
def test_a_missing_job_is_told(scaling, name):
    found = {job: seconds for job, seconds in SECONDS.items() if job != name}
    with pytest.raises(ValueError, match=rf"^results.json has no job '{name}' in section 'distributed': run the"):
        scaling.page(results(found))


def test_a_missing_section_is_told(scaling):
    for sections in ({}, {"lyrics": [job(name, 1.0) for name in SECONDS]}):
        with pytest.raises(ValueError, match="no job 'lyrics step, batch 32, all processors' in section 'distributed'"):
            scaling.page(results(sections=sections))


@pytest.mark.parametrize("seconds", [(), (0.03, 0.0)])
@pytest.mark.parametrize("name", SECONDS)
def test_seconds_that_are_none_are_told(scaling, name, seconds):
    with pytest.raises(ValueError, match=rf"job '{name}' of results.json must have seconds above 0, got \["):
        scaling.page(results(SECONDS | {name: seconds}))


def test_the_page_holds_the_model_against_a_measurement(scaling):
    page = scaling.page(results())
    assert "| two workers and a server, measured | 100 ms | 1.40 |" in page
    parameters = 691_843 + (1219 - 1027) * (128 + 256 + 1)
    assert f"a vocabulary of its own: {parameters:,} parameters." in page
    wire, adding = 2 * 4 * parameters * 2 / 1.2e9, 3 * 4 * parameters * 2 / COPY
    waiting = 0.07 * math.sqrt(7 / 3 * 10) / 32 / math.sqrt(math.pi)  # with the spread of the other benchmark
    computed = 0.07 + waiting + wire + adding + 0.3e-3 + 50e-6 * 14
    assert f"| two workers and a server, computed | {1e3 * computed:.1f} ms | {2 * 0.07 / computed:.2f} |" in page
    assert f"The computed step is {computed / 0.1:.2f} times the measured one" in page
    assert "The loopback counts as a network of\n1.2 GB/s, as above." in page


@pytest.fixture
def distributed(scaling):
    """The benchmark whose figures the page reads; making the page has put its folder on the path."""
    return importlib.import_module("distributed")


def test_the_benchmark_measures_the_jobs_that_the_page_reads(distributed, monkeypatch):
    def never():
        raise AssertionError

    for kind in ("lyrics", "detection"):
        monkeypatch.setattr(distributed, kind, lambda rows: never)
    monkeypatch.setattr(distributed, "exchanges", lambda rounds: dict.fromkeys(distributed.EXCHANGES, [1.0] * rounds))
    monkeypatch.setattr(distributed, "alternate", lambda ways, rounds: dict.fromkeys(ways, [2.0] * rounds))
    figures = distributed.figures(3)
    assert {figure.job for figure in figures} == set(SECONDS)
    assert {figure.job: figure.seconds for figure in figures}["parameter server, 16"] == {"gluonbook": [1.0] * 3}


def test_the_parameter_server_is_timed_and_its_processes_end(distributed, monkeypatch):
    started = kept_peers(distributed, monkeypatch)
    found = distributed.exchanges(1)
    assert {job: len(seconds) for job, seconds in found.items()} == dict.fromkeys(distributed.EXCHANGES, 1)
    assert all(seconds[0] > 0 for seconds in found.values())
    assert [peer.process.returncode for peer in started] == [0, 0, 0], "each ended by itself"


def test_no_process_of_the_parameter_server_outlives_a_failure(distributed, monkeypatch):
    started = kept_peers(distributed, monkeypatch)
    monkeypatch.setattr(distributed, "END", 0.1)
    with pytest.raises(RuntimeError, match="a test"), distributed.parameter_server():
        raise RuntimeError("a test")
    assert len(started) == 3
    assert all(peer.process.returncode is not None for peer in started)


def test_a_worker_that_answers_nothing_is_killed(distributed, monkeypatch):
    started = kept_peers(distributed, monkeypatch)
    monkeypatch.setattr(distributed, "ROLES", ("worker",))  # it waits for a scheduler
    monkeypatch.setattr(distributed, "MOST", 0.5)
    with pytest.raises(RuntimeError, match="ended at 'parameter server, 900,000' with status -9"):
        distributed.exchanges(1)
    assert [peer.process.returncode for peer in started] == [-9]


def kept_peers(distributed, monkeypatch):
    """Return a list that grows with the processes which the benchmark starts."""
    started, start = [], distributed.Peer
    monkeypatch.setattr(
        distributed, "Peer", lambda *args, **settings: started.append(start(*args, **settings)) or started[-1]
    )
    return started


def test_the_vocabulary_of_the_measurement_is_that_of_its_text(scaling):
    from gluonbook import data, lyrics

    assert len(lyrics.Vocabulary(data.embedded_songs()[: scaling.jobs.CHARACTERS])) == scaling.LOOPBACK_VOCABULARY


def test_the_tables_say_where_workers_stop_paying(scaling, work, store):
    slow = work._replace(spread=0, step=0.032)
    assert scaling.best(slow, store, "1 Gbit/s", "1 server", weak=False) == (1, 1.0, 1)
    n, value, half = scaling.best(slow._replace(sizes={}), store, "1 Gbit/s", "1 server", weak=False)
    assert (n, half) == (32, 4)  # 1 / (0.2 + 0.8 / n): 2.5 of 4, 3.33 of 8
    assert value == pytest.approx(1 / 0.225)
    assert scaling.best(slow._replace(sizes={}), store, "1 Gbit/s", "1 server", weak=True)[::2] == (64, 64)


def test_the_example_adds_up(scaling):
    page = scaling.page(results())
    rows = [line.strip("| ").split(" | ") for line in page.split("### By hand")[1].splitlines()[6:13]]
    values = {name: float(value.split()[0]) for name, _, value in rows}
    *parts, whole, speed_up = values
    assert parts == ["computing", "waiting", "the wire", "adding", "messages"]
    assert sum(values[name] for name in parts) == pytest.approx(values[whole], abs=0.1)
    written = {"×": "*", "÷": "/", ",": "", " B": "/1e6", " GB/s": "", " ms": "", " µs": "/1e3"}
    for name, text, _ in rows:
        for sign, python in written.items():
            text = text.replace(sign, python)
        if text.strip():
            assert eval(text) == pytest.approx(values[name], rel=0.02), name
    assert values[speed_up] == pytest.approx(32 / values[whole], abs=0.01)


def test_the_page_says_what_is_sent_and_which_share_the_busiest_server_has(scaling):
    page = scaling.page(results())
    assert "| lyrics | 32 | 691,843 | 7 | 32.0 ms | 15% | 5.53 MB | 44.3 ms | 4.61 ms | 4.61 ms |" in page
    assert "| TinySSD | 8 | 1,050,896 | 56 | 250 ms | 6% | 8.41 MB | 67.3 ms | 7.01 ms | 7.01 ms |" in page
    assert "\n| 2 | 50% | 62% | 52% | 53% | 50% |\n" in page


def test_the_page_is_current(scaling):
    stale = "docs/scaling.md is stale: python docs/make_scaling.py"
    assert scaling.PAGE.exists() == scaling.RESULTS.exists(), stale
    if scaling.RESULTS.exists():
        found = json.loads(scaling.RESULTS.read_text(encoding="utf-8"))
        assert scaling.PAGE.read_text(encoding="utf-8") == scaling.page(found), stale
