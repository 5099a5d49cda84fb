"""Executor: one method, `map(function, tasks)`. The local one is a pool of processes; Spark's is in `spark.py`.

Tasks are small frozen dataclasses that name files; no rows travel between processes. Answers come as they are done."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol, TypeVar

from fhir_twin.errors import TwinError

T = TypeVar("T")
R = TypeVar("R")
ORPHAN_CHECK = 2.0  # seconds between a worker's looks at whether its parent still lives


class Executor(Protocol):
    """Where tasks run. `map` yields answers in any order; an exception of a task ends the map."""

    def map(self, function: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]: ...


class InProcess:
    """One after the other, here: for tests and small inputs."""

    def map(self, function: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
        return map(function, tasks)


class LocalPool:
    """`workers` processes on this machine. A worker that dies (killed, out of memory) ends the run with a clear word;
    what was done before stays done."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def map(self, function: Callable[[T], R], tasks: Sequence[T]) -> Iterator[R]:
        if not tasks:
            return
        context = multiprocessing.get_context("forkserver")
        count = min(self.workers, len(tasks))
        pool = ProcessPoolExecutor(
            count, mp_context=context, initializer=_watch_parent, initargs=(os.getpid(),)
        )
        try:
            for done in as_completed([pool.submit(function, task) for task in tasks]):
                yield done.result()
        except BrokenProcessPool as error:
            raise TwinError(
                "a worker process died (killed, or out of memory); run the same command again to go on from here"
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _watch_parent(parent: int) -> None:
    """A worker whose run was killed must not go on alone."""
    one_thread()

    def watch() -> None:
        while _alive(parent):
            time.sleep(ORPHAN_CHECK)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def one_thread() -> None:
    """Processes are the parallelism; a numerical library that starts threads of its own only gets in their way."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
