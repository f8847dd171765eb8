from anydet.adaptation.tta.fusions import cluster_boxes
from anydet.adaptation.tta.merging import join_results, merge_clusters


class First:
    def __init__(self, settings):
        pass

    def fuse(self, results):
        rows, _ = join_results(results)
        cluster = cluster_boxes(rows.boxes_xyxy_px, rows.scores, rows.class_ids, 0.6)
        return merge_clusters(rows, cluster, rows.scores)
