"""``python -m gluonbook``."""

import sys

from gluonbook.cli import main

sys.exit(main())
