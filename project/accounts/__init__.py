"""Accounts: users, their passwords, tokens and API keys, and what each may do."""
