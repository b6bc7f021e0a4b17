"""`python -m service`: the command `review-sentiment`."""

import sys

from service.cli import main

sys.exit(main())
