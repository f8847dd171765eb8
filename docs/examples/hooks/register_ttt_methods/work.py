from anydet.plugins import TTTDescription, TTTMethod


class Watch(TTTMethod):
    """Changes nothing; one that trains uses adapter.get_model() and adapter.build_loader()."""

    def prepare(self, adapter, source=None):
        self.means = []

    def adapt(self, records):
        self.means += [float(record.image().mean()) for record in records]

    def restore(self):
        pass

    def describe(self):
        return TTTDescription()

    def report(self):
        return {"images": len(self.means), "darkest": min(self.means, default=None)}
