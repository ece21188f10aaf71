"""`manage.py conform URL`: asks a running engine all that the contract promises."""

from __future__ import annotations

from typing import Any

import httpx
from django.core.management.base import BaseCommand, CommandError, CommandParser

from engines.client import AnswerTooLong
from engines.conform import examine
from engines.conform_asking import Finding


class Command(BaseCommand):
    help = (
        "Check that the engine at URL keeps the engine HTTP contract. It loads its default model, "
        "uses it, and leaves one speaker sample (abm-conform.wav) with a TTS engine."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("url", help="such as http://127.0.0.1:8766")
        parser.add_argument(
            "--shutdown", action="store_true", help="check /shutdown too, which ends the engine"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        url = options["url"].rstrip("/")
        findings: list[Finding] = []
        try:
            for finding in examine(url, shut_down=options["shutdown"]):
                findings.append(finding)
                self.stdout.write(_line(finding))
        except (httpx.HTTPError, httpx.InvalidURL, AnswerTooLong) as error:
            raise CommandError(f"No engine answers at {url}: {error}") from error
        failed = sum(not finding.holds for finding in findings)
        skipped = sum(finding.is_skipped for finding in findings)
        if failed:
            raise CommandError(f"{failed} of {len(findings)} rules do not hold.")
        aside = f", {skipped} could not be asked" if skipped else ""
        self.stdout.write(f"{len(findings) - skipped} rules hold{aside}.")


def _line(finding: Finding) -> str:
    if finding.is_skipped:
        return f"skip {finding.rule}: {finding.text}"
    return f"ok   {finding.rule}" if finding.holds else f"FAIL {finding.rule}: {finding.text}"
