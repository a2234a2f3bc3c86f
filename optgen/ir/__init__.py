"""The two dialects (`rule`, `kernel`), their builders, text form and interpreters."""
