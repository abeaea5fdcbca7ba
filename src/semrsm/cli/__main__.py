"""``python -m semrsm.cli``."""

import sys

from . import main

sys.exit(main())
