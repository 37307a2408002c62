"""Work done in a forked child: what may kill it, or limit what it may use, leaves the tests alone."""

import os
import signal
import sys
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
