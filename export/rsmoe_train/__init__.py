"""Two-stage training of rsmoe packages: stage 1 (connector and base delta), stage 2 (router and expert adapters)."""

from pathlib import Path

#: The package that is trained; its recipe says what is kept of the base, and which tower it has.
PACKAGE = Path(__file__).parents[2] / "models" / "rsmoe-mini"
