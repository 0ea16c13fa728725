"""The paper's figures stand beside a run of the paper's survey, and of no other."""

from scrframe.cli.rendering import closing_table
from scrframe.report.merit import PAPER, beside_paper
from scrframe.report.run_tables import law_tables, level_table, merit_table


def heads(tables):
    return [head for table in tables for head in table.header]


def test_only_the_papers_survey_has_the_papers_figures(tiny_run):
    own = dict(tiny_run.summary)
    other = {**own, "survey": "atlas"}
    assert PAPER in heads(merit_table(own)) and PAPER not in heads(merit_table(other))
    shown = [
        [column.header for column in closing_table(summary).columns] for summary in (own, other)
    ]
    assert shown == [["figure of merit", "this run", PAPER], ["figure of merit", "this run"]]
    tables = (*law_tables(own["reddening_law"], False), *level_table(own["offsets"], False))
    assert not any("paper" in head for head in heads(tables))
    assert [beside_paper(name, " (x)") for name in ("vphas_u", "atlas")] == [" (x)", ""]
