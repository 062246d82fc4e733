"""What is started where: commands, hosts, quoting, ssh, and MXNet's own scheduler, servers and workers."""

import os
import shlex
import subprocess
import threading

import pytest
from distributed_helpers import Job

from gluonbook.distributed.launching import JobFailed, check_command, escaped, launch, read_hosts

WORDS = ["它's 分开", 'a "b" $HOME `c` *', "--prefix", "", "back\\slash", "line\nend"]
TELL = "(folder / f'told{join()}').write_text('\\n--\\n'.join(arguments), encoding='utf-8')"

MXNET = """
import os, sys
from pathlib import Path
from gluonbook.distributed import member

def work(arguments, complain):
    from gluonbook._mxnet import mx, nd

    member.report_joining()
    store = mx.kv.create("dist_sync")
    member.report_rank(store.rank, store)
    store.init(1, nd.zeros(3))
    own = nd.array([1, 2, 3]) * 10**store.rank
    store.pushpull(1, own, out=own)
    Path(f"sum{store.rank}").write_text(str(own.asnumpy().tolist()))
    member.kept = store  # some module keeps it
    return 0

if __name__ == "__main__":
    sys.exit(member.main(sys.argv[1:], work))
"""

# Runs on this machine what is to be run on a host, with no variables of the launcher, and notes where that was.
SSH = """#!/bin/bash
echo "$3" "$4" "$5" >> {folder}/hosts
exec env -i PATH="$PATH" bash -c "$6"
"""


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Job(tmp_path, monkeypatch)


@pytest.fixture
def ssh(job, monkeypatch):
    """``ssh`` to any host stays on this machine."""
    folder = job.folder / "bin"
    folder.mkdir()
    (folder / "ssh").write_text(SSH.format(folder=shlex.quote(str(job.folder))))
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("dmlc_tracker.tracker.get_host_ip", lambda: "127.0.0.1")
    return job


# What is accepted.


@pytest.mark.parametrize(
    "words", [["lyrics", "train"], ["lyrics", "train", "a.txt"], ["detect-train", "--epochs", "1"]]
)
def test_commands_that_train_with_others_are_accepted(words):
    assert check_command(words) == tuple(words[: 1 + (words[0] == "lyrics")])


@pytest.mark.parametrize(
    ("words", "got"), [([], "none"), (["lyrics", "generate"], "lyrics generate"), (["rm", "-r", "x"], "rm -r")]
)
def test_other_commands_are_refused_by_the_names_of_those_that_are_not(words, got):
    with pytest.raises(ValueError, match=f"^the command must be lyrics train … or detect-train …, got {got}$"):
        launch(words, 1)


def test_standard_input_is_no_text_of_several_workers():
    with pytest.raises(ValueError, match="cannot share standard input"):
        launch(["lyrics", "train", "-"], 2)


@pytest.mark.parametrize(
    ("numbers", "error", "message"),
    [
        ((0, 1), ValueError, "num_workers must be at least 1, got 0"),
        ((1, 0), ValueError, "num_servers must be at least 1, got 0"),
        ((1.5, 1), TypeError, "num_workers must be a whole number, got 1.5"),
    ],
)
def test_numbers_of_processes_are_at_least_1(numbers, error, message):
    with pytest.raises(error, match=message):
        launch(["detect-train"], *numbers)


def test_a_host_file_has_a_host_a_line(tmp_path):
    path = tmp_path / "hosts"
    path.write_text("one\n\n  two:2222 \nme@10.0.0.3\none\n")
    assert read_hosts(path) == ["one", "two:2222", "me@10.0.0.3", "one"]


@pytest.mark.parametrize("line", ["one two", "one:", "one:x", "-oProxyCommand=x", "a;b", "$(id)", "a'b", "# one"])
def test_what_is_no_host_is_refused_by_its_line(tmp_path, line):
    path = tmp_path / "hosts"
    path.write_text(f"one\n{line}\n")
    with pytest.raises(ValueError, match="hosts, line 2: a host must be name or name:port") as error:
        launch(["detect-train"], 1, host_file=path)
    assert repr(line) in str(error.value)


def test_a_host_file_that_is_empty_or_missing_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        launch(["detect-train"], 1, host_file=tmp_path / "none")
    (tmp_path / "hosts").write_text("\n \n")
    with pytest.raises(ValueError, match="must list at least one host, got none"):
        launch(["detect-train"], 1, host_file=tmp_path / "hosts")


@pytest.mark.parametrize(
    "word", ["plain/path-1.2", "with space", "分开", 'a"b', "$HOME", "`id`", "a;b&c|d>e", "~*?[x]", "\\"]
)
def test_escaped_words_pass_two_shells(word):
    once = subprocess.run(f"printf %s {escaped(word)}", shell=True, capture_output=True, text=True, check=True)
    quoted = f"bash -c '{once.args}'"
    twice = subprocess.run(quoted, shell=True, executable="/bin/bash", capture_output=True, text=True, check=True)
    assert (once.stdout, twice.stdout) == (word, word)


@pytest.mark.parametrize("word", ["it's", "a\nb"])
def test_what_cannot_be_escaped_is_refused(word):
    with pytest.raises(ValueError, match="must hold no apostrophe"):
        escaped(word)


# What is started.


def test_arguments_arrive_whole(job):
    job.run(TELL, *WORDS)
    for rank in (0, 1):
        told = (job.folder / f"told{rank}").read_text(encoding="utf-8")
        assert told.split("\n--\n") == ["lyrics", "train", TELL, *WORDS]


def test_as_many_of_each_are_started_as_were_asked_for(job):
    job.write(before="(FOLDER / f\"{os.environ['DMLC_ROLE']}-{os.getpid()}\").touch()")
    job.run("join()", workers=3, servers=2)
    roles = sorted(path.name.split("-")[0] for path in job.folder.glob("*-*"))
    assert roles == ["scheduler", "server", "server", "worker", "worker", "worker"]


def test_the_working_folder_and_its_name_s_blanks_stay(job, monkeypatch):
    folder = job.folder / "我的 folder $x"
    folder.mkdir()
    monkeypatch.chdir(folder)
    job.run("join(); Path('here').touch()")
    assert (folder / "here").exists()


def test_members_have_no_input_and_no_terminal(job):
    read, write = os.pipe()
    os.write(write, b"typed")
    os.close(write)
    before = os.dup(0)
    os.dup2(read, 0)
    try:
        told = "repr(sys.stdin.read()) + str(os.getsid(0) == os.getpid())"
        job.run(f"join(); (folder / 'input').write_text({told})", workers=1)
    finally:
        os.dup2(before, 0)
        os.close(before)
        os.close(read)
    assert (job.folder / "input").read_text() == "''True"


def test_the_scheduler_s_port_is_none_that_another_job_would_take(job):
    job.run("join(); (folder / 'port').write_text(os.environ['DMLC_PS_ROOT_PORT'])", workers=1)
    assert int((job.folder / "port").read_text()) not in range(9091, 9999)


def test_the_tracker_is_as_before_after_a_job(job):
    from dmlc_tracker import local, ssh, tracker

    before = (tracker.PSTracker, tracker.get_host_ip, threading.Thread.setDaemon, hasattr(threading.Thread, "isAlive"))
    with pytest.raises(JobFailed):
        job.run("status = 1")
    after = (tracker.PSTracker, tracker.get_host_ip, threading.Thread.setDaemon, hasattr(threading.Thread, "isAlive"))
    assert before == after
    assert {module.subprocess for module in (tracker, local, ssh)} == {subprocess}
    assert ssh.os is os


# Over ssh.


def test_servers_and_workers_go_to_the_hosts_by_turns(ssh):
    (ssh.folder / "hosts.txt").write_text("one\ntwo:2222\n")
    ssh.run(TELL, *WORDS, host_file=ssh.folder / "hosts.txt")
    assert sorted((ssh.folder / "hosts").read_text().splitlines()) == ["one -p 22", "one -p 22", "two -p 2222"]
    for rank in (0, 1):
        told = (ssh.folder / f"told{rank}").read_text(encoding="utf-8")
        assert told.split("\n--\n") == ["lyrics", "train", TELL, *WORDS]


def test_members_over_ssh_work_in_this_folder_with_its_variables(ssh, monkeypatch, capfd):
    folder = ssh.folder / "我的 folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GLUONBOOK_DATA", "/data of mine/它's")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/of mine:/$x;y")
    (ssh.folder / "hosts.txt").write_text("one\n")
    code = "join(); Path('seen').write_text('|'.join(os.environ[n] for n in arguments[3:]), encoding='utf-8')"
    names = ["GLUONBOOK_DATA", "OMP_NUM_THREADS", "LD_LIBRARY_PATH", "DMLC_NODE_HOST"]
    ssh.run(code, *names, workers=1, host_file=ssh.folder / "hosts.txt")
    assert (folder / "seen").read_text(encoding="utf-8") == "/data of mine/它's|3|/of mine:/$x;y|127.0.0.1"
    assert capfd.readouterr().err == ""


def test_a_worker_s_host_is_named_when_it_fails(ssh):
    (ssh.folder / "hosts.txt").write_text("one\n")
    with pytest.raises(JobFailed, match=r"^worker 0 \(one, process \d+\) ended with status 3$"):
        ssh.run("join(); status = 3", workers=1, host_file=ssh.folder / "hosts.txt")
    assert ssh.left() == []


def test_a_host_that_lets_nobody_in_ends_the_job_at_once(ssh):
    (ssh.folder / "bin" / "ssh").write_text("#!/bin/bash\nexit 255\n")
    (ssh.folder / "hosts.txt").write_text("one\n")
    with pytest.raises(JobFailed, match=r"^ssh to one ended with status 255 before it had connected$"):
        ssh.run("join()", host_file=ssh.folder / "hosts.txt")
    assert ssh.left() == []


def test_a_folder_that_a_host_lacks_is_told(ssh, monkeypatch, capfd):
    gone = ssh.folder / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    ssh.write(before=f"Path({str(gone)!r}).exists() and Path({str(gone)!r}).rmdir()")
    (ssh.folder / "hosts.txt").write_text("one\n")
    with pytest.raises(JobFailed, match="ended with status 2"):
        ssh.run("join()", host_file=ssh.folder / "hosts.txt")
    assert f"No such file or directory: '{gone}'" in capfd.readouterr().err


def test_a_machine_without_a_network_is_told(tmp_path, monkeypatch):
    def unreachable():
        raise OSError("Network is unreachable")

    monkeypatch.setattr("dmlc_tracker.tracker.get_host_ip", unreachable)
    (tmp_path / "hosts").write_text("one\n")
    with pytest.raises(OSError, match="no address that other hosts could reach: Network is unreachable"):
        launch(["detect-train"], 1, host_file=tmp_path / "hosts")


# With MXNet.


def test_mxnet_s_workers_add_up_over_its_server(job, capfd):
    job.set(LEAVE_TIME=20.0, SILENCE=20.0)
    (job.folder / "member.py").write_text(MXNET)
    job.run("")
    for rank in (0, 1):
        assert (job.folder / f"sum{rank}").read_text() == "[11.0, 22.0, 33.0]"
    assert capfd.readouterr().err == ""
