import numpy as np

from anydet.plugins import Adapter, ClassTable, ImagePredictions


class Middle(Adapter):
    classes = ClassTable(("thing",))

    def predict(self, records):
        for record in records:
            height, width = record.image().shape[:2]
            box = np.array([[width / 4, height / 4, width * 3 / 4, height * 3 / 4]])
            yield ImagePredictions(record.key, (width, height), box, np.array([0.5]), np.array([0]))
