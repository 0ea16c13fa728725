"""Survey descriptions: YAML to validated settings, with errors that name the line."""

from scrframe.config.combined import (
    CombinedDescription,
    ShippedSurvey,
    copy_survey,
    is_combined,
    load_combined,
    shipped_surveys,
)
from scrframe.config.loading import SAMPLE, DataRoot, load_survey, locate, resolve_data_root
from scrframe.config.schema import (
    VocabularyRow,
    available_columns,
    column_vocabulary,
    own_columns,
    survey_schema,
)
from scrframe.config.simulation import SimulationSettings
from scrframe.config.survey import SurveyDescription

__all__ = [
    "SAMPLE",
    "CombinedDescription",
    "DataRoot",
    "ShippedSurvey",
    "SimulationSettings",
    "SurveyDescription",
    "VocabularyRow",
    "available_columns",
    "column_vocabulary",
    "copy_survey",
    "is_combined",
    "load_combined",
    "load_survey",
    "locate",
    "own_columns",
    "resolve_data_root",
    "shipped_surveys",
    "survey_schema",
]
