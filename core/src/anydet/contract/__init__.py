"""The predictions contract: reading, checking, converting and writing predictions files."""
