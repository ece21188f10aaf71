"""`manage.py conform URL`: asks a running engine all that the contract promises."""

from __future__ import annotations

from typing import Any

import httpx
from django.core.management.base import BaseCommand, CommandError, CommandParser

from engines.conform import examine


class Command(BaseCommand):
    help = "Check that the engine at URL keeps the engine HTTP contract."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("url", help="such as http://127.0.0.1:8766")

    def handle(self, *args: Any, **options: Any) -> None:
        url = options["url"].rstrip("/")
        try:
            findings = examine(url)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CommandError(f"No engine answers at {url}: {error}") from error
        for finding in findings:
            mark = "ok  " if finding.holds else "FAIL"
            self.stdout.write(
                f"{mark} {finding.rule}" + ("" if finding.holds else f": {finding.text}")
            )
        failed = sum(not finding.holds for finding in findings)
        if failed:
            raise CommandError(f"{failed} of {len(findings)} rules do not hold.")
        self.stdout.write(f"All {len(findings)} rules hold.")
