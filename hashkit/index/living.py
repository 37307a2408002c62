"""The current state of an index, and its replacement by the next state: the only mutable part of an index."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import replace

from hashkit.checks import check_n_threads
from hashkit.index import growth
from hashkit.index.ids import Ids
from hashkit.index.snapshot import KnownGroups, Snapshot
from hashkit.index.tables import TablePolicy, make_tables


class Living:
    """A snapshot that every change replaces. Readers need no lock; changes wait for each other.

    Parameters
    ----------
    state : Snapshot
        The first.
    policy : TablePolicy
        Which parts get tables.
    verify : callable, optional
        To be called before what `state` contains is used for the first time.

    Attributes
    ----------
    state : Snapshot
        The current one; what it contains may not be verified yet.
    policy : TablePolicy
    """

    def __init__(self, state: Snapshot, policy: TablePolicy, verify: Callable[[], None] | None = None) -> None:
        self.state, self.policy = state, policy
        self._verify = verify
        # One lock for each process: a thread that holds the lock during a fork does not exist in the child.
        self._locks: dict[int, threading.Lock] = {}

    def current(self) -> Snapshot:
        """Return the current snapshot after verifying its contents."""
        verify = self._verify
        if verify is not None:
            verify()
            if self._verify is verify:
                self._verify = None
        return self.state

    def searchable(self) -> Snapshot:
        """Return the current snapshot for a search without filter, which verifies the mapped data that it reads."""
        state = self.state
        return state if self._verify is None or state.parts[0].blocks is not None else self.current()

    def prepare(self, state: Snapshot) -> Snapshot:
        """Return `state` with the tables that the policy requires."""
        return make_tables(state, self.policy, check_n_threads(None))

    def show(self, state: Snapshot, verify: Callable[[], None] | None = None) -> None:
        """Make `state` visible to readers. The caller must hold the lock."""
        self._verify = verify
        self.state = state

    def change(self, change: Callable[[Snapshot], tuple[Snapshot, Ids]]) -> Ids:
        """Switch to the state that `change` makes."""
        with self.lock():
            state, ids = change(self.current())
            self.show(self.prepare(state))
        return ids

    def remember(self, state: Snapshot, groups: KnownGroups) -> None:
        """Store the groups of `state` with it, if it is still the current state."""
        with self.lock():
            if self.state is state:
                self.state = replace(state, groups=groups)

    def compact(self) -> Snapshot:
        """Switch to the same codes in one part, and return that state."""
        with self.lock():
            self.show(self.prepare(growth.compact(self.current())))
            return self.state

    def lock(self) -> threading.Lock:
        """Return the lock that a change holds."""
        return self._locks.setdefault(os.getpid(), threading.Lock())
