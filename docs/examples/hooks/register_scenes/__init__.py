from anydet.plugins import SceneSpec, hookimpl

PLUGIN_API = 2


@hookimpl
def register_scenes(register):
    register(
        SceneSpec(
            "squares",
            "anydet_example.work:Squares",
            "one white square on gray",
            writers={"yolo": "anydet.data.writing.yolo:write_yolo"},
        )
    )
