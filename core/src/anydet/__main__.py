"""``python -m anydet``: the command line."""

import sys

from anydet.cli import main

sys.exit(main(prog_name="anydet"))
