"""Pure data and rules. Imports nothing but pydantic and the error tree; does no I/O and reads no clock."""
