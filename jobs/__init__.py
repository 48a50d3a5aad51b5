"""Everything that moves data: plan, storage, shard codecs, Ray Data workers, manifests, and the commands.

`jobs.pipeline` is the one module that imports Ray. `jobs.release.release(config)` is the whole job from Python.
"""
