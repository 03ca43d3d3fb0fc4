"""Is there a certificate for the page's own domain, and until when?"""

from __future__ import annotations

import datetime
from collections.abc import Iterator

from cryptography import x509

from agent.cli.checks.broker import certificate_dates
from agent.cli.checks.finding import Finding, bad, poor
from agent.config import Configuration
from agent.custodian.page.domain_certificate import FILE
from agent.custodian.state_folder import StateFolder

__all__ = ["check_page_domain"]

_SUBJECT = "page certificate"


def check_page_domain(configuration: Configuration, now: datetime.datetime) -> Iterator[Finding]:
    """Yields nothing if the configuration names no domain. `now`: aware."""
    if configuration.page is None or not configuration.page.domain:
        return
    path = StateFolder(configuration.device.state_dir).page / FILE
    if not path.exists():
        words = f"There is none for {configuration.page.domain}, so browsers warn there."
        yield poor(_SUBJECT, words, "Run:  sudo doorward page certificate KEY CHAIN")
        return
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError:
        yield bad(_SUBJECT, f"{path} is damaged.", "Run again:  sudo doorward page certificate KEY CHAIN")
        return
    yield certificate_dates(_SUBJECT, "It", certificate, now)
