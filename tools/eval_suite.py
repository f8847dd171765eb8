#!/usr/bin/env python3
"""The name that existing users type; the same as `anydet eval-suite`."""

from anydet.cli import main

if __name__ == "__main__":
    import sys

    main(["eval-suite", *sys.argv[1:]], prog_name="anydet")
