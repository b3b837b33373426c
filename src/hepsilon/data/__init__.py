"""From files to records, features and training columns."""
