"""The database: its connections, its tables, what is done with them, and how they change."""
