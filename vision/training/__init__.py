"""What makes an eye: pictures, cells, painted defects, folds, its cut, and where it fails."""
