"""Selection on predicted magnitudes, judged by cuts written out and by published numbers."""

from __future__ import annotations

import numpy as np
import pytest

from scrframe.run.sample.selection import (
    depends_on_magnitude,
    loosen,
    predicted_errors,
    predicted_inside,
    reserved_stars,
)
from scrframe.tables import ColumnTable
from scrframe.tables.cuts import Cut

MARGIN = 0.3


def table(count=2000, seed=1):
    rng = np.random.default_rng(seed)
    return ColumnTable.from_columns(
        {
            "mag": rng.uniform(11, 22.5, count),
            "colour": rng.uniform(-1, 4, count),
            "mag_err": rng.uniform(0.001, 0.2, count),
            "xp_snr": rng.uniform(5, 100, count),
        }
    )


class TestLooseCuts:
    @pytest.mark.parametrize(
        ("written", "loose"),
        [
            ("mag < 21.5", lambda t: t["mag"] < 21.5 + MARGIN),
            ("mag > 12", lambda t: t["mag"] > 12 - MARGIN),
            (
                "12 < mag < 21.5",
                lambda t: (t["mag"] > 12 - MARGIN) & (t["mag"] < 21.5 + MARGIN),
            ),
            ("colour < 2", lambda t: t["colour"] < 2 + MARGIN),
            # The error of a faint star grows with the inverse of its flux.
            ("mag_err < 0.08", lambda t: t["mag_err"] * 10 ** (-0.4 * MARGIN) < 0.08),
        ],
    )
    def test_reach_a_margin_beyond_their_limit(self, written, loose):
        rows = table()
        passed = loosen(Cut.parse(written), MARGIN).evaluate(rows)
        assert np.array_equal(passed, loose(rows))
        assert passed.sum() > Cut.parse(written).evaluate(rows).sum()

    def test_keep_what_passes_as_written(self):
        """Also a window narrower than the margin, out of which both of its ends reach."""
        rows, cut = table(), Cut.parse("abs(mag - 15) < 0.2")
        passed = loosen(cut, MARGIN).evaluate(rows)
        written = cut.evaluate(rows)
        assert written.any() and np.all(passed[written])
        assert passed.sum() > written.sum()

    def test_all_columns_of_a_cut_shift_together(self):
        rows = table()
        passed = loosen(Cut.parse("mag - colour < 15"), MARGIN).evaluate(rows)
        assert np.array_equal(passed, rows["mag"] - rows["colour"] < 15)

    def test_cuts_on_other_columns_and_without_a_margin_stay(self):
        snr, mag = Cut.parse("xp_snr > 15"), Cut.parse("mag < 20")
        assert loosen(snr, MARGIN) is snr
        assert loosen(mag, 0.0) is mag
        assert depends_on_magnitude(mag) and not depends_on_magnitude(snr)


class TestPredictedInside:
    def test_every_cut_on_magnitudes_is_passed_by_the_margin(self):
        rows = table()
        rng = np.random.default_rng(2)
        predicted = {
            "mag": rng.uniform(11, 22.5, len(rows)),
            "mag_err": rng.uniform(0.001, 0.2, len(rows)),
            "colour": rng.uniform(-1, 4, len(rows)),
        }
        cuts = [
            Cut.parse(text)
            for text in ("mag > 12", "mag < 21.5", "mag_err < 0.08", "colour < 3", "xp_snr > 15")
        ]
        expected = (
            (predicted["mag"] > 12 + MARGIN)
            & (predicted["mag"] < 21.5 - MARGIN)
            & (predicted["mag_err"] * 10 ** (0.4 * MARGIN) < 0.08)
            & (predicted["colour"] < 3 - MARGIN)
        )
        inside = predicted_inside(cuts, rows, predicted, MARGIN)
        assert np.array_equal(inside, expected)
        assert 0 < inside.sum() < len(inside)

    def test_what_was_observed_does_not_matter(self):
        predicted = {"mag": np.linspace(18, 23, 50)}
        cuts = [Cut.parse("mag < 21.5")]
        one, other = table(50, seed=3), table(50, seed=4)
        assert np.array_equal(
            predicted_inside(cuts, one, predicted, MARGIN),
            predicted_inside(cuts, other, predicted, MARGIN),
        )

    def test_other_columns_of_a_cut_are_as_observed(self):
        rows = table()
        predicted = {"mag": np.full(len(rows), 18.0)}
        inside = predicted_inside([Cut.parse("mag - xp_snr < 0")], rows, predicted, 0.0)
        assert np.array_equal(inside, rows["xp_snr"] > 18)

    def test_a_gap_narrower_than_the_margin_is_outside(self):
        predicted = {"mag": np.array([14.0, 15.0, 16.0])}
        cuts = [Cut.parse("mag < 14.9 or mag > 15.1")]
        inside = predicted_inside(cuts, table(3), predicted, MARGIN)
        assert inside.tolist() == [True, False, True]

    def test_no_cut_on_magnitudes_leaves_all_inside(self):
        rows = table(5)
        assert predicted_inside([Cut.parse("xp_snr > 1000")], rows, {}, MARGIN).all()


class TestReservedStars:
    ids = np.random.default_rng(5).integers(0, 2**62, 200_000)

    @pytest.mark.parametrize(
        ("seed", "output"),
        [(1, 0xE220A8397B1DCDAF), (2, 0x6E789E6AA1B965F4), (3, 0x06C45D188009454F)],
    )
    def test_hash_is_splitmix64(self, seed, output):
        """Its first outputs from state 0 are published; they are those of star 0 here."""
        value = output / 2**64
        star = np.array([0], dtype=np.int64)
        assert reserved_stars(star, value + 1e-9, seed).tolist() == [True]
        assert reserved_stars(star, value - 1e-9, seed).tolist() == [False]

    @pytest.mark.parametrize("share", [0.03, 0.25])
    @pytest.mark.parametrize("ids", [ids, np.arange(200_000)], ids=["random", "neighbours"])
    def test_share(self, ids, share):
        found = reserved_stars(ids, share, 1).mean()
        assert abs(found - share) < 4 * np.sqrt(share * (1 - share) / len(ids))

    def test_a_star_is_reserved_whatever_else_is_in_the_sample(self):
        whole = reserved_stars(self.ids, 0.1, 1)
        order = np.random.default_rng(6).permutation(len(self.ids))
        assert np.array_equal(reserved_stars(self.ids[order], 0.1, 1), whole[order])
        assert np.array_equal(reserved_stars(self.ids[7:500], 0.1, 1), whole[7:500])

    def test_a_larger_share_keeps_the_smaller(self):
        few, many = (reserved_stars(self.ids, share, 1) for share in (0.03, 0.1))
        assert np.all(many[few])

    def test_seeds_choose_independently(self):
        both = reserved_stars(self.ids, 0.1, 1) & reserved_stars(self.ids, 0.1, 2)
        assert abs(both.mean() - 0.01) < 4 * np.sqrt(0.01 * 0.99 / len(self.ids))

    def test_none(self):
        assert not reserved_stars(self.ids, 0.0, 1).any()


class TestPredictedErrors:
    #: The same magnitudes in each visit: medians then see the law itself, shifted.
    mag = np.linspace(14.0, 20.0, 4801)[:-1] + 1 / 1600
    factors = np.array([1.0, 1.3, 0.8])

    @staticmethod
    def law(mag):
        return 0.01 * 10 ** (0.2 * (mag - 17))

    def test_the_law_of_one_visit(self):
        visit = np.zeros(len(self.mag), dtype=int)
        predicted = np.random.default_rng(7).uniform(14.2, 19.8, len(self.mag))
        found = predicted_errors(self.law(self.mag), self.mag, predicted, visit)
        # Linear in the logarithm: interpolation between medians is exact.
        np.testing.assert_allclose(found, self.law(predicted), rtol=1e-10)

    def test_visits_of_different_depth(self):
        visit = np.repeat([0, 1, 2], len(self.mag))
        mag = np.tile(self.mag, 3)
        predicted = np.random.default_rng(8).uniform(14.5, 19.5, len(mag))
        error = self.factors[visit] * self.law(mag)
        found = predicted_errors(error, mag, predicted, visit)
        # Medians of the visits together lie on the law up to the spacing of the magnitudes.
        spacing = 10 ** (0.2 / 800) - 1
        np.testing.assert_allclose(
            found, self.factors[visit] * self.law(predicted), rtol=2 * spacing
        )

    def test_noise_does_not_earn_weight(self):
        """Detections that noise made brighter, with smaller errors, get the error of the others."""
        rng = np.random.default_rng(9)
        true = rng.uniform(15, 19, 20_000)
        mag = true + rng.normal(0, 0.2, len(true))
        visit = np.zeros(len(true), dtype=int)
        found = predicted_errors(self.law(mag), mag, true, visit)
        catalogued = np.corrcoef(mag - true, np.log(self.law(mag) / self.law(true)))[0, 1]
        predicted = np.corrcoef(mag - true, np.log(found / self.law(true)))[0, 1]
        assert catalogued > 0.99
        assert abs(predicted) < 4 / np.sqrt(len(true))

    def test_beyond_what_was_seen_the_end_is_held(self):
        visit = np.zeros(len(self.mag), dtype=int)
        for far, end in ((10.0, self.mag[0]), (25.0, self.mag[-1])):
            found = predicted_errors(
                self.law(self.mag), self.mag, np.full(len(self.mag), far), visit
            )
            # The end is the median of the last quarter of a magnitude.
            assert np.ptp(found) == 0
            assert abs(np.log10(found[0] / self.law(end))) < 0.2 * 0.25

    def test_few_detections(self):
        """With fewer than a bin needs the fullest ones are used."""
        mag = np.array([15.0, 16.0, 17.0])
        found = predicted_errors(self.law(mag), mag, np.array([15.5, 16.5, 16.0]), np.zeros(3, int))
        np.testing.assert_allclose(found, self.law(np.array([15.5, 16.5, 16.0])), rtol=1e-12)
