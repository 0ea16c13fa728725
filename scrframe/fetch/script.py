"""A plan in words, and as files for who fetches by other means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from scrframe.fetch.run import Planned
from scrframe.products.files import write_text
from scrframe.version import __version__

#: Signs of a query that are shown on a terminal.
SHOWN = 600


def lines_of(planned: Planned, whole: bool = True) -> list[str]:
    """Return the plan of a product as lines of text, its first query whole or in part."""
    step, plan = planned.step, planned.plan
    service = step.service
    lines = [f"{step.wanted.product}: {service.name} ({service.archive.name}, {service.url})"]
    if not service.tried:
        lines.append("  address and names are from documentation, not tried live by scrframe")
    if step.nothing:
        return [*lines, f"  nothing to fetch: {step.nothing}"]
    lines += [
        f"  region   {step.wanted.ranges.area_deg2:,.2f} deg2 in {len(step.wanted.ranges)} ranges",
        f"  requests {plan.requests:,}",
        f"  stars    {count(plan.stars)}",
        f"  files    {plan.files:,}",
        f"  volume   {size(plan.gigabytes)}",
        f"  time     {duration(plan.seconds)}",
        f"  into     {step.place.folder}",
    ]
    lines += [f"  note     {note}" for note in plan.notes]
    if plan.queries:
        query = plan.queries[0]
        long = len(query) > SHOWN and not whole
        more = f" ... ({len(query):,} signs in all)" if long else ""
        lines.append(f"  asked    {query[:SHOWN] if long else query}{more}")
    elif plan.addresses:
        lines.append(f"  asked    {plan.addresses[0][0]}")
    rest = max(len(plan.queries), len(plan.addresses)) - 1
    if rest > 0:
        lines.append(f"           and {rest:,} more; --script writes all of them")
    return lines


def count(value: float) -> str:
    """Return a number of stars in words."""
    return "not known" if not math.isfinite(value) else f"about {value:,.0f}"


def size(gigabytes: float) -> str:
    """Return a volume in words."""
    if not math.isfinite(gigabytes):
        return "not known"
    return f"about {gigabytes:,.1f} GB" if gigabytes >= 1 else f"about {1e3 * gigabytes:,.1f} MB"


def duration(seconds: float) -> str:
    """Return a time in words."""
    if not math.isfinite(seconds):
        return "not known"
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def write_script(planned: Sequence[Planned], folder: Path) -> list[Path]:
    """Write what a plan asks for as plain lists, and return the files.

    Of each product ``<product>.urls`` (an address a line, for curl or wget), ``<product>.aria2``
    (with checksums), ``<product>.adql`` (queries, one after the other) or ``<product>.requests``
    (addresses with parameters), as the way has them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for each in planned:
        product, plan = each.step.wanted.product, each.plan
        texts: dict[str, str] = {}
        if plan.addresses:
            texts["urls"] = "".join(f"{url}\n" for url, _ in plan.addresses)
            texts["aria2"] = "".join(_aria2(url, md5) for url, md5 in plan.addresses)
        if plan.queries:
            is_adql = plan.queries[0].startswith("SELECT")
            end = ";\n\n" if is_adql else "\n"
            head = f"-- {each.step.service.url}\n" if is_adql else ""
            texts["adql" if is_adql else "requests"] = head + "".join(
                query + end for query in plan.queries
            )
        for ending, text in texts.items():
            path = folder / f"{product}.{ending}"
            write_text(path, text)
            written.append(path)
    readme = folder / "README.txt"
    write_text(readme, _readme(planned))
    return [*written, readme]


def _aria2(url: str, md5: str) -> str:
    name = PurePosixPath(url.partition("?")[0]).name
    return f"{url}\n  out={name}\n" + (f"  checksum=md5={md5}\n" if md5 else "")


def _readme(planned: Sequence[Planned]) -> str:
    """Return where the files of each list belong."""
    lines = [f"Lists for fetching by other means, written by scrframe {__version__}.", ""]
    for each in planned:
        product, folder = each.step.wanted.product, each.step.place.folder
        if each.plan.addresses:
            lines += [
                f"{product}: in {folder}",
                f"    aria2c --continue --input-file={product}.aria2 --dir={folder}",
                f"    xargs -n 1 curl --fail --location --remote-name -C - < {product}.urls",
            ]
        elif each.plan.queries:
            kinds = "Parquet, FITS, VOTable, CSV, or zips"
            lines.append(f"{product}: the answers ({kinds}) belong into {folder}")
        lines.append("")
    return "\n".join(lines)
