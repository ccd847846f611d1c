"""What a trained network is and does, as matplotlib figures and a report."""
