"""Work done in a forked child: what may kill it, or limit what it may use, leaves the tests alone."""

import os
import signal
import subprocess
import sys
import textwrap
import time
import traceback
import warnings

SECONDS_TO_LIVE = 100


def fork():
    """os.fork, also with threads about, of which newer versions of Python warn; a child that hangs is ended."""
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        signal.alarm(SECONDS_TO_LIVE)
    return child


def run_in_child(work):
    """Assert that `work()` runs through in a child."""
    child = fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0, "the child failed, see its traceback"


def kill_in_the_middle(work, seconds, wait=True):
    """Run `work(tell)`, which never ends, in a child, kill it, and return the lines that it told after the first.

    `tell(line)` hands a line over at once: what was told before the kill arrives. The kill comes `seconds` after the
    first line, or without `wait` after the start.
    """
    reader, writer = os.pipe()
    child = fork()
    if child == 0:
        try:
            os.close(reader)
            work(lambda line: os.write(writer, f"{line}\n".encode()))
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(1)
    os.close(writer)
    with open(reader) as pipe:
        if wait:
            pipe.readline()
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        lines = pipe.read().splitlines()
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status), "the child ended by itself, see its traceback"
    return lines if wait else lines[1:]


def seconds_to_stop(work, delay):
    """How long Ctrl-C takes to stop `work`, statements with numpy as np, hashkit, and a fresh `rng`.

    What stands before the line ``# begin`` is done before; the interrupt comes `delay` seconds later.
    """
    before, after = textwrap.dedent(work).split("# begin\n")
    program = "\n".join(
        [
            "import signal, numpy as np, hashkit",
            "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it",
            "rng = np.random.default_rng(0)",
            before,
            'print("started", flush=True)',
            "try:",
            textwrap.indent(after, "    "),
            "except KeyboardInterrupt:",
            '    print("stopped")',
        ]
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "started\n"
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        begin = time.perf_counter()
        assert process.stdout.read() == "stopped\n", "it had ended before"
        return time.perf_counter() - begin
