"""What a run comes to, for the screen and the page: figures of merit, and verdicts in words.

Figures of merit stand beside those of the paper whose method this is: Chen, Yuan & Huang,
"Photometric Re-calibration of VPHAS+ u-band Photometry with the Stellar Colour Regression Method
and Gaia DR3". They are of the u band of VPHAS+ DR4; sections and equations are the paper's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from scrframe.checks.verdict import GROUPS, VERDICTS, Anomaly, NullTestResult

#: Heading of the paper's column, and the survey for which it is shown.
PAPER, PAPER_SURVEY = "paper (VPHAS+ DR4 u)", "vphas_u"

#: Section 2.3.
PAPER_CALIBRATION_STARS = 2_974_582
PAPER_CONTROL_STARS = 18_002
#: Section 4, on the quarter of the control stars that was not trained on.
PAPER_R2 = 0.98
PAPER_DISPERSION_MAG = 0.064
#: Equation 4, highest power first, and the offset of Eq. 1.
PAPER_LAW = (0.042, 0.027, 1.42)
PAPER_DM_MAG = 0.009
#: Sections 4.1.1 to 4.1.3: standard deviation of the offsets of each level.
PAPER_LEVEL_SD_MAG: Mapping[str, float] = MappingProxyType(
    {"visit": 0.063, "ccd": 0.022, "pixel": 0.009}
)
#: Section 4.2: Gaussian fits to model less observed magnitudes.
PAPER_SPREAD_BEFORE_MAG = 0.088
PAPER_SPREAD_AFTER_MAG = 0.065
PAPER_U_ZP_MAG = 0.009
PAPER_UNCORRECTED_FRACTION = 0.016
State = Literal["", "good", "bad", "partial"]
#: The first line of a run's page, by its state.
LEADS: Mapping[State, str] = MappingProxyType(
    {
        "": "Nothing here tests this calibration.",
        "bad": "Do not rely on this calibration yet.",
        "partial": "What could be tested holds, but much of this calibration cannot be tested with"
        " these data.",
        "good": "What could be tested of this calibration holds.",
    }
)
#: Stands for a figure that there is not.
NONE = "-"
Row = tuple[str, str, str]


def beside_paper(survey: str, text: str) -> str:
    """Return a remark on the paper's figures for the survey that is the paper's, else nothing."""
    return text if survey == PAPER_SURVEY else ""


def merit_rows(summary: Mapping[str, Any]) -> list[Row]:
    """Return (figure, this run, paper) from the content of summary.json."""
    return [
        *_samples(summary["counts"]),
        *_model(summary["colour_model"]["test"]),
        *_law(summary["reddening_law"]),
        *_offsets(summary["offsets"]),
        *_spread(summary["diagnostics"].get("spread", {})),
    ]


def _samples(counts: Mapping[str, Any]) -> Iterator[Row]:
    for name, paper_stars in (
        ("calibration", PAPER_CALIBRATION_STARS),
        ("control", PAPER_CONTROL_STARS),
    ):
        sample = counts[name]
        label = f"{name.capitalize()} Sample"
        yield f"{label}, stars", f"{sample['stars']:,}", f"{paper_stars:,}"
        yield f"{label}, detections", f"{sample['detections']:,}", NONE


def _model(test: Mapping[str, Any]) -> Iterator[Row]:
    yield "r2 on the test stars", _number(test["r2"], 3), f"{PAPER_R2:.2f}"
    dispersion = _number(test["dispersion_mag"], 4)
    yield "dispersion on the test stars (mag)", dispersion, f"{PAPER_DISPERSION_MAG:.3f}"


def _law(law: Mapping[str, Any]) -> Iterator[Row]:
    order = sum(1 for key in law if key[:1] == "a" and key[1:].isdigit())
    for number in range(order):
        of_paper = f"{PAPER_LAW[number]:.3f}" if order == len(PAPER_LAW) else NONE
        yield f"a{number} of R(C0)", _number(law[f"a{number}"], 3), of_paper
    for point in law["R"]:
        colour0 = point["colour0_mag"]
        label = f"R at C0 = {_number(colour0, 2)}"
        yield label, _number(point["R"], 3), _number(paper_ratio(colour0), 3)
    yield "dM (mag)", _number(law["dM_mag"], 4), f"{PAPER_DM_MAG:.3f}"


def _offsets(offsets: Mapping[str, Any]) -> Iterator[Row]:
    for name, level in offsets["levels"].items():
        of_paper = PAPER_LEVEL_SD_MAG.get(name)
        shown = NONE if of_paper is None else f"{of_paper:.3f}"
        yield f"sd of {name} offsets (mag)", _number(level["sd_mag"], 4), shown
    yield "u_ZP (mag)", _number(offsets["u_ZP_mag"], 4), f"{PAPER_U_ZP_MAG:.3f}"
    fraction = offsets["uncorrected_fraction"]
    label = "left uncorrected (per cent)"
    yield label, _number(100 * fraction, 2), f"{100 * PAPER_UNCORRECTED_FRACTION:.1f}"


def _spread(spread: Mapping[str, Any]) -> Iterator[Row]:
    for when, of_paper in (("before", PAPER_SPREAD_BEFORE_MAG), ("after", PAPER_SPREAD_AFTER_MAG)):
        if when in spread:
            figures = spread[when]
            label = f"spread {when}"
            sigma = _number(figures["gaussian_sigma_mag"], 4)
            yield f"{label}, Gaussian fit (mag)", sigma, f"{of_paper:.3f}"
            yield f"{label}, 1.4826 MAD (mag)", _number(figures["mad_sigma_mag"], 4), NONE


def _number(value: float | None, decimals: int) -> str:
    if value is None or value - value != 0:
        return NONE
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def verdict(checks: Sequence[NullTestResult]) -> str:
    """Return in few sentences whether a run may be believed, and what hardly anything tests."""
    return " ".join(verdicts(checks))


def verdicts(checks: Sequence[NullTestResult]) -> tuple[str, ...]:
    """Return the sentences of a verdict.

    Groups of which most tests cannot be made come first, unless a test failed.
    """
    count = Counter(one.verdict for one in checks)
    failed = [one for one in checks if one.verdict == "failed"]
    if not failed and not count["passed"]:
        return ("No null test could be made: nothing here tests this run.",)
    blind = hidden(checks)
    if failed:
        worst = sorted(failed, key=lambda one: -one.value / one.limit)
        names = "; ".join(one.title for one in worst)
        said = (
            f"Do not rely on this run yet: {len(failed)} of {len(checks)} null tests"
            f" failed ({names})."
        )
        return (said, *blind)
    tested = f"Nothing that could be tested failed: {count['passed']} of {len(checks)} tests passed"
    if count["not testable"]:
        tested += f", {count['not testable']} cannot be made with these data"
    return (*blind, f"{tested}.")


def state(checks: Sequence[NullTestResult], settled: bool) -> State:
    """Return in a word whether a run may be believed; `settled` is whether its rounds converged."""
    verdicts = {one.verdict for one in checks}
    if not settled or "failed" in verdicts:
        return "bad"
    if "passed" not in verdicts:
        return ""
    return "partial" if hidden(checks) else "good"


def hidden(checks: Sequence[NullTestResult]) -> list[str]:
    """Return of which groups of tests most cannot be made, in a sentence each, the most first."""
    blind = [
        (sum(one.verdict == "not testable" for one in mine), len(mine), group)
        for group, mine in by_group(checks).items()
    ]
    return [
        f"{group}: {none} of {many} tests cannot be made with these data."
        for none, many, group in sorted(blind, key=lambda each: -each[0])
        if 2 * none > many
    ]


def coverage(checks: Sequence[NullTestResult]) -> tuple[str, ...]:
    """Return in a sentence how much of what was tested, by group; none without tests."""
    said = [
        f"{group if group[1].isupper() else group[:1].lower() + group[1:]}"
        f" {sum(one.verdict != 'not testable' for one in mine)} of {len(mine)}"
        for group, mine in by_group(checks).items()
    ]
    return (f"Tests that could be made: {', '.join(said)}.",) if len(said) > 1 else ()


def by_group(checks: Sequence[NullTestResult]) -> dict[str, list[NullTestResult]]:
    """Return tests by what they look at."""
    found: dict[str, list[NullTestResult]] = {}
    for words_, _ in GROUPS:
        mine = [one for one in checks if one.group == words_]
        if mine:
            found[words_] = mine
    return found


def terms_said(summary: Mapping[str, Any]) -> tuple[str, ...]:
    """Return in a sentence which terms the data chose; none where none were tried."""
    terms = summary["offsets"].get("joint", {}).get("terms")
    if not terms or not (terms["tried"] or terms["skipped"]):
        return ()
    kept = [term_name(one) for one in terms["tried"] if one["kept"]]
    left = [one["name"] for one in terms["tried"] if not one["kept"]]
    said = f"Terms that the data asked for: {', '.join(kept) or 'none'}"
    if left:
        said += f"; tried and left out: {', '.join(left)}"
    if terms["skipped"]:
        said += f"; not tried: {', '.join(terms['skipped'])}"
    return (f"{said}.",)


def term_name(trial: Mapping[str, Any]) -> str:
    """Return the name of a term that was tried, with its scale."""
    return f"{trial['name']} ({trial['variant']})" if trial["variant"] else str(trial["name"])


def found(checks: Sequence[NullTestResult], anomalies: Sequence[Anomaly]) -> tuple[str, ...]:
    """Return what stands out, in one sentence; none where nobody looked."""
    if not anomalies:
        return ("Nothing in the data stands out as an anomaly.",) if checks else ()
    kinds = Counter(one.kind for one in anomalies)
    said = ", ".join(f"{words(kind).lower()} ({n:,})" for kind, n in kinds.most_common())
    many = len(anomalies)
    return (f"{many:,} {'anomaly' if many == 1 else 'anomalies'} found: {said}.",)


def by_verdict(checks: Sequence[NullTestResult]) -> list[NullTestResult]:
    """Return null tests, those that failed first and by most."""
    return sorted(
        checks,
        key=lambda one: (
            VERDICTS.index(one.verdict),
            -one.value / one.limit if one.verdict == "failed" else 0.0,
        ),
    )


def quantity(value: float, unit: str) -> str:
    """Return a number with its unit to three digits, magnitudes in mmag; a dash for none."""
    if not np.isfinite(value):
        return "\N{EN DASH}"
    if unit == "mag":
        value, unit = 1000.0 * value, "mmag"
    text = f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{text} {unit}".strip().replace("-", "\N{MINUS SIGN}", 1)


def words(kind: str) -> str:
    """Return the kind of an anomaly in words."""
    text = kind.replace("_", " ")
    return text[:1].upper() + text[1:]


def paper_ratio(colour0_mag: float) -> float:
    """Return R of the paper's Eq. 4 at an intrinsic colour in mag."""
    a0, a1, a2 = PAPER_LAW
    return (a0 * colour0_mag + a1) * colour0_mag + a2
