"""The command line: the only room that prints or exits.

Every error becomes one line on the error stream and an exit code.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import typer

from scrframe.cli.common import (
    CLICK_ERROR,
    DEBUG,
    ExitCode,
    InterruptedRunError,
    Screen,
    on_one_line,
)
from scrframe.errors import ScrframeError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code, see `ExitCode`.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.
    """
    screen = Screen()
    with warnings.catch_warnings(), _interruptions_kept():
        if not sys.warnoptions and DEBUG not in os.environ:
            warnings.simplefilter("ignore")
            warnings.filterwarnings("default", category=FutureWarning, module="scrframe")
            warnings.showwarning = lambda message, *_: screen.complain(f"warning: {message}")
        code = _guarded(screen, list(sys.argv[1:] if arguments is None else arguments))
    screen.close()
    return int(code)


@contextmanager
def _interruptions_kept() -> Iterator[None]:
    """Repeat an interruption that came where Python drops exceptions (a weak reference's end)."""
    before = sys.unraisablehook

    def hook(dropped: sys.UnraisableHookArgs) -> None:
        if dropped.exc_type is not KeyboardInterrupt:
            before(dropped)
            return
        again = threading.Timer(0.05, _thread.interrupt_main)
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
        return ExitCode.INPUT
    except Exception as error:
        return _unexpected(screen, error)


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
    screen.complain(f"error: internal failure, {said}{hint}")
    return ExitCode.INTERNAL
