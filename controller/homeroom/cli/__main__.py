"""`python -m homeroom.cli` is `homeroom`."""

import sys

from homeroom.cli import main

sys.exit(main())
