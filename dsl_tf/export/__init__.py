"""SavedModel and `.tflite` files from a trained backbone."""

from dsl_tf.export.artefacts import ExportedFiles, export_model

__all__ = ["ExportedFiles", "export_model"]
