#!/usr/bin/env python3
"""The name that existing users type; the same as `anydet test`, with the setting `standard`."""

from anydet.cli import main

if __name__ == "__main__":
    import sys

    main(["test", *sys.argv[1:]], prog_name="anydet")
