"""Work on fixed blocks of rows, so that bits do not depend on the number of threads.

A BLAS library may sum in another order when it uses other threads or sees another shape.
Here every block has the same shape whatever the number of threads, BLAS runs on one thread
inside a block, and threads only take different blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

#: Rows of a block: large enough for BLAS, small enough for the cache of a core.
BLOCK_ROWS = 256


@cache
def _controller() -> Any:
    return ThreadpoolController()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Bound BLAS to one thread while the context lasts."""
    with _controller().limit(limits=1, user_api="blas"):
        yield


def for_blocks(work: Callable[[slice], None], rows: int, threads: int = 1) -> None:
    """Call `work` with every block of `rows` rows, on at most `threads` threads.

    Parameters
    ----------
    work : callable (slice) -> None
        Writes its own rows of the result, and nothing else.
    rows : int
        Number of rows.
    threads : int
        Number of threads; the result is the same, bit for bit, for any.
    """
    blocks = [slice(at, min(at + BLOCK_ROWS, rows)) for at in range(0, rows, BLOCK_ROWS)]
    with one_blas_thread():
        if threads <= 1 or len(blocks) <= 1:
            for block in blocks:
                work(block)
            return
        with ThreadPoolExecutor(threads) as pool:
            # Consuming the results raises what a block raised.
            list(pool.map(work, blocks))
