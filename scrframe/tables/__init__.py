"""What travels between the rooms: column schemas and read-only tables."""

from scrframe.statistics.sky import chord, unit_vectors
from scrframe.tables.columns import BY_NAME, STAGES, VOCABULARY, Column, Stage, columns_of
from scrframe.tables.law import FieldSlopes, LawTerm, OrderScore, ReddeningLaw, law_terms
from scrframe.tables.levels import FittedLevel, LevelDesign, Role
from scrframe.tables.matched import MatchedStars, SpectralShape
from scrframe.tables.observing import Camera, Footprint, SimulatedStars, SimulatedVisit
from scrframe.tables.solution import (
    CORRECTION_LEVELS,
    FLAG_BITS,
    LEVELS,
    ColourReference,
    Corrections,
    ExposureTable,
    OffsetTable,
    PhotometricError,
    Solution,
    SolvedLevel,
)
from scrframe.tables.star_features import (
    SPECTRUM_ERRORS_DIAGONAL,
    SPECTRUM_OUTSIDE_CORRECTION,
    Quantities,
    Spectra,
    StarFeatures,
)
from scrframe.tables.table import (
    ColumnTable,
    Detections,
    Extinctions,
    ReferenceStars,
)

__all__ = [
    "BY_NAME",
    "CORRECTION_LEVELS",
    "FLAG_BITS",
    "LEVELS",
    "SPECTRUM_ERRORS_DIAGONAL",
    "SPECTRUM_OUTSIDE_CORRECTION",
    "STAGES",
    "VOCABULARY",
    "Camera",
    "ColourReference",
    "Column",
    "ColumnTable",
    "Corrections",
    "Detections",
    "ExposureTable",
    "Extinctions",
    "FieldSlopes",
    "FittedLevel",
    "Footprint",
    "LawTerm",
    "LevelDesign",
    "MatchedStars",
    "OffsetTable",
    "OrderScore",
    "PhotometricError",
    "Quantities",
    "ReddeningLaw",
    "ReferenceStars",
    "Role",
    "SimulatedStars",
    "SimulatedVisit",
    "Solution",
    "SolvedLevel",
    "Spectra",
    "SpectralShape",
    "Stage",
    "StarFeatures",
    "chord",
    "columns_of",
    "law_terms",
    "unit_vectors",
]
