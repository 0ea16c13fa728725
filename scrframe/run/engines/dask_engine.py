"""The workers of a scheduler of `dask.distributed`, on this machine or on many.

A scheduler is an address (``tcp://host:8786``), the file that ``dask scheduler`` writes
(``scheduler.json``), or ``local:N``, which starts one with N workers for the run. Little but
tasks goes over the network: what they share is a file of the workspace (`engine.Shared`), and
so are nearly all results.
"""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import pyarrow as pa
from distributed import Client, KilledWorker
from distributed.client import Future as DaskFuture
from threadpoolctl import threadpool_limits

from scrframe.arrays import give_memory_back
from scrframe.errors import ConfigError, ResourceError
from scrframe.run.engines.engine import Engine, counted, ignored, killer
from scrframe.run.engines.local_cluster import LocalCluster
from scrframe.run.engines.same_code import Computes, own, refusal, refuse_other, unseen

T = TypeVar("T")
P = ParamSpec("P")
#: Seconds for an answer of a scheduler, and for the first worker.
ANSWER_S, FIRST_WORKER_S = 20.0, 600.0
#: Seconds without any worker after which a run ends, and between two looks.
NO_WORKER_S, LOOK_S = 60.0, 2.0
#: Seconds for tasks at work to end when a run is given up.
LAST_TASKS_S = 10.0
#: Seconds between two looks whether the client is still there that should give a result.
CLOSING_S = 0.5
#: How often a task is sent again whose worker was lost, if no mark tells who ended it.
RESENT = 10
LOCAL = re.compile(r"local:([1-9][0-9]{0,3})")
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Work:
    """A task as it travels."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    named: Mapping[str, Any]
    #: Of the code that the client has.
    signature: str
    #: Folder of the marks of those that have begun it.
    marks: Path | None


class DaskEngine(Engine):
    """Workers that a scheduler hands tasks to.

    Parameters
    ----------
    scheduler : str
        Address, path of a scheduler's file, or ``local:N``.
    folder : Path, optional
        Where tasks at work are marked; all workers must see it.
    needs : sequence of Path
        What else every worker must see.
    say : callable
        Is told what is waited for.

    Raises
    ------
    ConfigError
        If `scheduler` is no such text.
    ResourceError
        If no scheduler or worker answers; if a worker, or the scheduler, has other versions,
        plugins or code than this process, or does not see a file.
    """

    def __init__(
        self,
        scheduler: str,
        folder: Path | None = None,
        needs: Sequence[Path] = (),
        say: Callable[[str], None] = ignored,
    ) -> None:
        _quiet()
        self._name, self._folder = scheduler, folder
        self._lock = threading.Lock()
        self._waiting: dict[Future[Any], DaskFuture] = {}
        self._ended = threading.Event()
        self._cluster = _local_cluster(scheduler)
        self._client: Client | None = None
        try:
            self._client = _connected(scheduler, self._cluster)
            self._wait_for_workers(1 if self._cluster is None else self._cluster.workers, say)
            self._refuse_others(needs)
        except BaseException:
            self.give_up()
            raise
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def number(self) -> int:
        """How many workers there are now."""
        assert self._client is not None
        return len(self._client.scheduler_info()["workers"])

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Hand a task to the scheduler."""
        future: Future[T] = Future()
        marks = None if self._folder is None else self._folder / uuid.uuid4().hex
        self._send(future, Work(fn, args, kwargs, own().signature, marks), 0)
        return future

    def rest(self) -> None:
        """Have workers give memory back; they stay."""
        with suppress(Exception):
            assert self._client is not None
            self._client.run(give_memory_back, on_error="ignore")

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the scheduler; one of the run's own ends."""
        self._ended.set()
        client, self._client = self._client, None
        try:
            if client is not None:
                with suppress(Exception):
                    client.close(timeout=2)
        finally:
            if self._cluster is not None:
                self._cluster.close()

    def give_up(self) -> None:
        """Cancel all tasks and wait a little for those at work, which would go on writing."""
        self._ended.set()
        with self._lock:
            waiting = list(self._waiting.values())
        try:
            if self._client is not None and self._cluster is None and waiting:
                with suppress(Exception):
                    self._client.cancel(waiting, force=True)
                    deadline = time.monotonic() + LAST_TASKS_S
                    while self._at_work() and time.monotonic() < deadline:
                        time.sleep(0.1)
        finally:
            self.shutdown()

    def _at_work(self) -> bool:
        return self._folder is not None and any(self._folder.glob("*/*.begun"))

    def _send(self, future: Future[Any], work: Work, times: int) -> None:
        """Send a task, for the first time or because its worker was lost."""
        if self._client is None:
            raise ResourceError(f"{self._name}: the scheduler is left already")
        name = getattr(work.function, "__name__", "task").strip("_")
        key = f"{name}-{uuid.uuid4().hex}"
        sent = self._client.submit(attempt, work, key=key, pure=False)
        with self._lock:
            self._waiting[future] = sent
        sent.add_done_callback(partial(self._arrived, future, work, times))

    def _arrived(self, future: Future[Any], work: Work, times: int, sent: DaskFuture) -> None:
        """Hand a result on, or send a task again whose worker was lost."""
        with self._lock:
            self._waiting.pop(future, None)
        try:
            _settle(future, self._result(sent))
        except KilledWorker:
            # A scheduler suspects all that waited for a worker; marks know what it was at.
            if times < RESENT and not self._ended.is_set():
                with suppress(Exception):
                    self._send(future, work, times + 1)
                    return
            told = killer(work.arguments[0] if work.arguments else None)
            _settle(future, error=ResourceError(told))
        except CancelledError:
            gone = f"{self._name}: the scheduler is gone; start it and its workers anew"
            _settle(future, error=ResourceError(gone))
        except Exception as error:
            _settle(future, error=error)
        if work.marks is not None:
            shutil.rmtree(work.marks, ignore_errors=True)

    def _result(self, sent: DaskFuture) -> Any:
        """Return the result of a task that has ended, or raise what it raised.

        A client that is closed meanwhile never answers: nobody waits for it then.
        """

        async def gathered() -> Any:
            return await client.gather(sent, asynchronous=True)

        client, asked = sent.client, gathered()
        try:
            answer = asyncio.run_coroutine_threadsafe(asked, client.loop.asyncio_loop)
            while True:
                try:
                    return answer.result(timeout=CLOSING_S)
                except TimeoutError:
                    if answer.done():  # it is the task's own
                        raise
                    if self._ended.is_set():
                        raise CancelledError from None
        finally:
            with suppress(RuntimeError, ValueError):  # Python warns of one that never began
                asked.close()

    def _wait_for_workers(self, wanted: int, say: Callable[[str], None]) -> None:
        deadline, told = time.monotonic() + FIRST_WORKER_S, self._cluster is not None
        while self.number < wanted:
            if time.monotonic() > deadline:
                raise ResourceError(
                    f"{self._name}: no worker has joined in {FIRST_WORKER_S / 60:.0f} minutes;"
                    " start some with `dask worker`"
                )
            if not told:
                say(f"waiting for the first worker of {self._name}")
                told = True
            time.sleep(0.1)

    def _refuse_others(self, needs: Sequence[Path]) -> None:
        """Refuse scheduler and workers that differ, or see other disks."""
        assert self._client is not None
        paths = [each for each in (self._folder, *needs) if each is not None]
        answers = dict(self._client.run(look, paths, on_error="return"))
        try:
            answers["scheduler"] = self._client.run_on_scheduler(look, [])
        except Exception as error:
            answers["scheduler"] = error
        for address, answer in sorted(answers.items()):
            where = "the scheduler" if address == "scheduler" else f"worker {address}"
            there, lacks = answer if isinstance(answer, tuple) else (answer, [])
            reason = refusal(where, own(), there)
            if reason is None and lacks:
                reason = f"{where} does not see {lacks[0]}; data and --out must lie on a file"
                reason += " system that all workers share"
            if reason is not None:
                raise ResourceError(f"{self._name}: {reason}")

    def _watch(self) -> None:
        """End the run if all workers have been gone for long."""
        alone_since = None
        while not self._ended.wait(LOOK_S):
            try:
                gone = self.number == 0
            except Exception:
                continue
            alone_since = (alone_since or time.monotonic()) if gone else None
            if alone_since is not None and time.monotonic() - alone_since > NO_WORKER_S:
                with self._lock:
                    waiting = list(self._waiting)
                left = f"{self._name}: no worker is left since {NO_WORKER_S:.0f} s; start others"
                for future in waiting:
                    _settle(future, error=ResourceError(left))


def attempt(work: Work) -> Any:
    """Do a task in a worker, one at a time with one thread, as a worker of a pool does.

    Raises ResourceError if the worker would not compute as the client does, or the task has ended
    too many workers; else what the task raises.
    """
    refuse_other(work.signature)
    with _ONE_AT_A_TIME, threadpool_limits(limits=1):
        pa.set_cpu_count(1)
        pa.set_io_thread_count(1)
        if work.marks is None:
            return work.function(*work.arguments, **work.named)
        with counted(work.marks, work.arguments[0] if work.arguments else None):
            return work.function(*work.arguments, **work.named)


def look(paths: Sequence[Path]) -> tuple[Computes, list[Path]]:
    """Return what this process computes with, and which files it does not see."""
    return own(), unseen(paths)


def _quiet() -> None:
    """Silence the library: what goes wrong is told as the run's own errors."""
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] in {"distributed", "tornado", "asyncio"}:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _settle(future: Future[Any], result: Any = None, error: BaseException | None = None) -> None:
    """Finish a future that is not finished yet."""
    with suppress(InvalidStateError):
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


def _local_cluster(scheduler: str) -> LocalCluster | None:
    """Return a cluster of this machine if it is asked for."""
    if not scheduler.startswith("local"):
        return None
    found = LOCAL.fullmatch(scheduler)
    if found is None:
        raise ConfigError(
            f"--scheduler {scheduler}: expected local:N with a number of workers, such as local:4"
        )
    return LocalCluster(int(found[1]))


def _connected(scheduler: str, cluster: LocalCluster | None) -> Client:
    """Return a client of a scheduler."""
    file = scheduler if cluster is None else str(cluster.file)
    named = {"scheduler_file": file} if file.endswith(".json") else {"address": scheduler}
    if cluster is None and "scheduler_file" in named and not Path(file).is_file():
        raise ConfigError(f"--scheduler {scheduler}: there is no such file of a scheduler")
    try:
        return Client(**named, timeout=ANSWER_S, set_as_default=False, heartbeat_interval="5s")
    except (OSError, TimeoutError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ResourceError(
            f"--scheduler {scheduler}: no scheduler answers there ({reason}); start one with"
            " `dask scheduler`"
        ) from None
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"--scheduler {scheduler}: no address of a scheduler ({error}); it looks like"
            " tcp://host:8786, scheduler.json or local:4"
        ) from None
