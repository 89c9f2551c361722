"""The database: tables, transactions, and copies of it."""
