"""Messages for people."""

from scrframe.errors import told_once


def test_one_reason_in_many_files_is_one_line():
    lines = [
        "left out catalogues/a.fits: /data/a.fits: has no column MAG",
        "b.fits: is cut off",
        "left out catalogues/c.fits: /data/c.fits: has no column MAG",
        "left out catalogues/d.fits: /data/d.fits: has no column MAG_ERR",
        "e.parquet: is cut off",
        "left out catalogues/f.fits: /data/f.fits: has no column MAG",
    ]
    assert told_once(lines) == [
        f"{lines[0]} (the same of catalogues/c.fits, catalogues/f.fits)",
        f"{lines[1]} (the same of e.parquet)",
        lines[3],
    ]


def test_of_many_files_some_are_named():
    lines = [f"/data/{number}.fits: is cut off" for number in range(80)]
    said = "(the same of /data/1.fits, /data/2.fits, /data/3.fits and 76 more)"
    assert told_once(lines) == [f"/data/0.fits: is cut off {said}"]
