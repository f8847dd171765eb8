#!/usr/bin/env python3
"""The name that existing users type; the same as `anydet train --adapter adaptivestream`."""

from anydet.cli import main

if __name__ == "__main__":
    import sys

    main(["train", "--adapter", "adaptivestream", *sys.argv[1:]], prog_name="anydet")
