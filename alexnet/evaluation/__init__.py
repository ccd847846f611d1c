"""From a network to answers: metrics, the classifier in one file, averages over views and classifiers."""
