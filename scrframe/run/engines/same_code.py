"""Whether a worker would compute the same: versions, plugins, code, and what it sees of disks."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from scrframe.errors import ResourceError
from scrframe.run.keys import code_hashes, versions


@dataclass(frozen=True)
class Computes:
    """What decides the bits of a result."""

    versions: Mapping[str, str]
    #: Hash of the code by package.
    code: Mapping[str, str]

    @property
    def signature(self) -> str:
        """A short text that is the same where all of it is."""
        content = sorted({**self.versions, **{f"{k}()": v for k, v in self.code.items()}}.items())
        return hashlib.sha256(repr(content).encode()).hexdigest()[:16]


@cache
def own() -> Computes:
    """Return what this process computes with."""
    return Computes({"machine": platform.machine(), **versions()}, code_hashes(timed=False))


def differences(here: Computes, there: Computes) -> Iterator[str]:
    """Yield what differs of another process, in words."""
    for name, number in here.versions.items():
        other = there.versions.get(name)
        if other != number:
            yield f"{name} is {other or 'missing'} there and {number} here"
    for name in sorted(set(there.versions) - set(here.versions)):
        yield f"{name} is there and not here"
    for package, digest in here.code.items():
        if package in there.code and there.code[package] != digest:
            yield f"the code of {package} differs"


def unseen(paths: Sequence[Path]) -> list[Path]:
    """Return those of some paths that do not exist for this process."""
    return [path for path in paths if not path.exists()]


def refuse_other(signature: str) -> None:
    """Raise ResourceError if this process, a worker, would not compute as the client does."""
    if own().signature != signature:
        raise ResourceError(
            f"a worker on {platform.node()} that joined has other versions, plugins or code than"
            " this command; give it the same environment"
        )


def refusal(where: str, here: Computes, there: Computes | BaseException) -> str | None:
    """Return why a process is refused, None if it computes as this one does.

    Parameters
    ----------
    where : str
        Which process.
    here : Computes
    there : Computes or BaseException
        Or what went wrong when it was asked.
    """
    if isinstance(there, Computes):
        found = list(differences(here, there))
        return f"{where} would not compute the same: {'; '.join(found)}" if found else None
    reason = " ".join(str(there).split())[:200]
    return f"{where} cannot use scrframe: {type(there).__name__}: {reason}"
