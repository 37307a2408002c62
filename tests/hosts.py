"""Hosts of the tests' own on this machine: network namespaces on one switch, which reach no other network."""

import os
import shutil
import signal
import subprocess
import time


class Hosts:
    """`n` network namespaces with an address each, and a switch from which each can be cut off.

    Parameters
    ----------
    n : int

    Raises
    ------
    PermissionError
        If this machine does not allow it; says why.
    """

    def __init__(self, n):
        self._prefix, self._started, self._made = f"hashkit-{os.getpid()}", [], []
        self.addresses = [f"198.18.0.{number + 1}" for number in range(n)]  # a range that is for tests
        if shutil.which("ip") is None:
            raise PermissionError("hosts need iproute2")
        try:
            self._make_space("switch")
            self._ip("-n", self._space("switch"), "link", "add", "switch", "type", "bridge")
            self._ip("-n", self._space("switch"), "link", "set", "switch", "up")
            for number, address in enumerate(self.addresses):
                self._make_host(number, address)
        except subprocess.CalledProcessError as error:
            self.close()
            raise PermissionError(f"network namespaces cannot be made here: {error.stderr.strip()}") from error

    def start(self, number, command, **options):
        """Start a command on a host; it is killed at the end with all that it started."""
        inside = ["ip", "netns", "exec", self._space(number), *command]
        self._started.append(subprocess.Popen(inside, **options))
        return self._started[-1]

    def cut_off(self, number):
        """Let nothing through to a host, or from it; no connection is closed."""
        self._ip("-n", self._space("switch"), "link", "set", f"port{number}", "down")

    def mend(self, number):
        """Let everything through again."""
        self._ip("-n", self._space("switch"), "link", "set", f"port{number}", "up")

    def close(self):
        """Kill everything that runs on the hosts, and remove them."""
        deadline = time.monotonic() + 20
        while (pids := self._pids()) and time.monotonic() < deadline:
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            time.sleep(0.05)
        for process in self._started:
            process.wait()
        while self._made:
            subprocess.run(["ip", "netns", "delete", self._made.pop()], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def _make_host(self, number, address):
        space, switch = self._make_space(number), self._space("switch")
        port = f"port{number}"
        self._ip("-n", switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space)
        self._ip("-n", switch, "link", "set", port, "master", "switch", "up")
        self._ip("-n", space, "address", "add", f"{address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            self._ip("-n", space, "link", "set", device, "up")

    def _make_space(self, name):
        self._ip("netns", "add", self._space(name))
        self._made.append(self._space(name))
        return self._made[-1]

    def _space(self, name):
        return f"{self._prefix}-{name}"

    def _pids(self):
        listing = [["ip", "netns", "pids", space] for space in self._made]
        found = [subprocess.run(command, capture_output=True, check=True) for command in listing]
        return [int(pid) for done in found for pid in done.stdout.split()]

    def _ip(self, *arguments):
        subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
