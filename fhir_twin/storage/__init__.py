"""What must outlive a process: work accepted, work to be sent, twins, subscriptions, audit. SQLAlchemy Core.

SQLite (WAL, full sync) by default, PostgreSQL in production; the same tables and the same promises (docs/queue.md).
"""
