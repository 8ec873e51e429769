"""The database's schema, one numbered revision a file (Alembic), written in SQL."""
