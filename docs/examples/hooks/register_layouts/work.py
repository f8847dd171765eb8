from anydet.runtime.layouts.layout_file import packaged_layout


def corners():
    return packaged_layout("anydet_example", "corners.yaml")
