"""One module per version, never changed once released. Each states its tables anew: `schema` moves on, these do not."""
