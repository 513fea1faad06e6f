"""Credentials of Azure Blob Storage: account keys, shared access signatures, and tokens of Microsoft Entra ID."""
