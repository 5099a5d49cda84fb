"""Text to codes: normalise, expand shorthand, retrieve, rank, apply coding rules, calibrate."""
