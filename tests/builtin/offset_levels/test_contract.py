"""What every kind of level keeps: it survives being stored, and knows what it does not know."""

import io
import json
import pickle
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml
from astropy.table import Table

from scrframe.builtin.offset_levels.plugin import scrframe_offset_levels
from scrframe.errors import CalibrationError
from scrframe.offsets.sequential import OffsetProblem, solve_sequential
from scrframe.tables.columns import DETECTION_REQUIRED

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "levels.md"
KINDS = {descriptor.name: descriptor for descriptor in scrframe_offset_levels()}
DETECTOR = {"extent": ["2048 pix", "4100 pix"]}

#: Kind, settings, and a key column whose new values the level cannot know.
CASES = [
    ("group", {"by": ["visit", "ccd"]}, "visit"),
    ("group", {"by": ["field", "season"], "role": "nuisance"}, "field"),
    ("group", {"by": ["classification"]}, None),
    ("bin", {"by": ["ccd"]}, "ccd"),
    ("bin", {"by": ["season", "ccd"], "size": "1000 pix", **DETECTOR}, "ccd"),
    ("bilinear", {"by": ["ccd"], "size": "1024 pix"}, "ccd"),
    ("bilinear", {"by": [], "size": "512 pix", "smooth": True, **DETECTOR}, None),
    ("bilinear", {"by": ["field"], "size": "1 kpix", "smooth": True}, "field"),
    ("polynomial", {}, None),
    ("polynomial", {"by": ["ccd"], "order": 4, **DETECTOR}, "ccd"),
    ("polynomial", {"over": "focal_plane", "order": 1, "by": ["visit"]}, "visit"),
    ("polynomial", {"over": "focal_plane", "order": 3}, "visit"),
    ("random_walk", {}, "ccd"),
    ("random_walk", {"by": [], "step": "30 d", "memory": "4 yr"}, None),
    ("random_walk", {"by": ["classification"], "step": "9000 d"}, None),
    ("spline", {"by": ["ccd"]}, "ccd"),
    ("spline", {"by": [], "step": "9000 d"}, None),
    ("slope", {"of": ["extinction", "extinction * colour0"], "by": ["field"]}, "field"),
    ("slope", {"of": ["colour0"], "by": ["ccd"], "prior": "flat", "centre": True}, "ccd"),
    ("slope", {"of": ["colour0 * airmass"]}, None),
    ("colour", {}, "ccd"),
    ("colour", {"by": [], "of": "airmass"}, None),
    ("sky_cell", {"size": "0.1 deg"}, "sky"),
    ("sky_field", {"scale": "2 deg"}, "sky"),
    ("sky_field", {"of": "extinction", "scale": ["2 deg", "4 deg"]}, "sky"),
    (
        "polynomial",
        {"over": "focal_plane", "lowest": 2, "order": 3, "by": ["visit"], "spread": "each"},
        "visit",
    ),
]


def name_of(case):
    return f"{case[0]}-{'-'.join(map(str, case[1].values()))}"


@pytest.fixture(params=CASES, ids=name_of)
def case(request):
    return request.param


@pytest.fixture
def prepared(case, matched, survey):
    kind, settings, _ = case
    descriptor = KINDS[kind]
    config = descriptor.config.model_validate(settings)
    return descriptor, config, descriptor.prepare("level", matched(survey(1)), config)


def same_design(one, other, detections):
    left, right = one.design(detections).weights, other.design(detections).weights
    assert left.shape == right.shape
    np.testing.assert_array_equal(left.indptr, right.indptr)
    np.testing.assert_array_equal(left.indices, right.indices)
    np.testing.assert_array_equal(left.data, right.data)
    assert left.nnz


def through_ecsv(labels, state, settings):
    """Return labels, state and settings after a table of text."""
    table = Table({name: np.array(labels.column(name).to_pylist()) for name in labels.column_names})
    table.meta = {"state": dict(state), "settings": settings}
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    again = Table.read(text.getvalue(), format="ascii.ecsv")
    columns = {name: again[name].tolist() for name in again.colnames}
    return pa.table(columns), again.meta["state"], again.meta["settings"]


def test_every_kind_is_tested():
    assert {kind for kind, _, _ in CASES} == set(KINDS)


def test_a_stored_level_is_the_same(prepared, survey):
    descriptor, config, level = prepared
    stored = through_ecsv(level.labels(), level.state(), config.model_dump(mode="json"))
    labels, state, settings = stored
    assert labels.to_pydict() == level.labels().to_pydict()
    again = descriptor.restore("level", labels, state, descriptor.config.model_validate(settings))
    assert again.labels().equals(level.labels())
    assert again.state() == level.state()
    assert json.loads(json.dumps(level.state())) == level.state()
    assert (again.name, again.role) == (level.name, level.role)
    assert again.within_exposure == level.within_exposure
    for detections in (survey(1), survey(2, visits=9, ccds=6)):
        same_design(level, again, detections)
    one, other = level.precision(), again.precision()
    assert (one is None) == (other is None)
    assert one is None or np.array_equal(one.toarray(), other.toarray())


def test_a_level_can_be_sent_to_another_process(prepared, survey):
    level = prepared[2]
    same_design(level, pickle.loads(pickle.dumps(level)), survey(2))


def test_the_design_has_a_column_for_each_label(prepared, survey):
    level, detections = prepared[2], survey(2)
    weights = level.design(detections).weights
    assert weights.shape == (len(detections), level.labels().num_rows)
    assert weights.has_canonical_format
    assert np.isfinite(weights.data).all()
    assert level.design(detections.filter(np.zeros(len(detections), bool))).weights.shape == (
        0,
        level.labels().num_rows,
    )


@pytest.mark.parametrize("case", [case for case in CASES if case[2]], ids=name_of)
def test_what_is_not_known_has_an_empty_row(case, prepared, survey):
    stranger = case[2]
    level, detections = prepared[2], survey(1)
    rng = np.random.default_rng(4)
    strange = rng.random(len(detections)) < 0.3
    if stranger == "sky":
        changed = {"star_dec": np.where(strange, 45.0, detections["star_dec"])}
    elif stranger == "ccd":
        changed = {"ccd": np.where(strange, 99, detections["ccd"])}
    else:
        changed = {stranger: np.where(strange, "new", detections[stranger])}
    before = level.design(detections).weights
    after = level.design(detections.with_columns(changed)).weights
    np.testing.assert_array_equal(np.diff(after.indptr)[strange], 0)
    np.testing.assert_array_equal(after.toarray()[~strange], before.toarray()[~strange])
    assert np.all(np.diff(before.indptr) > 0)


@pytest.mark.parametrize("case", [case for case in CASES if case[0] != "group"], ids=name_of)
def test_a_missing_number_gives_an_empty_row(prepared, survey):
    descriptor, config, level = prepared
    detections = survey(2)
    missing = np.random.default_rng(5).random(len(detections)) < 0.3
    before = level.design(detections).weights
    numbers = [name for name in descriptor.needs(config) if detections[name].dtype.kind == "f"]
    assert numbers
    for name in numbers:
        holed = detections.with_columns({name: np.where(missing, np.nan, detections[name])})
        after = level.design(holed).weights
        np.testing.assert_array_equal(np.diff(after.indptr)[missing], 0)
        np.testing.assert_array_equal(after.toarray()[~missing], before.toarray()[~missing])


def test_a_prior_is_symmetric_and_positive_definite(case, prepared):
    level = prepared[2]
    precision = level.precision()
    if case[1].get("prior") == "flat":
        assert precision is None
        return
    width = level.labels().num_rows
    assert precision.shape == (width, width)
    dense = precision.toarray()
    np.testing.assert_array_equal(dense, dense.T)
    eigenvalues = np.linalg.eigvalsh(dense)
    assert eigenvalues[0] > 1e-6 * eigenvalues[-1]


def test_only_what_is_needed_is_read(prepared, survey):
    descriptor, config, level = prepared
    detections = survey(2)
    needed = set(DETECTION_REQUIRED) | set(descriptor.needs(config))
    same_design(level, level, detections)
    few = detections.select([name for name in detections.names if name in needed])
    expected = level.design(detections).weights.toarray()
    np.testing.assert_array_equal(level.design(few).weights.toarray(), expected)


def test_detections_are_left_as_they_are(prepared, survey):
    detections = survey(2)
    copy = pickle.loads(pickle.dumps(detections.arrow))
    prepared[2].design(detections)
    assert detections.arrow.equals(copy)


def test_a_level_constant_within_exposures_is(prepared, survey):
    level, detections = prepared[2], survey(2)
    weights = level.design(detections).weights.toarray()
    exposure = [*zip(detections["visit"], detections["ccd"], strict=True)]
    first = {key: row for row, key in reversed([*enumerate(exposure)])}
    same = np.array_equal(weights, weights[[first[key] for key in exposure]])
    assert same is not level.within_exposure


def test_means_solve_groups_and_bins_alone(case, prepared, survey):
    detections = survey(1)
    problem = OffsetProblem((prepared[2],), detections, np.zeros(len(detections)), 1)
    if case[0] in ("group", "bin") and prepared[2].role == "correction":
        assert np.nanmax(np.abs(solve_sequential(problem).total_mag)) == 0
    else:
        with pytest.raises(CalibrationError, match=r"offsets\.levels\.level: mode 'sequential'"):
            solve_sequential(problem)


def test_the_role_is_known_from_the_settings_alone(prepared):
    _, config, level = prepared
    assert level.role == getattr(config, "role", "correction")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_settings_refuse_other_keys_and_say_what_they_mean(kind):
    schema = KINDS[kind].config.model_json_schema()
    assert schema["additionalProperties"] is False
    assert all(field["description"] for field in schema["properties"].values())


def test_every_kind_is_documented_with_settings_that_are_valid():
    page = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE) == list(KINDS)
    (example,) = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    for entry in yaml.safe_load(example)["offsets"]["levels"]:
        own = {key: value for key, value in entry.items() if key not in ("name", "kind")}
        KINDS[entry["kind"]].config.model_validate(own)
