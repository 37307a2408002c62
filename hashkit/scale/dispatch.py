"""Sends queries to shards: one actor for each group of shards and each replica, with retries."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import threading
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
import ray
from ray.exceptions import ActorDiedError, RayActorError, RayError, RayTaskError

from hashkit.scale.actors import Host, ShardActor, from_plain, to_plain
from hashkit.scale.manifest import Manifest, name_files
from hashkit.scale.places import Place

INLINE_BYTES = 100_000
"""Larger batches of queries go into Ray's object store once, instead of to every shard."""
CLOSED = "this ShardedIndex is closed"
PAUSE = 0.1
"""Seconds between two attempts to reach an actor that is being restarted."""


class MissingShardsError(RuntimeError):
    """Some shards did not answer, so the result would be incomplete.

    Attributes
    ----------
    shards : tuple of str
        Files of these shards.
    """

    def __init__(self, message: str, shards: tuple[str, ...]) -> None:
        super().__init__(message)
        self.shards = shards

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.shards)


class Dispatcher:
    """The actors of all shards, and a thread whose event loop calls them.

    Parameters
    ----------
    place, manifest
        The folder of the shards, and the list of them.
    shards_per_actor : int, optional
        Shards in a group, which share an actor. The default gives each group a CPU.
    replicas : int
        Actors for each group.
    patience : float
        Seconds that a shard may be unreachable before it counts as missing.
    actor_options : dict
        Arguments of Ray's ``options``.
    """

    def __init__(
        self,
        place: Place,
        manifest: Manifest,
        shards_per_actor: int | None,
        replicas: int,
        patience: float,
        actor_options: dict[str, Any],
    ) -> None:
        self._place, self._manifest, self._patience = place, manifest, patience
        options = {"num_cpus": 0, "max_restarts": -1, "scheduling_strategy": "SPREAD", "enable_task_events": False}
        options.update(actor_options)
        self._make = ray.remote(ShardActor).options(**options)
        n_shards = len(manifest.shards)
        step = shards_per_actor or math.ceil(n_shards / max(1, ray.cluster_resources().get("CPU", n_shards)))
        self.groups = [manifest.shards[first : first + step] for first in range(0, n_shards, step)]
        self._actors = [[self._start(group) for _ in range(replicas)] for group in range(len(self.groups))]
        self._turns = [itertools.count() for _ in self.groups]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="hashkit-shards", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Future[Any]:
        """Start `work` in the dispatcher's thread."""
        if not self._thread.is_alive():
            work.close()
            raise RuntimeError(CLOSED)
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def hosts(self) -> list[Host]:
        """Return where each actor runs; raise a MissingShardsError if one cannot open its shard."""
        replicas = range(len(self._actors[0]))
        rounds = [await self.ask_all(range(len(self.groups)), "host", None) for _ in replicas]
        for answers in rounds:
            self.require_all(answers)
        return [host for answers in rounds for host in answers]

    async def ask_all(self, groups: Sequence[int], method: str, timeout: float | None, *arguments: Any) -> list[Any]:
        """Return the result of each of `groups`, in order, or the exception it raised."""
        question = _to_send(arguments)
        asked = [self._ask(group, method, timeout, question) for group in groups]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, (RayError, asyncio.TimeoutError)):
                raise answer
        return answers

    def ask_at_once(self, method: str, *arguments: Any) -> list[Any] | None:
        """Return every group's result, called from this thread, which is a millisecond faster than the event loop.

        None if any group fails, for whatever reason: :meth:`ask_all` then retries.
        """
        if not self._thread.is_alive():
            raise RuntimeError(CLOSED)
        question = _to_send(arguments)
        actors = [actors[next(turn) % len(actors)] for actors, turn in zip(self._actors, self._turns, strict=True)]
        refs = [getattr(actor, method).remote(question) for actor in actors]
        try:
            return [from_plain(answer) for answer in ray.get(refs)]
        except RayError:
            return None
        except BaseException:
            for ref in refs:
                _cancel(ref)
            raise

    def files(self, groups: Iterable[int]) -> tuple[str, ...]:
        """The files of all shards in `groups`."""
        return tuple(shard.file for group in groups for shard in self.groups[group])

    def require_all(self, answers: Sequence[Any]) -> None:
        """Raise a MissingShardsError if one of the answers, one for each group, is an exception."""
        failed = {group: answer for group, answer in enumerate(answers) if isinstance(answer, Exception)}
        if failed:
            files = self.files(failed)
            reasons = Counter(_reason(error) for error in failed.values())
            said = "; ".join(reason for reason, _ in reasons.most_common(3))
            raise MissingShardsError(
                f"{len(files)} of {len(self._manifest.shards)} shards did not answer: {name_files(files)} ({said})",
                files,
            ) from next(iter(failed.values()))

    def close(self) -> None:
        """Stop every actor and the thread; calls in progress fail."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._cancel_all(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
        if ray.is_initialized():
            for actor in itertools.chain.from_iterable(self._actors):
                ray.kill(actor)
        self._actors = []

    async def _cancel_all(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _start(self, group: int) -> Any:
        return self._make.remote(self._place, self.groups[group], self._manifest.n_bits)

    async def _ask(self, group: int, method: str, timeout: float | None, question: Any) -> Any:
        """Return a group's result from whichever of its replicas is reachable.

        Raises
        ------
        RayTaskError
            If the actor's code raised an exception.
        RayActorError
            If no replica was reachable for `patience` seconds.
        asyncio.TimeoutError
            If it took longer than `timeout`.
        """
        actors, started = self._actors[group], self._loop.time()
        unreachable_since: float | None = None
        while True:
            number = next(self._turns[group]) % len(actors)
            actor = actors[number]
            try:
                return await _answer(getattr(actor, method).remote(question), timeout and timeout / len(actors))
            except RayActorError as error:
                now = self._loop.time()
                unreachable_since = now if unreachable_since is None else unreachable_since
                if now > unreachable_since + self._patience:
                    raise
                if isinstance(error, ActorDiedError) and actors[number] is actor:
                    actors[number] = self._start(group)
                await asyncio.sleep(PAUSE / len(actors))
            except asyncio.TimeoutError:
                pass  # the next replica
            if timeout is not None and self._loop.time() >= started + timeout:
                raise asyncio.TimeoutError


def _to_send(arguments: tuple[Any, ...]) -> Any:
    """The question to actors, or where it is large a reference to it."""
    question = to_plain(arguments)
    n_bytes = sum(argument.nbytes for argument in arguments if isinstance(argument, np.ndarray))
    return question if n_bytes <= INLINE_BYTES else ray.put(question)


def _cancel(ref: Any) -> None:
    with contextlib.suppress(RayError):
        ray.cancel(ref)  # it may still wait in the actor's queue


async def _answer(ref: Any, timeout: float | None) -> Any:
    try:
        # Waiting without a limit is a third faster.
        answer = await (ref if timeout is None else asyncio.wait_for(ref, timeout))
        return from_plain(answer) if isinstance(answer, list) else answer
    except (asyncio.TimeoutError, asyncio.CancelledError):
        _cancel(ref)
        raise


def _reason(error: BaseException) -> str:
    if isinstance(error, RayTaskError):
        return f"{type(error.cause).__name__}: {error.cause}"
    if isinstance(error, asyncio.TimeoutError):
        return "no answer within the timeout"
    return f"out of reach: {str(error).splitlines()[0]}" if str(error) else type(error).__name__
