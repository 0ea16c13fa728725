"""The straight line from a description to corrected catalogues; the only room that knows all."""

from scrframe.pipeline.apply import apply
from scrframe.pipeline.observer import Observer
from scrframe.pipeline.run import Run, calibrate
from scrframe.pipeline.sample_survey import simulate_survey
from scrframe.pipeline.validate import Validation, validate

__all__ = ["Observer", "Run", "Validation", "apply", "calibrate", "simulate_survey", "validate"]
