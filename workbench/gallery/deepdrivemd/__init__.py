"""DeepDriveMD: protein folding by molecular dynamics that an autoencoder steers, as an asynchronous campaign."""
