"""The command line: the only room that prints or exits.

Every error becomes one line on the error stream and an exit code.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from scrframe.cli.common import (
    CLICK_ERROR,
    DEBUG,
    ExitCode,
    InterruptedRunError,
    Screen,
    on_one_line,
)
from scrframe.errors import IN_STEP, KEPT, ScrframeError, notes_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code, see `ExitCode`.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.
    """
    _open_streams()
    Screen.lost, Screen.leaves_products = "", False
    screen = Screen()
    with warnings.catch_warnings(), _ended_alike(), _interruptions_kept():
        if not sys.warnoptions and DEBUG not in os.environ:
            warnings.simplefilter("ignore")
            warnings.filterwarnings("default", category=FutureWarning, module="scrframe")
            warnings.showwarning = lambda message, *_: screen.complain(f"warning: {message}")
        code = _guarded(screen, list(sys.argv[1:] if arguments is None else arguments))
    screen.close()
    if Screen.lost:
        screen.complain(f"warning: the output cannot be written: {Screen.lost}")
        if code == ExitCode.DONE and not Screen.leaves_products:
            return ExitCode.INPUT
    return int(code)


def _open_streams() -> None:
    """Open what the caller has closed of the standard streams.

    Else the next file that is opened, a product, would be taken for the screen, by the workers
    too.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # as Python has it where one was closed
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115


@contextmanager
def _ended_alike() -> Iterator[None]:
    """Let the end of a batch job (SIGTERM) and of a terminal (SIGHUP) act as Ctrl-C does.

    A signal that is ignored, as by nohup, stays ignored.
    """
    changed: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                changed[number] = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, before in changed.items():
            signal.signal(number, before)


@contextmanager
def _interruptions_kept() -> Iterator[None]:
    """Repeat an interruption that came where Python drops exceptions (a weak reference's end)."""
    before = sys.unraisablehook

    def hook(dropped: sys.UnraisableHookArgs) -> None:
        if dropped.exc_type is not KeyboardInterrupt:
            before(dropped)
            return
        handled = signal.getsignal(signal.SIGTERM) is signal.default_int_handler
        number = signal.SIGTERM if handled else signal.SIGINT  # that may be ignored
        again = threading.Timer(0.05, _thread.interrupt_main, [number])
        again.daemon = True
        again.start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _guarded(screen: Screen, arguments: list[str]) -> int:
    try:
        from scrframe.cli.app import app

        code = int(app(args=arguments, prog_name="scrframe", standalone_mode=False) or 0)
        if code == ExitCode.INTERRUPTED:  # typer turns an interruption into a code
            raise KeyboardInterrupt
        return code
    except typer.Exit as stop:
        return int(stop.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        screen.complain("interrupted")
        return ExitCode.INTERRUPTED
    except InterruptedRunError as error:
        screen.complain(f"interrupted{error}")
        return ExitCode.INTERRUPTED
    except ScrframeError as error:
        for line in str(error).splitlines():
            screen.complain(f"error: {line}")
        _say_kept(screen, error)
        return ExitCode.INPUT
    except Exception as error:
        return _unexpected(screen, error)


def _say_kept(screen: Screen, error: BaseException) -> None:
    if KEPT in notes_of(error):
        screen.complain(KEPT)


def _unexpected(screen: Screen, error: Exception) -> int:
    if isinstance(error, CLICK_ERROR):
        screen.complain(f"error: {on_one_line(error.format_message())}; see --help")  # type: ignore[attr-defined]
        return ExitCode.INPUT
    hint = f"; set {DEBUG}=1 for the traceback"
    if os.environ.get(DEBUG):
        hint = ""
        with contextlib.suppress(OSError):
            traceback.print_exception(error)
    said = f"{type(error).__name__}: {on_one_line(str(error))}"
    said += "".join(f" ({note})" for note in notes_of(error) if note.startswith(IN_STEP))
    screen.complain(f"error: internal failure, {said}{hint}")
    _say_kept(screen, error)
    return ExitCode.INTERNAL
