"""Billing: what a signed report charges, and to whom."""
