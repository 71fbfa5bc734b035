"""What `make bench` measures: speeds, and ratios of two ways taken in turn within one run. Nothing is asserted."""
