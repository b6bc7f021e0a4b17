"""`python -m export`: the command `review-sentiment-export`."""

import sys

from export.cli import main

sys.exit(main())
