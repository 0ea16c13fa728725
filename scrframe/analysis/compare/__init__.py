"""The arithmetic of comparing colour models: folds, scores, differences, honesty, results."""
