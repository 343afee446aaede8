"""One way to train every backbone with every method: `fit`, observed and safe."""
