from anydet.data.record.transforms import Crop


class Upper:
    def __init__(self, settings):
        pass

    def apply(self, record):
        width, height = record.size_wh
        return record, record.derive(Crop(0, 0, (width, max(1, height // 2))))
