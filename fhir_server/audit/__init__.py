"""The audit trail: a chained journal of every access, and the AuditEvents made of it (IHE BALP)."""
