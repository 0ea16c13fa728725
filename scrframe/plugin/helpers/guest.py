"""A good guest of archives: unhurried, patient where it is told to wait, gone where unwelcome.

`requests` makes the connections (and takes logins from the user's netrc file, never from a
command line); what is here is how often one asks, and how long one waits to ask again.
"""

from __future__ import annotations

import email.utils
import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urljoin

from pydantic import Field

from scrframe.errors import ServiceError, UnfinishedError, printable
from scrframe.observer import Observer
from scrframe.plugin.descriptors import PluginConfig
from scrframe.version import __version__

T = TypeVar("T")
#: Answers that mean: not now.
_LATER = (429, 500, 502, 503, 504)
_UNWELCOME = (401, 403, 407)
#: What may be lost where a download breaks off.
_CHUNK = 1 << 16
_WORDS = 300


class GuestSettings(PluginConfig):
    """How a service is asked."""

    pause: float = Field(0.5, ge=0, description="Least time between two requests in s.")
    parallel: int = Field(2, ge=1, description="Most requests at a time.")
    attempts: int = Field(
        6, ge=1, description="Refusals in a row, or failures of one piece, after which all ends."
    )
    first_wait: float = Field(
        4.0, ge=0, description="Wait before asking again in s; it doubles each time."
    )
    longest_wait: float = Field(
        900.0, ge=0, description="Longest wait in s; a service that asks for more ends the work."
    )
    timeout: float = Field(300.0, gt=0, description="Longest silence of a service in s.")
    token: str | None = Field(
        None,
        description="Environment variable that holds a token for the service, sent as"
        " `Authorization: Token ...`; a user and a password stand in the netrc file.",
    )


class Guest:
    """Asks one service.

    Parameters
    ----------
    settings : GuestSettings
    observer : Observer, optional
        Is told of waits.
    stop : threading.Event, optional
        When it is set, waiting and downloading end with KeyboardInterrupt.
    """

    def __init__(
        self,
        settings: GuestSettings,
        observer: Observer | None = None,
        stop: threading.Event | None = None,
    ) -> None:
        import requests  # noqa: PLC0415 - slow to import

        self.settings = settings
        self.observer = observer or Observer()
        self.stop = stop or threading.Event()
        self.requests = 0
        self._refused = 0
        self._next = 0.0
        self._lock = threading.Lock()
        self.session: Any = requests.Session()
        self.session.headers["User-Agent"] = f"scrframe/{__version__} (research software)"
        token = os.environ.get(settings.token or "", "")
        if token:
            self.session.headers["Authorization"] = f"Token {token}"
        self._ask = self.session.request
        # All that uses the session, pyvo too, goes this way.
        self.session.request = self.request

    def hasty(self) -> Guest:
        """Return a guest that asks once and does not wait, for plans."""
        change = {"attempts": 1, "timeout": min(self.settings.timeout, 8.0)}
        return Guest(self.settings.model_copy(update=change), self.observer, self.stop)

    def request(self, method: str, url: str, **how: Any) -> Any:
        """Return the answer to a request, as `requests` gives it.

        An answer that says "not now" is waited for, as long as it says, else longer each time.

        Raises
        ------
        ServiceError
            If the service cannot be reached, refuses, or asks to wait too long; with its words.
        """
        import requests  # noqa: PLC0415 - slow to import

        how.setdefault("timeout", self.settings.timeout)
        if not isinstance(how["timeout"], tuple):
            how["timeout"] = min(float(how["timeout"] or 1e9), self.settings.timeout)
        while True:
            self._take_turn()
            try:
                answer = self._ask(method, url, **how)
            except requests.exceptions.RequestException as error:
                self._refuse(url, _reason(error), None, error)
                continue
            if answer.status_code in _UNWELCOME:
                raise ServiceError(
                    f"{url}: refuses ({answer.status_code}): {words_of(answer)}; if it wants a"
                    " login, put user and password into your netrc file"
                )
            if answer.status_code not in _LATER:
                with self._lock:
                    self._refused = 0
                return answer
            said = f"answers {answer.status_code}: {words_of(answer)}"
            self._refuse(url, said, answer.headers.get("Retry-After"), None)

    def get(self, url: str, **how: Any) -> Any:
        """Return the answer to GET, which must be good; raises ServiceError where it is not."""
        return _good(self.request("GET", url, **how), url)

    def post(self, url: str, data: Mapping[str, Any], **how: Any) -> Any:
        """Return the answer to POST; where it is sent elsewhere, all of it is sent there.

        Raises ServiceError where the answer is not good.
        """
        target = url
        for _ in range(10):
            answer = self.request("POST", target, data=data, allow_redirects=False, **how)
            if answer.status_code == 303:
                return self.get(_joined(target, answer), **how)
            if not 300 <= answer.status_code < 400:
                return _good(answer, target)
            target = _joined(target, answer)
        raise ServiceError(f"{url}: is sent from one address to another without end")

    def download(
        self,
        url: str,
        target: Path,
        md5: str = "",
        data: Mapping[str, Any] | None = None,
    ) -> Path:
        """Download to a file, go on where an earlier download ended, and check it.

        Parameters
        ----------
        md5 : str
            The checksum, if it is known.
        data : mapping, optional
            Sent by POST; such a download begins anew each time.

        Raises
        ------
        UnfinishedError
            If less came than was announced, or the checksum is another; what came is gone where
            it is of no use.
        ServiceError
            If the service refuses.
        """
        if target.exists():
            return target
        part = target.with_name(target.name + ".part")
        have = part.stat().st_size if part.exists() and data is None else 0
        how: dict[str, Any] = {"stream": True}
        if data is not None:
            answer = self.post(url, data, **how)
        else:
            how["headers"] = {"Accept-Encoding": "identity"}
            if have:
                how["headers"]["Range"] = f"bytes={have}-"
            answer = self.request("GET", url, **how)
            if answer.status_code == 416:  # nothing is left, or it is another file now
                part.unlink()
                raise UnfinishedError(f"{url}: has another length than before")
            _good(answer, url)
        resumed = answer.status_code == 206
        self._save(answer, part, "ab" if resumed else "wb", url)
        if md5 and _md5(part) != md5.lower():
            part.unlink()
            raise UnfinishedError(f"{url}: what came has another checksum than {md5}")
        part.replace(target)
        return target

    def _save(self, answer: Any, part: Path, mode: str, url: str) -> None:
        """Write the content of an answer to a file as it comes."""
        import requests  # noqa: PLC0415 - slow to import

        announced, came = answer.headers.get("Content-Length"), 0
        try:
            with part.open(mode) as file:
                for chunk in answer.iter_content(_CHUNK):
                    if self.stop.is_set():
                        raise KeyboardInterrupt
                    file.write(chunk)
                    came += len(chunk)
        except (requests.exceptions.RequestException, OSError) as error:
            if isinstance(error, OSError) and error.errno == 28:
                raise
            raise UnfinishedError(f"{url}: broke off: {_reason(error)}") from None
        whole = answer.headers.get("Content-Encoding") is None and announced is not None
        if whole and came < int(announced or 0):
            raise UnfinishedError(f"{url}: broke off after {came} of {announced} bytes")

    def patiently(self, ask: Callable[[], T]) -> T:
        """Return what a function returns, calling it again where it raises UnfinishedError.

        Raises ServiceError with the last reason when all attempts have failed.
        """
        for attempt in range(1, self.settings.attempts + 1):
            try:
                return ask()
            except UnfinishedError as error:
                reason = str(error)
                if attempt < self.settings.attempts:
                    wait = min(
                        self.settings.first_wait * 2.0 ** (attempt - 1), self.settings.longest_wait
                    )
                    self.wait(wait, reason)
        tried = self.settings.attempts
        raise ServiceError(f"{reason}; tried {tried} times" if tried > 1 else reason)

    def wait(self, seconds: float, reason: str) -> None:
        """Wait, and say why; raises KeyboardInterrupt if the work is to stop."""
        if seconds > 1:
            self.observer.message(f"waiting {seconds:.0f} s: {reason}")
        if self.stop.wait(seconds):
            raise KeyboardInterrupt

    def _take_turn(self) -> None:
        """Wait until the next request may go."""
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self.settings.pause
            self.requests += 1
        if self.stop.wait(max(turn - now, 0)):
            raise KeyboardInterrupt

    def _refuse(self, url: str, said: str, after: str | None, error: Exception | None) -> None:
        """Wait after a refusal, or raise ServiceError if there have been too many."""
        with self._lock:
            self._refused += 1
            refused = self._refused
        asked = _retry_after(after)
        if refused >= self.settings.attempts:
            times = f", {refused} times in a row" if refused > 1 else ""
            raise ServiceError(f"{url}: {said}{times}") from error
        if asked is not None and asked > self.settings.longest_wait:
            raise ServiceError(f"{url}: {said}; it asks to come back after {asked:.0f} s")
        wait = self.settings.first_wait * 2.0 ** (refused - 1) if asked is None else asked
        self.wait(min(wait, self.settings.longest_wait), f"{url}: {said}")


def words_of(answer: Any) -> str:
    """Return what an answer says in words, without its markup."""
    return said_in(answer.text or "") or str(answer.reason)


def said_in(text: str) -> str:
    """Return what a page or an error in a VOTable says in words."""
    status = re.search(r'name="QUERY_STATUS"[^>]*value="ERROR"[^>]*>(.*?)</', text, re.S | re.I)
    if status:
        text = status[1]
    text = re.sub(r"<(style|script|head)\b.*?</\1>", " ", text, flags=re.S | re.I)
    text = re.sub(r"<[^>]+>", " ", text)
    return printable(text, _WORDS)


def _good(answer: Any, url: str) -> Any:
    if answer.status_code >= 400:
        raise ServiceError(f"{url}: answers {answer.status_code}: {words_of(answer)}")
    return answer


def _joined(url: str, answer: Any) -> str:
    return str(urljoin(url, str(answer.headers.get("Location", ""))))


def _reason(error: Exception) -> str:
    inner: BaseException = error
    while inner.__context__ is not None and not isinstance(inner, TimeoutError):
        inner = inner.__context__
    return f"cannot be reached: {printable(str(inner) or type(inner).__name__, _WORDS)}"


def _retry_after(text: str | None) -> float | None:
    """Return the seconds that a header Retry-After asks for; it may state a date."""
    if not text:
        return None
    if text.strip().isdigit():
        return float(text)
    try:
        date = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(date.timestamp() - time.time(), 0.0)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    return str(digest.hexdigest())
