"""`python -m desk` is `doorward-desk`."""

from desk.cli import main

main()
