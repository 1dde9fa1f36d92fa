"""What is computed on voxels: numpy, scipy and, for networks, torch. Imported only when a model runs."""
