"""The page lists the fields that least is known of first, and says how many it leaves out."""

from scrframe.report.run_tables import SHOWN_FIELDS, field_table


def field(name, overlapping, repeated):
    return {
        "field": name,
        "visits": 2,
        "repeated_stars": repeated,
        "dither_deg": 0.02,
        "overlapping_fields": overlapping,
        "shared_stars": 10 * overlapping,
        "message": f"about {name}",
    }


def test_fields_that_nothing_ties_come_first():
    (page,) = field_table([field("a", 2, 9), field("b", 0, 50), field("c", 0, 3)])
    assert [row[0].text for row in page.rows] == ["c", "b", "a"]
    assert page.rows[0][-1].text == "about c"


def test_of_many_fields_the_page_says_how_many():
    many = [field(f"{number:02d}", number, number) for number in range(SHOWN_FIELDS + 5)]
    (page,) = field_table(many)
    assert len(page.rows) == SHOWN_FIELDS and f"of {SHOWN_FIELDS + 5}" in page.caption
    assert field_table([]) == ()
