"""SavedModel and `.tflite` files from a trained backbone."""
