from anydet.plugins import Measured, Table


class Count:
    name = "count"

    def __init__(self, ground_truth):
        self.reset()

    def applies(self, detections, ground_truth):
        return None if len(ground_truth) else "there is no annotation"

    def reset(self):
        self.found = self.there = 0

    def add(self, detections, ground_truth):
        self.found += int((detections.scores >= 0.5).sum())
        self.there += len(ground_truth)

    def merge(self, other):
        self.found, self.there = self.found + other.found, self.there + other.there

    def result(self):
        ratio = self.found / self.there if self.there else None
        table = Table("objects", ("which", "count"), (("found", self.found), ("there", self.there)))
        return Measured({"found per object": ratio}, (table,), {"score": 0.5})
