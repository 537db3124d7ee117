"""The main job, shown: a sample camera, faces found, labels detected, frames annotated."""
