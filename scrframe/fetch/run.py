"""`fetch_data` and `plan_fetch`: from a survey description to a filled data root, or its cost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from scrframe.arrays import IntArray
from scrframe.config import SurveyDescription, resolve_data_root
from scrframe.errors import ConfigError, DataError, ServiceError, number_of
from scrframe.fetch import footprint
from scrframe.fetch.carry_out import Fetched, Task, carry_out, clear_up
from scrframe.fetch.place import Destination, Held, held, name_of, place_of
from scrframe.fetch.services import Service, Services
from scrframe.fetch.stars import near_detections, stars_in
from scrframe.observer import Observer
from scrframe.plugin import (
    ArchivePlan,
    Part,
    Registry,
    Wanted,
    load_registry,
)
from scrframe.plugin.archive import PRODUCTS, Product
from scrframe.plugin.helpers.guest import Guest
from scrframe.run.plugins import SelectedPlugins, resolve_plugins
from scrframe.run.sample.coverage import patterns
from scrframe.tables import ReferenceStars


@dataclass(frozen=True)
class Order:
    """What is to be fetched.

    Attributes
    ----------
    data : str, optional
        Data root; by default that of the description.
    footprint : Path, optional
        A MOC, or a table of discs; by default the catalogues in the data root.
    radius_deg : float, optional
        Radius of all discs of the table.
    only : tuple of str
        Products; all by default.
    wished : str, optional
        A service, by name or address.
    limit : int, optional
        Most stars, for a trial.
    workers : int, optional
        Most requests at a time, and processes that read catalogues.
    """

    data: str | None = None
    footprint: Path | None = None
    radius_deg: float | None = None
    only: tuple[str, ...] = ()
    wished: str | None = None
    limit: int | None = None
    workers: int | None = None


@dataclass(frozen=True)
class Step:
    """One product: what of it is wanted, of whom, and what is there."""

    service: Service
    place: Destination
    wanted: Wanted
    held: Held
    #: Why nothing is wanted; empty if something is.
    nothing: str = ""


@dataclass(frozen=True)
class Planned:
    """A step, and what it will cost."""

    step: Step
    plan: ArchivePlan


@dataclass
class Fetching:
    """A survey whose reference data are fetched.

    Parameters
    ----------
    survey : SurveyDescription
    order : Order
    observer, registry : optional

    Raises
    ------
    ScrframeError
        If the description, the data root or the footprint cannot be used.
    """

    survey: SurveyDescription
    order: Order
    observer: Observer = field(default_factory=Observer)
    registry: Registry | None = None

    def __post_init__(self) -> None:
        self.registry = self.registry or load_registry()
        unknown = sorted(set(self.order.only) - set(PRODUCTS))
        if unknown:
            raise ConfigError(f"--only {unknown[0]}: expected one of {', '.join(PRODUCTS)}")
        self.plugins: SelectedPlugins = resolve_plugins(self.survey, self.registry)
        root = resolve_data_root(self.survey, self.order.data)
        if root.path is None:
            raise ConfigError(
                "the built-in sample has all it needs; name the data root to be filled by --data"
            )
        self.root = root.path
        self.services = Services(self.registry, self.root)
        self.release = str(getattr(self.survey.reference.settings, "release", "dr3")).lower()

    def patterns(self) -> dict[Product, str]:
        """Return the products that the survey reads and archives have, and their patterns."""
        found = patterns(self.plugins)
        chosen = self.order.only or PRODUCTS
        wanted = {product: found[product] for product in PRODUCTS if product in found}
        missing = [product for product in self.order.only if product not in wanted]
        if missing:
            raise ConfigError(
                f"--only {missing[0]}: {self.survey.name} reads none that archives have"
            )
        return {product: pattern for product, pattern in wanted.items() if product in chosen}

    @cached_property
    def catalogues(self) -> list[Part]:
        """The survey's catalogues; none where the footprint is given otherwise."""
        if self.order.footprint is not None:
            return []
        try:
            return self.plugins.loader.parts(self.survey.loader.settings, self.root)
        except DataError as error:
            raise DataError(f"{error}; put them there, or give the sky by --footprint") from None

    @cached_property
    def region(self) -> footprint.SkyRegion:
        """The sky that is wanted."""
        if self.order.footprint is not None:
            return footprint.of_file(self.order.footprint, self.order.radius_deg)
        loader, settings = self.plugins.loader, self.survey.loader.settings
        workers = self.order.workers or 1
        return footprint.of_catalogues(loader, settings, self.catalogues, workers, self.observer)

    def steps(self) -> Iterator[Step]:
        """Yield the steps in order; what a later one wants depends on what is there by then."""
        for product, pattern in self.patterns().items():
            service = self.services.find(product, self.release, self.order.wished)
            place = place_of(product, pattern, self.root)
            clear_up(place)
            yield self._step(service, place, held(place, self.release))

    def _step(self, service: Service, place: Destination, there: Held) -> Step:
        ranges = self.region.ranges
        if service.product == "sources":
            left = ranges.less(there.ranges)
            wanted = Wanted("sources", left, limit=self.order.limit)
            return Step(service, place, wanted, there, "" if len(left) else "all of it is there")
        ids = self._detected()
        if ids is None:
            unknown = Wanted(service.product, ranges, limit=self.order.limit)
            return Step(service, place, unknown, there)
        left_ids = np.setdiff1d(ids, there.asked)[: self.order.limit]
        wanted = Wanted(service.product, ranges, left_ids)
        nothing = "" if len(left_ids) else "all stars were asked for" if len(ids) else "no star"
        return Step(service, place, wanted, there, nothing)

    def _detected(self) -> IntArray | None:
        """Return the stars that are wanted one by one; None if gaia_source is not there."""
        reference = self.survey.reference
        stars = stars_in(self.plugins.reference, reference.settings, self.root, self.region.ranges)
        if stars is None:
            return None
        return self._near(stars)

    def _near(self, stars: ReferenceStars) -> IntArray:
        if not self.catalogues:
            return np.unique(stars["source_id"])
        key = len(stars), int(stars["source_id"].sum())
        if getattr(self, "_near_key", None) != key:
            self._near_key = key
            self._near_ids = near_detections(
                stars,
                self.plugins.loader,
                self.survey.loader.settings,
                self.catalogues,
                float(self.survey.reference.match_radius),
                self.order.workers or 1,
                self.observer,
            )
        return self._near_ids


def _asked_once(service: Service, wanted: Wanted, observer: Observer) -> ArchivePlan:
    """Return a plan; a service that does not answer at once leaves it without numbers."""
    guest = Guest(service.guest, observer).hasty()
    try:
        return service.archive.plan(wanted, service.config, guest)
    except ServiceError as error:
        stars = wanted.expected if wanted.source_id is None else float(len(wanted.source_id))
        said = f"the service does not answer, so that its files are not known: {error}"
        return ArchivePlan((), stars, float("nan"), float("nan"), 0, notes=(said,))


def plan_fetch(fetching: Fetching) -> list[Planned]:
    """Return what fetching will cost; listings and counts are asked for, data are not."""
    planned: list[Planned] = []
    expected = float("nan")
    for step in fetching.steps():
        wanted = step.wanted
        if wanted.product != "sources" and wanted.source_id is None:
            wanted = Wanted(wanted.product, wanted.ranges, expected=expected)
        plan = _asked_once(step.service, wanted, fetching.observer)
        if wanted.product == "sources":
            expected = plan.stars
        planned.append(Planned(step, plan))
    return planned


def fetch_data(fetching: Fetching) -> list[tuple[Step, Fetched | None]]:
    """Fetch what is wanted and is not there; None stands for a step with nothing to do.

    Raises
    ------
    ServiceError
        If a service refuses, or does not deliver what it should; what came is kept, and the
        same command goes on.
    """
    done: list[tuple[Step, Fetched | None]] = []
    for step in fetching.steps():
        if step.nothing:
            fetching.observer.message(f"{step.wanted.product}: {step.nothing}")
            done.append((step, None))
            continue
        service = step.service
        guest = Guest(service.guest, fetching.observer)
        wish = replace(step.wanted, estimate=False)
        plan = service.archive.plan(wish, service.config, guest)
        if not plan.pieces and step.wanted.product != "sources" and step.wanted.source_id is None:
            raise DataError(
                f"{step.wanted.product}: the stars are not known yet; fetch sources first"
            )
        limit = fetching.order.limit
        task = Task(
            name_of(service, step.wanted, limit),
            service,
            step.wanted,
            plan.pieces,
            step.place,
            limit,
        )
        found = carry_out(task, fetching.order.workers, fetching.observer)
        if len(found.undelivered):
            fetching.observer.warning(
                f"{number_of(len(found.undelivered), 'star')} that should have"
                f" {step.wanted.product} were asked for twice and"
                f" not delivered; {found.folder} lists them"
            )
        done.append((step, found))
    return done
