#!/usr/bin/env python3
"""The smallest size alone; options and meaning are those of run_yolo26_smoke_rtdetr_pose.py."""

import sys

from run_yolo26_smoke_rtdetr_pose import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], buckets="n"))
