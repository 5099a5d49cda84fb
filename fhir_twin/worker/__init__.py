"""Durable work done: claim, handle, commit the result with what follows from it. One handler per kind of work."""
