"""Links lead somewhere, and pages say nothing about where they were written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.reading import PAGES, ROOT, anchors, prose

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted|npmjs|crates\.io|index-url|artifactory|/simple/", re.IGNORECASE
)
MACHINE = re.compile(r"(?<![\w.:/-])/(?:work|root|home|tmp|Users|mnt|workspace)/", re.IGNORECASE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for link in LINK.findall(prose(page)):
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        inside = target.is_relative_to(ROOT) and target.exists()
        if not inside or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_no_package_registry_and_no_path_of_a_machine(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert REGISTRIES.findall(text) == []
    assert MACHINE.findall(text) == []


def test_the_readme_links_to_every_page() -> None:
    linked = {(ROOT / link).resolve() for link in LINK.findall(prose(ROOT / "README.md"))}
    assert {page.resolve() for page in PAGES} - linked == {ROOT / "README.md"}


def test_the_readme_is_at_most_120_lines() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120


def test_the_licence_is_the_whole_of_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.split()[:4] == ["Apache", "License", "Version", "2.0,"]
    assert "END OF TERMS AND CONDITIONS" in text
