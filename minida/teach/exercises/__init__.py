"""The exercises of notebook NN stand in `nbNN.py`, as data for `minida.teach.check`."""
