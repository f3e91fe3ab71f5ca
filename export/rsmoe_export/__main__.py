"""`python -m rsmoe_export`."""

import sys

from rsmoe_export.cli import main

sys.exit(main())
