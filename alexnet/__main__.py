"""`python -m alexnet ...` is the command line, so `torchrun -m -- alexnet train ...` spreads a run."""

import sys

from alexnet.cli import main

sys.exit(main())
