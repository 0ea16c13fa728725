"""A page as a browser takes it: what it loads, links to and says."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from urllib.parse import unquote_to_bytes

#: Elements without an end tag.
VOID = {"meta", "link", "img", "br", "hr", "input"}
#: Attributes from which a browser loads something.
LOADED = {"src", "srcset", "data", "poster", "background", "action"}


class Reader(HTMLParser):
    """Elements, texts and nesting of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def loaded(self) -> list[str]:
        """Return all that a browser loads by itself."""
        found = [
            value
            for _, attributes in self.elements
            for name, value in attributes.items()
            if name in LOADED
        ]
        found += [one["href"] for one in self.all("link")]
        style = "".join(self.words) + "".join(one.get("style", "") for _, one in self.elements)
        return found + re.findall(r"url\(([^)]*)\)|@import\s+(\S+)", style)

    def links(self) -> list[str]:
        return [one["href"] for one in self.all("a")]

    def anchors(self) -> list[str]:
        return [one["id"] for _, one in self.elements if "id" in one]


def content(uri: str) -> tuple[str, bytes]:
    """Return kind and bytes of a data URI."""
    head, _, data = uri.removeprefix("data:").partition(",")
    kind, _, coding = head.partition(";")
    return kind, base64.b64decode(data) if coding == "base64" else unquote_to_bytes(data)
