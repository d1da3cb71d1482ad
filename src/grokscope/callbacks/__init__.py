"""A monitor in somebody else's trainer: one file a trainer, loaded only when its library is there."""
