#!/usr/bin/env python3
"""The name that existing users type; the same as `anydet prepare-coco-yolo`."""

from anydet.cli import main

if __name__ == "__main__":
    import sys

    main(["prepare-coco-yolo", *sys.argv[1:]], prog_name="anydet")
