"""The targets: ``run`` takes one input, ``seeds`` gives inputs to begin with."""
