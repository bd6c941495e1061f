"""The database: connections, tables, queries, transitions and migrations."""
