"""The page of a real, small run: whole, self-contained, and open about what it found."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from matplotlib.image import imread
from reading import Reader, content

from scrframe.checks.verdict import Anomaly, NullTestResult
from scrframe.errors import DataError
from scrframe.products.finished_run import open_run
from scrframe.report.figures.catalogue import FIGURES, OTHERS, Drawn, RunFigure
from scrframe.report.figures.drawing import DRAWINGS
from scrframe.report.figures.residuals import Histogram, figure_histograms
from scrframe.report.merit import coverage, found, merit_rows, terms_said, verdict
from scrframe.report.page import render
from scrframe.report.stated import stated_table
from scrframe.report.write import Report, RunStory, run_page, write_report
from scrframe.run.workers import open_executor
from scrframe.statistics.robust import gaussian


def copy_of(run: Path, target: Path) -> Path:
    """Copy a run without its catalogues, which no report reads."""
    shutil.copytree(run, target, ignore=shutil.ignore_patterns("catalogues", "report"))
    return target


@pytest.fixture(scope="module")
def made(tiny_run, tmp_path_factory) -> Report:
    return write_report(copy_of(tiny_run.path, tmp_path_factory.mktemp("runs") / "tiny"))


@pytest.fixture(scope="module")
def read(made) -> Reader:
    return Reader(made.path.read_text(encoding="utf-8"))


def check(verdict: str, name: str = "one", value: float = 0.031) -> NullTestResult:
    return NullTestResult(name, f"Test {name}", value, 0.02, "mag", verdict, f"because of {name}")


def story(run, checks=(), anomalies=()) -> RunStory:
    return RunStory(run.summary, Drawn({}, []), checks, anomalies)


def test_the_page_loads_nothing_but_itself(read):
    assert read.all("script") == []
    assert all(uri.startswith("data:") for uri in read.loaded())
    assert not any(re.match(r"(?i)\s*(https?:)?//", link) for link in read.links())


def test_every_figure_is_there_or_its_absence_explained(read, made):
    numbers = [one.number for one in FIGURES]
    assert numbers == sorted(numbers) and numbers == list(DRAWINGS)
    assert all(f"Figure {number}: " in read.text for number in numbers)
    images = read.all("img")
    assert len(images) + len(re.findall(r"needs ", read.text)) >= len(FIGURES)
    files = sorted(path.name for path in (made.path.parent / "figures").iterdir())
    assert len(files) == 3 * len(images)


def test_figures_of_every_section_have_their_place(made):
    run = open_run(made.path.parents[1])
    figure = DRAWINGS[1](run.data())
    for section in {one.section for one in (*FIGURES, *OTHERS)}:
        page = run_page(RunStory(run.summary, Drawn({section: [figure]}, []), (), ()))
        assert [one.title for one in page.sections if one.figures] == [section]


def test_no_figure_is_blank(read, made):
    for one in read.all("img"):
        kind, data = content(one["src"])
        if kind == "image/svg+xml":
            assert len(list(ET.fromstring(data).iter())) > 50
        else:
            assert kind == "image/png" and data.startswith(b"\x89PNG")
    for path in (made.path.parent / "figures").glob("*.png"):
        image = imread(path)[..., :3]
        ink = (image < 0.9).any(axis=2)
        assert 0.005 < ink.mean() < 0.95, path.name
        assert len(Table.read(path.with_suffix(".ecsv"))) > 0


def test_every_figure_has_its_text_alternative(read):
    assert all(len(one["alt"]) > 40 for one in read.all("img"))


def test_every_link_leads_somewhere(read, made):
    anchors = read.anchors()
    assert len(set(anchors)) == len(anchors)
    assert all(
        link[1:] in anchors if link.startswith("#") else (made.path.parent / link).is_file()
        for link in read.links()
    )


def test_the_answer_comes_first_and_every_test_is_listed(read, made):
    assert read.text.index(verdict(made.checks)) < read.text.index("At a glance")
    for one in made.checks:
        assert one.title in read.text and one.reason in read.text
    for figure, ours, of_paper in merit_rows(open_run(made.path.parents[1]).summary):
        assert figure in read.text
        assert all(
            text.replace("-", "\N{MINUS SIGN}") in read.text
            for text in (ours, of_paper)
            if text != "-"
        )


def test_verdicts_and_anomalies_are_written_beside_the_page(made):
    folder = made.path.parent
    names = {path.name for path in folder.iterdir()}
    assert names == {"index.html", "figures", "checks.json", "anomalies.ecsv"}
    written = json.loads((folder / "checks.json").read_text(encoding="utf-8"))
    assert [one["name"] for one in written["checks"]] == [one.name for one in made.checks]
    assert written["data_note"] == "simulated u magnitudes on real Gaia XP spectra"
    assert len(Table.read(folder / "anomalies.ecsv")) == len(made.anomalies)


@pytest.mark.slow
def test_the_same_run_makes_the_same_bytes_wherever_it_lies_and_whoever_draws(made, tmp_path):
    with open_executor(2) as executor:
        elsewhere = copy_of(made.path.parents[1], tmp_path / "elsewhere")
        again = write_report(elsewhere, executor=executor)
    files = [path for path in made.path.parent.rglob("*") if path.is_file()]
    assert len(files) > 10
    for path in files:
        other = again.path.parent / path.relative_to(made.path.parent)
        assert other.read_bytes() == path.read_bytes(), path.name


def test_a_failed_report_leaves_the_older_one(made, tmp_path, monkeypatch):
    run = copy_of(made.path.parents[1], tmp_path / "run")
    shutil.copytree(made.path.parent, run / "report")
    before = made.path.read_bytes()
    monkeypatch.setattr("scrframe.report.write.write_page", fail)
    monkeypatch.setattr("scrframe.report.write.FIGURES", ())  # drawn for `made` already
    with pytest.raises(RuntimeError, match="full"):
        write_report(run)
    assert (run / "report" / "index.html").read_bytes() == before
    assert [path.name for path in run.iterdir() if path.name.startswith(".")] == []


def fail(*_: object) -> None:
    raise RuntimeError("full")


def test_a_damaged_product_is_named(made, tmp_path):
    run = copy_of(made.path.parents[1], tmp_path / "run")
    (run / "solution" / "design_report.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"design_report\.json: is damaged"):
        write_report(run)
    assert not (run / "report").exists()


def test_one_failed_test_is_enough_not_to_rely_on_a_run(tiny_run):
    checks = (check("passed", "a"), check("failed", "b"), check("not testable", "c", np.nan))
    assert "Behind it" not in Reader(render(run_page(story(tiny_run, checks)))).text
    named = Reader(render(run_page(story(tiny_run, (check("failed", "ccd_map"),))))).text
    assert "because of ccd_map. Behind it may be a flat field that is not flat; with" in named
    text = Reader(render(run_page(story(tiny_run, checks)))).text
    assert "Do not rely on this run yet: 1 of 3 null tests failed (Test b)." in text
    glance = text[text.index("Null tests that failed") : text.index("Figures of merit of")]
    assert "because of b" in glance and "31 mmag" in glance and "20 mmag" in glance
    assert "because of a" not in glance
    whole = text[text.index("All null tests") :]
    assert whole.index("Test b") < whole.index("Test c") < whole.index("Test a")


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        (("passed", "passed"), "Nothing that could be tested failed: 2 of 2 tests passed."),
        (("passed", "not testable"), "1 of 2 tests passed, 1 cannot be made with these data."),
        (("not testable",), "No null test could be made"),
        ((), "No null test could be made"),
    ],
)
def test_the_verdict_claims_no_more_than_was_tested(verdicts, said):
    assert said in verdict([check(one, str(place)) for place, one in enumerate(verdicts)])


def test_what_cannot_be_tested_comes_first_where_it_is_much():
    blind = [check("not testable", f"visit_{key}", np.nan) for key in ("time", "airmass")]
    seen = [check("passed", f"residual_{key}", 0.01) for key in ("colour", "magnitude", "ccd")]
    said = verdict([*seen, *blind])
    assert said.startswith("Visit zero points: 2 of 2 tests cannot be made with these data.")
    assert said.endswith("3 of 5 tests passed, 2 cannot be made with these data.")
    assert coverage([*seen, *blind]) == (
        "Tests that could be made: residuals 3 of 3, visit zero points 0 of 2.",
    )
    failed = verdict(
        [*seen, *blind, check("failed", "law_inside", 0.05), check("failed", "ccd_map")]
    )
    assert failed.startswith(
        "Do not rely on this run yet: 2 of 7 null tests failed (Test law_inside;"
    )
    assert "Visit zero points: 2 of 2" in failed


@pytest.mark.parametrize(
    ("verdicts", "settled", "lead"),
    [
        (("passed", "failed"), True, "Do not rely on this calibration yet."),
        (("passed", "passed"), False, "Do not rely on this calibration yet."),
        (("not testable", "not testable", "passed"), True, "What could be tested holds, but much"),
        (("passed", "passed", "not testable"), True, "What could be tested of this calibration"),
        (("not testable",), True, "Nothing here tests this calibration."),
    ],
)
def test_the_first_line_says_whether_to_rely_on_it(tiny_run, verdicts, settled, lead):
    checks = [check(one, f"law_{place}") for place, one in enumerate(verdicts)]
    told = story(tiny_run, checks)
    model = {**told.summary["colour_model"], "converged": settled}
    page = run_page(RunStory({**told.summary, "colour_model": model}, told.drawn, checks))
    assert page.lead.startswith(lead)
    text = Reader(render(page)).text
    assert text.index(page.lead) < text.index(told.summary["data_note"])


def test_stated_errors_stand_beside_what_is_seen():
    rng = np.random.default_rng(2)
    error = rng.uniform(0.003, 0.005, 400)
    twice, alike = 2 * error * rng.standard_normal(400), error * rng.standard_normal(400)
    checks = []
    for name, seen in (("overlaps", twice), ("repeats_visits", alike)):
        chi2 = float(((seen / error) ** 2).sum())
        detail = {"difference_mag": seen, "error_mag": error, "chi2": chi2, "pairs": 400}
        checks.append(replace(check("passed", name), detail=detail))
    checks.append(replace(check("passed", "repeats_pull"), detail={"pull_sd": 0.98, "pairs": 900}))
    (table,) = stated_table([*checks, check("not testable", "model_overlaps")])
    cells = {row[0].text: [one.text for one in row[1:]] for row in table.rows}
    fields = cells["two fields, by stars in both"]
    # Their ratio is 2 within a standard error of 0.035 times 2.
    assert float(fields[3]) == pytest.approx(2, abs=0.25)
    assert float(fields[1]) == pytest.approx(1000 * np.sqrt((twice**2).mean()), abs=0.06)
    assert fields[4] == "stated errors are too small"
    assert cells["two visits of a field, by stars in both"][4] == "as stated"
    assert cells["two detections of a star, for their photometry"][3:] == ["0.98", "as stated"]
    assert len(cells) == 3


def test_terms_that_were_tried_are_said_and_shown(tiny_run):
    trial = {
        "name": "law_field",
        "variant": "scale 0.2 deg",
        "gain": 4952.06,
        "threshold": 11.6,
        "sd_mag": 0.0675,
        "verdict": {"before_mag": 0.01042, "after_mag": 0.00836, "overlaps": 38},
        "kept": True,
        "reason": "kept",
    }
    other = {**trial, "name": "sky", "variant": "", "gain": 0.2, "verdict": None, "kept": False}
    other["reason"] = "the data do not ask for it"
    terms = {"kept": ["law_field"], "tried": [trial, other], "skipped": {"season_map": "no dates"}}
    offsets = {**tiny_run.summary["offsets"]}
    offsets["joint"] = {**offsets["joint"], "terms": terms}
    summary = {**tiny_run.summary, "offsets": offsets}
    assert terms_said(summary) == (
        "Terms that the data asked for: law_field (scale 0.2 deg); tried and left out: sky;"
        " not tried: season_map.",
    )
    text = Reader(render(run_page(RunStory(summary, Drawn({}, []))))).text
    table = text[text.index("Terms beside the levels") :]
    for shown in (
        "4,952.1",
        "11.6",
        "67.50",
        "10.42",
        "8.36",
        "kept",
        "the data do not ask for it",
    ):
        assert shown in table
    assert "no dates" in table
    assert terms_said({"offsets": {"mode": "sequential"}}) == ()


def test_anomalies_are_counted_and_the_most_significant_shown(tiny_run):
    jumps = [Anomaly("jump", {"ccd": n}, 0.01, 5.0 + n, f"CCD {n} jumps") for n in range(30)]
    column = Anomaly("bad_column", {"ccd": 11, "x_pix": 1000.0}, -0.05, 40.0, "a dead column")
    assert found((), [*jumps, column]) == ("31 anomalies found: jump (30), bad column (1).",)
    text = Reader(render(run_page(story(tiny_run, (), [*jumps, column])))).text
    assert text.index("Bad column: 1 found") < text.index("Jump: 30 found")
    assert "ccd 11, x_pix 1000" in text and "\N{MINUS SIGN}50.0" in text
    assert "CCD 29 jumps" in text and "CCD 3 jumps" not in text


def test_what_did_not_settle_is_said_at_once(tiny_run):
    loose = {**tiny_run.summary, "colour_model": {**tiny_run.summary["colour_model"]}}
    loose["colour_model"]["converged"] = False
    page = run_page(RunStory(loose, Drawn({}, [])))
    assert any("Not converged" in one and "the colour model" in one for one in page.answer)


def test_a_figure_that_a_run_cannot_show_is_listed_with_the_reason(tiny_run):
    never = RunFigure(4, "Maps", "Nothing", "more than there is")
    drawn = Drawn.of([(never, None)])
    text = Reader(render(run_page(RunStory(tiny_run.summary, drawn)))).text
    assert "Figure 4: Nothing" in text and "needs more than there is" in text


class TestHistograms:
    """Figure 13."""

    def test_a_normal_distribution_is_found_again(self):
        values = np.random.default_rng(4).normal(0.013, 0.06, 200_000)
        one = Histogram.of(values)
        fit = one.fit
        # 5 standard errors of the mean, and of the sd, of so many values.
        assert fit.mean == pytest.approx(0.013, abs=5 * 0.06 / np.sqrt(200_000))
        assert fit.sigma == pytest.approx(0.06, abs=5 * 0.06 / np.sqrt(400_000))
        assert one.mad_mag == pytest.approx(np.std(values), rel=0.01)
        assert one.total == 200_000 and 199_990 <= fit.count.sum() <= 200_000
        peak = gaussian(np.array([fit.mean]), fit.height, fit.mean, fit.sigma)
        # Counts of a bin at the peak follow from the density; Poisson noise is 1 per cent.
        assert peak[0] == pytest.approx(200_000 * 0.005 / (0.06 * np.sqrt(2 * np.pi)), rel=0.02)

    def test_what_is_not_finite_is_left_out_and_hardly_any_is_none(self):
        values = np.append(np.linspace(-0.1, 0.1, 60), [np.nan, np.inf])
        assert Histogram.of(values).total == 60
        assert Histogram.of(values[:49]) is None

    def test_it_agrees_with_the_figures_of_merit(self, made):
        products = open_run(made.path.parents[1])
        fits = figure_histograms(products.data()).data.meta["fits"]
        spread = products.summary["diagnostics"]["spread"]
        for when in ("before", "after"):
            (mine,) = [
                one for one in fits if (one["sample"], one["when"]) == ("Calibration Sample", when)
            ]
            assert mine["sigma_mag"] == pytest.approx(spread[when]["gaussian_sigma_mag"], rel=1e-6)
            assert mine["mad_sigma_mag"] == pytest.approx(spread[when]["mad_sigma_mag"], rel=1e-9)
            assert mine["detections"] == spread[when]["count"]


BROWSER = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)


@pytest.mark.skipif(BROWSER is None, reason="no chromium to open the page with")
@pytest.mark.parametrize("width", [390, 1400])
def test_a_browser_opens_the_page_without_complaint(made, tmp_path, width):
    shot = tmp_path / "page.png"
    done = subprocess.run(
        [
            BROWSER,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--user-data-dir={tmp_path / 'browser'}",
            "--enable-logging=stderr",
            f"--screenshot={shot}",
            f"--window-size={width},2000",
            made.path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "CONSOLE" not in done.stderr
    image = imread(shot)[..., :3]
    assert image.shape[1] == width
    assert ((image < 0.6).any(axis=2)).mean() > 0.01
