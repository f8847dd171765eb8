#!/usr/bin/env python3
"""The name that existing users type; the same as `anydet train CONFIG --adapter rtdetr_pose`."""

from anydet.cli import main
from anydet_rtdetr_pose.minimal import as_train_words

if __name__ == "__main__":
    import sys

    main(as_train_words(sys.argv[1:]), prog_name="anydet")
