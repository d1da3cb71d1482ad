"""Where a monitor's numbers can go besides its run: one file a tracker."""
