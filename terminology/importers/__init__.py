"""Readers of terminology releases. Each streams rows (rows.py) and reports and survives defective ones."""
