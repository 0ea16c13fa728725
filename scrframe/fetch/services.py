"""The services that can be asked: those that ship, and those of the data root, in YAML."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from pydantic import ValidationError

from scrframe.config.document import parse_yaml
from scrframe.errors import ConfigError, did_you_mean, printable
from scrframe.plugin import Archive, PluginConfig, Registry
from scrframe.plugin.archive import PRODUCTS, Product
from scrframe.plugin.helpers.guest import GuestSettings

#: A file of this name in the data root is laid over the services that ship.
SERVICES_FILE = "services.yaml"
_ENTRY = ("summary", "tried", "guest")


@dataclass(frozen=True)
class Service:
    """Where one product can be had, and how it is asked for."""

    name: str
    summary: str
    product: Product
    release: str
    archive: Archive
    config: PluginConfig
    guest: GuestSettings
    #: Whether address and names have been tried against the live service.
    tried: bool

    @property
    def url(self) -> str:
        """The address."""
        return str(getattr(self.config, "url", ""))

    def described(self) -> dict[str, Any]:
        """Return what identifies the service and how it is asked, as plain JSON."""
        return {
            "service": self.name,
            "way": self.archive.name,
            "product": self.product,
            "release": self.release,
            "settings": self.config.model_dump(mode="json"),
        }


class Services:
    """All services that are known.

    Parameters
    ----------
    root : Path, optional
        Data root, whose ``services.yaml`` is laid over those that ship.

    Raises
    ------
    ConfigError
        If the file cannot be read, or is none.
    """

    def __init__(self, registry: Registry, root: Path | None = None) -> None:
        self._registry = registry
        shipped = resources.files("scrframe.fetch") / SERVICES_FILE
        known = parse_yaml(shipped.read_text("utf-8"), SERVICES_FILE, {}).data
        self.source = SERVICES_FILE
        own = None if root is None else root / SERVICES_FILE
        if own is not None and own.is_file():
            self.source = str(own)
            try:
                text = own.read_text("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"{own}: cannot be read: {error}") from None
            _lay_over(known, parse_yaml(text, str(own), os.environ).data, str(own))
        self._defaults: Mapping[str, str] = known["defaults"]
        self._services: Mapping[str, Mapping[str, Any]] = known["services"]

    @property
    def names(self) -> list[str]:
        """The services' names."""
        return list(self._services)

    def find(self, product: Product, release: str, wished: str | None = None) -> Service:
        """Return the service of a product: the one wished for, if it has it, or the default.

        Parameters
        ----------
        wished : str, optional
            A name, or an address: the kind of service is told by its form.

        Raises
        ------
        ConfigError
            If there is no such service, or none that has the product in this release.
        """
        if wished is not None and ("://" in wished or wished.startswith(("/", "."))):
            return self._at(wished, product, release)
        if wished is not None and wished not in self._services:
            near = did_you_mean(wished, self._services)
            raise ConfigError(f'no service is called "{wished}"{near}: {", ".join(self.names)}')
        name = self._defaults.get(product, "") if wished is None else wished
        if wished is not None and product not in self._products(wished, release):
            name = self._defaults.get(product, "")
        if product not in self._products(name, release):
            others = [n for n in self._services if product in self._products(n, release)]
            raise ConfigError(
                f"no service for {product} of {release.upper()}: {self.source} names none under"
                f" services.{name or '<name>'}.{release}.{product}"
                + (f"; others have it: {', '.join(others)}" if others else "")
            )
        return self._made(name, product, release)

    def _products(self, name: str, release: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._services.get(name, {}).get(release) or {}
        return found

    def _made(self, name: str, product: Product, release: str) -> Service:
        entry, where = self._services[name], f"services.{name}"
        block = self._products(name, release)[product]
        kind = str(block.get("kind", ""))
        archive = self._registry.get(Archive, kind)
        if product not in archive.products:
            raise ConfigError(f"{self.source}: {where}.{release}.{product}: {kind} fetches none")
        settings = {**(block.get(kind) or {})}
        if "product" in archive.config.model_fields:
            settings["product"] = product
        try:
            config = archive.config.model_validate(settings)
            guest = GuestSettings.model_validate(entry.get("guest") or {})
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            raise ConfigError(
                f"{self.source}: {where}.{release}.{product}.{kind}: {key}: {first['msg']}"
            ) from None
        summary = str(entry.get("summary", name))
        tried = bool(entry.get("tried", False))
        return Service(name, summary, product, release, archive, config, guest, tried)

    def _at(self, address: str, product: Product, release: str) -> Service:
        """Return the first service of the kind that an address looks like, at this address."""
        kind = _kind_of(address)
        host = urlparse(address).netloc or Path(address).name
        label = "".join(sign if sign.isalnum() else "-" for sign in host).strip("-")
        if kind == "hats":
            archive = self._registry.get(Archive, kind)
            config = archive.config.model_validate({"product": product, "url": address})
            guest = GuestSettings.model_validate({})
            return Service(label, address, product, release, archive, config, guest, True)
        for name in self._services:
            block = self._products(name, release).get(product)
            if block is not None and block.get("kind") == kind:
                found = self._made(name, product, release)
                config = found.archive.address(found.config, address)
                return Service(
                    label, address, product, release, found.archive, config, found.guest, True
                )
        raise ConfigError(
            f"{printable(address, 100)}: looks like a service of kind {kind}, of which none is"
            f" known for {product}; describe it in {SERVICES_FILE} in the data root"
        )


def _kind_of(address: str) -> str:
    """Return the kind of service that an address looks like."""
    path = urlparse(address).path.rstrip("/").lower()
    if path.endswith("tap") or "/tap" in path:
        return "tap"
    if "data-server" in path or "datalink" in path:
        return "datalink"
    is_folder_of_files = address.startswith("http") and not path.endswith("hats")
    return "http_files" if is_folder_of_files else "hats"


def _lay_over(known: dict[str, Any], own: Any, source: str) -> None:
    """Change known services by those of a file, key by key."""
    if not isinstance(own, Mapping) or set(own) - {"defaults", "services"}:
        raise ConfigError(f"{source}: has other keys than defaults and services")
    _merge(known, own)
    for name, entry in known["services"].items():
        strange = [key for key in entry if key not in _ENTRY and not isinstance(entry[key], dict)]
        for release in (key for key in entry if key not in _ENTRY and key not in strange):
            strange += [f"{release}.{each}" for each in entry[release] if each not in PRODUCTS]
        if strange:
            raise ConfigError(
                f"{source}: services.{name} has {', '.join(strange)}; expected"
                f" {', '.join(_ENTRY)}, and releases (dr3) that hold {', '.join(PRODUCTS)}"
            )


def _merge(known: dict[str, Any], own: Mapping[str, Any]) -> None:
    for key, value in own.items():
        if isinstance(value, Mapping) and isinstance(known.get(key), dict):
            _merge(known[key], value)
        else:
            known[key] = value
