"""One mail by the server that MAIL_URL names.

`smtps` is TLS, `smtp` STARTTLS, `smtp-plain` neither.
"""

from __future__ import annotations

import logging
from smtplib import SMTPException
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.mail import BadHeaderError, EmailMessage
from django.core.mail.backends.smtp import EmailBackend

log = logging.getLogger(__name__)

PORTS = {"smtps": 465, "smtp": 587, "smtp-plain": 25}
TIMEOUT_SECONDS = 10


def has_mail() -> bool:
    """Whether abm can send any."""
    return bool(settings.MAIL_URL)


def send(to: str, *, subject: str, text: str) -> bool:
    """Send it now; False, and a line in the log, where the server did not take it."""
    parts = urlsplit(settings.MAIL_URL)
    backend = EmailBackend(
        host=parts.hostname,
        port=parts.port or PORTS[parts.scheme],
        username=unquote(parts.username or ""),
        password=unquote(parts.password or "") or settings.MAIL_PASSWORD,
        use_tls=parts.scheme == "smtp",
        use_ssl=parts.scheme == "smtps",
        timeout=TIMEOUT_SECONDS,
    )
    mail = EmailMessage(subject, text, settings.MAIL_FROM, [to], connection=backend)
    try:
        mail.send()
    except (SMTPException, OSError, BadHeaderError) as error:
        log.warning("%s did not take a mail: %s", parts.hostname, error)
        return False
    return True
